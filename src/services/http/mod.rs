//! The HTTP server: one async thread that speaks HTTP/1.1 with the app's backend ([`backend`]) and with the operator
//! ([`admin`]), and asks the shards and the registry. To browsers it serves the files of web terminals ([`web`]). It decides
//! nothing about users and keeps nothing of them.

mod admin;
mod backend;
mod cluster_handles;
mod counters;
mod homes;
mod limits;
mod line_pages;
mod messages;
mod metrics;
mod peers;
mod pending;
mod readiness;
mod refusal;
mod sends;
mod serve;
pub(crate) mod server;
mod settings;
mod shares;
mod sizes;
mod state;
mod statuses;
mod user_request;
mod web;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};

use crate::base::time::Clock;
use crate::logic::delivery::{Router, ToHttp};
use crate::logic::message::LateOutcome;
use crate::services::callback::CallbackMetrics;
use crate::services::registry::RegistryWorkload;
use crate::services::registry::health::RegistryHealth;
use crate::services::runtime;
use admin::{AdminState, StoreReaders};
pub use admin::{
    Archived, CallbackStatus, DeadLetters, DeadSelection, ReloadAsked, ReloadCaller, ReloadError,
    ReloadHandler, ReloadMode, Reloaded, Touched,
};
use backend::BackendState;
pub use cluster_handles::ClusterHandles;
pub use counters::ShardCounters;
pub use homes::ClusterView;
use homes::UserHomes;
pub use limits::Limits;
use messages::Messages;
use metrics::MetricSources;
use pending::PendingRequests;
pub use readiness::{Serving, ready};
use serve::{AnsweringRooms, HttpInbox};
use server::body::Bodies;
use server::encoding::Gzip;
use server::slots::ConnectionSlots;
use server::throttle::FailureThrottle;
pub use settings::{HttpListeners, HttpSettings, HttpTls, ListenerCertificate};
use state::HttpState;
use web::WebFiles;

/// What the HTTP server needs of everyone else.
pub struct GatewayHandles {
    /// Carries requests to shards and to the registry.
    pub router: Router,
    /// What the shards count.
    pub counters: ShardCounters,
    /// How many lines of the log were dropped.
    pub log_lines_dropped: Box<dyn Fn() -> u64 + Send>,
    /// How the registry is.
    pub registry_health: RegistryHealth,
    /// How the registry keeps up; `None` if it is only played.
    pub registry_workload: Option<RegistryWorkload>,
    /// What can be read of the store; `None` if the registry keeps no changes.
    pub archive: Option<Archived>,
    /// How callbacks go; `None` if there is nobody who sends any.
    pub callback_metrics: Option<Arc<CallbackMetrics>>,
    /// The callbacks that were given up; `None` if there is nobody who sends any.
    pub callbacks: Option<Arc<dyn DeadLetters>>,
    /// Who takes a changed configuration.
    pub reload: Arc<dyn ReloadHandler>,
    /// The cluster; `None` if this is its only node.
    pub cluster: Option<ClusterHandles>,
}

impl fmt::Debug for GatewayHandles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewayHandles")
    }
}

/// How shards and the registry reply to the HTTP server, and tell it what became of messages.
#[derive(Debug, Clone)]
pub struct HttpReplySender {
    replies: mpsc::Sender<ToHttp>,
    outcomes: mpsc::Sender<Vec<LateOutcome>>,
}

/// Notices of what became of messages that may be on the way to the HTTP server: a few of each shard, which has at most one a turn.
/// A shard keeps what finds no room.
const OUTCOME_NOTICES_IN_FLIGHT_MAX: usize = 256;

impl HttpReplySender {
    /// Hands over a reply. Nothing happens if the server has stopped.
    ///
    /// # Errors
    /// Gives it back if there is no room. Each open request keeps room for one reply of every shard and every other node.
    pub fn send(&self, reply: ToHttp) -> Result<(), ToHttp> {
        unless_full(self.replies.try_send(reply))
    }

    /// Hands over what became of messages. Nothing happens if the server has stopped.
    ///
    /// # Errors
    /// Gives it back if there is no room.
    pub fn tell(&self, outcomes: Vec<LateOutcome>) -> Result<(), Vec<LateOutcome>> {
        unless_full(self.outcomes.try_send(outcomes))
    }
}

