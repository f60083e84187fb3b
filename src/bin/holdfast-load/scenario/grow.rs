//! What a connection and a heartbeat cost as the crowd grows: the same measurements with more and more terminals at one
//! gateway. It judges no figure; what has to hold are the answers.

use std::time::Duration;

use anyhow::bail;
use holdfast::base::time::Stopwatch;

use crate::arguments::{Common, Rounds};
use crate::crowd::Plan;
use crate::crowd::orders::{Op, Outcome, Pick};
use crate::crowd::terminal::Kinship;
use crate::progress::Progress;
use crate::report::{Report, median};
use crate::steps::Steps;

use super::beat::{paced, saturated};
use super::idle::nothing_happened;
use super::memory::{BothEnds, Caches, ENVIRONMENT, Memory, environment};
use super::series::Series;
use super::statuses::Compared;
use super::{BEATS_AT_ONCE, LOGINS_AT_ONCE, Stage};

/// Users that are compared at each step: of those that have come, and of those that never have.
const COMPARED: usize = 2_000;
const COMPARED_UNKNOWN: usize = 200;

/// How terminals beat.
#[derive(Clone, Copy)]
pub(super) struct Beats {
    /// How often each is told to.
    pub(super) interval: Duration,
    /// Under way at once in the saturated part.
    pub(super) window: u32,
    /// A second, in the paced part.
    pub(super) rate: u32,
}

/// What was measured with so many connections.
struct Step {
    connections: u32,
    memory: Memory,
    /// If the kernel tells.
    both_ends: Option<BothEnds>,
    fast: Series,
    even: Series,
}

/// A run, step by step.
struct Growth {
    beats: Beats,
    rounds: Rounds,
    steps: Vec<Step>,
    compared: Compared,
    logins: u64,
    /// Heartbeats of all who were logged in, each one: how many there had to be, and were.
    due: u64,
    beat: u64,
    /// All heartbeats so far.
    beaten: Outcome,
    /// Since when nobody has been silent for longer.
    rested: Stopwatch,
}

pub(super) fn run(
    common: &Common,
    name: &'static str,
    (steps, beats): (&Steps, Beats),
    rounds: Rounds,
) -> anyhow::Result<bool> {
    if rounds.duration * 2 > beats.interval {
        bail!("a round has two parts of --duration, which together may not be longer than --interval");
    }
    let largest = steps.largest();
    let report = Report::new(name, &format!("Cost as it grows, up to {largest} connections"));
    let settings = [(
        "presence.heartbeat_interval_s",
        beats.interval.as_secs().max(1).to_string(),
    )];
    let crowd = (largest, Kinship::Alone);
    let mut stage = Stage::new(common, report, crowd, &settings, &ENVIRONMENT)?;
    conditions(&mut stage.report, beats);
    let (caches, before) = (Caches::before(), Memory::of(&stage)?);
    let mut growth = Growth {
        beats,
        rounds,
        steps: Vec::new(),
        compared: Compared::default(),
        logins: 0,
        due: 0,
        beat: 0,
        beaten: Outcome::default(),
        rested: Stopwatch::start(),
    };
    for connections in steps.all() {
        growth.step(&mut stage, *connections, caches.as_ref().ok())?;
    }
    let report = &mut stage.report;
    report.check_equal("logins answered well", largest.into(), growth.logins);
    report.check_equal("heartbeats when each was to beat", growth.due, growth.beat);
    report.check_equal("heartbeats without an answer", 0, growth.beaten.failed);
    stage.report_compared(&growth.compared);
    stage.check_books(&[(
        "heartbeats, by the gateway",
        "heartbeats_total",
        growth.beaten.done,
    )])?;
    nothing_happened(&mut stage)?;
    report_memory(&mut stage.report, before, &growth.steps);
    match caches {
        Ok(_) => report_kernel(&mut stage.report, &growth.steps),
        Err(error) => stage.report.condition(format!(
            "Kernel bytes are not given: {error}. /proc/slabinfo is root's."
        )),
    }
    report_beats(&mut stage.report, beats, growth.steps);
    stage.finish(common)
}

