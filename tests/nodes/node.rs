//! A cluster of this test: a server of the shared store, and gateways on it.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use holdfast::base::ids::UserId;
use holdfast::protocol::native::proto::{self, Code, Platform};
use holdfast::services::shared_store::client::RedisStore;
use serde_json::{Value, json};

use crate::servers::{RedisServer, settings};
use crate::support::gateway::{Gateway, free_addresses};
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login};

const PROGRAM: &str = env!("CARGO_BIN_EXE_holdfast");

/// What a test waits for comes within this time, or not at all.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Feature bit: the terminal goes where it is sent.
const FOLLOWS: u64 = 1;

/// Into how many partitions all users fall here.
const PARTITIONS: usize = 16;

/// As one sets up the servers of a cluster.
pub const SERVERS: [&str; 4] = ["--appendonly", "yes", "--maxmemory-policy", "noeviction"];

/// How long a node that is dead may count as living here: half of what is usual.
const LEASE_S: &str = "3";

/// A cluster: its store, and what all its nodes have in common.
pub struct Cluster {
    /// The master, and its replica if it has one.
    pub store: Vec<RedisServer>,
    settings: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    partitions: usize,
}

/// One node, and where it is.
pub struct Node {
    pub gateway: Gateway,
    number: u16,
    addresses: [SocketAddr; 3],
    peers: SocketAddr,
}

