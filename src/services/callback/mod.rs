//! The callback service: tells the app's backend of every change that owes it a callback, in the order of each user, at
//! least once. Two threads: [`pump`] reads and writes the store, and may block; the other one posts. It decides nothing
//! about users.

mod age;
pub(crate) mod attempt;
mod beside;
pub(crate) mod dispatch;
mod names;
mod post;
pub(crate) mod pump;
mod receiver;
mod replays;
mod request;
mod standing;
mod target;
mod tell;
mod turns;
pub(crate) mod window;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded, unbounded};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;

use crate::base::ids::UserId;
use crate::base::receipt::Receipt;
use crate::base::time::{Clock, Timestamp, millis};
use crate::services::http::{Token, runtime};
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::outbox::OutboxStep;
use attempt::{Attempt, Outcome};
use names::Names;
use post::Poster;
pub use post::Trust;
pub use pump::Source;
use pump::{Pump, Wake};
pub use receiver::{ReceiverUrl, UrlError};
pub use request::{ATTEMPT, CHANGE, ID, PREVIOUS, REPLAYED, SESSION};

/// What the callback service goes by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The one app that is served.
    pub sdk_app_id: u64,
    /// Where callbacks go. `None`: nothing is sent, and what is due waits.
    pub url: Option<ReceiverUrl>,
    /// Signs the URL of each attempt, if there is one.
    pub token: Option<Token>,
    /// Attempts that are made at the same time, each on a connection of its own.
    pub parallel: usize,
    /// For the whole exchange: finding the address if none is known, connecting, asking, and the answer.
    pub timeout: Duration,
    /// Counted from the change: after this a callback that fails becomes a dead letter.
    pub give_up: Duration,
    /// After this a dead letter is dropped.
    pub dead_kept: Duration,
    /// Whose certificates vouch for the receiver.
    pub trust: Trust,
}

/// How callbacks go.
#[derive(Debug, Default)]
pub struct Numbers {
    delivered: AtomicU64,
    failed: AtomicU64,
    took_us: AtomicU64,
    in_flight: AtomicU64,
    behind: AtomicU64,
    late: AtomicU64,
    dead: AtomicU64,
    lost: AtomicU64,
    down: AtomicU64,
    oldest_ms: AtomicU64,
}

impl Numbers {
    /// Name, meaning and value of each; those named `…_now` are present amounts.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &'static str, u64); 8] {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        [
            (
                "callbacks_delivered",
                "Callbacks that the receiver took.",
                load(&self.delivered),
            ),
            ("callbacks_failed", "Attempts that failed.", load(&self.failed)),
            (
                "callbacks_in_flight_now",
                "Attempts under way.",
                load(&self.in_flight),
            ),
            (
                "callbacks_behind_now",
                "Changes that were not looked at for callbacks.",
                load(&self.behind),
            ),
            (
                "callbacks_late_now",
                "Callbacks that failed, or wait behind one that did.",
                load(&self.late),
            ),
            (
                "callbacks_dead_now",
                "Callbacks that were given up.",
                load(&self.dead),
            ),
            (
                "callbacks_lost",
                "Callbacks that nobody is told, because their change is gone from the store; each is named in the log.",
                load(&self.lost),
            ),
            (
                "callback_receiver_down_now",
                "1 while the receiver counts as down.",
                load(&self.down),
            ),
        ]
    }

    /// How long all attempts took together.
    #[must_use]
    pub fn took(&self) -> Duration {
        Duration::from_micros(self.took_us.load(Ordering::Relaxed))
    }

    /// Of the changes whose callbacks were neither taken nor given up, be they under way, late, or waiting for a receiver,
    /// when the oldest was recorded; `None` if there are none.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        let oldest = self.oldest_ms.load(Ordering::Relaxed);
        (oldest != 0).then_some(Timestamp(oldest))
    }

    fn ended(&self, outcome: &Outcome, took: Duration) {
        let count = match outcome {
            Outcome::Delivered => &self.delivered,
            Outcome::Refused(_) | Outcome::Unreachable(_) => &self.failed,
            Outcome::Unsent => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.took_us.fetch_add(took_us, Ordering::Relaxed);
    }

    fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    fn stand(&self, values: [u64; 4]) {
        let numbers = [&self.in_flight, &self.behind, &self.late, &self.dead];
        numbers
            .iter()
            .zip(values)
            .for_each(|(number, value)| number.store(value, Ordering::Relaxed));
    }

    fn set_down(&self, down: bool) {
        self.down.store(u64::from(down), Ordering::Relaxed);
    }

    fn set_oldest(&self, at: Option<Timestamp>) {
        self.oldest_ms.store(at.map_or(0, |at| at.0), Ordering::Relaxed);
    }
}

