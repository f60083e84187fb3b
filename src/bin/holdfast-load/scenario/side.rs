//! A crowd and the server that it goes to, whatever that is: orders that show how they go, and the server's CPU.

use std::time::Duration;

use holdfast::base::time::Stopwatch;

use crate::crowd::Crowd;
use crate::crowd::board::Board;
use crate::crowd::orders::{Op, Outcome};
use crate::process;
use crate::progress::Progress;
use crate::report::Report;

use super::recorder::Recorder;

/// One crowd and the process that it goes to.
pub(super) struct Side {
    pub(super) crowd: Crowd,
    pub(super) recorder: Recorder,
    pub(super) process: u32,
}

impl Side {
    pub(super) fn new(crowd: Crowd, process: u32) -> Self {
        Self {
            crowd,
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
    ) -> anyhow::Result<Outcome> {
        let mut progress = Progress::begin(title, u64::from(range.1 - range.0));
        let before = self.crowd.board.answers();
        let watch = Stopwatch::start();
        let recorder = &mut self.recorder;
        let outcome = self.crowd.each(op, range, window, &mut |board: &Board| {
            recorder.look(board);
            let done = board.answers().saturating_sub(before);
            let rate = done as f64 / watch.elapsed().as_secs_f64();
            progress.at(done, &format!("{rate:.0}/s{}", troubles(board)));
        })?;
        progress.end(&format!(
            "{} in {:.1} s, p99 {:.1} ms{}",
            outcome.done,
            watch.elapsed().as_secs_f64(),
            outcome.percentile_ms(99.0),
            troubles(&self.crowd.board)
        ));
        Ok(outcome)
    }

    /// Passes `duration`.
    pub(super) fn pass(&mut self, duration: Duration) -> anyhow::Result<()> {
        let recorder = &mut self.recorder;
        self.crowd.pass(duration, &mut |board| recorder.look(board))
    }

    /// The server's CPU time so far, in seconds.
    pub(super) fn cpu_s(&self) -> anyhow::Result<f64> {
        Ok(process::cpu_ns(self.process)? as f64 / 1e9)
    }

    /// Checks that its terminals saw no fault, and names the first ones.
    pub(super) fn check_faults(&self, report: &mut Report, name: &str) {
        let (faults, told) = self.crowd.board.faults();
        let seen = match faults {
            0 => "none".to_owned(),
            _ => format!("{faults}: {}", told.join("; ")),
        };
        report.check(name, faults == 0, seen);
    }
}

/// What went wrong so far, to be said behind the progress.
pub(super) fn troubles(board: &Board) -> String {
    let (faults, retries) = (board.faults().0, board.retries());
    let mut text = String::new();
    if retries > 0 {
        text += &format!(", {retries} told to come back later");
    }
    if faults > 0 {
        text += &format!(", {faults} FAULTS");
    }
    text
}
