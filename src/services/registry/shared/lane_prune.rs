//! Takes changes out of a lane: those that are older than they are kept, and that nobody has to be told of any more. Keeps nothing of
//! a user's record.

use crate::base::time::Timestamp;
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::codec::ChainedChange;
use crate::services::registry::outbox::Outbox;
use crate::services::registry::shared::lane::{SharedLane, links};
use crate::services::shared_store::calls::SharedStore;

/// Batches that are looked at in a step, and taken out at most: that holds a master up for less than a millisecond.
const PRUNED_BATCHES_MAX: u32 = 256;

/// What a step has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneLeft {
    /// Nothing that may go.
    Nothing,
    /// Perhaps some.
    Some,
}

impl<S: SharedStore + Send> SharedLane<S> {
    /// Takes out some of the changes that were recorded before `kept_since`, the oldest first.
    ///
    /// # Errors
    /// If the store cannot be read or written, or the lane is another node's.
    pub fn prune(&self, kept_since: Timestamp) -> Result<PruneLeft, ReadError> {
        let told = self.told()?;
        let partition = self.source().partition;
        let part = self.read(|store| store.stream(partition, 0, PRUNED_BATCHES_MAX))?;
        let changes = links(part.value)?;
        let may_go =
            |(place, link): &&(u64, ChainedChange)| *place <= told.0 && link.recorded.change.at < kept_since;
        let Some((last, _)) = changes.iter().take_while(may_go).last() else {
            return Ok(PruneLeft::Nothing);
        };
        let (fence, keep_from) = (self.fence(), last + 1);
        let pruned = self.call(|store| store.prune(partition, &fence, keep_from))?;
        // Whole batches go: one that is kept in part may be all that is left.
        let goes_on =
            pruned.answer > part.seen.places.pruned && changes.last().is_some_and(|(end, _)| end == last);
        Ok(if goes_on {
            PruneLeft::Some
        } else {
            PruneLeft::Nothing
        })
    }

    /// The last place of which, and before which, everything is told, or was given up.
    fn told(&self) -> Result<Position, ReadError> {
        let cursor = self.cursor()?.min(self.confirmed());
        let first_late = self.late(Position(0), 1)?.pop();
        Ok(first_late.map_or(cursor, |(_, late)| cursor.min(Position(late.place().0 - 1))))
    }
}
