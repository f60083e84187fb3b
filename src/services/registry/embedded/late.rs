//! How late users stand: whose turn comes when, and how often the oldest callback was tried. Writes nothing.

use crate::base::ids::UserId;
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::embedded::errors::unread;
use crate::services::registry::embedded::files::{Files, position};
use crate::services::registry::embedded::keys::{turn_key, unpadded};
use crate::services::registry::outbox::LateUser;
use crate::services::registry::outbox_codec;

/// Whose turn comes when, from this time on.
pub(super) fn turns_from(files: &Files, from: u64) -> impl Iterator<Item = Result<(u64, UserId), ReadError>> {
    let from = [b"s", &from.to_be_bytes()[..]].concat();
    files.outbox.range(from..vec![b's' + 1]).map(|guard| {
        let turn = guard.key().map_err(unread)?;
        Ok((position(&turn[1..9])?.0, unpadded(&turn[9..])?))
    })
}

pub(super) fn late_user(files: &Files, user: &UserId) -> Result<Option<LateUser>, ReadError> {
    let Some(bytes) = files.outbox.get(turn_key(user)).map_err(unread)? else {
        return Ok(None);
    };
    Ok(Some(outbox_codec::decode_turn(user, &bytes)?))
}

/// How many callbacks are late, and how many dead.
pub(super) fn counts(files: &Files) -> Result<(u64, u64), ReadError> {
    let count = |prefix: &[u8]| {
        let mut keys = files
            .outbox
            .prefix(prefix)
            .map(|guard| guard.key().map_err(unread));
        keys.try_fold(0, |count, key| key.map(|_| count + 1))
    };
    Ok((count(b"p")?, count(b"d")?))
}

/// The oldest late callback.
pub(super) fn first_late(files: &Files) -> Result<Option<Position>, ReadError> {
    let first = files.outbox.prefix(b"p").next();
    first
        .map(|guard| position(&guard.key().map_err(unread)?[1..]))
        .transpose()
}
