//! Whose a partition is, as far as this node knows. Never learns why.

use crate::base::ids::{Epoch, NodeId};

/// Where the users of a partition are at home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// At this node, which owns the partition under this epoch.
    Here(Epoch),
    /// At another node, which lives as far as this one knows. Never this node.
    There(NodeId),
    /// At no node, or at one that is about to take the partition over: who asks is to come again.
    Nobody,
}
