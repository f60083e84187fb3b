//! The rules told a second time: what a gateway must show, computed from nothing but what the world did. Written from
//! the presence rules; it never looks into a shard, and never believes what one says.
//!
//! The rules leave three orders open: which user takes the registry's room first, which of several alarms of one moment
//! counts first, and the order of devices within one commit. There the model follows the order it was shown
//! ([`Hint`]), and still demands that everything in it is right.

pub(crate) mod address;
pub(crate) mod link;
pub(crate) mod login;
pub(crate) mod policy;
pub(crate) mod rate;
pub(crate) mod restart;
pub(crate) mod decide;
mod turn;
pub(crate) mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::ids::{DeviceId, RequestId, ShardId, UserId};
use crate::base::limits;
use crate::base::time::Now;
use crate::logic::delivery::KickError;
use crate::logic::message::SendRefusal;
use crate::logic::settings::Settings;
use crate::sim::shown::{Group, Link, SentTo, Shown};
use address::Failed;
use link::Conn;
use user::{Busy, Event, Grace, User, Whom};

/// Whole seconds: when alarms ring.
pub(crate) const TICK_MS: u64 = 1_000;

/// One request to the registry that was seen, with the devices in it, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Hint {
    pub(crate) user: UserId,
    pub(crate) devices: Vec<DeviceId>,
    /// The device whose alarm led to it.
    pub(crate) alarm: Option<DeviceId>,
    /// The device whose link end it is: after a start that is an alarm, too.
    pub(crate) grace_end: Option<DeviceId>,
}

/// Orders that were shown where the rules leave them open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders {
    /// Requests to the registry.
    pub(crate) asks: Vec<Hint>,
    /// Who waits for room after this.
    pub(crate) starving: Vec<UserId>,
    /// Devices whose alarms rang and wait, with those that rang just now last.
    pub(crate) alarms: BTreeMap<UserId, Vec<DeviceId>>,
}

/// What the registry answered, by the world's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegistrySays {
    Done,
    Failed,
}

/// All users and connections of the world, as the rules have them.
pub(crate) struct Model {
    pub(super) settings: Arc<Settings>,
    pub(super) shards: u16,
    pub(super) now: Now,
    pub(super) links: BTreeMap<Link, Conn>,
    /// Connections that ended behind a login that waits, and a logout behind that.
    pub(super) logged_out: BTreeSet<Link>,
    pub(super) users: BTreeMap<UserId, User>,
    /// Asked of the registry and not answered, by shard.
    pub(super) room_used: Vec<usize>,
    /// Users that wait for room, by shard, each with the moment since when: of one moment any may be first.
    pub(super) starved: Vec<Vec<(u64, UserId)>>,
    pub(super) moment: u64,
    /// Logins that failed, by shard and address.
    pub(super) failed: BTreeMap<(ShardId, Group), Failed>,
    /// When each user's logins of late were, microseconds.
    pub(super) taken: BTreeMap<UserId, Vec<u64>>,
    /// By shard.
    pub(super) graces: Vec<Grace>,
    /// Whether the alarms that rang are those that had to, as far as that can be said.
    pub(crate) alarms_agree: bool,
    pub(crate) orders: Orders,
    pub(super) out: Vec<Shown>,
    /// Users as they were when an inspection was answered.
    pub(crate) inspected: BTreeMap<RequestId, User>,
    /// Users as they were when a message came to them.
    pub(crate) sent_to: BTreeMap<RequestId, User>,
}

impl Model {
    pub(crate) fn new(settings: Arc<Settings>, shards: u16, users: &[UserId]) -> Self {
        Self {
            settings,
            shards,
            now: Now::default(),
            links: BTreeMap::new(),
            logged_out: BTreeSet::new(),
            users: users.iter().map(|user| (*user, User::default())).collect(),
            room_used: vec![0; usize::from(shards)],
            starved: vec![Vec::new(); usize::from(shards)],
            moment: 0,
            failed: BTreeMap::new(),
            taken: BTreeMap::new(),
            graces: vec![Grace::default(); usize::from(shards)],
            alarms_agree: true,
            orders: Orders::default(),
            out: Vec::new(),
            inspected: BTreeMap::new(),
            sent_to: BTreeMap::new(),
        }
    }

    /// Before each thing that happens: when it happens, and the orders that were shown for it.
    pub(crate) fn begin(&mut self, now: Now, orders: Orders) {
        self.now = now;
        self.orders = orders;
        self.moment += 1;
    }

    /// What must have shown since the last call.
    pub(crate) fn shown(&mut self) -> Vec<Shown> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn home(&self, user: UserId) -> usize {
        usize::from(user.home(self.shards).0)
    }

    pub(super) fn has_room(&self, user: UserId) -> bool {
        self.room_used[self.home(user)] < self.settings.capacities.registry_in_flight
    }

    pub(super) fn user(&mut self, user: UserId) -> &mut User {
        self.users.get_mut(&user).expect("a user of the world")
    }

    /// Alarms ring, waits end.
    pub(crate) fn time_passed(&mut self, shard: ShardId) {
        self.close_late_logins(shard);
        for id in self.of_shard(shard) {
            let now = self.now;
            let due = self.users[&id].due(now.instant, &self.settings, self.grace(id));
            let rung = self.in_shown_order(id, due);
            let user = self.user(id);
            for device in &rung {
                user.devices.get_mut(device).expect("it is due").rung = true;
            }
            user.queue.extend(rung.into_iter().map(Event::Alarm));
            if user.backoff_bounds().is_some_and(|(_, end)| end <= now.instant.0) {
                user.busy = Busy::Idle;
            }
        }
        let looks = self.looks(shard);
        let late = self
            .next_ring_of(shard)
            .is_some_and(|(_, ring)| ring <= self.now.instant.0);
        self.go_on(shard);
        self.alarms_agree = self.looks(shard) <= self.looks_max() && (!late || looks >= self.looks_max());
    }

