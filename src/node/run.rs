//! Start, run, stop: threads are started against the way of the letters, so that nobody writes to someone who is not
//! there yet, and ended along it, by one deadline.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use tokio::sync::watch;

use super::addresses::{Side, listen};
use super::callbacks::{self, Letters, Telling};
use super::config::Config;
use super::deadline::{Deadline, Part};
use super::patience::Patience;
use super::reload::{self, Origin, Steward, front_settings};
use super::reloads::Reloads;
use super::rlimits;
use super::service_manager::ServiceManager;
use super::signals::{self, Asked, Signals};
use super::store::{self, Kept, Opened};
use super::timekeeper::{self, Timekeeper};
use super::watch::Watch;
use crate::base::ids::ShardId;
use crate::base::time::{Clock, Stopwatch};
use crate::logic::letter::{ToRegistry, ToShard};
use crate::services::callback::{Handle, Service, Source, Trust};
use crate::services::http::{self, CountersView, DeadLetters, Front, Serving};
use crate::services::registry::{self, Registry, Store};
use crate::shard::Restored;

/// Batches of users that are read ahead of a shard.
const RESTORED_UNDER_WAY: usize = 16;

/// How often it is looked whether all threads still live.
const ROUND: Duration = Duration::from_secs(1);

/// How often a service manager that had no room is told again of a stop: soon, since it may end what asks for no more time.
const STOP_ROUND: Duration = Duration::from_millis(100);

/// The way into all shards. It never blocks, and a shard that has ended takes nothing.
pub type ShardDoor = Arc<dyn Fn(ShardId, ToShard) + Send + Sync>;

/// Shards that are ready to start: bound to their addresses, with open inboxes.
pub trait Prepared {
    /// What they are once they run.
    type Running: Running + Send + 'static;

    /// How many there are.
    fn count(&self) -> u16;
    /// The way into them.
    fn door(&self) -> ShardDoor;
    /// Starts them all. Each first takes in what comes from its place in `restored`.
    ///
    /// # Errors
    /// If the system gives no thread or no ring.
    fn start(
        self,
        clock: Clock,
        registry: Sender<ToRegistry>,
        front: http::Door,
        restored: Vec<Receiver<Restored>>,
    ) -> anyhow::Result<Self::Running>;
}

/// Shards that run.
pub trait Running {
    /// What they count.
    fn counters(&self) -> CountersView;
    /// Connections that are open now.
    fn connections(&self) -> u64;
    /// Whether one of them has ended on its own.
    fn has_ended(&self) -> bool;
    /// Waits for their end, which [`ToShard::Stop`] asks for: they have a deadline of their own, which counts from that
    /// letter. Gives how many connections were still open then.
    fn join(self) -> u64;
}

/// A node whose threads all run.
struct Node<R> {
    shards: R,
    count: u16,
    door: ShardDoor,
    front: Front,
    registry: Registry,
    callbacks: Option<Service>,
    clock: Clock,
    stop_within: Duration,
    serving: Serving,
    reloads: Reloads,
    vitals: registry::Vitals,
    counters: CountersView,
    manager: ServiceManager,
}

/// Runs a node until a signal asks it to stop; SIGHUP has it read its configuration again. Calls `announce` when its listeners are open.
///
/// # Errors
/// If it could not start, or one of its threads ended on its own.
pub fn run<P: Prepared>(
    config: &Config,
    origin: Origin,
    shards: P,
    announce: impl FnOnce(),
) -> anyhow::Result<()> {
    let signals = Signals::hear(config.stop_within)?;
    let node = Node::start(config, origin, shards, ServiceManager::from_environment())?;
    node.serving.begin();
    signals.started();
    node.manager.ready(&node.condition());
    tell_start(config, node.count);
    reload::warn_of_ended_keys(config, node.clock.clone().now().wall);
    announce();
    let outcome = node.serve(&signals);
    node.stop()?;
    outcome
}

fn tell_start(config: &Config, shards: u16) {
    let Config {
        terminals,
        http,
        admin,
        registry,
        ..
    } = config;
    let (version, store) = (env!("CARGO_PKG_VERSION"), registry.store);
    let (path, durability) = (registry.path.display(), registry.durability);
    tracing::info!(version, shards, ?terminals, ?http, ?admin, ?store, %path, ?durability, "started");
}

