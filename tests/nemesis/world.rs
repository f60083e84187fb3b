//! The world of a scenario: hosts, the servers of the shared store, nodes, terminals, the receiver of callbacks, and those who ask.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast::base::ids::UserId;
use holdfast::base::time::Clock;
use holdfast::protocol::usersig;
use serde_json::Value;

use crate::backend::{Backend, Doors};
use crate::history::{Event, Recorder};
use crate::network::{Group, Host, Network};
use crate::node::{FakeTime, GRACE_S, Node, SECRET, TIMEOUT_S, TOKEN};
use crate::servers::Servers;
use crate::support::gateway::{Gateway, SDK_APP_ID};
use crate::support::receiver::Receiver;
use crate::workload::{Phase, Workload};

/// What a test waits for comes within this time, or not at all.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub const PARTITIONS: u16 = 16;
/// The nodes that a world begins with.
pub const NODES: usize = 3;
/// Of which each has three terminals: 300 terminals for each node.
const USERS: usize = 300;

/// Terminals, receiver and backend.
pub const OUTSIDE: Group = Group(Ipv4Addr::new(10, 77, 9, 1), 32);
/// All nodes.
pub const ALL_NODES: Group = Group(Ipv4Addr::new(10, 77, 1, 0), 24);
/// All servers of the shared store.
pub const ALL_SERVERS: Group = Group(Ipv4Addr::new(10, 77, 2, 0), 24);

/// Calls `what` until it is so.
pub fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    assert!(comes_true(PATIENCE, is_so), "it takes too long: {what}");
}

/// Whether it becomes so within that time.
pub fn comes_true(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    true
}

/// Everything.
pub struct World {
    pub network: Network,
    pub servers: Servers,
    pub nodes: Vec<Node>,
    pub recorder: Arc<Recorder>,
    pub workload: Arc<Workload>,
    pub receiver: Receiver,
    pub backend: Backend,
    pub runtime: tokio::runtime::Runtime,
    folder: PathBuf,
    clocks: bool,
    /// Nodes that can be asked.
    asked: Arc<Mutex<Vec<Doors>>>,
    busy: Vec<std::thread::JoinHandle<()>>,
    outside: Arc<Host>,
    pub rng: fastrand::Rng,
}

pub fn users() -> Vec<String> {
    (0..USERS).map(|user| format!("user-{user}")).collect()
}

impl World {
    /// A world that is whole, with terminals and backends at work.
    pub fn start(mut network: Network, folder: &Path, (scenario, seed): (&str, u64), clocks: bool) -> Self {
        let outside = network.host(OUTSIDE.0);
        outside.enter();
        let hosts = (0..6).map(|number| network.host(Ipv4Addr::new(10, 77, 2, number + 1)));
        let hosts = hosts.collect();
        let servers = Servers::start(hosts, folder);
        let recorder = Arc::new(Recorder::new(&folder.join("history.jsonl")));
        recorder.record(&Event::World {
            seed,
            scenario: scenario.to_owned(),
            grace_us: GRACE_S * 1_000_000,
            timeout_us: TIMEOUT_S * 1_000_000,
        });
        let administrator = UserId::new(b"administrator").unwrap();
        let now = Clock::start().now().wall;
        let sig = usersig::sign(now, SDK_APP_ID, SECRET, &administrator, 86_400);
        let runtime = runtime();
        let mut world = Self {
            network,
            servers,
            nodes: Vec::new(),
            workload: Workload::new(Arc::clone(&recorder), SECRET, seed),
            recorder,
            receiver: Receiver::start_at(SocketAddr::from((OUTSIDE.0, 8_080)), 0),
            backend: Backend::new(&sig, TOKEN),
            runtime,
            folder: folder.to_owned(),
            clocks,
            asked: Arc::default(),
            busy: Vec::new(),
            outside: Arc::new(outside),
            rng: fastrand::Rng::with_seed(seed),
        };
        for _ in 0..NODES {
            world.add_node();
        }
        world.found();
        for place in 0..NODES {
            world.start_node(place);
        }
        world.wait_whole();
        world.begin();
        world
    }

