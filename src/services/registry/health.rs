//! How the registry is, for everyone who asks, and in the log: one line when it begins to fail or to be slow, one when that is
//! over, whatever happens in between. Never does anything about it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::time::{Instant, Timestamp};

/// How long a store must not have failed before it is said to be well again: one that fails now and then is one that fails.
pub const WELL_AFTER_MS: u64 = 5_000;

/// A batch that takes longer is told: a login should not take longer than a person notices.
const SLOW: Duration = Duration::from_secs(1);

/// How long no batch must have been slow before the registry is said to keep up again.
const FAST_AFTER: Duration = Duration::from_secs(10);

/// How the registry is, for everyone.
#[derive(Debug, Clone, Default)]
pub struct RegistryHealth(Arc<HealthCounts>);

#[derive(Debug, Default)]
struct HealthCounts {
    memory_bytes: AtomicU64,
    commits: AtomicU64,
    batches: AtomicU64,
    /// 0 while it can write; else since when it cannot, in Unix milliseconds.
    failing_since: AtomicU64,
    failures: AtomicU64,
    /// The latest time on record that was seen, in Unix milliseconds.
    latest_at: AtomicU64,
    damaged_reads: AtomicU64,
    lost_changes: AtomicU64,
    forgotten_accounts: AtomicU64,
    told: Mutex<Told>,
}

/// What was said in the log: one line when the store begins to fail, one when it is well again, whatever happens in between.
#[derive(Debug, Default)]
struct Told {
    failing: Option<Timestamp>,
    last_failed: Timestamp,
    failures: u64,
}

impl RegistryHealth {
    /// Bytes that the records, or a store's caches, take in memory.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.0.memory_bytes.load(Ordering::Relaxed)
    }

    /// Since when nothing can be recorded, if that is so.
    #[must_use]
    pub fn failing_since(&self) -> Option<Timestamp> {
        let since = self.0.failing_since.load(Ordering::Relaxed);
        (since != 0).then_some(Timestamp(since))
    }

    /// Commits that were recorded, batches that they were written in, and how often the store failed.
    #[must_use]
    pub fn counts(&self) -> [u64; 3] {
        let numbers = &self.0;
        [&numbers.commits, &numbers.batches, &numbers.failures].map(|number| number.load(Ordering::Relaxed))
    }

    /// A change of this time is on record.
    pub fn note_time(&self, at: Timestamp) {
        self.0.latest_at.fetch_max(at.0, Ordering::Relaxed);
    }

    /// By how much the clock, which says `now`, is behind what is on record.
    #[must_use]
    pub fn clock_behind(&self, now: Timestamp) -> Duration {
        let latest = self.0.latest_at.load(Ordering::Relaxed);
        Duration::from_millis(latest.saturating_sub(now.0))
    }

    pub(super) fn set_memory(&self, bytes: u64) {
        self.0.memory_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn wrote(&self, commits: u64) {
        self.0.commits.fetch_add(commits, Ordering::Relaxed);
        self.0.batches.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fail(&self, now: Timestamp, error: &impl fmt::Display) {
        self.0.failures.fetch_add(1, Ordering::Relaxed);
        let since = &self.0.failing_since;
        let _ = since.compare_exchange(0, now.0.max(1), Ordering::Relaxed, Ordering::Relaxed);
        let mut told = self.0.told.lock().expect("nobody panics while telling");
        told.last_failed = now;
        told.failures += 1;
        if told.failing.is_none() {
            told.failing = Some(now);
            tracing::warn!(%error, "the registry fails: nothing is recorded until it is well again");
        }
    }

    /// Says that the store is well again, when it has not failed for [`WELL_AFTER_MS`].
    pub(super) fn tell_if_well(&self, now: Timestamp) {
        let mut told = self.0.told.lock().expect("nobody panics while telling");
        let well = self.failing_since().is_none() && now.0 >= told.last_failed.0 + WELL_AFTER_MS;
        if let Some(since) = told.failing.filter(|_| well) {
            let (failures, seconds) = (told.failures, (told.last_failed.0 - since.0) / 1_000);
            *told = Told::default();
            tracing::info!(failures, seconds, "the registry is well again");
        }
    }

    /// Reads that found damage, and changes that are lost by it.
    #[must_use]
    pub fn damage(&self) -> [u64; 2] {
        let numbers = &self.0;
        [&numbers.damaged_reads, &numbers.lost_changes].map(|number| number.load(Ordering::Relaxed))
    }

    /// Deleted accounts whose records went by their age.
    #[must_use]
    pub fn forgotten_accounts(&self) -> u64 {
        self.0.forgotten_accounts.load(Ordering::Relaxed)
    }

    pub(super) fn forgot(&self, count: u64) {
        self.0.forgotten_accounts.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn met_damage(&self) {
        self.0.damaged_reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost_changes(&self, count: u64) {
        self.0.lost_changes.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn recover(&self) {
        self.0.failing_since.store(0, Ordering::Relaxed);
    }
}

/// Whether batches are slow, as it was told.
#[derive(Debug, Default)]
pub(super) struct BatchPace {
    /// The last slow batch, since it was told that they are slow.
    slow_at: Option<Instant>,
    slow: u64,
}

impl BatchPace {
    pub(super) fn note(&mut self, now: Instant, took: Duration, commits: usize) {
        if took < SLOW {
            return self.tell_if_fast(now);
        }
        if self.slow_at.is_none() {
            tracing::warn!(?took, commits, "the registry is slow: a batch took long");
        }
        self.slow_at = Some(now);
        self.slow += 1;
    }

    pub(super) fn tell_if_fast(&mut self, now: Instant) {
        if self.slow_at.is_some_and(|at| now.since(at) >= FAST_AFTER) {
            tracing::info!(slow_batches = self.slow, "the registry keeps up again");
            *self = Self::default();
        }
    }
}
