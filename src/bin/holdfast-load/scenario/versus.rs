//! The gateway and a plain server on tokio in turn, with a crowd of the same size each: CPU of a login, a heartbeat and a
//! logout, and what a connection adds to resident memory. Each round begins with the other one.

use crate::arguments::{Common, Rounds};
use crate::crowd::Crowd;
use crate::crowd::orders::Op;
use crate::crowd::terminal::Kinship;
use crate::peer::Peer;
use crate::process::rss_bytes;
use crate::report::Report;

use super::beat::{paced, saturated};
use super::idle::ENVIRONMENT;
use super::series::Series;
use super::side::Side;
use super::{BEATS_AT_ONCE, Stage};

/// Shards of the one, and threads of the other: the cores of the machine.
fn threads() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

/// What is measured, in this order.
const NAMES: [&str; 4] = ["login", "heartbeat, saturated", "heartbeat, paced", "logout"];

/// All rounds of one server.
#[derive(Default)]
struct Rows {
    series: [Series; NAMES.len()],
    /// What a connection adds to resident memory, in the first round.
    rss_bytes: Option<f64>,
}

pub(super) fn run(
    common: &Common,
    name: &'static str,
    (connections, window, rate): (u32, u32, u32),
    rounds: Rounds,
) -> anyhow::Result<bool> {
    let report = Report::new(name, "The gateway beside a plain server on tokio");
    // What is compared is serving: the tokio server records nothing, so the gateway records in memory.
    let settings = [("registry.store", "\"memory\"".to_owned())];
    let mut stage = Stage::new(
        common,
        report,
        (connections, Kinship::Alone),
        &settings,
        &ENVIRONMENT,
    )?;
    let peer = Peer::start(common, threads(), &ENVIRONMENT)?;
    let crowd = Crowd::start(connections, peer.terminals, &common.identities(Kinship::Alone))?;
    let mut other = Side::new(crowd, peer.process());
    stage.report.condition(format!(
        "The server on tokio has {} threads. {window} logins, logouts and saturated heartbeats under way at once, {rate} paced heartbeats a second. Memory without huge pages; the gateway's has its records in it.",
        threads()
    ));
    let (mut ours, mut theirs) = (Rows::default(), Rows::default());
    for number in 0..rounds.rounds {
        let both = [(&mut stage.side, &mut ours), (&mut other, &mut theirs)];
        let mut turns: Vec<(&mut Side, &mut Rows)> = both.into_iter().collect();
        if number % 2 == 1 {
            turns.reverse();
        }
        for (side, rows) in turns {
            round(side, rows, (window, rate), rounds)?;
        }
    }
    let expected = u64::from(connections) * u64::from(rounds.rounds);
    for (whose, rows) in [("the gateway", &ours), ("tokio", &theirs)] {
        for (place, what) in [(0, "logins"), (3, "logouts")] {
            let what = format!("{what} answered well by {whose}");
            stage
                .report
                .check_equal(&what, expected, rows.series[place].total.done);
        }
        let failed = rows.series.iter().map(|series| series.total.failed).sum();
        let what = format!("operations that {whose} did not answer well");
        stage.report.check_equal(&what, 0, failed);
    }
    let (faults, told) = other.crowd.board.faults();
    stage.report.check(
        "faults of tokio seen by the terminals",
        faults == 0,
        told.join("; "),
    );
    compare(&mut stage.report, ours, theirs);
    // Before its server is gone.
    other.crowd.quit()?;
    stage.finish(common)
}

/// One round of one server: everyone comes, beats, and goes.
fn round(side: &mut Side, rows: &mut Rows, (window, rate): (u32, u32), rounds: Rounds) -> anyhow::Result<()> {
    let connections = side.crowd.count;
    let all = (0, connections);
    let login = match rows.rss_bytes {
        Some(_) => side.measured(|side| side.each("logins", Op::LogIn, all, window))?,
        None => {
            let few = connections / 10;
            let mut first = side.measured(|side| side.each("logins", Op::LogIn, (0, few), window))?;
            side.each("a beat each", Op::Beat, all, BEATS_AT_ONCE)?;
            let before = rss_bytes(side.process)?;
            let rest = side.measured(|side| side.each("logins", Op::LogIn, (few, connections), window))?;
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
    let logout = side.measured(|side| side.each("logouts", Op::LogOut, all, window))?;
    for (series, measured) in rows.series.iter_mut().zip([login, fast, even, logout]) {
        series.add(&measured);
    }
    Ok(())
}

fn compare(report: &mut Report, ours: Rows, theirs: Rows) {
    for (name, (ours, theirs)) in NAMES.iter().zip(ours.series.iter().zip(&theirs.series)) {
        let ratios = ours
            .cpu_us
            .iter()
            .zip(&theirs.cpu_us)
            .map(|(ours, theirs)| ours / theirs);
        report.rounds(
            &format!("{name}: CPU of the gateway ÷ CPU of tokio"),
            "",
            ratios.collect(),
        );
    }
    for (whose, rows) in [("gateway", ours), ("tokio", theirs)] {
        if let Some(bytes) = rows.rss_bytes {
            report.figure(&format!("{whose}: RSS that a connection adds"), "B", bytes);
        }
        for (name, series) in NAMES.iter().zip(rows.series) {
            series.report(report, &format!("{whose}: {name}"));
        }
    }
}
