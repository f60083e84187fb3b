//! The world: nodes, the shared store, terminals, backends and what is between them, in one queue of things that happen. The seed decides
//! everything.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::cluster::clock::DriftingClock;
use super::super::cluster::group::Ms;
use super::backend::Question;
use super::history::History;
use super::process::{Actor, Host, LinkEvent, LinkNumber, Pace, Process, ProcessPlan};
use super::servers::Servers;
use super::terminal::{Link, Person, Terminal};
use crate::base::ids::NodeId;
use crate::base::time::Now;
use crate::logic::delivery::ToHttp;
use crate::services::cluster::tests::simulated::{MemberJob, MemberQueue, WordToMember};
use crate::services::cluster::token::Site;
use crate::services::peers::Exchange;
use crate::services::registry::shared::tests::simulated::{DeskJob, DeskReport};

/// A process, and in which of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: usize,
    pub(super) life: u32,
}

/// Something that happens.
pub(super) enum Happening {
    /// A thread takes a turn.
    Turn(Place, Actor),
    /// A thread of the member asks the shared store.
    Ask(Place, MemberQueue, Box<MemberJob>),
    /// It comes back.
    Asked(Place, MemberQueue, Box<WordToMember>),
    /// The desk's worker makes calls.
    Call(Place, Box<DeskJob>),
    /// It comes back.
    Called(Place, Box<DeskReport>),
    /// A process writes to its peers.
    Exchange(Place),
    /// A peer hears it.
    Hear {
        to: usize,
        from: NodeId,
        exchange: Box<Exchange>,
    },
    /// A process starts.
    Start(usize),
    /// Something of a link reaches a process.
    Up(LinkNumber, LinkEvent),
    /// Something of a link reaches its terminal: bytes, or its end.
    Down(LinkNumber, Option<Vec<u8>>),
    /// A terminal tries to log in.
    Knock { terminal: usize, attempt: u64 },
    /// A terminal that was not answered stops waiting.
    KnockTimeOut(LinkNumber),
    /// A terminal beats.
    Beat(LinkNumber),
    /// A terminal comes or goes by itself.
    Whim,
    /// A backend asks.
    Question,
    /// A question about some users reaches a process.
    Part {
        question: u64,
        place: Place,
        local: bool,
        users: Vec<usize>,
    },
    /// A process has an answer to a question, which leaves.
    Leave { place: Place, reply: Box<ToHttp> },
    /// Something goes wrong.
    Chaos,
    /// A line is good again.
    Mend(usize),
    /// Something of the shared store changes.
    Servers(ServerTurn),
}

/// What becomes of servers.
#[derive(Debug, Clone, Copy)]
pub(super) enum ServerTurn {
    Promote { group: usize, generation: u32 },
    GoOn(usize),
    Attach(usize),
    Up(usize),
}

/// How large a world is.
#[derive(Debug, Clone, Copy)]
pub(super) struct WorldSize {
    pub(super) nodes: u16,
    pub(super) groups: usize,
    pub(super) people: usize,
}

pub(super) struct World {
    pub(super) now: Ms,
    queue: BinaryHeap<Reverse<(Ms, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    numbers: u64,
    pub(super) plan: ProcessPlan,
    pub(super) hosts: Vec<Host>,
    servers: Arc<Mutex<Servers>>,
    /// From whom to whom nothing comes through, until then.
    pub(super) cut: Vec<Vec<Ms>>,
    pub(super) people: Vec<Person>,
    pub(super) terminals: Vec<Terminal>,
    pub(super) links: BTreeMap<LinkNumber, Link>,
    pub(super) questions: BTreeMap<u64, Question>,
    /// The one for all users.
    pub(super) last_question: Option<u64>,
    pub(super) history: History,
    pub(super) random: fastrand::Rng,
    pub(super) is_peaceful: bool,
    /// Terminals do nothing new.
    pub(super) is_quiet: bool,
    pub(super) trace: bool,
}

impl World {
    pub(super) fn new(seed: u64, size: WorldSize, plan: ProcessPlan) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let nodes = usize::from(size.nodes);
        let host = |number: u16| Host {
            node: NodeId(number + 1),
            site: Site(u64::from(number) * 1_000 + 1),
            clock: DriftingClock::some(&mut random),
            process: None,
            lives: 0,
        };
        let hosts = (0..size.nodes).map(host).collect();
        let people: Vec<Person> = (0..size.people)
            .map(|number| Person::new(number, plan.partitions))
            .collect();
        let mut world = Self {
            now: 0,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            numbers: 0,
            plan,
            hosts,
            servers: Arc::new(Mutex::new(Servers::new(!seed, nodes, size.groups))),
            cut: vec![vec![0; nodes]; nodes],
            terminals: Terminal::all(people.len()),
            history: History::new(people.len()),
            people,
            links: BTreeMap::new(),
            questions: BTreeMap::new(),
            last_question: None,
            random,
            is_peaceful: true,
            is_quiet: false,
            trace: false,
        };
        for host in 0..nodes {
            let at = world.random.u64(0..1_500);
            world.after(at, Happening::Start(host));
        }
        world.after(500, Happening::Whim);
        world.after(800, Happening::Question);
        world
    }

