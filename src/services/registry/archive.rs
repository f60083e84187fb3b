//! What can be read of the registry beside the letters: the change stream, the list of users, and what the shards begin
//! with. The calls block, so they are made from threads that may; they never hold up a commit.

use crate::base::ids::{ChangeNumber, UserId};
use crate::logic::record::{RecordedChange, UserRecord};

/// A place in the commit order of all changes. The first change has 1; 0 is before all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position(pub u64);

/// A change at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Where it stands among all users' changes.
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
    /// What was asked for is not kept any more.
    #[error("changes are kept only from the one behind {0:?} on")]
    Pruned(
        /// The oldest place from which on nothing is missing.
        Position,
    ),
}

/// Reading beside the letters.
pub trait Archive: Send + Sync {
    /// Which store this is: a cursor of one means nothing to another.
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
