//! The load generator: simulated terminals on workers, each a ring with a thread, and their controller, which sends commands
//! and receives reports. It knows what terminals speak and nothing else of the server that they go to.

pub(crate) mod dialect;
pub(crate) mod mqtt;
pub(crate) mod statistics;
pub(crate) mod target;
pub(crate) mod terminal;
pub(crate) mod transport;
pub(crate) mod workload;

pub(crate) mod home;
mod link;
pub(crate) mod packets;
mod ring;
mod share;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use holdfast::base::time::Stopwatch;
use holdfast::engine::setup::{PreparedRing, Size, slots_max};
use holdfast::engine::wake::{self, Waker};

use ring::{Worker, WorkerConfig};
use statistics::Statistics;
use target::GeneratorTarget;
use terminal::Identities;
use workload::{
    ExpectedUser, LinkEnds, Op, Pick, ShareSpec, WorkerCommand, WorkerReport, Workload, WorkloadId,
    WorkloadOutcome,
};

/// Of the descriptors that a ring may have, so many stay free: a slot is free only when its close has ended.
const SPARE_SLOTS: u32 = 500;
/// Receive buffers of a ring. A thousand answers may come between two rounds.
const BUFFERS: u16 = 1_024;
/// How often the controller observes the counts while it waits.
const OBSERVE_INTERVAL: Duration = Duration::from_millis(100);
/// How long anything that was begun may take to end. A connect that the gateway's full backlog dropped is tried again by
/// the kernel after 1, 2, 4 and 8 s.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// What the names of the workers' threads begin with.
pub(crate) const WORKER_THREADS: &str = "worker-";

/// One worker, as the controller holds it.
struct WorkerHandle {
    commands: Sender<WorkerCommand>,
    /// There is a command that the worker has not looked for.
    queued: Arc<AtomicBool>,
    waker: Waker,
    thread: JoinHandle<anyhow::Result<()>>,
    first: u32,
    count: u32,
}

/// All terminals.
pub(crate) struct Generator {
    workers: Vec<WorkerHandle>,
    reports: Receiver<(u16, WorkerReport)>,
    pub(crate) statistics: Arc<Statistics>,
    pub(crate) count: u32,
    /// The clock of the terminals.
    #[allow(dead_code, reason = "no bench sends messages")]
    pub(crate) watch: Stopwatch,
    last_id: WorkloadId,
    /// Workloads that have not ended: how many workers have not yet, and what came of the others.
    open: Vec<(WorkloadId, usize, WorkloadOutcome)>,
    expected: Vec<ExpectedUser>,
}

/// The most terminals of one ring on this machine.
pub(crate) fn per_ring_max() -> u32 {
    slots_max().saturating_sub(SPARE_SLOTS).max(1)
}

impl Generator {
    /// Starts the workers of `count` terminals, all away.
    pub(crate) fn start(
        count: u32,
        target: &GeneratorTarget,
        identities: &Identities,
    ) -> anyhow::Result<Self> {
        // Two devices of one user have to be in one ring.
        let per_ring = per_ring_max() & !1;
        let rings = count.div_ceil(per_ring);
        let (report, reports) = channel();
        let statistics = Arc::new(Statistics::default());
        let watch = Stopwatch::start();
        let mut workers = Vec::new();
        for index in 0..rings {
            let first = index * per_ring;
            let config = WorkerConfig {
                index: u16::try_from(index).context("there are too many connections for 65,536 rings")?,
                first,
                count: per_ring.min(count - first),
                target: target.clone(),
                identities: identities.clone(),
                statistics: Arc::clone(&statistics),
                watch,
            };
            workers.push(start_worker(config, report.clone())?);
        }
        Ok(Self {
            workers,
            reports,
            statistics,
            count,
            watch,
            last_id: 0,
            open: Vec::new(),
            expected: Vec::new(),
        })
    }

