//! Connections that only beat: what each costs in user space and in the kernel, the CPU of holding them, and that nothing
//! happens that nobody did.

use std::time::Duration;

use holdfast::base::time::Stopwatch;

use crate::arguments::{Common, IdleArguments};
use crate::gateway::{cores, shards_for};
use crate::generator::statistics::Statistics;
use crate::generator::terminal::DevicesPerUser;
use crate::generator::workload::{Op, WorkloadOutcome};
use crate::process::peak_rss_bytes;
use crate::progress::Progress;
use crate::report::{RunReport, short};

use super::beat::paced;
use super::loaded_server::troubles;
use super::memory::{
    BothEnds, Caches, ENVIRONMENT, ResidentMemory, UserBytes, WARM_UP, environment, settings, warm_up,
};
use super::stage::{BEATS_AT_ONCE, ScenarioRun};
use super::statuses::Compared;

/// How long a heartbeat may wait for others where many shards share a core: each of them hears few.
const HEARTBEAT_DELAY_MS: u32 = 200;

/// Whoever came first is silent until the last has shaken hands, both ends of which are here.
const TIMEOUT_S: u32 = 3_600;
const TIMEOUTS: [&str; 2] = [
    "presence.heartbeat_timeout_mobile_s",
    "presence.heartbeat_timeout_desktop_s",
];

/// One part in this many of the terminals may have its first beat under way.
const BEATS_PART: u32 = 100;

/// Users that are compared at the end.
const COMPARED: usize = 2_000;

pub(super) fn run(common: &Common, name: &str, idle: IdleArguments) -> anyhow::Result<bool> {
    let IdleArguments {
        connections,
        hold,
        interval,
        window,
    } = idle;
    // Runs with different numbers do not overwrite each other.
    let name = format!("{name}-{}", short(connections));
    let report = RunReport::begin(name, &format!("{connections} idle connections"), &common.results)?;
    let mut settings = settings(interval);
    if shards_for(connections) > cores() {
        settings.push(("shards.heartbeat_delay_max_ms", HEARTBEAT_DELAY_MS.to_string()));
    }
    if common.wrapping.tls {
        settings.extend(TIMEOUTS.map(|setting| (setting, TIMEOUT_S.to_string())));
    }
    let mut run = ScenarioRun::new(
        common,
        report,
        (connections, DevicesPerUser::One),
        &settings,
        &ENVIRONMENT,
    )?;
    let caches = Caches::before();
    let first = connections / 10;
    let visits = warm_up(&mut run, first)?;
    let (few, with_few) = ramp(&mut run, "the first tenth", (0, first), window)?;
    let (rest, with_all) = ramp(&mut run, "all", (first, connections), window)?;
    let more = f64::from(connections - first);
    let both_ends = caches.and_then(|caches| caches.grown(connections.into()));
    let mut logins = few;
    logins.add(&rest);
    run.report
        .check_equal("logins answered well", connections.into(), logins.done);
    run.report
        .figure("login, p50 at this window", "ms", logins.percentile_ms(50.0));
    run.report
        .figure("login, p99 at this window", "ms", logins.percentile_ms(99.0));
    run.report.condition(format!(
        "User bytes: (RSS with {connections} − RSS with {first}) ÷ {}, without what the registry says that it takes; {}. {WARM_UP}",
        connections - first,
        environment(common.running()?.is_none())
    ));
    user_bytes(&mut run.report, with_all.each_since(with_few, more));
    match both_ends {
        Ok(both_ends) => kernel_bytes(&mut run.report, both_ends, f64::from(connections)),
        Err(error) => {
            run.report.condition(format!(
                "Kernel bytes are not given: {error}. /proc/slabinfo is root's."
            ));
        }
    }
    held(&mut run, (hold, interval))?;
    let peak = peak_rss_bytes(run.gateway.process)? as f64 / f64::from(1 << 20);
    run.report.figure("RSS of the gateway, peak", "MiB", peak);
    let mut compared = Compared::default();
    run.compare_at_rest(COMPARED, &mut compared)?;
    run.report_compared(&compared);
    nothing_happened(&mut run, visits)?;
    run.finish(common)
}

