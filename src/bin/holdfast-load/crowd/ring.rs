//! One ring of the crowd and its thread: takes orders, lets drives begin what is due, and sleeps. What happens on a link
//! stands in `link`. It never blocks but in its own sleep.

use std::collections::{BTreeSet, HashMap};
use std::mem::take;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use holdfast::base::ids::ConnKey;
use holdfast::base::time::{Clock, Stopwatch};
use holdfast::engine::completion::Completion;
use holdfast::engine::ring::Ring;
use holdfast::engine::wake::Sleeper;

use super::board::Board;
use super::dialect::Dialect;
use super::drive::Drive;
use super::orders::{DriveId, Known, Links, Op, Order, Pick, Said, Shown, Status};
use super::terminal::{Identities, Kinship, NO_DRIVE, Phase, Terminal};

/// Completions that are looked at before more is begun.
const COMPLETIONS_PER_ROUND: usize = 512;
/// Rounds of reaping and submitting in one turn: a poll, the receive behind it, and what that began.
const ROUNDS_PER_TURN: usize = 3;
/// What one drive may begin in one turn, so that answers are read in between.
const BEGINNINGS_PER_TURN: u32 = 256;
/// How often a random drive looks for a terminal that can before it lets the time pass.
const LOOKS_MAX: usize = 64;
/// Connections from one source address. Its ports are 28,232 by default, and the kernel finds a free one fast only
/// while few are taken.
const PER_SOURCE: u32 = 4_000;

/// What a ring's thread is started with.
pub(super) struct Seat {
    /// Which ring of the crowd it is.
    pub(super) place: u16,
    /// The number of its first terminal.
    pub(super) first: u32,
    pub(super) count: u32,
    pub(super) target: SocketAddrV4,
    pub(super) dialect: Dialect,
    pub(super) identities: Identities,
    pub(super) board: Arc<Board>,
    pub(super) watch: Stopwatch,
}

/// One ring of the crowd.
pub(super) struct CrowdRing {
    pub(super) ring: Ring,
    pub(super) seat: Seat,
    /// By slot.
    pub(super) terminals: Vec<Terminal>,
    pub(super) now_us: u64,
    pub(super) clock: Clock,
    /// The first parts of packets.
    pub(super) partial: HashMap<u32, Vec<u8>>,
    /// Connections that found no receive buffer.
    pub(super) starved: Vec<ConnKey>,
    /// Who comes back when, because the gateway was full.
    pub(super) retries: BTreeSet<(u64, u32)>,
    pub(super) links: Links,
    drives: Vec<Drive>,
    completions: Vec<Completion>,
    random: fastrand::Rng,
    quits: bool,
}

impl CrowdRing {
    pub(super) fn new(ring: Ring, seat: Seat) -> Self {
        Self {
            ring,
            terminals: vec![Terminal::new(); seat.count as usize],
            now_us: 0,
            clock: Clock::start(),
            partial: HashMap::new(),
            starved: Vec::new(),
            retries: BTreeSet::new(),
            links: Links::Hold,
            drives: Vec::new(),
            completions: Vec::with_capacity(COMPLETIONS_PER_ROUND),
            random: fastrand::Rng::with_seed(u64::from(seat.place)),
            quits: false,
            seat,
        }
    }

    /// Works until it is told to quit. Its links end with it.
    pub(super) fn run(
        mut self,
        orders: &Receiver<Order>,
        queued: &AtomicBool,
        said: &Sender<(u16, Said)>,
        sleeper: &Sleeper,
    ) {
        loop {
            self.now_us = u64::try_from(self.seat.watch.elapsed().as_micros()).unwrap_or(u64::MAX);
            queued.store(false, Ordering::SeqCst);
            while let Ok(order) = orders.try_recv() {
                self.obey(order, said);
            }
            if self.quits {
                return;
            }
            self.turn();
            for drive in self.drives.extract_if(.., |drive| drive.has_ended()) {
                let ended = Said::Ended(drive.id, Box::new(drive.outcome));
                // A director that is gone asks for nothing any more.
                let _ = said.send((self.seat.place, ended));
            }
            let wait = self.wait();
            if wait != Some(Duration::ZERO) && !self.ring.has_completions() && self.starved.is_empty() {
                sleeper.in_ring(
                    || !queued.load(Ordering::SeqCst),
                    || self.ring.submit_and_wait(wait),
                );
            }
        }
    }

    fn obey(&mut self, order: Order, said: &Sender<(u16, Said)>) {
        match order {
            Order::Start(id, spec) => self.drives.push(Drive::new(id, spec, self.now_us)),
            Order::Stop(id) => {
                if let Some(drive) = self.drives.iter_mut().find(|drive| drive.id == id) {
                    drive.over = true;
                }
            }
            Order::Links(links) => self.links = links,
            Order::Look(slots) => {
                let known = slots.into_iter().map(|slot| self.known(slot)).collect();
                // As above.
                let _ = said.send((self.seat.place, Said::Looked(known)));
            }
            Order::Quit => self.quits = true,
        }
    }

