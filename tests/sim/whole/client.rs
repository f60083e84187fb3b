//! A client of the shared store, for one thread of a node: each call as what servers are asked.

use std::sync::{Arc, Mutex};

use super::servers::{Called, ClientKind, Servers, StoreAnswer, StoreCall};
use crate::base::ids::{PartitionId, UserId};
use crate::services::registry::shared::tests::model::ModelStore;
use crate::services::registry::shared::workers::StoreClient;
use crate::services::shared_store::calls::{
    Batch, Beaten, Claim, Claimed, Founding, IfSeen, LoadedRecords, NodeBeat, NodeEntry, Opaque, OwnerMap,
    PartitionSeen, RecordHash, Scanned, SharedStore, Snapshot,
};
use crate::services::shared_store::outbox::{
    KeptBatches, KeptTurns, LateMember, OutboxCounts, StepGroup, StepsTaken,
};
use crate::services::shared_store::outcome::{Confirmation, Fence, Outcome, Vouched};

/// Where nodes and the map are kept.
const CONTROL: usize = 0;

#[derive(Clone)]
pub(super) struct SimulatedClient {
    pub(super) servers: Arc<Mutex<Servers>>,
    pub(super) node: usize,
    pub(super) kind: ClientKind,
}

impl SimulatedClient {
    fn servers(&self) -> std::sync::MutexGuard<'_, Servers> {
        self.servers.lock().expect("nobody panics with it")
    }

    fn group(&self, partition: PartitionId) -> usize {
        self.servers().group_of(partition)
    }

    fn call<T: Send + 'static>(
        &self,
        group: usize,
        only_reads: bool,
        run: impl Fn(&mut ModelStore) -> Outcome<T> + Send + Sync + 'static,
    ) -> Called<T> {
        let run = move |store: &mut ModelStore| {
            let outcome = run(store);
            StoreAnswer {
                is_done: outcome.is_ok(),
                value: Box::new(outcome),
            }
        };
        let call = StoreCall {
            run: Arc::new(run),
            only_reads,
        };
        self.servers().call((self.node, self.kind), group, call)
    }

    fn write<T: Send + 'static>(
        &self,
        group: usize,
        run: impl Fn(&mut ModelStore) -> Outcome<Vouched<T>> + Send + Sync + 'static,
    ) -> Outcome<Vouched<T>> {
        let called = self.call(group, false, run);
        called.map(|(vouched, copies)| Vouched { copies, ..vouched })
    }

    fn read<T: Send + 'static>(
        &self,
        group: usize,
        run: impl Fn(&mut ModelStore) -> Outcome<T> + Send + Sync + 'static,
    ) -> Outcome<T> {
        self.call(group, true, run).map(|(value, _)| value)
    }

    /// Calls that are made at once take as long as the slowest of them.
    fn at_once<T>(&self, calls: impl Iterator<Item = T>) -> Vec<T> {
        let mut longest = self.servers().take_spent();
        let before = longest;
        let outcomes = calls.inspect(|_| longest = longest.max(before + self.servers().take_spent()));
        let outcomes = outcomes.collect();
        self.servers().spend(longest);
        outcomes
    }
}

impl StoreClient for SimulatedClient {
    fn master_of(&self, _: PartitionId) -> Option<String> {
        None
    }
}

impl SharedStore for SimulatedClient {
    fn create(&mut self, founding: &Founding) -> Outcome<Vouched<Founding>> {
        let founding = founding.clone();
        self.write(CONTROL, move |store| store.create(&founding))
    }

    fn founding(&mut self) -> Outcome<Option<Founding>> {
        self.read(CONTROL, ModelStore::founding)
    }

    fn join(&mut self, node: &str, seen: Option<&NodeEntry>, says: &[u8]) -> Outcome<Vouched<IfSeen<u64>>> {
        let (node, seen, says) = (node.to_owned(), seen.cloned(), says.to_vec());
        self.write(CONTROL, move |store| store.join(&node, seen.as_ref(), &says))
    }

    fn beat(&mut self, beat: &NodeBeat) -> Outcome<Vouched<Beaten>> {
        let beat = beat.clone();
        self.write(CONTROL, move |store| store.beat(&beat))
    }

    fn bury(&mut self, node: &str, seen: &NodeEntry) -> Outcome<Vouched<IfSeen<()>>> {
        let (node, seen) = (node.to_owned(), seen.clone());
        self.write(CONTROL, move |store| store.bury(&node, &seen))
    }

