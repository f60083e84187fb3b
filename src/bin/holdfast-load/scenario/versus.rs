//! The gateway and another server in turn, with as many terminals each: CPU of a login, a heartbeat and a logout,
//! and what a connection adds to resident memory. Each round begins with the other one.

use std::os::unix::process::CommandExt;

use anyhow::{Context, bail};

use crate::apart::{self, APART, Cores, Halves};
use crate::arguments::{Common, Rounds, VersusArguments};
use crate::gateway::cores;
use crate::generator::target::GeneratorTarget;
use crate::generator::terminal::DevicesPerUser;
use crate::generator::workload::Op;
use crate::generator::{Generator, WORKER_THREADS};
use crate::peer::PeerServer;
use crate::peer_kind::PeerKind;
use crate::process::{rss_bytes, threads};
use crate::report::RunReport;

use super::beat::{paced, saturated};
use super::loaded_server::LoadedServer;
use super::memory::SMALL_PAGES;
use super::series::Series;
use super::stage::{BEATS_AT_ONCE, ScenarioRun};

/// What is measured, in this order.
const NAMES: [&str; 4] = ["login", "heartbeat, saturated", "heartbeat, paced", "logout"];

/// All rounds of one server.
#[derive(Default)]
struct Rows {
    series: [Series; NAMES.len()],
    /// What a connection adds to resident memory, in the first round.
    rss_bytes: Option<f64>,
}

/// The rows of `NAMES` that are compared. An echo loop knows no login: only heartbeats are the same there.
fn compared(kind: PeerKind) -> &'static [usize] {
    match kind {
        PeerKind::Tokio | PeerKind::Mosquitto => &[0, 1, 2, 3],
        PeerKind::Echo => &[1, 2],
    }
}

/// How the gateway's registry keeps records: the store, and the durability.
struct RegistryKind(String, String);

impl RegistryKind {
    /// In memory, unless `--set` says otherwise: what is compared is serving, and no other server records anything.
    fn of(common: &Common) -> Self {
        let word = |key, default: &str| common.setting(key).unwrap_or(default).to_owned();
        Self(
            word("registry.store", "memory"),
            word("registry.durability", "commit"),
        )
    }

    /// Those of them that `--set` does not name.
    fn settings(&self, common: &Common) -> Vec<(&'static str, String)> {
        let both = [("registry.store", &self.0), ("registry.durability", &self.1)];
        let missing = both.into_iter().filter(|(key, _)| common.setting(key).is_none());
        missing.map(|(key, word)| (key, format!("\"{word}\""))).collect()
    }

    /// What the results' folder has behind its name, so that runs with different ones do not overwrite each other.
    fn suffix(&self, is_ours: bool) -> String {
        if is_ours && self.0 != "memory" {
            format!("-{}", self.1)
        } else {
            String::new()
        }
    }

    fn condition(&self, is_ours: bool) -> String {
        let Self(store, durability) = self;
        match (is_ours, store.as_str()) {
            (false, _) => "The gateway's registry keeps records as the running gateway was told.".to_owned(),
            (true, "memory") => "The gateway's registry keeps records in memory only.".to_owned(),
            (true, _) => {
                format!(
                    "The gateway's registry keeps records in store {store:?} with durability {durability:?}."
                )
            }
        }
    }
}

/// The cores of both halves. A program that does not run apart yet becomes one that does, and begins anew there.
pub(super) fn set_apart(common: &Common) -> anyhow::Result<Halves> {
    if common.running()?.is_some() {
        bail!("--apart starts a gateway of its own: leave it or --gateway away");
    }
    let halves = Halves::of(&Cores::of(None)?)?;
    if !apart::is_apart(&halves.generator)? {
        return Err(apart::again(&halves.generator)?.exec()).context("cannot start again apart");
    }
    Ok(halves)
}

/// Keeps this thread and what it starts from here on there, if there are halves.
pub(super) fn keep(cores: Option<&Cores>) -> anyhow::Result<()> {
    cores.map_or(Ok(()), Cores::keep).context("keeping to some cores")
}

