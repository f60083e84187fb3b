//! The shared store of a run: masters of Redis, each with its replica, on disk as one sets them up. Found, started and awaited; it
//! changes nothing of servers that run already.

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use holdfast::base::time::Stopwatch;
use redis::{Connection, RedisResult};

use crate::cluster_size::MASTERS_MAX;
use crate::ending::{Started, TempFolder};
use crate::gateway::free_addresses;
use crate::process;

const NAME: &str = "redis-server";
/// Of a master and its replica, and of what each of them has for the others of a cluster.
const ADDRESSES: usize = 4;
/// Each change is in so many copies before it counts.
const COPIES: u16 = 1;
/// Of a cluster of Redis.
const SLOTS: u16 = 16_384;
/// What is written to see whether the replicas have it: as many keys as it takes for each master to have one, and how long it may take.
const PROBE: &str = "holdfast-load:ready";
const PROBES: u32 = 64;
const COPY_WAIT_MS: u32 = 1_000;
/// Where a partition's last place is kept.
const PARTITIONS: &str = "hf:{*}m";
const LAST_PLACE: &str = "seq";
/// How long they may take to be ready, and how often they are asked.
const READY_WAIT: Duration = Duration::from_secs(60);
const READY_AGAIN: Duration = Duration::from_millis(20);

/// One server.
struct RedisServer {
    child: Started,
    address: SocketAddrV4,
    /// Where the others of a cluster find it.
    bus: SocketAddrV4,
}

/// All servers. They end with this.
pub(crate) struct RedisServers {
    masters: Vec<RedisServer>,
    /// Of the masters, in their order.
    replicas: Vec<RedisServer>,
    _folder: TempFolder,
}

/// Bytes of all masters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MasterBytes {
    /// What their data take in memory, without what they have for connections and replicas.
    pub(crate) kept: u64,
    /// That came from the network, and that went to replicas, so far.
    pub(crate) received: u64,
    pub(crate) replicated: u64,
}

impl RedisServers {
    /// So many masters that have their replicas. One is a master by itself, more are a cluster of Redis.
    pub(crate) fn start(masters: u16) -> anyhow::Result<Self> {
        Self::start_by(Path::new(NAME), masters)
    }

    fn start_by(program: &Path, masters: u16) -> anyhow::Result<Self> {
        if !(1..=MASTERS_MAX).contains(&masters) {
            bail!("a shared store has 1 to {MASTERS_MAX} masters here");
        }
        let folder = TempFolder::new().context("no folder for the shared store (TMPDIR)")?;
        // All at once, so that they differ.
        let addresses = free_addresses::<{ ADDRESSES * MASTERS_MAX as usize }>()?;
        let start = |name: &str, number: u16, [address, bus]: [SocketAddrV4; 2], own: &str| {
            let folder = folder.path().join(format!("{name}-{number}"));
            let own = match masters {
                1 => own.to_owned(),
                _ => clustered(bus),
            };
            let child = spawn(program, &folder, address, &own)?;
            anyhow::Ok(RedisServer { child, address, bus })
        };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (number, own) in (1..=masters).zip(addresses.as_chunks::<ADDRESSES>().0) {
            let replicates = format!("--replicaof 127.0.0.1 {}", own[0].port());
            first.push(start("master", number, [own[0], own[1]], "")?);
            second.push(start("replica", number, [own[2], own[3]], &replicates)?);
        }
        let mut servers = Self {
            masters: first,
            replicas: second,
            _folder: folder,
        };
        servers.wait_until("answer", |servers| {
            let answers = |server: &RedisServer| ask::<String>(server, &["PING"]).map(drop);
            servers.all().try_for_each(answers).map(|()| true)
        })?;
        if masters > 1 {
            servers.form()?;
        }
        servers.wait_until("copy a write", Self::have_replicas)?;
        Ok(servers)
    }

