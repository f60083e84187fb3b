//! One partition that this node owns, as its desk has it: what waits, the one batch that is under way, and what becomes of both.
//! Asks for calls of the store, and makes none.
//!
//! ```text
//!            next_call ──> a load, a batch of the tail, the batch under way, or a new one ──outcome──┐
//!   Deciding <──────────────── confirmed, refused, doubtful, behind (the tail has it) ───────────────┤
//!      ^ └──resume── Fenced <────────── fenced ──────────────────────────────────────────────────────┤
//!      └────resume── Behind <────────── behind, and the tail lacks it ───────────────────────────────┘
//! ```
//!
//! A batch that was sent and may have been executed is never given up: it is sent again, the same with the same borders, until it is
//! confirmed, or the partition is lost.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;

use crate::base::ids::{PartitionId, ShardId, UserId};
use crate::base::time::{Instant, Timestamp};
use crate::logic::delivery::{Delivery, RegistryError, ToShard, UserKey};
use crate::services::registry::archive::Position;
use crate::services::registry::codec::StoredRecord;
use crate::services::registry::shared::draft::{CHANGES_MAX, DraftedBatch, forget_old_ends};
use crate::services::registry::shared::output::DeskCommon;
use crate::services::registry::shared::ownership::OwnershipNews;
use crate::services::registry::shared::writes::QueuedWrite;
use crate::services::shared_store::calls::{Batch, Places};
use crate::services::shared_store::outcome::Fence;

/// How long a call waits after one that failed, at first and at most. It doubles each time.
const PAUSE_MS: u64 = 20;
const PAUSE_MS_MAX: u64 = 1_000;

/// A partition of this node's.
#[derive(Debug)]
pub(super) struct PartitionDesk {
    pub(super) partition: PartitionId,
    pub(super) fence: Fence,
    /// The place of the last change. All up to there is confirmed.
    pub(super) last: u64,
    pub(super) latest: Timestamp,
    pub(super) queue: VecDeque<QueuedWrite>,
    /// Shards that wait for a record.
    pub(super) readers: Vec<(ShardId, UserKey, UserId)>,
    /// Records that were loaded for what waits; `None`: there is none.
    pub(super) loaded: HashMap<UserId, Option<StoredRecord>>,
    pub(super) under_way: Option<DoubtableBatch>,
    pub(super) repair: Option<RepairCursor>,
    pub(super) call: Option<PartitionCall>,
    pub(super) standing: PartitionStanding,
    pub(super) settling: Settling,
    pub(super) failures: u32,
    pub(super) not_before: Instant,
}

/// A batch that is not confirmed.
#[derive(Debug)]
pub(super) struct DoubtableBatch {
    pub(super) drafted: DraftedBatch,
    pub(super) sent: Sent,
}

/// What is known of a batch's sendings so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// None was executed.
    InVain,
    /// One may have been, or may yet be.
    Perhaps,
}

/// How far the store has got back what it lost: it has what begins up to this place, and behind it so many batches without changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RepairCursor {
    pub(super) place: u64,
    pub(super) passed: usize,
}

/// What the store has.
#[derive(Debug)]
pub(super) enum PartitionCall {
    Batch {
        ticket: u64,
        fence: Fence,
        end: u64,
        count: u32,
    },
    Load {
        ticket: u64,
        fence: Fence,
    },
}

