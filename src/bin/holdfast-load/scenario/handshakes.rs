//! A storm of handshakes: many terminals begin at once, while others are there and beat. Nobody who is there may be lost by it.

use anyhow::bail;
use holdfast::base::time::Stopwatch;

use crate::arguments::{Common, HandshakesArguments};
use crate::generator::Generator;
use crate::generator::terminal::DevicesPerUser;
use crate::generator::workload::{Op, WorkloadOutcome};
use crate::report::RunReport;

use super::beat::paced;
use super::loaded_server::LoadedServer;
use super::stage::{LOGINS_AT_ONCE, ScenarioRun};

pub(super) fn run(common: &Common, name: &str, storm: HandshakesArguments) -> anyhow::Result<bool> {
    if common.wrapping.tls {
        bail!("this goes by TLS in any case: leave --tls away");
    }
    let mut common = common.clone();
    common.wrapping.tls = true;
    let common = &common;
    let report = RunReport::begin(name, "A storm of handshakes", &common.results)?;
    let HandshakesArguments {
        connections: staying,
        storm: coming,
        rate,
        before,
    } = storm;
    let started = ScenarioRun::gateway(common, staying + coming, &[], &[])?;
    let mut run = ScenarioRun::around(started, common, report, (staying, DevicesPerUser::One))?;
    let mut identities = common.identities(DevicesPerUser::One);
    identities.prefix += "-s";
    let generator = Generator::start(coming, &run.gateway.target(), &identities)?;
    let mut storm = LoadedServer::new(generator, run.gateway.process);
    run.report.condition(format!(
        "{staying} terminals are there and beat {rate} times a second in all; {coming} more begin at once, by threads of their own. Both ends of each handshake are on this host: of its CPU the terminals' ends take more than half."
    ));
    let first = run.all_come(staying, LOGINS_AT_ONCE)?;
    let beats = paced(staying, rate.into());
    let calm = run.server.measure(beats, before)?;
    let id = run.server.generator.begin(beats);
    let watch = Stopwatch::start();
    let logins = storm.each("the storm: logins", Op::LogIn, (0, coming), coming)?;
    let took_s = watch.elapsed().as_secs_f64();
    let stormy = run.server.end(id)?;
    let failed = first.failed + calm.outcome.failed + stormy.failed;
    run.report.check_equal("heartbeats without an answer", 0, failed);
    run.report
        .check_equal("logins of the storm answered well", coming.into(), logins.done);
    let live = run.server.generator.statistics.live();
    run.report
        .check_equal("terminals that were there, and still are", staying.into(), live);
    figures(&mut run.report, &calm.outcome, &stormy);
    run.report
        .figure("until all of the storm are logged in", "s", took_s);
    run.report
        .figure("login in the storm, p99", "ms", logins.percentile_ms(99.0));
    let turned_away = storm.generator.statistics.retries();
    run.report.figure(
        "times that one was turned away and came back",
        "",
        turned_away as f64,
    );
    storm.check_faults(&mut run.report, "faults seen by the terminals of the storm");
    let all = u64::from(staying) + u64::from(coming);
    run.check_books(&[
        ("devices Online, by the gateway", "devices_online_now", all),
        ("time-outs recorded", "time_outs_total", 0),
        ("link ends recorded", "link_ends_total", 0),
    ])?;
    storm.generator.quit()?;
    run.finish(common)
}

fn figures(report: &mut RunReport, calm: &WorkloadOutcome, stormy: &WorkloadOutcome) {
    for (when, outcome) in [("before the storm", calm), ("in the storm", stormy)] {
        for percent in [50.0, 99.0] {
            let name = format!("heartbeat {when}, p{percent:.0}");
            report.figure(&name, "ms", outcome.percentile_ms(percent));
        }
        let name = format!("times {when} that found the terminal still waiting");
        report.figure(&name, "", outcome.passed as f64);
    }
}
