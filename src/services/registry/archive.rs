//! What can be read of the registry beside its own thread: the change stream, the list of users, and what the shards begin
//! with. The calls block, so they are made from threads that may; they never hold up a commit.
//!
//! All of it is of one lane: the users of one partition, and their changes in their order. A store of several partitions has a
//! reader for each. The store on disk is one lane, as it is the only one with all users.

use std::fmt;
use std::sync::Arc;

use crate::base::ids::{ChangeNumber, PartitionId, UserId};
use crate::base::time::Timestamp;
use crate::logic::record::{RecordedChange, UserRecord};

/// A place in the commit order of its lane. The first change has 1; 0 is before all. It says nothing without its lane, which is that
/// of the reader that it came from, or of the user who is named with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position(pub u64);

/// A change at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Where it stands among the changes of its lane.
    pub position: Position,
    /// What was recorded.
    pub recorded: RecordedChange,
}

/// The registry could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The store failed. The text is for the operator.
    #[error("the registry's store cannot be read: {0}")]
    Store(String),
    /// What was read is not what was written. The store will look for the damage, and work around it.
    #[error("a part of the registry's store is damaged: {0}")]
    Damaged(String),
    /// What was asked for is lost by damage; everything else is there.
    #[error("this part of the registry's store is lost: {0}")]
    Lost(String),
    /// From here on something is lost by damage; behind it, it goes on.
    #[error("a part is lost by damage: go on behind {0:?}")]
    Hole(
        /// What to go on behind.
        ResumeAfter,
    ),
    /// What was asked for is not kept any more.
    #[error("changes are kept only from the one behind {0:?} on")]
    Pruned(
        /// The oldest place from which on nothing is missing.
        Position,
    ),
}

/// Where a reader goes on behind what is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResumeAfter {
    /// In the stream: behind this place.
    Position(Position),
    /// In one user's changes: behind this number.
    Number(ChangeNumber),
    /// In the list of users: behind this UserID, which need not exist.
    User(UserId),
}

/// Reading one lane beside the registry's thread.
pub trait Archive: Send + Sync {
    /// Which store this is a lane of: a cursor of one means nothing to another.
    fn store_id(&self) -> u64;

    /// The place of the last durable change.
    fn last(&self) -> Position;

    /// Changes of all users behind `after`, in commit order, at most `count_max`, none of them not yet durable.
    ///
    /// # Errors
    /// [`ReadError::Pruned`] if some behind `after` are not kept any more.
    fn changes(&self, after: Position, count_max: usize) -> Result<Vec<Placed>, ReadError>;

    /// One user's changes that are kept, numbered above `after`, at most `count_max`.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn changes_of(
        &self,
        user: &UserId,
        after: ChangeNumber,
        count_max: usize,
    ) -> Result<Vec<Placed>, ReadError>;

    /// Registered users in the order of their UserIDs, behind `after`, at most `count_max`.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn users(&self, after: Option<&UserId>, count_max: usize)
    -> Result<Vec<(UserId, UserRecord)>, ReadError>;

    /// Hands every user that has a device which is not Offline to `take`. For the start, before anything is committed.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn residents(&self, take: &mut dyn FnMut(UserId, UserRecord)) -> Result<(), ReadError>;
}

/// The lanes of a store, as far as they can be read here. Those of a store that nodes share come and go.
pub trait ReadableLanes: Send + Sync {
    /// Which store they are of.
    fn store_id(&self) -> u64;

    /// How many lanes the store has.
    fn partitions(&self) -> u16;

    /// The lane of a partition, if it can be read here now.
    fn lane(&self, partition: PartitionId) -> Option<Arc<dyn Archive>>;
}

/// The lane of a store that has no other.
pub struct SoleLane(pub Arc<dyn Archive>);

impl fmt::Debug for SoleLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SoleLane")
    }
}

impl ReadableLanes for SoleLane {
    fn store_id(&self) -> u64 {
        self.0.store_id()
    }

    fn partitions(&self) -> u16 {
        1
    }

    fn lane(&self, partition: PartitionId) -> Option<Arc<dyn Archive>> {
        (partition == PartitionId::SOLE).then(|| Arc::clone(&self.0))
    }
}

/// When the change at `position`, dated `at`, was recorded at the latest, as a clock knows it that says `now`. A date that lies
/// ahead was given by a wrong clock, and says nothing of an age. But the commit order does: whatever was recorded behind it
/// is no older. So the next change behind it whose date does not lie ahead is looked for: close by at first, then in ever
/// longer steps up to the `last`, so that a long time of wrong dates costs few looks. Nobody knows more if there is none.
///
/// # Errors
/// If `date_of`, which gives the date of the change at a place, if there is one, fails.
pub fn recorded_by(
    (position, at): (Position, Timestamp),
    (last, now): (Position, Timestamp),
    mut date_of: impl FnMut(Position) -> Result<Option<Timestamp>, ReadError>,
) -> Result<Timestamp, ReadError> {
    let (mut step, mut place) = (1_u64, position);
    while at > now && place < last {
        place = Position(position.0.saturating_add(step)).min(last);
        if let Some(date) = date_of(place)?.filter(|date| *date <= now) {
            return Ok(date);
        }
        step = step.saturating_mul(2);
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AHEAD: u64 = 1_000;

    /// The first of changes with these dates, at time 50; and how many others were looked at.
    fn check(dates: &[u64], expected: u64, looks_max: usize) {
        let mut looks = 0;
        let date_of = |place: Position| {
            looks += 1;
            Ok(dates.get(place.0 as usize - 1).copied().map(Timestamp))
        };
        let first = (Position(1), Timestamp(dates[0]));
        let last = Position(dates.len() as u64);
        let found = recorded_by(first, (last, Timestamp(50)), date_of).unwrap();
        assert_eq!(found, Timestamp(expected), "{dates:?}");
        assert!(looks <= looks_max, "{looks} looks");
    }

    #[test]
    fn a_date_ahead_is_bounded_by_what_was_recorded_behind_it() {
        check(&[7, 60, 40], 7, 0);
        check(&[50, 40], 50, 0);
        check(&[AHEAD, 40], 40, 1);
        check(&[AHEAD, AHEAD, 41, 42], 41, 2);
        check(&[AHEAD, AHEAD], AHEAD, 1);
        check(&[AHEAD], AHEAD, 0);
        let mut long = vec![AHEAD; 100_000];
        long.push(45);
        check(&long, 45, 20);
    }
}
