//! How far each partition's confirmed changes go, as the peers have told. Never judges.

use std::collections::BTreeMap;

use crate::base::ids::PartitionId;

/// What the peers have seen confirmed.
#[derive(Debug, Default)]
pub(super) struct Witness(BTreeMap<PartitionId, u64>);

impl Witness {
    pub(super) fn hear(&mut self, partition: PartitionId, position: u64) {
        let known = self.0.entry(partition).or_default();
        *known = position.max(*known);
    }

    /// The highest confirmed position that was told; 0 if none was.
    pub(super) fn position(&self, partition: PartitionId) -> u64 {
        self.0.get(&partition).copied().unwrap_or(0)
    }
}
