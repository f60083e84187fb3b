//! How long something takes, counted in fixed buckets. One thread writes and anyone reads, without a lock and without a
//! read-modify-write: the writer alone knows what it wrote last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets with an upper bound: 4 µs, 8 µs, … 4.2 s, each twice the one before. Turns begin at some µs, and a query or a
/// commit that took longer than 4 s was given up before.
pub const BOUNDS: usize = 21;

/// The first bound: the least that a shard's turn takes here.
const FIRST_BOUND_NS: u64 = 4_000;

/// All buckets: the last one has no bound.
pub const BUCKETS: usize = BOUNDS + 1;

/// The upper bound of a bucket; it is in the bucket itself.
#[must_use]
pub fn bound(bucket: usize) -> Duration {
    assert!(bucket < BOUNDS, "the last bucket has no bound");
    Duration::from_nanos(FIRST_BOUND_NS << bucket)
}

/// The bucket of a duration.
fn bucket_of(nanos: u64) -> usize {
    let steps = nanos.saturating_sub(1) / FIRST_BOUND_NS;
    // 0 steps: the first bucket. From there on each bit is a bucket.
    let bits = (u64::BITS - steps.leading_zeros()) as usize;
    bits.min(BOUNDS)
}

#[derive(Debug, Default)]
struct Shared {
    counts: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

/// The writer's side. There is one: it has no `Clone`.
#[derive(Debug, Default)]
pub struct Histogram(Arc<Shared>);

/// The readers' side.
#[derive(Debug, Clone)]
pub struct HistogramView(Arc<Shared>);

/// What was counted up to one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many fell into each bucket, and into no earlier one.
    pub counts: [u64; BUCKETS],
    /// All durations together, in nanoseconds.
    pub sum_ns: u64,
}

impl Histogram {
    /// Counts `times` times the same duration.
    pub fn record(&mut self, took: Duration, times: u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        add(&self.0.counts[bucket_of(nanos)], times);
        add(&self.0.sum_ns, nanos.saturating_mul(times));
    }

    /// For everyone who reads.
    #[must_use]
    pub fn view(&self) -> HistogramView {
        HistogramView(Arc::clone(&self.0))
    }
}

/// Only the writer adds, so nothing is lost between the two steps.
fn add(number: &AtomicU64, more: u64) {
    let sum = number.load(Ordering::Relaxed).wrapping_add(more);
    number.store(sum, Ordering::Relaxed);
}

impl HistogramView {
    /// What is there now. The numbers of one reading may be of two neighbouring records.
    #[must_use]
    pub fn read(&self) -> Counted {
        Counted {
            counts: std::array::from_fn(|bucket| self.0.counts[bucket].load(Ordering::Relaxed)),
            sum_ns: self.0.sum_ns.load(Ordering::Relaxed),
        }
    }
}

impl Counted {
    /// Both together.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        Self {
            counts: std::array::from_fn(|bucket| self.counts[bucket] + other.counts[bucket]),
            sum_ns: self.sum_ns.wrapping_add(other.sum_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(nanos: u64, expected: usize) {
        let mut histogram = Histogram::default();
        let view = histogram.view();
        histogram.record(Duration::from_nanos(nanos), 1);
        let counts = view.read().counts;
        assert_eq!(
            counts.iter().position(|count| *count == 1),
            Some(expected),
            "{nanos} ns"
        );
    }

    #[test]
    fn a_bound_is_in_its_own_bucket() {
        check(0, 0);
        check(4_000, 0);
        check(4_001, 1);
        check(8_000, 1);
        check(8_001, 2);
        for bucket in 0..BOUNDS {
            let bound = u64::try_from(bound(bucket).as_nanos()).unwrap();
            check(bound, bucket);
            check(bound + 1, bucket + 1);
        }
        check(u64::MAX, BOUNDS);
        assert_eq!(bound(BOUNDS - 1), Duration::from_micros(4_194_304));
    }

    #[test]
    fn what_is_counted_several_times_sums_up() {
        let mut histogram = Histogram::default();
        let view = histogram.view();
        histogram.record(Duration::from_micros(5), 3);
        histogram.record(Duration::from_millis(1), 1);
        let counted = view.read();
        assert_eq!((counted.counts[1], counted.sum_ns), (3, 1_015_000));
        let twice = counted.and(&counted);
        assert_eq!((twice.counts.iter().sum::<u64>(), twice.sum_ns), (8, 2_030_000));
    }
}
