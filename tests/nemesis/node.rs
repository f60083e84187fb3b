//! A node: its host, its settings, its process, and the wall clock that it sees.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::backend::Doors;
use crate::network::Host;
use crate::support::gateway::Gateway;

const PROGRAM: &str = env!("CARGO_BIN_EXE_holdfast");
/// Debian's place of libfaketime, which gives a process a wall clock of its own.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The shortest that may be set.
const LEASE_S: u64 = 3;
const HOLD_S: u64 = 2;
/// The shortest beside these.
pub const GRACE_S: u64 = 32;
pub const TIMEOUT_S: u64 = 20;
pub const SECRET: &str = "the-secret-of-this-world-alone";
pub const TOKEN: &str = "the-token-of-this-world-alone";

/// A wall clock that is set apart from all others.
#[derive(Clone)]
pub struct FakeTime(PathBuf);

impl FakeTime {
    /// `None` where libfaketime is not installed.
    pub fn is_there() -> bool {
        Path::new(FAKETIME).exists()
    }

    pub fn new(folder: &Path) -> Self {
        let clock = Self(folder.join("clock"));
        clock.set(0);
        clock
    }

    /// Off by so many seconds. It counts within a second.
    pub fn set(&self, seconds: i64) {
        let beside = self.0.with_extension("next");
        fs::write(&beside, format!("{seconds:+}\n")).unwrap();
        fs::rename(&beside, &self.0).unwrap();
    }

    /// The command has this clock.
    pub fn give(&self, command: &mut Command) {
        command.env("LD_PRELOAD", FAKETIME);
        command.env("FAKETIME_TIMESTAMP_FILE", &self.0);
        command.env("FAKETIME_CACHE_DURATION", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command.env("DONT_FAKE_MONOTONIC", "1");
    }
}

/// A node, and its host.
pub struct Node {
    pub number: u16,
    pub host: Host,
    pub folder: PathBuf,
    pub clock: Option<FakeTime>,
    /// While it is meant to run.
    pub gateway: Option<Gateway>,
    /// It stands still.
    pub is_paused: bool,
}

impl Node {
    /// Whether it can do what it is told.
    pub fn runs(&self) -> bool {
        self.gateway.is_some() && !self.is_paused
    }

    pub fn doors(&self) -> Doors {
        let at = |port| SocketAddr::from((self.host.address, port));
        Doors {
            http: at(9_002),
            admin: at(9_003),
        }
    }

    pub fn terminals(&self) -> SocketAddr {
        SocketAddr::from((self.host.address, 9_001))
    }

    pub fn settings(&self, urls: &[String], receiver: &str) -> Vec<(String, String)> {
        let address = self.host.address;
        let own = |key: &str, value: String| (key.to_owned(), value);
        vec![
            own("registry.path", self.folder.display().to_string()),
            own("registry.store", "redis".to_owned()),
            own("registry.redis.urls", format!("{urls:?}")),
            own("registry.redis.copies", "1".to_owned()),
            own("cluster.name", "nemesis".to_owned()),
            own("cluster.node", self.number.to_string()),
            own("cluster.secret", "a-secret-of-this-cluster".to_owned()),
            own("cluster.lease_s", LEASE_S.to_string()),
            own("cluster.hold_s", HOLD_S.to_string()),
            own("cluster.listen", format!("[\"{address}:9005\"]")),
            own("cluster.public_tcp", self.terminals().to_string()),
            own("usersig.keys", format!("[{{secret=\"{SECRET}\"}}]")),
            own("admin.token", TOKEN.to_owned()),
            own("callback.url", receiver.to_owned()),
            own("limits.logins_per_user_max", "0".to_owned()),
            own("terminals.retry_after_ms", "500".to_owned()),
            own("shards.count", "2".to_owned()),
            own("presence.policy", "dual".to_owned()),
            own("presence.web_close", "at-once".to_owned()),
            own("presence.restart_grace_s", GRACE_S.to_string()),
            own("presence.heartbeat_interval_s", "5".to_owned()),
            own("presence.heartbeat_timeout_mobile_s", TIMEOUT_S.to_string()),
            own("presence.heartbeat_timeout_desktop_s", TIMEOUT_S.to_string()),
            own("presence.heartbeat_timeout_web_s", TIMEOUT_S.to_string()),
        ]
    }

    pub fn command(&self) -> Command {
        let mut command = self.host.command(PROGRAM);
        if let Some(clock) = &self.clock {
            clock.give(&mut command);
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    /// Its wall clock is off by so many seconds from now on.
    pub fn set_clock(&self, seconds: i64) {
        if let Some(clock) = &self.clock {
            clock.set(seconds);
        }
    }
}
