//! Start, run, stop: threads are started against the way of deliveries, so that nobody writes to someone who is not
//! there yet, and ended along it, by one deadline.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use tokio::sync::watch;

use super::addresses::{ListenerRole, listen};
use super::callbacks::{self, CallbackUpdates};
use super::certificates::warn_of_open_keys;
use super::cluster::{ClusterNode, StoppedCluster};
use super::cluster_plan::{ClusterPlan, DeskEnds};
use super::config::Config;
use super::counter_watch::CounterWatch;
use super::deadline::{Deadline, StopStage};
use super::expiry_watch::ExpiryWatch;
use super::records::{Records, StartedRegistry};
use super::reload::{self, ConfigSource, ReloadTargets, Reloader, http_settings};
use super::reload_thread::ReloadThread;
use super::rlimits;
use super::router::{Inboxes, SendToShard, notify};
use super::service_manager::ServiceManager;
use super::shard_set::{LiveShards, ShardLauncher};
use super::signals::{self, SignalRequest, Signals};
use super::startup_wait::StartupWait;
use super::store::{self, DiskStore};
use super::timekeeper::{self, Timekeeper};
use crate::base::ids::ShardId;
use crate::base::time::{Clock, Stopwatch};
use crate::logic::delivery::ToShard;
use crate::protocol::transport::settings::ListenerTransports;
use crate::services::callback::{CallbackHandle, CallbackService, CallbackStore};
use crate::services::http::{self, HttpServer, Serving, ShardCounters};
use crate::services::registry::{self, Registry};
use crate::services::trust::Trust;
use crate::shard::Restored;

/// Batches of users that are read ahead of a shard.
const RESTORED_UNDER_WAY: usize = 16;

/// How often it is looked whether all threads still live.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How often a service manager that had no room is told again of a stop: soon, since it may end what asks for no more time.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// A node whose threads all run.
struct Node<R> {
    shards: R,
    count: u16,
    shards_sender: SendToShard,
    front: HttpServer,
    registry: Registry,
    callbacks: Option<CallbackService>,
    clock: Clock,
    stop_within: Duration,
    serving: Serving,
    reloads: ReloadThread,
    registry_health: registry::health::RegistryHealth,
    counters: ShardCounters,
    settings: watch::Receiver<Arc<http::HttpSettings>>,
    manager: ServiceManager,
    cluster: Option<ClusterNode>,
}

/// Runs a node until a signal asks it to stop; SIGHUP has it read its configuration again. Calls `announce` when its listeners are open.
///
/// # Errors
/// If it could not start, or one of its threads ended on its own.
pub fn run<P: ShardLauncher>(
    config: &Config,
    origin: ConfigSource,
    (shards, tls): (P, http::HttpTls),
    announce: impl FnOnce(),
) -> anyhow::Result<()> {
    let signals = Signals::hear(config.stop_within)?;
    let manager = ServiceManager::from_environment();
    let mut node = Node::start(config, origin, (shards, tls), manager)?;
    node.serving.begin();
    signals.started();
    node.manager.ready(&node.condition());
    tell_start(config, node.count);
    warn_of_open_keys(config);
    reload::warn_of_ended_keys(config, node.clock.clone().now().wall);
    announce();
    let outcome = node.serve(&signals);
    node.stop()?;
    outcome
}

fn tell_start(config: &Config, shards: u16) {
    let Config {
        http,
        admin,
        registry,
        ..
    } = config;
    let terminals: Vec<_> = config.terminals.iter().map(ToString::to_string).collect();
    let (version, store) = (env!("CARGO_PKG_VERSION"), registry.store);
    let (path, durability) = (registry.path.display(), registry.durability);
    tracing::info!(version, shards, ?terminals, ?http, ?admin, ?store, %path, ?durability, "started");
}