    /// Alarms take half of the room with the registry.
    fn looks_max(&self) -> usize {
        (self.settings.capacities.registry_in_flight / 2).max(1)
    }

    /// Alarms of a shard that rang and were not decided.
    fn looks(&self, shard: ShardId) -> usize {
        let users = self.of_shard(shard).into_iter();
        let events = |id: UserId| {
            let events = self.users[&id].undecided();
            events.filter(|event| matches!(event, Event::Alarm(_))).count()
        };
        users.map(events).sum()
    }

    pub(super) fn grace(&self, id: UserId) -> &Grace {
        &self.graces[self.home(id)]
    }

    /// Those alarms of one moment that rang: first the one that leads to a change now, then those that wait.
    fn in_shown_order(&self, id: UserId, mut rung: Vec<DeviceId>) -> Vec<DeviceId> {
        let ask = self.orders.asks.iter().find(|ask| ask.user == id);
        let known = &self.users[&id].devices;
        let first = ask.and_then(|ask| {
            ask.alarm
                .or(ask.grace_end.filter(|device| known[device].restored))
        });
        let waiting = self.orders.alarms.get(&id);
        let place = |device| waiting?.iter().rposition(|other| *other == device);
        // An alarm of the same device may wait from before it was there anew.
        let waited = |device| {
            self.users[&id]
                .queue
                .iter()
                .filter(|event| **event == Event::Alarm(device))
                .count()
        };
        let waits = |device| waiting.map_or(0, |all| all.iter().filter(|other| **other == device).count());
        rung.retain(|device| usize::from(first == Some(*device)) + waits(*device) > waited(*device));
        rung.sort_by_key(|device| (first != Some(*device), place(*device)));
        rung
    }

    pub(crate) fn of_shard(&self, shard: ShardId) -> Vec<UserId> {
        let here = |user: &&UserId| user.home(self.shards) == shard;
        self.users.keys().filter(here).copied().collect()
    }

    /// The spans in which a change may be tried again, or an alarm ring, but need not: the world passes over them.
    pub(crate) fn open_spans(&self) -> impl Iterator<Item = (u64, u64)> {
        let alarms = self.users.iter().flat_map(|(id, user)| {
            let armed = user.devices.values().filter(|device| !device.rung);
            armed.map(|device| device.rings_within(&self.settings, self.grace(*id)))
        });
        self.users.values().filter_map(User::backoff_bounds).chain(alarms)
    }

    /// From when on the next alarm of a shard may ring, and when it must have.
    /// Nothing can be said while alarms have to wait for others.
    pub(crate) fn next_ring(&self, shard: ShardId) -> Option<(u64, u64)> {
        if self.looks(shard) >= self.looks_max() {
            return None;
        }
        self.next_ring_of(shard)
    }

    fn next_ring_of(&self, shard: ShardId) -> Option<(u64, u64)> {
        let users = self.of_shard(shard);
        let armed = users.iter().flat_map(|user| {
            let devices = self.users[user].devices.values();
            let armed = devices.filter(|device| !device.rung);
            armed.map(|device| device.rings_within(&self.settings, self.grace(*user)))
        });
        armed.min()
    }

    /// A kick came from the front.
    pub(crate) fn kicked(&mut self, request: RequestId, id: UserId, whom: Whom) {
        let is_kick = |event: &&Event| matches!(event, Event::Kick(..));
        if self.user(id).undecided().filter(is_kick).count() >= limits::KICKS_WAITING_MAX {
            self.out.push(Shown::Kicked(request, Err(KickError::Busy)));
            return;
        }
        self.user(id).queue.push_back(Event::Kick(request, whom));
        self.go_on_with(id);
    }

    /// Somebody wants to see all of a user.
    pub(crate) fn inspect(&mut self, request: RequestId, id: UserId) {
        let user = self.user(id);
        if user.resident && user.account {
            self.answer_inspection(request, id);
            return;
        }
        user.queue.push_back(Event::Inspect(request));
        self.go_on_with(id);
    }

    /// The backend sends a message. What becomes of it at the devices is not the model's.
    pub(crate) fn send(&mut self, request: RequestId, id: UserId) {
        let user = self.user(id);
        let nothing_waits = matches!(user.busy, Busy::Idle) && user.queue.is_empty();
        if user.resident && user.account && nothing_waits && !user.devices.is_empty() {
            return self.message_comes(request, id);
        }
        let is_send = |event: &&Event| matches!(event, Event::Send(_));
        if user.undecided().filter(is_send).count() >= limits::SENDS_WAITING_MAX {
            self.out
                .push(Shown::Sent(request, SentTo::Refused(SendRefusal::Busy)));
            return;
        }
        user.queue.push_back(Event::Send(request));
        self.go_on_with(id);
    }

    pub(super) fn message_comes(&mut self, request: RequestId, id: UserId) {
        let user = self.user(id).clone();
        let sent_to = if user.account {
            SentTo::Known
        } else {
            SentTo::Nobody
        };
        self.out.push(Shown::Sent(request, sent_to));
        self.sent_to.insert(request, user);
    }

    pub(super) fn answer_inspection(&mut self, request: RequestId, id: UserId) {
        let user = self.user(id).clone();
        self.out.push(Shown::Inspected(request, user.account));
        self.inspected.insert(request, user);
    }

    pub(super) fn go_on_with(&mut self, id: UserId) {
        self.go_on(id.home(self.shards));
    }
}
