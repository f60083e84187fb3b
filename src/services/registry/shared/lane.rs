//! The lane of one partition that this node owns, in the shared store. Its calls block, and several threads may make them. Shows only
//! what is confirmed, and takes what it reads for the lane's only if the store names this node's fence with it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::base::ids::{PartitionId, UserId};
use crate::services::registry::archive::{Placed, Position, ReadError};
use crate::services::registry::codec::ChainedChange;
use crate::services::registry::shared::batch_codec::decode_batch;
use crate::services::registry::shared::listed_names::ListedNames;
use crate::services::registry::shared::ownership::ConfirmedPlaces;
use crate::services::registry::shared::step_line::StepLine;
use crate::services::shared_store::calls::{PLACES_MAX, RecordHash, SharedStore, Snapshot};
use crate::services::shared_store::outbox::OutboxCounts;
use crate::services::shared_store::outcome::{Fence, Outcome, SharedStoreError};

/// Batches of the first look into the stream; each further one takes twice as many.
const BATCHES_FIRST: u32 = 8;
const BATCHES_MAX: u32 = 512;

/// What a lane goes by.
pub struct LaneSource<S> {
    /// A client, which lanes may share: a call of one waits for that of another.
    pub store: Arc<Mutex<S>>,
    /// Which partition's.
    pub partition: PartitionId,
    /// Under which fence this node owns it.
    pub fence: Fence,
    /// The id of the store.
    pub store_id: u64,
    /// How many replicas must have something before it is safe.
    pub copies: u16,
    /// Up to where each partition is confirmed.
    pub confirmed: ConfirmedPlaces,
}

/// The lane of a partition.
pub struct SharedLane<S> {
    source: LaneSource<S>,
    fence: Mutex<Fence>,
    pub(super) outbox: Mutex<LaneOutbox>,
    pub(super) late_count: AtomicU64,
    pub(super) dead_count: AtomicU64,
    pub(super) names: Mutex<ListedNames>,
}

/// What the callback service's side of a lane knows. Only one lane of a partition may take steps.
#[derive(Debug)]
pub(super) struct LaneOutbox {
    pub(super) line: StepLine,
    pub(super) cursor: Position,
    /// When the first late user is due, and when the last, or perhaps earlier and later: only this lane schedules.
    pub(super) turns: Option<(u64, u64)>,
}

impl<S> fmt::Debug for SharedLane<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedLane({})", self.source.partition.0)
    }
}

impl<S: SharedStore> SharedLane<S> {
    /// Reads where the outbox stands.
    ///
    /// # Errors
    /// If the store cannot be read, or names another owner.
    pub fn open(source: LaneSource<S>) -> Result<Self, ReadError> {
        let (partition, copies) = (source.partition, source.copies);
        let lane = Self {
            fence: Mutex::new(source.fence.clone()),
            outbox: Mutex::new(LaneOutbox {
                line: StepLine::new(partition, copies, 0),
                cursor: Position(0),
                turns: None,
            }),
            late_count: AtomicU64::new(0),
            dead_count: AtomicU64::new(0),
            names: Mutex::new(ListedNames::default()),
            source,
        };
        let turns = lane.read(|store| store.turns(partition, 0, u64::MAX, 0))?;
        let counts = lane.read(|store| store.outbox_counts(partition))?;
        lane.count(counts.value);
        let places = counts.seen.places;
        {
            let mut outbox = lane.outbox();
            outbox.line = StepLine::new(partition, copies, places.steps);
            outbox.cursor = Position(places.cursor);
            outbox.turns = turns.value.span;
        }
        Ok(lane)
    }

    /// This node owns the partition under another fence, and nobody else did in between.
    pub fn resume(&self, fence: Fence) {
        *self.fence.lock().expect("nobody panics with it") = fence;
    }

    pub(super) fn source(&self) -> &LaneSource<S> {
        &self.source
    }

    pub(super) fn fence(&self) -> Fence {
        self.fence.lock().expect("nobody panics with it").clone()
    }

    pub(super) fn confirmed(&self) -> Position {
        self.source.confirmed.of(self.source.partition)
    }

