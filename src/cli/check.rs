//! `holdfast check`: whether the gateway could run here, and what to do if not. Changes nothing.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::Access;

use super::cluster;
use super::host::Host;
use super::outcome::print;
use super::sizing::{self, Wanted};
use crate::base::time::{Clock, Timestamp};
use crate::engine::probe;
use crate::node::addresses::{self, ListenerRole};
use crate::node::certificates::TlsTerms;
use crate::node::config::{Config, StoreKind};
use crate::node::rlimits;
use crate::node::shards::try_rings;
use crate::node::shared_store;
use crate::node::startup_wait::StartupWait;
use crate::services::http::ListenerCertificate;
use crate::services::runtime;

/// What is taken is told at once.
const NO_WAIT: StartupWait = StartupWait(Duration::ZERO);

/// One probe's outcome: what is good, or what to do.
type CheckOutcome = Result<String, String>;

/// What is checked besides the gateway itself.
pub(super) struct Wants {
    /// Every server of the shared store.
    pub(super) cluster: bool,
    /// Whether the host can hold so many connections.
    pub(super) connections: Option<u64>,
}

/// Probes everything, and prints each outcome.
pub(super) fn check(config: &Config, wants: &Wants) -> anyhow::Result<ExitCode> {
    rlimits::raise_locked_memory();
    let mut probes = vec![
        ("configuration", Ok("no problem".to_owned())),
        ("io_uring", probe_ring()),
        ("shards", probe_shards(config)),
    ];
    let host = Host::read(Path::new("/"));
    let locked = host.locked_memory(config.shards, try_rings);
    probes.push((locked.name, locked.outcome));
    probes.extend(probe_addresses(config));
    probes.push(("registry", probe_registry(config)));
    let now = Clock::start().now().wall;
    probes.extend(probe_keys(config, now).map(|outcome| ("keys", outcome)));
    let certificates = probe_certificates(config, now).into_iter();
    probes.extend(certificates.map(|outcome| ("certificates", outcome)));
    if wants.cluster {
        probes.extend(
            probe_cluster(config)
                .into_iter()
                .map(|outcome| ("cluster", outcome)),
        );
    }
    if let Some(connections) = wants.connections {
        probes.extend(compare_host(&host, config, connections));
    }
    let good = probes.iter().all(|(_, outcome)| outcome.is_ok());
    let lines = probes.iter().map(|(name, outcome)| match outcome {
        Ok(text) => format!("ok       {name}: {text}\n"),
        Err(text) => format!("PROBLEM  {name}: {text}\n"),
    });
    print(&lines.collect::<String>())?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What so many connections need, and whether this host has it.
fn compare_host(host: &Host, config: &Config, connections: u64) -> Vec<(&'static str, CheckOutcome)> {
    let wanted = Wanted::new(config, connections, None);
    let findings = host.compare(connections, &sizing::need(&wanted), config.shards);
    findings
        .into_iter()
        .map(|finding| (finding.name, finding.outcome))
        .collect()
}

/// Whether somebody could log in; nothing is said of keys that are as they should be.
fn probe_keys(config: &Config, now: Timestamp) -> Option<CheckOutcome> {
    if config.is_for_development() {
        let text =
            "the development secret: good for loopback only; set usersig.keys and app.sdk_app_id for more";
        return Some(Ok(text.to_owned()));
    }
    let text = "every key of usersig.keys has ended, so nobody could log in; give one without not_after, or with a later one";
    config.takes_no_usersig(now).then(|| Err(text.to_owned()))
}

/// Whether listeners could speak TLS: each certificate with its names and its end.
fn probe_certificates(config: &Config, now: Timestamp) -> Vec<CheckOutcome> {
    let told = |known: &ListenerCertificate| {
        let (setting, facts) = (known.setting(), &known.facts);
        let (names, until) = (facts.names.join(", "), facts.not_after.rfc3339());
        let left_days = facts.not_after.0.saturating_sub(now.0) / 86_400_000;
        format!("{setting}: for {names}, until {until}: {left_days} days")
    };
    match TlsTerms::new(config, now) {
        Ok(tls) => tls
            .http
            .certificates
            .iter()
            .map(|known| Ok(told(known)))
            .collect(),
        Err(problems) => problems.iter().map(|problem| Err(problem.to_string())).collect(),
    }
}

fn probe_ring() -> CheckOutcome {
    probe::check().map_err(|error| error.to_string())?;
    runtime::block_on(async {}).map_err(|error| format!("the HTTP server gets no ring: {error}"))?;
    Ok("the kernel gives rings with all that is needed".to_owned())
}

fn probe_shards(config: &Config) -> CheckOutcome {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let descriptors_max = rlimits::raise_descriptors();
    let plan = config
        .shards
        .plan(cores, descriptors_max)
        .map_err(|problem| problem.to_string())?;
    Ok(format!(
        "{} of {} connections each, on {cores} cores with RLIMIT_NOFILE {descriptors_max}",
        plan.count, plan.connections_max
    ))
}

fn probe_registry(config: &Config) -> CheckOutcome {
    match config.registry.store {
        StoreKind::Memory => Ok("in memory: gone with the process".to_owned()),
        StoreKind::Embedded => probe_folder(&config.registry.path),
        StoreKind::Shared => shared_store::founded(config)
            .map(|founded| {
                format!(
                    "the cluster {:?} has {} partitions",
                    config.cluster.name, founded.partitions
                )
            })
            .map_err(|error| format!("{error:#}")),
    }
}

/// Whether the servers of the shared store are set up as a cluster needs them.
fn probe_cluster(config: &Config) -> Vec<CheckOutcome> {
    if config.registry.store != StoreKind::Shared {
        return vec![Err(
            "registry.store is not \"redis\": there is no cluster".to_owned()
        )];
    }
    match cluster::faults(config) {
        Err(error) => vec![Err(format!("{error:#}; check registry.redis"))],
        Ok(faults) if faults.is_empty() => vec![Ok("every server is set up as it must be".to_owned())],
        Ok(faults) => faults.iter().map(|fault| Err(cluster::told(fault))).collect(),
    }
}

/// Whether a store can be there. One that is there is not opened: a gateway may be running on it.
fn probe_folder(path: &Path) -> CheckOutcome {
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    let there = path.ancestors().find(|folder| folder.exists()).unwrap_or(&path);
    let advise = |reason: &dyn fmt::Display| {
        let there = there.display();
        format!("{there}: {reason}; set registry.path to a folder that can be written")
    };
    if !there.is_dir() {
        return Err(advise(&"not a folder"));
    }
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| advise(&error))?;
    let can_be = if there == path { "written" } else { "made" };
    Ok(format!("{} can be {can_be}", path.display()))
}