pub(super) fn run(common: &Common, name: &str, versus: VersusArguments) -> anyhow::Result<bool> {
    let VersusArguments {
        peer: kind,
        apart,
        connections,
        window,
        rate,
        rounds,
    } = versus;
    let halves = apart.then(|| set_apart(common)).transpose()?;
    let halves = halves.as_ref();
    let (records, is_ours) = (RegistryKind::of(common), common.running()?.is_none());
    let (suffix, apart) = halves.map_or(("", ""), |_| ("-apart", ", apart"));
    let name = format!("{name}-{}{}{suffix}", kind.word(), records.suffix(is_ours));
    let report = RunReport::begin(name, &format!("{}{apart}", kind.title()), &common.results)?;
    let logins = window.min(kind.logins_at_once_max());
    // Both servers have as many threads, or shards, as they have cores here.
    keep(halves.map(|halves| &halves.server))?;
    let peer = PeerServer::start(common, kind, (connections, cores()), &[SMALL_PAGES])?;
    let gateway = ScenarioRun::gateway(common, connections, &records.settings(common), &[SMALL_PAGES])?;
    keep(halves.map(|halves| &halves.generator))?;
    let mut run = ScenarioRun::around(gateway, common, report, (connections, DevicesPerUser::One))?;
    let there = GeneratorTarget {
        address: peer.terminals,
        dialect: kind.dialect(),
        transport: run.gateway.transport.clone(),
    };
    let generator = Generator::start(connections, &there, &common.identities(DevicesPerUser::One))?;
    let mut other = LoadedServer::new(generator, peer.process());
    if let Some(Halves { server, generator }) = halves {
        let cores = format!("Both servers are kept on {server}, the load generator on {generator}.");
        run.report.condition(format!("{cores} {APART}"));
    }
    run.report.condition(records.condition(is_ours));
    run.report.condition(peer.condition.clone());
    run.report.condition(format!(
        "{logins} logins and logouts and {window} saturated heartbeats under way at once, {rate} paced heartbeats a second. The servers that are started here have {}={}, which counts where the allocator is mimalloc; the gateway's memory has its registry in it.",
        SMALL_PAGES.0, SMALL_PAGES.1
    ));
    let (mut ours, mut theirs) = (Rows::default(), Rows::default());
    for number in 0..rounds.rounds {
        let both = [(&mut run.server, &mut ours), (&mut other, &mut theirs)];
        let mut turns: Vec<(&mut LoadedServer, &mut Rows)> = both.into_iter().collect();
        if number % 2 == 1 {
            turns.reverse();
        }
        for (side, rows) in turns {
            round(side, rows, (logins, window, rate), rounds)?;
        }
    }
    if let Some(halves) = halves {
        check_cores(&mut run.report, halves, &[run.gateway.process, peer.process()])?;
    }
    let expected = u64::from(connections) * u64::from(rounds.rounds);
    check(&mut run.report, "the gateway", expected, &ours);
    check(&mut run.report, kind.word(), expected, &theirs);
    let what = format!("faults of {} seen by the terminals", kind.word());
    other.check_faults(&mut run.report, &what);
    compare(&mut run.report, kind, ours, theirs);
    // Before its server is gone.
    other.generator.quit()?;
    run.finish(common)
}

/// Everyone is where it has to be, and so is the terminals' half of TCP.
pub(super) fn check_cores(report: &mut RunReport, halves: &Halves, servers: &[u32]) -> anyhow::Result<()> {
    let steered = apart::steered()?;
    let seen = format!("{steered}, expected {}", halves.generator);
    report.check(
        "what takes what arrives at loopback",
        steered == halves.generator,
        seen,
    );
    let workers = threads(std::process::id(), WORKER_THREADS)?;
    let both = [
        ("the servers", servers, &halves.server),
        (
            "the load generator's threads",
            workers.as_slice(),
            &halves.generator,
        ),
    ];
    for (what, threads, expected) in both {
        let seen: Vec<Cores> = threads
            .iter()
            .map(|thread| Cores::of(Some(*thread)))
            .collect::<Result<_, _>>()?;
        let holds = !seen.is_empty() && seen.iter().all(|cores| cores == expected);
        let seen: Vec<String> = seen.iter().map(Cores::to_string).collect();
        let seen = format!("{}, expected {expected} for each", seen.join("; "));
        report.check(&format!("cores of {what}"), holds, seen);
    }
    Ok(())
}

/// Everyone came and went in each round, and everyone's heartbeats were answered.
fn check(report: &mut RunReport, whose: &str, expected: u64, rows: &Rows) {
    for (place, what) in [(0, "logins"), (3, "logouts")] {
        let what = format!("{what} that went well with {whose}");
        report.check_equal(&what, expected, rows.series[place].total.done);
    }
    for place in [1, 2] {
        let done = rows.series[place].total.done;
        let what = format!("{}: answered well by {whose}", NAMES[place]);
        report.check(&what, done > 0, done);
    }
    let failed = rows.series.iter().map(|series| series.total.failed).sum();
    let what = format!("operations that {whose} did not answer well");
    report.check_equal(&what, 0, failed);
}

