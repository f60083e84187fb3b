//! What a connection and a heartbeat cost as their number grows: the same measurements with more and more terminals, each time
//! at a gateway that is made for so many. It judges no figure; what has to hold are the answers.

use std::io;
use std::time::Duration;

use anyhow::bail;
use holdfast::base::time::Stopwatch;

use crate::arguments::{Common, GrowArguments, Rounds};
use crate::gateway::CONNECTIONS_PER_SHARD;
use crate::generator::terminal::DevicesPerUser;
use crate::generator::workload::{Op, Pick, Workload, WorkloadOutcome};
use crate::process::threads;
use crate::progress::Progress;
use crate::report::RunReport;
use crate::results::{FLAT, median};

use super::beat::{paced, saturated};
use super::idle::nothing_happened;
use super::memory::{Caches, ENVIRONMENT, MemoryAt, ResidentMemory, WARM_UP, environment, settings, warm_up};
use super::series::Series;
use super::stage::{BEATS_AT_ONCE, LOGINS_AT_ONCE, ScenarioRun};
use super::statuses::Compared;

/// Users that are compared at each step: of those that have come, and of those that never have yet.
const COMPARED: usize = 2_000;
const COMPARED_UNKNOWN: usize = 200;

/// How terminals beat.
#[derive(Clone, Copy)]
pub(super) struct Beats {
    /// How often each is told to.
    pub(super) interval: Duration,
    /// Under way at once in the saturated part, for each shard.
    pub(super) window: u32,
}

impl Beats {
    /// Heartbeats a second of so many terminals that each beat once in an interval.
    fn per_second(self, connections: u32) -> f64 {
        f64::from(connections) / self.interval.as_secs_f64()
    }

    /// Heartbeats a second of so many shards if each were full.
    fn paced_per_second(self, shards: u32) -> f64 {
        f64::from(shards) * self.per_second(CONNECTIONS_PER_SHARD)
    }

    /// Heartbeats under way at once with so many shards.
    fn at_once(self, shards: u32) -> u32 {
        self.window.saturating_mul(shards)
    }
}

/// What was measured with so many connections.
struct GrowStep {
    shards: u32,
    /// Before the first connection.
    before: ResidentMemory,
    /// With the first tenth of the connections, and with all of them.
    few: MemoryAt,
    all: MemoryAt,
    fast: Series,
    even: Series,
}

/// A step under way.
struct Climb {
    run: ScenarioRun,
    connections: u32,
    beats: Beats,
    rounds: Rounds,
    compared: Compared,
    /// Of the warm-up.
    visits: u64,
    logins: u64,
    /// Heartbeats of all who were logged in, each one: how many there had to be, and were.
    due: u64,
    beat: u64,
    /// All heartbeats so far.
    beaten: WorkloadOutcome,
    /// Since when nobody has been silent for longer.
    rested: Stopwatch,
}

pub(super) fn run(common: &Common, name: &str, grow: &GrowArguments) -> anyhow::Result<bool> {
    let (steps, rounds) = (&grow.steps, grow.rounds);
    let beats = Beats {
        interval: grow.interval,
        window: grow.window,
    };
    if common.running()?.is_some() {
        bail!("each step has a gateway of its own: leave --gateway away");
    }
    if rounds.duration * 2 > beats.interval {
        bail!("a round has two parts of --duration, which together may not be longer than --interval");
    }
    let largest = steps.largest();
    let mut report = RunReport::begin(
        name,
        &format!("Cost as it grows, up to {largest} connections"),
        &common.results,
    )?;
    conditions(&mut report, beats);
    let caches = Caches::before();
    let mut done = Vec::new();
    for connections in steps.all() {
        report.set_part(Some(format!("{connections} connections")));
        let mut climb = Climb::begin(common, report, *connections, (beats, rounds))?;
        done.push(climb.measure(caches.as_ref().ok())?);
        report = climb.run.end(common)?;
    }
    report.set_part(None);
    report_memory(&mut report, &done);
    report_kernel(&mut report, &done, caches.err());
    report_beats(&mut report, beats, done);
    report.finish(&common.results)
}

fn conditions(report: &mut RunReport, beats: Beats) {
    report.condition(format!(
        "Each step has a gateway and a load generator of its own, the gateway with as many shards as so many connections need, and never fewer than cores. A ratio is the largest figure of a step ÷ the smallest: flat within 10 % is {FLAT:.2} at most, which is the aim and no check."
    ));
    report.condition(format!(
        "Heartbeats: any terminal that is logged in, drawn by chance each time. Where saturated, {} at once for each shard. Where paced, {:.0} a second for each shard, as many as it hears when it is full ({CONNECTIONS_PER_SHARD} connections) and each terminal beats once in {} s. So a shard has as much to do at each step: one rate for every step would leave few to each of many shards, and a rate by connections few to shards that are not full. What the gateway does between heartbeats is in their CPU; what it does once for all shards is more for each heartbeat where shards are few.",
        beats.window,
        beats.paced_per_second(1),
        beats.interval.as_secs_f64()
    ));
    report.condition(format!(
        "User bytes: what RSS grew by between the first tenth of a step's connections and all of them, ÷ those that came between, without what the registry says that it takes; the tenth logs in, beats and is asked for first, so that what a shard touches once is there already; {}. {WARM_UP} The registry's part is its write buffer and its cache: it falls when the buffer has been written to files. Kernel bytes: what the caches of sockets, files and io_uring grew by in the same way, without the ports of the terminals' ends, halved: both ends are direct descriptors with an armed poll.",
        environment(true)
    ));
}