    /// Makes one cluster of them all.
    fn form(&mut self) -> anyhow::Result<()> {
        let share = SLOTS / u16::try_from(self.masters.len())?;
        for (number, (server, last)) in (0..).zip(self.all().zip(self.last_slots(share))) {
            if let Some(last) = last {
                let range = [(number * share).to_string(), last.to_string()];
                ask::<()>(server, &["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]])?;
            }
            ask::<()>(
                server,
                &["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()],
            )?;
            let (port, bus) = (server.address.port().to_string(), server.bus.port().to_string());
            if number > 0 {
                ask::<()>(&self.masters[0], &["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
            }
        }
        self.wait_until("replicate their masters", |servers| {
            for (master, replica) in servers.masters.iter().zip(&servers.replicas) {
                let id: String = ask(master, &["CLUSTER", "MYID"])?;
                // It may not know its master yet.
                ask::<()>(replica, &["CLUSTER", "REPLICATE", &id])?;
            }
            Ok(true)
        })?;
        self.wait_until("find each other", |servers| {
            let mut whole = true;
            for server in servers.all() {
                let info: String = ask(server, &["CLUSTER", "INFO"])?;
                let nodes: String = ask(server, &["CLUSTER", "NODES"])?;
                let replicas = nodes.lines().filter(|node| node.contains("slave")).count();
                whole &= info.contains("cluster_state:ok") && replicas == servers.replicas.len();
            }
            Ok(whole)
        })
    }

    /// For each server the last of its slots, if it has some.
    fn last_slots(&self, share: u16) -> impl Iterator<Item = Option<u16>> {
        let masters = self.masters.len();
        let last = move |master: usize| match master + 1 {
            next if next == masters => Some(SLOTS - 1),
            next if next < masters => u16::try_from(next).ok().map(|next| next * share - 1),
            _ => None,
        };
        (0..2 * masters).map(last)
    }

    /// Waits until something holds of all servers, which still run.
    fn wait_until(&mut self, what: &str, holds: impl Fn(&Self) -> RedisResult<bool>) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        loop {
            for server in self.masters.iter_mut().chain(&mut self.replicas) {
                if let Some(status) = server.child.ended()? {
                    bail!("{NAME} ended before it was ready: {status}");
                }
            }
            match holds(self) {
                Ok(true) => return Ok(()),
                Ok(false) if watch.elapsed() > READY_WAIT => bail!("the servers of Redis do not {what}"),
                Err(error) if watch.elapsed() > READY_WAIT => {
                    return Err(error).context(format!("the servers of Redis do not {what}"));
                }
                Ok(false) | Err(_) => std::thread::sleep(READY_AGAIN),
            }
        }
    }

    /// Whether a write to each master reaches its replica.
    fn have_replicas(&self) -> RedisResult<bool> {
        let mut ready = true;
        for master in &self.masters {
            let mut link = connect(master)?;
            // Of a cluster, each master takes other keys.
            let set = |probe: u32| redis::cmd("SET").arg(probe_key(probe)).arg("").exec(&mut link);
            let taken = (0..PROBES).map(set).position(|set| set.is_ok());
            let copies: u16 = redis::cmd("WAIT")
                .arg(COPIES)
                .arg(COPY_WAIT_MS)
                .query(&mut link)?;
            ready &= copies >= COPIES;
            if let Some(probe) = taken {
                let () = redis::cmd("DEL").arg(probe_key(probe as u32)).query(&mut link)?;
            }
            ready &= taken.is_some();
        }
        Ok(ready)
    }

    fn all(&self) -> impl Iterator<Item = &RedisServer> {
        self.masters.iter().chain(&self.replicas)
    }

    /// The settings of gateways that record here.
    pub(crate) fn settings(&self) -> [(&'static str, String); 3] {
        let urls: Vec<String> = self
            .masters
            .iter()
            .map(|master| format!("\"{}\"", url(master)))
            .collect();
        [
            ("registry.store", "\"redis\"".to_owned()),
            ("registry.redis.urls", format!("[{}]", urls.join(","))),
            ("registry.redis.copies", COPIES.to_string()),
        ]
    }

    /// CPU time of the masters and of the replicas so far, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> anyhow::Result<[u64; 2]> {
        let of = |servers: &[RedisServer]| -> anyhow::Result<u64> {
            let cpu = |server: &RedisServer| Ok(process::cpu_ns(server.child.id())?);
            servers.iter().map(cpu).sum()
        };
        Ok([of(&self.masters)?, of(&self.replicas)?])
    }

    /// What the masters have and had until now.
    pub(crate) fn bytes(&self) -> anyhow::Result<MasterBytes> {
        let (mut kept, mut received, mut replicated) = (0, 0, 0);
        for master in &self.masters {
            let info: String =
                ask(master, &["INFO", "everything"]).context("a master does not tell of itself")?;
            let of = |name: &str| -> anyhow::Result<u64> {
                let line = info
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                let number = line.and_then(|number| number.trim().parse().ok());
                number.with_context(|| format!("a master does not tell its {name}: Redis 7.0 does"))
            };
            kept += of("used_memory_dataset")?;
            received += of("total_net_input_bytes")?;
            replicated += of("total_net_repl_output_bytes")?;
        }
        Ok(MasterBytes {
            kept,
            received,
            replicated,
        })
    }

    /// How many changes are recorded: the sum of the partitions' last places, since each change has one.
    pub(crate) fn changes(&self) -> anyhow::Result<u64> {
        let read = || -> RedisResult<u64> {
            let mut changes = 0;
            for master in &self.masters {
                let mut link = connect(master)?;
                let partitions: Vec<String> = redis::cmd("KEYS").arg(PARTITIONS).query(&mut link)?;
                for partition in partitions {
                    let last: Option<u64> = redis::cmd("HGET")
                        .arg(partition)
                        .arg(LAST_PLACE)
                        .query(&mut link)?;
                    changes += last.unwrap_or_default();
                }
            }
            Ok(changes)
        };
        read().context("the shared store does not tell its changes")
    }
}

fn probe_key(probe: u32) -> String {
    format!("{PROBE}:{probe}")
}

fn url(server: &RedisServer) -> String {
    format!("redis://{}", server.address)
}

fn connect(server: &RedisServer) -> RedisResult<Connection> {
    redis::Client::open(url(server))?.get_connection_with_timeout(READY_WAIT)
}

fn ask<T: redis::FromRedisValue>(server: &RedisServer, words: &[&str]) -> RedisResult<T> {
    redis::cmd(words[0]).arg(&words[1..]).query(&mut connect(server)?)
}

/// What a server of a cluster has besides.
fn clustered(bus: SocketAddrV4) -> String {
    format!(
        "--cluster-enabled yes --cluster-port {} --cluster-require-full-coverage no \
         --cluster-allow-replica-migration no --cluster-replica-validity-factor 10",
        bus.port()
    )
}

fn spawn(program: &Path, folder: &PathBuf, address: SocketAddrV4, own: &str) -> anyhow::Result<Started> {
    std::fs::create_dir(folder).with_context(|| format!("no folder: {}", folder.display()))?;
    let settings = format!(
        "--bind {} --port {} --appendonly yes --save {{}} --maxmemory-policy noeviction \
         --min-replicas-to-write {COPIES} --repl-diskless-sync-delay 0 {own}",
        address.ip(),
        address.port()
    );
    let words = settings.split_whitespace();
    let mut command = Command::new(program);
    command.args(words.map(|word| if word == "{}" { "" } else { word }));
    command.current_dir(folder);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Started::spawn(&mut command).with_context(|| {
        format!("cannot start {NAME}: install it (Debian: `apt-get install redis-server`), and stop the service that it starts")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_the_package() {
        let Err(error) = RedisServers::start_by(Path::new("/nowhere/redis-server"), 1) else {
            panic!("nothing is there");
        };
        assert!(
            format!("{error:#}").contains("apt-get install redis-server"),
            "{error:#}"
        );
    }

    #[test]
    fn servers_that_end_at_once_are_not_waited_for() {
        let Err(error) = RedisServers::start_by(Path::new("true"), 1) else {
            panic!("nothing answers");
        };
        assert!(
            format!("{error:#}").contains("ended before it was ready"),
            "{error:#}"
        );
    }

    #[test]
    fn each_master_of_a_cluster_has_its_slots_and_its_replica() {
        let servers = RedisServers::start(2).unwrap();
        let nodes: String = ask(&servers.masters[1], &["CLUSTER", "NODES"]).unwrap();
        let masters = nodes.lines().filter(|node| node.contains("master"));
        let mut slots: Vec<&str> = masters
            .filter_map(|node| node.split_whitespace().last())
            .collect();
        slots.sort_unstable();
        assert_eq!(slots, ["0-8191", "8192-16383"]);
        assert_eq!(servers.changes().unwrap(), 0);
        assert!(servers.bytes().unwrap().kept > 0);
    }
}
