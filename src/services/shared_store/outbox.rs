//! What the callback service keeps of a partition, and what it reads of its changes. Plain data.

use crate::base::ids::{PartitionId, UserId};
use crate::services::shared_store::outcome::Fence;
use crate::services::shared_store::seen::Opaque;

/// Batches by the place of their first change, oldest first.
pub type KeptBatches = Vec<(u64, Opaque)>;

/// A step of the callback service. Late callbacks are found by place and by user, so each has a member in both orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptStep {
    /// All up to this place is delivered, late or dead.
    Cursor(u64),
    /// The callback at this place is late.
    Late(LateMember),
    /// A late callback is delivered or dead.
    Done(LateMember),
    /// A late user is tried next at this time, in ms since 1970.
    Schedule(UserId, u64, Opaque),
    /// A user has no late callbacks any more.
    Unschedule(UserId),
    /// The callback at this place is dead. The record must differ from all others, so it names the place.
    Bury(u64, Opaque),
    /// The dead letter of this place goes.
    Unbury(u64),
}

/// A late callback.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LateMember {
    /// The place of its change.
    pub place: u64,
    /// Whose.
    pub user: UserId,
}

/// Steps that are taken together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepGroup {
    /// Of which partition.
    pub partition: PartitionId,
    /// Of who owns it.
    pub fence: Fence,
    /// Groups are counted from 1, so that one which arrives twice, or late, is told from a new one.
    pub number: u64,
    /// In order.
    pub steps: Vec<KeptStep>,
}

/// What became of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepsTaken {
    /// The last group that was taken.
    pub number: u64,
    /// What there is since.
    pub counts: OutboxCounts,
}

/// How many callbacks are not delivered, though the cursor is behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxCounts {
    /// They are tried again.
    pub late: u64,
    /// They were given up.
    pub dead: u64,
}

/// Late users of whom some are due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptTurns {
    /// When the first of all late users is due, and when the last, in ms since 1970; `None` if there are none.
    pub span: Option<(u64, u64)>,
    /// Users with their records.
    pub users: Vec<(UserId, Opaque)>,
}
