//! One change at a time for a user: lets users decide what waits for them, one event after the other, until one needs the
//! registry. Never decides itself.

use crate::base::ids::UserId;
use crate::logic::between_wings::{Commitment, LoginRefusal, LoginRetry};
use crate::logic::connections::Connections;
use crate::logic::context::{Context, deliver};
use crate::logic::delivery::{ToRegistry, UserKey};
use crate::logic::record::Commit;
use crate::logic::users::Users;
use crate::logic::users::admission::refuse;
use crate::logic::users::device::OptionalKey;
use crate::logic::users::events::{Committing, Decision, QueueState, Residency, UserEvent, Waiting};
use crate::logic::users::partitions::{Partition, PartitionStage};
use crate::protocol::verdict::Code;

impl Users {
    /// The user's key; from now on something waits for it.
    pub(super) fn key_of(&mut self, context: &mut Context, id: &UserId) -> u32 {
        if let Some(user) = self.table.find(id) {
            self.make_wait(user, Residency::Resident);
            return user;
        }
        context.counters.users_now += 1;
        let user = self.table.add(*id);
        self.make_wait(user, Residency::Unknown);
        user
    }

    fn make_wait(&mut self, user: u32, residency: Residency) {
        if self.table.user(user).waiting == OptionalKey::NONE {
            let entry = self.queue.insert(Waiting::new(residency));
            self.table.user_mut(user).waiting = OptionalKey::to(entry);
        }
    }

    /// The queue's entry of a user that has one.
    fn entry_of(&self, user: u32) -> u32 {
        let entry = self.table.user(user).waiting.get();
        entry.expect("something waits for this user")
    }

    pub(super) fn waiting(&self, user: u32) -> &Waiting {
        self.queue.get(self.entry_of(user))
    }

    pub(super) fn waiting_mut(&mut self, user: u32) -> &mut Waiting {
        self.queue.get_mut(self.entry_of(user))
    }

    /// One more thing happened to a user.
    pub(super) fn enqueue(&mut self, user: u32, event: UserEvent) {
        self.make_wait(user, Residency::Resident);
        self.waiting_mut(user).events.push_back(event);
        self.queue.set_ready(user);
    }

    /// Lets the next user that has something to decide, and may, decide one event. Says whether there was one.
    pub(in crate::logic) fn advance(&mut self, context: &mut Context, connections: &Connections) -> bool {
        let Some(user) = self.next_deciding(context) else {
            return false;
        };
        let waiting = self.waiting_mut(user);
        match waiting.state {
            QueueState::Free => {}
            QueueState::Loading
            | QueueState::Committing(..)
            | QueueState::WaitingForRoom
            | QueueState::BackingOff
            | QueueState::Gathered
            | QueueState::Abandoned(_) => {
                self.queue.set_deciding(None);
                return true;
            }
        }
        if waiting.events.is_empty() {
            self.queue.set_deciding(None);
            self.settle(context, user);
            return true;
        }
        if self.partition_of(user).stage() == PartitionStage::Settling {
            self.queue.set_deciding(None);
            return true;
        }
        let event = self.waiting_mut(user).events.pop_front();
        let event = event.expect("it has just been there");
        match self.decide(context, connections, user, &event) {
            Decision::Done => self.finish(context, user, &event),
            Decision::Load => self.ask(context, user, event, None),
            Decision::Commit(commit) => self.ask(context, user, event, Some(commit)),
            Decision::Gather => self.gather(user, event),
        }
        true
    }

    /// A user stays at it until it waits for the registry. The next one is who found no room there, if there is some again.
    fn next_deciding(&mut self, context: &Context) -> Option<u32> {
        if let Some(user) = self.queue.deciding() {
            return Some(user);
        }
        let in_flight_max = context.settings.capacities.registry_in_flight;
        if let Some(user) = self.queue.next_with_room(in_flight_max) {
            self.waiting_mut(user).state = QueueState::Free;
            self.queue.set_deciding(Some(user));
            return Some(user);
        }
        loop {
            let user = self.queue.next_ready()?;
            let known = self.table.get(user);
            if known.is_some_and(|user| user.waiting != OptionalKey::NONE) {
                self.queue.set_deciding(Some(user));
                return Some(user);
            }
        }
    }

