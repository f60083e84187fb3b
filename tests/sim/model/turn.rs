//! Whose turn it is: one change at a time for a user, as much at a time for a shard as the registry has room for.

use crate::base::ids::Class;
use crate::base::ids::{ChangeNumber, DeviceId, ShardId, UserId};
use crate::base::time::{Instant, Timestamp};
use crate::logic::delivery::KickError;
use crate::logic::message::SendRefusal;
use crate::logic::record::{ChangeKind, Ending, Status};
use crate::protocol::native::proto::Code;
use crate::sim::shown::{Link, Said, SentTo, Shown, Step};

use super::link::Conn;
use super::user::{Busy, Came, Decision, Event, User, Whom};
use super::{Hint, Model, RegistrySays};

impl Model {
    /// Everything of a shard that can go on does: first who waited for room, then the others.
    pub(super) fn go_on(&mut self, shard: ShardId) {
        let mut ready = self.of_shard(shard);
        let hints: Vec<UserId> = self.orders.asks.iter().map(|hint| hint.user).collect();
        ready.sort_by_key(|user| hints.iter().position(|hint| hint == user).unwrap_or(usize::MAX));
        let mut ready = ready.into_iter();
        while let Some(user) = self.next_with_room(shard).or_else(|| ready.next()) {
            self.turn(user);
        }
    }

    /// The user that has waited longest for room, if there is room.
    fn next_with_room(&mut self, shard: ShardId) -> Option<UserId> {
        let starved = &mut self.starved[usize::from(shard.0)];
        if self.room_used[usize::from(shard.0)] >= self.settings.capacities.registry_in_flight
            || starved.is_empty()
        {
            return None;
        }
        let (_, user) = starved.remove(0);
        self.user(user).busy = Busy::Idle;
        Some(user)
    }

    /// Puts those that began to wait for room in this moment in the order shown. Says whether the same users wait.
    pub(crate) fn agrees_who_starves(&mut self, shard: ShardId) -> bool {
        let (starved, shown) = (&mut self.starved[usize::from(shard.0)], &self.orders.starving);
        starved.sort_by_key(|(since, user)| (*since, shown.iter().position(|other| other == user)));
        starved.iter().map(|(_, user)| user).eq(shown)
    }

    /// Decides one event of a user after the other, until one needs the registry.
    fn turn(&mut self, id: UserId) {
        while matches!(self.user(id).busy, Busy::Idle) {
            let user = self.user(id);
            let Some(event) = user.queue.front().cloned() else {
                user.resident &= !user.devices.is_empty();
                user.ends_known = None;
                return;
            };
            let dead = matches!(event, Event::Login(link, ..) if self.is_gone(link) && !self.logged_out.contains(&link));
            let load = !dead && !self.event_is_over_rate(&event) && self.user(id).needs_record(&event);
            self.user(id).queue.pop_front();
            if load || self.decide(id, &event, &[]).is_some() {
                self.wants_registry(id, event, load);
            } else {
                self.user(id).tries = 0;
            }
        }
    }

    fn wants_registry(&mut self, id: UserId, event: Event, load: bool) {
        let home = self.home(id);
        let has_room = self.has_room(id);
        match event {
            Event::Login(link, _, Came::ToTheDoor) if !has_room => {
                return self.refuse(link, Code::Busy, None);
            }
            Event::Login(link, login, _) => {
                self.user(id)
                    .queue
                    .push_front(Event::Login(link, login, Came::Inside));
            }
            Event::LinkEnd(..)
            | Event::Logout(..)
            | Event::Alarm(_)
            | Event::Kick(..)
            | Event::Inspect(_)
            | Event::Send(_) => {
                self.user(id).queue.push_front(event);
            }
        }
        if !has_room {
            self.user(id).busy = Busy::Starved;
            self.starved[home].push((self.moment, id));
            return;
        }
        self.room_used[home] += 1;
        if load {
            self.user(id).busy = Busy::Loading;
            self.out.push(Shown::Load(id));
        } else {
            self.commit(id);
        }
    }