/// What is wanted of the store.
#[derive(Debug)]
pub(super) enum WantedCall {
    Batch(u64, Batch),
    Load(u64, Vec<UserId>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartitionStanding {
    Deciding,
    Fenced,
    Behind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settling {
    No,
    /// What is left is worked off.
    Asked,
    /// Nothing is left, and nothing more is taken.
    Done,
}

impl PartitionDesk {
    pub(super) fn new(partition: PartitionId, fence: Fence, places: Places, common: &DeskCommon) -> Self {
        common.confirmed.set(partition, Position(places.seq));
        Self {
            partition,
            fence,
            last: places.seq,
            latest: Timestamp(places.latest),
            queue: VecDeque::new(),
            readers: Vec::new(),
            loaded: HashMap::new(),
            under_way: None,
            repair: None,
            call: None,
            standing: PartitionStanding::Deciding,
            settling: Settling::No,
            failures: 0,
            not_before: Instant(0),
        }
    }

    /// Whether something can be recorded, as far as is known.
    pub(super) fn takes(&self) -> bool {
        self.standing != PartitionStanding::Behind && self.settling != Settling::Done
    }

    /// Whether what is confirmed here is what counts, as far as is known.
    pub(super) fn is_deciding(&self) -> bool {
        self.standing == PartitionStanding::Deciding
    }

    pub(super) fn has_batch(&self) -> bool {
        self.under_way.is_some()
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len() + self.readers.len()
    }

    /// When a call that failed is made again.
    pub(super) fn due(&self) -> Option<Instant> {
        let wants = self.is_deciding() && self.call.is_none() && !self.is_idle();
        wants.then_some(self.not_before)
    }

    pub(super) fn is_idle(&self) -> bool {
        let nothing_waits = self.queue.is_empty() && self.readers.is_empty();
        nothing_waits && self.under_way.is_none() && self.repair.is_none() && self.call.is_none()
    }

    /// A shard wants a record.
    pub(super) fn read(&mut self, common: &mut DeskCommon, shard: ShardId, key: UserKey, user: UserId) {
        if !self.takes() {
            return answer_reader(common, (shard, key), Err(RegistryError::Unavailable));
        }
        match common.cache.get(&user) {
            Some(known) => answer_reader(common, (shard, key), Ok(known)),
            None => self.readers.push((shard, key, user)),
        }
    }

    /// Something is to be recorded.
    pub(super) fn write(&mut self, common: &mut DeskCommon, write: QueuedWrite) {
        if write.changes() > CHANGES_MAX {
            tracing::error!(
                changes = write.changes(),
                "a commit has more changes than the store takes together"
            );
            return write.refuse(common, RegistryError::Unavailable);
        }
        if !self.takes() {
            return write.refuse(common, RegistryError::Unavailable);
        }
        self.queue.push_back(write);
    }

    /// Somebody says that the partition is not this node's under this fence.
    pub(super) fn fenced(&mut self, common: &mut DeskCommon, fence: Fence) {
        self.standing = PartitionStanding::Fenced;
        common.news.push(OwnershipNews::Fenced(self.partition, fence));
    }

    pub(super) fn is_doubtful(&self) -> bool {
        self.under_way
            .as_ref()
            .is_some_and(|batch| batch.sent == Sent::Perhaps)
    }

    pub(super) fn doubt(&mut self) {
        if let Some(batch) = &mut self.under_way {
            batch.sent = Sent::Perhaps;
        }
    }

    pub(super) fn pause(&mut self, common: &DeskCommon) {
        let pause_ms = (PAUSE_MS << self.failures.min(16)).min(PAUSE_MS_MAX);
        self.failures += 1;
        self.not_before = common.now.instant.after(Duration::from_millis(pause_ms));
    }

    /// The store does not have what was confirmed: nothing more is decided.
    pub(super) fn stop(&mut self, common: &mut DeskCommon, place: u64) {
        tracing::error!(
            partition = self.partition.0,
            place,
            last = self.last,
            "the store and this node do not agree: the partition takes no changes"
        );
        self.standing = PartitionStanding::Behind;
        self.repair = None;
        common
            .news
            .push(OwnershipNews::Behind(self.partition, Position(place)));
        self.refuse(common, RegistryError::Unavailable);
    }

    /// The store cannot: what is not under way is refused.
    pub(super) fn refuse_waiting(&mut self, common: &mut DeskCommon, why: &str) {
        common.health.fail(common.now.wall, &why);
        self.pause(common);
        self.refuse(common, RegistryError::Unavailable);
    }

    /// Refuses all that was certainly not executed.
    pub(super) fn refuse(&mut self, common: &mut DeskCommon, error: RegistryError) {
        if let Some(batch) = self.under_way.take_if(|batch| batch.sent == Sent::InVain) {
            for promise in batch.drafted.promises {
                promise.refuse(common, error);
            }
        }
        for (shard, key, _) in self.readers.drain(..) {
            answer_reader(common, (shard, key), Err(error));
        }
        self.queue.drain(..).for_each(|write| write.refuse(common, error));
        self.loaded.clear();
    }

    /// It is still this node's, under this fence.
    pub(super) fn resume(&mut self, fence: Fence) {
        self.fence = fence;
        self.standing = PartitionStanding::Deciding;
        self.not_before = Instant(0);
    }

    pub(super) fn settle(&mut self) {
        self.settling = Settling::Asked;
    }

    /// Tells once that nothing is left, if that was asked.
    pub(super) fn tell_if_settled(&mut self, common: &mut DeskCommon) {
        if self.settling == Settling::Asked && self.is_deciding() && self.is_idle() {
            self.settling = Settling::Done;
            common.news.push(OwnershipNews::Settled(self.partition));
        }
    }

    /// It is another node's. Of a batch that may have been executed the other one knows; here it does not count.
    pub(super) fn lose(mut self, common: &mut DeskCommon) {
        if let Some(batch) = &mut self.under_way {
            batch.sent = Sent::InVain;
        }
        self.refuse(common, RegistryError::Superseded);
        common.cache.forget_partition(self.partition);
        common.tails.forget_partition(self.partition);
    }
}

/// Tells a shard what is on record.
pub(super) fn answer_reader(
    common: &mut DeskCommon,
    (shard, key): (ShardId, UserKey),
    answer: Result<Option<StoredRecord>, RegistryError>,
) {
    let now = common.now.wall;
    let record = answer.map(|known| {
        known.map(|mut known| {
            forget_old_ends(&mut known.record, now);
            Box::new(known.record)
        })
    });
    common
        .answers
        .push(Delivery::Shard(shard, ToShard::Loaded(key, record)));
}
