//! What was typed, as it was typed, and what it means as a whole. It starts nothing.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

use crate::generator::terminal::{DevicesPerUser, Identities, MIXED};
use crate::peer_kind::PeerKind;
use crate::steps::Steps;
use crate::wrapping::Wrapping;

/// Simulates terminals that measure a gateway, and checks every answer.
///
/// It starts a gateway of its own, with a store in a temporary folder, unless --gateway, --http, --admin and --pid name
/// one that runs. Each run leaves a folder with its figures. The exit code is 0 only if every check held.
#[derive(Debug, Parser)]
#[command(name = "holdfast-load", version)]
pub(crate) struct LoadArguments {
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What every scenario takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// Where a running gateway takes terminals.
    #[arg(long, global = true, value_name = "HOST:PORT", value_parser = address, requires_all = ["http", "admin", "pid"])]
    gateway: Option<SocketAddr>,
    /// Where it answers the backend.
    #[arg(long, global = true, value_name = "HOST:PORT", value_parser = address, requires = "gateway")]
    http: Option<SocketAddr>,
    /// Where it answers the operator.
    #[arg(long, global = true, value_name = "HOST:PORT", value_parser = address, requires = "gateway")]
    admin: Option<SocketAddr>,
    /// Its process, whose CPU and memory are measured.
    #[arg(long, global = true, requires = "gateway")]
    pid: Option<u32>,
    /// The gateway's program, if it is not beside this one.
    #[arg(long, global = true, value_name = "FILE")]
    holdfast: Option<PathBuf>,
    /// A setting for the gateway that is started, as in `--set 'registry.store="memory"'`.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Where the folder with the figures is put. The run replaces the folder of its name there. Without this option it
    /// replaces no current figures of another command.
    #[arg(long, global = true, value_name = "FOLDER", default_value = "bench-results")]
    pub(crate) results: PathBuf,
    /// UserIDs are this and a number; take another one for each run against the same store.
    #[arg(long, global = true, default_value = "user", value_parser = prefix)]
    users: String,
    /// The app.
    #[arg(long, global = true, default_value_t = 1_400_000_001)]
    sdk_app_id: u64,
    #[command(flatten)]
    pub(crate) wrapping: Wrapping,
    /// Its secret, which UserSigs are made with. The default is the development secret, which everyone knows.
    #[arg(
        long, global = true, env = "HOLDFAST_LOAD_SECRET", hide_env_values = true,
        default_value = holdfast::protocol::usersig::DEVELOPMENT_SECRET, hide_default_value = true
    )]
    secret: String,
}

