//! How far the pump is with what it does page by page. Does nothing itself.

use std::collections::{BTreeSet, VecDeque};

use crossbeam_channel::Sender;

use crate::base::ids::{PartitionId, UserId};
use crate::base::time::Timestamp;
use crate::services::registry::archive::{Position, ReadError};

/// How far the dead letters were looked at.
#[derive(Debug, Default)]
pub(super) struct DeadScan {
    pub(super) after: Position,
    pub(super) not_before: Timestamp,
    pub(super) dropped: u64,
}

/// How far late callbacks were looked at for their age, 0 if from the first one on.
#[derive(Debug, Clone, Default)]
pub(super) struct LateScan {
    pub(super) after: Position,
    /// Users of whom something was under way: what is behind it waits for it.
    pub(super) spared: BTreeSet<UserId>,
}

/// Late callbacks that are to be forgotten.
pub(super) struct LateDrop {
    /// Whose; `None` for all.
    pub(super) user: Option<UserId>,
    /// The lanes that are left, each with its last change when that was asked for.
    pub(super) lanes: VecDeque<(PartitionId, Position)>,
    /// Up to here they are forgotten in the first of these.
    pub(super) after: Position,
    pub(super) count: u64,
    pub(super) answer: Sender<Result<u64, ReadError>>,
}

/// When the oldest changes were recorded whose callbacks wait, beside those that are under way.
#[derive(Debug, Default)]
pub(super) struct WaitingAges {
    pub(super) late: Option<Timestamp>,
    /// What is late is as it was when it was looked at last.
    pub(super) late_is_known: bool,
    /// The first that waits for a receiver.
    pub(super) paused: Option<Timestamp>,
}
