//! What the node's membership and the desk say to one another of the partitions that this node owns, what else is ordered of these, and
//! how far each is confirmed.
//! Plain data.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::base::ids::{PartitionId, UserId};
use crate::services::registry::archive::Position;
use crate::services::shared_store::calls::Places;
use crate::services::shared_store::outcome::Fence;

/// From the membership to the desk, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnershipOrder {
    /// The partition is this node's under this fence, which the store has vouched for, and stands there. To be said before a shard
    /// hears of the partition.
    Own(PartitionId, Fence, Places),
    /// It still is, or is again, under this fence, and nobody else's in between: what waits since [`OwnershipNews::Fenced`] or
    /// [`OwnershipNews::Behind`] goes on.
    Resume(PartitionId, Fence),
    /// Its shards decide nothing more of it: answered by [`OwnershipNews::Settled`] when nothing is left.
    Settle(PartitionId),
    /// It is another's: whatever is left of it is answered as superseded.
    Lose(PartitionId),
    /// Of these users some may be deleted accounts that are kept no longer: their records go. Said by whoever looks at all records, which
    /// may have changed since.
    Forget(PartitionId, ForgetCandidates),
}

/// Users whose records may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgetCandidates {
    /// Who.
    pub users: Vec<UserId>,
    /// How long a deleted account is kept, in milliseconds.
    pub kept_ms: u64,
    /// Changes up to here are gone.
    pub pruned: Position,
}

/// From the desk to the membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnershipNews {
    /// Nothing of the partition is left here, and nothing more is taken: all that was decided is confirmed.
    Settled(PartitionId),
    /// A batch under this fence was refused, perhaps by a master that was deposed. It waits until the partition is resumed or lost.
    Fenced(PartitionId, Fence),
    /// The store's last change is this one, and what it lacks is not here any more, or it has more than this node wrote. The
    /// partition takes no changes until it is resumed or lost.
    Behind(PartitionId, Position),
}

/// Up to where each partition is confirmed, for every thread. Of a partition that another node owns it says what was so when this
/// node owned it.
#[derive(Debug, Clone)]
pub struct ConfirmedPlaces {
    places: Arc<[AtomicU64]>,
    /// The place that was confirmed last, of whichever partition.
    news: watch::Sender<Position>,
}

impl ConfirmedPlaces {
    /// Of so many partitions, none of which is confirmed.
    #[must_use]
    pub fn new(partitions: u16) -> Self {
        let places = (0..partitions).map(|_| AtomicU64::default()).collect();
        let (news, _) = watch::channel(Position::default());
        Self { places, news }
    }

    /// The last confirmed place of a partition.
    ///
    /// # Panics
    /// If there is no such partition.
    #[must_use]
    pub fn of(&self, partition: PartitionId) -> Position {
        Position(self.places[usize::from(partition.0)].load(Ordering::Acquire))
    }

    /// Hears of each place that is confirmed: the latest, of whichever partition.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<Position> {
        self.news.subscribe()
    }

    /// Has everyone who hears of places look again: lanes have come or gone.
    pub fn tell_again(&self) {
        self.news.send_modify(|_| {});
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        u16::try_from(self.places.len()).expect("partitions are counted in a u16")
    }

    /// A partition is confirmed up to this place.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn set(&self, partition: PartitionId, place: Position) {
        self.places[usize::from(partition.0)].store(place.0, Ordering::Release);
        self.news.send_replace(place);
    }
}