/// Calls `what` until it is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it takes too long: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Cluster {
    /// A cluster that was founded, with these settings of its nodes beside those that all need.
    pub fn found(settings: &[(&str, &str)]) -> Self {
        let store = RedisServer::start(&SERVERS);
        let quick = [("registry.redis.copies", "0"), ("cluster.lease_s", LEASE_S)];
        Self::found_in(vec![store], PARTITIONS, &[&quick, settings].concat(), &[])
    }

    /// The same on these servers, the master first, and with environment variables of its nodes.
    pub fn found_in(
        store: Vec<RedisServer>,
        partitions: usize,
        settings: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Self {
        let url = format!("[\"{}\"]", store[0].url());
        let folder = store[0].folder().display().to_string();
        let common = [
            // Of the nodes' lock files.
            ("registry.path", folder.as_str()),
            ("registry.store", "redis"),
            ("registry.redis.urls", url.as_str()),
            ("cluster.name", "test"),
            ("cluster.secret", "a-secret-of-this-test"),
        ];
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let cluster = Self {
            settings: common
                .into_iter()
                .chain(settings.iter().copied())
                .map(own)
                .collect(),
            environment: environment.iter().copied().map(own).collect(),
            partitions,
            store,
        };
        let created = cluster.command(&["cluster", "create", "--partitions", &partitions.to_string()]);
        assert!(created.contains(&format!("{partitions} partitions")), "{created}");
        cluster
    }

    /// A client of its store.
    pub fn client(&self) -> RedisStore {
        let partitions = self.partitions.try_into().expect("they are counted in a u16");
        RedisStore::new(settings(&[self.store[0].url()], 0), "test", partitions)
    }

    /// What a command prints that ends well.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {text}{errors}");
        text
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(1, arguments, &[])
    }

    /// Runs a gateway that does not get far.
    pub fn try_start(&self, number: u16, settings: &[(&str, &str)]) -> Output {
        self.run_with(number, &[], settings)
    }

    /// What a command needs to know.
    pub fn common_settings(&self) -> Vec<(String, String)> {
        self.settings_of(1, nowhere())
    }

    fn run_with(&self, number: u16, arguments: &[&str], others: &[(&str, &str)]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        for (key, value) in self.settings_of(number, nowhere()) {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let addresses = free_addresses();
        for (key, address) in ["terminals.listen", "http.listen", "admin.listen"]
            .iter()
            .zip(addresses)
        {
            command.arg("--set").arg(format!("{key}=[\"{address}\"]"));
        }
        for (key, value) in others {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.output().unwrap()
    }

    fn settings_of(&self, number: u16, peers: SocketAddr) -> Vec<(String, String)> {
        let own = [
            ("cluster.node", number.to_string()),
            ("cluster.listen", format!("[\"{peers}\"]")),
        ];
        let own = own.map(|(key, value)| (key.to_owned(), value));
        self.settings.iter().cloned().chain(own).collect()
    }

    /// Starts a node.
    pub fn start(&self, number: u16) -> Node {
        self.start_with(number, &[])
    }

    /// The same with settings of its own.
    pub fn start_with(&self, number: u16, own: &[(&str, &str)]) -> Node {
        self.start_at(number, free_addresses(), nowhere(), own)
    }

    fn start_at(
        &self,
        number: u16,
        addresses: [SocketAddr; 3],
        peers: SocketAddr,
        own: &[(&str, &str)],
    ) -> Node {
        let mut settings = self.settings_of(number, peers);
        settings.extend(
            own.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        );
        settings.push(("cluster.public_tcp".to_owned(), addresses[0].to_string()));
        let settings: Vec<_> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
        let mut command = Command::new(PROGRAM);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Node {
            gateway: Gateway::start_at(addresses, command, &settings),
            number,
            addresses,
            peers,
        }
    }

    /// Starts a node that was killed once more, where it was.
    pub fn start_again(&self, node: Node) -> Node {
        let Node {
            gateway,
            number,
            addresses,
            peers,
        } = node;
        drop(gateway);
        self.start_at(number, addresses, peers, &[])
    }

    /// Waits until all partitions are open at these nodes, each with no more than its share, and all of them agree about that.
    pub fn wait_whole(&self, nodes: &[&Node]) {
        let share = (self.partitions * 105).div_ceil(100 * nodes.len());
        wait_until("each partition is open at one of the nodes", || {
            let homes: Vec<_> = nodes.iter().map(|node| node.homes()).collect();
            let is_shared = |number: u16| {
                let owned = homes[0].iter().filter(|home| **home == Some(number)).count();
                (1..=share).contains(&owned)
            };
            let agree = homes.iter().all(|known| *known == homes[0]);
            let of_these =
                |home: &Option<u16>| home.is_some_and(|home| nodes.iter().any(|node| node.number == home));
            agree && homes[0].iter().all(of_these) && nodes.iter().all(|node| is_shared(node.number))
        });
    }
}

/// An address that nobody listens on at this moment.
fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

impl Node {
    /// What `/v1/cluster` shows.
    pub fn view(&self) -> Value {
        let (status, body) = Http::default().get(self.gateway.admin, "/v1/cluster");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// What `/metrics` shows.
    pub fn metrics(&self) -> String {
        Http::default().get(self.gateway.admin, "/metrics").1
    }

    /// What is known of a user, if the user's home can be asked.
    pub fn try_user(&self, name: &str) -> Option<Value> {
        let (status, body) = Http::default().get(self.gateway.admin, &format!("/v1/users/{name}"));
        (status == 200).then(|| serde_json::from_str(&body).unwrap())
    }

    /// The same, as soon as it can be.
    pub fn user(&self, name: &str) -> Value {
        let mut known = None;
        wait_until("the user's home can be asked", || {
            known = self.try_user(name);
            known.is_some()
        });
        known.unwrap()
    }

    /// The statuses of users, in their order.
    pub fn statuses(&self, names: &[&str]) -> Vec<String> {
        let body = json!({ "To_Account": names });
        let answer = Http::default().call(self.gateway.http, "openim/query_online_status", &body);
        let known = answer["QueryResult"].as_array().cloned().unwrap_or_default();
        let status = |name: &&str| {
            let entry = known.iter().find(|entry| entry["To_Account"] == **name);
            entry.map_or("error".to_owned(), |entry| {
                entry["Status"].as_str().unwrap().to_owned()
            })
        };
        names.iter().map(status).collect()
    }

    /// The number of the node that each partition is at home at.
    fn homes(&self) -> Vec<Option<u16>> {
        let view = self.view();
        let partitions = view["partitions"].as_array().unwrap();
        let node = |home: &Value| home["node"].as_u64().map(|node| u16::try_from(node).unwrap());
        partitions.iter().map(node).collect()
    }

    /// Whether a user is at home here.
    pub fn is_home_of(&self, name: &str) -> bool {
        let homes = self.homes();
        let partitions = u16::try_from(homes.len()).unwrap();
        let partition = UserId::new(name.as_bytes()).unwrap().partition(partitions);
        homes[usize::from(partition.0)] == Some(self.number)
    }

    /// How many partitions it owns.
    pub fn owned(&self) -> usize {
        self.homes()
            .iter()
            .filter(|home| **home == Some(self.number))
            .count()
    }
}

/// The login of a device that goes where it is sent.
pub fn following(user: &str, platform: Platform, instance: u64) -> proto::Login {
    proto::Login {
        features: FOLLOWS,
        ..login(user, platform, instance)
    }
}

/// A terminal that comes to this node, goes where it is sent, and comes again while its user has no home. Gives its session, and
/// where it is.
pub fn arrive(node: &Node, login: &proto::Login) -> (Terminal, u64, SocketAddr) {
    let mut at = node.gateway.terminals;
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "nobody takes the login");
        let Some((terminal, answer)) = Terminal::try_log_in(at, login.clone()) else {
            at = node.gateway.terminals;
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        let verdict = answer.verdict.unwrap();
        match verdict.code() {
            Code::Ok => return (terminal, answer.session, at),
            Code::Elsewhere => at = answer.address.parse().unwrap(),
            Code::Busy | Code::NotRecorded => {
                at = node.gateway.terminals;
                std::thread::sleep(Duration::from_millis(50));
            }
            code => panic!("{code:?}: {}", verdict.text),
        }
    }
}
