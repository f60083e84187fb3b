//! What a member asks of the shared store, and what came of it. Plain data.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::base::ids::{NodeId, PartitionId};
use crate::services::cluster::act::PartitionRequest;
use crate::services::cluster::event::MemberEvent;
use crate::services::cluster::says::NodeSays;
use crate::services::cluster::table::RowVersion;
use crate::services::cluster::token::{Owner, Token};
use crate::services::shared_store::calls::{NodeState, Places};

/// Something to ask.
#[derive(Debug, Clone)]
pub(super) enum StoreJob {
    /// For all nodes, and who owns what.
    Survey,
    /// For a life of this node.
    Join { over: Option<RowVersion> },
    /// To count a beat.
    Beat(OwnBeat),
    /// To count a last beat, in which this life says that it has ended.
    Depart(OwnBeat),
    /// To call a node dead.
    Bury(RowVersion),
    /// To tell of an owner. It has no answer.
    Publish(PartitionId, Token),
    /// Something about one partition.
    Partition {
        /// Which.
        partition: PartitionId,
        /// Under which token.
        token: Token,
        /// What.
        request: PartitionRequest,
        /// Set when nobody wants the answer any more.
        is_off: Arc<AtomicBool>,
    },
}

/// A beat of this node.
#[derive(Debug, Clone)]
pub(super) struct OwnBeat {
    pub(super) owner: Owner,
    pub(super) number: u64,
    pub(super) state: NodeState,
    pub(super) unreachable: Vec<NodeId>,
}

/// What came of a job.
#[derive(Debug, Default)]
pub(super) struct JobDone {
    /// The answer that the member waits for.
    pub(super) event: Option<MemberEvent>,
    /// What all nodes say, if they were asked.
    pub(super) says: Option<BTreeMap<NodeId, NodeSays>>,
    /// Where the partition stands, if it was looked at.
    pub(super) places: Option<Places>,
    /// The partition that it was about.
    pub(super) partition: Option<PartitionId>,
}