impl<R: LiveShards + Send + 'static> Node<R> {
    fn start<P: ShardLauncher<Shards = R>>(
        config: &Config,
        origin: ConfigSource,
        (shards, tls): (P, http::HttpTls),
        manager: ServiceManager,
    ) -> anyhow::Result<Self> {
        let records = Records::of(config)?;
        let clock = Clock::start();
        let (count, shards_sender, transports) = (shards.count(), shards.sender(), shards.transports());
        let limits = http::Limits::within(rlimits::raise_descriptors());
        let (http_sender, inbox) = http::reply_channel(count, records.peers_max(), &limits);
        let listeners = http_listeners(config)?;
        let inboxes = Inboxes::of(&shards_sender, http_sender);
        let replies = inboxes.clone();
        records.close(&shards_sender, count);
        let StartedRegistry {
            registry,
            health: registry_health,
            callbacks: callbacks_owed,
            kept,
            cluster,
        } = records.start_registry(config, count, replies.clone(), &clock)?;
        let inboxes = inboxes.with_registry(registry.sender());
        let shards = start_shards(shards, &inboxes, (kept.as_ref(), &registry_health), &clock)?;
        let callbacks = start_callbacks(config, kept.as_ref(), cluster.as_ref(), &clock)?;
        let handle = callbacks.as_ref().map(CallbackService::handle);
        let (archive, dead_letters) = callbacks::readable(kept.as_ref(), cluster.as_ref(), handle.clone());
        let ways = (&shards_sender, count, replies);
        let (cluster, cluster_handles) = start_cluster(config, cluster, ways, handle.clone(), &clock)?;
        let serving = Serving::default();
        let (http_settings, settings) = watch::channel(Arc::new(http_settings(config, tls, limits)));
        let callbacks_told = CallbackUpdates::new(callbacks_owed, handle.clone());
        let shards_told = (&shards_sender, count, transports);
        let told = told_of_reloads(shards_told, http_settings, callbacks_told, &manager);
        let (lines, life) = (origin.lines.clone(), (clock.clone(), serving.clone()));
        let users = kept.map(DiskStore::archive);
        let reloader = Arc::new(Reloader::new((config.clone(), origin), told, users, life.clone()));
        let handles = http::GatewayHandles {
            router: inboxes.of_http(cluster.as_ref().map(ClusterNode::peers)).router(),
            counters: shards.counters(),
            log_lines_dropped: Box::new(move || lines.dropped()),
            registry_health: registry_health.clone(),
            registry_workload: Some(registry.workload()),
            archive,
            callback_metrics: handle.as_ref().map(CallbackHandle::metrics),
            callbacks: dead_letters,
            reload: Arc::clone(&reloader) as Arc<dyn http::ReloadHandler>,
            cluster: cluster_handles,
        };
        let front = HttpServer::start(settings.clone(), listeners, inbox, handles, life)?;
        let reloads = ReloadThread::start(move || reloader.reload_by_signal(reload::SIGNAL_ROUNDS))?;
        cluster.as_ref().map_or(Ok(()), ClusterNode::wait_joined)?;
        Ok(Self {
            cluster,
            counters: shards.counters(),
            settings,
            shards,
            count,
            shards_sender,
            front,
            registry,
            callbacks,
            clock,
            stop_within: config.stop_within,
            serving,
            reloads,
            registry_health,
            manager,
        })
    }

    /// Does what signals ask for, and looks after the threads, until it is to stop.
    fn serve(&mut self, signals: &Signals) -> anyhow::Result<()> {
        let mut timekeeper = Timekeeper::start();
        let mut expiry_watch = ExpiryWatch::new(self.settings.clone());
        let mut watch = CounterWatch::new(self.shards.counters());
        loop {
            match signals.asked.recv_timeout(CHECK_INTERVAL) {
                Ok(SignalRequest::Stop) => return Ok(()),
                Ok(SignalRequest::Reload) => self.reloads.ask(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("nobody hears signals any more"),
            }
            if self.cluster.as_ref().is_some_and(ClusterNode::has_drained) {
                return Ok(());
            }
            self.check()?;
            timekeeper.look();
            expiry_watch.look(self.clock.clone().now().wall);
            watch.look();
            self.cluster.iter_mut().for_each(ClusterNode::look);
            self.manager.look(|| self.condition());
        }
    }

    /// How it is, in a line for people.
    fn condition(&self) -> String {
        let (connections, shards) = (self.shards.connections(), self.count);
        match http::ready(&self.serving, &self.registry_health, &self.counters) {
            Ok(()) => format!("{connections} connections on {shards} shards"),
            Err(reason) => format!("not ready: {reason}; {connections} connections"),
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.callbacks.as_ref().is_some_and(CallbackService::has_ended) {
            bail!("the callback service has ended on its own; its last words are in the log");
        }
        if let Some(cluster) = &self.cluster {
            cluster.check()?;
        }
        if self.shards.has_ended() {
            bail!("a shard has ended on its own; its last words are in the log");
        }
        if self.front.has_ended() {
            bail!("the HTTP server has ended on its own; its last words are in the log");
        }
        if self.registry.has_ended() {
            bail!("the registry has ended on its own; its last words are in the log");
        }
        if self.reloads.has_ended() {
            bail!("the thread for reloads has ended on its own; its last words are in the log");
        }
        Ok(())
    }

    /// Ends all threads by the deadline, or leaves those that do not end to the end of the process.
    fn stop(mut self) -> anyhow::Result<()> {
        let now = self.clock.now().instant;
        let deadline = Deadline::new(now, self.stop_within);
        let (ended, end) = bounded(1);
        let (mut clock, manager) = (self.clock.clone(), self.manager.clone());
        std::thread::Builder::new()
            .name("stop".to_owned())
            .spawn(move || ended.send(self.end(deadline)))?;
        loop {
            let left = deadline.left(clock.now().instant, StopStage::Whole);
            match end.recv_timeout(left.min(STOP_CHECK_INTERVAL)) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Timeout) if left > STOP_CHECK_INTERVAL => manager.tell_owed(),
                Err(RecvTimeoutError::Timeout) => bail!("not everything has ended by node.stop_deadline_s"),
                Err(RecvTimeoutError::Disconnected) => bail!("a part has panicked at its end"),
            }
        }
    }

    /// Ends the threads along the way of deliveries.
    fn end(mut self, deadline: Deadline) -> anyhow::Result<()> {
        let began = Stopwatch::start();
        let connections = self.shards.connections();
        tracing::info!(connections, "stopping");
        self.manager.stopping(self.stop_within + signals::GRACE);
        self.serving.end();
        let left = |clock: &mut Clock, part| deadline.left(clock.now().instant, part);
        let within = left(&mut self.clock, StopStage::Clients);
        let cluster = self.cluster.map(|cluster| cluster.stop(within));
        for shard in 0..self.count {
            notify(&self.shards_sender, ShardId(shard), ToShard::Stop);
        }
        let front = self.front.stop(left(&mut self.clock, StopStage::Clients));
        let dropped = self.shards.join();
        if dropped > 0 {
            tracing::warn!(dropped, "connections were not closed in time, and dropped");
        }
        self.registry.finish();
        let within = left(&mut self.clock, StopStage::Callbacks);
        let callbacks = self.callbacks.map_or(Ok(()), |service| service.stop(within));
        front.context("the HTTP server")?;
        cluster
            .map_or(Ok(()), StoppedCluster::finish)
            .context("the way to other nodes")?;
        callbacks.context("the callback service")?;
        let closed = connections.saturating_sub(dropped);
        tracing::info!(closed, dropped, took = ?began.elapsed(), "stopped");
        Ok(())
    }
}

