//! The HTTP front: one async thread that speaks HTTP/1.1 with the app's backend ([`openim`]) and with the operator
//! ([`admin`]), and letters with the shards and the registry. It decides nothing about users and keeps nothing of them.

pub mod runtime;
pub mod url;

mod accounts;
mod admin;
mod body;
mod callbacks;
mod caller;
mod codes;
mod commands;
mod cursor;
mod encoding;
mod failures;
mod gate;
mod guard;
mod history;
mod inspect;
mod library;
mod limits;
mod lines;
mod exposition;
mod metrics;
mod openim;
mod peer;
mod places;
mod process;
mod query;
mod readiness;
mod reply;
mod server;
mod sizes;
mod steward;
mod stream;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::base::histogram::{Counted, Histogram};
use crate::base::ids::{ShardId, UserId};
use crate::base::secret::Secret;
use crate::base::time::{Clock, Instant, Now};
use crate::logic::letter::{ToFront, ToRegistry, ToShard};
use crate::protocol::usersig::{Key, Verifier};
use crate::services::callback;
use crate::services::registry::{Vitals, Workload};
use body::Bodies;
pub use callbacks::{CallbackStanding, DeadLetters, Which};
use encoding::Gzip;
use failures::{Failures, Limit, Reason};
use gate::{Gate, Ways};
pub use library::Archived;
use library::Library;
pub use limits::Limits;
use peer::{Peer, Side};
use places::Places;
use process::Process;
pub use readiness::ready;
pub use steward::{Caller, ReloadAsked, ReloadError, ReloadMode, Reloaded, Steward, Touched};

/// The secret that the admin listener asks for. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub Secret);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// What the front goes by. All but the sizes and times may change while it runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The one app that is served.
    pub sdk_app_id: u64,
    /// The secrets that UserSigs may be made with.
    pub keys: Vec<Key>,
    /// How far ahead a UserSig may be dated.
    pub usersig_ahead_max: Duration,
    /// Who may call the REST interface.
    pub administrators: Vec<UserId>,
    /// What the admin listener asks for; `None` on loopback only.
    pub admin_token: Option<Token>,
    /// Host names, besides those of loopback, that the admin listener answers to.
    pub admin_hosts: Vec<String>,
    /// Sizes and times.
    pub limits: Limits,
}

/// Bound sockets, not yet accepted from.
#[derive(Debug)]
pub struct Listeners {
    /// For the app's backend.
    pub backend: Vec<TcpListener>,
    /// For the operator.
    pub admin: Vec<TcpListener>,
}

/// The ways from the front to everyone else.
pub struct Doors {
    /// To a shard's inbox, which keeps room for [`Limits::in_flight_max`] letters of the front: it never blocks.
    pub shard: Box<dyn Fn(ShardId, ToShard) + Send>,
    /// To the registry, which keeps room for one letter of every open request: it never blocks.
    pub registry: Box<dyn Fn(ToRegistry) + Send>,
    /// What the shards count.
    pub counters: CountersView,
    /// How many lines of the log were dropped.
    pub log_lines_dropped: Box<dyn Fn() -> u64 + Send>,
    /// How the registry is.
    pub vitals: Vitals,
    /// How the registry keeps up; `None` if it is only played.
    pub registry_workload: Option<Workload>,
    /// What can be read beside the letters; `None` if the registry keeps no changes.
    pub archive: Option<Archived>,
    /// How callbacks go; `None` if there is nobody who sends any.
    pub callback_numbers: Option<Arc<callback::Numbers>>,
    /// The callbacks that were given up; `None` if there is nobody who sends any.
    pub callbacks: Option<Arc<dyn DeadLetters>>,
    /// Who takes a changed configuration.
    pub steward: Arc<dyn Steward>,
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Doors")
    }
}

/// What the shards count, as they publish it.
pub struct CountersView {
    /// Name and meaning of each number; those named `…_now` are present amounts.
    pub names: Vec<(&'static str, &'static str)>,
    /// The numbers of each shard, in the order of the names.
    pub values: Box<dyn Fn() -> Vec<Vec<u64>> + Send>,
    /// How long the turns of each shard took.
    pub turn_times: Box<dyn Fn() -> Vec<Counted> + Send>,
}

impl CountersView {
    /// One number, summed over the shards.
    ///
    /// # Panics
    /// If nobody counts under that name.
    #[must_use]
    pub fn sum(&self, name: &str) -> u64 {
        let place = self.names.iter().position(|(known, _)| *known == name);
        let place = place.expect("only known numbers are asked for");
        (self.values)().iter().map(|shard| shard[place]).sum()
    }
}

impl fmt::Debug for CountersView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CountersView")
    }
}

/// Whether the node serves: set by the node, shown by `/readyz`.
#[derive(Debug, Clone, Default)]
pub struct Serving(Arc<AtomicBool>);