/// The scenarios.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Scenario {
    /// Makes the index of the results' folder anew, and the page of each folder in it, from their data. Measures nothing.
    Index,
    /// Connections that only beat: what each costs, and whether any is lost.
    Idle {
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
        connections: u32,
        /// How long they are held after all have logged in.
        #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
        hold: Duration,
        /// How often each beats.
        #[arg(long, default_value = "120s", value_parser = interval)]
        interval: Duration,
        /// Logins under way at once.
        #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
        window: u32,
    },
    /// Logins and logouts as fast as answers come: the gateway's CPU for each.
    Login {
        /// Terminals that take turns.
        #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        connections: u32,
        /// Visits under way at once.
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
        window: u32,
        #[command(flatten)]
        rounds: Rounds,
    },
    /// Heartbeats, as fast as answers come and at a rate: the gateway's CPU for each.
    Beat {
        #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        connections: u32,
        /// Heartbeats under way at once while it is as fast as it can be.
        #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
        window: u32,
        /// Heartbeats a second in the paced part.
        #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        rate: u32,
        #[command(flatten)]
        rounds: Rounds,
    },
    /// People come and go in every way: logins, resumes, logouts, lost links, silence, and devices forced off.
    Churn {
        /// Terminals, two of each user.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
        connections: u32,
        /// How long.
        #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
        hold: Duration,
        /// Logins a second; everything else has its share of it.
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: u32,
    },
    /// Status queries of 500 users each while terminals stay and beat: CPU for each user, and how long an answer takes.
    Query {
        /// Terminals that stay, whose users are asked for.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(500..=1_000_000))]
        connections: u32,
        /// Heartbeats a second meanwhile; 0: none.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
        rate: u32,
        #[command(flatten)]
        asking: Asking,
        #[command(flatten)]
        rounds: Rounds,
    },
    /// Memory of a connection, and CPU of a heartbeat, with more and more terminals: a gateway for each step, with the
    /// shards that it needs.
    Grow {
        /// Numbers of connections, ascending.
        #[arg(long, value_name = "N,N,...", default_value = "10000,100000,1000000")]
        steps: Steps,
        /// How often terminals are told to beat. The paced part has as many heartbeats as full shards hear then.
        #[arg(long, default_value = "120s", value_parser = interval)]
        interval: Duration,
        /// Heartbeats under way at once for each shard, while it is as fast as it can be.
        #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
        window: u32,
        #[command(flatten)]
        rounds: Rounds,
    },
    /// The gateway and another server in turn, with as many terminals: what each needs of CPU and memory.
    ///
    /// Build the servers on tokio and on io_uring first: `cargo build --profile dist --features load,peers`.
    /// Mosquitto has to be installed. The gateway's registry is in memory, unless --set says otherwise, as in `--set 'registry.store="embedded"'
    /// --set 'registry.durability="relaxed"'`.
    Versus {
        /// The other server.
        #[arg(long, value_enum, default_value_t = PeerKind::Tokio)]
        peer: PeerKind,
        /// Lets the servers and the load generator have a half of the cores each, and the kernel do the terminals' half of TCP on the
        /// load generator's, as if they were on another host. Needs root, util-linux and iproute2.
        #[arg(long)]
        apart: bool,
        /// At most as many as one process may have descriptors.
        #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
        connections: u32,
        /// Heartbeats, and logins, under way at once while it is as fast as it can be.
        #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
        window: u32,
        /// Heartbeats a second in the paced part.
        #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        rate: u32,
        #[command(flatten)]
        rounds: Rounds,
    },
    /// What TLS adds to a login, full and resumed, and to a heartbeat, beside rustls' handshake in memory. The gateway's
    /// registry is in memory.
    TlsCost {
        /// Terminals by each way.
        #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
        connections: u32,
        /// Logins, and heartbeats, under way at once.
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
        window: u32,
        #[command(flatten)]
        rounds: Rounds,
    },
    /// Many terminals begin a TLS handshake at once, while others are there and beat: nobody who is there may be lost.
    Handshakes {
        /// Terminals that are there.
        #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
        connections: u32,
        /// Terminals that begin at once.
        #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        storm: u32,
        /// Heartbeats a second of those that are there.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        rate: u32,
        /// How long they beat before the storm.
        #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
        before: Duration,
    },
    /// The gateway is killed and started again, and everyone comes back: nobody may be told anything of it.
    Return {
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
        connections: u32,
        /// Cuts all links instead: each device has one link end and one login, in this order.
        #[arg(long)]
        links: bool,
        /// Logins and resumes under way at once.
        #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
        window: u32,
    },
}

/// How statuses are asked for, and what goes on meanwhile.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Asking {
    /// Queries under way at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) clients: u32,
    /// Asks for each user's platforms too (`IsNeedDetail`: 1), and checks them.
    #[arg(long)]
    pub(crate) detail: bool,
    /// Then as many rounds again in a storm of visits (a login and a logout): so many a second, by as many more terminals
    /// (at least 100), whose users are not asked for.
    #[arg(long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) storm: Option<u32>,
}

/// How often and how long something is measured.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Rounds {
    /// Rounds; a figure is their median.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// How long a round is.
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,
}

/// A gateway that runs already.
pub(crate) struct RunningGateway {
    pub(crate) terminals: SocketAddrV4,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) process: u32,
}

impl Scenario {
    /// The word that names it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Idle { .. } => "idle",
            Self::Login { .. } => "login",
            Self::Beat { .. } => "beat",
            Self::Churn { .. } => "churn",
            Self::Query { asking, .. } => match (asking.detail, asking.storm) {
                (false, None) => "query",
                (true, None) => "query-detail",
                (false, Some(_)) => "query-storm",
                (true, Some(_)) => "query-detail-storm",
            },
            Self::Grow { .. } => "grow",
            Self::Versus { .. } => "versus",
            Self::TlsCost { .. } => "tls-cost",
            Self::Handshakes { .. } => "handshakes",
            Self::Return { links: false, .. } => "return",
            Self::Return { links: true, .. } => "return-links",
        }
    }
}