    fn leave(&mut self, node: &str, incarnation: u64) -> Outcome<Vouched<IfSeen<()>>> {
        let node = node.to_owned();
        self.write(CONTROL, move |store| store.leave(&node, incarnation))
    }

    fn nodes(&mut self) -> Outcome<Vec<(String, NodeEntry)>> {
        self.read(CONTROL, ModelStore::nodes)
    }

    fn publish(&mut self, partition: PartitionId, fence: &Fence) -> Outcome<Vouched<u64>> {
        let fence = fence.clone();
        self.write(CONTROL, move |store| store.publish(partition, &fence))
    }

    fn map(&mut self) -> Outcome<OwnerMap> {
        self.read(CONTROL, ModelStore::map)
    }

    fn claim(&mut self, claim: &Claim) -> Outcome<Vouched<Claimed>> {
        let claim = claim.clone();
        self.write(self.group(claim.partition), move |store| store.claim(&claim))
    }

    fn release(&mut self, partition: PartitionId, fence: &Fence, next: &str) -> Outcome<Vouched<u64>> {
        let (fence, next) = (fence.clone(), next.to_owned());
        self.write(self.group(partition), move |store| {
            store.release(partition, &fence, &next)
        })
    }

    fn look(&mut self, partition: PartitionId) -> Outcome<Vouched<PartitionSeen>> {
        self.write(self.group(partition), move |store| store.look(partition))
    }

    fn commit(&mut self, round: &[Batch]) -> Vec<Outcome<Vouched<u64>>> {
        let one = |batch: &Batch| {
            let (group, batch) = (self.group(batch.partition), batch.clone());
            self.write(group, move |store| {
                store.commit(std::slice::from_ref(&batch)).remove(0)
            })
        };
        self.at_once(round.iter().map(one))
    }

    fn steps(&mut self, _: &StepGroup, _: Confirmation) -> Outcome<Vouched<StepsTaken>> {
        unreachable!("nobody calls back")
    }

    fn prune(&mut self, _: PartitionId, _: &Fence, _: u64) -> Outcome<Vouched<u64>> {
        unreachable!("nobody prunes")
    }

    fn accept_loss(&mut self, partition: PartitionId, fence: &Fence, last: u64) -> Outcome<Vouched<u64>> {
        let fence = fence.clone();
        self.write(self.group(partition), move |store| {
            store.accept_loss(partition, &fence, last)
        })
    }

    fn load(&mut self, wanted: &[(PartitionId, Vec<UserId>)]) -> Vec<Outcome<Vouched<LoadedRecords>>> {
        let one = |wanted: &(PartitionId, Vec<UserId>)| {
            let (group, wanted) = (self.group(wanted.0), wanted.clone());
            self.write(group, move |store| {
                store.load(std::slice::from_ref(&wanted)).remove(0)
            })
        };
        self.at_once(wanted.iter().map(one))
    }

    fn scan(&mut self, partition: PartitionId, hash: RecordHash, from: u64, count: u32) -> Outcome<Scanned> {
        let spent = self.servers().random.u64(1..40);
        self.servers().spend(spent);
        self.read(self.group(partition), move |store| {
            store.scan(partition, hash, from, count)
        })
    }

    fn stream(&mut self, _: PartitionId, _: u64, _: u32) -> Outcome<Snapshot<KeptBatches>> {
        unreachable!("nobody reads lanes")
    }

    fn batches(&mut self, _: PartitionId, _: &[u64]) -> Outcome<Snapshot<KeptBatches>> {
        unreachable!("nobody reads lanes")
    }

    fn turns(&mut self, _: PartitionId, _: u64, _: u64, _: u32) -> Outcome<Snapshot<KeptTurns>> {
        unreachable!("nobody calls back")
    }

    fn turn(&mut self, _: PartitionId, _: &UserId) -> Outcome<Snapshot<Option<Opaque>>> {
        unreachable!("nobody calls back")
    }

    fn late(&mut self, _: PartitionId, _: u64, _: u32) -> Outcome<Snapshot<Vec<LateMember>>> {
        unreachable!("nobody calls back")
    }

    fn late_of(&mut self, _: PartitionId, _: &UserId, _: u64, _: u32) -> Outcome<Snapshot<Vec<u64>>> {
        unreachable!("nobody calls back")
    }

    fn dead(&mut self, _: PartitionId, _: u64, _: u32) -> Outcome<Snapshot<Vec<(u64, Opaque)>>> {
        unreachable!("nobody calls back")
    }

    fn outbox_counts(&mut self, _: PartitionId) -> Outcome<Snapshot<OutboxCounts>> {
        unreachable!("nobody calls back")
    }
}
