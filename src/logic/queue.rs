//! One change at a time for a user: what happens to a user waits in the order it came, and is decided only when what
//! came before it has been recorded. Never decides itself.

use std::collections::VecDeque;
use std::net::Ipv6Addr;

use crate::base::ids::{ConnKey, DeviceId, RequestId, SessionId, UserId};
use crate::base::limits::KICKS_WAITING_MAX;
use crate::base::time::{Instant, Now};
use crate::logic::behind::Behind;
use crate::logic::letter::{KickError, ToFront, ToRegistry, UserKey};
use crate::logic::record::{Commit, EndedRecord};
use crate::logic::session::Phase;
use crate::logic::state::ShardState;
use crate::logic::users::Link;
use crate::logic::{Effect, LoginRequest};

/// What can happen to a user.
#[derive(Debug)]
pub(super) enum Event {
    /// A login came home.
    Login(Box<Knock>),
    /// A terminal said goodbye in this session.
    Logout(Goodbye),
    /// A device's connection, which came from this address, is gone.
    LinkEnd(ConnKey, DeviceId, Ipv6Addr),
    /// A device's alarm rang: was it silent, or PushOnline, for too long?
    Look(DeviceId),
    /// The backend or the operator wants sessions to end.
    Kick(RequestId, Whom),
    /// The admin wants to know what is on record.
    Inspect(RequestId),
}

/// A logout, of a session that this connection had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Goodbye {
    pub(super) link: ConnKey,
    pub(super) device: DeviceId,
    pub(super) session: SessionId,
    /// Where the connection came from.
    pub(super) address: Ipv6Addr,
}

/// Whom a kick ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    /// All sessions, and the UserSigs made so far.
    Everyone,
    /// One device's session.
    Device(DeviceId),
    /// All of the user, and the account.
    Account,
}

/// A login that waits for its turn.
#[derive(Debug)]
pub(super) struct Knock {
    pub(super) key: ConnKey,
    pub(super) login: LoginRequest,
    pub(super) came: Came,
    /// Where the connection comes from: it may be gone when the login's turn comes.
    pub(super) address: Ipv6Addr,
    /// What the terminal had said behind it when its link ended.
    pub(super) behind: Behind,
}

/// How a login found its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// Nothing was waiting: the login may be turned away if the registry has no room.
    ToTheDoor,
    /// Others waited, or it was asked to wait: it is accepted work.
    Inside,
}

/// What waits for a user.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) events: VecDeque<Event>,
    pub(super) hold: Hold,
    pub(super) known: Known,
    /// How sessions of Offline devices ended, if the registry was asked since the last change.
    pub(super) ended: Option<Vec<EndedRecord>>,
    logins: usize,
    kicks: usize,
    /// How often the registry could not take the change of the first event.
    pub(super) retries: u32,
}

/// Why the first event is not decided now.
#[derive(Debug)]
pub(super) enum Hold {
    /// It can be.
    Free,
    /// The registry is asked what is on record.
    Loading,
    /// The registry has the change of this event.
    Committing(Box<Committing>),
    /// The registry has no room.
    Starved,
    /// The registry could not take the change.
    BackingOff,
}

/// A change that the registry has.
#[derive(Debug)]
pub(super) struct Committing {
    pub(super) commit: Box<Commit>,
    pub(super) event: Event,
    pub(super) decided_at: Instant,
}

/// What is known of the user's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    No,
    /// That there is no such account. If there was one, its numbering and its kick second are known.
    NoAccount,
    /// All but how sessions ended.
    Resident,
}

/// What an event leads to.
pub(super) enum Decision {
    /// Nothing more: it was answered, or does not matter any more.
    Done,
    /// The record must be known first.
    Load,
    /// This is recorded first.
    Commit(Box<Commit>),
}

