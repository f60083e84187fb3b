//! What a desk goes by, and what it counts. Plain values.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::logic::record::Callbacks;
use crate::services::registry::shared::tail::TailLimits;
use crate::services::shared_store::settings::CopiesMissing;

/// Room for records: at least as many as the users of a node that change within a minute of a storm.
pub const CACHE_BYTES: usize = 64 << 20;

/// What a desk goes by.
#[derive(Debug, Clone)]
pub struct DeskSettings {
    /// Into how many partitions all users fall.
    pub partitions: u16,
    /// How many replicas must have a change before it is confirmed.
    pub copies: u16,
    /// What happens while fewer have it.
    pub copies_missing: CopiesMissing,
    /// Which changes have a callback, from the next commit on.
    pub callbacks: watch::Receiver<Callbacks>,
    /// What is kept to repair the store with.
    pub tail: TailLimits,
    /// Room for records.
    pub cache_bytes: usize,
}

macro_rules! figures {
    ($($name:ident: $help:literal,)*) => {
        /// What a desk has counted since the start, and (those named `…_now`) how it stands.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct DeskFigures { $(#[doc = $help] pub $name: u64,)* }

        impl DeskFigures {
            /// Name and meaning of each.
            pub const NAMES: &'static [(&'static str, &'static str)] = &[$((stringify!($name), $help),)*];

            /// The numbers, in the order of [`DeskFigures::NAMES`].
            #[must_use]
            pub fn values(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$name,)*]
            }
        }
    };
}

figures! {
    batches: "Batches that were confirmed, with changes, with records alone, or empty.",
    changes: "Changes that were confirmed.",
    loads: "Records that were read for want of room to keep them.",
    retried: "Batches that were sent again.",
    unknown: "Times that nobody knew whether a batch was executed.",
    refused: "Batches that the store did not execute.",
    copies_missing: "Times that a batch was in fewer copies than wanted.",
    behind: "Times that the store lacked what was confirmed.",
    repaired: "Batches that were written again because the store lacked them.",
    fenced: "Batches that were refused in favour of another owner.",
    mismatched: "Commits that did not follow what is on record.",
    partitions_now: "Partitions that this node owns.",
    in_flight_now: "Partitions with a batch that is not confirmed.",
    stopped_now: "Partitions that take no changes: another node may own them, or the store lacks a part of them.",
    waiting_now: "Requests that wait for their batch.",
    tail_bytes_now: "Bytes that are kept to repair the store with.",
    cache_bytes_now: "Bytes of records in memory.",
}

/// The latest figures of a desk, for every thread.
#[derive(Debug, Clone)]
pub struct DeskFiguresView(Arc<[AtomicU64]>);

impl Default for DeskFiguresView {
    fn default() -> Self {
        Self(DeskFigures::NAMES.iter().map(|_| AtomicU64::default()).collect())
    }
}

impl DeskFiguresView {
    /// The numbers, in the order of [`DeskFigures::NAMES`].
    #[must_use]
    pub fn values(&self) -> Vec<u64> {
        self.0
            .iter()
            .map(|number| number.load(Ordering::Relaxed))
            .collect()
    }

    pub(super) fn publish(&self, figures: &DeskFigures) {
        for (known, number) in self.0.iter().zip(figures.values()) {
            known.store(number, Ordering::Relaxed);
        }
    }
}