/// One round of one server: everyone comes, beats, and goes.
fn round(
    side: &mut LoadedServer,
    rows: &mut Rows,
    (logins, window, rate): (u32, u32, u32),
    rounds: Rounds,
) -> anyhow::Result<()> {
    let connections = side.generator.count;
    let all = (0, connections);
    let login = match rows.rss_bytes {
        Some(_) => side.measured(|side| side.each("logins", Op::LogIn, all, logins))?,
        None => {
            let few = connections / 10;
            let mut first = side.measured(|side| side.each("logins", Op::LogIn, (0, few), logins))?;
            side.each("a beat each", Op::Beat, all, BEATS_AT_ONCE)?;
            let before = rss_bytes(side.process)?;
            let rest = side.measured(|side| side.each("logins", Op::LogIn, (few, connections), logins))?;
            side.each("a beat each", Op::Beat, all, BEATS_AT_ONCE)?;
            let grown = rss_bytes(side.process)?.saturating_sub(before);
            rows.rss_bytes = Some(grown as f64 / f64::from(connections - few));
            first.outcome.add(&rest.outcome);
            first.cpu_s += rest.cpu_s;
            first.took_s += rest.took_s;
            first
        }
    };
    let fast = side.measure(saturated(connections, window), rounds.duration)?;
    let even = side.measure(paced(connections, rate.into()), rounds.duration)?;
    let logout = side.measured(|side| side.each("logouts", Op::LogOut, all, logins))?;
    for (series, measured) in rows.series.iter_mut().zip([login, fast, even, logout]) {
        series.add(&measured);
    }
    Ok(())
}

fn compare(report: &mut RunReport, kind: PeerKind, ours: Rows, theirs: Rows) {
    let (places, word) = (compared(kind), kind.word());
    for place in places {
        let pairs = ours.series[*place]
            .cpu_us
            .iter()
            .zip(&theirs.series[*place].cpu_us);
        let name = format!("{}: CPU of the gateway ÷ CPU of {word}", NAMES[*place]);
        report.rounds(&name, "", pairs.map(|(ours, theirs)| ours / theirs).collect());
    }
    for (whose, rows) in [("gateway", ours), (word, theirs)] {
        // What a connection keeps is a matter of what it knows after a login.
        let rss_bytes = rows.rss_bytes.filter(|_| places.contains(&0));
        if let Some(bytes) = rss_bytes {
            report.figure(&format!("{whose}: RSS that a connection adds"), "B", bytes);
        }
        for (place, series) in rows.series.into_iter().enumerate() {
            if places.contains(&place) {
                series.report(report, &format!("{whose}: {}", NAMES[place]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::LoadArguments;

    /// What of the registry is set here, and what the folder's name ends with.
    fn check(settings: &[&str], expected: &[(&str, &str)], suffix: &str) {
        let words = settings.iter().flat_map(|setting| ["--set", setting]);
        let words = ["holdfast-load", "versus"].into_iter().chain(words);
        let common = LoadArguments::try_parse_from(words).unwrap().common;
        let records = RegistryKind::of(&common);
        let set = records.settings(&common);
        let set: Vec<(&str, &str)> = set.iter().map(|(key, word)| (*key, word.as_str())).collect();
        assert_eq!(set, expected, "{settings:?}");
        assert_eq!(records.suffix(true), suffix, "{settings:?}");
        assert_eq!(records.suffix(false), "", "a running gateway keeps its own");
    }

    #[test]
    fn a_gateway_that_runs_elsewhere_is_not_set_apart() {
        let words = "holdfast-load versus --apart --gateway 127.0.0.1:1 --http 127.0.0.1:2 --admin 127.0.0.1:3 --pid 4";
        let arguments = LoadArguments::try_parse_from(words.split(' ')).unwrap();
        let error = set_apart(&arguments.common).unwrap_err().to_string();
        assert!(error.contains("leave it or --gateway away"), "{error}");
    }

    #[test]
    fn what_is_asked_for_is_not_set_again() {
        let (store, durability) = (
            ("registry.store", "\"memory\""),
            ("registry.durability", "\"commit\""),
        );
        check(&[], &[store, durability], "");
        check(&["registry.store=\"embedded\""], &[durability], "-commit");
        let relaxed = "registry.durability=\"relaxed\"";
        check(&["registry.store=\"embedded\"", relaxed], &[], "-relaxed");
        check(&[relaxed], &[store], "");
    }
}
