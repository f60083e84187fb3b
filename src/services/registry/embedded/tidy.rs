//! After damage: puts in order again what the callback service keeps, of which one part may be lost and the others not. A late
//! callback that only one of its two keys tells of would never be tried, and would keep changes from being pruned.

use hashbrown::{HashMap, HashSet};

use crate::base::ids::UserId;
use crate::base::limits::USER_ID_BYTES_MAX;
use crate::base::time::Timestamp;
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::embedded::errors::unread;
use crate::services::registry::embedded::files::{Files, position};
use crate::services::registry::embedded::keys::{late_key, place_key, schedule_key, turn_key, unpadded};
use crate::services::registry::embedded::late::late_user;
use crate::services::registry::outbox::LateUser;
use crate::services::registry::outbox_codec;

/// Puts the outbox in order if a part of it, or of the changes, is lost. To do it again changes nothing.
pub(super) fn tidy(files: &Files) -> Result<(), ReadError> {
    let lost = ["outbox", "changes"]
        .iter()
        .any(|name| files.holes.of(name).next().is_some());
    if lost { put_in_order(files) } else { Ok(()) }
}

/// Has both keys of each late callback there, and each user who has some scheduled.
pub(super) fn put_in_order(files: &Files) -> Result<(), ReadError> {
    let mut late = late_by_user(files)?;
    let known: HashSet<Position> = late.values().flatten().copied().collect();
    let mut batch = files.database.batch();
    for (place, user) in places(files)? {
        if known.contains(&place) {
            continue;
        }
        match user.map_or_else(|| user_of(files, place), |user| Ok(Some(user)))? {
            Some(user) => {
                batch.insert(&files.outbox, late_key(&user, place), []);
                late.entry(user).or_default().push(place);
            }
            // Nobody can be told of a change that is lost, and it is nobody's.
            None => batch.remove(&files.outbox, place_key(place)),
        }
    }
    for (user, places) in &late {
        for place in places {
            batch.insert(&files.outbox, place_key(*place), user.as_str());
        }
        let turn = late_user(files, user)
            .ok()
            .flatten()
            .unwrap_or_else(|| at_once(*user));
        batch.insert(&files.outbox, turn_key(user), outbox_codec::encode_turn(&turn));
        batch.insert(&files.outbox, schedule_key(turn.next_at, user), []);
    }
    batch.commit().map_err(unread)
}

fn at_once(user: UserId) -> LateUser {
    LateUser {
        user,
        attempts: 0,
        next_at: Timestamp(0),
        after: Position(0),
    }
}

fn late_by_user(files: &Files) -> Result<HashMap<UserId, Vec<Position>>, ReadError> {
    let mut late: HashMap<_, Vec<_>> = HashMap::new();
    for guard in files.outbox.prefix(b"c") {
        let key = guard.key().map_err(unread)?;
        let (user, place) = key[1..].split_at(USER_ID_BYTES_MAX.min(key.len() - 1));
        late.entry(unpadded(user)?).or_default().push(position(place)?);
    }
    Ok(late)
}

fn user_of(files: &Files, place: Position) -> Result<Option<UserId>, ReadError> {
    match files.change(place) {
        Err(ReadError::Lost(_)) => Ok(None),
        change => Ok(change?.map(|link| link.recorded.user)),
    }
}

/// The places of late callbacks, with whose they are, if it is noted there.
fn places(files: &Files) -> Result<Vec<(Position, Option<UserId>)>, ReadError> {
    let entries = files
        .outbox
        .prefix(b"p")
        .map(|guard| guard.into_inner().map_err(unread));
    entries
        .map(|entry| {
            let (key, user) = entry?;
            Ok((position(&key[1..])?, UserId::new(&user).ok()))
        })
        .collect()
}
