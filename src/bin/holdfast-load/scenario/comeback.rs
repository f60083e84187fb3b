//! Everyone is cut off at once and comes back: by a gateway that was killed, of which nobody may be told anything; or by
//! links that were reset, of which each device has one link end and one login to show.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::bail;
use holdfast::base::time::Stopwatch;

use crate::arguments::{Common, ReturnArguments};
use crate::generator::terminal::DevicesPerUser;
use crate::generator::workload::{LinkEnds, Op};
use crate::http::{Http, StatusChange};
use crate::progress::Progress;
use crate::receiver::Receiver;
use crate::report::RunReport;

use super::stage::{BEATS_AT_ONCE, ScenarioRun};
use super::statuses::Compared;

/// Users that are compared.
const COMPARED: usize = 2_000;

/// Longer than any number of terminals takes to come back.
const GRACE_S: u32 = 300;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How long the gateway may take to see, or to tell, what has happened.
const PATIENCE_S: f64 = 120.0;

pub(super) fn run(common: &Common, name: &str, back: ReturnArguments) -> anyhow::Result<bool> {
    let ReturnArguments {
        connections,
        links,
        window,
        ..
    } = back;
    let title = if links {
        "All links are reset, and everyone comes back"
    } else {
        "The gateway is killed, and everyone comes back"
    };
    let receiver = Receiver::start()?;
    let settings = [
        ("presence.restart_grace_s", GRACE_S.to_string()),
        (
            "callback.url",
            format!("\"http://{}/callback\"", receiver.address),
        ),
    ];
    let report = RunReport::begin(name, title, &common.results)?;
    let mut run = ScenarioRun::new(common, report, (connections, DevicesPerUser::One), &settings, &[])?;
    let all = (0, connections);
    run.all_come(connections, window)?;
    // A gateway that runs already has a receiver of its own.
    let is_ours = common.running()?.is_none();
    let count = |_: &ScenarioRun| Ok(receiver.count());
    let of_logins = u64::from(connections);
    if is_ours {
        wait(&mut run, "callbacks of the logins", of_logins, &count)?;
    }
    let (_, cursor) = changes(&run, None)?;
    let mut compared = Compared::default();
    if links {
        links_cut(&mut run, window, cursor)?;
    } else {
        killed(&mut run, window, cursor)?;
    }
    run.server.each("a beat each", Op::Beat, all, BEATS_AT_ONCE)?;
    run.compare_at_rest(COMPARED, &mut compared)?;
    run.report_compared(&compared);
    if is_ours {
        let since = if links { 2 * of_logins } else { 0 };
        let told = wait(&mut run, "callbacks", of_logins + since, &count)?;
        run.report
            .check_equal("callbacks since everyone had logged in", since, told - of_logins);
    }
    let live = run.server.generator.statistics.live();
    run.report.check_equal(
        "terminals that are logged in at the end",
        connections.into(),
        live,
    );
    run.finish(common)
}

fn killed(run: &mut ScenarioRun, window: u32, cursor: Option<String>) -> anyhow::Result<()> {
    let connections = u64::from(run.server.generator.count);
    run.server.generator.set_link_ends(LinkEnds::AreExpected);
    run.server.generator.wait_until_applied()?;
    let watch = Stopwatch::start();
    run.gateway.kill()?;
    wait(run, "links that ended with the gateway", connections, &|run| {
        Ok(run.server.generator.statistics.links_lost())
    })?;
    let ended_s = watch.elapsed().as_secs_f64();
    run.gateway.start_again()?;
    run.server.process = run.gateway.process;
    run.server.recorder.follow(run.gateway.process);
    // Connections to the one that was killed are no use.
    run.http = Http::new()?;
    let ready_s = watch.elapsed().as_secs_f64();
    run.server.generator.set_link_ends(LinkEnds::AreFaults);
    let resumes = run
        .server
        .each("resumes", Op::Resume, (0, run.server.generator.count), window)?;
    let back_s = watch.elapsed().as_secs_f64();
    // The metrics count from the new start.
    run.began_with.clear();
    run.report
        .figure("from the kill to the last link's end", "s", ended_s);
    run.report.figure(
        "from there until the gateway is ready again",
        "s",
        ready_s - ended_s,
    );
    run.report
        .figure("from there until everyone is back", "s", back_s - ready_s);
    run.report
        .figure("resume, p50 at this window", "ms", resumes.percentile_ms(50.0));
    run.report
        .figure("resume, p99 at this window", "ms", resumes.percentile_ms(99.0));
    run.report
        .check_equal("resumes answered well", connections, resumes.done);
    run.report
        .check_equal("sessions that were kept", connections, resumes.kept);
    let (changes, _) = changes(run, cursor)?;
    run.report
        .check_equal("changes recorded since the kill", 0, changes.len() as u64);
    let metrics = run.http.metrics(run.gateway.admin)?;
    let online = run.grown(&metrics, "devices_online_now")?;
    run.report
        .check_equal("devices Online, by the gateway", connections, online);
    Ok(())
}

