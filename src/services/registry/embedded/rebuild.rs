//! Users' records that are lost or old, made again from the changes that are there. Of a user of whom not all changes are
//! there, what is known is the newest number, and the devices that the rest tell of.

use hashbrown::HashSet;

use crate::base::ids::{ChangeNumber, UserId};
use crate::logic::record::{AccountStep, Change, ChangeKind, Commit, UserRecord};
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::codec::{self, ChainedChange, StoredRecord};
use crate::services::registry::embedded::errors::unread;
use crate::services::registry::embedded::files::{Files, position};

/// Has each user's record tell of all the user's changes that are there. Gives how many did not.
pub(super) fn rebuild(files: &Files, lost: &mut u64) -> Result<u64, ReadError> {
    let mut rebuilt = HashSet::new();
    let mut expected = files.pruned()?.0 + 1;
    for guard in files.changes.iter() {
        let (place, bytes) = guard.into_inner().map_err(unread)?;
        let place = position(&place)?;
        *lost += place.0.saturating_sub(expected);
        expected = place.0 + 1;
        let Ok(link) = codec::decode_change(&bytes) else {
            continue;
        };
        let user = link.recorded.user;
        let known = files.user(&user).ok().flatten().unwrap_or_default();
        if link.recorded.change.number > known.record.change {
            let known = told_by(known, link, place);
            let mut batch = files.database.batch();
            batch.insert(&files.users, user.as_str(), codec::encode_user(&known));
            batch.commit().map_err(unread)?;
            rebuilt.insert(user);
        }
    }
    Ok(rebuilt.len() as u64)
}

/// A record as a change leaves it, of which not all before it is known.
fn told_by(mut known: StoredRecord, link: ChainedChange, place: Position) -> StoredRecord {
    let recorded = link.recorded;
    let (change, record) = (recorded.change, &mut known.record);
    let mut known_devices = vec![(change.device, recorded.session)];
    if let ChangeKind::Login { forced_off, .. } = &change.kind {
        known_devices = forced_off
            .iter()
            .map(|(loser, _)| (*loser, ChangeNumber(1)))
            .collect();
    }
    for (device, session) in known_devices {
        if !record.devices.iter().any(|known| known.device == device) {
            // Its login is lost: it must have been, in this session.
            let kind = ChangeKind::Login {
                fresh: session,
                forced_off: Vec::new(),
            };
            let login = Change {
                number: session,
                device,
                kind,
                ..change.clone()
            };
            take(record, recorded.user, login);
        }
    }
    if recorded.previous.is_some() {
        record.told = change.number;
    }
    take(record, recorded.user, change);
    known.last = place;
    known
}

fn take(record: &mut UserRecord, user: UserId, change: Change) {
    record.change = ChangeNumber(change.number.0.saturating_sub(1));
    // When UserSigs were refused from is lost with the record: those made before a kick are.
    let kicked = matches!(change.kind, ChangeKind::Kick | ChangeKind::Deletion);
    let deleted = matches!(change.kind, ChangeKind::Deletion);
    record.apply(&Commit {
        user,
        kicked_at_s: kicked.then_some(change.at.0 / 1_000),
        account: if deleted {
            AccountStep::Delete
        } else {
            AccountStep::Keep
        },
        changes: vec![change],
    });
}
