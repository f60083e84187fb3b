//! The lanes of the partitions that this node owns: hears what the member orders of the registry, opens each partition's lane for
//! callbacks and readers, and closes it again. Takes old changes out of the lanes, and has old accounts be forgotten. Decides nothing.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use crate::base::ids::PartitionId;
use crate::base::time::{Clock, Timestamp, millis};
use crate::services::callback::CallbackHandle;
use crate::services::registry::archive::Position;
use crate::services::registry::shared::lane::{LaneSource, SharedLane};
use crate::services::registry::shared::lane_forget::LaneForgetPass;
use crate::services::registry::shared::lane_prune::PruneLeft;
use crate::services::registry::shared::open_lanes::OpenLanes;
use crate::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipOrder};
use crate::services::shared_store::client::RedisStore;
use crate::services::shared_store::outcome::Fence;

/// When a lane that could not be opened is tried again.
const OPEN_AGAIN: Duration = Duration::from_millis(200);

/// When it is looked again whether the registry has a partition.
const REGISTRY_AGAIN: Duration = Duration::from_millis(5);

/// How often some changes of one lane are taken out. All lanes of a node have their turn within a minute or so.
const PRUNE_EVERY: Duration = Duration::from_millis(250);

/// Opens lanes, and knows which there are.
pub(super) struct LaneKeeper {
    clock: Clock,
    kept: RecordsKept,
    /// Where the pass over the users of each lane stands.
    passes: BTreeMap<PartitionId, LaneForgetPass>,
    /// The lane whose old changes were taken out last.
    pruned: PartitionId,
    /// When there is something to do again.
    rest: Duration,
    confirmed: ConfirmedPlaces,
    copies: u16,
    callbacks: CallbackHandle,
    /// All lanes share a client.
    store: Arc<Mutex<RedisStore>>,
    open: OpenLanes<RedisStore>,
    waiting: BTreeMap<PartitionId, WaitingLane>,
    /// The lane that was to be opened last: one that cannot be keeps no other waiting.
    tried: PartitionId,
}

/// How long what is kept.
pub(super) struct RecordsKept {
    pub(super) changes: Duration,
    pub(super) deleted: Duration,
}

/// A lane that is to be opened.
struct WaitingLane {
    fence: Fence,
    /// What was recorded before this node owned the partition: the registry knows of it before the lane is open, or else the lane would
    /// seem to end before places that readers know.
    recorded: Position,
}

impl LaneKeeper {
    pub(super) fn new(
        client: impl Fn() -> RedisStore + Send + 'static,
        confirmed: ConfirmedPlaces,
        (open, copies): (OpenLanes<RedisStore>, u16),
        callbacks: CallbackHandle,
        (clock, kept): (Clock, RecordsKept),
    ) -> Self {
        Self {
            clock,
            kept,
            passes: BTreeMap::new(),
            pruned: PartitionId(u16::MAX),
            rest: PRUNE_EVERY,
            store: Arc::new(Mutex::new(client())),
            confirmed,
            copies,
            callbacks,
            open,
            waiting: BTreeMap::new(),
            tried: PartitionId(u16::MAX),
        }
    }

