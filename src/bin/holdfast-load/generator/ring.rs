//! One worker: a ring and its thread. It takes commands, lets its shares of workloads begin what is due, and sleeps. What
//! happens on a link stands in `link`. It never blocks but in its own sleep.

use std::collections::{BTreeSet, HashMap};
use std::mem::take;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use holdfast::base::time::{Clock, Stopwatch};
use holdfast::engine::completion::Completion;
use holdfast::engine::connection_table::ConnectionTable;
use holdfast::engine::ring::Ring;
use holdfast::engine::wake::Sleeper;

use super::home::{KnownNodes, TerminalHome};
use super::share::Share;
use super::statistics::Statistics;
use super::target::GeneratorTarget;
use super::terminal::{DevicesPerUser, Identities, NO_WORKLOAD, Terminal, TerminalPhase};
use super::transport::WrappedLinks;
use super::workload::{
    ExpectedStatus, ExpectedUser, LinkEnds, Op, Pick, ShownStatus, WorkerCommand, WorkerReport, WorkloadId,
};

/// Completions that are looked at before more is begun.
const COMPLETIONS_PER_ROUND: usize = 512;
/// Rounds of reaping and submitting in one turn: a poll, the receive behind it, and what that began.
const ROUNDS_PER_TURN: usize = 3;
/// What one workload may begin in one turn, so that answers are read in between.
const BEGINNINGS_PER_TURN: u32 = 256;
/// How often a random workload looks for a terminal that can before it lets the time pass.
const TRIES_MAX: usize = 64;
/// Connections from one source address. Its ports are 28,232 by default, and the kernel finds a free one fast only
/// while few are taken.
const PER_SOURCE: u32 = 4_000;

/// What a worker is started with.
pub(super) struct WorkerConfig {
    /// Which worker it is.
    pub(super) index: u16,
    /// The number of its first terminal.
    pub(super) first: u32,
    pub(super) count: u32,
    pub(super) target: GeneratorTarget,
    pub(super) identities: Identities,
    pub(super) statistics: Arc<Statistics>,
    pub(super) watch: Stopwatch,
}

/// One worker.
pub(super) struct Worker {
    pub(super) ring: Ring,
    pub(super) config: WorkerConfig,
    /// By slot.
    pub(super) terminals: Vec<Terminal>,
    pub(super) now_us: u64,
    pub(super) clock: Clock,
    /// The first parts of packets.
    pub(super) partial: HashMap<u32, Vec<u8>>,
    pub(super) connections: ConnectionTable,
    pub(super) links: WrappedLinks,
    pub(super) nodes: KnownNodes,
    /// Who comes back when, because the gateway was full.
    pub(super) retries: BTreeSet<(u64, u32)>,
    pub(super) link_ends: LinkEnds,
    shares: Vec<Share>,
    completions: Vec<Completion>,
    random: fastrand::Rng,
    quits: bool,
}

impl Worker {
    pub(super) fn new(ring: Ring, config: WorkerConfig) -> Self {
        Self {
            ring,
            terminals: vec![Terminal::new(); config.count as usize],
            now_us: 0,
            clock: Clock::start(),
            partial: HashMap::new(),
            connections: ConnectionTable::new(config.count),
            nodes: KnownNodes::new(config.target.address, config.target.transport.clone()),
            links: WrappedLinks::new(config.target.transport.clone(), config.count),
            retries: BTreeSet::new(),
            link_ends: LinkEnds::AreFaults,
            shares: Vec::new(),
            completions: Vec::with_capacity(COMPLETIONS_PER_ROUND),
            random: fastrand::Rng::with_seed(u64::from(config.index)),
            quits: false,
            config,
        }
    }

    /// Works until it is told to quit. Its links end with it.
    pub(super) fn run(
        mut self,
        commands: &Receiver<WorkerCommand>,
        queued: &AtomicBool,
        reports: &Sender<(u16, WorkerReport)>,
        sleeper: &Sleeper,
    ) {
        loop {
            self.now_us = u64::try_from(self.config.watch.elapsed().as_micros()).unwrap_or(u64::MAX);
            queued.store(false, Ordering::SeqCst);
            while let Ok(command) = commands.try_recv() {
                self.carry_out(command, reports);
            }
            if self.quits {
                return;
            }
            self.turn();
            for share in self.shares.extract_if(.., |share| share.has_ended()) {
                let ended = WorkerReport::Ended(share.id, Box::new(share.outcome));
                // A controller that is gone asks for nothing any more.
                let _ = reports.send((self.config.index, ended));
            }
            let wait = self.wait();
            if wait != Some(Duration::ZERO)
                && !self.ring.has_completions()
                && !self.connections.waits_for_buffers()
            {
                sleeper.wait_in_ring(
                    || !queued.load(Ordering::SeqCst),
                    || self.ring.submit_and_wait(wait),
                );
            }
        }
    }