fn links_cut(run: &mut ScenarioRun, window: u32, cursor: Option<String>) -> anyhow::Result<()> {
    let connections = u64::from(run.server.generator.count);
    let watch = Stopwatch::start();
    let cuts = run
        .server
        .each("links reset", Op::CutRst, (0, run.server.generator.count), window)?;
    run.report.check_equal("links reset", connections, cuts.done);
    wait(run, "link ends recorded", connections, &|run| {
        let metrics = run.http.metrics(run.gateway.admin)?;
        run.grown(&metrics, "link_ends_total")
    })?;
    let ended_s = watch.elapsed().as_secs_f64();
    let resumes = run
        .server
        .each("resumes", Op::Resume, (0, run.server.generator.count), window)?;
    run.report
        .figure("until all link ends are recorded", "s", ended_s);
    run.report.figure(
        "from there until everyone is back",
        "s",
        watch.elapsed().as_secs_f64() - ended_s,
    );
    run.report
        .check_equal("resumes answered well", connections, resumes.done);
    run.report
        .check_equal("sessions that went on as if nothing had been", 0, resumes.kept);
    let (changes, _) = changes(run, cursor)?;
    let mut by_user: HashMap<&str, Vec<&StatusChange>> = HashMap::new();
    for change in &changes {
        by_user.entry(&change.user).or_default().push(change);
    }
    let right = by_user.values().filter(|changes| {
        let kinds: Vec<&str> = changes.iter().map(|change| change.kind.as_str()).collect();
        kinds == ["link-end", "login"] && changes[0].number + 1 == changes[1].number
    });
    run.report.check_equal(
        "users with one link end and then one login",
        connections,
        right.count() as u64,
    );
    run.report
        .check_equal("changes recorded since", 2 * connections, changes.len() as u64);
    Ok(())
}

/// All changes behind a cursor, and the cursor behind them.
fn changes(run: &ScenarioRun, after: Option<String>) -> anyhow::Result<(Vec<StatusChange>, Option<String>)> {
    let (mut all, mut after) = (Vec::new(), after);
    loop {
        let (page, next) = run.http.changes(run.gateway.admin, after.as_deref())?;
        after = next.or(after);
        if page.is_empty() {
            return Ok((all, after));
        }
        all.extend(page);
    }
}

/// Waits until a count, which nobody announces, is what it has to be; gives it.
pub(super) fn wait(
    run: &mut ScenarioRun,
    what: &str,
    expected: u64,
    count: &dyn Fn(&ScenarioRun) -> anyhow::Result<u64>,
) -> anyhow::Result<u64> {
    let mut progress = Progress::begin(what, expected);
    let watch = Stopwatch::start();
    loop {
        let seen = count(run)?;
        if seen >= expected {
            progress.end(&format!("{seen}"));
            return Ok(seen);
        }
        if watch.elapsed().as_secs_f64() > PATIENCE_S {
            let (faults, texts) = run.server.generator.statistics.faults();
            bail!("{what}: {seen} of {expected} after {PATIENCE_S} s; {faults} faults: {texts:?}");
        }
        progress.at(seen, "");
        run.server.pass(LOOK)?;
    }
}