impl Common {
    /// Who the terminals are.
    pub(crate) fn identities(&self, devices_per_user: DevicesPerUser) -> Identities {
        Identities {
            sdk_app_id: self.sdk_app_id,
            secret: self.secret.clone(),
            prefix: self.users.clone(),
            devices_per_user,
            platforms: MIXED,
        }
    }

    /// The running gateway that the arguments name, if they do.
    pub(crate) fn running(&self) -> anyhow::Result<Option<RunningGateway>> {
        let (Some(gateway), Some(http), Some(admin), Some(process)) =
            (self.gateway, self.http, self.admin, self.pid)
        else {
            return Ok(None);
        };
        if !self.set.is_empty() {
            bail!("--set is for a gateway that is started here: leave it or --gateway away");
        }
        let SocketAddr::V4(terminals) = gateway else {
            bail!("--gateway has to be an IPv4 address: the terminals have sources in 127.0.0.0/8");
        };
        for (name, address) in [("gateway", gateway), ("http", http), ("admin", admin)] {
            if !address.ip().is_loopback() {
                bail!("--{name} has to be a loopback address: the terminals go nowhere else");
            }
        }
        Ok(Some(RunningGateway {
            terminals,
            http,
            admin,
            process,
        }))
    }

    /// The gateway's program.
    pub(crate) fn program(&self) -> anyhow::Result<PathBuf> {
        let remedy = "build it (`cargo build --profile dist`), or name it with --holdfast";
        let program = self.holdfast.clone().map_or_else(|| beside("holdfast"), Ok)?;
        there(program, remedy)
    }

    /// The program of a server that the gateway is measured beside, and the app and secret that it may need.
    pub(crate) fn peer(&self, name: &str) -> anyhow::Result<(PathBuf, Vec<String>)> {
        let remedy = "build it (`cargo build --profile dist --features load,peers`)";
        let app = vec![self.sdk_app_id.to_string(), self.secret.clone()];
        Ok((there(beside(name)?, remedy)?, app))
    }

    /// What `--set` says, without secrets.
    pub(crate) fn set_shown(&self) -> impl Iterator<Item = String> {
        self.set.iter().map(|pair| without_secret(pair))
    }

    /// The word that `--set` gives a setting, if it does; the last one counts, as with the gateway.
    pub(crate) fn setting(&self, key: &str) -> Option<&str> {
        let pairs = self.set.iter().rev().filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(name, _)| name.trim() == key);
        values.next().map(|(_, value)| value.trim().trim_matches('"'))
    }
}

/// A setting as it may be shown: a secret's value is not.
pub(crate) fn without_secret(pair: &str) -> String {
    let key = pair.split('=').next().unwrap_or_default().trim();
    if key == "usersig.keys" || key.ends_with(".token") {
        format!("{key}=…")
    } else {
        pair.to_owned()
    }
}

/// A program that lies where this one does.
fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("this program does not know where it is")?;
    Ok(own.with_file_name(name))
}

fn there(program: PathBuf, remedy: &str) -> anyhow::Result<PathBuf> {
    if !program.is_file() {
        bail!("{} is not there: {remedy}", program.display());
    }
    Ok(program)
}

/// Of the addresses of a name the first of IPv4, if there is one.
fn address(text: &str) -> Result<SocketAddr, String> {
    let form = |error: io::Error| {
        format!("take HOST:PORT, as in localhost:9001, 127.0.0.1:9001 or [::1]:9001 ({error})")
    };
    let found: Vec<SocketAddr> = text.to_socket_addrs().map_err(form)?.collect();
    let best = found.iter().find(|address| address.is_ipv4()).or(found.first());
    best.copied().ok_or_else(|| format!("{text} has no address"))
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval.is_zero() {
        return Err("an interval is longer than nothing".to_owned());
    }
    Ok(interval)
}

