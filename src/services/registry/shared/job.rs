//! What a desk wants of the store at a time, and what came of it. A job takes as long as its slowest call; it decides nothing.

use crate::base::ids::{PartitionId, UserId};
use crate::services::shared_store::calls::{Batch, LoadedRecords, SharedStore};
use crate::services::shared_store::outcome::{Outcome, Vouched};

/// Some users of a partition whose records are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRecords {
    /// Names the call: what came of one that nobody waits for any more is told by it.
    pub ticket: u64,
    /// For what.
    pub purpose: ReadPurpose,
    /// Whose.
    pub partition: PartitionId,
    /// Who, at most [`LOAD_USERS_MAX`](crate::services::shared_store::calls::LOAD_USERS_MAX).
    pub users: Vec<UserId>,
}

/// What records are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPurpose {
    /// For a shard, or to be changed.
    Load,
    /// For the HTTP server.
    Answer,
}

/// Calls that are made together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Job {
    /// At most one of a partition, each with its ticket.
    pub batches: Vec<(u64, Batch)>,
    /// Records to be read.
    pub reads: Vec<WantedRecords>,
}

/// What came of a job, call by call.
#[derive(Debug, Default)]
pub struct JobOutcomes {
    /// Of batches, with ticket and partition.
    pub batches: Vec<(u64, PartitionId, Outcome<Vouched<u64>>)>,
    /// Of reads.
    pub reads: Vec<(WantedRecords, Outcome<Vouched<LoadedRecords>>)>,
}

impl Job {
    /// Whether nothing is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.reads.is_empty()
    }

    /// Makes all calls.
    pub fn run(mut self, store: &mut (impl SharedStore + ?Sized)) -> JobOutcomes {
        let (tickets, round): (Vec<u64>, Vec<Batch>) = self.batches.into_iter().unzip();
        let mut outcomes = JobOutcomes::default();
        if !round.is_empty() {
            let recorded = tickets.into_iter().zip(&round).zip(store.commit(&round));
            let recorded = recorded.map(|((ticket, batch), outcome)| (ticket, batch.partition, outcome));
            outcomes.batches = recorded.collect();
        }
        if !self.reads.is_empty() {
            let users = |wanted: &mut WantedRecords| (wanted.partition, std::mem::take(&mut wanted.users));
            let wanted: Vec<_> = self.reads.iter_mut().map(users).collect();
            let read = store.load(&wanted);
            let reads = self.reads.into_iter().zip(wanted);
            let reads = reads.map(|(read, (_, users))| WantedRecords { users, ..read });
            outcomes.reads = reads.zip(read).collect();
        }
        outcomes
    }
}
