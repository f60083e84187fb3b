//! What a member wants done: requests to the store, orders to the shards, words to the peers and to the operator. Plain data.

use crate::base::ids::{Epoch, NodeId, PartitionId};
use crate::base::time::Instant;
use crate::logic::cluster::lease::Lease;
use crate::services::cluster::table::RowVersion;
use crate::services::cluster::token::{Owner, Token};
use crate::services::shared_store::calls::NodeState;

/// Something to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberAct {
    /// Read the table, vouched for.
    Survey,
    /// Write this node's row anew, with the next incarnation, if the row is still the one named.
    Join {
        /// The row there was.
        over: Option<RowVersion>,
    },
    /// Count a beat in this node's row if it is this life's and counts fewer; read the table, vouched for.
    Beat {
        /// Who beats.
        owner: Owner,
        /// The number of the beat.
        number: u64,
        /// What it is.
        state: NodeState,
        /// Whom it cannot reach.
        unreachable: Vec<NodeId>,
    },
    /// Call a node dead if its row is still the one named.
    Bury(RowVersion),
    /// Say in this node's row that this life has ended: `Left` or `Restarting`.
    Depart {
        /// Who leaves.
        owner: Owner,
        /// How.
        state: NodeState,
    },
    /// Tell the shared store's map and all peers who owns a partition. The map keeps the higher epoch.
    Publish {
        /// Which.
        partition: PartitionId,
        /// Its token.
        token: Token,
    },
    /// Ask for something about a partition.
    Ask {
        /// Which.
        partition: PartitionId,
        /// Under which token; the answer names it.
        token: Token,
        /// What.
        request: PartitionRequest,
    },
    /// Tell all shards and HTTP threads of the lease.
    Lease(Lease),
    /// The partition's users can log in from now on; its grace begins.
    Open {
        /// Which.
        partition: PartitionId,
        /// Under which epoch.
        epoch: Epoch,
        /// When those who did not return are given up.
        grace_ends: Instant,
    },
    /// The partition's commits go on under this epoch, those that were refused among them.
    Resume {
        /// Which.
        partition: PartitionId,
        /// Under which epoch.
        epoch: Epoch,
    },
    /// Forget the partition's users without a change, and send their terminals to its owner.
    Drop(PartitionId),
    /// Forget all users without a change, and send all terminals away until then.
    SendAway {
        /// When the last link is closed.
        until: Instant,
    },
    /// The operator has to know.
    Alarm(Alarm),
    /// This process has nothing more to do.
    End(MemberEnding),
}

/// What is asked about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionRequest {
    /// Put the token in place of the expected one.
    Claim {
        /// What must be there.
        expected: Token,
    },
    /// Bring the residents to their shards.
    Load,
    /// Read the token and the position at the present master, with a write that is vouched for.
    Look,
    /// Let the shards decide nothing any more, and finish what is in flight.
    Settle,
    /// Put this token in place of one's own.
    Release {
        /// What is to be there.
        to: Token,
    },
    /// Forget what is in flight, and have the store go on behind this position although changes before it are lost.
    AcceptLoss {
        /// The last position that may have been given.
        last: u64,
    },
}

/// What the operator has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// The shared store lacks changes of a partition that this node or a peer has seen confirmed.
    Behind {
        /// Which.
        partition: PartitionId,
        /// How far the shared store goes.
        stored: u64,
        /// How far it was seen to go.
        witnessed: u64,
    },
    /// The shared store does not know this node: it was emptied, or is older than this node's life.
    StoreForgot,
}

/// Why a process has nothing more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberEnding {
    /// All is handed over.
    Drained,
    /// It is to be started again.
    Stopped,
    /// A process of the same name lives.
    NameTaken,
}