/// A UserID has at most 32 bytes, and eight of them are for the number.
fn prefix(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.len() <= 20;
    let good = good
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if good {
        Ok(text.to_owned())
    } else {
        Err("1 to 20 letters, digits and dashes".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        LoadArguments::command().debug_assert();
    }

    #[test]
    fn a_running_gateway_is_named_as_a_whole_and_is_on_loopback() {
        let parse = |words: &str| LoadArguments::try_parse_from(words.split(' '));
        parse("holdfast-load idle --gateway 127.0.0.1:1").unwrap_err();
        let whole = "holdfast-load idle --http 127.0.0.1:2 --admin 127.0.0.1:3 --pid 4 --gateway";
        let near = parse(&format!("{whole} 127.0.0.1:1")).unwrap();
        assert!(near.common.running().unwrap().is_some());
        let far = parse(&format!("{whole} 192.0.2.1:1")).unwrap();
        assert!(far.common.running().is_err());
        let far =
            parse("holdfast-load idle --http 192.0.2.1:2 --admin 127.0.0.1:3 --pid 4 --gateway 127.0.0.1:1");
        assert!(far.unwrap().common.running().is_err());
        parse("holdfast-load idle --admin 127.0.0.1:3").unwrap_err();
        assert!(
            parse("holdfast-load idle")
                .unwrap()
                .common
                .running()
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn an_address_may_be_a_name_and_is_refused_with_what_would_do() {
        assert_eq!(address("localhost:7"), address("127.0.0.1:7"));
        assert!(address("[::1]:7").is_ok());
        for bad in ["localhost", "127.0.0.1:65536", ""] {
            assert!(address(bad).unwrap_err().contains("HOST:PORT"), "{bad}");
        }
    }

    #[test]
    fn versus_is_apart_only_where_it_was_asked_for() {
        let apart = |words: &str| {
            let scenario = LoadArguments::try_parse_from(words.split(' ')).unwrap().scenario;
            let Scenario::Versus { apart, .. } = scenario else {
                panic!("{words} is another scenario");
            };
            apart
        };
        assert!(!apart("holdfast-load versus --peer echo"));
        assert!(apart("holdfast-load versus --peer echo --apart"));
        LoadArguments::try_parse_from("holdfast-load beat --apart".split(' ')).unwrap_err();
    }

    #[test]
    fn steps_are_taken_as_a_whole_or_refused() {
        let parse = |words: &str| LoadArguments::try_parse_from(words.split(' '));
        let steps = |words: &str| {
            let Scenario::Grow { steps, .. } = parse(words).unwrap().scenario else {
                panic!("{words} is another scenario");
            };
            steps.all().to_vec()
        };
        assert_eq!(steps("holdfast-load grow"), [10_000, 100_000, 1_000_000]);
        assert_eq!(steps("holdfast-load grow --steps 500,2000"), [500, 2_000]);
        let error = parse("holdfast-load grow --steps 2000,500")
            .unwrap_err()
            .to_string();
        assert!(error.contains("500 does not come after 2000"), "{error}");
    }

    #[test]
    fn each_kind_of_query_has_results_of_its_own() {
        let name = |words: &str| {
            LoadArguments::try_parse_from(words.split(' '))
                .unwrap()
                .scenario
                .name()
        };
        assert_eq!(name("holdfast-load query"), "query");
        assert_eq!(name("holdfast-load query --detail"), "query-detail");
        assert_eq!(name("holdfast-load query --storm 50"), "query-storm");
        assert_eq!(
            name("holdfast-load query --storm 50 --detail"),
            "query-detail-storm"
        );
    }

    #[test]
    fn a_secret_is_not_shown_with_its_setting() {
        assert_eq!(without_secret("usersig.keys=[{secret=\"x\"}]"), "usersig.keys=…");
        assert_eq!(without_secret(" admin.token = \"x\""), "admin.token=…");
        assert_eq!(without_secret("shards.count=2"), "shards.count=2");
    }

    #[test]
    fn the_last_word_for_a_setting_counts() {
        let check = |settings: &[&str], expected: Option<&str>| {
            let words = settings.iter().flat_map(|setting| ["--set", setting]);
            let words = ["holdfast-load", "versus"].into_iter().chain(words);
            let common = LoadArguments::try_parse_from(words).unwrap().common;
            assert_eq!(common.setting("registry.store"), expected, "{settings:?}");
        };
        check(&[], None);
        check(&["registry.store_not=\"embedded\""], None);
        check(&["registry.store=\"embedded\""], Some("embedded"));
        check(
            &["registry.store=\"embedded\"", " registry.store = \"memory\""],
            Some("memory"),
        );
    }

    #[test]
    fn user_ids_have_room_for_their_number() {
        assert!(prefix("run-7").is_ok());
        assert!(prefix("").is_err());
        assert!(prefix("a b").is_err());
        assert!(prefix(&"x".repeat(21)).is_err());
    }
}
