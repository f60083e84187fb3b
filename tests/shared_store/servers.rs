//! Real servers for tests: children of the test, on free ports of the loopback, with folders of their own. Killed by their ids when
//! they are dropped.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::base::ids::PartitionId;
use super::shared_store::client::RedisStore;
use super::shared_store::keys::{PartitionKey, Tags};
use super::shared_store::settings::{CopiesMissing, RedisSettings, TypedRedis};
use crate::engine::process::end_with_this_process;
use redis::{Connection, FromRedisValue};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub const PARTITIONS: u16 = 16;
/// What a test waits for comes within this time, or not at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, and the folder that holds its data.
pub struct RedisServer {
    child: Child,
    folder: TempDir,
    arguments: Vec<String>,
    pub port: u16,
}

impl RedisServer {
    /// One that answers, with these settings beside the test's.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_at(free_port(), settings)
    }

    /// The same on a port.
    pub fn start_at(port: u16, settings: &[&str]) -> Self {
        let mut server = Self::spawn_at(port, settings);
        server.wait_ready();
        server
    }

    /// The same, and does not wait until it answers.
    pub fn spawn_at(port: u16, settings: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let port_text = port.to_string();
        let own = [
            "--port",
            &port_text,
            "--save",
            "",
            "--bind",
            "127.0.0.1",
            "--logfile",
            "log",
        ];
        let arguments: Vec<String> = own
            .iter()
            .chain(settings)
            .map(|word| (*word).to_owned())
            .collect();
        let child = spawn(folder.path(), &arguments);
        Self {
            child,
            folder,
            arguments,
            port,
        }
    }

    fn wait_ready(&mut self) {
        let ready = || {
            self.try_connect()
                .is_some_and(|mut link| redis::cmd("PING").exec(&mut link).is_ok())
        };
        wait_for("a server that answers", ready);
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    fn try_connect(&self) -> Option<Connection> {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_connection_with_timeout(Duration::from_secs(10)).ok()
    }

    /// A connection beside the store's.
    pub fn connect(&self) -> Connection {
        self.try_connect().expect("the server runs")
    }

    /// Asks the server in plain words.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let (name, arguments) = words.split_first().unwrap();
        let answer = redis::cmd(name).arg(arguments).query(&mut self.connect());
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// A line of INFO.
    pub fn info(&self, name: &str) -> String {
        let info: String = self.ask(&["INFO", "everything"]);
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().to_owned()
    }

    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Starts it anew in its folder, after it was killed.
    pub fn restart(&mut self) {
        self.restart_unready();
        self.wait_ready();
    }

    pub fn restart_unready(&mut self) {
        self.child = spawn(self.folder.path(), &self.arguments);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server runs");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path, arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.current_dir(folder).args(arguments);
    end_with_this_process(&mut command);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server is installed")
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[allow(clippy::disallowed_methods, reason = "a test has no other clock")]
pub fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !there() {
        assert!(Instant::now() < until, "{what} did not come");
        sleep(Duration::from_millis(20));
    }
}

/// A master with a replica.
pub struct Pair {
    pub master: RedisServer,
    pub replica: RedisServer,
}

impl Pair {
    pub fn start(settings: &[&str]) -> Self {
        let master = RedisServer::start(settings);
        let replica = Self::replica_of(&master, settings);
        Self { master, replica }
    }

    pub fn replica_of(master: &RedisServer, settings: &[&str]) -> RedisServer {
        let port = master.port.to_string();
        let of = [
            "--replicaof",
            "127.0.0.1",
            &port,
            "--repl-diskless-sync-delay",
            "0",
        ];
        let replica = RedisServer::start(&[settings, &of].concat());
        wait_for("a replica that is attached", || {
            master.info("slave0").contains("state=online")
        });
        replica
    }
}

/// A cluster of masters, each with a replica.
pub struct RedisCluster {
    pub servers: Vec<RedisServer>,
    masters: usize,
}

impl RedisCluster {
    /// So many masters, and as many replicas: server `n + masters` is the replica of server `n`.
    pub fn start(masters: usize, settings: &[&str]) -> Self {
        let start = |_| {
            let bus = free_port().to_string();
            let own = [
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
                "--cluster-node-timeout",
                "2000",
            ];
            let more = [
                "--appendonly",
                "yes",
                "--maxmemory-policy",
                "noeviction",
                "--cluster-require-full-coverage",
                "no",
                "--cluster-allow-replica-migration",
                "no",
                "--repl-diskless-sync-delay",
                "0",
                "--cluster-replica-validity-factor",
                "10",
            ];
            RedisServer::start(&[&own[..], &more[..], settings].concat())
        };
        let servers: Vec<_> = (0..2 * masters).map(start).collect();
        let cluster = Self { servers, masters };
        cluster.form();
        cluster
    }

    fn form(&self) {
        let first = &self.servers[0];
        let slots = 16_384 / self.masters;
        for (number, server) in self.servers.iter().enumerate() {
            if number < self.masters {
                let end = if number + 1 == self.masters {
                    16_383
                } else {
                    (number + 1) * slots - 1
                };
                let range = [(number * slots).to_string(), end.to_string()];
                let () = server.ask(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]);
            }
            let () = server.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            let port = server.port.to_string();
            let bus = server
                .arguments
                .iter()
                .skip_while(|word| *word != "--cluster-port")
                .nth(1)
                .unwrap();
            if number > 0 {
                let () = first.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
            }
        }
        for server in &self.servers {
            let all = format!("cluster_known_nodes:{}\r", self.servers.len());
            wait_for("a cluster that knows itself", || {
                server.ask::<String>(&["CLUSTER", "INFO"]).contains(&all)
            });
        }
        for (master, replica) in self.pairs() {
            let id: String = master.ask(&["CLUSTER", "MYID"]);
            wait_for("a known master", || {
                let said: redis::RedisResult<()> = redis::cmd("CLUSTER")
                    .arg(&["REPLICATE", &id])
                    .query(&mut replica.connect());
                said.is_ok()
            });
        }
        self.wait_whole();
    }

    fn pairs(&self) -> impl Iterator<Item = (&RedisServer, &RedisServer)> {
        self.servers[..self.masters]
            .iter()
            .zip(&self.servers[self.masters..])
    }

    /// Until each server sees the cluster whole, and each master has its replica.
    fn wait_whole(&self) {
        for server in &self.servers {
            wait_for("a cluster that is whole", || {
                server
                    .ask::<String>(&["CLUSTER", "INFO"])
                    .contains("cluster_state:ok")
            });
        }
        for (master, _) in self.pairs() {
            wait_for("a replica that is attached", || {
                master.info("slave0").contains("state=online")
            });
        }
        for server in &self.servers {
            wait_for("a cluster that knows its replicas", || {
                let nodes: String = server.ask(&["CLUSTER", "NODES"]);
                nodes.matches(" slave ").count() + nodes.matches(",slave ").count() == self.masters
            });
        }
    }

    /// Waits until another server than `old` says that it is the master of a slot that `old` had.
    pub fn wait_failover(&self, replica: usize) {
        wait_for("a replica that takes over", || {
            self.servers[replica].info("role") == "master"
        });
    }

    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(RedisServer::url).collect()
    }

    /// The server that is master of the partition's slot as the cluster was formed.
    pub fn first_master(&self, partition: PartitionId) -> usize {
        let slots = 16_384 / self.masters;
        (usize::from(tags().slot(partition)) / slots).min(self.masters - 1)
    }
}

/// Milliseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "a test has no other clock")]
pub fn wall_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64
}

pub fn settings(urls: &[String], copies: u16) -> RedisSettings {
    let typed = TypedRedis {
        urls,
        user: None,
        password: None,
        ca: None,
        identity: None,
        copies,
        copies_missing: CopiesMissing::Wait,
    };
    RedisSettings::read(&typed).unwrap()
}

/// One that waits for long: what a test does not make slow, the machine may.
pub fn store(urls: &[String], copies: u16) -> RedisStore {
    let mut patient = settings(urls, copies);
    (patient.connect_ms, patient.reply_ms) = (20_000, 20_000);
    RedisStore::new(patient, "test", PARTITIONS)
}

/// One that waits as a node does.
pub fn hasty_store(urls: &[String], copies: u16) -> RedisStore {
    RedisStore::new(settings(urls, copies), "test", PARTITIONS)
}

pub fn tags() -> Tags {
    Tags::new(PARTITIONS)
}

pub fn key(partition: PartitionId, kept: PartitionKey) -> String {
    String::from_utf8(tags().key(partition, kept)).unwrap()
}
