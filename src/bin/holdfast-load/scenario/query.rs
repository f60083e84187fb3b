//! Status queries of 500 users each, over several connections at once, while terminals stay or beat; and then the same in
//! a storm of logins and logouts by others.

use std::slice::from_ref;

use holdfast::base::limits::QUERY_USERS_MAX;
use holdfast::base::time::Stopwatch;

use crate::arguments::{Common, QueryArguments, Rounds};
use crate::generator::terminal::DevicesPerUser;
use crate::generator::workload::{Op, Pick, Workload, WorkloadId, WorkloadOutcome};
use crate::http::AskedDetail;
use crate::report::RunReport;

use super::beat::paced;
use super::clients::{Question, Seen};
use super::stage::{BEATS_AT_ONCE, LOGINS_AT_ONCE, ScenarioRun};
use super::statuses::Compared;
use super::waits::Waits;

/// Terminals that make a storm, at least: of fewer, each visit would wait for the one before.
const VISITORS_MIN: u32 = 100;
/// Of them those whose users are compared when the storm is over.
const COMPARED: usize = 500;

pub(super) fn run(common: &Common, name: &str, query: QueryArguments) -> anyhow::Result<bool> {
    let QueryArguments {
        connections,
        rate,
        asking,
        rounds,
    } = query;
    let clients = asking.clients;
    let visitors = asking.storm.map_or(0, |storm| storm.max(VISITORS_MIN));
    let report = RunReport::begin(name, "Status queries of 500 users", &common.results)?;
    let terminals = (connections + visitors, DevicesPerUser::One);
    let mut run = ScenarioRun::new(common, report, terminals, &[], &[])?;
    run.report.condition(format!(
        "{clients} queries under way at once, {QUERY_USERS_MAX} users each, drawn by chance; {rate} heartbeats a second meanwhile. The CPU of those alone, measured right before each round, is taken off."
    ));
    let detail = if asking.detail {
        run.report
            .condition("Each query asks for the platforms of its users too (`IsNeedDetail`: 1).".to_owned());
        AskedDetail::Platforms
    } else {
        AskedDetail::None
    };
    run.all_come(connections, LOGINS_AT_ONCE)?;
    let beat: Option<WorkloadId> =
        (rate > 0).then(|| run.server.generator.begin(paced(connections, rate.into())));
    let question = Question {
        http: run.gateway.http,
        caller: run.caller.clone(),
        identities: common.identities(DevicesPerUser::One),
        connections,
        detail,
    };
    let before = Waits::read(&run)?;
    calm(&mut run, &question, clients, rounds)?;
    if let Some(storm) = asking.storm {
        let calm = Waits::read(&run)?.since(&before)?;
        if beat.is_none() {
            run.server
                .each("a beat each", Op::Beat, (0, connections), BEATS_AT_ONCE)?;
        }
        calm.report(&mut run.report, "before the storm");
        in_storm(&mut run, &question, (storm, clients), rounds)?;
    }
    if let Some(id) = beat {
        let outcome = run.server.generator.end(id, &mut |_| {})?;
        run.report
            .figure("heartbeat meanwhile, p99", "ms", outcome.percentile_ms(99.0));
        run.report
            .check_equal("heartbeats without an answer", 0, outcome.failed);
    }
    run.finish(common)
}

/// Nobody comes or goes: the CPU of the gateway is that of the queries, beside that of heartbeats, which is known.
fn calm(run: &mut ScenarioRun, question: &Question, clients: u32, rounds: Rounds) -> anyhow::Result<()> {
    let (mut cpu_us, mut rates, mut all) = (Vec::new(), Vec::new(), Seen::new());
    for _ in 0..rounds.rounds {
        let without = cores(run, rounds)?;
        let (before_s, watch) = (run.server.cpu_s()?, Stopwatch::start());
        let seen = run.server.ask(from_ref(question), clients, rounds.duration)?;
        let took_s = watch.elapsed().as_secs_f64();
        let cpu_s = run.server.cpu_s()? - before_s - without * took_s;
        cpu_us.push(cpu_s * 1e6 / seen.users.max(1) as f64);
        rates.push(seen.users as f64 / took_s);
        all.add(&seen)?;
    }
    run.report
        .rounds("CPU of the gateway for a user's status", "µs", cpu_us);
    run.report.rounds("users' statuses, rate", "1/s", rates);
    report_seen(&mut run.report, &all, "");
    Ok(())
}

