//! People come and go in every way at once, while queries are compared with what the terminals know.

use std::time::Duration;

use holdfast::base::time::Stopwatch;

use crate::arguments::{ChurnArguments, Common};
use crate::generator::terminal::DevicesPerUser;
use crate::generator::workload::{Op, Pick, Workload, WorkloadOutcome};
use crate::progress::Progress;
use crate::report::RunReport;

use super::beat::paced;
use super::loaded_server::troubles;
use super::stage::{LOGINS_AT_ONCE, ScenarioRun};
use super::statuses::Compared;

/// How often a terminal beats, and how long its silence may be: short, so that a run sees time-outs.
const INTERVAL_S: u32 = 2;
const TIMEOUT_S: u32 = 8;

/// Users that are compared at once, and at the end.
const COMPARED: usize = 400;
const COMPARED_AT_REST: usize = 4_000;
/// How often.
const COMPARE_EVERY: Duration = Duration::from_millis(500);

/// What goes on, and how many of each begin for a login.
const PARTS: [(Op, &str, f64); 7] = [
    (Op::LogIn, "logins", 1.0),
    (Op::Resume, "resumes", 0.5),
    (Op::ForceOff, "logins that force the other device off", 0.25),
    (Op::LogOut, "logouts", 0.25),
    (Op::CutFin, "links closed (FIN)", 0.5),
    (Op::CutRst, "links reset (RST)", 0.5),
    (Op::FallSilent, "terminals fallen silent", 0.125),
];

pub(super) fn run(common: &Common, name: &str, churn: ChurnArguments) -> anyhow::Result<bool> {
    let ChurnArguments {
        connections,
        hold,
        rate,
    } = churn;
    let report = RunReport::begin(name, "Coming and going in every way", &common.results)?;
    let seconds = |setting, value: u32| (setting, value.to_string());
    let settings = [
        seconds("presence.heartbeat_interval_s", INTERVAL_S),
        seconds("presence.heartbeat_timeout_mobile_s", TIMEOUT_S),
        seconds("presence.heartbeat_timeout_desktop_s", TIMEOUT_S),
    ];
    let mut run = ScenarioRun::new(common, report, (connections, DevicesPerUser::Two), &settings, &[])?;
    let range = (0, connections);
    // One device of each pair, so that the other can force it off.
    let first = run.server.each("logins", Op::LogIn, range, LOGINS_AT_ONCE)?;
    let beats_a_second = f64::from(connections) / f64::from(INTERVAL_S);
    let beat = run.server.generator.begin(paced(connections, beats_a_second));
    let before_s = run.server.cpu_s()?;
    let workloads = PARTS.map(|(op, _, share)| {
        run.server.generator.begin(Workload {
            op,
            pick: Pick::Random,
            range,
            window: connections,
            per_second: Some(f64::from(rate) * share),
        })
    });
    let mut compared = Compared::default();
    let watch = Stopwatch::start();
    go_on(&mut run, hold, &mut compared)?;
    let mut outcomes = Vec::new();
    for id in workloads {
        outcomes.push(run.server.end(id)?);
    }
    let used_s = run.server.cpu_s()? - before_s;
    let took_s = watch.elapsed().as_secs_f64();
    let beats = run.server.generator.end(beat, &mut |_| {})?;
    run.report.figure("CPU of the gateway", "cores", used_s / took_s);
    run.report.figure("heartbeats answered", "", beats.done as f64);
    run.report
        .check_equal("heartbeats without an answer", 0, beats.failed);
    for ((_, what, _), outcome) in PARTS.iter().zip(&outcomes) {
        run.report.figure(what, "", outcome.done as f64);
        run.report
            .figure(&format!("{what}, p99"), "ms", outcome.percentile_ms(99.0));
        run.report.figure(
            &format!("{what}: times that found no terminal for it"),
            "",
            outcome.passed as f64,
        );
        run.report
            .check_equal(&format!("{what} that failed"), 0, outcome.failed);
        run.report
            .check(&format!("{what} were there"), outcome.done > 0, outcome.done);
    }
    run.compare_at_rest(COMPARED_AT_REST, &mut compared)?;
    run.report_compared(&compared);
    books(&mut run, &first, &outcomes)?;
    run.finish(common)
}

/// Compares statuses while things go on by themselves.
fn go_on(run: &mut ScenarioRun, hold: Duration, compared: &mut Compared) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    let mut progress = Progress::begin("coming and going", hold.as_secs());
    while watch.elapsed() < hold {
        let left = hold.saturating_sub(watch.elapsed()).min(COMPARE_EVERY);
        run.server.pass(left)?;
        run.compare(COMPARED, compared)?;
        let statistics = &run.server.generator.statistics;
        progress.at(
            watch.elapsed().as_secs(),
            &format!(
                "{} live, {} compared, {} wrong{}",
                statistics.live(),
                compared.users,
                compared.wrong,
                troubles(statistics)
            ),
        );
    }
    progress.end(&format!("{} compared, {} wrong", compared.users, compared.wrong));
    Ok(())
}

/// What the gateway counted is what the terminals did.
fn books(run: &mut ScenarioRun, first: &WorkloadOutcome, outcomes: &[WorkloadOutcome]) -> anyhow::Result<()> {
    let done = |op: Op| {
        let parts = PARTS.iter().zip(outcomes).filter(|((part, _, _), _)| *part == op);
        parts.map(|(_, outcome)| outcome.done).sum::<u64>()
    };
    let kept: u64 = outcomes.iter().map(|outcome| outcome.kept).sum();
    let logins = first.done + done(Op::LogIn) + done(Op::ForceOff) + done(Op::Resume) - kept;
    run.check_books(&[
        ("new sessions, by the gateway", "logins_accepted_total", logins),
        ("sessions kept, by the gateway", "sessions_kept_total", kept),
        ("logouts, by the gateway", "logouts_total", done(Op::LogOut)),
        (
            "time-outs, by the gateway",
            "time_outs_total",
            done(Op::FallSilent),
        ),
    ])?;
    let told = run.server.generator.statistics.forced_off_seen();
    run.report.check_equal(
        "devices that were told that they were forced off",
        done(Op::ForceOff),
        told,
    );
    Ok(())
}