fn told_of_reloads(
    (shards, count, transports): (&SendToShard, u16, ListenerTransports),
    front: watch::Sender<Arc<http::HttpSettings>>,
    callbacks: CallbackUpdates,
    manager: &ServiceManager,
) -> ReloadTargets {
    ReloadTargets {
        shards: Arc::clone(shards),
        count,
        transports,
        front,
        callbacks,
        answer_within: reload::ADOPTED_WITHIN_MAX,
        manager: manager.clone(),
    }
}

fn http_listeners(config: &Config) -> anyhow::Result<http::HttpListeners> {
    let wait = StartupWait(config.startup_wait);
    Ok(http::HttpListeners {
        backend: listen(ListenerRole::Backend, config, wait)?,
        admin: listen(ListenerRole::Admin, config, wait)?,
        web: listen(ListenerRole::Web, config, wait)?,
    })
}

/// Starts the shards, which first take in the users that are on record.
fn start_shards<P: ShardLauncher>(
    shards: P,
    inboxes: &Inboxes,
    (kept, health): (Option<&DiskStore>, &registry::health::RegistryHealth),
    clock: &Clock,
) -> anyhow::Result<P::Shards> {
    let channels = (0..shards.count()).map(|_| bounded(RESTORED_UNDER_WAY));
    let (restored, receivers): (Vec<_>, Vec<_>) = channels.unzip();
    let shards = shards.start(clock.clone(), inboxes, receivers)?;
    bring_back(kept, restored, health, clock.clone())?;
    Ok(shards)
}

/// Has the node take part in its cluster, if it is of one.
fn start_cluster(
    config: &Config,
    cluster: Option<(ClusterPlan, DeskEnds)>,
    (shards, count, replies): (&SendToShard, u16, Inboxes),
    callbacks: Option<CallbackHandle>,
    clock: &Clock,
) -> anyhow::Result<(Option<ClusterNode>, Option<http::ClusterHandles>)> {
    let start = |(cluster, callbacks)| {
        ClusterNode::start(config, cluster, (shards, count), (replies, callbacks), clock)
    };
    Ok(cluster.zip(callbacks).map(start).transpose()?.unzip())
}

/// Has the shards take in the users that are on record, and looks whether the clock agrees with the records.
fn bring_back(
    kept: Option<&DiskStore>,
    shards: Vec<Sender<Restored>>,
    registry_health: &registry::health::RegistryHealth,
    mut clock: Clock,
) -> anyhow::Result<()> {
    let users = store::restore(kept, &shards, registry_health)?;
    timekeeper::compare(registry_health.clock_behind(clock.now().wall));
    tracing::info!(users, "users with devices are back");
    Ok(())
}

/// For the changes of this gateway's store, or of a cluster's, of the partitions that the node will own; for none in memory.
fn start_callbacks(
    config: &Config,
    kept: Option<&DiskStore>,
    cluster: Option<&(ClusterPlan, DeskEnds)>,
    clock: &Clock,
) -> anyhow::Result<Option<CallbackService>> {
    const SERVICE: &str = "the callback service";
    let trust = Trust::read(config.callback.ca_file.as_deref()).context(SERVICE)?;
    let settings = callbacks::settings(config, trust);
    let service = match (cluster, kept) {
        (Some((plan, ends)), _) => {
            let lanes = (plan.store_id(), ends.confirmed.news());
            CallbackService::start_without_lanes(settings, plan.partitions(), lanes, clock.clone())
        }
        (None, Some(kept)) => {
            let source = Arc::clone(&kept.reader) as Arc<dyn CallbackStore>;
            CallbackService::start(settings, source, kept.news.clone(), clock.clone())
        }
        (None, None) => return Ok(None),
    };
    service.map(Some).context(SERVICE)
}

#[cfg(test)]
mod tests;