/// The way into a running callback service.
#[derive(Clone)]
pub struct Handle {
    wakes: Sender<Wake>,
    source: Arc<dyn Source>,
    settings: mpsc::UnboundedSender<(Arc<Settings>, Receipt)>,
    numbers: Arc<Numbers>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl Handle {
    /// Other settings, from the next attempt on. The receipt is dropped when they count for all that leaves; without a
    /// receiver, when nothing is under way any more either.
    pub fn update(&self, settings: Settings, receipt: Receipt) {
        let settings = Arc::new(settings);
        // Who posts knows them before who has something to post. Neither listens after its end.
        let _ = self.settings.send((Arc::clone(&settings), receipt.clone()));
        let _ = self.wakes.send(Wake::Settings(settings, receipt));
    }

    /// Has these dead letters of these users sent again, marked as replayed: those of one user one after the other, the
    /// oldest first, and not beside another callback of this user. Each stays a dead letter until it is delivered; if one
    /// fails, the user's later ones are not sent.
    pub fn replay(&self, letters: Vec<(UserId, Position)>) {
        let _ = self.wakes.send(Wake::Replay(letters));
    }

    /// Forgets these dead letters. It blocks.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn forget(&self, places: &[Position]) -> Result<(), ReadError> {
        let steps: Vec<OutboxStep> = places.iter().map(|place| OutboxStep::Unbury(*place)).collect();
        self.source.take(&steps)
    }

    /// Forgets late callbacks, of one user or of all, and gives how many there were. It blocks.
    ///
    /// # Errors
    /// If the store cannot be written, or the service stops.
    pub fn drop_late(&self, user: Option<UserId>) -> Result<u64, ReadError> {
        let (answer, answered) = bounded(1);
        let _ = self.wakes.send(Wake::DropLate(user, answer));
        let stopped = || ReadError::Store("the callback service stops".to_owned());
        answered.recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// The store that callbacks are read from.
    #[must_use]
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::clone(&self.source)
    }

    /// How callbacks go.
    #[must_use]
    pub fn numbers(&self) -> Arc<Numbers> {
        Arc::clone(&self.numbers)
    }
}

/// A running callback service.
#[derive(Debug)]
pub struct Service {
    handle: Handle,
    pump: JoinHandle<()>,
    poster: JoinHandle<io::Result<()>>,
}

impl Service {
    /// Starts the service's two threads. `news` tells of new durable changes.
    ///
    /// # Errors
    /// If the store cannot be read, or the system gives no thread.
    pub fn start(
        settings: Settings,
        source: Arc<dyn Source>,
        news: watch::Receiver<Position>,
        clock: Clock,
    ) -> io::Result<Self> {
        let settings = Arc::new(settings);
        let (wakes, inbox) = unbounded();
        let (attempts, due) = mpsc::unbounded_channel();
        let (settings_sender, changed) = mpsc::unbounded_channel();
        let pump = Pump::new(Arc::clone(&source), &settings, inbox, attempts, fastrand::u64(..));
        let pump = pump.map_err(io::Error::other)?;
        let numbers = pump.numbers();
        let office = Office {
            names: Names::of_system(clock.clone()),
            wakes: wakes.clone(),
            settings,
            changed,
            store_id: source.store_id(),
            clock: clock.clone(),
        };
        let poster = thread("callbacks", move || runtime::block_on(office.run(due, news))?)?;
        let pump = thread("outbox", move || pump.run(clock))?;
        let handle = Handle {
            wakes,
            source,
            settings: settings_sender,
            numbers,
        };
        Ok(Self { handle, pump, poster })
    }

    /// The way in.
    #[must_use]
    pub fn handle(&self) -> Handle {
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
        let _ = self.handle.wakes.send(Wake::Stop(within));
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

/// The posting thread.
struct Office {
    names: Names,
    wakes: Sender<Wake>,
    settings: Arc<Settings>,
    changed: mpsc::UnboundedReceiver<(Arc<Settings>, Receipt)>,
    store_id: u64,
    clock: Clock,
}

impl Office {
    /// Until the pump is gone.
    async fn run(
        mut self,
        mut due: mpsc::UnboundedReceiver<Attempt>,
        mut news: watch::Receiver<Position>,
    ) -> io::Result<()> {
        let mut poster = self.poster();
        loop {
            tokio::select! {
                biased;
                Some((settings, _receipt)) = self.changed.recv() => {
                    self.settings = settings;
                    poster = self.poster();
                }
                attempt = due.recv() => match attempt {
                    Some(attempt) => self.post(&poster, attempt),
                    None => return Ok(()),
                },
                Ok(()) = news.changed(), if self.has_receiver() => {
                    let _ = self.wakes.send(Wake::News);
                }
            }
        }
    }

    /// Without one, changes wait, or are passed by when the pump looks up: nothing of that is in a hurry.
    fn has_receiver(&self) -> bool {
        self.settings.url.is_some()
    }

    fn poster(&self) -> Arc<Poster> {
        Arc::new(Poster::new(
            Arc::clone(&self.settings),
            self.store_id,
            self.names.clone(),
        ))
    }

    fn post(&mut self, poster: &Arc<Poster>, attempt: Attempt) {
        let (poster, wakes, mut clock) = (Arc::clone(poster), self.wakes.clone(), self.clock.clone());
        spawn_local(async move {
            let began = clock.now();
            let outcome = poster.post(&attempt, began.wall.seconds()).await;
            let took_ms = millis(clock.now().instant.since(began.instant));
            // After its end the pump does not listen any more.
            let _ = wakes.send(Wake::Ended(
                Box::new(attempt),
                outcome,
                Duration::from_millis(took_ms),
            ));
        });
    }
}
