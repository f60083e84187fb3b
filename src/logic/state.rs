//! Everything one shard knows. Hands each input to the connection or the user it concerns, then lets the users that
//! have something to decide go on. What is decided, and how it shows, stands in the neighbours.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use crate::base::arena::Arena;
use crate::base::counters::Counters;
use crate::base::ids::{ConnKey, ShardId};
use crate::base::limits::ALARMS_PER_TURN_MAX;
use crate::base::time::{Instant, Now, millis};
use crate::base::wheel::Wheel;
use crate::logic::addresses::Addresses;
use crate::logic::letter::ToShard;
use crate::logic::note::Note;
use crate::logic::queue::{Waiting, Whom};
use crate::logic::rates::Rates;
use crate::logic::restart::Grace;
use crate::logic::returns::Returns;
use crate::logic::session::{Phase, Sessions};
use crate::logic::settings::Settings;
use crate::logic::users::Users;
use crate::logic::versions::Versions;
use crate::logic::{Effect, Input};
use crate::protocol::packet::GatewayPacket;
use crate::protocol::transport::Kept;
use crate::protocol::usersig::Verifier;
use crate::protocol::verdict::{Code, Verdict};

/// Where a shard stands among the others.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Which shard it is.
    pub shard: ShardId,
    /// How many there are in all.
    pub shards: u16,
    /// Connections it can hold.
    pub connections_max: u32,
}

/// One shard's users and connections, and what waits.
#[derive(Debug)]
pub struct ShardState {
    pub(super) place: Place,
    pub(super) settings: Arc<Settings>,
    pub(super) sessions: Sessions,
    pub(super) users: Users,
    /// The devices' alarms.
    pub(super) wheel: Wheel,
    /// When each new connection must have logged in, in this order.
    pub(super) login_deadlines: VecDeque<(Instant, ConnKey)>,
    /// What is kept of a connection, by its slot: the first part of a packet, or what came behind its login.
    pub(super) pieces: HashMap<u32, Kept>,
    /// What waits for users. Few users have anything waiting.
    pub(super) waiting: Arena<Waiting>,
    /// Unix second of the last kick, of the users here that were ever kicked.
    pub(super) kicked_at_s: HashMap<u32, u64>,
    /// Users with something to decide in this turn.
    pub(super) ready: VecDeque<u32>,
    /// Users whose turn came when the registry had no room, in this order.
    pub(super) starved: VecDeque<u32>,
    /// Users whose change failed, by when it is tried again.
    pub(super) retries: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Asked of the registry and not answered.
    pub(super) in_flight: usize,
    /// Looks at devices whose alarms rang that are not decided yet.
    pub(super) looks_waiting: usize,
    pub(super) grace: Grace,
    pub(super) versions: Versions,
    pub(super) addresses: Addresses,
    pub(super) rates: Rates,
    pub(super) returns: Returns,
    pub(super) verifier: Verifier,
    pub(super) random: fastrand::Rng,
    pub(super) counters: Counters,
    pub(super) running: Running,
    /// What was noted since the last effects.
    pub(super) notes: Vec<Note>,
}

/// Whether new connections are welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    /// The registry's records are being taken in.
    Restoring,
    Yes,
    Stopping,
}

impl ShardState {
    /// A shard without users. `seed` feeds all its randomness.
    #[must_use]
    pub fn new(now: Now, seed: u64, place: Place, settings: Arc<Settings>) -> Self {
        Self {
            place,
            settings,
            sessions: Sessions::new(place.connections_max),
            users: Users::new(seed),
            wheel: Wheel::new(now.instant),
            login_deadlines: VecDeque::new(),
            pieces: HashMap::new(),
            waiting: Arena::default(),
            kicked_at_s: HashMap::new(),
            ready: VecDeque::new(),
            starved: VecDeque::new(),
            retries: BinaryHeap::new(),
            in_flight: 0,
            looks_waiting: 0,
            grace: Grace::default(),
            versions: Versions::default(),
            addresses: Addresses::default(),
            rates: Rates::default(),
            returns: Returns::default(),
            verifier: Verifier::default(),
            random: fastrand::Rng::with_seed(seed),
            counters: Counters::default(),
            running: Running::Yes,
            notes: Vec::new(),
        }
    }

