//! The registry: one thread that records what the shards decided, and the stores that it can record in. Decides nothing.

pub mod archive;
pub(crate) mod codec;
mod deleted_accounts;
pub mod embedded;
mod faults;
pub mod health;
pub mod memory;
mod moved_lane;
pub mod moving;
pub mod outbox;
mod outbox_codec;
pub mod shared;
mod store;
mod worker;

use std::io;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

use crate::base::histogram::{Counted, Histogram, HistogramView};
use crate::base::limits::{HTTP_IN_FLIGHT_MAX, REGISTRY_IN_FLIGHT_MAX};
use crate::base::time::Clock;
use crate::logic::delivery::{Router, ToRegistry};
pub use faults::FaultInjection;
use faults::FaultInjector;
use health::BatchPace;
use shared::desk::Desk;
use shared::settings::DeskSettings;
use shared::thread::{DeskDoors, DeskThread};
use shared::workers::StoreWorkers;
pub use store::{ENDED_KEPT, REST_MS, Store};
pub use worker::BATCH_REQUESTS_MAX;
use worker::RegistryWorker;

/// How the registry's thread keeps up, for everyone.
#[derive(Clone)]
pub struct RegistryWorkload {
    commit_times: HistogramView,
    /// A sender like any other: the registry goes on until it is gone.
    sender: Sender<ToRegistry>,
}

impl std::fmt::Debug for RegistryWorkload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RegistryWorkload")
    }
}

impl RegistryWorkload {
    /// How long commits took: from when the first request of their batch was taken until the batch was answered.
    #[must_use]
    pub fn commit_times(&self) -> Counted {
        self.commit_times.read()
    }

    /// Requests that were not taken yet.
    #[must_use]
    pub fn waiting_now(&self) -> usize {
        self.sender.len()
    }
}

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    sender: Sender<ToRegistry>,
    commit_times: HistogramView,
    thread: JoinHandle<()>,
}

impl Registry {
    /// Starts the registry's thread for `shards` shards. Replies go out by `router`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        store: impl Store + 'static,
        faults: FaultInjection,
        shards: u16,
        router: Router,
        clock: Clock,
    ) -> io::Result<Self> {
        let (sender, inbox) = bounded(room(shards));
        let commit_times = Histogram::default();
        let view = commit_times.view();
        let thread = std::thread::Builder::new()
            .name("registry".to_owned())
            .spawn(move || {
                let worker = RegistryWorker {
                    store,
                    faults: FaultInjector::new(faults),
                    router,
                    clock,
                    commit_times,
                    pace: BatchPace::default(),
                };
                worker.run(&inbox);
            })?;
        Ok(Self {
            sender,
            commit_times: view,
            thread,
        })
    }

    /// Starts a registry whose store is shared with other nodes, which owns no user yet. Replies go out by `router`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start_shared(
        settings: DeskSettings,
        doors: DeskDoors,
        shards: u16,
        router: Router,
        clock: Clock,
    ) -> io::Result<Self> {
        let (sender, inbox) = bounded(room(shards));
        let commit_times = Histogram::default();
        let view = commit_times.view();
        let workers = StoreWorkers::start(doors.clients, settings.partitions)?;
        let desk = DeskThread {
            desk: Desk::new(settings, doors.confirmed, doors.health.clone()),
            workers,
            orders: doors.orders,
            news: doors.news,
            router,
            clock,
            figures: doors.figures,
            health: doors.health,
            commit_times,
            pace: BatchPace::default(),
            unsent: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("registry".to_owned())
            .spawn(move || desk.run(&inbox))?;
        Ok(Self {
            sender,
            commit_times: view,
            thread,
        })
    }

    /// Sends to the registry. There is room for all that the shards may have in flight at once.
    #[must_use]
    pub fn sender(&self) -> Sender<ToRegistry> {
        self.sender.clone()
    }

    /// How it keeps up.
    #[must_use]
    pub fn workload(&self) -> RegistryWorkload {
        RegistryWorkload {
            commit_times: self.commit_times.clone(),
            sender: self.sender(),
        }
    }

    /// Whether its thread has ended on its own.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until everything was worked off. Returns when the last sender, besides this one, is gone.
    ///
    /// # Panics
    /// If the registry's thread did.
    pub fn finish(self) {
        drop(self.sender);
        self.thread.join().expect("the registry's thread does not panic");
    }
}

