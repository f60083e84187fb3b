//! What the callback service keeps in the registry's store for each lane: how far it is, whose callbacks are late, and which were
//! given up. A change that owes a callback lies in the stream itself; beside it is kept only what does not go as it should.

use std::time::Duration;

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::services::registry::archive::{Placed, Position, ReadError};

/// The longest wait of a late user. One whose turn is farther ahead was scheduled by a clock that was set back since, and is
/// due.
pub const LATE_WAIT_MAX: Duration = Duration::from_secs(60);

/// A user whose oldest callback failed: this one and all that follow it wait in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateUser {
    /// Whose.
    pub user: UserId,
    /// How often the oldest was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: Timestamp,
    /// Up to here none is left. A store looks for the oldest behind it, and not among all that there ever were.
    pub after: Position,
}

/// A late callback, as it is found in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Late {
    /// The change that it tells of.
    There(Placed),
    /// The change at this place is gone, which should not be: nobody can be told of it.
    Lost(Position),
}

impl Late {
    /// Where its change is, or was.
    #[must_use]
    pub fn place(&self) -> Position {
        match self {
            Self::There(placed) => placed.position,
            Self::Lost(place) => *place,
        }
    }
}

/// A callback that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// The change it told of. It is kept as long as the dead letter.
    pub placed: Placed,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up.
    pub at: Timestamp,
    /// Why the last attempt failed.
    pub fault: String,
}

/// One step of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxStep {
    /// Everything up to here was delivered, is late, or is dead.
    Cursor(Position),
    /// This callback of this user waits, behind the user's other late ones.
    Late(UserId, Position),
    /// The user's late callbacks are tried next as this says.
    Schedule(LateUser),
    /// This late callback of this user was delivered, or is dead.
    LateDone(UserId, Position),
    /// The user has no late callbacks any more: its schedule goes.
    Unschedule(UserId),
    /// A callback was given up.
    Bury(Dead),
    /// A dead letter was replayed or dropped.
    Unbury(Position),
}

/// The callback service's side of one lane of the store. All calls block; none waits for a commit of changes.
pub trait Outbox: Send + Sync {
    /// How far everything was delivered, or is late or dead. What lies behind is to be told.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn cursor(&self) -> Result<Position, ReadError>;

    /// The next durable changes behind `after` that owe a callback, in commit order, at most `count_max`; and the place up
    /// to which there are no others.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn due(&self, after: Position, count_max: usize) -> Result<(Vec<Placed>, Position), ReadError>;

    /// Takes steps together or not at all. They are durable with the next commit, or within a second: repeating a
    /// delivery is allowed, forgetting one is not.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn take(&self, steps: &[OutboxStep]) -> Result<(), ReadError>;

    /// How the user's late callbacks stand, if there are any.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn late_user(&self, user: &UserId) -> Result<Option<LateUser>, ReadError>;

    /// Users whose late callbacks are to be tried at `now` or before, the longest due first, and then those whose turn is
    /// farther ahead than [`LATE_WAIT_MAX`]; at most `count_max`.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn late_users(&self, now: Timestamp, count_max: usize) -> Result<Vec<LateUser>, ReadError>;

    /// A user's late callbacks behind `after`, oldest first, at most `count_max`.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn late_of(&self, user: &UserId, after: Position, count_max: usize) -> Result<Vec<Late>, ReadError>;

    /// The late callbacks of all users behind `after`, in commit order, at most `count_max`.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn late(&self, after: Position, count_max: usize) -> Result<Vec<(UserId, Late)>, ReadError>;

    /// When the change of the oldest late callback was recorded.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn oldest_late(&self) -> Result<Option<Timestamp>, ReadError>;

    /// How many callbacks are late.
    fn late_count(&self) -> u64;

    /// Dead letters behind `after`, in commit order, at most `count_max`.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn dead(&self, after: Position, count_max: usize) -> Result<Vec<Dead>, ReadError>;

    /// How many callbacks are dead.
    fn dead_count(&self) -> u64;
}

/// How many of the looked-at changes may owe nothing, for each that is asked for.
pub(super) const LOOKED_AT_PER_DUE: usize = 4;

/// Of some changes the first that owe callbacks, and the place up to which there are no others.
pub(super) fn first_due(changes: Vec<Placed>, after: Position, count_max: usize) -> (Vec<Placed>, Position) {
    let (mut due, mut looked_at) = (Vec::new(), after);
    for change in changes {
        if due.len() == count_max {
            break;
        }
        looked_at = change.position;
        if change.recorded.previous.is_some() {
            due.push(change);
        }
    }
    (due, looked_at)
}