    /// Something happened: appends to `out` what is to be done, in this order.
    pub fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Vec<Effect>) {
        match input {
            Input::Opened(key, peer) => self.opened(now, key, peer, out),
            Input::Arrived(key, arrival) => self.arrived(now, key, *arrival, out),
            Input::Received(key, bytes) => self.received(now, key, bytes, out),
            Input::Closed(key, loss) => self.closed(key, loss),
            Input::Stayed(key) => self.stayed(now, key, out),
            Input::Letter(letter) => self.letter(now, letter, out),
        }
        self.go_on(now, out);
        self.hand_over_notes(out);
    }

    /// Time passed: alarms that are due ring, at most [`ALARMS_PER_TURN_MAX`] of them a call.
    pub fn expire(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some((due, key)) = self.login_deadlines.front().copied() {
            if self.sessions.phase(key) == Phase::Greeting {
                if due > now.instant {
                    break;
                }
                self.counters.login_deadlines += 1;
                self.refuse(key, Code::LoginTooLate, out);
            }
            self.login_deadlines.pop_front();
        }
        while let Some(Reverse((due, user))) = self.retries.peek().copied() {
            if due > now.instant {
                break;
            }
            self.retries.pop();
            self.retry(user);
        }
        if self.running == Running::Yes {
            self.ring_alarms(now);
        }
        self.sweep_rates(now);
        self.go_on(now, out);
        self.hand_over_notes(out);
    }

    fn ring_alarms(&mut self, now: Now) {
        for _ in 0..ALARMS_PER_TURN_MAX {
            if self.alarms_wait() {
                break;
            }
            let Some(device) = self.wheel.pop(now.instant) else {
                break;
            };
            let due = self.due(device);
            if due > now.instant {
                self.wheel.arm(device, due);
            } else {
                self.look_at(device);
            }
        }
    }

    /// Alarms that ring together ask for changes together: they take at most half of the room with the registry, so that
    /// logins find some. The others wait in the wheel, where they cost nothing.
    fn alarms_wait(&self) -> bool {
        let looks_max = (self.settings.rooms.registry_in_flight / 2).max(1);
        self.looks_waiting >= looks_max
    }

    /// When [`ShardState::expire`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let login = self.login_deadlines.front().map(|(due, _)| *due);
        let retry = self.retries.peek().map(|Reverse((due, _))| *due);
        let alarm = self.wheel.next_deadline().filter(|_| !self.alarms_wait());
        let sweep = self.rates.next_deadline();
        [login, retry, alarm, sweep].into_iter().flatten().min()
    }

    /// What the shard has counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many users have something that is not recorded yet: with the registry, waiting for room there, or waiting to be
    /// tried again. A shard that stops waits for 0.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight + self.starved.len() + self.retries.len()
    }

    fn letter(&mut self, now: Now, letter: ToShard, out: &mut Vec<Effect>) {
        match letter {
            ToShard::Loaded(user, answer) => self.loaded(now, user.0, answer, out),
            ToShard::Committed(user, answer) => self.committed(now, user.0, answer, out),
            ToShard::Query(request, depth, users) => self.query(request, depth, users, out),
            ToShard::Kick(request, user) => self.kick(request, user, Whom::Everyone, out),
            ToShard::KickDevice(request, user, device) => {
                self.kick(request, user, Whom::Device(device), out);
            }
            ToShard::Delete(request, user) => self.kick(request, user, Whom::Account, out),
            ToShard::Inspect(request, user) => self.inspect(now, request, user, out),
            ToShard::Restore(users) => self.restore(now, users),
            ToShard::Open => self.open(now),
            ToShard::TurnedAway => self.grace.wait(now.instant),
            ToShard::Settings(settings, _receipt) => self.settings = settings,
            ToShard::Stop => self.stop(now, out),
        }
    }

    /// Says goodbye to everyone. Nothing is recorded: the devices stay what they are.
    fn stop(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.running = Running::Stopping;
        for key in self.sessions.keys() {
            if self.sessions.phase(key) != Phase::Moving {
                self.say_goodbye(now, key, out);
            }
        }
    }

    /// Tells a terminal that the gateway stops, and closes.
    pub(super) fn say_goodbye(&mut self, now: Now, key: ConnKey, out: &mut Vec<Effect>) {
        if let Phase::Waiting { user } = self.sessions.phase(key) {
            // What it said behind its login is accepted work, and a stop ends none of that.
            self.take_down(user, key);
        }
        let verdict = Verdict::of(Code::Stopping).after_ms(self.return_after_ms(now));
        self.send(key, &GatewayPacket::GoAway(verdict), out);
        self.close(key, out);
    }

    /// Puts a packet on the way out of a connection that is there.
    pub(super) fn send(&self, key: ConnKey, packet: &GatewayPacket, out: &mut Vec<Effect>) {
        if let Some(session) = self.sessions.get(key) {
            out.push(Effect::Send(key, session.peer.stack.write(packet)));
        }
    }

    /// Closes a connection that logic has no more to do with.
    pub(super) fn close(&mut self, key: ConnKey, out: &mut Vec<Effect>) {
        if self.forget(key) {
            out.push(Effect::Close(key));
        }
    }

    /// Drops what is known of a connection. Says whether there was anything.
    pub(super) fn forget(&mut self, key: ConnKey) -> bool {
        let Some(session) = self.sessions.take(key) else {
            return false;
        };
        if session.pieces == super::session::Pieces::Kept {
            self.pieces.remove(&key.slot);
        }
        if let Some(class) = session.live {
            self.count_gone(class, session.peer.stack.transport);
        }
        self.leave_address(session.peer.address, session.at_address);
        self.counters.connections_now -= 1;
        true
    }

    /// How long one that is sent away because something is full, or ends, is to wait: the longer the more there are.
    pub(super) fn return_after_ms(&mut self, now: Now) -> u32 {
        let Self {
            returns,
            settings,
            random,
            ..
        } = self;
        u32::try_from(returns.send_away(now.instant, settings, random)).unwrap_or(u32::MAX)
    }

    /// A random wait around the setting, for one that met a limit of its own.
    pub(super) fn retry_after_ms(&mut self) -> u32 {
        let middle = millis(self.settings.retry_after);
        u32::try_from(self.random.u64(middle / 2..=middle + middle / 2)).unwrap_or(u32::MAX)
    }
}