    /// Begins something. It goes on until [`Generator::end`], or until all of a walk have had their turn.
    pub(crate) fn begin(&mut self, workload: Workload) -> WorkloadId {
        self.last_id += 1;
        let id = self.last_id;
        let length = f64::from(workload.range.1.saturating_sub(workload.range.0)).max(1.0);
        let parts: Vec<(&WorkerHandle, u32, u32)> = self
            .workers
            .iter()
            .map(|worker| {
                let first = workload.range.0.max(worker.first);
                (worker, first, workload.range.1.min(worker.first + worker.count))
            })
            .filter(|(_, first, end)| first < end)
            .collect();
        for (place, (worker, first, end)) in parts.iter().enumerate() {
            let share = f64::from(end - first) / length;
            let spec = ShareSpec {
                op: workload.op,
                pick: workload.pick,
                range: (first - worker.first, end - worker.first),
                window: ((f64::from(workload.window) * share).ceil() as u32).max(1),
                per_second: workload.per_second.map(|rate| rate * share),
                first_after: (place + 1) as f64 / parts.len() as f64,
            };
            worker.send(WorkerCommand::Start(id, spec));
        }
        let parts = parts.len();
        self.open.push((id, parts, WorkloadOutcome::default()));
        id
    }

    /// Lets each terminal of `range` that can do `op` do it once, `window` at a time. `observe` is called meanwhile.
    #[allow(dead_code, reason = "the benches ask for it")]
    pub(crate) fn each(
        &mut self,
        op: Op,
        range: (u32, u32),
        window: u32,
        observe: &mut dyn FnMut(&Statistics),
    ) -> anyhow::Result<WorkloadOutcome> {
        let id = self.begin_walk(op, range, window);
        self.join_walk(id, observe)
    }

    /// Begins to let each terminal of `range` that can do `op` do it once, `window` at a time.
    pub(crate) fn begin_walk(&mut self, op: Op, range: (u32, u32), window: u32) -> WorkloadId {
        self.begin(Workload {
            op,
            pick: Pick::Once,
            range,
            window,
            per_second: None,
        })
    }

    /// Waits until all of a walk have had their turn.
    pub(crate) fn join_walk(
        &mut self,
        id: WorkloadId,
        observe: &mut dyn FnMut(&Statistics),
    ) -> anyhow::Result<WorkloadOutcome> {
        let mut progress = (self.statistics.answers(), Stopwatch::start());
        let stalled_for = move |statistics: &Statistics| {
            if statistics.answers() != progress.0 {
                progress = (statistics.answers(), Stopwatch::start());
            }
            progress.1.elapsed()
        };
        self.join(id, stalled_for, observe)
    }

    /// Lets nothing more begin, and waits for what is under way.
    pub(crate) fn end(
        &mut self,
        id: WorkloadId,
        observe: &mut dyn FnMut(&Statistics),
    ) -> anyhow::Result<WorkloadOutcome> {
        self.workers
            .iter()
            .for_each(|worker| worker.send(WorkerCommand::Stop(id)));
        let watch = Stopwatch::start();
        // Answers may be those of another workload.
        self.join(id, |_| watch.elapsed(), observe)
    }

    /// Waits until a workload has ended. `stalled_for` says for how long there has been no sign of it.
    fn join(
        &mut self,
        id: WorkloadId,
        mut stalled_for: impl FnMut(&Statistics) -> Duration,
        observe: &mut dyn FnMut(&Statistics),
    ) -> anyhow::Result<WorkloadOutcome> {
        loop {
            if let Some(place) = self
                .open
                .iter()
                .position(|(open, parts, _)| *open == id && *parts == 0)
            {
                return Ok(self.open.swap_remove(place).2);
            }
            self.receive_report(OBSERVE_INTERVAL)?;
            observe(&self.statistics);
            if stalled_for(&self.statistics) > STALL_TIMEOUT {
                bail!(
                    "nothing has come for {} s of what is still under way: {} terminals are logged in",
                    STALL_TIMEOUT.as_secs(),
                    self.statistics.live()
                );
            }
        }
    }

