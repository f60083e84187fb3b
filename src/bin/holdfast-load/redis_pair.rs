//! The shared store of a run: a master of Redis and its replica, on disk as one sets them up. Found, started and awaited; it
//! changes nothing of servers that run already.

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use holdfast::base::time::Stopwatch;

use crate::ending::{Started, TempFolder};
use crate::gateway::free_addresses;

const NAME: &str = "redis-server";
/// Each change is in so many copies before it counts.
const COPIES: u16 = 1;
/// What is written to see whether the replica has it, and how long it may take.
const PROBE: &str = "holdfast-load:ready";
const COPY_WAIT_MS: u32 = 1_000;
/// Where a partition's last place is kept.
const PARTITIONS: &str = "hf:{*}m";
const LAST_PLACE: &str = "seq";
/// How long they may take to be ready, and how often they are asked.
const READY_WAIT: Duration = Duration::from_secs(30);
const READY_AGAIN: Duration = Duration::from_millis(20);

/// Both servers. They end with this.
pub(crate) struct RedisPair {
    master: Started,
    replica: Started,
    addresses: [SocketAddrV4; 2],
    _folder: TempFolder,
}

impl RedisPair {
    /// A master that has its replica.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_by(Path::new(NAME))
    }

    fn start_by(program: &Path) -> anyhow::Result<Self> {
        let folder = TempFolder::new().context("no folder for the shared store (TMPDIR)")?;
        let addresses = free_addresses()?;
        let own = format!("--replicaof 127.0.0.1 {}", addresses[0].port());
        let mut pair = Self {
            master: spawn(program, (folder.path(), "master"), addresses[0], "")?,
            replica: spawn(program, (folder.path(), "replica"), addresses[1], &own)?,
            addresses,
            _folder: folder,
        };
        pair.wait_until_ready()?;
        Ok(pair)
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        loop {
            for server in [&mut self.master, &mut self.replica] {
                if let Some(status) = server.ended()? {
                    bail!("{NAME} ended before it was ready: {status}");
                }
            }
            match self.has_replica() {
                Ok(true) => return Ok(()),
                Ok(false) if watch.elapsed() > READY_WAIT => bail!("the replica does not find its master"),
                Err(error) if watch.elapsed() > READY_WAIT => {
                    return Err(error).context(format!("{NAME} does not answer"));
                }
                Ok(false) | Err(_) => std::thread::sleep(READY_AGAIN),
            }
        }
    }

    /// Whether a write reaches the replica.
    fn has_replica(&self) -> redis::RedisResult<bool> {
        let client = redis::Client::open(self.url())?;
        let mut link = client.get_connection_with_timeout(READY_WAIT)?;
        let () = redis::cmd("SET").arg(PROBE).arg("").query(&mut link)?;
        let copies: u16 = redis::cmd("WAIT")
            .arg(COPIES)
            .arg(COPY_WAIT_MS)
            .query(&mut link)?;
        let () = redis::cmd("DEL").arg(PROBE).query(&mut link)?;
        Ok(copies >= COPIES)
    }

    fn url(&self) -> String {
        format!("redis://{}", self.addresses[0])
    }

    /// The settings of gateways that record here.
    pub(crate) fn settings(&self) -> [(&'static str, String); 3] {
        [
            ("registry.store", "\"redis\"".to_owned()),
            ("registry.redis.urls", format!("[\"{}\"]", self.url())),
            ("registry.redis.copies", COPIES.to_string()),
        ]
    }

    /// How many changes are recorded: the sum of the partitions' last places, since each change has one.
    pub(crate) fn changes(&self) -> anyhow::Result<u64> {
        let read = || -> redis::RedisResult<u64> {
            let client = redis::Client::open(self.url())?;
            let mut link = client.get_connection_with_timeout(READY_WAIT)?;
            let partitions: Vec<String> = redis::cmd("KEYS").arg(PARTITIONS).query(&mut link)?;
            let mut changes = 0;
            for partition in partitions {
                let last: Option<u64> = redis::cmd("HGET")
                    .arg(partition)
                    .arg(LAST_PLACE)
                    .query(&mut link)?;
                changes += last.unwrap_or_default();
            }
            Ok(changes)
        };
        read().context("the shared store does not tell its changes")
    }
}

fn spawn(
    program: &Path,
    (folder, name): (&Path, &str),
    address: SocketAddrV4,
    own: &str,
) -> anyhow::Result<Started> {
    let folder: PathBuf = folder.join(name);
    std::fs::create_dir(&folder).with_context(|| format!("no folder for the {name}"))?;
    let settings = format!(
        "--bind {} --port {} --appendonly yes --save {{}} --maxmemory-policy noeviction \
         --min-replicas-to-write {COPIES} --repl-diskless-sync-delay 0 {own}",
        address.ip(),
        address.port()
    );
    let words = settings.split_whitespace();
    let mut command = Command::new(program);
    command.args(words.map(|word| if word == "{}" { "" } else { word }));
    command.current_dir(&folder);
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
        let Err(error) = RedisPair::start_by(Path::new("/nowhere/redis-server")) else {
            panic!("nothing is there");
        };
        assert!(
            format!("{error:#}").contains("apt-get install redis-server"),
            "{error:#}"
        );
    }

    #[test]
    fn servers_that_end_at_once_are_not_waited_for() {
        let Err(error) = RedisPair::start_by(Path::new("true")) else {
            panic!("nothing answers");
        };
        assert!(
            format!("{error:#}").contains("ended before it was ready"),
            "{error:#}"
        );
    }
}
