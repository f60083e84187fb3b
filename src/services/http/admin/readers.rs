//! Reads the registry's store. Its calls block, so they run on a few threads beside the HTTP server's own. Knows no page.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::services::registry::archive::{Archive, Position, ReadError};

/// Reads at the same time. They share one disk and one store, and more would only wait for each other.
const READERS_MAX: usize = 4;

/// Followers that wait for news at the same time: a part of the admin listener's connections, so that probes and people
/// find room beside them.
const FOLLOWERS_MAX: usize = 256;

/// What can be read of the registry's store.
#[derive(Clone)]
pub struct Archived {
    /// Where.
    pub archive: Arc<dyn Archive>,
    /// The place of the last durable change, as it moves.
    pub news: watch::Receiver<Position>,
}

impl fmt::Debug for Archived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Archived")
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
    pub(super) fn archived(&self) -> Option<&Archived> {
        self.archived.as_ref()
    }

    /// A place to wait for news, if there is one left.
    pub(super) fn follow(&self) -> Option<SemaphorePermit<'_>> {
        self.followers.try_acquire().ok()
    }

    /// Reads, when one of the readers is free. A reader that was begun ends its work, even when nobody waits for it any more.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        archived: &Archived,
        read: impl FnOnce(&dyn Archive) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let archive = Arc::clone(&archived.archive);
        self.work(move || read(&*archive)).await
    }

    /// Does something else with the registry's store, as one of the readers.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let permit = Arc::clone(&self.readers).acquire_owned().await;
        let permit = permit.expect("the readers are never closed");
        let done = off_the_thread(move || {
            let _permit = permit;
            work()
        });
        done.await.unwrap_or_else(|| {
            Err(ReadError::Store(
                "the reader broke off; the log says why".to_owned(),
            ))
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
