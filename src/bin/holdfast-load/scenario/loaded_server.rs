//! A load generator and the server that it goes to, whatever that is: workloads that show how they go, and the server's CPU.

use std::time::Duration;

use holdfast::base::time::Stopwatch;

use crate::generator::Generator;
use crate::generator::statistics::Statistics;
use crate::generator::workload::{Op, WorkloadId, WorkloadOutcome};
use crate::process;
use crate::progress::Progress;
use crate::report::RunReport;

use super::recorder::Recorder;

/// One load generator and the process that it goes to.
pub(super) struct LoadedServer {
    pub(super) generator: Generator,
    pub(super) recorder: Recorder,
    pub(super) process: u32,
}

impl LoadedServer {
    pub(super) fn new(generator: Generator, process: u32) -> Self {
        Self {
            generator,
            recorder: Recorder::new(process),
            process,
        }
    }

    /// Lets each terminal of `range` that can do `op` do it once, and shows how it goes.
    pub(super) fn each(
        &mut self,
        title: &str,
        op: Op,
        range: (u32, u32),
        window: u32,
    ) -> anyhow::Result<WorkloadOutcome> {
        let before = self.generator.statistics.answers();
        let id = self.generator.begin_walk(op, range, window);
        self.join_walk(id, title, (before, range.1 - range.0))
    }

    /// Waits until all of a walk have had their turn, which are so many, and shows how it goes. `before`: the answers when it
    /// began.
    pub(super) fn join_walk(
        &mut self,
        id: WorkloadId,
        title: &str,
        (before, count): (u64, u32),
    ) -> anyhow::Result<WorkloadOutcome> {
        let mut progress = Progress::begin(title, count.into());
        let watch = Stopwatch::start();
        let recorder = &mut self.recorder;
        let outcome = self.generator.join_walk(id, &mut |statistics: &Statistics| {
            recorder.look(statistics);
            let done = statistics.answers().saturating_sub(before);
            let rate = done as f64 / watch.elapsed().as_secs_f64();
            progress.at(done, &format!("{rate:.0}/s{}", troubles(statistics)));
        })?;
        progress.end(&format!(
            "{} in {:.1} s, p99 {:.1} ms{}",
            outcome.done,
            watch.elapsed().as_secs_f64(),
            outcome.percentile_ms(99.0),
            troubles(&self.generator.statistics)
        ));
        Ok(outcome)
    }

    /// Passes `duration`.
    pub(super) fn pass(&mut self, duration: Duration) -> anyhow::Result<()> {
        let recorder = &mut self.recorder;
        self.generator
            .pass(duration, &mut |statistics| recorder.look(statistics))
    }

    /// Lets nothing more of a workload begin, and waits for what is under way.
    pub(super) fn end(&mut self, id: WorkloadId) -> anyhow::Result<WorkloadOutcome> {
        let recorder = &mut self.recorder;
        self.generator
            .end(id, &mut |statistics| recorder.look(statistics))
    }

    /// The server's CPU time so far, in seconds.
    pub(super) fn cpu_s(&self) -> anyhow::Result<f64> {
        Ok(process::cpu_ns(self.process)? as f64 / 1e9)
    }

    /// Checks that its terminals saw no fault, and names the first ones.
    pub(super) fn check_faults(&self, report: &mut RunReport, name: &str) {
        let (faults, told) = self.generator.statistics.faults();
        let seen = match faults {
            0 => "none".to_owned(),
            _ => format!("{faults}: {}", told.join("; ")),
        };
        report.check(name, faults == 0, seen);
    }
}

/// What went wrong so far, to be said behind the progress.
pub(super) fn troubles(statistics: &Statistics) -> String {
    let (faults, retries) = (statistics.faults().0, statistics.retries());
    let mut text = String::new();
    if retries > 0 {
        text += &format!(", {retries} told to come back later");
    }
    if faults > 0 {
        text += &format!(", {faults} FAULTS");
    }
    text
}