    fn commit(&mut self, id: UserId) {
        let place = self.orders.asks.iter().position(|hint| hint.user == id);
        let order = place.map_or(Vec::new(), |place| self.orders.asks[place].devices.clone());
        let event = self.user(id).queue.pop_front().expect("it wants something");
        let decision = self.decide(id, &event, &order).expect("it was just decided");
        self.orders.asks.retain(|hint| hint.user != id);
        let at = self.now.wall;
        let mut shown = self.user(id).shown_commit(id, &decision, at);
        if let Shown::Commit { steps, .. } = &mut shown {
            for step in steps {
                step.address = self.address(id, &decision, step.device);
            }
        }
        self.out.push(shown);
        let user = self.user(id);
        let tries = user.tries;
        user.busy = Busy::Committing {
            event,
            decision,
            at,
            tries,
        };
    }

    /// The registry answered what this user's home had asked.
    pub(crate) fn registry_answered(&mut self, id: UserId, says: RegistrySays) {
        let home = self.home(id);
        self.room_used[home] -= 1;
        let (now, wall) = (self.now.instant, self.now.wall);
        let user = self.user(id);
        match (std::mem::take(&mut user.busy), says) {
            (Busy::Loading, RegistrySays::Done) => (user.resident, user.ends_known) = (true, Some(wall)),
            (Busy::Loading, RegistrySays::Failed) => self.not_loaded(id),
            (Busy::Committing { decision, at, .. }, RegistrySays::Done) => {
                (user.tries, user.ends_known) = (0, None);
                self.confirmed(id, decision, at);
            }
            (
                Busy::Committing {
                    event: Event::Login(link, ..),
                    ..
                },
                RegistrySays::Failed,
            ) if !self.logs_out(link) => {
                self.refuse(link, Code::NotRecorded, None);
            }
            (Busy::Committing { event, tries, .. }, RegistrySays::Failed) => {
                let user = self.user(id);
                user.queue.push_front(event);
                user.tries = tries + 1;
                user.busy = Busy::BackingOff {
                    from: now,
                    tries: tries + 1,
                };
            }
            (Busy::Idle | Busy::Starved | Busy::BackingOff { .. }, _) => unreachable!("nothing was asked"),
        }
        self.go_on_with(id);
    }

    /// Whether a logout waits behind the login of this connection: then both are tried again.
    fn logs_out(&self, link: Link) -> bool {
        let held = self.links.get(&link).is_some_and(Conn::logs_out);
        self.logged_out.contains(&link) || (held && !self.is_gone(link))
    }

    fn not_loaded(&mut self, id: UserId) {
        match self.user(id).queue.pop_front() {
            Some(Event::Login(link, ..)) => self.refuse(link, Code::NotRecorded, None),
            Some(Event::Kick(request, _)) => self.out.push(Shown::Kicked(request, Err(KickError::Busy))),
            Some(Event::Inspect(request)) => self.out.push(Shown::Inspected(request, false)),
            Some(Event::Send(request)) => {
                let refused = SentTo::Refused(SendRefusal::Unavailable);
                self.out.push(Shown::Sent(request, refused));
            }
            Some(Event::LinkEnd(..) | Event::Logout(..) | Event::Alarm(_)) | None => {}
        }
    }

    pub(super) fn confirmed(&mut self, id: UserId, decision: Decision, at: Timestamp) {
        let user = self.user(id);
        let first = user.change + 1;
        user.change += decision.changes();
        match decision {
            Decision::Login {
                link,
                login,
                fresh,
                losers,
            } => {
                self.logged_in((link, &login), (first, fresh, at), &losers);
            }
            Decision::LinkEnd(device) | Decision::GraceEnd(device) => {
                self.lost(id, device, Ending::LinkEnd, at);
            }
            Decision::TimeOut(device) => {
                let link = self.lost(id, device, Ending::TimeOut, at);
                if let Some(link) = link.filter(|link| !self.is_logging_out(*link)) {
                    self.say(link, Said::Error(Code::Silent));
                    self.hang_up(link);
                }
            }
            Decision::Expiry(device) => {
                self.user(id).end(device, Ending::Expiry, at);
            }
            Decision::Logout(link, device) => {
                self.user(id).end(device, Ending::Logout, at);
                self.answer_logout(link);
            }
            Decision::Kick(request, whom, devices) => {
                let user = self.user(id);
                if !matches!(whom, Whom::Device(_)) {
                    user.kicked_at_s = user.kicked_at_s.max(at.seconds());
                }
                user.account &= whom != Whom::Account;
                for device in devices {
                    let link = self.user(id).end(device, Ending::Kick, at);
                    self.part(link, Code::SessionKicked, None);
                }
                self.out.push(Shown::Kicked(request, Ok(())));
            }
        }
    }

