//! The shared store: three masters and three replicas, each on a host of its own.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use holdfast::engine::process::end_with_this_process;
use redis::{Connection, FromRedisValue, RedisResult};
use rustix::process::{Pid, Signal, kill_process};

use crate::network::Host;
use crate::world::wait_until;

pub const MASTERS: usize = 3;
const PORT: u16 = 6379;
const SLOTS: usize = 16_384;

/// A server, and its host.
pub struct Server {
    pub host: Host,
    folder: PathBuf,
    child: Child,
}

impl Server {
    fn start(host: Host, folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let child = spawn(&host, folder);
        Self {
            host,
            folder: folder.to_owned(),
            child,
        }
    }

    pub fn address(&self) -> Ipv4Addr {
        self.host.address
    }

    pub fn url(&self) -> String {
        format!("redis://{}:{PORT}", self.address())
    }

    fn connect(&self) -> RedisResult<Connection> {
        redis::Client::open(self.url())?.get_connection_with_timeout(Duration::from_secs(2))
    }

    /// Asks the server, which may be gone.
    pub fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut link = self.connect()?;
        link.set_read_timeout(Some(Duration::from_secs(5)))?;
        redis::cmd(words[0]).arg(&words[1..]).query(&mut link)
    }

    /// Asks it until it answers.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut answer = None;
        wait_until(&format!("{words:?}"), || {
            answer = self.try_ask(words).ok();
            answer.is_some()
        });
        answer.unwrap()
    }

    /// Whether it says that it is a master.
    pub fn is_master(&self) -> bool {
        let info: RedisResult<String> = self.try_ask(&["INFO", "replication"]);
        info.is_ok_and(|info| info.contains("role:master"))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server runs");
    }

    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    pub fn restart(&mut self) {
        self.child = spawn(&self.host, &self.folder);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(host: &Host, folder: &Path) -> Child {
    let mut command = host.command("redis-server");
    let address = host.address.to_string();
    command.current_dir(folder);
    command.args([
        "--port",
        &PORT.to_string(),
        "--bind",
        "0.0.0.0",
        "--protected-mode",
        "no",
    ]);
    command.args([
        "--save",
        "",
        "--appendonly",
        "yes",
        "--maxmemory-policy",
        "noeviction",
    ]);
    command.args(["--min-replicas-to-write", "1"]);
    command.args(["--cluster-enabled", "yes", "--cluster-announce-ip", &address]);
    command.args([
        "--cluster-node-timeout",
        "2000",
        "--cluster-require-full-coverage",
        "no",
    ]);
    command.args([
        "--cluster-allow-replica-migration",
        "no",
        "--repl-diskless-sync-delay",
        "0",
    ]);
    end_with_this_process(&mut command);
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    command.stdout(log).stderr(Stdio::null());
    command.spawn().expect("redis-server is installed")
}

/// All of them: server `n + MASTERS` begins as the replica of server `n`.
pub struct Servers(pub Vec<Server>);

impl Servers {
    pub fn start(hosts: Vec<Host>, folder: &Path) -> Self {
        let servers = hosts.into_iter().enumerate().map(|(number, host)| {
            let folder = folder.join(format!("store-{number}"));
            Server::start(host, &folder)
        });
        let servers = Self(servers.collect());
        servers.form();
        servers
    }

    fn form(&self) {
        let each = SLOTS / MASTERS;
        for (number, server) in self.0.iter().enumerate() {
            if number < MASTERS {
                let last = if number + 1 == MASTERS {
                    SLOTS - 1
                } else {
                    (number + 1) * each - 1
                };
                let (first, last) = ((number * each).to_string(), last.to_string());
                let () = server.ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            }
            let () = server.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            let address = server.address().to_string();
            if number > 0 {
                let () = self.0[0].ask(&["CLUSTER", "MEET", &address, &PORT.to_string()]);
            }
        }
        for server in &self.0 {
            wait_until("servers that know each other", || {
                let info: String = server.ask(&["CLUSTER", "INFO"]);
                info.contains(&format!("cluster_known_nodes:{}\r", self.0.len()))
            });
        }
        for (master, replica) in self.0.iter().zip(&self.0[MASTERS..]) {
            let id: String = master.ask(&["CLUSTER", "MYID"]);
            wait_until("a master that its replica knows", || {
                let said: RedisResult<()> = replica.try_ask(&["CLUSTER", "REPLICATE", &id]);
                said.is_ok()
            });
        }
        self.wait_whole();
    }

    /// Waits until every server sees all slots served, and each of the masters has a replica that is attached.
    pub fn wait_whole(&self) {
        wait_until("a shared store that is whole", || {
            let is_ok = |server: &Server| {
                let info: RedisResult<String> = server.try_ask(&["CLUSTER", "INFO"]);
                info.is_ok_and(|info| info.contains("cluster_state:ok"))
            };
            let attached = |server: &Server| {
                let info: RedisResult<String> = server.try_ask(&["INFO", "replication"]);
                info.is_ok_and(|info| info.contains("role:master") && info.contains("state=online"))
            };
            let nodes: RedisResult<String> = self.0[0].try_ask(&["CLUSTER", "NODES"]);
            let has_failed = nodes.map_or(true, |nodes| nodes.contains("fail"));
            !has_failed
                && self.0.iter().all(is_ok)
                && self.0.iter().filter(|server| attached(server)).count() == MASTERS
        });
    }

    /// The numbers of those that are masters.
    pub fn masters(&self) -> Vec<usize> {
        let is_master = |number: &usize| self.0[*number].is_master();
        (0..self.0.len()).filter(is_master).collect()
    }

    /// Moves a slot with all that is in it from one master to another, as an operator does.
    pub fn reshard(&self, slot: u16, from: usize, to: usize) {
        let (source, target) = (&self.0[from], &self.0[to]);
        let (source_id, target_id): (String, String) =
            (source.ask(&["CLUSTER", "MYID"]), target.ask(&["CLUSTER", "MYID"]));
        let slot = slot.to_string();
        let () = target.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]);
        let () = source.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]);
        let address = target.address().to_string();
        loop {
            let keys: Vec<String> = source.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
            if keys.is_empty() {
                break;
            }
            let port = PORT.to_string();
            let mut words = vec!["MIGRATE", &address, &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            let _: String = source.ask(&words);
        }
        for number in [to, from] {
            let () = self.0[number].ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]);
        }
        for number in self.masters() {
            let _: RedisResult<()> =
                self.0[number].try_ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]);
        }
    }

    /// Which master has a slot.
    pub fn master_of(&self, slot: u16) -> Option<usize> {
        let nodes: String = self
            .0
            .iter()
            .find_map(|server| server.try_ask(&["CLUSTER", "NODES"]).ok())?;
        let line = nodes.lines().find(|line| {
            let ranges = line.split(' ').skip(8).filter(|range| !range.starts_with('['));
            let has = |range: &str| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let bounds = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
                bounds.is_some_and(|(first, last)| (first..=last).contains(&slot))
            };
            line.contains("master") && ranges.into_iter().any(has)
        })?;
        let address = line.split(' ').nth(1)?.split(':').next()?;
        self.0
            .iter()
            .position(|server| server.address().to_string() == address)
    }
}