impl ShardState {
    /// A login found its home.
    pub(super) fn enqueue_login(
        &mut self,
        now: Now,
        key: ConnKey,
        login: LoginRequest,
        out: &mut Vec<Effect>,
    ) {
        let user = self.user_of(&login.user);
        let place = self.waiting_of(user);
        let waiting = &mut self.waiting[place];
        if waiting.logins >= self.settings.rooms.logins_waiting {
            self.counters.user_refusals_waiting += 1;
            let wait_ms = self.login_wait_ms(now, user);
            return self.refuse_user(key, wait_ms, out);
        }
        waiting.logins += 1;
        let came = match (&waiting.hold, waiting.events.is_empty()) {
            (Hold::Free, true) => Came::ToTheDoor,
            (Hold::Free | Hold::Loading | Hold::Committing(..) | Hold::Starved | Hold::BackingOff, _) => {
                Came::Inside
            }
        };
        self.set_phase(key, Phase::Waiting { user });
        let (address, behind) = (self.address_of(key), Behind::Nothing);
        let knock = Knock {
            key,
            login,
            came,
            address,
            behind,
        };
        self.enqueue(user, Event::Login(Box::new(knock)));
    }

    /// Sessions of a user are to end.
    pub(super) fn kick(&mut self, request: RequestId, user: UserId, whom: Whom, out: &mut Vec<Effect>) {
        let user = self.user_of(&user);
        let place = self.waiting_of(user);
        let waiting = &mut self.waiting[place];
        if waiting.kicks >= KICKS_WAITING_MAX {
            self.counters.letters_refused += 1;
            out.push(Effect::Reply(ToFront::Kicked(request, Err(KickError::Busy))));
            return;
        }
        waiting.kicks += 1;
        self.enqueue(user, Event::Kick(request, whom));
    }

    /// The user's key; from now on something waits for it.
    pub(super) fn user_of(&mut self, id: &UserId) -> u32 {
        if let Some(user) = self.users.find(id) {
            self.make_wait(user, Known::Resident);
            return user;
        }
        self.counters.users_now += 1;
        let user = self.users.add(*id);
        self.make_wait(user, Known::No);
        user
    }

    fn make_wait(&mut self, user: u32, known: Known) {
        if self.users.users[user].waiting != Link::NONE {
            return;
        }
        let (events, hold) = (VecDeque::new(), Hold::Free);
        let waiting = Waiting {
            events,
            hold,
            known,
            ended: None,
            logins: 0,
            kicks: 0,
            retries: 0,
        };
        self.users.users[user].waiting = Link::to(self.waiting.insert(waiting));
    }

    /// Where the waiting things of a user are that has some.
    pub(super) fn waiting_of(&self, user: u32) -> u32 {
        self.users.users[user]
            .waiting
            .get()
            .expect("something waits for this user")
    }

    /// One more thing happened to a user.
    pub(super) fn enqueue(&mut self, user: u32, event: Event) {
        self.make_wait(user, Known::Resident);
        let waiting = self.waiting_of(user);
        self.waiting[waiting].events.push_back(event);
        self.ready.push_back(user);
    }

    /// One more thing happened to a user of whom something is being decided: it comes next.
    pub(super) fn enqueue_first(&mut self, user: u32, event: Event) {
        let waiting = self.waiting_of(user);
        self.waiting[waiting].events.push_front(event);
    }

    /// A device's alarm rang.
    pub(super) fn look_at(&mut self, device: u32) {
        let known = &mut self.users.devices[device];
        if !known.look_waits() {
            known.set_look_waits(true);
            self.looks_waiting += 1;
            let known = &self.users.devices[device];
            let (user, id) = (known.user, known.id());
            self.enqueue(user, Event::Look(id));
        }
    }

    /// The device that a login of this connection will be, if the registry has its change.
    pub(super) fn confirming(&self, user: u32, key: ConnKey) -> Option<DeviceId> {
        match &self.waiting[self.waiting_of(user)].hold {
            Hold::Committing(committing) => match &committing.event {
                Event::Login(knock) if knock.key == key => Some(knock.login.device),
                Event::Login(_) | Event::Logout(..) | Event::LinkEnd(..) => None,
                Event::Look(_) | Event::Kick(..) | Event::Inspect(_) => None,
            },
            Hold::Free | Hold::Loading | Hold::Starved | Hold::BackingOff => None,
        }
    }

