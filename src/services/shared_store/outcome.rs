//! What may come of a call to the shared store. It says above all whether the shared store has executed it: that decides what may follow.

use std::fmt;
use std::sync::Arc;

/// Who owns a partition: only the holder of the present fence changes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The owner, as node and incarnation; empty if nobody owns it.
    pub owner: Arc<str>,
    /// Counts the claims and releases of the partition.
    pub epoch: u64,
}

impl Fence {
    /// What a partition has that nobody ever claimed.
    #[must_use]
    pub fn none() -> Self {
        Self {
            owner: "".into(),
            epoch: 0,
        }
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = if self.owner.is_empty() {
            "nobody"
        } else {
            &self.owner
        };
        write!(f, "{owner} in epoch {}", self.epoch)
    }
}

/// Why the shared store did not execute a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A master has fewer replicas than it must have to write.
    NoReplicas,
    /// Its memory is full.
    Full,
    /// It cannot write to its disk.
    DiskFault,
    /// It reads its data after a start.
    Loading,
    /// A slot has no master, or the cluster does not agree.
    ClusterDown,
    /// A slot is being moved.
    Moving,
    /// A script holds it up.
    Busy,
    /// Password, user or rights are wrong.
    Denied,
    /// No connection could be made.
    Unreachable,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoReplicas => "too few replicas",
            Self::Full => "its memory is full",
            Self::DiskFault => "it cannot write to its disk",
            Self::Loading => "it reads its data",
            Self::ClusterDown => "its cluster is down",
            Self::Moving => "the data is being moved",
            Self::Busy => "it is busy",
            Self::Denied => "access is denied",
            Self::Unreachable => "it cannot be reached",
        })
    }
}

/// A call that was not carried out, or perhaps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SharedStoreError {
    /// Not executed: nothing was changed, and nothing will be.
    #[error("the shared store did not execute it, {why}: {text}")]
    NotExecuted {
        /// For what reason.
        why: Refusal,
        /// The server's words, for the operator.
        text: String,
    },
    /// Executed or not, or yet to be executed: the same call has to be made again until its outcome is known. Each call may be
    /// made any number of times.
    #[error("nobody knows whether the shared store executed it: {0}")]
    Unknown(String),
    /// Not executed: what is before it is missing in the shared store, which has only what is up to here. A failover lost something.
    #[error("the shared store has only what is up to {0}")]
    Behind(u64),
    /// Not executed: this is the partition's present fence. A master that was deposed may say so, too: a look that is vouched
    /// for tells.
    #[error("the partition is owned by {0}")]
    Fenced(Fence),
}

/// What came of a call.
pub type Outcome<T> = Result<T, SharedStoreError>;

/// What was written, and in how many copies. It counts only when these are as many as wanted: a master that was deposed executes
/// calls and answers them as ever, but no replica confirms them. With too few copies, the same call again waits again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched<T> {
    /// The answer.
    pub answer: T,
    /// How many replicas have confirmed that they have it.
    pub copies: u16,
}

/// Whether it matters in how many copies something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// WAIT tells.
    Wanted,
    /// Nothing was written.
    Needless,
}