/// Opens all addresses as the start does, and holds each until all were tried: none stands in another's way.
fn probe_addresses(config: &Config) -> Vec<(&'static str, CheckOutcome)> {
    let mut held = Vec::new();
    let mut probes = Vec::new();
    for (name, side) in [
        ("terminals", ListenerRole::Terminals),
        ("backend", ListenerRole::Backend),
        ("admin", ListenerRole::Admin),
        ("web", ListenerRole::Web),
        ("cluster", ListenerRole::Peers),
    ] {
        for (address, opened) in addresses::open_each(side, config, NO_WAIT) {
            let outcome = match opened {
                Ok(listener) => {
                    held.push(listener);
                    Ok(format!("{address} is free"))
                }
                Err(error) => Err(format!(
                    "{error:#}; stop who listens there (perhaps holdfast itself), or set another"
                )),
            };
            probes.push((name, outcome));
        }
    }
    probes
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use tempfile::TempDir;

    use super::*;
    use crate::node::config::TerminalListener;

    /// A configuration whose listeners are at these addresses.
    fn listening(lists: [&str; 3]) -> Config {
        let mut config = Config::read(&crate::node::config::Sources::default()).unwrap();
        let [terminals, http, admin] = lists.map(|list| {
            let addresses = list.split(' ').map(|address| address.parse().unwrap());
            addresses.collect::<Vec<SocketAddr>>()
        });
        let plain = config.terminals[0].clone();
        let at = |address| TerminalListener {
            address,
            ..plain.clone()
        };
        config.terminals = terminals.into_iter().map(at).collect();
        (config.http, config.admin) = (http, admin);
        config
    }

    /// A listener of somebody else.
    fn somebody() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    fn found_free(lists: [&str; 3]) -> Vec<bool> {
        let probes = probe_addresses(&listening(lists));
        probes.iter().map(|(_, outcome)| outcome.is_ok()).collect()
    }

    #[test]
    fn addresses_are_tried_together_as_the_start_opens_them() {
        let port = somebody().local_addr().unwrap().port();
        let (any_4, any_6) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
        let both = format!("{any_4} {any_6}");
        let (elsewhere, loopback) = ("127.0.0.1:0", format!("127.0.0.1:{port}"));
        assert_eq!(
            found_free([elsewhere, &both, elsewhere]),
            [true, true, true, true]
        );
        assert_eq!(
            found_free([&both, elsewhere, elsewhere]),
            [true, true, true, true]
        );
        assert_eq!(found_free([&any_4, &any_6, elsewhere]), [true, true, true]);
        // The start would find the one beside the other, too.
        assert_eq!(found_free([&any_4, &loopback, elsewhere]), [true, false, true]);
        assert_eq!(found_free([elsewhere, &any_4, &loopback]), [true, true, false]);
        // Terminals' addresses are shared, by shards and with each other.
        let overlapping = format!("{any_4} {loopback}");
        assert_eq!(found_free([&overlapping, elsewhere, elsewhere]), [true; 4]);
    }

    #[test]
    fn each_address_of_terminals_that_somebody_else_has_is_a_problem() {
        let other = somebody();
        let taken = other.local_addr().unwrap();
        let overlapping = format!("0.0.0.0:{} {taken}", taken.port());
        let free = found_free([&overlapping, "127.0.0.1:0", "127.0.0.1:0"]);
        assert_eq!(free, [false, false, true, true]);
    }

    #[test]
    fn keys_that_have_all_ended_are_a_problem() {
        let with = |keys: &str| {
            let sources = crate::node::config::Sources {
                overrides: vec![format!("usersig.keys=[{keys}]")],
                ..Default::default()
            };
            probe_keys(&Config::read(&sources).unwrap(), Timestamp(10_000))
        };
        let ended = "{secret=\"0123456789abcdef\", not_after=\"1970-01-01T00:00:10Z\"}";
        let lasting = "{secret=\"0123456789abcdef\"}";
        assert!(with(ended).unwrap().is_err());
        assert!(with(&format!("{ended}, {lasting}")).is_none());
        assert!(with("").unwrap().unwrap().starts_with("the development secret"));
    }

    #[test]
    fn a_store_needs_a_folder_that_can_be_written_or_made() {
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        std::fs::write(path.join("file"), "").unwrap();
        assert!(probe_folder(path).unwrap().ends_with("can be written"));
        assert!(
            probe_folder(&path.join("a/b"))
                .unwrap()
                .ends_with("a/b can be made")
        );
        let refused = probe_folder(&path.join("file/store")).unwrap_err();
        assert!(
            refused.contains("file: not a folder; set registry.path"),
            "{refused}"
        );
    }
}
