//! The world: nodes, the shared store, terminals and what is between them, in one queue of things that happen. The seed decides everything.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::clock::DriftingClock;
use super::group::Group;
use super::history::History;
use super::lines::Request;
use super::process::{Back, EndWish, Line, Login, PausePlan, Process, Slot, Todo};
use super::shared_store::{Copy, Meta, Ms, Op, Reply};
use super::terminal::Terminal;
use crate::base::ids::{NodeId, PartitionId};
use crate::base::time::Instant;
use crate::logic::cluster::lease::Lease;
use crate::services::cluster::event::MemberEvent;
use crate::services::cluster::membership::Membership;
use crate::services::cluster::settings::ClusterSettings;
use crate::services::cluster::token::{Site, Token};

const TICK_MS: Ms = 100;

/// Something that happens.
#[derive(Debug)]
pub(super) enum Happening {
    /// A process's own timer.
    Tick { slot: usize, life: u32 },
    /// A process writes to its peers.
    Words { slot: usize, life: u32 },
    /// Something reaches a process.
    Arrive { slot: usize, life: u32, todo: Box<Todo> },
    /// A process that stood still goes on.
    GoOn { slot: usize, life: u32 },
    /// A request reaches the shared store.
    Execute { request: u64, route: u32, op: Box<Op> },
    /// WAIT ends.
    Waited {
        request: u64,
        group: usize,
        generation: u32,
        reply: Box<Reply>,
    },
    /// The shared store's answer comes back; `None` if nobody knows.
    Answer { request: u64, reply: Option<Box<Reply>> },
    /// A process starts.
    Start { slot: usize },
    /// A terminal tries to log in.
    Knock { user: usize, attempt: u64 },
    /// A terminal stops waiting for an answer.
    KnockTimeOut { user: usize, attempt: u64 },
    /// A link is closed by the node.
    Close { user: usize, attempt: u64 },
    /// A terminal comes or goes by itself.
    Whim,
    /// Somebody asks for states.
    Ask,
    /// A group's replica takes over.
    Promote { group: usize, generation: u32 },
    /// A master that was paused goes on.
    MasterGoesOn { group: usize },
    /// A replica is there again.
    Attach { group: usize },
    /// A line is good again.
    Mend { slot: usize },
    /// Two peers reach each other again.
    Reconnect { from: usize, to: usize },
    /// A group answers again.
    Up { group: usize },
    /// Something goes wrong.
    Chaos,
}

/// How large a world is.
#[derive(Debug, Clone, Copy)]
pub(super) struct WorldSize {
    pub(super) nodes: u16,
    pub(super) partitions: u16,
    pub(super) groups: u16,
    pub(super) users: usize,
}

pub(super) struct World {
    pub(super) now: Ms,
    pub(super) size: WorldSize,
    queue: BinaryHeap<Reverse<(Ms, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    numbers: u64,
    pub(super) requests: BTreeMap<u64, Request>,
    pub(super) slots: Vec<Slot>,
    pub(super) groups: Vec<Group<Copy>>,
    /// From whom to whom nothing comes through.
    pub(super) cut: Vec<Vec<Ms>>,
    pub(super) terminals: Vec<Terminal>,
    pub(super) history: History,
    pub(super) random: fastrand::Rng,
    pub(super) is_peaceful: bool,
    /// When peace began.
    pub(super) calm_since: Ms,
    /// Until then an outage of the shared store, or a failover, may explain failures of all.
    pub(super) store_bad_until: Ms,
    pub(super) loading: (Ms, Ms),
    pub(super) trace: bool,
    /// Alarms are expected.
    pub(super) expects_loss: bool,
}

impl World {
    pub(super) fn new(seed: u64, size: WorldSize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let copy = Copy {
            hints: vec![Token::default(); usize::from(size.partitions)],
            metas: vec![Meta::default(); usize::from(size.partitions)],
            ..Copy::default()
        };
        let slot = |number: u16, random: &mut fastrand::Rng| Slot {
            node: NodeId(number + 1),
            site: Site(u64::from(number) * 1_000),
            clock: DriftingClock::some(random),
            process: None,
            lives: 0,
            routes: vec![[0; 2]; usize::from(size.groups)],
            line: Line::Good,
            line_bad_until: 0,
            lonely_until: 0,
            no_process_until: 0,
        };
        let nodes = usize::from(size.nodes);
        let mut world = Self {
            now: 0,
            size,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            numbers: 0,
            requests: BTreeMap::new(),
            slots: (0..size.nodes).map(|number| slot(number, &mut random)).collect(),
            groups: (0..size.groups).map(|_| Group::new(copy.clone())).collect(),
            cut: vec![vec![0; nodes]; nodes],
            terminals: (0..size.users).map(|_| Terminal::default()).collect(),
            history: History::default(),
            random,
            is_peaceful: true,
            calm_since: 0,
            store_bad_until: 0,
            loading: (5, 50),
            trace: false,
            expects_loss: false,
        };
        for slot in 0..nodes {
            let at = world.random.u64(0..3_000);
            world.at(at, Happening::Start { slot });
        }
        world.at(500, Happening::Whim);
        world.at(500, Happening::Ask);
        world
    }