    /// Nothing waits any more. A user without devices is forgotten.
    fn settle(&mut self, context: &mut Context, user: u32) {
        let residency = self.waiting(user).residency;
        self.queue.remove(self.entry_of(user));
        self.table.user_mut(user).waiting = OptionalKey::NONE;
        if residency == Residency::Dropped {
            self.table.remove_unlisted(user);
            self.forget_kick(context, user);
        } else if self.table.user(user).devices.first() == OptionalKey::NONE {
            self.forget(context, user);
        }
    }

    /// Forgets a user for whom nothing waits, and who has no devices.
    pub(super) fn forget(&mut self, context: &mut Context, user: u32) {
        self.table.remove(user);
        self.forget_kick(context, user);
    }

    fn forget_kick(&mut self, context: &mut Context, user: u32) {
        self.kicked_at_s.remove(&user);
        context.counters.users_now -= 1;
    }

    /// The partition of a user.
    pub(super) fn partition_of(&self, user: u32) -> &Partition {
        self.partitions.of(&self.table.user(user).id)
    }

    /// The event is answered at the end of the turn, if it may be.
    fn gather(&mut self, user: u32, event: UserEvent) {
        let waiting = self.waiting_mut(user);
        waiting.events.push_front(event);
        waiting.state = QueueState::Gathered;
        self.queue.gather(user);
    }

    /// Whether answers from memory wait for the end of the turn.
    pub(in crate::logic) fn has_gathered(&self) -> bool {
        self.queue.has_gathered()
    }

    /// The turn ends: what was gathered in it leaves if the lease holds by a clock that was read since, and else behind a commit
    /// of nothing, which the registry takes of the owner alone.
    pub(in crate::logic) fn let_out(&mut self, context: &mut Context) {
        for user in self.queue.take_gathered() {
            let known = self.table.get(user);
            let is_there = known.is_some_and(|known| known.waiting != OptionalKey::NONE);
            if !is_there || !matches!(self.waiting(user).state, QueueState::Gathered) {
                continue;
            }
            let passes = self.partition_of(user).passes(context.now.instant, context.lease);
            let waiting = self.waiting_mut(user);
            waiting.state = QueueState::Free;
            waiting.vouched = passes;
            if passes {
                self.queue.set_ready(user);
                continue;
            }
            let event = waiting.events.pop_front();
            let event = event.expect("its answer was gathered");
            let nothing = self.propose(context, user, []);
            self.ask(context, user, event, Some(nothing));
        }
    }

    /// Counts out an event that was decided for good.
    pub(super) fn finish(&mut self, context: &mut Context, user: u32, event: &UserEvent) {
        self.waiting_mut(user).vouched = false;
        if self.queue.finish(self.entry_of(user), event) {
            context.counters.commits_retrying_now -= 1;
        }
    }

    /// Asks the registry for the sake of an event: for the record, or to record a commit.
    fn ask(&mut self, context: &mut Context, user: u32, mut event: UserEvent, commit: Option<Box<Commit>>) {
        if !self
            .queue
            .has_room(context.settings.capacities.registry_in_flight)
        {
            if let UserEvent::Login(pending) = &event
                && pending.commitment == Commitment::Refusable
            {
                self.pause_graces(context.now.instant);
                context.counters.logins_busy += 1;
                refuse(
                    context,
                    pending,
                    LoginRefusal::until(Code::Busy, LoginRetry::Spread),
                );
                return self.finish(context, user, &event);
            }
            let waiting = self.waiting_mut(user);
            waiting.events.push_front(event);
            waiting.state = QueueState::WaitingForRoom;
            return self.queue.wait_for_room(user);
        }
        self.queue.asked();
        self.partitions.of_mut(&self.table.user(user).id).ask();
        if let UserEvent::Login(pending) = &mut event {
            pending.commitment = Commitment::Accepted;
        }
        let (shard, key) = (context.position.shard, UserKey(user));
        let ask = match commit {
            None => {
                let waiting = self.waiting_mut(user);
                waiting.events.push_front(event);
                waiting.state = QueueState::Loading;
                ToRegistry::Load(shard, key, self.table.user(user).id)
            }
            Some(commit) => {
                self.waiting_mut(user).state = QueueState::Committing(Box::new(Committing {
                    commit: commit.clone(),
                    event,
                    decided_at: context.now.instant,
                    stretch: context.lease.stretch(context.now.instant),
                }));
                ToRegistry::Commit(shard, key, commit)
            }
        };
        deliver(context, ask);
    }

    /// How many users have something that is not recorded yet: with the registry, waiting for room there, or waiting to be
    /// tried again.
    pub(in crate::logic) fn unrecorded(&self) -> usize {
        self.queue.unrecorded()
    }
}
