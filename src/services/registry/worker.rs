//! The registry's thread: takes requests in batches, has a [`Store`] work them off, and sends the replies of a batch out
//! together. Never decides anything: what it records was decided by a shard.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::base::histogram::Histogram;
use crate::base::ids::ShardId;
use crate::base::time::{Clock, Steady};
use crate::logic::letter::{ToFront, ToRegistry, ToShard};
use crate::services::registry::faults::FaultInjector;
use crate::services::registry::health::BatchPace;
use crate::services::registry::store::{REST_MS, RegistryReply, Store};

/// Requests worked off before their replies go out. Large enough that one durable write serves many changes, small
/// enough that the first of them does not wait long.
pub const BATCH_REQUESTS_MAX: usize = 1_024;

const REST: Duration = Duration::from_millis(REST_MS);

/// Where replies go. Neither may block or fail: whoever asked has kept room for the reply.
pub struct ReplySenders {
    /// To a shard's inbox.
    pub shard: Box<dyn Fn(ShardId, ToShard) + Send>,
    /// To the HTTP server.
    pub http: Box<dyn Fn(ToFront) + Send>,
}

impl std::fmt::Debug for ReplySenders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReplySenders")
    }
}

/// What the thread works with.
pub(super) struct RegistryWorker<S> {
    pub(super) store: S,
    pub(super) faults: FaultInjector,
    pub(super) senders: ReplySenders,
    pub(super) clock: Clock,
    pub(super) commit_times: Histogram,
    pub(super) pace: BatchPace,
}

impl<S: Store> RegistryWorker<S> {
    /// Until all senders are gone.
    pub(super) fn run(mut self, inbox: &Receiver<ToRegistry>) {
        let (mut batch, mut replies) = (Vec::new(), Vec::new());
        let steady = Steady::from(self.clock.now());
        let mut rested_at = self.clock.now().instant;
        loop {
            let rests_in = REST.saturating_sub(self.clock.now().instant.since(rested_at));
            match self.next(inbox, rests_in) {
                Ok(first) => batch.push(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.store.close(steady.at(self.clock.now())),
            }
            let now = self.clock.now();
            if self.store.rests() && now.instant.since(rested_at) >= REST {
                rested_at = now.instant;
                self.store.rest(steady.at(now));
            }
            if batch.is_empty() {
                self.pace.tell_if_fast(now.instant);
                continue;
            }
            batch.extend(inbox.try_iter().take(BATCH_REQUESTS_MAX - 1));
            let commits = batch.iter().filter(|request| is_commit(request)).count();
            let mut watch = self.clock.clone();
            watch.now();
            self.faults.inject(&mut batch, &mut replies);
            self.store
                .work_off(steady.at(self.clock.now()), &mut batch, &mut replies);
            for reply in replies.drain(..) {
                self.deliver(reply);
            }
            let took = watch.since_now();
            self.pace.note(self.clock.now().instant, took, commits);
            if commits > 0 {
                self.commit_times.record(took, commits as u64);
            }
        }
    }

    fn next(&self, inbox: &Receiver<ToRegistry>, rests_in: Duration) -> Result<ToRegistry, RecvTimeoutError> {
        if self.store.rests() {
            inbox.recv_timeout(rests_in)
        } else {
            inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
        }
    }

    fn deliver(&self, reply: RegistryReply) {
        match reply {
            RegistryReply::Shard(shard, reply) => (self.senders.shard)(shard, reply),
            RegistryReply::Http(reply) => (self.senders.http)(reply),
        }
    }
}

fn is_commit(request: &ToRegistry) -> bool {
    matches!(request, ToRegistry::Commit(..))
}