    pub(super) fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().expect("nobody panics with it")
    }

    pub(super) fn at(&mut self, at: Ms, happening: Happening) {
        self.numbers += 1;
        self.queue.push(Reverse((at.max(self.now), self.numbers)));
        self.happenings.insert(self.numbers, happening);
    }

    pub(super) fn after(&mut self, wait: Ms, happening: Happening) {
        self.at(self.now + wait, happening);
    }

    /// After a short while.
    pub(super) fn soon(&mut self, happening: Happening) {
        let wait = self.random.u64(1..4);
        self.after(wait, happening);
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// What the clocks of a host say.
    pub(super) fn clock(&self, host: usize) -> Now {
        self.hosts[host].read(self.now)
    }

    pub(super) fn place(&self, host: usize) -> Option<Place> {
        let life = self.hosts[host].process.as_ref()?.life;
        Some(Place { host, life })
    }

    pub(super) fn process(&mut self, place: Place) -> Option<&mut Process> {
        let process = self.hosts[place.host].process.as_mut();
        process.filter(|process| process.life == place.life)
    }

    pub(super) fn told(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{} {}", self.now, text().chars().take(300).collect::<String>());
        }
    }

    /// Lets things happen until `end`, or until something is wrong.
    pub(super) fn run(&mut self, end: Ms) {
        while let Some(Reverse((at, number))) = self.queue.peek().copied()
            && at <= end
            && self.history.fault.is_none()
        {
            self.queue.pop();
            self.now = at;
            self.servers().pass(at);
            let happening = self.happenings.remove(&number).expect("each happens once");
            self.happen(happening);
        }
        self.now = self.now.max(end);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Turn(place, actor) => self.turn(place, actor),
            Happening::Ask(place, queue, job) => self.ask(place, queue, *job),
            Happening::Asked(place, queue, word) => self.asked(place, queue, *word),
            Happening::Call(place, job) => self.call(place, *job),
            Happening::Called(place, report) => self.called(place, *report),
            Happening::Exchange(place) => self.exchange(place),
            Happening::Hear { to, from, exchange } => self.hear(to, from, *exchange),
            Happening::Start(host) => self.start(host),
            Happening::Up(link, event) => self.up(link, event),
            Happening::Down(link, bytes) => self.down(link, bytes),
            Happening::Knock { terminal, attempt } => self.knock(terminal, attempt),
            Happening::KnockTimeOut(link) => self.knock_timed_out(link),
            Happening::Beat(link) => self.beat(link),
            Happening::Whim => self.whim(),
            Happening::Question => self.question(),
            Happening::Part {
                question,
                place,
                local,
                users,
            } => self.part(question, place, local, users),
            Happening::Leave { place, reply } => self.leave(place, *reply),
            Happening::Chaos => self.chaos(),
            Happening::Mend(host) => self.mend(host),
            Happening::Servers(turn) => self.server_turn(turn),
        }
    }

    /// A process starts where there is none.
    pub(super) fn start(&mut self, host: usize) {
        if self.hosts[host].process.is_some() {
            return;
        }
        self.hosts[host].lives += 1;
        let life = self.hosts[host].lives;
        let process = Process::start(&self.hosts[host], host, self.now, &self.plan, &self.servers);
        self.hosts[host].process = Some(process);
        let place = Place { host, life };
        self.told(|| format!("{place:?} starts"));
        self.tell_shards(place);
        self.wake(place, Actor::Member, 0);
        self.after(1, Happening::Exchange(place));
    }

    /// A process is gone at once, with all its links.
    pub(super) fn kill(&mut self, host: usize) {
        let Some(place) = self.place(host) else {
            return;
        };
        self.told(|| format!("{place:?} dies"));
        self.hosts[host].process = None;
        let links = self.links.iter().filter(|(_, link)| link.place == place);
        let links: Vec<LinkNumber> = links.map(|(number, _)| *number).collect();
        // Of a host that is gone nobody hears.
        let is_heard = self.random.u8(..4) != 0;
        for link in links {
            if is_heard {
                self.send_down(link, None);
            }
            self.links.get_mut(&link).expect("it is there").is_gone = true;
        }
    }

    /// A thread takes a turn after `wait`, if it does not do so before.
    pub(super) fn wake(&mut self, place: Place, actor: Actor, wait: Ms) {
        let at = self.now + wait;
        let Some(process) = self.process(place) else {
            return;
        };
        let pace: &mut Pace = &mut process.paces[actor.place()];
        if at < pace.turn_at {
            pace.turn_at = at;
            self.at(at, Happening::Turn(place, actor));
        }
    }

    /// Something came for a thread.
    pub(super) fn poke(&mut self, place: Place, actor: Actor) {
        let wait = self.random.u64(0..2);
        self.wake(place, actor, wait);
    }

    /// Whether a process stands still until later, or one of its threads.
    fn stands_still(&mut self, place: Place, actor: Actor) -> Option<Ms> {
        let now = self.now;
        let process = self.process(place)?;
        if let Some(mut plan) = process.pause_plan.take() {
            match plan.after.checked_sub(1) {
                Some(left) => {
                    plan.after = left;
                    process.pause_plan = Some(plan);
                }
                None => {
                    let until = now + plan.lasts;
                    process.stand_still(until, &plan.wakes_late);
                    self.told(|| format!("{place:?} stands still until {until}"));
                    return Some(until);
                }
            }
        }
        let pace = process.paces[actor.place()];
        let until = process.paused_until.max(pace.stalled_until);
        (until > now).then_some(until)
    }

    fn turn(&mut self, place: Place, actor: Actor) {
        let now = self.now;
        let Some(process) = self.process(place) else {
            return;
        };
        let pace = &mut process.paces[actor.place()];
        if pace.turn_at != now {
            return;
        }
        pace.turn_at = Ms::MAX;
        if let Some(until) = self.stands_still(place, actor) {
            return self.wake(place, actor, until - now);
        }
        match actor {
            Actor::Member => self.member_turn(place),
            Actor::Desk => self.desk_turn(place),
            Actor::Shard(shard) => self.shard_turn(place, shard),
        }
    }
}
