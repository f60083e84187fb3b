//! All records of some lanes in a few numbers, which are the same wherever the records lie: a sum of digests, in which instead of a
//! place stands the number of the change that is there. Writes nothing.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::base::ids::UserId;
use crate::services::registry::archive::Position;
use crate::services::registry::codec::{self, ChainedChange, StoredRecord};
use crate::services::registry::moved_lane::MovedLane;
use crate::services::registry::moving::fault::MoveError;
use crate::services::registry::moving::lane::{every_change, every_user};
use crate::services::registry::moving::outbox::{every_dead, every_late};
use crate::services::registry::moving::places::PlaceTable;
use crate::services::registry::moving::progress::MoveProgress;
use crate::services::registry::outbox::Dead;
use crate::services::registry::outbox_codec;

/// Records are told of after so many.
const TOLD_EACH: u64 = 10_000;

/// Counts of all records, and a sum of their digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Users, also those whose account is deleted.
    pub users: u64,
    /// Changes that are kept.
    pub changes: u64,
    /// Callbacks that are still to be told, late ones among them.
    pub untold: u64,
    /// Callbacks that were given up.
    pub dead: u64,
    hash: u128,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            users,
            changes,
            untold,
            dead,
            hash,
        } = self;
        write!(
            f,
            "{users} users, {changes} changes, {untold} callbacks to be told, {dead} dead letters (hash {hash:032x})"
        )
    }
}

impl Summary {
    /// Takes in a lane.
    pub(super) fn add(&mut self, lane: &dyn MovedLane, progress: MoveProgress<'_>) -> Result<(), MoveError> {
        let (cursor, mut numbers) = (lane.cursor()?, PlaceTable::behind(lane.pruned()?));
        every_change(lane, &mut |place, link| {
            self.add_change(&link, numbers.get(link.before));
            if place > cursor && link.recorded.previous.is_some() {
                self.add_untold(&link.recorded.user, link.recorded.change.number.0);
            }
            if self.changes.is_multiple_of(TOLD_EACH) {
                progress("changes compared", self.changes);
            }
            numbers.push(place, link.recorded.change.number.0)
        })?;
        every_user(lane, &mut |user, known| {
            let last = numbers.get(known.last);
            self.add_user(&user, known, last);
            if self.users.is_multiple_of(TOLD_EACH) {
                progress("users compared", self.users);
            }
            Ok(())
        })?;
        every_late(lane, &mut |user, place| {
            // One behind the cursor was counted there.
            if let Some(number) = numbers.get(place).filter(|_| place <= cursor) {
                self.add_untold(&user, number);
            }
            Ok(())
        })?;
        every_dead(lane, &mut |dead| {
            self.add_dead(&dead);
            Ok(())
        })
    }

    fn add_user(&mut self, user: &UserId, known: StoredRecord, last: Option<u64>) {
        self.users += 1;
        let bytes = codec::encode_user(&StoredRecord {
            last: Position::default(),
            ..known
        });
        self.digest('u', user, last.unwrap_or(0), &bytes);
    }

    fn add_change(&mut self, link: &ChainedChange, before: Option<u64>) {
        self.changes += 1;
        let bytes = codec::encode_change(&ChainedChange {
            before: Position::default(),
            recorded: link.recorded.clone(),
        });
        self.digest('c', &link.recorded.user, before.unwrap_or(0), &bytes);
    }

    fn add_untold(&mut self, user: &UserId, number: u64) {
        self.untold += 1;
        self.digest('l', user, number, &[]);
    }

    fn add_dead(&mut self, dead: &Dead) {
        self.dead += 1;
        let recorded = &dead.placed.recorded;
        let bytes = outbox_codec::encode_dead(dead);
        self.digest('d', &recorded.user, recorded.change.number.0, &bytes);
    }

    fn digest(&mut self, kind: char, user: &UserId, number: u64, bytes: &[u8]) {
        let digest = Sha256::new()
            .chain_update([kind as u8, user.as_bytes().len() as u8])
            .chain_update(user.as_bytes())
            .chain_update(number.to_be_bytes())
            .chain_update(bytes)
            .finalize();
        let part = digest.first_chunk().expect("a digest has 32 bytes");
        self.hash = self.hash.wrapping_add(u128::from_be_bytes(*part));
    }

    /// Both sides have to be equal.
    pub(super) fn compare(read: &Self, written: &Self) -> Result<(), MoveError> {
        match read == written {
            true => Ok(()),
            false => Err(MoveError::Differs {
                read: read.to_string(),
                written: written.to_string(),
            }),
        }
    }

    /// What tells these records from all others.
    pub(super) fn words(&self) -> String {
        format!(
            "{} {} {} {} {:032x}",
            self.users, self.changes, self.untold, self.dead, self.hash
        )
    }
}
