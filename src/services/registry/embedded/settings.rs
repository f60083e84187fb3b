//! What an embedded store goes by: where it is, how durable it is, and how long it keeps what.

use std::path::PathBuf;

use tokio::sync::watch;

use crate::logic::record::Callbacks;
use crate::services::registry::store::REST_MS;

/// How long a change that was answered may not be durable with [`Durability::Relaxed`].
pub const SYNC_WITHIN_MS: u64 = REST_MS;

/// When an answered change is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before the answer leaves.
    Commit,
    /// Within [`SYNC_WITHIN_MS`]. A crash of the process alone loses nothing.
    Relaxed,
}

/// What an embedded store goes by.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    /// When an answered change is durable.
    pub durability: Durability,
    /// Which changes owe a callback, from the next commit on.
    pub callbacks: watch::Receiver<Callbacks>,
    /// How long changes are kept, in milliseconds.
    pub changes_kept_ms: u64,
    /// How long records of deleted accounts are kept, in milliseconds. They outlive the accounts' changes in any case.
    pub deleted_kept_ms: u64,
}

/// What a store must know to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLocation {
    /// The directory; it is made if it is not there.
    pub path: PathBuf,
    /// About how much memory the store may use for caches and for what is not in its tables yet.
    pub memory_bytes_max: u64,
}
