//! Reads the registry's store. Its calls block, so they run on a few threads beside the HTTP server's own. Knows no page.

use std::fmt;
use std::sync::Arc;

use hyper::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::services::http::admin::cursor::CursorStore;
use crate::services::http::refusal::JsonRefusal;
use crate::services::registry::archive::{Position, ReadableLanes};

/// Reads at the same time. They share one disk and one store, and more would only wait for each other.
const READERS_MAX: usize = 4;

/// Followers that wait for news at the same time: a part of the admin listener's connections, so that probes and people
/// find room beside them.
const FOLLOWERS_MAX: usize = 256;

/// What can be read of the registry's store.
#[derive(Clone)]
pub struct Archived {
    /// Its lanes.
    pub lanes: Arc<dyn ReadableLanes>,
    /// The place of the last durable change of any of them, as it moves.
    pub news: watch::Receiver<Position>,
}

impl fmt::Debug for Archived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Archived")
    }
}

impl Archived {
    /// The store that its cursors are of.
    pub(super) fn store(&self) -> CursorStore {
        CursorStore {
            id: self.lanes.store_id(),
            lanes: self.lanes.partitions(),
        }
    }
}

/// Threads that read the store, and followers of its stream.
pub(crate) struct StoreReaders {
    archived: Option<Archived>,
    readers: Arc<Semaphore>,
    followers: Semaphore,
}

impl StoreReaders {
    pub(crate) fn new(archived: Option<Archived>) -> Self {
        Self {
            archived,
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            followers: Semaphore::new(FOLLOWERS_MAX),
        }
    }

    /// What there is to read.
    pub(super) fn archived(&self) -> Result<&Archived, JsonRefusal> {
        let text = "the registry keeps no changes: set registry.store = \"embedded\"";
        let none = || JsonRefusal::new(StatusCode::NOT_IMPLEMENTED, text);
        self.archived.as_ref().ok_or_else(none)
    }

    /// A place to wait for news, if there is one left.
    pub(super) fn follow(&self) -> Option<SemaphorePermit<'_>> {
        self.followers.try_acquire().ok()
    }

    /// Does something with the registry's store, when one of the readers is free. A reader that was begun ends its work, even when
    /// nobody waits for it any more.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, JsonRefusal> + Send + 'static,
    ) -> Result<T, JsonRefusal> {
        let permit = Arc::clone(&self.readers).acquire_owned().await;
        let permit = permit.expect("the readers are never closed");
        let done = off_the_thread(move || {
            let _permit = permit;
            work()
        });
        done.await.unwrap_or_else(|| {
            let text = "the reader broke off; the log says why";
            Err(JsonRefusal::new(StatusCode::SERVICE_UNAVAILABLE, text))
        })
    }
}

/// Runs what blocks on another thread. `None` if it panicked.
pub(super) async fn off_the_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(error) => {
            tracing::error!(%error, "what the HTTP server had asked for broke off");
            None
        }
    }
}
