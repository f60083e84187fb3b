//! The batches that a node confirmed lately. A failover may promote a replica that lacks some of them, though that should not be:
//! then they are written again. Bounded for the whole node, by age and by bytes; the oldest go first, whatever partition they are of.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;

use crate::base::ids::PartitionId;
use crate::base::time::Instant;
use crate::services::shared_store::calls::Batch;

/// What a batch takes beside its bytes.
const BATCH_BYTES: usize = 256;

/// How long and how many batches are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailLimits {
    /// Longer than any failover takes, with the time until the old master is given up.
    pub age: Duration,
    /// Of all partitions together.
    pub bytes: usize,
}

impl Default for TailLimits {
    fn default() -> Self {
        Self {
            age: Duration::from_secs(30),
            bytes: 64 << 20,
        }
    }
}

/// The tails of all partitions that a node owns.
#[derive(Debug)]
pub(super) struct Tails {
    limits: TailLimits,
    batches: HashMap<PartitionId, VecDeque<Batch>>,
    /// In the order in which they were confirmed: of one partition as in its own list.
    order: VecDeque<(Instant, PartitionId)>,
    bytes: usize,
}

impl Tails {
    pub(super) fn new(limits: TailLimits) -> Self {
        Self {
            limits,
            batches: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
        }
    }

    /// A batch was confirmed, as the next of its partition.
    pub(super) fn push(&mut self, now: Instant, batch: Batch) {
        self.bytes += bytes_of(&batch);
        self.order.push_back((now, batch.partition));
        self.batches.entry(batch.partition).or_default().push_back(batch);
        self.shrink(now);
    }

    /// Of the batches of a partition that begin behind this place, the one that so many others are before.
    pub(super) fn behind(&self, partition: PartitionId, place: u64, passed: usize) -> Option<&Batch> {
        let batches = self.batches.get(&partition)?;
        batches.get(batches.partition_point(|batch| batch.first <= place) + passed)
    }

    pub(super) fn forget_partition(&mut self, partition: PartitionId) {
        let gone = self.batches.remove(&partition).into_iter().flatten();
        self.bytes -= gone.map(|batch| bytes_of(&batch)).sum::<usize>();
        self.order.retain(|(_, of)| *of != partition);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops what is too old, or too much.
    pub(super) fn shrink(&mut self, now: Instant) {
        while let Some((at, partition)) = self.order.front().copied()
            && (self.bytes > self.limits.bytes || now.since(at) > self.limits.age)
        {
            self.order.pop_front();
            let of = self.batches.get_mut(&partition).expect("it has a batch");
            let batch = of.pop_front().expect("it has a batch");
            self.bytes -= bytes_of(&batch);
            if of.is_empty() {
                self.batches.remove(&partition);
            }
        }
    }
}

fn bytes_of(batch: &Batch) -> usize {
    let records = batch.residents.iter().chain(&batch.others);
    let records: usize = records
        .map(|(user, record)| size_of_val(user) + record.len())
        .sum();
    BATCH_BYTES + batch.changes.len() + records
}