    pub(super) fn at(&mut self, at: Ms, happening: Happening) {
        self.numbers += 1;
        self.queue.push(Reverse((at.max(self.now), self.numbers)));
        self.happenings.insert(self.numbers, happening);
    }

    pub(super) fn after(&mut self, wait: Ms, happening: Happening) {
        self.at(self.now + wait, happening);
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn group_of(&self, partition: PartitionId) -> usize {
        usize::from(partition.0) % self.groups.len()
    }

    /// A user's partition.
    pub(super) fn home_of(&self, user: usize) -> PartitionId {
        PartitionId(u16::try_from(user % usize::from(self.size.partitions)).expect("a remainder of a u16"))
    }

    /// Lets things happen until `end`, or until something is wrong.
    pub(super) fn run(&mut self, end: Ms) {
        while let Some(Reverse((at, number))) = self.queue.peek().copied()
            && at <= end
            && self.history.fault.is_none()
        {
            self.queue.pop();
            self.now = at;
            let happening = self.happenings.remove(&number).expect("each happens once");
            self.happen(happening);
        }
        self.now = self.now.max(end);
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tick { slot, life } => self.tick(slot, life),
            Happening::Words { slot, life } => self.words(slot, life),
            Happening::Arrive { slot, life, todo } => self.arrive(slot, life, *todo),
            Happening::GoOn { slot, life } => self.go_on(slot, life),
            Happening::Execute { request, route, op } => self.execute(request, route, &op),
            Happening::Waited {
                request,
                group,
                generation,
                reply,
            } => {
                let is_vouched = self.groups[group].vouches(self.now, generation);
                let wait = self.random.u64(1..4);
                let reply = is_vouched.then_some(reply);
                self.after(wait, Happening::Answer { request, reply });
            }
            Happening::Answer { request, reply } => self.answer(request, reply),
            Happening::Start { slot } => self.start(slot),
            Happening::Knock { user, attempt } => self.knock(user, attempt),
            Happening::KnockTimeOut { user, attempt } => self.knock_timed_out(user, attempt),
            Happening::Close { user, attempt } => self.closed(user, attempt),
            Happening::Whim => self.whim(),
            Happening::Ask => self.ask_for_states(),
            Happening::Promote { group, generation } => self.promote(group, generation),
            Happening::MasterGoesOn { group } => self.master_goes_on(group),
            Happening::Attach { group } => self.attach(group),
            Happening::Mend { slot } => self.slots[slot].line = Line::Good,
            Happening::Reconnect { from, to } => {
                if self.cut[from][to] <= self.now {
                    self.cut[from][to] = 0;
                }
            }
            Happening::Up { group } => self.up(group),
            Happening::Chaos => self.chaos(),
        }
    }

    /// A process starts where there is none.
    pub(super) fn start(&mut self, slot: usize) {
        let partitions = self.size.partitions;
        let host = &mut self.slots[slot];
        if host.process.is_some() {
            return;
        }
        host.lives += 1;
        host.no_process_until = self.now;
        let now = host.clock.read(self.now);
        let settings = ClusterSettings::new(host.node, host.site, partitions);
        let life = host.lives;
        host.process = Some(Process {
            life,
            membership: Membership::new(now, settings),
            todo: Default::default(),
            pause_plan: None,
            is_paused: false,
            paused_until: 0,
            tick_waits: false,
            incarnation: None,
            lease: Lease::Never,
            parts: BTreeMap::new(),
            turn: now,
        });
        self.after(0, Happening::Tick { slot, life });
        self.after(1, Happening::Words { slot, life });
    }