    /// Passes `duration`, calling `observe` now and then.
    pub(crate) fn pass(
        &mut self,
        duration: Duration,
        observe: &mut dyn FnMut(&Statistics),
    ) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        while let Some(left) = duration
            .checked_sub(watch.elapsed())
            .filter(|left| !left.is_zero())
        {
            self.receive_report(left.min(OBSERVE_INTERVAL))?;
            observe(&self.statistics);
        }
        Ok(())
    }

    /// Waits until every worker has carried out all commands.
    pub(crate) fn wait_until_applied(&mut self) -> anyhow::Result<()> {
        let firsts: Vec<u32> = self.workers.iter().map(|worker| worker.first).collect();
        self.expected_users(&firsts).map(drop)
    }

    /// What queries should show of the users of some terminals.
    pub(crate) fn expected_users(&mut self, numbers: &[u32]) -> anyhow::Result<Vec<ExpectedUser>> {
        self.expected.clear();
        for worker in &self.workers {
            let own = numbers
                .iter()
                .filter(|number| (worker.first..worker.first + worker.count).contains(number));
            let slots: Vec<u32> = own.map(|number| number - worker.first).collect();
            if !slots.is_empty() {
                worker.send(WorkerCommand::Expect(slots));
            }
        }
        while self.expected.len() < numbers.len() {
            self.receive_report(OBSERVE_INTERVAL)?;
        }
        Ok(std::mem::take(&mut self.expected))
    }

    /// What the end of a link that nobody asked for means from now on.
    pub(crate) fn set_link_ends(&self, link_ends: LinkEnds) {
        self.workers
            .iter()
            .for_each(|worker| worker.send(WorkerCommand::LinkEnds(link_ends)));
    }

    /// Has all who are away go to the target again, wherever they found their users before.
    #[allow(dead_code, reason = "no bench asks for it")]
    pub(crate) fn forget_homes(&self) {
        self.workers
            .iter()
            .for_each(|worker| worker.send(WorkerCommand::ForgetHomes));
    }

    /// Waits for one report.
    fn receive_report(&mut self, at_most: Duration) -> anyhow::Result<()> {
        match self.reports.recv_timeout(at_most) {
            Ok((_, WorkerReport::Ended(id, outcome))) => {
                let open = self.open.iter_mut().find(|(open, _, _)| *open == id);
                let (_, parts, all) = open.context("a workload that nobody began has ended")?;
                *parts -= 1;
                all.add(&outcome);
            }
            Ok((_, WorkerReport::Expected(users))) => self.expected.extend(users),
            Err(RecvTimeoutError::Timeout) => {
                if self.workers.iter().any(|worker| worker.thread.is_finished()) {
                    bail!("a thread of the load generator has ended before its time");
                }
            }
            Err(RecvTimeoutError::Disconnected) => bail!("all threads of the load generator have ended"),
        }
        Ok(())
    }

    /// Ends the threads, and with them all links.
    pub(crate) fn quit(self) -> anyhow::Result<()> {
        self.workers
            .iter()
            .for_each(|worker| worker.send(WorkerCommand::Quit));
        for worker in self.workers {
            match worker.thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a thread of the load generator has panicked"),
            }
        }
        Ok(())
    }
}

impl WorkerHandle {
    fn send(&self, command: WorkerCommand) {
        // A thread that has ended is found by whoever waits for it.
        let _ = self.commands.send(command);
        self.queued.store(true, Ordering::SeqCst);
        self.waker.wake();
    }
}

fn start_worker(config: WorkerConfig, reports: Sender<(u16, WorkerReport)>) -> anyhow::Result<WorkerHandle> {
    let (sleeper, waker) = wake::pair().context("no descriptor for a ring's eventfd")?;
    let size = Size {
        slots: config.count,
        buffers: BUFFERS,
        accepts: 1,
    };
    let ring = PreparedRing::new(size, Vec::new(), sleeper.event())?;
    let (commands, received) = channel();
    let queued = Arc::new(AtomicBool::new(false));
    let (first, count) = (config.first, config.count);
    let seen = Arc::clone(&queued);
    let thread = std::thread::Builder::new()
        .name(format!("{WORKER_THREADS}{}", config.index))
        .spawn(move || {
            let ring = ring.enable(Vec::new())?;
            Worker::new(ring, config).run(&received, &seen, &reports, &sleeper);
            Ok(())
        })
        .context("no thread for a ring")?;
    Ok(WorkerHandle {
        commands,
        queued,
        waker,
        thread,
        first,
        count,
    })
}