    /// Starts its thread, which hears what the registry is ordered, and orders it to forget accounts. It ends when nobody else can
    /// order anything any more.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(
        mut self,
        registry: Sender<OwnershipOrder>,
    ) -> io::Result<(Sender<OwnershipOrder>, JoinHandle<()>)> {
        let (orders, ordered) = unbounded();
        let thread = std::thread::Builder::new()
            .name("lanes".to_owned())
            .spawn(move || self.run(&ordered, &registry))?;
        Ok((orders, thread))
    }

    fn run(&mut self, orders: &Receiver<OwnershipOrder>, registry: &Sender<OwnershipOrder>) {
        loop {
            match orders.recv_timeout(self.rest) {
                Ok(order) => {
                    self.follow(order);
                    self.rest = Duration::ZERO;
                }
                // One lane at a time, so that an order waits for one call at most.
                Err(RecvTimeoutError::Timeout) => {
                    self.rest = self.open_next().unwrap_or_else(|| {
                        self.forget_next(registry);
                        self.prune_next()
                    })
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn follow(&mut self, order: OwnershipOrder) {
        match order {
            OwnershipOrder::Own(partition, fence, places) => {
                self.close(partition);
                let recorded = Position(places.seq);
                self.waiting.insert(partition, WaitingLane { fence, recorded });
            }
            OwnershipOrder::Resume(partition, fence) => match self.open.get(partition) {
                Some(lane) => lane.resume(fence),
                None => {
                    let waiting = self.waiting.get(&partition);
                    let recorded = waiting.map_or(Position(0), |waiting| waiting.recorded);
                    self.waiting.insert(partition, WaitingLane { fence, recorded });
                }
            },
            // What is not told yet is for whoever has it next.
            OwnershipOrder::Settle(partition) | OwnershipOrder::Lose(partition) => {
                self.passes.remove(&partition);
                self.waiting.remove(&partition);
                self.close(partition);
            }
            OwnershipOrder::Forget(..) => {}
        }
    }

    fn close(&self, partition: PartitionId) {
        if self.open.remove(partition).is_some() {
            self.callbacks.lose(partition);
            self.confirmed.tell_again();
        }
    }

    /// Opens the next lane that waits, if one does. Gives when there is something to do again.
    fn open_next(&mut self) -> Option<Duration> {
        let mut behind = self
            .waiting
            .range((Bound::Excluded(self.tried), Bound::Unbounded));
        let next = behind.next().or_else(|| self.waiting.first_key_value());
        self.tried = *next?.0;
        let (partition, waiting) = self.waiting.remove_entry(&self.tried)?;
        if self.confirmed.of(partition) < waiting.recorded {
            self.waiting.insert(partition, waiting);
            return Some(REGISTRY_AGAIN);
        }
        let source = LaneSource {
            store: Arc::clone(&self.store),
            partition,
            fence: waiting.fence.clone(),
            store_id: self.open.store_id(),
            copies: self.copies,
            confirmed: self.confirmed.clone(),
        };
        Some(match SharedLane::open(source) {
            Ok(lane) => {
                let lane = Arc::new(lane);
                self.open.insert(partition, Arc::clone(&lane));
                self.callbacks.gain(partition, lane);
                self.passes.entry(partition).or_default();
                self.confirmed.tell_again();
                Duration::ZERO
            }
            Err(error) => {
                tracing::debug!(%error, partition = partition.0, "callbacks and readers wait: the partition's lane cannot be opened");
                self.waiting.insert(partition, waiting);
                OPEN_AGAIN
            }
        })
    }

    /// Looks at some users of the first lane whose pass is due, and has the registry forget whom it finds.
    fn forget_next(&mut self, registry: &Sender<OwnershipOrder>) {
        let now = self.clock.now().wall;
        let mut due = self.passes.iter_mut().filter(|(_, pass)| pass.is_due(now));
        let next = due.find_map(|(partition, pass)| Some((partition, self.open.get(*partition)?, pass)));
        let Some((partition, lane, pass)) = next else {
            return;
        };
        match lane.look_for_deleted(pass, now, millis(self.kept.deleted)) {
            Ok(candidates) => {
                for some in candidates {
                    let _ = registry.send(OwnershipOrder::Forget(*partition, some));
                }
            }
            Err(error) => {
                tracing::debug!(%error, partition = partition.0, "deleted accounts stay: the partition's lane cannot be used");
                pass.put_off(now);
            }
        }
    }

    /// Takes some old changes out of the next lane. Gives when there is something to do again.
    fn prune_next(&mut self) -> Duration {
        let open = self.open.open();
        let next = open.iter().find(|partition| **partition > self.pruned);
        let next = next.or(open.first()).copied();
        let Some((partition, lane)) = next.and_then(|next| Some((next, self.open.get(next)?))) else {
            return PRUNE_EVERY;
        };
        let now = self.clock.now().wall;
        match lane.prune(Timestamp(now.0.saturating_sub(millis(self.kept.changes)))) {
            Ok(PruneLeft::Some) => {}
            Ok(PruneLeft::Nothing) => self.pruned = partition,
            Err(error) => {
                tracing::debug!(%error, partition = partition.0, "old changes stay: the partition's lane cannot be used");
                self.pruned = partition;
            }
        }
        PRUNE_EVERY
    }
}
