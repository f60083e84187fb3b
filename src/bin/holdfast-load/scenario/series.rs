//! One operation measured round by round: the gateway's CPU for each, the rate, and how long one takes.

use std::time::Duration;

use holdfast::base::time::Stopwatch;

use crate::generator::workload::{Workload, WorkloadOutcome};
use crate::report::RunReport;

use super::loaded_server::LoadedServer;

/// What came of one round.
pub(super) struct Measured {
    pub(super) outcome: WorkloadOutcome,
    pub(super) cpu_s: f64,
    pub(super) took_s: f64,
}

/// The rounds of one operation.
#[derive(Default)]
pub(super) struct Series {
    pub(super) cpu_us: Vec<f64>,
    per_second: Vec<f64>,
    p50_ms: Vec<f64>,
    pub(super) p99_ms: Vec<f64>,
    /// All rounds together.
    pub(super) total: WorkloadOutcome,
}

impl Series {
    pub(super) fn add(&mut self, measured: &Measured) {
        let done = measured.outcome.done.max(1) as f64;
        self.cpu_us.push(measured.cpu_s * 1e6 / done);
        self.per_second.push(done / measured.took_s);
        self.p50_ms.push(measured.outcome.percentile_ms(50.0));
        self.p99_ms.push(measured.outcome.percentile_ms(99.0));
        self.total.add(&measured.outcome);
    }

    /// `what` is one operation of whom, as in "heartbeat".
    pub(super) fn report(self, report: &mut RunReport, what: &str) {
        self.report_cpu(report, what);
        self.report_answers(report, what);
    }

    /// What one cost the server, alone.
    pub(super) fn report_cpu(&self, report: &mut RunReport, what: &str) {
        let name = format!("{what}: CPU of the server for one");
        report.rounds(&name, "µs", self.cpu_us.clone());
    }

    /// How many were answered, and how soon.
    pub(super) fn report_answers(self, report: &mut RunReport, what: &str) {
        report.rounds(&format!("{what}: rate"), "1/s", self.per_second);
        report.rounds(&format!("{what}: p50"), "ms", self.p50_ms);
        report.rounds(&format!("{what}: p99"), "ms", self.p99_ms);
    }

    /// Of messages: all of it, with what their CPU is called.
    pub(super) fn report_on_their_way(self, report: &mut RunReport, what: &str, cpu: &str) {
        report.rounds(&format!("{what}: {cpu}"), "µs", self.cpu_us);
        report.rounds(&format!("{what}: rate"), "1/s", self.per_second);
        report.rounds(&format!("{what}: on its way, p50"), "ms", self.p50_ms);
        report.rounds(&format!("{what}: on its way, p99"), "ms", self.p99_ms);
    }
}

impl LoadedServer {
    /// Lets a workload go on for a while, and measures until all that it began has ended.
    pub(super) fn measure(&mut self, workload: Workload, duration: Duration) -> anyhow::Result<Measured> {
        self.measured(|side| {
            let id = side.generator.begin(workload);
            side.pass(duration)?;
            side.end(id)
        })
    }

    /// So many messages have come since their times were last taken, and cost this.
    pub(super) fn messages_measured(&self, done: u64, cpu_s: f64, took_s: f64) -> Measured {
        let outcome = WorkloadOutcome {
            done,
            latency_us: self.generator.statistics.take_message_us(),
            ..WorkloadOutcome::default()
        };
        Measured {
            outcome,
            cpu_s,
            took_s,
        }
    }

    /// Measures what `work` does.
    pub(super) fn measured(
        &mut self,
        work: impl FnOnce(&mut Self) -> anyhow::Result<WorkloadOutcome>,
    ) -> anyhow::Result<Measured> {
        let (before_s, watch) = (self.cpu_s()?, Stopwatch::start());
        let outcome = work(self)?;
        Ok(Measured {
            outcome,
            cpu_s: self.cpu_s()? - before_s,
            took_s: watch.elapsed().as_secs_f64(),
        })
    }
}