impl<R: Running + Send + 'static> Node<R> {
    fn start<P: Prepared<Running = R>>(
        config: &Config,
        origin: Origin,
        shards: P,
        manager: ServiceManager,
    ) -> anyhow::Result<Self> {
        let Opened {
            store,
            vitals,
            kept,
            callbacks: callbacks_owed,
        } = Opened::new(config)?;
        let clock = Clock::start();
        let (count, door) = (shards.count(), shards.door());
        let limits = http::Limits::within(rlimits::raise_descriptors());
        let (front_door, inbox) = http::inbox(count, &limits);
        let listeners = front_listeners(config)?;
        let registry = start_registry(config, store, count, (&door, &front_door), &clock)?;
        let (restored, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| bounded(RESTORED_UNDER_WAY)).unzip();
        let shards = shards.start(clock.clone(), registry.door(), front_door, receivers)?;
        bring_back(kept.as_ref(), restored, &vitals, clock.clone())?;
        let callbacks = kept.as_ref().map(|kept| start_callbacks(config, kept, &clock));
        let callbacks = callbacks.transpose().context("the callback service")?;
        let handle = callbacks.as_ref().map(Service::handle);
        let serving = Serving::default();
        let (front_settings, settings) = watch::channel(Arc::new(front_settings(config, limits)));
        let callbacks_told = Telling::new(callbacks_owed, handle.clone());
        let told = told_of_reloads((&door, count), front_settings, callbacks_told, &manager);
        let archived = kept.as_ref().map(Kept::archived);
        let archive = archived.as_ref().map(|archived| Arc::clone(&archived.archive));
        let lines = origin.lines.clone();
        let life = (serving.clone(), clock.clone());
        let steward = Steward::new((config.clone(), origin), told, archive, life);
        let steward = Arc::new(steward);
        let doors = http::Doors {
            shard: boxed(&door),
            registry: asking(registry.door()),
            counters: shards.counters(),
            log_lines_dropped: Box::new(move || lines.dropped()),
            vitals: vitals.clone(),
            registry_workload: Some(registry.workload()),
            archive: archived,
            callback_numbers: handle.as_ref().map(Handle::numbers),
            callbacks: handle.map(|handle| Arc::new(Letters(handle)) as Arc<dyn DeadLetters>),
            steward: Arc::clone(&steward) as Arc<dyn http::Steward>,
        };
        let front = Front::start(
            settings,
            listeners,
            inbox,
            doors,
            (clock.clone(), serving.clone()),
        )?;
        let reloads = Reloads::start(move || steward.reload_by_signal(reload::SIGNAL_ROUNDS))?;
        Ok(Self {
            counters: shards.counters(),
            shards,
            count,
            door,
            front,
            registry,
            callbacks,
            clock,
            stop_within: config.stop_within,
            serving,
            reloads,
            vitals,
            manager,
        })
    }

    /// Does what signals ask for, and looks after the threads, until it is to stop.
    fn serve(&self, signals: &Signals) -> anyhow::Result<()> {
        let mut timekeeper = Timekeeper::start();
        let mut watch = Watch::new(self.shards.counters());
        loop {
            match signals.asked.recv_timeout(ROUND) {
                Ok(Asked::Stop) => return Ok(()),
                Ok(Asked::Reload) => self.reloads.ask(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("nobody hears signals any more"),
            }
            self.check()?;
            timekeeper.look();
            watch.look();
            self.manager.look(|| self.condition());
        }
    }

    /// How it is, in a line for people.
    fn condition(&self) -> String {
        let (connections, shards) = (self.shards.connections(), self.count);
        match http::ready(&self.serving, &self.vitals, &self.counters) {
            Ok(()) => format!("{connections} connections on {shards} shards"),
            Err(reason) => format!("not ready: {reason}; {connections} connections"),
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.callbacks.as_ref().is_some_and(Service::has_ended) {
            bail!("the callback service has ended on its own; its last words are in the log");
        }
        if self.shards.has_ended() {
            bail!("a shard has ended on its own; its last words are in the log");
        }
        if self.front.has_ended() {
            bail!("the HTTP front has ended on its own; its last words are in the log");
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
            let left = deadline.left(clock.now().instant, Part::Whole);
            match end.recv_timeout(left.min(STOP_ROUND)) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Timeout) if left > STOP_ROUND => manager.tell_owed(),
                Err(RecvTimeoutError::Timeout) => bail!("not everything has ended by node.stop_deadline_s"),
                Err(RecvTimeoutError::Disconnected) => bail!("a part has panicked at its end"),
            }
        }
    }

    /// Ends the threads along the way of the letters.
    fn end(mut self, deadline: Deadline) -> anyhow::Result<()> {
        let began = Stopwatch::start();
        let connections = self.shards.connections();
        tracing::info!(connections, "stopping");
        self.manager.stopping(self.stop_within + signals::GRACE);
        self.serving.end();
        for shard in 0..self.count {
            (self.door)(ShardId(shard), ToShard::Stop);
        }
        let left = |clock: &mut Clock, part| deadline.left(clock.now().instant, part);
        let front = self.front.stop(left(&mut self.clock, Part::Doors));
        let dropped = self.shards.join();
        if dropped > 0 {
            tracing::warn!(dropped, "connections were not closed in time, and dropped");
        }
        self.registry.finish();
        let within = left(&mut self.clock, Part::Callbacks);
        let callbacks = self.callbacks.map_or(Ok(()), |service| service.stop(within));
        front.context("the HTTP front")?;
        callbacks.context("the callback service")?;
        let closed = connections.saturating_sub(dropped);
        tracing::info!(closed, dropped, took = ?began.elapsed(), "stopped");
        Ok(())
    }
}