/// Others log in and out all the time.
fn in_storm(
    run: &mut ScenarioRun,
    question: &Question,
    (storm, clients): (u32, u32),
    rounds: Rounds,
) -> anyhow::Result<()> {
    let staying = question.connections;
    let visitors = (staying, run.server.generator.count);
    let count = visitors.1 - visitors.0;
    run.report.condition(format!(
        "The storm: {storm} visits a second, each a login and then a logout, by {count} other terminals. The CPU of a status is measured before it only, since nobody can tell the CPU of queries and that of visits apart. In the storm and before it there are as many rounds."
    ));
    run.report.condition(Waits::CONDITION.to_owned());
    let before = Waits::read(run)?;
    let watch = Stopwatch::start();
    let id = run.server.generator.begin(Workload {
        op: Op::Visit,
        pick: Pick::Round,
        range: visitors,
        // Never full: a visit whose time finds everyone under way is left out, and counted, and not made up for later.
        window: count + 1,
        per_second: Some(storm.into()),
    });
    let (mut rates, mut all) = (Vec::new(), Seen::new());
    for _ in 0..rounds.rounds {
        let watch = Stopwatch::start();
        let seen = run.server.ask(from_ref(question), clients, rounds.duration)?;
        rates.push(seen.users as f64 / watch.elapsed().as_secs_f64());
        all.add(&seen)?;
    }
    let waits = Waits::read(run)?.since(&before)?;
    let visits = run.server.generator.end(id, &mut |_| {})?;
    let visits_s = visits.done as f64 / watch.elapsed().as_secs_f64();
    let report = &mut run.report;
    report.rounds("in the storm: users' statuses, rate", "1/s", rates);
    report_seen(report, &all, "in the storm: ");
    waits.report(report, "in the storm");
    report.figure("in the storm: visits, rate", "1/s", visits_s);
    report.figure("in the storm: visit, p50", "ms", visits.percentile_ms(50.0));
    report.figure("in the storm: visit, p99", "ms", visits.percentile_ms(99.0));
    stood(run, visitors, &visits)
}

/// Every visit of the storm is in the gateway's books, and its people are gone again.
fn stood(run: &mut ScenarioRun, visitors: (u32, u32), visits: &WorkloadOutcome) -> anyhow::Result<()> {
    let (report, passed) = (&mut run.report, visits.passed as f64);
    report.figure(
        "in the storm: times that found every visitor under way",
        "",
        passed,
    );
    let retries = run.server.generator.statistics.retries() as f64;
    report.figure("logins told to come back later", "", retries);
    report.check_equal("visits that failed", 0, visits.failed);
    report.check("visits in the storm", visits.done > 0, visits.done);
    let logins = u64::from(visitors.0) + visits.done;
    let mut compared = Compared::default();
    run.compare_among_at_rest(visitors, COMPARED, &mut compared)?;
    run.report_compared(&compared);
    run.check_books(&[
        ("logins, by the gateway", "logins_accepted_total", logins),
        ("logouts, by the gateway", "logouts_total", visits.done),
        (
            "devices Online, by the gateway",
            "devices_online_now",
            visitors.0.into(),
        ),
    ])
}

/// How long queries took, and that all that they showed was right. `when` stands before each name.
fn report_seen(report: &mut RunReport, all: &Seen, when: &str) {
    for percent in [50.0, 99.0] {
        let name = format!("{when}query of {QUERY_USERS_MAX} users, p{percent:.0}");
        report.figure(&name, "ms", all.percentile_ms(percent));
    }
    let (wrong, users) = (all.wrong, all.users);
    let first = all.told.iter().map(|told| format!("; {told}"));
    let seen = format!("{wrong} of {users} were wrong{}", first.collect::<String>());
    let name = format!("{when}statuses by query: all are Online");
    report.check(&name, wrong == 0 && users > 0, seen);
}

/// Cores that the gateway uses while nobody asks.
fn cores(run: &mut ScenarioRun, rounds: Rounds) -> anyhow::Result<f64> {
    let (before_s, watch) = (run.server.cpu_s()?, Stopwatch::start());
    let recorder = &mut run.server.recorder;
    run.server
        .generator
        .pass(rounds.duration, &mut |statistics| recorder.look(statistics))?;
    Ok((run.server.cpu_s()? - before_s) / watch.elapsed().as_secs_f64())
}
