//! The partitions that this node holds, takes or gives, each with what it waits for. Decides nothing.

use std::collections::BTreeMap;

use crate::base::ids::PartitionId;
use crate::base::time::Instant;
use crate::services::cluster::tenure::Tenure;
use crate::services::cluster::token::Token;

/// A partition that this node holds, or is about to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holding {
    pub(super) token: Token,
    pub(super) tenure: Tenure,
    /// When its request is to be sent again; `None` while an answer is awaited, or nothing is asked.
    pub(super) again_at: Option<Instant>,
}

/// By partition.
#[derive(Debug, Default)]
pub(super) struct Holdings(BTreeMap<PartitionId, Holding>);

impl Holdings {
    pub(super) fn get(&self, partition: PartitionId) -> Option<Holding> {
        self.0.get(&partition).copied()
    }

    pub(super) fn set(&mut self, partition: PartitionId, token: Token, tenure: Tenure) {
        let holding = Holding {
            token,
            tenure,
            again_at: None,
        };
        self.0.insert(partition, holding);
    }

    pub(super) fn put(&mut self, partition: PartitionId, holding: Holding) {
        self.0.insert(partition, holding);
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&PartitionId, &mut Holding)> {
        self.0.iter_mut()
    }

    pub(super) fn remove(&mut self, partition: PartitionId) {
        self.0.remove(&partition);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn count(&self, is_such: impl Fn(Tenure) -> bool) -> usize {
        self.0.values().filter(|holding| is_such(holding.tenure)).count()
    }

    pub(super) fn with(&self, is_such: impl Fn(Tenure) -> bool) -> Vec<PartitionId> {
        let such = self.0.iter().filter(|(_, holding)| is_such(holding.tenure));
        such.map(|(partition, _)| *partition).collect()
    }
}