fn told_of_reloads(
    (door, count): (&ShardDoor, u16),
    front: watch::Sender<Arc<http::Settings>>,
    callbacks: Telling,
    manager: &ServiceManager,
) -> reload::Listeners {
    reload::Listeners {
        shards: Arc::clone(door),
        count,
        front,
        callbacks,
        patience: reload::TAKEN_WITHIN,
        manager: manager.clone(),
    }
}

fn front_listeners(config: &Config) -> anyhow::Result<http::Listeners> {
    let patience = Patience(config.start_patience);
    Ok(http::Listeners {
        backend: listen(Side::Backend, config, patience)?,
        admin: listen(Side::Admin, config, patience)?,
    })
}

/// Has the shards take in the users that are on record, and looks whether the clock agrees with the records.
fn bring_back(
    kept: Option<&Kept>,
    doors: Vec<Sender<Restored>>,
    vitals: &registry::Vitals,
    mut clock: Clock,
) -> anyhow::Result<()> {
    let users = store::restore(kept, &doors, vitals)?;
    timekeeper::compare(vitals.clock_behind(clock.now().wall));
    tracing::info!(users, "users with devices are back");
    Ok(())
}

fn start_callbacks(config: &Config, kept: &Kept, clock: &Clock) -> io::Result<Service> {
    let source = Arc::clone(&kept.reading) as Arc<dyn Source>;
    let trust = Trust::read(config.callback.ca_file.as_deref())?;
    Service::start(
        callbacks::settings(config, trust),
        source,
        kept.news.clone(),
        clock.clone(),
    )
}

fn boxed(door: &ShardDoor) -> Box<dyn Fn(ShardId, ToShard) + Send> {
    let door = Arc::clone(door);
    Box::new(move |shard, letter| door(shard, letter))
}

fn start_registry(
    config: &Config,
    store: Box<dyn Store>,
    shards: u16,
    (door, front): (&ShardDoor, &http::Door),
    clock: &Clock,
) -> io::Result<Registry> {
    let front = front.clone();
    let doors = registry::Doors {
        shard: boxed(door),
        front: Box::new(move |letter| front.send(letter)),
    };
    Registry::start(store, config.trouble, shards, doors, clock.clone())
}

