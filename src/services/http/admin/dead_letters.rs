//! The callback service, as the operator deals with it. Only says what there is to ask; the node answers.

use crate::base::ids::{PartitionId, UserId};
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::outbox::Dead;

/// The callback service, as the operator deals with it: that of the lanes which can be read here. All calls block.
pub trait DeadLetters: Send + Sync {
    /// How far callbacks of each lane are, and how many failed.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn status(&self) -> Result<Vec<(PartitionId, CallbackStatus)>, ReadError>;

    /// Callbacks of a lane that were given up, of changes behind `after`, in commit order, at most `count_max`; none of a lane that
    /// cannot be read here.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn dead(&self, lane: PartitionId, after: Position, count_max: usize) -> Result<Vec<Dead>, ReadError>;

    /// Sends them again, marked as replayed. Gives how many there were.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn replay(&self, which: &DeadSelection) -> Result<u64, ReadError>;

    /// Forgets late callbacks, of one user or of all. Gives how many there were.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn drop_late(&self, user: Option<UserId>) -> Result<u64, ReadError>;

    /// Forgets them. Gives how many there were.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn forget(&self, which: &DeadSelection) -> Result<u64, ReadError>;
}

/// How far callbacks of a lane are, and how many failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallbackStatus {
    /// Everything up to here was delivered, is late, or is dead.
    pub done: Position,
    /// The last durable change.
    pub last: Position,
    /// Callbacks that failed and are tried again, or wait behind one that did.
    pub late: u64,
    /// Callbacks that were given up.
    pub dead: u64,
}

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadSelection {
    /// Those of the changes at these places.
    These(Vec<(PartitionId, Position)>),
    /// All that there are now.
    All,
}