    fn turn(&mut self) {
        self.feed_starved();
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
        for place in 0..self.drives.len() {
            self.begin_due(place);
        }
        self.ring.submit();
        if let Some(fault) = self.ring.fault() {
            panic!("a crowd that does not know its connections measures nothing: {fault}");
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

    fn begin_due(&mut self, place: usize) {
        for _ in 0..BEGINNINGS_PER_TURN {
            if !self.drives[place].may_begin(self.now_us) {
                return;
            }
            let op = self.drives[place].spec.op;
            if let Some(slot) = self.pick(place) {
                if !self.begin(slot, op, self.drives[place].id) {
                    // The kernel takes nothing more now.
                    return;
                }
                self.drives[place].in_flight += 1;
            } else if self.drives[place].spec.per_second.is_none() {
                return;
            } else {
                self.drives[place].outcome.passed += 1;
            }
            self.drives[place].take_time();
            if self.drives[place].spec.pick != Pick::Random {
                self.drives[place].advance();
            }
        }
    }

    /// The terminal that the drive takes now; a walk or a round stands at it afterwards.
    fn pick(&mut self, place: usize) -> Option<u32> {
        let (op, pick, (first, end)) = {
            let spec = &self.drives[place].spec;
            (spec.op, spec.pick, spec.range)
        };
        match pick {
            Pick::Times => Some(self.drives[place].cursor).filter(|slot| self.can(*slot, op)),
            Pick::Random => {
                let looks = [(); LOOKS_MAX].map(|()| self.random.u32(first..end));
                looks.into_iter().find(|slot| self.can(*slot, op))
            }
            Pick::Once | Pick::Round => {
                for _ in 0..self.drives[place].length() {
                    let slot = self.drives[place].cursor;
                    if self.can(slot, op) {
                        return Some(slot);
                    }
                    self.drives[place].advance();
                    if self.drives[place].over {
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
        match self.seat.identities.kinship {
            Kinship::Alone => None,
            Kinship::Pairs => Some(slot ^ 1).filter(|other| *other < self.seat.count),
        }
    }

    fn begin(&mut self, slot: u32, op: Op, drive: DriveId) -> bool {
        let began_us = self.now_us;
        if matches!(op, Op::LogIn | Op::Resume | Op::ForceOff | Op::Visit) && !self.connect(slot) {
            return false;
        }
        let terminal = &mut self.terminals[slot as usize];
        (terminal.op, terminal.drive, terminal.began_us) = (op, drive, began_us);
        terminal.steps += 1;
        if matches!(op, Op::LogIn | Op::ForceOff | Op::Visit) {
            terminal.session = 0;
        }
        match op {
            Op::LogIn | Op::Resume | Op::Visit => {}
            Op::ForceOff => {
                let other = self.other(slot).expect("one of a pair");
                self.terminals[other as usize].phase = Phase::Losing;
                self.terminals[other as usize].steps += 1;
            }
            Op::Beat => self.beat(slot),
            Op::LogOut => self.log_out(slot),
            Op::CutFin => self.end_link(slot),
            Op::CutRst => {
                self.ring.abort(self.terminals[slot as usize].key(slot));
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
        let drive = std::mem::replace(&mut terminal.drive, NO_DRIVE);
        let (op, began_us) = (terminal.op, terminal.began_us);
        let Some(drive) = self.drives.iter_mut().find(|one| one.id == drive) else {
            return;
        };
        drive.in_flight -= 1;
        if well {
            drive.outcome.done += 1;
            let latency = &mut drive.outcome.latency_us;
            latency.saturating_record(self.now_us.saturating_sub(began_us));
            self.seat.board.done(op);
        } else {
            drive.outcome.failed += 1;
        }
    }

    /// A resume found its session as it was.
    pub(super) fn kept(&mut self, slot: u32) {
        let id = self.terminals[slot as usize].drive;
        if let Some(drive) = self.drives.iter_mut().find(|drive| drive.id == id) {
            drive.outcome.kept += 1;
        }
    }

    /// Each ring has source addresses of its own.
    pub(super) fn source(&self, slot: u32) -> SocketAddrV4 {
        let last = 1 + slot / PER_SOURCE;
        let ip = u32::from(Ipv4Addr::new(127, 1, 0, 0)) + (u32::from(self.seat.place) << 8) + last;
        SocketAddrV4::new(Ipv4Addr::from(ip), 0)
    }

    /// What is known of the user of a terminal, by all its devices.
    fn known(&self, slot: u32) -> Known {
        let mut devices = vec![&self.terminals[slot as usize]];
        devices.extend(self.other(slot).map(|other| &self.terminals[other as usize]));
        let unclear = |device: &&Terminal| !device.rests() || device.silent;
        let shown = if devices.iter().any(unclear) {
            Shown::Unclear
        } else {
            devices
                .iter()
                .map(|device| device.shown)
                .reduce(higher)
                .expect("at least one")
        };
        Known {
            user: self.seat.identities.user(self.seat.first + slot),
            steps: devices.iter().map(|device| u64::from(device.steps)).sum(),
            shown,
        }
    }

    /// How long nothing is due; `None`: until something happens.
    fn wait(&self) -> Option<Duration> {
        let drives = self.drives.iter().filter_map(Drive::wakes_at_us);
        let retry = self.retries.first().map(|(due, _)| *due);
        let due = drives.chain(retry).min()?;
        Some(Duration::from_micros(due.saturating_sub(self.now_us)))
    }
}

/// What a user with two devices shows.
fn higher(one: Shown, other: Shown) -> Shown {
    let status = |shown: Shown| match shown {
        Shown::Never | Shown::Unclear => None,
        Shown::Now(status) | Shown::Soon(status) => Some(status),
    };
    match (one, other) {
        (Shown::Unclear, _) | (_, Shown::Unclear) => Shown::Unclear,
        (Shown::Now(Status::Online), _) | (_, Shown::Now(Status::Online)) => Shown::Now(Status::Online),
        (Shown::Soon(_), _) | (_, Shown::Soon(_)) => {
            Shown::Soon(status(one).max(status(other)).expect("one has a status"))
        }
        (Shown::Never, shown) | (shown, Shown::Never) => shown,
        (Shown::Now(one), Shown::Now(other)) => Shown::Now(one.max(other)),
    }
}
