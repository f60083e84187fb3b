//! What the store knows of the nodes and, as a hint, of the owners. As a beat's answer brings it. Plain data.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::ids::NodeId;
use crate::services::cluster::settings::RETURN_MAX;
use crate::services::cluster::token::{Incarnation, Owner, Site, Token};
use crate::services::shared_store::calls::NodeState;

impl NodeState {
    /// Whether a process beats for it.
    #[must_use]
    pub fn beats(self) -> bool {
        match self {
            Self::Up | Self::Isolated | Self::Draining => true,
            Self::Restarting | Self::Left | Self::Dead => false,
        }
    }

    /// For how long its beat may stand still before it is dead: `dead` if it beats, longer if it has announced its return.
    #[must_use]
    pub fn silence_max(self, dead: Duration) -> Option<Duration> {
        match self {
            Self::Up | Self::Isolated | Self::Draining => Some(dead),
            Self::Restarting => Some(RETURN_MAX),
            Self::Left | Self::Dead => None,
        }
    }

    /// Whether others may take its partitions.
    #[must_use]
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Left | Self::Dead)
    }
}

/// One node on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its present or last life.
    pub incarnation: Incarnation,
    /// The number of its last beat.
    pub beat: u64,
    /// What it is.
    pub state: NodeState,
    /// Where it is.
    pub site: Site,
    /// How many partitions it is to have, against others.
    pub weight: u32,
    /// Whom it cannot reach.
    pub unreachable: Vec<NodeId>,
}

/// A node's row at one moment: whoever changes the row names it, and changes nothing if the row is another by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowVersion {
    /// Whose row.
    pub owner: Owner,
    /// Its beat.
    pub beat: u64,
}

impl NodeRow {
    /// The row as it is, of this node.
    #[must_use]
    pub fn version(&self, node: NodeId) -> RowVersion {
        RowVersion {
            owner: Owner {
                node,
                incarnation: self.incarnation,
            },
            beat: self.beat,
        }
    }
}

/// All nodes, and a hint of who owns what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeTable {
    /// By name.
    pub nodes: BTreeMap<NodeId, NodeRow>,
    /// By partition. It may be behind.
    pub hints: Vec<Token>,
}
