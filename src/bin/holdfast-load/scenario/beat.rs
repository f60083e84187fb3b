//! Heartbeats, as fast as answers come and at a rate: the gateway's CPU for each, and how long an answer takes.

use holdfast::base::time::Stopwatch;

use crate::arguments::{Common, Rounds};
use crate::crowd::Plan;
use crate::crowd::orders::{Op, Pick};
use crate::crowd::terminal::Kinship;
use crate::report::Report;

use super::statuses::Compared;
use super::{BEATS_AT_ONCE, LOGINS_AT_ONCE, Stage};

/// Users that are compared at the end.
const COMPARED: usize = 1_000;

/// One kind of beating.
struct Kind {
    name: String,
    pick: Pick,
    window: u32,
    per_second: Option<f64>,
    cpu_us: Vec<f64>,
    rates: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Kind {
    fn new(name: String, pick: Pick, window: u32, per_second: Option<f64>) -> Self {
        Self {
            name,
            pick,
            window,
            per_second,
            cpu_us: Vec::new(),
            rates: Vec::new(),
            p50_ms: Vec::new(),
            p99_ms: Vec::new(),
        }
    }
}

pub(super) fn run(
    common: &Common,
    name: &'static str,
    (connections, window, rate): (u32, u32, u32),
    rounds: Rounds,
) -> anyhow::Result<bool> {
    let report = Report::new(name, "Heartbeats");
    let mut stage = Stage::new(common, report, (connections, Kinship::Alone), &[], &[])?;
    let all = (0, connections);
    let logins = stage.each("logins", Op::LogIn, all, LOGINS_AT_ONCE)?;
    stage
        .report
        .check_equal("logins answered well", connections.into(), logins.done);
    let mut beats = stage.each("a beat each", Op::Beat, all, BEATS_AT_ONCE)?.done;
    let mut kinds = [
        Kind::new(
            format!("heartbeat, saturated ({window} at once)"),
            Pick::Round,
            window,
            None,
        ),
        Kind::new(
            format!("heartbeat, paced at {rate}/s"),
            Pick::Times,
            connections,
            Some(rate.into()),
        ),
    ];
    let (mut unanswered, mut passed) = (0, 0);
    for _ in 0..rounds.rounds {
        for kind in &mut kinds {
            let (before_s, watch) = (stage.cpu_s()?, Stopwatch::start());
            let id = stage.crowd.begin(Plan {
                op: Op::Beat,
                pick: kind.pick,
                range: all,
                window: kind.window,
                per_second: kind.per_second,
            });
            let recorder = &mut stage.recorder;
            stage
                .crowd
                .pass(rounds.duration, &mut |board| recorder.look(board))?;
            let outcome = stage.crowd.end(id, &mut |board| recorder.look(board))?;
            let done = outcome.done.max(1) as f64;
            kind.cpu_us.push((stage.cpu_s()? - before_s) * 1e6 / done);
            kind.rates.push(done / watch.elapsed().as_secs_f64());
            kind.p50_ms.push(outcome.percentile_ms(50.0));
            kind.p99_ms.push(outcome.percentile_ms(99.0));
            beats += outcome.done;
            unanswered += outcome.failed;
            passed += outcome.passed;
        }
    }
    for kind in kinds {
        stage.report.rounds(
            &format!("CPU of the gateway for a {}", kind.name),
            "µs",
            kind.cpu_us,
        );
        stage
            .report
            .rounds(&format!("{}, rate", kind.name), "1/s", kind.rates);
        stage
            .report
            .rounds(&format!("{}, p50", kind.name), "ms", kind.p50_ms);
        stage
            .report
            .rounds(&format!("{}, p99", kind.name), "ms", kind.p99_ms);
    }
    stage
        .report
        .check_equal("heartbeats without an answer", 0, unanswered);
    stage
        .report
        .figure("times that found the terminal still waiting", "", passed as f64);
    let mut compared = Compared::default();
    stage.compare_at_rest(COMPARED, &mut compared)?;
    stage.report_compared(&compared);
    let metrics = stage.http.metrics(stage.gateway.admin)?;
    for (what, metric, seen) in [
        ("heartbeats, by the gateway", "heartbeats_total", beats),
        ("changes recorded", "changes_total", connections.into()),
    ] {
        let grown = stage.grown(&metrics, metric);
        stage.report.check_equal(what, seen, grown);
    }
    stage.finish(common)
}
