//! The batches that a node confirmed lately. A failover may promote a replica that lacks some of them, though that should not be:
//! then they are written again. Bounded by age, for each partition, and by bytes, for the whole node: the oldest go first.

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
    /// Counted back from the last batch of a partition. Longer than a replica may lag, and a failover takes.
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
    /// Of each partition in the order in which they were confirmed.
    batches: HashMap<PartitionId, VecDeque<(Instant, Batch)>>,
    bytes: usize,
}

impl Tails {
    pub(super) fn new(limits: TailLimits) -> Self {
        Self {
            limits,
            batches: HashMap::new(),
            bytes: 0,
        }
    }

    /// A batch was confirmed, as the next of its partition.
    pub(super) fn push(&mut self, now: Instant, batch: Batch) {
        let partition = batch.partition;
        self.bytes += bytes_of(&batch);
        self.batches.entry(partition).or_default().push_back((now, batch));
        let age_max = self.limits.age;
        let too_old = |(at, _): &(Instant, Batch)| now.since(*at) > age_max;
        while self.batches[&partition].front().is_some_and(too_old) {
            self.drop_oldest(partition);
        }
        while self.bytes > self.limits.bytes {
            let oldest = self
                .batches
                .iter()
                .filter_map(|(of, batches)| Some((batches.front()?.0, *of)));
            let (_, partition) = oldest.min().expect("what has bytes has a batch");
            self.drop_oldest(partition);
        }
    }

    fn drop_oldest(&mut self, partition: PartitionId) {
        let of = self.batches.get_mut(&partition).expect("it has a batch");
        let (_, batch) = of.pop_front().expect("it has a batch");
        self.bytes -= bytes_of(&batch);
    }

    /// Of the batches of a partition that begin behind this place, the one that so many others are before.
    pub(super) fn behind(&self, partition: PartitionId, place: u64, passed: usize) -> Option<&Batch> {
        let batches = self.batches.get(&partition)?;
        let next = batches.partition_point(|(_, batch)| batch.first <= place);
        batches.get(next + passed).map(|(_, batch)| batch)
    }

    pub(super) fn forget_partition(&mut self, partition: PartitionId) {
        let gone = self.batches.remove(&partition).into_iter().flatten();
        self.bytes -= gone.map(|(_, batch)| bytes_of(&batch)).sum::<usize>();
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn bytes_of(batch: &Batch) -> usize {
    let records = batch.residents.iter().chain(&batch.others);
    let records: usize = records
        .map(|(user, record)| size_of_val(user) + record.len())
        .sum();
    BATCH_BYTES + batch.changes.len() + records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::shared_store::outcome::Fence;

    const AGE_MS: u64 = 30_000;

    fn batch(partition: u16, first: u64) -> Batch {
        Batch {
            partition: PartitionId(partition),
            fence: Fence::none(),
            first,
            count: 1,
            durable: first - 1,
            latest: 0,
            changes: vec![0; 100],
            residents: Vec::new(),
            others: Vec::new(),
            gone: Vec::new(),
        }
    }

    fn first(tails: &Tails, partition: u16) -> Option<u64> {
        tails
            .behind(PartitionId(partition), 0, 0)
            .map(|batch| batch.first)
    }

    #[test]
    fn a_partition_keeps_its_own_last_seconds_however_long_it_is_silent() {
        let mut tails = Tails::new(TailLimits::default());
        tails.push(Instant(0), batch(1, 1));
        tails.push(Instant(0), batch(2, 1));
        tails.push(Instant(AGE_MS), batch(1, 2));
        assert_eq!(first(&tails, 1), Some(1));
        tails.push(Instant(AGE_MS + 1), batch(1, 3));
        assert_eq!((first(&tails, 1), first(&tails, 2)), (Some(2), Some(1)));
    }

    #[test]
    fn the_oldest_of_all_make_room() {
        let room = 3 * bytes_of(&batch(1, 1));
        let limits = TailLimits {
            bytes: room,
            ..TailLimits::default()
        };
        let mut tails = Tails::new(limits);
        for (at, partition, place) in [(0, 1, 1), (1, 2, 1), (2, 2, 2), (3, 3, 1), (4, 3, 2)] {
            tails.push(Instant(at), batch(partition, place));
        }
        let firsts = [1, 2, 3].map(|partition| first(&tails, partition));
        assert_eq!((firsts, tails.bytes()), ([None, Some(2), Some(1)], room));
        tails.forget_partition(PartitionId(3));
        assert_eq!(tails.bytes(), room / 3);
    }
}