    /// One more host for a node. Gives its place.
    pub fn add_node(&mut self) -> usize {
        let number = u8::try_from(self.nodes.len() + 1).unwrap();
        let host = self.network.host(Ipv4Addr::new(10, 77, 1, number));
        let folder = self.folder.join(format!("node-{number}"));
        fs::create_dir_all(&folder).unwrap();
        self.nodes.push(Node {
            number: number.into(),
            host,
            clock: self.clocks.then(|| FakeTime::new(&folder)),
            folder,
            gateway: None,
            is_paused: false,
        });
        self.nodes.len() - 1
    }

    fn settings(&self, place: usize) -> Vec<(String, String)> {
        let urls: Vec<_> = self.servers.0.iter().map(|server| server.url()).collect();
        self.nodes[place].settings(&urls, &self.receiver.url())
    }

    /// A command of a node's configuration, on its host.
    fn command(&self, place: usize, arguments: &[&str]) -> Command {
        let mut command = self.nodes[place].command();
        command.args(arguments);
        for (key, value) in self.settings(place) {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let node = &self.nodes[place];
        let (doors, terminals) = (node.doors(), node.terminals());
        for (key, address) in [
            ("terminals.listen", terminals),
            ("http.listen", doors.http),
            ("admin.listen", doors.admin),
        ] {
            command.arg("--set").arg(format!("{key}=[\"{address}\"]"));
        }
        command
    }

    fn found(&self) {
        let partitions = PARTITIONS.to_string();
        // A replica that has only just come may take longer to acknowledge anything than a call waits for it.
        wait_until("a cluster that is founded", || {
            let mut create = self.command(0, &["cluster", "create", "--partitions", &partitions]);
            create.status().unwrap().success()
        });
    }

    /// Starts a node, and does not wait until it is ready.
    pub fn start_node(&mut self, place: usize) {
        let settings = self.settings(place);
        let settings: Vec<_> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
        let node = &mut self.nodes[place];
        let doors = node.doors();
        let addresses = [node.terminals(), doors.http, doors.admin];
        // The one before it, if there was one, is gone.
        node.gateway = None;
        node.gateway = Some(Gateway::spawn(addresses, node.command(), &settings));
        self.open_doors();
    }

    /// Terminals and backends come to the nodes that are meant to run.
    pub fn open_doors(&self) {
        let running = || self.nodes.iter().filter(|node| node.gateway.is_some());
        *self.workload.doors.lock().unwrap() = running().map(Node::terminals).collect();
        *self.asked.lock().unwrap() = running().map(Node::doors).collect();
    }

    /// What `/v1/cluster` of a node shows.
    fn view(&self, place: usize) -> Option<Value> {
        let doors = self.nodes[place].doors();
        self.runtime.block_on(self.backend.get(doors, "/v1/cluster"))
    }

    /// Whether a node answers terminals and backends.
    pub fn is_ready(&self, place: usize) -> bool {
        self.view(place).is_some()
    }

    /// Has a node hand over all it has, as an operator on its host does.
    pub fn drain(&self, place: usize) {
        let told = || self.command(place, &["cluster", "drain"]).status();
        wait_until("a node that is told to drain", || told().unwrap().success());
    }

    /// Waits until a node has ended by itself.
    pub fn wait_ended(&mut self, place: usize) {
        assert!(
            self.ends_within(PATIENCE, place),
            "a node that is told to end ends"
        );
    }

    /// Whether a node ends by itself within that time, well or, if something is cut, at its deadline.
    pub fn ends_within(&mut self, patience: Duration, place: usize) -> bool {
        let gateway = self.nodes[place].gateway.as_mut().expect("it runs");
        let ends = comes_true(patience, || gateway.has_ended());
        if ends {
            self.nodes[place].gateway = None;
            self.open_doors();
        }
        ends
    }

    /// Waits until each partition is open at a node that runs, and all of them agree about that.
    pub fn wait_whole(&mut self) {
        self.servers.wait_whole();
        let running: Vec<usize> = (0..self.nodes.len())
            .filter(|place| self.nodes[*place].gateway.is_some())
            .collect();
        let numbers: Vec<u64> = running
            .iter()
            .map(|place| self.nodes[*place].number.into())
            .collect();
        let is_whole = |world: &Self| {
            let homes = |view: Option<Value>| {
                let partitions = view?["partitions"].as_array()?.clone();
                let homes = partitions.iter().map(|home| home["node"].as_u64());
                homes.collect::<Option<Vec<_>>>()
            };
            let all: Option<Vec<_>> = running.iter().map(|place| homes(world.view(*place))).collect();
            let is_shared = |known: &[u64]| numbers.iter().all(|number| known.contains(number));
            all.is_some_and(|all| {
                all.iter().all(|known| *known == all[0])
                    && all[0].iter().all(|home| numbers.contains(home))
                    && is_shared(&all[0])
            })
        };
        wait_until("each partition open at one of the nodes", || {
            self.supervise();
            is_whole(self)
        });
    }

    /// Nodes that have ended by themselves are started again, as a supervisor does.
    fn supervise(&mut self) {
        for place in 0..self.nodes.len() {
            let gateway = self.nodes[place].gateway.as_mut();
            if gateway.is_some_and(Gateway::has_ended) {
                println!(
                    "  node {} has ended, and is started again",
                    self.nodes[place].number
                );
                self.start_node(place);
            }
        }
    }

    /// What nodes said that no node may ever say.
    pub fn defects(&self) -> Vec<String> {
        let logs = self.nodes.iter().map(|node| {
            let log = fs::read_to_string(node.folder.join("log")).unwrap_or_default();
            let lines = log.lines().filter(|line| line.contains("panicked at"));
            let told = lines.map(|line| format!("node {}: {line}", node.number));
            told.collect::<Vec<_>>()
        });
        logs.flatten().collect()
    }

    /// Terminals come, and backends ask.
    fn begin(&mut self) {
        let (workload, outside) = (Arc::clone(&self.workload), Arc::clone(&self.outside));
        self.busy.push(std::thread::spawn(move || {
            outside.enter();
            runtime().block_on(workload.run(USERS));
        }));
        let (workload, outside) = (Arc::clone(&self.workload), Arc::clone(&self.outside));
        let (backend, asked) = (self.backend.clone(), Arc::clone(&self.asked));
        let seed = self.rng.u64(..);
        self.busy.push(std::thread::spawn(move || {
            outside.enter();
            runtime().block_on(ask(workload, backend, asked, fastrand::Rng::with_seed(seed)));
        }));
        wait_until("half of the terminals", || self.workload.linked_count() > USERS);
    }

    /// Ends terminals and backends. They say what they know.
    pub fn end(&mut self) {
        self.workload.set_phase(Phase::Over);
        for thread in self.busy.drain(..) {
            thread.join().expect("no terminal and no backend panics");
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// Asks any node for anybody, until all is over.
async fn ask(workload: Arc<Workload>, backend: Backend, asked: Arc<Mutex<Vec<Doors>>>, rng: fastrand::Rng) {
    let one = |mut rng: fastrand::Rng, inspects: bool| {
        let (workload, backend, asked) = (Arc::clone(&workload), backend.clone(), Arc::clone(&asked));
        async move {
            while !workload.is_over() {
                let doors = asked.lock().unwrap().clone();
                let Some(doors) = rng.choice(&doors).copied() else {
                    continue;
                };
                if inspects {
                    let user = format!("user-{}", rng.usize(..USERS));
                    backend.inspect(&workload.recorder, doors, &user).await;
                } else {
                    let some = rng.choose_multiple(users(), 50);
                    backend.query(&workload.recorder, doors, &some).await;
                }
                tokio::time::sleep(Duration::from_millis(rng.u64(50..250))).await;
            }
        }
    };
    let mut rng = rng;
    tokio::join!(
        one(rng.fork(), false),
        one(rng.fork(), false),
        one(rng.fork(), false),
        one(rng.fork(), true)
    );
}