    /// The terminal that logged out, if it is still there, learns that it is done.
    pub(super) fn answer_logout(&mut self, link: Link) {
        if self.is_logging_out(link) {
            self.say(link, Said::LogoutAnswer);
            self.hang_up(link);
        }
    }

    /// The link is lost for good: PushOnline if it is a mobile device, else Offline. Gives the link it had.
    fn lost(&mut self, id: UserId, device: DeviceId, ending: Ending, at: Timestamp) -> Option<Link> {
        let now = self.now.instant.0;
        let then = now - (self.now.wall.0 - at.0);
        let user = self.user(id);
        let known = user.devices.get_mut(&device).expect("it was not Offline");
        if known.class != Class::Mobile {
            return user.end(device, ending, at);
        }
        known.status = Status::PushOnline;
        known.background = false;
        known.heard = Instant(then);
        known.armed = now;
        known.rung = false;
        known.leaving = known.link.take();
        known.leaving
    }
}

impl Decision {
    fn changes(&self) -> u64 {
        match self {
            Self::Kick(_, _, devices) => devices.len() as u64,
            Self::Login { .. } | Self::LinkEnd(_) | Self::Logout(..) => 1,
            Self::TimeOut(_) | Self::Expiry(_) | Self::GraceEnd(_) => 1,
        }
    }

    fn steps(&self) -> Vec<Step> {
        let one = |device: &DeviceId, kind| {
            vec![Step {
                device: *device,
                kind,
                address: None,
            }]
        };
        match self {
            Self::Login {
                login, fresh, losers, ..
            } => {
                let mut forced_off = losers.clone();
                forced_off.sort_unstable_by_key(|(device, _)| *device);
                let fresh = ChangeNumber(*fresh);
                one(&login.device, ChangeKind::Login { fresh, forced_off })
            }
            Self::LinkEnd(device) | Self::GraceEnd(device) => one(device, ChangeKind::LinkEnd),
            Self::Logout(_, device) => one(device, ChangeKind::Logout),
            Self::TimeOut(device) => one(device, ChangeKind::TimeOut),
            Self::Expiry(device) => one(device, ChangeKind::Expiry),
            Self::Kick(_, whom, devices) => {
                let step = |device: &DeviceId| Step {
                    device: *device,
                    kind: match whom {
                        Whom::Everyone | Whom::Device(_) => ChangeKind::Kick,
                        Whom::Account => ChangeKind::Deletion,
                    },
                    address: None,
                };
                let mut steps: Vec<Step> = devices.iter().map(step).collect();
                steps.sort_by_key(|step| step.device);
                steps
            }
        }
    }
}

impl User {
    fn shown_commit(&self, user: UserId, decision: &Decision, at: Timestamp) -> Shown {
        let (ends_all, deletes) = match decision {
            Decision::Kick(_, whom, _) => (!matches!(whom, Whom::Device(_)), *whom == Whom::Account),
            Decision::Login { .. } | Decision::LinkEnd(_) | Decision::Logout(..) => (false, false),
            Decision::TimeOut(_) | Decision::Expiry(_) | Decision::GraceEnd(_) => (false, false),
        };
        Shown::Commit {
            user,
            first: if decision.changes() == 0 {
                0
            } else {
                self.change + 1
            },
            at_ms: at.0,
            kicked_at_s: ends_all.then_some(at.seconds()),
            deletes,
            steps: decision.steps(),
        }
    }
}

impl Hint {
    /// The order of the devices in a commit.
    pub(crate) fn of_commit(commit: &crate::logic::record::Commit) -> Self {
        let mut devices = Vec::new();
        for change in &commit.changes {
            devices.push(change.device);
            if let ChangeKind::Login { forced_off, .. } = &change.kind {
                devices.extend(forced_off.iter().map(|(device, _)| *device));
            }
        }
        let alarm = match commit.changes.first().map(|change| &change.kind) {
            Some(ChangeKind::TimeOut | ChangeKind::Expiry) => Some(devices[0]),
            Some(ChangeKind::Login { .. } | ChangeKind::Logout | ChangeKind::LinkEnd) => None,
            Some(ChangeKind::Kick | ChangeKind::Deletion) | None => None,
        };
        let ends_link = matches!(commit.changes.first(), Some(change) if change.kind == ChangeKind::LinkEnd);
        let grace_end = ends_link.then(|| devices[0]);
        Self {
            user: commit.user,
            devices,
            alarm,
            grace_end,
        }
    }
}
