//! What a desk has to say, and what all its partitions share while they are worked on. Plain data.

use crate::base::ids::{PartitionId, ShardId};
use crate::base::time::{Now, Timestamp};
use crate::logic::delivery::{Delivery, RegistryError, ToShard, UserKey};
use crate::services::registry::archive::Position;
use crate::services::registry::health::RegistryHealth;
use crate::services::registry::shared::cache::RecordCache;
use crate::services::registry::shared::gathering::{GatheringId, PartAnswer};
use crate::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipNews};
use crate::services::registry::shared::settings::{DeskFigures, DeskSettings};
use crate::services::registry::shared::tail::Tails;

/// What the partitions of a desk share.
#[derive(Debug)]
pub(super) struct DeskCommon {
    pub(super) settings: DeskSettings,
    pub(super) cache: RecordCache,
    pub(super) tails: Tails,
    pub(super) confirmed: ConfirmedPlaces,
    pub(super) figures: DeskFigures,
    pub(super) health: RegistryHealth,
    /// The last time that was told, by a wall clock that nobody sets.
    pub(super) now: Now,
    pub(super) answers: Vec<Delivery>,
    pub(super) news: Vec<OwnershipNews>,
    /// Places up to which a partition is confirmed, in their order.
    pub(super) unpublished: Vec<(PartitionId, Position)>,
    /// Of requests in several parts.
    pub(super) parts: Vec<(GatheringId, PartAnswer)>,
    pub(super) tickets: u64,
}

impl DeskCommon {
    pub(super) fn committed(
        &mut self,
        shard: ShardId,
        key: UserKey,
        outcome: Result<Timestamp, RegistryError>,
    ) {
        let answer = ToShard::Committed(key, outcome);
        self.answers.push(Delivery::Shard(shard, answer));
    }

    /// Names a call.
    pub(super) fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }
}