    fn carry_out(&mut self, command: WorkerCommand, reports: &Sender<(u16, WorkerReport)>) {
        match command {
            WorkerCommand::Start(id, spec) => self.shares.push(Share::new(id, spec, self.now_us)),
            WorkerCommand::Stop(id) => {
                if let Some(share) = self.shares.iter_mut().find(|share| share.id == id) {
                    share.over = true;
                }
            }
            WorkerCommand::LinkEnds(link_ends) => self.link_ends = link_ends,
            WorkerCommand::ForgetHomes => {
                let away = |terminal: &&mut Terminal| terminal.phase == TerminalPhase::Away;
                let away = self.terminals.iter_mut().filter(away);
                away.for_each(|terminal| terminal.home = TerminalHome::default());
            }
            WorkerCommand::Expect(slots) => {
                let expected = slots.into_iter().map(|slot| self.expected(slot)).collect();
                // As above.
                let _ = reports.send((self.config.index, WorkerReport::Expected(expected)));
            }
            WorkerCommand::Quit => self.quits = true,
        }
    }

    fn turn(&mut self) {
        self.connections.feed(&mut self.ring);
        self.connections.expire(self.now(), &mut self.ring);
        self.ring.submit();
        for _ in 0..ROUNDS_PER_TURN {
            let mut completions = take(&mut self.completions);
            self.ring.reap(&mut completions, COMPLETIONS_PER_ROUND);
            let done = completions.is_empty();
            for completion in completions.drain(..) {
                self.complete(completion);
            }
            self.completions = completions;
            if done {
                break;
            }
            self.ring.submit();
        }
        self.come_back();
        for share in 0..self.shares.len() {
            self.begin_due(share);
        }
        self.ring.submit();
        if let Some(fault) = self.ring.fault() {
            panic!("a load generator that does not know its connections measures nothing: {fault}");
        }
    }

    /// Those that were told to try again, and whose time has come.
    fn come_back(&mut self) {
        while let Some((due, slot)) = self.retries.first().copied() {
            if due > self.now_us || !self.connect(slot) {
                return;
            }
            self.retries.pop_first();
        }
    }

    fn begin_due(&mut self, share: usize) {
        for _ in 0..BEGINNINGS_PER_TURN {
            if !self.shares[share].may_begin(self.now_us) {
                return;
            }
            let op = self.shares[share].spec.op;
            if let Some(slot) = self.pick(share) {
                if !self.begin(slot, op, self.shares[share].id) {
                    // The kernel takes nothing more now.
                    return;
                }
                self.shares[share].in_flight += 1;
            } else if self.shares[share].spec.per_second.is_none() {
                return;
            } else {
                self.shares[share].outcome.passed += 1;
            }
            self.shares[share].take_time();
            if self.shares[share].spec.pick != Pick::Random {
                self.shares[share].advance();
            }
        }
    }

    /// The terminal that the workload takes now; a walk or a round stands at it afterwards.
    fn pick(&mut self, share: usize) -> Option<u32> {
        let (op, pick, (first, end)) = {
            let spec = &self.shares[share].spec;
            (spec.op, spec.pick, spec.range)
        };
        match pick {
            Pick::Times => Some(self.shares[share].cursor).filter(|slot| self.can(*slot, op)),
            Pick::Random => {
                let tries = [(); TRIES_MAX].map(|()| self.random.u32(first..end));
                tries.into_iter().find(|slot| self.can(*slot, op))
            }
            Pick::Once | Pick::Round => {
                for _ in 0..self.shares[share].length() {
                    let slot = self.shares[share].cursor;
                    if self.can(slot, op) {
                        return Some(slot);
                    }
                    self.shares[share].advance();
                    if self.shares[share].over {
                        return None;
                    }
                }
                None
            }
        }
    }

    fn can(&self, slot: u32, op: Op) -> bool {
        let other = self.other(slot).map(|other| &self.terminals[other as usize]);
        self.terminals[slot as usize].can(op, other)
    }

    /// The other device of the terminal's user.
    pub(super) fn other(&self, slot: u32) -> Option<u32> {
        match self.config.identities.devices_per_user {
            DevicesPerUser::One => None,
            DevicesPerUser::Two => Some(slot ^ 1).filter(|other| *other < self.config.count),
        }
    }

