//! A lane as whoever moves it sees it: everything that is kept, also what readers are not shown. Nobody else writes it meanwhile.

use std::ops::ControlFlow;

use crate::base::ids::UserId;
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::codec::{ChainedChange, StoredRecord};
use crate::services::registry::outbox::Outbox;

/// Takes users, one after the other, as long as it goes on.
pub(super) type TakeUser<'a> = &'a mut dyn FnMut(UserId, StoredRecord) -> ControlFlow<()>;

/// A lane that nobody else writes.
pub(super) trait MovedLane: Outbox {
    /// Up to here changes are not kept.
    fn pruned(&self) -> Result<Position, ReadError>;

    /// Changes behind `after` in their order, of about so many batches; none at the end. What is lost by damage is left out.
    fn page(&self, after: Position, batches: u32) -> Result<Vec<(Position, ChainedChange)>, ReadError>;

    /// Hands over everyone, each once: also who has no account any more.
    fn all_users(&self, take: TakeUser<'_>) -> Result<(), ReadError>;
}
