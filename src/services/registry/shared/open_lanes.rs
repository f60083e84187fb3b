//! The lanes of a shared store that are open at this node, for all who read them. Opens none itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::base::ids::PartitionId;
use crate::services::registry::archive::{Archive, ReadableLanes};
use crate::services::registry::shared::lane::SharedLane;
use crate::services::shared_store::calls::SharedStore;

/// The lanes that are open, by their partitions.
type LanesByPartition<S> = BTreeMap<PartitionId, Arc<SharedLane<S>>>;

/// The lanes of a store that are open here. All clones have the same ones.
pub struct OpenLanes<S> {
    store_id: u64,
    partitions: u16,
    lanes: Arc<Mutex<LanesByPartition<S>>>,
}

impl<S> Clone for OpenLanes<S> {
    fn clone(&self) -> Self {
        let lanes = Arc::clone(&self.lanes);
        Self { lanes, ..*self }
    }
}

impl<S> fmt::Debug for OpenLanes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lanes().keys()).finish()
    }
}

impl<S> OpenLanes<S> {
    /// None yet, of a store with so many partitions.
    #[must_use]
    pub fn new(store_id: u64, partitions: u16) -> Self {
        Self {
            store_id,
            partitions,
            lanes: Arc::default(),
        }
    }

    fn lanes(&self) -> MutexGuard<'_, LanesByPartition<S>> {
        self.lanes.lock().expect("nobody panics with it")
    }

    /// The store that they are of.
    #[must_use]
    pub fn store_id(&self) -> u64 {
        self.store_id
    }

    /// The lane of a partition, if it is open.
    #[must_use]
    pub fn get(&self, partition: PartitionId) -> Option<Arc<SharedLane<S>>> {
        self.lanes().get(&partition).cloned()
    }

    /// The partitions whose lanes are open, in their order.
    #[must_use]
    pub fn open(&self) -> Vec<PartitionId> {
        self.lanes().keys().copied().collect()
    }

    /// A lane is open from now on.
    pub fn insert(&self, partition: PartitionId, lane: Arc<SharedLane<S>>) {
        self.lanes().insert(partition, lane);
    }

    /// It is not any more. Gives it, if it was.
    pub fn remove(&self, partition: PartitionId) -> Option<Arc<SharedLane<S>>> {
        self.lanes().remove(&partition)
    }
}

impl<S: SharedStore + Send + 'static> ReadableLanes for OpenLanes<S> {
    fn store_id(&self) -> u64 {
        self.store_id
    }

    fn partitions(&self) -> u16 {
        self.partitions
    }

    fn lane(&self, partition: PartitionId) -> Option<Arc<dyn Archive>> {
        Some(self.get(partition)? as Arc<dyn Archive>)
    }
}