    /// Lets every user decide that has something to decide and may.
    pub(super) fn go_on(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(user) = self.next_with_room().or_else(|| self.ready.pop_front()) {
            if self
                .users
                .users
                .get(user)
                .is_some_and(|user| user.waiting != Link::NONE)
            {
                self.advance(now, user, out);
            }
        }
    }

    /// The next user that found no room with the registry, if there is room again.
    fn next_with_room(&mut self) -> Option<u32> {
        if self.in_flight >= self.settings.rooms.registry_in_flight {
            return None;
        }
        let user = self.starved.pop_front()?;
        let waiting = self.waiting_of(user);
        self.waiting[waiting].hold = Hold::Free;
        Some(user)
    }

    /// Decides a user's events one by one, until one needs the registry or none is left.
    fn advance(&mut self, now: Now, user: u32, out: &mut Vec<Effect>) {
        loop {
            let waiting = &mut self.waiting[self.users.users[user].waiting.get().expect("something waits")];
            match waiting.hold {
                Hold::Free => {}
                Hold::Loading | Hold::Committing(..) | Hold::Starved | Hold::BackingOff => return,
            }
            let Some(event) = waiting.events.pop_front() else {
                return self.settle(user);
            };
            match self.decide(now, user, &event, out) {
                Decision::Done => self.finish(user, &event),
                Decision::Load => self.ask(now, user, event, None, out),
                Decision::Commit(commit) => self.ask(now, user, event, Some(commit), out),
            }
        }
    }

    /// Nothing waits any more. A user without devices is forgotten.
    fn settle(&mut self, user: u32) {
        let waiting = self.waiting_of(user);
        self.waiting.remove(waiting);
        self.users.users[user].waiting = Link::NONE;
        if self.users.users[user].devices.first() == Link::NONE {
            self.users.remove(user);
            self.kicked_at_s.remove(&user);
            self.counters.users_now -= 1;
        }
    }

    /// Counts out an event that was decided for good.
    pub(super) fn finish(&mut self, user: u32, event: &Event) {
        let waiting = self.waiting_of(user);
        let waiting = &mut self.waiting[waiting];
        if waiting.retries > 0 {
            waiting.retries = 0;
            self.counters.commits_retrying_now -= 1;
        }
        match event {
            Event::Login(_) => waiting.logins -= 1,
            Event::Kick(..) => waiting.kicks -= 1,
            Event::Look(_) => self.looks_waiting -= 1,
            Event::Logout(..) | Event::LinkEnd(..) | Event::Inspect(_) => {}
        }
    }

    /// Asks the registry for the sake of an event: for the record, or to record a commit.
    fn ask(
        &mut self,
        now: Now,
        user: u32,
        mut event: Event,
        commit: Option<Box<Commit>>,
        out: &mut Vec<Effect>,
    ) {
        let place = self.waiting_of(user);
        if self.in_flight >= self.settings.rooms.registry_in_flight {
            if let Event::Login(knock) = &event
                && knock.came == Came::ToTheDoor
            {
                self.refuse_busy(now, knock.key, out);
                return self.finish(user, &event);
            }
            let waiting = &mut self.waiting[place];
            waiting.events.push_front(event);
            waiting.hold = Hold::Starved;
            return self.starved.push_back(user);
        }
        self.in_flight += 1;
        if let Event::Login(knock) = &mut event {
            knock.came = Came::Inside;
        }
        let waiting = &mut self.waiting[place];
        let (shard, key) = (self.place.shard, UserKey(user));
        match commit {
            None => {
                waiting.events.push_front(event);
                waiting.hold = Hold::Loading;
                out.push(Effect::Ask(ToRegistry::Load(
                    shard,
                    key,
                    self.users.users[user].id,
                )));
            }
            Some(commit) => {
                waiting.hold = Hold::Committing(Box::new(Committing {
                    commit: commit.clone(),
                    event,
                    decided_at: now.instant,
                }));
                out.push(Effect::Ask(ToRegistry::Commit(shard, key, commit)));
            }
        }
    }
}