    fn begin(&mut self, slot: u32, op: Op, workload: WorkloadId) -> bool {
        let began_us = self.now_us;
        if matches!(op, Op::LogIn | Op::Resume | Op::ForceOff | Op::Visit) && !self.connect(slot) {
            return false;
        }
        let terminal = &mut self.terminals[slot as usize];
        (terminal.op, terminal.workload, terminal.began_us) = (op, workload, began_us);
        terminal.steps += 1;
        if matches!(op, Op::LogIn | Op::ForceOff | Op::Visit) {
            terminal.session = 0;
        }
        match op {
            Op::LogIn | Op::Resume | Op::Visit => {}
            Op::ForceOff => {
                let other = self.other(slot).expect("one of a pair");
                self.terminals[other as usize].phase = TerminalPhase::Losing;
                self.terminals[other as usize].steps += 1;
            }
            Op::Beat => self.beat(slot),
            Op::LogOut => self.log_out(slot),
            Op::CutFin => self.end_link(slot),
            Op::CutRst => {
                self.connections.reset(self.connections.key(slot), &mut self.ring);
                self.end_link(slot);
            }
            Op::FallSilent => self.terminals[slot as usize].silent = true,
        }
        true
    }

    /// What was asked of a terminal has ended.
    pub(super) fn ended(&mut self, slot: u32, well: bool) {
        let terminal = &mut self.terminals[slot as usize];
        terminal.steps += 1;
        let workload = std::mem::replace(&mut terminal.workload, NO_WORKLOAD);
        let (op, began_us) = (terminal.op, terminal.began_us);
        let Some(share) = self.shares.iter_mut().find(|share| share.id == workload) else {
            return;
        };
        share.in_flight -= 1;
        if well {
            share.outcome.done += 1;
            let latency = &mut share.outcome.latency_us;
            latency.saturating_record(self.now_us.saturating_sub(began_us));
            self.config.statistics.done(op);
        } else {
            share.outcome.failed += 1;
        }
    }

    /// A resume found its session as it was.
    pub(super) fn session_kept(&mut self, slot: u32) {
        let id = self.terminals[slot as usize].workload;
        if let Some(share) = self.shares.iter_mut().find(|share| share.id == id) {
            share.outcome.kept += 1;
        }
    }

    /// Each worker has source addresses of its own.
    pub(super) fn source(&self, slot: u32) -> SocketAddrV4 {
        let last = 1 + slot / PER_SOURCE;
        let ip = u32::from(Ipv4Addr::new(127, 1, 0, 0)) + (u32::from(self.config.index) << 8) + last;
        SocketAddrV4::new(Ipv4Addr::from(ip), 0)
    }

    /// What queries should show of the user of a terminal, by all its devices.
    fn expected(&self, slot: u32) -> ExpectedUser {
        let mut devices = vec![&self.terminals[slot as usize]];
        devices.extend(self.other(slot).map(|other| &self.terminals[other as usize]));
        let unclear = |device: &&Terminal| !device.rests() || device.silent;
        let expected = if devices.iter().any(unclear) {
            ExpectedStatus::Unclear
        } else {
            devices
                .iter()
                .map(|device| device.expected)
                .reduce(higher)
                .expect("at least one")
        };
        ExpectedUser {
            user: self.config.identities.user(self.config.first + slot),
            steps: devices.iter().map(|device| u64::from(device.steps)).sum(),
            expected,
        }
    }

    /// How long nothing is due; `None`: until something happens.
    fn wait(&self) -> Option<Duration> {
        let shares = self.shares.iter().filter_map(Share::wakes_at_us);
        let retry = self.retries.first().map(|(due, _)| *due);
        let drain = self.connections.next_deadline().map(|due| due.0 * 1_000);
        let due = shares.chain(retry).chain(drain).min()?;
        Some(Duration::from_micros(due.saturating_sub(self.now_us)))
    }
}

/// What a user with two devices shows.
fn higher(one: ExpectedStatus, other: ExpectedStatus) -> ExpectedStatus {
    let status = |expected: ExpectedStatus| match expected {
        ExpectedStatus::Never | ExpectedStatus::Unclear => None,
        ExpectedStatus::Now(status) | ExpectedStatus::Soon(status) => Some(status),
    };
    match (one, other) {
        (ExpectedStatus::Unclear, _) | (_, ExpectedStatus::Unclear) => ExpectedStatus::Unclear,
        (ExpectedStatus::Now(ShownStatus::Online), _) | (_, ExpectedStatus::Now(ShownStatus::Online)) => {
            ExpectedStatus::Now(ShownStatus::Online)
        }
        (ExpectedStatus::Soon(_), _) | (_, ExpectedStatus::Soon(_)) => {
            ExpectedStatus::Soon(status(one).max(status(other)).expect("one has a status"))
        }
        (ExpectedStatus::Never, expected) | (expected, ExpectedStatus::Never) => expected,
        (ExpectedStatus::Now(one), ExpectedStatus::Now(other)) => ExpectedStatus::Now(one.max(other)),
    }
}
