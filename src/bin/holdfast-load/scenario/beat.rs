//! Heartbeats, as fast as answers come and at a rate: the gateway's CPU for each, and how long an answer takes.

use crate::arguments::{BeatArguments, Common};
use crate::generator::terminal::DevicesPerUser;
use crate::generator::workload::{Op, Pick, Workload};
use crate::report::RunReport;

use super::series::Series;
use super::stage::{LOGINS_AT_ONCE, ScenarioRun};
use super::statuses::Compared;

/// Users that are compared at the end.
const COMPARED: usize = 1_000;

/// As fast as answers come, with `window` under way.
pub(super) fn saturated(connections: u32, window: u32) -> Workload {
    Workload {
        op: Op::Beat,
        pick: Pick::Round,
        range: (0, connections),
        window,
        per_second: None,
    }
}

/// At this rate, evenly spread: each by itself, as terminals that know nothing of one another send.
pub(super) fn paced(connections: u32, per_second: f64) -> Workload {
    Workload {
        op: Op::Beat,
        pick: Pick::Times,
        range: (0, connections),
        window: connections,
        per_second: Some(per_second),
    }
}

pub(super) fn run(common: &Common, name: &str, beat: BeatArguments) -> anyhow::Result<bool> {
    let BeatArguments {
        connections,
        window,
        rate,
        rounds,
    } = beat;
    let report = RunReport::begin(name, "Heartbeats", &common.results)?;
    let mut run = ScenarioRun::new(common, report, (connections, DevicesPerUser::One), &[], &[])?;
    let first = run.all_come(connections, LOGINS_AT_ONCE)?;
    let (mut fast, mut even) = (Series::default(), Series::default());
    for _ in 0..rounds.rounds {
        fast.add(
            &run.server
                .measure(saturated(connections, window), rounds.duration)?,
        );
        even.add(
            &run.server
                .measure(paced(connections, rate.into()), rounds.duration)?,
        );
    }
    let beats = first.done + fast.total.done + even.total.done;
    let failed = first.failed + fast.total.failed + even.total.failed;
    run.report.check_equal("heartbeats without an answer", 0, failed);
    let passed = even.total.passed as f64;
    run.report
        .figure("times that found the terminal still waiting", "", passed);
    fast.report(
        &mut run.report,
        &format!("heartbeat, saturated ({window} at once)"),
    );
    even.report(&mut run.report, &format!("heartbeat, paced at {rate}/s"));
    let mut compared = Compared::default();
    run.compare_at_rest(COMPARED, &mut compared)?;
    run.report_compared(&compared);
    run.check_books(&[
        ("heartbeats, by the gateway", "heartbeats_total", beats),
        ("changes recorded", "changes_total", connections.into()),
    ])?;
    run.finish(common)
}
