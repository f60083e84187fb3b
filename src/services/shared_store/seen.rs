//! What a partition was at one moment: who owned it, where it stood, and what was read of it. Plain data.

use crate::services::shared_store::outcome::Fence;

/// Bytes that only who wrote them understands.
pub type Opaque = Vec<u8>;

/// Where a partition stands. All 0 if nothing was ever written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Places {
    /// The place of its last change.
    pub seq: u64,
    /// Up to here all is confirmed, as its owner knew it last.
    pub durable: u64,
    /// Up to here changes are gone.
    pub pruned: u64,
    /// Up to here callbacks are delivered, late or dead.
    pub cursor: u64,
    /// The highest date of a change, in ms since 1970.
    pub latest: u64,
    /// The last group of steps of the outbox.
    pub steps: u64,
}

/// What a look sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionSeen {
    /// Who owns it.
    pub fence: Fence,
    /// Where it stands.
    pub places: Places,
}

/// What was read, and what the partition was at the same moment. A master that was deposed may tell of what was lost with it. But it does
/// not know a later owner: under one fence, whatever is read is what its holder wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<T> {
    /// What the partition was.
    pub seen: PartitionSeen,
    /// What was read.
    pub value: T,
}