/// Each shard may have so many loads and commits under way, and one completion for each open request of the HTTP server. A
/// request of the HTTP server to the registry itself is one, and no completion.
fn room(shards: u16) -> usize {
    (REGISTRY_IN_FLIGHT_MAX + HTTP_IN_FLIGHT_MAX) * usize::from(shards)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use crossbeam_channel::{Receiver, TrySendError, unbounded};

    use super::memory::MemoryStore;
    use super::*;
    use crate::base::ids::{ShardId, UserId};
    use crate::logic::delivery::{Delivery, RegistryError, ToShard, UserKey};

    fn start(faults: FaultInjection) -> (Registry, Receiver<(ShardId, ToShard)>) {
        let (sender, answers) = unbounded();
        let router: Router = Box::new(move |delivery| match delivery {
            Delivery::Shard(shard, reply) => {
                sender.send((shard, reply)).unwrap();
                Ok(())
            }
            other @ (Delivery::Registry(_)
            | Delivery::Http(_)
            | Delivery::Peer(..)
            | Delivery::Outcomes(_)) => {
                panic!("nobody asked: {other:?}")
            }
        });
        let registry = Registry::start(MemoryStore::default(), faults, 2, router, Clock::start()).unwrap();
        (registry, answers)
    }

    fn load(key: u32) -> ToRegistry {
        ToRegistry::Load(ShardId(1), UserKey(key), UserId::new(b"alice").unwrap())
    }

    #[test]
    fn replies_that_find_no_room_are_sent_when_there_is_some() {
        let (sender, replies) = bounded(1);
        let router: Router =
            Box::new(move |delivery| sender.try_send(delivery).map_err(TrySendError::into_inner));
        let memory = MemoryStore::default();
        let registry = Registry::start(memory, FaultInjection::default(), 2, router, Clock::start()).unwrap();
        (0..100).for_each(|key| registry.sender().send(load(key)).unwrap());
        let replied: HashSet<UserKey> = (0..100)
            .map(|_| match replies.recv().unwrap() {
                Delivery::Shard(_, ToShard::Loaded(user, _)) => user,
                other @ (Delivery::Shard(..)
                | Delivery::Registry(_)
                | Delivery::Http(_)
                | Delivery::Peer(..)
                | Delivery::Outcomes(_)) => {
                    panic!("{other:?}")
                }
            })
            .collect();
        assert_eq!(replied.len(), 100);
        registry.finish();
    }

    #[test]
    fn answers_every_request_in_order_before_it_finishes() {
        let (registry, answers) = start(FaultInjection::default());
        let sender = registry.sender();
        for key in 0..3_000 {
            sender.send(load(key)).unwrap();
        }
        drop(sender);
        registry.finish();
        let keys: Vec<_> = answers.iter().collect();
        let expected = (0..3_000).map(|key| (ShardId(1), ToShard::Loaded(UserKey(key), Ok(None))));
        assert!(keys.into_iter().eq(expected));
    }

    #[test]
    fn fails_as_often_as_it_was_asked_to() {
        let (registry, answers) = start(FaultInjection {
            delay: Duration::from_millis(1),
            fail_every: 3,
        });
        let sender = registry.sender();
        (0..9).for_each(|key| sender.send(load(key)).unwrap());
        drop(sender);
        registry.finish();
        let failed = answers
            .iter()
            .filter(|(_, request)| matches!(request, ToShard::Loaded(_, Err(RegistryError::Unavailable))));
        assert_eq!(failed.count(), 3);
    }
}