    pub(super) fn outbox(&self) -> MutexGuard<'_, LaneOutbox> {
        self.outbox.lock().expect("nobody panics while taking steps")
    }

    pub(super) fn count(&self, counts: OutboxCounts) {
        self.late_count.store(counts.late, Ordering::Release);
        self.dead_count.store(counts.dead, Ordering::Release);
    }

    /// Makes a call.
    pub(super) fn call<T>(&self, call: impl FnOnce(&mut S) -> Outcome<T>) -> Result<T, ReadError> {
        let mut store = self.source.store.lock().expect("a call does not panic");
        call(&mut store).map_err(unreadable)
    }

    /// Reads what is the lane's own.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&mut S) -> Outcome<Snapshot<T>>,
    ) -> Result<Snapshot<T>, ReadError> {
        let snapshot = self.call(read)?;
        self.own(&snapshot.seen.fence)?;
        Ok(snapshot)
    }

    /// What was read under this fence is this node's.
    pub(super) fn own(&self, fence: &Fence) -> Result<(), ReadError> {
        match *fence == self.fence() {
            true => Ok(()),
            false => Err(unreadable(SharedStoreError::Fenced(fence.clone()))),
        }
    }

    /// Confirmed changes behind `after` without a gap, at least one and at most `count_max`. There must be one.
    pub(super) fn stretch(&self, after: Position, count_max: usize) -> Result<Vec<Placed>, ReadError> {
        let (last, partition) = (self.confirmed(), self.source.partition);
        let (mut changes, mut batches_max) = (Vec::new(), BATCHES_FIRST);
        let mut next = after.0 + 1;
        while next <= last.0 && changes.len() < count_max {
            let part = self.read(|store| store.stream(partition, next - 1, batches_max))?;
            let pruned = Position(part.seen.places.pruned);
            let from = next;
            for (place, link) in links(part.value)? {
                if place == next && place <= last.0 && changes.len() < count_max {
                    changes.push(link.placed(Position(place)));
                    next += 1;
                }
            }
            match (next == from, changes.is_empty()) {
                (true, true) if next <= pruned.0 => return Err(ReadError::Pruned(pruned)),
                (true, true) => return Err(missing(next)),
                (true, false) => break,
                (false, _) => batches_max = (2 * batches_max).min(BATCHES_MAX),
            }
        }
        Ok(changes)
    }

    /// The changes at these places, ascending; `None` for those that are gone.
    pub(super) fn changes_at(&self, places: &[u64]) -> Result<Vec<Option<ChainedChange>>, ReadError> {
        let mut found = Vec::with_capacity(places.len());
        for wanted in places.chunks(PLACES_MAX) {
            let read = self.read(|store| store.batches(self.source.partition, wanted))?;
            let mut links = links(read.value)?.into_iter().peekable();
            for place in wanted {
                while links.next_if(|(at, _)| at < place).is_some() {}
                let link = links.next_if(|(at, _)| at == place);
                if link.is_none() && *place > read.seen.places.pruned {
                    return Err(missing(*place));
                }
                found.push(link.map(|(_, link)| link));
            }
        }
        Ok(found)
    }

    /// Hands over all users of a hash, some perhaps twice.
    pub(super) fn scan(
        &self,
        hash: RecordHash,
        mut take: impl FnMut(UserId, &[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let mut from = Some(0);
        while let Some(at) = from {
            let part = self.call(|store| store.scan(self.source.partition, hash, at, SCAN_USERS))?;
            for (user, record) in &part.users {
                take(*user, record)?;
            }
            from = part.next;
        }
        Ok(())
    }
}

/// Users of one step of a scan, about.
pub(super) const SCAN_USERS: u32 = 1_000;

/// Changes of batches with their places.
pub(super) fn links(batches: Vec<(u64, Vec<u8>)>) -> Result<Vec<(u64, ChainedChange)>, ReadError> {
    let mut links = Vec::new();
    for (first, changes) in batches {
        links.extend((first..).zip(decode_batch(&changes)?));
    }
    Ok(links)
}

/// What should be there is not: a master was asked that was deposed, or what a failover lost is not written again yet.
fn missing(place: u64) -> ReadError {
    ReadError::Store(format!("the shared store lacks the change at {place}"))
}

fn unreadable(error: SharedStoreError) -> ReadError {
    ReadError::Store(error.to_string())
}

#[cfg(test)]
mod tests;
