//! The world: shards, the lanes between them, terminals, the registry and the front, one clock and one seed. It lets
//! things happen, carries out what shards ask for, and compares everything that shows with the model.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::base::ids::{ConnKey, DeviceId, RequestId, ShardId, UserId};
use crate::base::time::{Instant, Now, Timestamp};
use crate::logic::delivery::{Delivery, ToRegistry, ToShard};
use crate::logic::settings::Settings;
use crate::logic::state::ShardState;
use crate::logic::user_status::QueryDepth;
use crate::logic::{Arrival, Effect, Input, LinkLoss, Peer, ShardPosition};
use crate::protocol::stack::ProtocolStack;
use crate::sim::Counts;
use crate::sim::callbacks::Post;
use crate::sim::checks::{Failure, ensure};
use crate::sim::crowd::Crowd;
use crate::sim::model::user::Whom;
use crate::sim::model::{Hint, Model, Orders, RegistrySays};
use crate::sim::registry::Registry;
use crate::sim::shown::{Group, Link};
use crate::sim::steps::Mood;
use crate::sim::terminal::{Item, Place, Terminal, Wallet};

/// Connections with their logins, in the order they left.
pub(crate) type Lane = VecDeque<(Link, Box<Arrival>)>;

pub(crate) struct World {
    pub(crate) random: fastrand::Rng,
    pub(crate) now: Now,
    pub(crate) settings: Arc<Settings>,
    pub(crate) shards: Vec<ShardState>,
    pub(crate) model: Model,
    pub(crate) registry: Registry,
    pub(crate) post: Post,
    pub(crate) terminals: BTreeMap<Link, Terminal>,
    pub(crate) wallet: Wallet,
    /// Users with their devices.
    pub(crate) pools: Vec<(UserId, Vec<DeviceId>)>,
    /// Sessions that terminals were given.
    pub(crate) sessions: BTreeMap<(UserId, DeviceId), Vec<u64>>,
    /// Connections on their way, by where from and where to.
    pub(crate) lanes: BTreeMap<(ShardId, ShardId), Lane>,
    pub(crate) lane_room: usize,
    pub(crate) slots: Vec<Vec<Option<(ConnKey, Link)>>>,
    /// Who was sent away, by shard.
    pub(crate) crowds: Vec<Crowd>,
    pub(crate) links: u32,
    pub(crate) requests: u64,
    pub(crate) mood: Mood,
    /// What shards counted that are gone.
    pub(crate) past: Counts,
    pub(crate) trace: bool,
}

/// After so long what the outbox took is durable, commit or not.
const OUTBOX_DURABLE_MS: u64 = 1_000;

/// Connections that a shard can hold.
pub(crate) const SLOTS: usize = 64;

/// Something that happens to a shard, in the world's words.
pub(crate) enum Event {
    Opened(Link),
    Received(Link, Vec<u8>),
    Closed(Link),
    Stayed(Link),
    TurnedAway,
    Arrived(Link, Box<Arrival>),
    Registry(UserId, RegistrySays, ToShard),
    Kick(RequestId, UserId, Whom),
    Query(RequestId, QueryDepth, Vec<UserId>),
    Inspect(RequestId, UserId),
}