/// The front's way into the registry.
fn asking(registry: Sender<ToRegistry>) -> Box<dyn Fn(ToRegistry) + Send> {
    Box::new(move |letter| match registry.try_send(letter) {
        // The node notices by itself that the registry has ended.
        Ok(()) | Err(TrySendError::Disconnected(_)) => {}
        Err(TrySendError::Full(letter)) => {
            panic!("the registry has room for every open request: {letter:?}")
        }
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::service_manager;
    use super::*;

    type Letters = Arc<Mutex<Vec<(ShardId, ToShard)>>>;

    /// Shards that note what they are told, and answer nothing.
    #[derive(Default)]
    struct Recorder {
        letters: Letters,
        /// Where the way into the registry is kept when the shards have ended.
        keeps: Option<Arc<Mutex<Option<Sender<ToRegistry>>>>>,
        /// Whether one has ended on its own.
        ended: bool,
        /// Users whose changes the registry cannot take.
        retrying: Arc<AtomicU64>,
    }

    struct Recording {
        letters: Letters,
        ended: bool,
        retrying: Arc<AtomicU64>,
        keeps: Option<Arc<Mutex<Option<Sender<ToRegistry>>>>>,
        registry: Sender<ToRegistry>,
    }

    impl Prepared for Recorder {
        type Running = Recording;

        fn count(&self) -> u16 {
            2
        }

        fn door(&self) -> ShardDoor {
            let letters = Arc::clone(&self.letters);
            Arc::new(move |shard, letter| letters.lock().unwrap().push((shard, letter)))
        }

        fn start(
            self,
            _: Clock,
            registry: Sender<ToRegistry>,
            _: http::Door,
            _: Vec<Receiver<Restored>>,
        ) -> anyhow::Result<Recording> {
            Ok(Recording {
                letters: self.letters,
                ended: self.ended,
                retrying: self.retrying,
                keeps: self.keeps,
                registry,
            })
        }
    }

    impl Running for Recording {
        fn counters(&self) -> CountersView {
            CountersView {
                names: vec![("commits_retrying_now", "")],
                values: Box::new({
                    let retrying = Arc::clone(&self.retrying);
                    move || vec![vec![retrying.load(Ordering::Relaxed)]]
                }),
                turn_times: Box::new(Vec::new),
            }
        }

        fn connections(&self) -> u64 {
            0
        }

        fn has_ended(&self) -> bool {
            self.ended
        }

        fn join(self) -> u64 {
            let told = self.letters.lock().unwrap().clone();
            assert_eq!(told, [(ShardId(0), ToShard::Stop), (ShardId(1), ToShard::Stop)]);
            if let Some(keeps) = self.keeps {
                *keeps.lock().unwrap() = Some(self.registry);
            }
            0
        }
    }

    fn node(shards: Recorder, stop_within: Duration) -> Node<Recording> {
        let mut config = Config::read(&super::super::config::Sources::default()).unwrap();
        let anywhere = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        (config.http, config.admin) = (anywhere.clone(), anywhere);
        config.registry.store = super::super::config::StoreKind::Memory;
        config.stop_within = stop_within;
        let origin = Origin {
            sources: super::super::config::Sources::default(),
            level: super::super::log::Level::of_nothing(),
            lines: super::super::log::Lines::of_nothing(),
        };
        Node::start(&config, origin, shards, ServiceManager::default()).unwrap()
    }

    #[test]
    fn starts_serves_and_stops() {
        let node = node(Recorder::default(), Duration::from_secs(600));
        node.check().unwrap();
        node.stop().unwrap();
    }

    #[test]
    fn a_shard_that_ends_on_its_own_ends_the_node() {
        let shards = Recorder {
            ended: true,
            ..Recorder::default()
        };
        let node = node(shards, Duration::from_secs(600));
        let error = node.check().unwrap_err();
        assert!(
            error.to_string().starts_with("a shard has ended on its own"),
            "{error}"
        );
        node.stop().unwrap();
    }

    #[test]
    fn a_reload_that_panics_ends_the_node() {
        let mut node = node(Recorder::default(), Duration::from_secs(600));
        node.reloads = Reloads::start(|| panic!("as a test wants it")).unwrap();
        node.check().unwrap();
        node.reloads.ask();
        while !node.reloads.has_ended() {
            std::thread::yield_now();
        }
        let error = node.check().unwrap_err();
        assert!(error.to_string().starts_with("the thread for reloads"), "{error}");
        node.stop().unwrap();
    }

    #[test]
    fn people_are_told_what_probes_are_told() {
        let retrying = Arc::new(AtomicU64::new(0));
        let shards = Recorder {
            retrying: Arc::clone(&retrying),
            ..Recorder::default()
        };
        let node = node(shards, Duration::from_secs(600));
        let before = "not ready: the gateway is starting or stopping; 0 connections";
        assert_eq!(node.condition(), before);
        node.serving.begin();
        assert_eq!(node.condition(), "0 connections on 2 shards");
        retrying.store(3, Ordering::Relaxed);
        let lacking = "not ready: the registry cannot take the changes of 3 users; 0 connections";
        assert_eq!(node.condition(), lacking);
        node.stop().unwrap();
    }

    #[test]
    fn a_manager_that_had_no_room_is_told_of_the_stop_while_it_goes_on() {
        let (_folder, socket, known) = service_manager::tests::manager();
        let keeps = Arc::default();
        let shards = Recorder {
            keeps: Some(Arc::clone(&keeps)),
            ..Recorder::default()
        };
        let mut node = node(shards, Duration::from_secs(600));
        node.manager = known;
        service_manager::tests::fill(&socket);
        let stopping = std::thread::spawn(|| node.stop());
        // It has begun, and lasts for as long as somebody can write to the registry.
        while keeps.lock().unwrap().is_none() {
            std::thread::yield_now();
        }
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        while service_manager::tests::next(&socket)[0] != "STOPPING=1" {}
        drop(keeps.lock().unwrap().take());
        stopping.join().unwrap().unwrap();
    }

    #[test]
    fn what_does_not_end_is_left_at_the_deadline() {
        let keeps = Arc::default();
        let shards = Recorder {
            keeps: Some(Arc::clone(&keeps)),
            ..Recorder::default()
        };
        let node = node(shards, Duration::from_millis(100));
        // The registry goes on for as long as somebody can write to it.
        let late = node.stop().unwrap_err();
        assert!(late.to_string().contains("node.stop_deadline_s"), "{late}");
        drop(keeps.lock().unwrap().take());
    }
}
