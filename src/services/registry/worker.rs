//! The registry's thread: takes requests in batches, has a [`Store`] work them off, and sends the replies of a batch out
//! together. Never decides anything: what it records was decided by a shard.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::base::histogram::Histogram;
use crate::base::time::{Clock, Steady};
use crate::logic::delivery::{Delivery, Router, ToRegistry};
use crate::services::registry::faults::FaultInjector;
use crate::services::registry::health::BatchPace;
use crate::services::registry::store::{REST_MS, Store};

/// Requests worked off before their replies go out. Large enough that one durable write serves many changes, small
/// enough that the first of them does not wait long.
pub const BATCH_REQUESTS_MAX: usize = 1_024;

const REST: Duration = Duration::from_millis(REST_MS);

/// When replies that found no room are sent again. Shards empty their inboxes in each turn, so that is soon enough.
const SEND_AGAIN: Duration = Duration::from_millis(1);

/// What the thread works with.
pub(super) struct RegistryWorker<S> {
    pub(super) store: S,
    pub(super) faults: FaultInjector,
    pub(super) router: Router,
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
            match self.next(inbox, rests_in, replies.is_empty()) {
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
                self.send_out(&mut replies);
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
            self.send_out(&mut replies);
            let took = watch.since_now();
            self.pace.note(self.clock.now().instant, took, commits);
            if commits > 0 {
                self.commit_times.record(took, commits as u64);
            }
        }
    }

    fn next(
        &self,
        inbox: &Receiver<ToRegistry>,
        rests_in: Duration,
        all_sent: bool,
    ) -> Result<ToRegistry, RecvTimeoutError> {
        match (self.store.rests(), all_sent) {
            (_, false) => inbox.recv_timeout(SEND_AGAIN),
            (true, true) => inbox.recv_timeout(rests_in),
            (false, true) => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Sends replies out. Those that find no room stay.
    fn send_out(&self, replies: &mut Vec<Delivery>) {
        let mut unsent: Vec<_> = replies
            .drain(..)
            .filter_map(|reply| (self.router)(reply).err())
            .collect();
        replies.append(&mut unsent);
    }
}

fn is_commit(request: &ToRegistry) -> bool {
    matches!(request, ToRegistry::Commit(..))
}
