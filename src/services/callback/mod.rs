//! The callback service: tells the app's backend of every change that owes it a callback, in the order of each user, at
//! least once. Two threads: [`pump`] reads and writes the store, and may block; [`posting`] speaks HTTP. It decides nothing
//! about users.

pub(crate) mod attempt;
mod backlog;
pub(crate) mod dispatch;
pub(crate) mod event;
mod expiry;
mod gauges;
mod handle;
mod lane;
mod log;
mod metrics;
mod outlet;
mod post;
mod posting;
mod progress;
pub(crate) mod pump;
mod receiver;
mod receiver_state;
mod replays;
mod request;
mod resolver;
mod rotation;
mod settings;
mod store;
pub(crate) mod target;
pub(crate) mod window;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use tokio::sync::{mpsc, watch};

use crate::base::time::Clock;
use crate::services::registry::archive::Position;
use crate::services::runtime;
use attempt::Attempt;
use event::PumpEvent;
pub use handle::CallbackHandle;
pub use metrics::CallbackMetrics;
use posting::PostingLoop;
use pump::Pump;
pub use receiver::{ReceiverUrl, UrlError};
pub use request::{ATTEMPT, CHANGE, ID, PREVIOUS, REPLAYED, SESSION};
use resolver::Resolver;
pub use settings::CallbackSettings;
pub use store::CallbackStore;

/// A running callback service.
#[derive(Debug)]
pub struct CallbackService {
    handle: CallbackHandle,
    pump: JoinHandle<()>,
    poster: JoinHandle<io::Result<()>>,
}

impl CallbackService {
    /// Starts the service's two threads. `news` tells of new durable changes.
    ///
    /// # Errors
    /// If the store cannot be read, or the system gives no thread.
    pub fn start(
        settings: CallbackSettings,
        store: Arc<dyn CallbackStore>,
        news: watch::Receiver<Position>,
        clock: Clock,
    ) -> io::Result<Self> {
        let store_id = store.store_id();
        let make = |settings: &CallbackSettings, inbox, attempts| {
            Pump::new(vec![store], settings, inbox, attempts, fastrand::u64(..)).map_err(io::Error::other)
        };
        Self::with(settings, make, (store_id, news), clock)
    }

    /// The same without a store: each partition's is given to the [`handle`](Self::handle), and taken away again. `store_id` is that of all
    /// of them, and `news` tells of changes of any.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start_without_lanes(
        settings: CallbackSettings,
        partitions: u16,
        (store_id, news): (u64, watch::Receiver<Position>),
        clock: Clock,
    ) -> io::Result<Self> {
        let make = |settings: &CallbackSettings, inbox, attempts| {
            let seed = fastrand::u64(..);
            Ok(Pump::without_lanes(partitions, settings, inbox, attempts, seed))
        };
        Self::with(settings, make, (store_id, news), clock)
    }

    fn with(
        settings: CallbackSettings,
        make: impl FnOnce(
            &CallbackSettings,
            Receiver<PumpEvent>,
            mpsc::UnboundedSender<Attempt>,
        ) -> io::Result<Pump>,
        (store_id, news): (u64, watch::Receiver<Position>),
        clock: Clock,
    ) -> io::Result<Self> {
        let settings = Arc::new(settings);
        let (events, inbox) = unbounded();
        let (attempts, due) = mpsc::unbounded_channel();
        let (settings_sender, changed) = mpsc::unbounded_channel();
        let pump = make(&settings, inbox, attempts)?;
        let metrics = pump.metrics();
        let posting = PostingLoop {
            resolver: Resolver::of_system(clock.clone()),
            events: events.clone(),
            settings,
            changed,
            store_id,
            clock: clock.clone(),
        };
        let poster = thread("callbacks", move || runtime::block_on(posting.run(due, news))?)?;
        let pump = thread("outbox", move || pump.run(clock))?;
        let handle = CallbackHandle {
            events,
            settings: settings_sender,
            metrics,
        };
        Ok(Self { handle, pump, poster })
    }

    /// The way in.
    #[must_use]
    pub fn handle(&self) -> CallbackHandle {
        self.handle.clone()
    }

    /// Whether one of its threads has ended on its own.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.pump.is_finished() || self.poster.is_finished()
    }

    /// Begins nothing more, and waits for what is under way, at most this long.
    ///
    /// # Errors
    /// If posting had failed before.
    ///
    /// # Panics
    /// If one of its threads did.
    pub fn stop(self, within: Duration) -> io::Result<()> {
        let _ = self.handle.events.send(PumpEvent::Stop(within));
        self.pump.join().expect("the outbox's thread does not panic");
        self.poster.join().expect("the callbacks' thread does not panic")
    }
}

fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}