fn unless_full<T>(sent: Result<(), mpsc::error::TrySendError<T>>) -> Result<(), T> {
    match sent {
        Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        Err(mpsc::error::TrySendError::Full(unsent)) => Err(unsent),
    }
}

/// The other end of an [`HttpReplySender`].
#[derive(Debug)]
pub struct HttpReplyReceiver {
    inbox: HttpInbox,
    shards: u16,
}

/// A channel to the HTTP server, with room for the replies of `shards` shards and `peers` other nodes to every open request.
#[must_use]
pub fn reply_channel(shards: u16, peers: u16, limits: &Limits) -> (HttpReplySender, HttpReplyReceiver) {
    let others = usize::from(shards) + usize::from(peers);
    let (replies, replies_in) = mpsc::channel(limits.in_flight_max * others);
    let (outcomes, outcomes_in) = mpsc::channel(OUTCOME_NOTICES_IN_FLIGHT_MAX);
    let inbox = HttpInbox {
        replies: replies_in,
        outcomes: outcomes_in,
    };
    (
        HttpReplySender { replies, outcomes },
        HttpReplyReceiver { inbox, shards },
    )
}

/// A running HTTP server.
#[derive(Debug)]
pub struct HttpServer {
    stop: watch::Sender<Option<Duration>>,
    thread: JoinHandle<io::Result<()>>,
}

impl HttpServer {
    /// Starts the server's thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        settings: watch::Receiver<Arc<HttpSettings>>,
        listeners: HttpListeners,
        receiver: HttpReplyReceiver,
        handles: GatewayHandles,
        (clock, serving): (Clock, Serving),
    ) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(None);
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                let HttpReplyReceiver { inbox, shards } = receiver;
                let mut handles = handles;
                let cluster = handles.cluster.take();
                let rooms = rooms(
                    settings,
                    (shards, cluster.as_ref()),
                    handles,
                    (clock, serving),
                    stopped.clone(),
                );
                runtime::block_on(serve::run(Rc::new(rooms), (listeners, cluster), inbox, stopped))?
            })?;
        Ok(Self { stop, thread })
    }

    /// Takes no more requests, ends the open ones, at the latest after `within`, and waits for the thread.
    ///
    /// # Errors
    /// If the server could not run, or ended before, on its own.
    ///
    /// # Panics
    /// If the server's thread did.
    pub fn stop(self, within: Duration) -> io::Result<()> {
        self.stop.send_replace(Some(within));
        self.thread
            .join()
            .expect("the HTTP server's thread does not panic")
    }

    /// Whether the server has ended on its own.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

/// All that answers requests, made on the server's own thread.
fn rooms(
    settings: watch::Receiver<Arc<HttpSettings>>,
    (shards, cluster): (u16, Option<&ClusterHandles>),
    handles: GatewayHandles,
    (clock, serving): (Clock, Serving),
    stopped: watch::Receiver<Option<Duration>>,
) -> AnsweringRooms {
    let limits = settings.borrow().limits;
    let view = cluster.map(|cluster| cluster.view.clone());
    let http = Rc::new(HttpState {
        settings,
        limits,
        pending: PendingRequests::new(
            UserHomes::new(shards, view, clock.clone()),
            limits,
            handles.router,
        ),
        messages: Messages::new(),
        bodies: Bodies::new(&limits),
        backend_slots: ConnectionSlots::new(limits, limits.connections_max),
        admin_slots: ConnectionSlots::new(limits, limits.admin_connections_max),
        web_slots: ConnectionSlots::new(limits, limits.web_connections_max),
        throttle: FailureThrottle::default(),
        counters: handles.counters,
        registry: handles.registry_health,
        query_times: RefCell::default(),
        clock: RefCell::new(clock),
        serving,
        stopped,
    });
    let metrics = MetricSources::new(
        handles.log_lines_dropped,
        handles.registry_workload,
        handles.callback_metrics,
        cluster.map(ClusterHandles::metrics),
    );
    let admin = AdminState {
        http: Rc::clone(&http),
        requests: Semaphore::new(limits.admin_requests_max()),
        metrics,
        readers: StoreReaders::new(handles.archive),
        callbacks: handles.callbacks,
        reload: handles.reload,
        reloads: Arc::new(Semaphore::new(1)),
        orders: cluster.map(|cluster| cluster.orders.clone()),
    };
    AnsweringRooms {
        backend: BackendState::new(Rc::clone(&http)),
        admin,
        web: WebFiles::new(),
        gzip: Gzip::new(),
        http,
    }
}