impl Climb {
    /// A gateway for so many, and all of them away.
    fn begin(
        common: &Common,
        report: RunReport,
        connections: u32,
        (beats, rounds): (Beats, Rounds),
    ) -> anyhow::Result<Self> {
        let settings = settings(beats.interval);
        let terminals = (connections, DevicesPerUser::One);
        Ok(Self {
            run: ScenarioRun::new(common, report, terminals, &settings, &ENVIRONMENT)?,
            connections,
            beats,
            rounds,
            compared: Compared::default(),
            visits: 0,
            logins: 0,
            due: 0,
            beat: 0,
            beaten: WorkloadOutcome::default(),
            rested: Stopwatch::start(),
        })
    }

    /// A tenth comes, then everyone, and then they beat.
    fn measure(&mut self, caches: Option<&Caches>) -> anyhow::Result<GrowStep> {
        let (all, first) = (self.connections, self.connections / 10);
        let shards = u32::try_from(threads(self.run.gateway.process, "shard-")?.len())?;
        let before = ResidentMemory::of(&self.run)?;
        self.visits = warm_up(&mut self.run, first)?;
        self.come((0, first))?;
        self.beat_once(first)?;
        let compared = &mut self.compared;
        self.run.compare_among_at_rest((0, first), COMPARED, compared)?;
        self.run
            .compare_among_at_rest((first, all), COMPARED_UNKNOWN, compared)?;
        let few = MemoryAt::at(&self.run, first, caches)?;
        self.come((first, all))?;
        self.beat_once(all)?;
        let mut step = GrowStep {
            shards,
            before,
            few,
            all: MemoryAt::at(&self.run, all, caches)?,
            fast: Series::default(),
            even: Series::default(),
        };
        self.rounds(&mut step)?;
        self.check()?;
        Ok(step)
    }

    /// Those of a range log in. Those before them, who are here, beat meanwhile as often as they are to.
    fn come(&mut self, (here, end): (u32, u32)) -> anyhow::Result<()> {
        let rate = self.beats.per_second(here);
        let staying = (here > 0).then(|| self.run.server.generator.begin(paced(here, rate)));
        let title = format!("{}: logins up to {end}", self.connections);
        let logins = self
            .run
            .server
            .each(&title, Op::LogIn, (here, end), LOGINS_AT_ONCE)?;
        self.logins += logins.done;
        if let Some(id) = staying {
            self.beaten.add(&self.run.server.generator.end(id, &mut |_| {})?);
        }
        Ok(())
    }

    /// All who are here beat, those before `end`.
    fn beat_once(&mut self, end: u32) -> anyhow::Result<()> {
        let title = format!("{}: a beat each", self.connections);
        let beats = self.run.server.each(&title, Op::Beat, (0, end), BEATS_AT_ONCE)?;
        self.due += u64::from(end);
        self.beat += beats.done;
        self.beaten.add(&beats);
        self.rested = Stopwatch::start();
        Ok(())
    }

    fn rounds(&mut self, step: &mut GrowStep) -> anyhow::Result<()> {
        let (connections, Rounds { rounds, duration }) = (self.connections, self.rounds);
        let by_chance = |plan| Workload {
            pick: Pick::Random,
            ..plan
        };
        let fast = by_chance(saturated(connections, self.beats.at_once(step.shards)));
        let even = by_chance(paced(connections, self.beats.paced_per_second(step.shards)));
        let mut progress = Progress::begin(&format!("{connections}: rounds"), rounds.into());
        for round in 0..rounds {
            progress.at(round.into(), "");
            // Chance leaves some out for long, and whoever is silent for too long is gone.
            if self.rested.elapsed() > self.beats.interval / 2 {
                self.beat_once(connections)?;
            }
            step.fast.add(&self.run.server.measure(fast, duration)?);
            step.even.add(&self.run.server.measure(even, duration)?);
        }
        let WorkloadOutcome { done, .. } = step.even.total;
        progress.end(&format!(
            "{} saturated and {done} paced heartbeats",
            step.fast.total.done
        ));
        self.beaten.add(&step.fast.total);
        self.beaten.add(&step.even.total);
        Ok(())
    }