/// Logs in those of `range`, and lets each beat once. Gives what is resident then.
fn ramp(
    run: &mut ScenarioRun,
    title: &str,
    range: (u32, u32),
    window: u32,
) -> anyhow::Result<(WorkloadOutcome, ResidentMemory)> {
    let logins = run
        .server
        .each(&format!("{title}: logins"), Op::LogIn, range, window)?;
    // Long naps answer late: with few under way the first of two million would be silent for too long before their turn came.
    let beats_at_once = ((range.1 - range.0) / BEATS_PART).max(BEATS_AT_ONCE);
    run.server
        .each(&format!("{title}: a beat each"), Op::Beat, range, beats_at_once)?;
    Ok((logins, ResidentMemory::of(run)?))
}

fn user_bytes(report: &mut RunReport, each: UserBytes) {
    report.figure("user bytes of a connection", "B", each.own());
    report.figure("RSS of a connection, the registry's part in it", "B", each.rss);
    report.figure("of it the registry's", "B", each.registry);
}

/// Both ends are direct descriptors with an armed poll; only the terminals' ends have ports of their own.
fn kernel_bytes(report: &mut RunReport, both_ends: BothEnds, connections: f64) {
    report.condition(format!(
        "Kernel bytes: what the caches of sockets, files and io_uring grew by, without the ports of the terminals' ends ({:.0} B a connection), halved: both ends are direct descriptors with an armed poll.",
        both_ends.ports / connections
    ));
    report.figure(
        "kernel bytes of a connection, both ends and the port",
        "B",
        both_ends.grown / connections,
    );
    report.figure(
        "kernel bytes of a connection, the gateway's end",
        "B",
        both_ends.gateways() / connections,
    );
}

/// Everyone beats, evenly spread, and nothing else happens.
fn held(run: &mut ScenarioRun, (hold, interval): (Duration, Duration)) -> anyhow::Result<()> {
    let connections = run.server.generator.count;
    let rate = f64::from(connections) / interval.as_secs_f64();
    let mut progress = Progress::begin("holding", hold.as_secs());
    let (before_s, beats) = (run.server.cpu_s()?, run.server.generator.statistics.beats());
    let id = run.server.generator.begin(paced(connections, rate));
    let watch = Stopwatch::start();
    let recorder = &mut run.server.recorder;
    run.server.generator.pass(hold, &mut |statistics: &Statistics| {
        recorder.look(statistics);
        let rate = statistics.beats().saturating_sub(beats) as f64 / watch.elapsed().as_secs_f64();
        progress.at(
            watch.elapsed().as_secs(),
            &format!(
                "{} live, {rate:.0} beats/s{}",
                statistics.live(),
                troubles(statistics)
            ),
        );
    })?;
    let used_s = run.server.cpu_s()? - before_s;
    let outcome = run.server.generator.end(id, &mut |_| {})?;
    progress.end(&format!("{} heartbeats answered", outcome.done));
    run.report.figure(
        "heartbeats a second while holding",
        "1/s",
        outcome.done as f64 / hold.as_secs_f64().max(0.001),
    );
    run.report.figure(
        "CPU of the gateway while holding",
        "cores",
        used_s / hold.as_secs_f64().max(0.001),
    );
    if outcome.done > 0 {
        run.report
            .figure("heartbeat, p50", "ms", outcome.percentile_ms(50.0));
        run.report
            .figure("heartbeat, p99", "ms", outcome.percentile_ms(99.0));
        run.report.figure(
            "CPU of the gateway for a heartbeat",
            "µs",
            used_s * 1e6 / outcome.done as f64,
        );
    }
    run.report
        .check_equal("heartbeats without an answer", 0, outcome.failed + outcome.passed);
    Ok(())
}

/// All are still there, and the gateway recorded their logins, those of the warm-up, and nothing else.
pub(super) fn nothing_happened(run: &mut ScenarioRun, visits: u64) -> anyhow::Result<()> {
    let connections = u64::from(run.server.generator.count);
    let live = run.server.generator.statistics.live();
    run.report
        .check_equal("terminals that are still logged in", connections, live);
    run.check_books(&[
        (
            "devices Online, by the gateway",
            "devices_online_now",
            connections,
        ),
        ("changes recorded", "changes_total", connections + 2 * visits),
        ("logouts recorded", "logouts_total", visits),
        ("link ends recorded", "link_ends_total", 0),
        ("time-outs recorded", "time_outs_total", 0),
    ])
}