fn conditions(report: &mut Report, beats: Beats) {
    let Beats { window, rate, .. } = beats;
    report.condition("The gateway, its shards and the crowd's threads are those for the largest step at every step. A ratio is the largest figure of a step ÷ the smallest: flat within 10 % is 1.10 at most, which is the aim and no check.".to_owned());
    report.condition(format!(
        "Heartbeats: any terminal that is logged in, drawn by chance each time; {window} at once where saturated, {rate} a second where paced, the same at each step."
    ));
    report.condition(format!(
        "User bytes: what RSS grew by since before the first connection, or between two steps, ÷ connections, without what the registry says that it takes; without huge pages, and with freed memory given back at once ({}). The registry's part is its write buffer and its cache: it falls when the buffer has been written to files. Kernel bytes: what the caches of sockets, files and io_uring grew by in the same way, without the ports of the crowd's ends, halved: both ends are direct descriptors with an armed poll.",
        environment()
    ));
}

impl Growth {
    /// More terminals come, and everything is measured with all of them.
    fn step(&mut self, stage: &mut Stage, connections: u32, caches: Option<&Caches>) -> anyhow::Result<()> {
        self.come(stage, connections)?;
        self.beat_once(stage, connections)?;
        let memory = Memory::of(stage)?;
        let both_ends = match caches {
            Some(caches) => Some(caches.grown(connections.into())?),
            None => None,
        };
        let mut step = Step {
            connections,
            memory,
            both_ends,
            fast: Series::default(),
            even: Series::default(),
        };
        self.measure(stage, &mut step)?;
        self.steps.push(step);
        let compared = &mut self.compared;
        stage.compare_among_at_rest((0, connections), COMPARED, compared)?;
        let all = stage.side.crowd.count;
        if connections < all {
            stage.compare_among_at_rest((connections, all), COMPARED_UNKNOWN, compared)?;
        }
        let what = format!("devices Online, by the gateway, of {connections}");
        stage.check_books(&[(&what, "devices_online_now", connections.into())])
    }

    /// Those who are missing log in. The others beat meanwhile as often as they are to.
    fn come(&mut self, stage: &mut Stage, connections: u32) -> anyhow::Result<()> {
        let here = self.steps.last().map_or(0, |step| step.connections);
        let rate = f64::from(here) / self.beats.interval.as_secs_f64();
        let staying = (here > 0).then(|| stage.side.crowd.begin(paced(here, rate)));
        let (title, missing) = (format!("{connections}: logins"), (here, connections));
        let logins = stage.side.each(&title, Op::LogIn, missing, LOGINS_AT_ONCE)?;
        self.logins += logins.done;
        if let Some(id) = staying {
            self.beaten.add(&stage.side.crowd.end(id, &mut |_| {})?);
        }
        Ok(())
    }

    fn beat_once(&mut self, stage: &mut Stage, connections: u32) -> anyhow::Result<()> {
        let (title, all) = (format!("{connections}: a beat each"), (0, connections));
        let beats = stage.side.each(&title, Op::Beat, all, BEATS_AT_ONCE)?;
        self.due += u64::from(connections);
        self.beat += beats.done;
        self.beaten.add(&beats);
        self.rested = Stopwatch::start();
        Ok(())
    }

    fn measure(&mut self, stage: &mut Stage, step: &mut Step) -> anyhow::Result<()> {
        let (connections, Beats { window, rate, .. }) = (step.connections, self.beats);
        let by_chance = |plan| Plan {
            pick: Pick::Random,
            ..plan
        };
        let title = format!("{connections}: rounds");
        let mut progress = Progress::begin(&title, self.rounds.rounds.into());
        for round in 0..self.rounds.rounds {
            progress.at(round.into(), "");
            // Chance leaves some out for long, and whoever is silent for too long is gone.
            if self.rested.elapsed() > self.beats.interval / 2 {
                self.beat_once(stage, connections)?;
            }
            let fast = by_chance(saturated(connections, window));
            step.fast.add(&stage.side.measure(fast, self.rounds.duration)?);
            let even = by_chance(paced(connections, rate.into()));
            step.even.add(&stage.side.measure(even, self.rounds.duration)?);
        }
        let Outcome { done, .. } = step.even.total;
        progress.end(&format!(
            "{} saturated and {done} paced heartbeats",
            step.fast.total.done
        ));
        self.beaten.add(&step.fast.total);
        self.beaten.add(&step.even.total);
        Ok(())
    }
}

/// How far figures of different sizes are apart: the largest ÷ the smallest. `None` if there are no two, or if one is not
/// above 0, where a ratio says nothing.
fn ratio(figures: &[f64]) -> Option<f64> {
    let smallest = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (figures.len() > 1 && smallest > 0.0).then(|| largest / smallest)
}