    /// Every answer was right, and the books are.
    fn check(&mut self) -> anyhow::Result<()> {
        let (run, compared) = (&mut self.run, &mut self.compared);
        run.compare_at_rest(COMPARED, compared)?;
        let report = &mut run.report;
        report.check_equal("logins answered well", self.connections.into(), self.logins);
        report.check_equal("heartbeats when each was to beat", self.due, self.beat);
        report.check_equal("heartbeats without an answer", 0, self.beaten.failed);
        run.report_compared(compared);
        run.check_books(&[("heartbeats, by the gateway", "heartbeats_total", self.beaten.done)])?;
        nothing_happened(run, self.visits)
    }
}

/// How far figures of different sizes are apart: the largest ÷ the smallest. `None` if there are no two, or if one is not
/// above 0, where a ratio says nothing.
fn ratio(figures: &[f64]) -> Option<f64> {
    let smallest = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (figures.len() > 1 && smallest > 0.0).then(|| largest / smallest)
}

fn report_ratio(report: &mut RunReport, what: &str, figures: &[f64]) {
    if let Some(ratio) = ratio(figures) {
        let name = format!("{what}: largest ÷ smallest (aim {FLAT:.2}, no check)");
        report.figure(&name, "", ratio);
    }
}

/// A figure of each step.
fn report_by_step(
    report: &mut RunReport,
    (what, unit): (&str, &'static str),
    steps: &[GrowStep],
    of: &dyn Fn(&GrowStep) -> f64,
) -> Vec<f64> {
    let figures: Vec<f64> = steps.iter().map(of).collect();
    for (step, figure) in steps.iter().zip(&figures) {
        report.figure(&format!("{what}, {}", step.all.connections), unit, *figure);
    }
    figures
}

fn report_memory(report: &mut RunReport, steps: &[GrowStep]) {
    report_by_step(report, ("shards", ""), steps, &|step| step.shards.into());
    let name = "user bytes of a connection";
    let each = report_by_step(report, (name, "B"), steps, &|step| {
        step.all.user_bytes_since(&step.few).own()
    });
    report_ratio(report, name, &each);
    let name = "the registry's bytes of a connection, apart";
    report_by_step(report, (name, "B"), steps, &|step| {
        step.all.user_bytes_since(&step.few).registry
    });
    let mib = |memory: ResidentMemory| memory.rss as f64 / f64::from(1 << 20);
    let name = "RSS of the gateway before the first connection";
    report_by_step(report, (name, "MiB"), steps, &|step| mib(step.before));
    let name = "RSS of the gateway with all connections";
    report_by_step(report, (name, "MiB"), steps, &|step| mib(step.all.memory));
}

fn report_kernel(report: &mut RunReport, steps: &[GrowStep], untold: Option<io::Error>) {
    if let Some(error) = untold {
        return report.condition(format!(
            "Kernel bytes are not given: {error}. /proc/slabinfo is root's."
        ));
    }
    let name = "kernel bytes of a connection, the gateway's end";
    let each = report_by_step(report, (name, "B"), steps, &|step| {
        let bytes = step.all.kernel_bytes_since(&step.few);
        bytes.expect("caches that told at first tell at every step")
    });
    report_ratio(report, name, &each);
}

fn report_beats(report: &mut RunReport, beats: Beats, steps: Vec<GrowStep>) {
    let fast = format!("heartbeat, saturated ({} at once for each shard)", beats.window);
    let even = format!(
        "heartbeat, paced ({:.0}/s for each shard)",
        beats.paced_per_second(1)
    );
    report_cpu(report, &fast, &steps, &|step| &step.fast);
    report_cpu(report, &even, &steps, &|step| &step.even);
    let passed: u64 = steps.iter().map(|step| step.even.total.passed).sum();
    report.figure("paced times at which no terminal was free", "", passed as f64);
    for step in steps {
        let connections = step.all.connections;
        step.fast
            .report_answers(report, &format!("{fast}, {connections}"));
        step.even
            .report_answers(report, &format!("{even}, {connections}"));
    }
}

fn report_cpu(report: &mut RunReport, what: &str, steps: &[GrowStep], series: &dyn Fn(&GrowStep) -> &Series) {
    for step in steps {
        series(step).report_cpu(report, &format!("{what}, {}", step.all.connections));
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

    #[test]
    fn heartbeats_grow_with_the_terminals_that_beat_and_with_the_shards() {
        let interval = Duration::from_secs(120);
        let beats = Beats {
            interval,
            window: 128,
        };
        assert_eq!([12_000, 60].map(|all| beats.per_second(all)), [100.0, 0.5]);
        let full = f64::from(CONNECTIONS_PER_SHARD);
        assert_eq!(
            [1, 12].map(|shards| beats.paced_per_second(shards)),
            [full / 120.0, full / 10.0]
        );
        assert_eq!([2, 58].map(|shards| beats.at_once(shards)), [256, 7_424]);
        let window = u32::MAX;
        assert_eq!(Beats { window, ..beats }.at_once(2), u32::MAX);
    }
}