impl World {
    /// Lets an event happen to a shard, and all that follows from it.
    pub(crate) fn happen(&mut self, shard: ShardId, event: Event) -> Result<(), Failure> {
        let mut out = Vec::new();
        let (state, now) = (&mut self.shards[usize::from(shard.0)], self.now);
        let key_of = |link: Link| match self.terminals[&link].place {
            Place::At(_, key) => key,
            Place::Moving | Place::Over => unreachable!("it is at a shard"),
        };
        match &event {
            Event::Opened(link) => state.handle(now, Input::Opened(key_of(*link), peer(*link)), &mut out),
            Event::Received(link, bytes) => {
                state.handle(now, Input::Received(key_of(*link), bytes), &mut out)
            }
            Event::Closed(link) => state.handle(now, Input::Closed(key_of(*link), LinkLoss::Peer), &mut out),
            Event::Stayed(link) => state.handle(now, Input::Stayed(key_of(*link)), &mut out),
            Event::TurnedAway => state.handle(now, Input::Delivered(ToShard::TurnedAway), &mut out),
            Event::Arrived(link, arrival) => {
                state.handle(now, Input::Arrived(key_of(*link), arrival.clone()), &mut out);
            }
            Event::Registry(_, _, letter) => state.handle(now, Input::Delivered(letter.clone()), &mut out),
            Event::Kick(request, user, whom) => {
                let letter = match whom {
                    Whom::Everyone => ToShard::Kick(*request, *user),
                    Whom::Device(device) => ToShard::KickDevice(*request, *user, *device),
                    Whom::Account => ToShard::Delete(*request, *user),
                };
                state.handle(now, Input::Delivered(letter), &mut out);
            }
            Event::Query(request, depth, users) => {
                state.handle(
                    now,
                    Input::Delivered(ToShard::Query(*request, *depth, users.clone())),
                    &mut out,
                );
            }
            Event::Inspect(request, user) => {
                state.handle(now, Input::Delivered(ToShard::Inspect(*request, *user)), &mut out);
            }
        }
        let orders = Orders {
            asks: hints(&out),
            starving: state.without_room(),
            alarms: BTreeMap::new(),
        };
        self.model.begin(now, orders);
        self.tell_model(shard, &event);
        if let Event::Closed(link) = event {
            self.free(link);
            self.terminals.remove(&link);
        }
        self.carry_out(shard, out)
    }

    fn tell_model(&mut self, shard: ShardId, event: &Event) {
        match event {
            Event::Opened(link) => self.model.opened(*link, shard),
            Event::Received(link, bytes) => self.model.received(*link, bytes.len()),
            Event::Closed(link) => self.model.closed(*link),
            Event::Stayed(link) => self.model.stayed(*link),
            Event::TurnedAway => self.model.pause_grace(shard),
            Event::Arrived(link, _) => {
                let login = self.terminals[link].login.clone().expect("a login made it move");
                self.model.arrived(*link, login);
            }
            Event::Registry(user, says, _) => self.model.registry_answered(*user, *says),
            Event::Kick(request, user, whom) => self.model.kicked(*request, *user, *whom),
            Event::Inspect(request, user) => self.model.inspect(*request, *user),
            Event::Query(..) => {}
        }
    }

    /// Gives a connection a place at a shard; `None` if there is none.
    pub(crate) fn take_slot(&mut self, shard: ShardId, link: Link) -> Option<ConnKey> {
        let slots = &mut self.slots[usize::from(shard.0)];
        let slot = slots.iter().position(Option::is_none)?;
        let generation = link.0;
        let slot_number = u32::try_from(slot).expect("few slots");
        let key = ConnKey {
            slot: slot_number,
            generation,
        };
        slots[slot] = Some((key, link));
        Some(key)
    }

    pub(crate) fn free(&mut self, link: Link) {
        let terminal = self.terminals.get_mut(&link).expect("a terminal of the world");
        if let Place::At(shard, key) = std::mem::replace(&mut terminal.place, Place::Over) {
            self.slots[usize::from(shard.0)][key.slot as usize] = None;
        }
    }

    pub(crate) fn shard_count(&self) -> u16 {
        u16::try_from(self.shards.len()).expect("few shards")
    }