    /// A process is gone at once, with all its links.
    pub(super) fn kill(&mut self, slot: usize) {
        self.slots[slot].no_process_until = Ms::MAX;
        if let Some(process) = self.slots[slot].process.take() {
            self.close_links(slot, process.life, 1);
        }
    }

    pub(super) fn process(&mut self, slot: usize, life: u32) -> Option<&mut Process> {
        self.slots[slot]
            .process
            .as_mut()
            .filter(|process| process.life == life)
    }

    /// How many requests about partitions a node waits for.
    pub(super) fn asked_by(&self, slot: usize) -> usize {
        let asked = self.requests.values();
        asked
            .filter(|of| of.slot == slot && matches!(of.back, Back::Partition { .. }))
            .count()
    }

    pub(super) fn clock(&self, slot: usize) -> Instant {
        self.slots[slot].clock.read(self.now)
    }

    pub(super) fn tick(&mut self, slot: usize, life: u32) {
        let Some(process) = self.process(slot, life) else {
            return;
        };
        // Timers of a process that stands still do not pile up.
        if !process.tick_waits {
            process.tick_waits = true;
            self.arrive(slot, life, Todo::MemberEvent(MemberEvent::Tick));
        }
        self.after(TICK_MS, Happening::Tick { slot, life });
    }

    /// Something has reached a process, and waits for its turn.
    pub(super) fn arrive(&mut self, slot: usize, life: u32, todo: Todo) {
        let turn = self.clock(slot);
        let Some(process) = self.process(slot, life) else {
            return;
        };
        process.todo.push_back(todo);
        if !process.is_paused {
            process.turn = turn;
            self.work(slot, life);
        }
    }

    pub(super) fn go_on(&mut self, slot: usize, life: u32) {
        if let Some(process) = self.process(slot, life) {
            process.is_paused = false;
            self.work(slot, life);
        }
    }

    /// Does what is to do, up to a pause.
    pub(super) fn work(&mut self, slot: usize, life: u32) {
        while let Some(process) = self.process(slot, life) {
            if let Some(PausePlan { after: 0, lasts }) = process.pause_plan {
                process.pause_plan = None;
                process.is_paused = true;
                self.now_paused(slot, life, lasts);
                return;
            }
            if let Some(plan) = &mut process.pause_plan {
                plan.after -= 1;
            }
            let Some(todo) = process.todo.pop_front() else {
                return;
            };
            self.carry_out(slot, life, todo);
        }
    }

    pub(super) fn now_paused(&mut self, slot: usize, life: u32, lasts: Ms) {
        let until = self.now + lasts;
        if let Some(process) = self.process(slot, life) {
            process.paused_until = until;
        }
        self.at(until, Happening::GoOn { slot, life });
    }

    /// All links to a process end, within so long.
    pub(super) fn close_links(&mut self, slot: usize, life: u32, within: Ms) {
        for user in 0..self.terminals.len() {
            if let Some(link) = self.terminals[user].link
                && (link.slot, link.life) == (slot, life)
            {
                let wait = self.random.u64(0..=within);
                let attempt = link.attempt;
                self.after(wait, Happening::Close { user, attempt });
            }
        }
    }

    /// A terminal's wish reaches the process that it is linked to.
    pub(super) fn end_link(&mut self, user: usize, slot: usize, life: u32, wish: EndWish) {
        let todo = Box::new(Todo::LinkEnd { user, wish });
        self.after(2, Happening::Arrive { slot, life, todo });
    }

    pub(super) fn send_login(&mut self, slot: usize, login: Login) -> bool {
        let Some(life) = self.slots[slot].process.as_ref().map(|process| process.life) else {
            return false;
        };
        let todo = Box::new(Todo::Login(login));
        self.after(2, Happening::Arrive { slot, life, todo });
        true
    }
}
