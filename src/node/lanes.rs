//! The callbacks of the partitions that this node owns: hears what the member orders of the registry, gives the callback service each
//! partition's lane, and takes it away again. Decides nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use crate::base::ids::PartitionId;
use crate::services::callback::CallbackHandle;
use crate::services::registry::shared::lane::{LaneSource, SharedLane};
use crate::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipOrder};
use crate::services::shared_store::client::RedisStore;
use crate::services::shared_store::outcome::Fence;

/// When a lane that could not be opened is tried again.
const OPEN_AGAIN: Duration = Duration::from_millis(200);

/// Opens lanes, and knows which there are.
pub(super) struct LaneKeeper {
    confirmed: ConfirmedPlaces,
    copies: u16,
    store_id: u64,
    callbacks: CallbackHandle,
    /// All lanes share a client.
    store: Arc<Mutex<RedisStore>>,
    open: BTreeMap<PartitionId, Arc<SharedLane<RedisStore>>>,
    waiting: BTreeMap<PartitionId, Fence>,
}

impl LaneKeeper {
    pub(super) fn new(
        client: impl Fn() -> RedisStore + Send + 'static,
        confirmed: ConfirmedPlaces,
        (store_id, copies): (u64, u16),
        callbacks: CallbackHandle,
    ) -> Self {
        Self {
            store: Arc::new(Mutex::new(client())),
            confirmed,
            copies,
            store_id,
            callbacks,
            open: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Starts its thread, which hands every order on to the registry. It ends when nobody can order anything any more.
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
            let order = match self.waiting.is_empty() {
                true => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => orders.recv_timeout(OPEN_AGAIN),
            };
            match order {
                Ok(order) => {
                    // The registry waits for nobody's callbacks.
                    let _ = registry.send(order.clone());
                    self.follow(order);
                }
                Err(RecvTimeoutError::Timeout) => self.open_waiting(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn follow(&mut self, order: OwnershipOrder) {
        match order {
            OwnershipOrder::Own(partition, fence, _) => {
                self.waiting.insert(partition, fence);
            }
            OwnershipOrder::Resume(partition, fence) => match self.open.get(&partition) {
                Some(lane) => lane.resume(fence),
                None => _ = self.waiting.insert(partition, fence),
            },
            // What is not told yet is for whoever has it next.
            OwnershipOrder::Settle(partition) | OwnershipOrder::Lose(partition) => {
                self.waiting.remove(&partition);
                if self.open.remove(&partition).is_some() {
                    self.callbacks.lose(partition);
                }
            }
        }
    }

    fn open_waiting(&mut self) {
        for (partition, fence) in std::mem::take(&mut self.waiting) {
            let source = LaneSource {
                store: Arc::clone(&self.store),
                partition,
                fence: fence.clone(),
                store_id: self.store_id,
                copies: self.copies,
                confirmed: self.confirmed.clone(),
            };
            match SharedLane::open(source) {
                Ok(lane) => {
                    let lane = Arc::new(lane);
                    self.open.insert(partition, Arc::clone(&lane));
                    self.callbacks.gain(partition, lane);
                }
                Err(error) => {
                    tracing::debug!(%error, partition = partition.0, "callbacks wait: the partition's lane cannot be opened");
                    self.waiting.insert(partition, fence);
                }
            }
        }
    }
}
