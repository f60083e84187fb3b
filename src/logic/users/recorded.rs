//! The registry's answers: what is on record, and whether a commit was taken. Hands what was confirmed on; a commit that
//! failed refuses a login and is tried again for anything else.

use std::time::Duration;

use crate::base::limits::{COMMIT_RETRY_MS_MAX, COMMIT_RETRY_MS_MIN};
use crate::base::time::Timestamp;
use crate::logic::between_wings::{LoginLink, LoginRefusal, LoginRetry, PendingLogin, Pipelined};
use crate::logic::connections::Connections;
use crate::logic::context::{Context, deliver};
use crate::logic::delivery::{KickError, RegistryError, ToHttp};
use crate::logic::message::SendRefusal;
use crate::logic::record::{AccountStep, UserRecord};
use crate::logic::users::Users;
use crate::logic::users::admission::refuse;
use crate::logic::users::events::{Committing, QueueState, Residency, UserEvent};
use crate::protocol::verdict::Code;

/// The registry failed: a login that needs it may come again soon.
const NOT_RECORDED: LoginRefusal = LoginRefusal {
    code: Code::NotRecorded,
    winner: None,
    retry: LoginRetry::Spread,
};

impl Users {
    /// The registry answers what is on record of a user.
    pub(in crate::logic) fn loaded(
        &mut self,
        context: &mut Context,
        user: u32,
        answer: Result<Option<Box<UserRecord>>, RegistryError>,
    ) {
        let waiting = self.waiting_mut(user);
        match (std::mem::replace(&mut waiting.state, QueueState::Free), answer) {
            (QueueState::Abandoned(event), answer) => self.end_abandoned(context, user, event, answer),
            (QueueState::Loading, Ok(record)) => self.know(user, record),
            (QueueState::Loading, Err(RegistryError::Unavailable)) => self.give_up_first(context, user),
            (QueueState::Loading, Err(RegistryError::Superseded)) => self.superseded(context, user),
            (
                QueueState::Free
                | QueueState::Committing(_)
                | QueueState::WaitingForRoom
                | QueueState::BackingOff
                | QueueState::Gathered,
                _,
            ) => unreachable!("the registry answers what it was asked"),
        }
        self.answered(user);
    }

    /// The registry has answered.
    fn answered(&mut self, user: u32) {
        self.queue.answered(user);
        self.partitions.of_mut(&self.table.user(user).id).answered();
    }

    fn know(&mut self, user: u32, record: Option<Box<UserRecord>>) {
        let waiting = self.waiting_mut(user);
        let Some(record) = record else {
            waiting.residency = Residency::NoAccount;
            waiting.ended = Some(Vec::new());
            return;
        };
        let before = waiting.residency;
        waiting.residency = if record.registered {
            Residency::Resident
        } else {
            Residency::NoAccount
        };
        waiting.ended = Some(record.ended);
        if before == Residency::Unknown {
            assert!(
                record.devices.is_empty(),
                "a user with a device that is not Offline is resident"
            );
            self.table.user_mut(user).change = record.change;
            if record.kicked_at_s > 0 {
                self.kicked_at_s.insert(user, record.kicked_at_s);
            }
        }
    }

    /// The record could not be read: the event that needed it is refused.
    fn give_up_first(&mut self, context: &mut Context, user: u32) {
        let event = self.waiting_mut(user).events.pop_front();
        let event = event.expect("an event asked for the record");
        match &event {
            UserEvent::Login(pending) => refuse(context, pending, NOT_RECORDED),
            UserEvent::Kick(request, _) => {
                let reply = ToHttp::Kicked(*request, Err(KickError::Busy));
                deliver(context, reply);
            }
            UserEvent::Inspect(request) => {
                let reply = ToHttp::Inspected(*request, Err(RegistryError::Unavailable));
                deliver(context, reply);
            }
            UserEvent::Send(pending) => self.refuse_send(context, pending, SendRefusal::Unavailable),
            UserEvent::Logout(_) | UserEvent::LinkEnd(..) | UserEvent::AlarmCheck(_) => {
                unreachable!("what happens to a device on record needs no record")
            }
        }
        self.finish(context, user, &event);
    }

    /// The registry answers whether it took a commit, with the time that its changes have on record.
    pub(in crate::logic) fn committed(
        &mut self,
        context: &mut Context,
        connections: &Connections,
        user: u32,
        answer: Result<Timestamp, RegistryError>,
    ) {
        let waiting = self.waiting_mut(user);
        match std::mem::replace(&mut waiting.state, QueueState::Free) {
            QueueState::Abandoned(event) => self.end_abandoned(context, user, event, answer),
            QueueState::Committing(committing) => match answer {
                Ok(at) => self.taken(context, user, *committing, at),
                Err(RegistryError::Unavailable) => self.failed(context, connections, user, committing.event),
                Err(RegistryError::Superseded) => {
                    waiting.events.push_front(committing.event);
                    self.superseded(context, user);
                }
            },
            QueueState::Free
            | QueueState::Loading
            | QueueState::WaitingForRoom
            | QueueState::BackingOff
            | QueueState::Gathered => unreachable!("the registry answers what it was asked"),
        }
        self.answered(user);
    }

    /// The registry took a commit. One of nothing shows that this node was the owner when it was asked.
    fn taken(&mut self, context: &mut Context, user: u32, mut committing: Committing, at: Timestamp) {
        let partition = self.partitions.of_mut(&self.table.user(user).id);
        partition.vouch(committing.stretch);
        let waiting = self.waiting_mut(user);
        let commit = &mut committing.commit;
        if commit.is_of_nothing() {
            waiting.vouched = true;
            return waiting.events.push_front(committing.event);
        }
        commit.changes.iter_mut().for_each(|change| change.at = at);
        waiting.ended = None;
        waiting.residency = match commit.account {
            AccountStep::Keep => Residency::Resident,
            AccountStep::Delete => Residency::NoAccount,
        };
        self.confirm(context, user, &committing);
        self.finish(context, user, &committing.event);
    }

    /// The registry could not take a change. A login is refused, unless a logout is behind it: what a person ends must not
    /// go on by an older session. Anything else is tried again.
    fn failed(&mut self, context: &mut Context, connections: &Connections, user: u32, event: UserEvent) {
        context.counters.commits_failed += 1;
        if let UserEvent::Login(pending) = &event
            && pipelined(connections, pending) == Pipelined::Nothing
        {
            refuse(context, pending, NOT_RECORDED);
            return self.finish(context, user, &event);
        }
        let waiting = self.waiting_mut(user);
        let wait_ms = COMMIT_RETRY_MS_MIN << waiting.retries.min(16);
        let wait_ms = wait_ms.min(COMMIT_RETRY_MS_MAX);
        let wait_ms = context.random.u64(wait_ms / 2..=wait_ms);
        if waiting.retries == 0 {
            context.counters.commits_retrying_now += 1;
        }
        waiting.retries += 1;
        waiting.events.push_front(event);
        waiting.state = QueueState::BackingOff;
        let due = context.now.instant.after(Duration::from_millis(wait_ms));
        self.queue.retry_at(due, user);
    }
}

/// What the terminal has said behind its login, or had when its link ended.
fn pipelined(connections: &Connections, pending: &PendingLogin) -> Pipelined {
    match pending.link {
        LoginLink::Open => connections.pipelined(pending.origin.key),
        LoginLink::Ended(pipelined) => pipelined,
    }
}
