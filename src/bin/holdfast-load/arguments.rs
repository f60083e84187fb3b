//! What was typed, as it was typed, and what it means as a whole. It starts nothing.

mod scenarios;

use std::io;
use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Parser;

use crate::generator::terminal::{DevicesPerUser, Identities, MIXED};
use crate::wrapping::Wrapping;
pub(crate) use scenarios::{
    BeatArguments, ChurnArguments, GrowArguments, GrowClusterArguments, HandshakesArguments, IdleArguments,
    LoginArguments, QueryArguments, RelayArguments, ReturnArguments, Rounds, Scenario, TlsCostArguments,
    VersusArguments,
};

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

/// A gateway that runs already.
pub(crate) struct RunningGateway {
    pub(crate) terminals: SocketAddrV4,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) process: u32,
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
            features: 0,
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
            let Scenario::Versus(versus) = scenario else {
                panic!("{words} is another scenario");
            };
            versus.apart
        };
        assert!(!apart("holdfast-load versus --peer echo"));
        assert!(apart("holdfast-load versus --peer echo --apart"));
        LoadArguments::try_parse_from("holdfast-load beat --apart".split(' ')).unwrap_err();
    }

    #[test]
    fn steps_are_taken_as_a_whole_or_refused() {
        let parse = |words: &str| LoadArguments::try_parse_from(words.split(' '));
        let steps = |words: &str| {
            let Scenario::Grow(grow) = parse(words).unwrap().scenario else {
                panic!("{words} is another scenario");
            };
            grow.steps.all().to_vec()
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
    fn each_kind_of_return_has_results_of_its_own() {
        let parse = |words: &str| LoadArguments::try_parse_from(words.split(' '));
        let name = |words: &str| parse(words).unwrap().scenario.name();
        assert_eq!(name("holdfast-load return"), "return");
        assert_eq!(name("holdfast-load return --links"), "return-links");
        assert_eq!(name("holdfast-load return --kill-node"), "return-kill-node");
        assert_eq!(
            name("holdfast-load return --kill-node --restart-in-place"),
            "return-kill-node-in-place"
        );
        for bad in [
            "--links --kill-node",
            "--restart-in-place",
            "--links --restart-in-place",
        ] {
            parse(&format!("holdfast-load return {bad}")).unwrap_err();
        }
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
