//! Messages from the backend to terminals: the gateway's CPU for each, how many a second, and how long one is on its way. What
//! the backend is told of them is compared with what came to the terminals.

use holdfast::base::limits::SEND_TARGETS_MAX;
use holdfast::base::time::Stopwatch;
use holdfast::protocol::packet::{FEATURE_ACKS, FEATURE_MESSAGES};

use crate::arguments::{Common, RelayArguments, Rounds};
use crate::gateway::Gateway;
use crate::generator::terminal::DevicesPerUser;
use crate::report::RunReport;

use super::beat::paced;
use super::loaded_server::LoadedServer;
use super::senders::{Acks, BODY_BYTES, Posted, Posting};
use super::series::Series;
use super::stage::{LOGINS_AT_ONCE, ScenarioRun};

/// Clients that share the rate of the paced part: each waits for its answer.
pub(super) const PACED_CLIENTS: u32 = 8;

/// What a request for many users saves.
const FANNED_OUT: &str = "message, one to 500: CPU of the gateway ÷ that of one to one";

pub(super) fn run(common: &Common, name: &str, relay: RelayArguments) -> anyhow::Result<bool> {
    let RelayArguments {
        connections,
        clients,
        rate,
        beats,
        rounds,
        ..
    } = relay;
    let mut report = RunReport::begin(name, "Messages to terminals", &common.results)?;
    report.condition(format!(
        "Messages with a body of {BODY_BYTES} bytes, by `POST /v1/send`, to users drawn by chance. The gateway's CPU is that of requests, answers and acknowledgements, too."
    ));
    let started = ScenarioRun::gateway(common, connections, &[], &[])?;
    let mut run = come(common, report, started, connections)?;
    let beat = (beats > 0).then(|| run.server.generator.begin(paced(connections, beats.into())));
    let posting = Posting {
        http: run.gateway.http,
        caller: run.caller.clone(),
        identities: common.identities(DevicesPerUser::One),
        connections,
        targets: 1,
        lines: 1,
        acks: Acks::No,
        per_second: None,
    };
    let awaited = |posting: &Posting| Posting {
        acks: Acks::Awaited,
        ..posting.clone()
    };
    let many = Posting {
        targets: SEND_TARGETS_MAX,
        ..posting.clone()
    };
    let evenly = Posting {
        per_second: Some(f64::from(rate) / f64::from(PACED_CLIENTS)),
        ..posting.clone()
    };
    let fan_out_clients = clients.min(4);
    let single_us = part(&mut run, "one to one", &posting, clients, rounds)?;
    let acked = awaited(&posting);
    part(&mut run, "one to one, acknowledged", &acked, clients, rounds)?;
    let fanned_us = part(&mut run, "one to 500", &many, fan_out_clients, rounds)?;
    let ratios = fanned_us.iter().zip(single_us).map(|(many, one)| many / one);
    run.report.rounds(FANNED_OUT, "", ratios.collect());
    let acked = awaited(&many);
    part(
        &mut run,
        "one to 500, acknowledged",
        &acked,
        fan_out_clients,
        rounds,
    )?;
    part(
        &mut run,
        &format!("paced at {rate}/s"),
        &evenly,
        PACED_CLIENTS,
        rounds,
    )?;
    if let Some(id) = beat {
        let outcome = run.server.generator.end(id, &mut |_| {})?;
        run.report
            .figure("heartbeat meanwhile, p99", "ms", outcome.percentile_ms(99.0));
        run.report
            .check_equal("heartbeats without an answer", 0, outcome.failed);
    }
    run.finish(common)
}

/// Terminals that take messages and acknowledge them, all logged in.
fn come(
    common: &Common,
    report: RunReport,
    started: (Gateway, Vec<(&'static str, String)>),
    connections: u32,
) -> anyhow::Result<ScenarioRun> {
    let features = FEATURE_MESSAGES | FEATURE_ACKS;
    let terminals = (connections, DevicesPerUser::One);
    let mut run = ScenarioRun::around_with(started, common, report, (terminals, features))?;
    run.all_come(connections, LOGINS_AT_ONCE)?;
    Ok(run)
}

/// One way of sending, round by round. Gives the gateway's CPU for one message in each round, in µs.
fn part(
    run: &mut ScenarioRun,
    what: &str,
    posting: &Posting,
    clients: u32,
    rounds: Rounds,
) -> anyhow::Result<Vec<f64>> {
    let mut series = Series::default();
    let (mut all, came_before) = (Posted::default(), run.server.generator.statistics.messages());
    for _ in 0..rounds.rounds {
        drop(run.server.generator.statistics.take_message_us());
        let (before_s, watch) = (run.server.cpu_s()?, Stopwatch::start());
        let posted = run.server.post(posting, clients, rounds.duration)?;
        let (took_s, cpu_s) = (watch.elapsed().as_secs_f64(), run.server.cpu_s()? - before_s);
        series.add(&run.server.messages_measured(posted.devices(), cpu_s, took_s));
        all.add(&posted);
    }
    let cpu_us = series.cpu_us.clone();
    series.report_on_their_way(&mut run.report, &format!("message, {what}"), "CPU of the gateway");
    let well = match posting.acks {
        Acks::No => all.of("sent"),
        Acks::Awaited => all.of("acked"),
    };
    let (devices, seen) = (all.devices(), format!("{:?}", all.outcomes));
    run.report.check(
        &format!("messages, {what}: all arrived, by the gateway"),
        well == devices,
        seen,
    );
    let came = run.server.await_messages(came_before + devices)? - came_before;
    run.report.check_equal(
        &format!("messages, {what}: arrived, by the terminals"),
        devices,
        came,
    );
    Ok(cpu_us)
}

/// How long the last messages may be on their way, and how often they are looked for meanwhile.
const ARRIVAL_WAIT: std::time::Duration = std::time::Duration::from_secs(3);
const ARRIVAL_AGAIN: std::time::Duration = std::time::Duration::from_millis(50);

impl LoadedServer {
    /// Waits until so many have come to the terminals since the run began, or for a while: the last ones may still be on their
    /// way. Gives how many have.
    pub(super) fn await_messages(&mut self, expected: u64) -> anyhow::Result<u64> {
        let watch = Stopwatch::start();
        while self.generator.statistics.messages() < expected && watch.elapsed() < ARRIVAL_WAIT {
            self.pass(ARRIVAL_AGAIN)?;
        }
        Ok(self.generator.statistics.messages())
    }
}