    /// Time passes up to `to`, and on over the spans that the rules leave open.
    pub(crate) fn advance(&mut self, to: u64) -> Result<(), Failure> {
        let passed = to.max(self.now.instant.0);
        let passed = self.behind_open_spans(passed);
        let wall = self.now.wall.0 + (passed - self.now.instant.0);
        if passed > self.now.instant.0 + OUTBOX_DURABLE_MS {
            self.registry.shelf.sync();
        }
        self.now = Now {
            instant: Instant(passed),
            wall: Timestamp(wall),
        };
        if self.trace {
            println!("   now {passed} ({} s)", wall / 1_000);
        }
        for number in 0..self.shard_count() {
            self.expire(ShardId(number))?;
        }
        Ok(())
    }

    fn behind_open_spans(&self, mut at: u64) -> u64 {
        loop {
            let open = self
                .model
                .open_spans()
                .find(|(start, end)| (*start..*end).contains(&at));
            match open {
                Some((_, end)) => at = end,
                None => return at,
            }
        }
    }

    fn expire(&mut self, shard: ShardId) -> Result<(), Failure> {
        let (mut all, mut rounds) = (Vec::new(), 0);
        // Alarms that had to wait for others ring in the next round, behind what the last one brought about.
        let next = loop {
            let state = &mut self.shards[usize::from(shard.0)];
            let mut out = Vec::new();
            state.expire(self.now, &mut out);
            let next = state.next_deadline();
            let users = self.model.of_shard(shard).into_iter();
            let orders = Orders {
                asks: hints(&out),
                starving: state.without_room(),
                alarms: users.map(|user| (user, state.alarms_waiting(&user))).collect(),
            };
            self.model.begin(self.now, orders);
            self.model.time_passed(shard);
            all.append(&mut out);
            if next.is_none_or(|due| due > self.now.instant) {
                break next;
            }
            rounds += 1;
            ensure("deadlines", rounds < 100, || format!("{next:?} never passes"))?;
        };
        ensure("alarms", self.model.alarms_agree, || {
            format!("other alarms rang at {shard:?} than had to")
        })?;
        self.carry_out(shard, all)?;
        let must = self.model.next_ring(shard).map(|(_, ring)| ring);
        let heard_in_time = must.is_none_or(|ring| next.is_some_and(|next| next.0 <= ring));
        ensure("deadlines", heard_in_time, || {
            format!("{next:?} is after {must:?}")
        })
    }

    /// A terminal says something; it arrives later.
    pub(crate) fn say(&mut self, link: Link, item: Item) {
        if self.trace {
            println!("   {link:?} says {item:?}");
        }
        let terminal = self.terminals.get_mut(&link).expect("a terminal of the world");
        let sent = terminal.say(item, &mut self.wallet, self.now);
        self.model.sent(link, sent);
    }
}

pub(crate) fn peer(link: Link) -> Peer {
    Peer {
        address: Group::of(link).address(link),
        stack: ProtocolStack::NATIVE_TCP,
    }
}

fn hints(out: &[Effect]) -> Vec<Hint> {
    let hint = |effect: &Effect| match effect {
        Effect::Deliver(Delivery::Registry(ToRegistry::Load(_, _, user))) => Some(Hint {
            user: *user,
            devices: Vec::new(),
            alarm: None,
            grace_end: None,
        }),
        Effect::Deliver(Delivery::Registry(ToRegistry::Commit(_, _, commit))) => {
            Some(Hint::of_commit(commit))
        }
        Effect::Send(..) | Effect::Stay(_) => None,
        Effect::Move(..) | Effect::Close(_) | Effect::Deliver(_) | Effect::Trace(_) => None,
    };
    out.iter().filter_map(hint).collect()
}

impl World {
    /// A shard for each place.
    pub(crate) fn shards(now: Now, seed: u64, shards: u16, settings: &Arc<Settings>) -> Vec<ShardState> {
        let position = |shard| ShardPosition {
            shard: ShardId(shard),
            shards,
            connections_max: u32::try_from(SLOTS).expect("few slots"),
        };
        (0..shards)
            .map(|shard| ShardState::new(now, seed ^ u64::from(shard), position(shard), settings.clone()))
            .collect()
    }
}