impl Serving {
    /// From now on the listeners are open.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// From now on the node stops.
    pub fn end(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether it serves now.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The way into the front, for shards and the registry.
#[derive(Debug, Clone)]
pub struct Door(mpsc::Sender<ToFront>);

impl Door {
    /// Hands over an answer. Nothing happens if the front has stopped.
    ///
    /// # Panics
    /// If the front did not ask for it: each open request keeps room for one answer of every shard.
    pub fn send(&self, letter: ToFront) {
        match self.0.try_send(letter) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => panic!("the front keeps room for every answer"),
        }
    }
}

/// The other end of a [`Door`].
#[derive(Debug)]
pub struct Inbox {
    letters: mpsc::Receiver<ToFront>,
    shards: u16,
}

/// The front's inbox, with room for the answers of `shards` shards to every open request.
#[must_use]
pub fn inbox(shards: u16, limits: &Limits) -> (Door, Inbox) {
    let (sender, letters) = mpsc::channel(limits.in_flight_max * usize::from(shards));
    (Door(sender), Inbox { letters, shards })
}

/// A running front.
#[derive(Debug)]
pub struct Front {
    stop: watch::Sender<Option<Duration>>,
    thread: JoinHandle<io::Result<()>>,
}

impl Front {
    /// Starts the front's thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        settings: watch::Receiver<Arc<Settings>>,
        listeners: Listeners,
        inbox: Inbox,
        doors: Doors,
        (clock, serving): (Clock, Serving),
    ) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(None);
        let thread = std::thread::Builder::new()
            .name("front".to_owned())
            .spawn(move || {
                let Inbox { letters, shards } = inbox;
                let limits = settings.borrow().limits;
                let ways = Ways {
                    shard: doors.shard,
                    registry: doors.registry,
                };
                let desk = Rc::new(Desk {
                    gate: Gate::new(shards, limits, ways),
                    bodies: Bodies::new(&limits),
                    gzip: Gzip::new(),
                    backend_places: Places::new(limits, limits.connections_max),
                    admin_places: Places::new(limits, limits.admin_connections_max),
                    admin_requests: Semaphore::new(limits.admin_requests_max()),
                    accept_failures: Cell::default(),
                    failures: Failures::default(),
                    counters: doors.counters,
                    log_lines_dropped: doors.log_lines_dropped,
                    vitals: doors.vitals,
                    registry_workload: doors.registry_workload,
                    query_times: RefCell::default(),
                    process: Process::new(),
                    library: Library::new(doors.archive),
                    callback_numbers: doors.callback_numbers,
                    callbacks: doors.callbacks,
                    steward: doors.steward,
                    reloads: Arc::new(Semaphore::new(1)),
                    clock: RefCell::new(clock),
                    verifier: RefCell::default(),
                    kicks: RefCell::default(),
                    settings,
                    limits,
                    serving,
                    stopped: stopped.clone(),
                });
                runtime::block_on(server::run(desk, listeners, letters, stopped))?
            })?;
        Ok(Self { stop, thread })
    }

    /// Takes no more requests, ends the open ones, at the latest after `within`, and waits for the thread.
    ///
    /// # Errors
    /// If the front could not run, or ended before, on its own.
    ///
    /// # Panics
    /// If the front's thread did.
    pub fn stop(self, within: Duration) -> io::Result<()> {
        self.stop.send_replace(Some(within));
        self.thread.join().expect("the front's thread does not panic")
    }

    /// Whether the front has ended on its own.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

/// All that the front's tasks share, on their one thread.
struct Desk {
    settings: watch::Receiver<Arc<Settings>>,
    limits: Limits,
    gate: Gate,
    bodies: Bodies,
    gzip: Gzip,
    backend_places: Rc<Places>,
    admin_places: Rc<Places>,
    /// Those of the admin listener but for its health.
    admin_requests: Semaphore,
    /// Times that the system had no room for one more connection.
    accept_failures: Cell<u64>,
    failures: Failures,
    counters: CountersView,
    log_lines_dropped: Box<dyn Fn() -> u64 + Send>,
    vitals: Vitals,
    registry_workload: Option<Workload>,
    query_times: RefCell<Histogram>,
    process: Process,
    library: Library,
    callback_numbers: Option<Arc<callback::Numbers>>,
    callbacks: Option<Arc<dyn DeadLetters>>,
    steward: Arc<dyn Steward>,
    /// One at a time, as each may read the whole archive.
    reloads: Arc<Semaphore>,
    clock: RefCell<Clock>,
    verifier: RefCell<Verifier>,
    /// Of administrators the Unix second of the last kick, and when that was asked.
    kicks: RefCell<HashMap<UserId, (u64, Instant)>>,
    serving: Serving,
    /// How long the end may take, once there is to be one.
    stopped: watch::Receiver<Option<Duration>>,
}

impl Desk {
    /// See [`ready`].
    fn ready(&self) -> Result<(), String> {
        ready(&self.serving, &self.vitals, &self.counters)
    }

    /// What counts now.
    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    fn now(&self) -> Now {
        self.clock.borrow_mut().now()
    }

    fn places(&self, side: Side) -> &Rc<Places> {
        match side {
            Side::Backend => &self.backend_places,
            Side::Admin => &self.admin_places,
        }
    }

    /// Counts a request that is refused for who sent it. If it is one too many this waits: its answer is not urgent.
    async fn count_failure(&self, peer: &Peer, reason: Reason) -> Limit {
        let now = self.now().instant;
        let limit = self.failures.count(now, peer.side, peer.address, reason);
        if limit == Limit::Over {
            tokio::time::sleep(self.limits.refusal_delay).await;
        }
        limit
    }
}
