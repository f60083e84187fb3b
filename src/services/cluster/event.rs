//! What a member hears: answers of the store, letters of peers, orders of the operator, and that time passes. Plain data.
//!
//! An act that asks for something has exactly one answer, be it that nothing is known of it. Whoever brings the answer reads the clock
//! after it came, never before: what an answer shows is older than the moment that it is handled with.

use std::time::Duration;

use crate::base::ids::{NodeId, PartitionId};
use crate::services::cluster::table::{NodeTable, RowVersion};
use crate::services::cluster::token::{Incarnation, Owner, Token};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberEvent {
    /// Time has passed: to be told every 100 ms or so.
    Tick,
    /// The answer to [`MemberAct::Survey`](crate::services::cluster::act::MemberAct::Survey).
    Surveyed(SurveyAnswer),
    /// The answer to [`MemberAct::Join`](crate::services::cluster::act::MemberAct::Join).
    Joined(JoinAnswer),
    /// The answer to [`MemberAct::Beat`](crate::services::cluster::act::MemberAct::Beat).
    Beaten {
        /// Who beat.
        owner: Owner,
        /// Which beat.
        number: u64,
        /// What came of it.
        answer: BeatAnswer,
    },
    /// The answer to [`MemberAct::Bury`](crate::services::cluster::act::MemberAct::Bury).
    Buried {
        /// The row that it named.
        row: RowVersion,
        /// What came of it.
        answer: BuryAnswer,
    },
    /// The answer to [`MemberAct::Depart`](crate::services::cluster::act::MemberAct::Depart).
    Departed {
        /// Who leaves.
        owner: Owner,
        /// What came of it.
        answer: DepartAnswer,
    },
    /// Something about a partition that this node holds, or is about to.
    Partition {
        /// Which.
        partition: PartitionId,
        /// Under which token it was asked.
        token: Token,
        /// What.
        news: PartitionNews,
    },
    /// A peer has written, as each does every half second or more often.
    Heard {
        /// Who.
        from: NodeId,
        /// Whether it has the shared store.
        contact: Contact,
    },
    /// A peer has told who owns a partition.
    Told {
        /// Which.
        partition: PartitionId,
        /// Its token, which the store has vouched for.
        token: Token,
    },
    /// A peer has told how far a partition's confirmed changes go.
    Witnessed {
        /// Which.
        partition: PartitionId,
        /// The last confirmed position.
        position: u64,
    },
    /// The operator wants something.
    Ordered(Order),
}

/// Whether a node's lease holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// It does: its beats reach the shared store.
    Held,
    /// It does not.
    Lost {
        /// How long ago the last of its requests that succeeded was sent, in any of its lives; `None` if none ever was.
        had: Option<Duration>,
    },
}

/// What an operator can want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Hand all partitions to others, then leave.
    Drain,
    /// Stop, to be started again soon: the partitions stay.
    Stop,
    /// Go on with a partition whose store is behind what was confirmed.
    AcceptLoss(PartitionId),
}

/// What a survey has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SurveyAnswer {
    /// The table, vouched for.
    Known(NodeTable),
    /// Nothing.
    Failed,
}

/// What came of joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinAnswer {
    /// This is the node's life.
    Joined(Incarnation),
    /// Its row is not the one that was named.
    Occupied,
    /// It is not known whether it has joined.
    Failed,
}

/// What came of a beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BeatAnswer {
    /// It counts, vouched for; and how things stand.
    Counted(NodeTable),
    /// This life was buried, or another one has taken its place.
    Dead,
    /// The shared store does not know this life at all: it was emptied, or is older than that.
    Stranger,
    /// It is not known whether it counts.
    Failed,
}

/// What came of a burial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuryAnswer {
    /// It is dead, vouched for.
    Dead,
    /// Its row is not the one that was named.
    Alive,
    /// It is not known.
    Failed,
}

/// What came of leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DepartAnswer {
    /// The table says so.
    Done,
    /// It is not known.
    Failed,
}

/// What there is to hear of a partition. Of all answers to a request about it, one comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionNews {
    /// The claim counts, vouched for.
    Claimed,
    /// The token was not the expected one. Perhaps a former master has said so.
    Taken,
    /// The residents are with their shards, as far as this position.
    Loaded {
        /// The last position that the store had.
        position: u64,
    },
    /// How the partition stands at the present master, vouched for.
    Looked {
        /// Its token.
        token: Token,
        /// Its last position.
        position: u64,
    },
    /// The shards decide nothing any more, and nothing is in flight.
    Settled,
    /// It was handed over, vouched for.
    Released,
    /// A commit or a release was refused. Perhaps a former master has said so.
    Fenced,
    /// What was asked was not done, or it is not known whether it was. Everything may be asked twice.
    Failed,
    /// The operator goes on with what there is.
    LossAccepted,
    /// A commit has found that the store lacks what was confirmed, or has what this node did not write.
    Behind {
        /// The store's last position.
        position: u64,
        /// The last confirmed one.
        confirmed: u64,
    },
    /// The store goes on behind what is lost, vouched for.
    WentOn,
}