fn report_ratio(report: &mut Report, what: &str, figures: &[f64]) {
    if let Some(ratio) = ratio(figures) {
        report.figure(&format!("{what}: largest ÷ smallest"), "", ratio);
    }
}

/// What a connection costs by step, over all of them and over those that the step added, and how far the steps are apart.
/// `since` counts from an earlier step, or from the beginning.
fn report_by_step(
    report: &mut Report,
    what: &str,
    steps: &[Step],
    since: &dyn Fn(Option<&Step>, &Step) -> f64,
) {
    let totals: Vec<f64> = steps.iter().map(|step| since(None, step)).collect();
    for (step, total) in steps.iter().zip(&totals) {
        report.figure(&format!("{what}, {} in all", step.connections), "B", *total);
    }
    let pairs = steps.iter().zip(steps.iter().skip(1));
    let slopes: Vec<f64> = pairs.map(|(few, many)| since(Some(few), many)).collect();
    for (pair, slope) in steps.windows(2).zip(&slopes) {
        let (from, to) = (pair[0].connections, pair[1].connections);
        report.figure(&format!("{what}, slope from {from} to {to}"), "B", *slope);
    }
    report_ratio(report, &format!("{what}, in all"), &totals);
    report_ratio(report, &format!("{what}, slopes"), &slopes);
}

/// Connections that came between two steps.
fn more(few: Option<&Step>, many: &Step) -> f64 {
    f64::from(many.connections - few.map_or(0, |few| few.connections))
}

fn report_memory(report: &mut Report, before: Memory, steps: &[Step]) {
    let since = |few: Option<&Step>, many: &Step| {
        let earlier = few.map_or(before, |few| few.memory);
        many.memory.each_since(earlier, more(few, many))
    };
    report_by_step(report, "user bytes of a connection", steps, &|few, many| {
        since(few, many).own()
    });
    report_by_step(
        report,
        "the registry's bytes of a connection, apart",
        steps,
        &|few, many| since(few, many).registry,
    );
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    report.figure("RSS of the gateway, before the first", "MiB", mib(before.rss));
    for step in steps {
        let name = format!("RSS of the gateway, {}", step.connections);
        report.figure(&name, "MiB", mib(step.memory.rss));
    }
}

fn report_kernel(report: &mut Report, steps: &[Step]) {
    let name = "kernel bytes of a connection, the gateway's end";
    report_by_step(report, name, steps, &|few, many| {
        let earlier = few.and_then(|few| few.both_ends).unwrap_or_default();
        let grown = many.both_ends.unwrap_or_default().since(earlier);
        grown.gateways() / more(few, many)
    });
}

fn report_beats(report: &mut Report, beats: Beats, steps: Vec<Step>) {
    let fast = format!("heartbeat, saturated ({} at once)", beats.window);
    let even = format!("heartbeat, paced at {}/s", beats.rate);
    report_cpu(report, &fast, &steps, &|step| &step.fast);
    report_cpu(report, &even, &steps, &|step| &step.even);
    let passed: u64 = steps.iter().map(|step| step.even.total.passed).sum();
    report.figure("paced times at which no terminal was free", "", passed as f64);
    for step in steps {
        let connections = step.connections;
        step.fast
            .report_answers(report, &format!("{fast}, {connections}"));
        step.even
            .report_answers(report, &format!("{even}, {connections}"));
    }
}

fn report_cpu(report: &mut Report, what: &str, steps: &[Step], series: &dyn Fn(&Step) -> &Series) {
    for step in steps {
        series(step).report_cpu(report, &format!("{what}, {}", step.connections));
    }
    let medians = steps.iter().filter_map(|step| median(&series(step).cpu_us));
    let name = format!("{what}: CPU of the server for one");
    report_ratio(report, &name, &medians.collect::<Vec<f64>>());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_largest_to_the_smallest_wherever_they_are() {
        assert_eq!(ratio(&[4.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(ratio(&[2.0, 5.0]), Some(2.5));
        assert_eq!(ratio(&[3.0, 3.0]), Some(1.0));
        for nothing in [&[][..], &[3.0], &[0.0, 1.0], &[-1.0, 2.0]] {
            assert_eq!(ratio(nothing), None, "{nothing:?}");
        }
    }
}
