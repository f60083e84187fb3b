//! Why records were not moved, in words that say what to do.

use std::path::PathBuf;

use crate::services::registry::archive::ReadError;
use crate::services::registry::embedded::OpenError;
use crate::services::shared_store::outcome::Fence;

/// Records could not be moved. Where the shared store is concerned, calling the command again goes on.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// One of the stores on disk.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store to be imported lacks something, or would.
    #[error(
        "{path} is damaged, or was once: `holdfast store verify --path {path}` says where; `holdfast store salvage --path {path} --to DIR` makes a new store, which can be imported",
        path = .0.display()
    )]
    Damaged(PathBuf),
    /// There is something where the new store should be.
    #[error("{path} is not empty: the new store needs a folder of its own", path = .0.display())]
    NotEmpty(PathBuf),
    /// The new store cannot be written.
    #[error("{path} cannot be written: {text}", path = .path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        text: String,
    },
    /// A gateway takes part in the cluster.
    #[error("node {0} of the cluster runs: stop all its nodes, and call this again")]
    NodeRuns(String),
    /// There are records already.
    #[error(
        "the cluster has records already, in partition {0}: records are imported only into a cluster that has none. Empty the shared store and found the cluster anew, or use other servers"
    )]
    HasRecords(u16),
    /// An import was begun, of something else.
    #[error(
        "an import into this cluster was begun with another store, or with other records in it, and did not come to its end: import that one as it was, or empty the shared store and found the cluster anew"
    )]
    OtherImport,
    /// An import was begun, and is to be brought to its end first.
    #[error(
        "an import into this cluster did not come to its end: call `holdfast cluster import` with the same folder again, or empty the shared store and found the cluster anew"
    )]
    UnfinishedImport,
    /// The cluster is closed.
    #[error(
        "this cluster's records were exported, or are being: to go on with the cluster, call `holdfast cluster reopen`; to fill it anew, empty the shared store and found it again"
    )]
    Exported,
    /// Somebody else took it.
    #[error("partition {partition} was taken away: it is owned by {by}. Stop all nodes, and call this again")]
    Taken {
        /// Which.
        partition: u16,
        /// By whom.
        by: Fence,
    },
    /// Keys of another cluster, or of an earlier founding.
    #[error(
        "partition {0} in this shared store is of {1}: cluster.name or registry.redis.urls are of another cluster, or the servers were not emptied before this one was founded"
    )]
    Foreign(u16, String),
    /// A failover.
    #[error(
        "the shared store lacks a part of partition {0}, behind place {1}: a server may have lost it. Look at the servers, and call this again"
    )]
    Lacking(u16, u64),
    /// The shared store fails.
    #[error("the shared store failed: {0}. Look at it, and call this again")]
    Shared(String),
    /// One of the stores cannot be read.
    #[error("{0}. Nothing is lost: call this again")]
    Read(#[from] ReadError),
    /// What was written is not what was read.
    #[error(
        "what was written differs from what was read: {read} were read, {written} were written. Nothing uses what was written: call this again"
    )]
    Differs {
        /// At the one side.
        read: String,
        /// At the other.
        written: String,
    },
    /// More than a table of places counts.
    #[error("there are more than {} changes", u32::MAX)]
    TooMany,
}
