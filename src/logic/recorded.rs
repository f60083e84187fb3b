//! The registry's answers: what is on record, and whether a commit was taken. Hands what was confirmed on; a commit that
//! failed refuses a login and is tried again for anything else.

use std::cmp::Reverse;
use std::time::Duration;

use crate::base::limits::{COMMIT_RETRY_MS_MAX, COMMIT_RETRY_MS_MIN};
use crate::base::time::{Now, Timestamp};
use crate::logic::Effect;
use crate::logic::letter::{KickError, RegistryError, ToFront};
use crate::logic::queue::{Event, Hold, Known};
use crate::logic::record::{AccountStep, UserRecord};
use crate::logic::state::ShardState;
use crate::protocol::verdict::Code;

impl ShardState {
    pub(super) fn loaded(
        &mut self,
        now: Now,
        user: u32,
        answer: Result<Option<Box<UserRecord>>, RegistryError>,
        out: &mut Vec<Effect>,
    ) {
        let place = self.waiting_of(user);
        assert!(
            matches!(self.waiting[place].hold, Hold::Loading),
            "the registry answers what it was asked"
        );
        self.waiting[place].hold = Hold::Free;
        match answer {
            Ok(record) => self.know(user, record),
            Err(RegistryError) => self.give_up_first(now, user, out),
        }
        self.in_flight -= 1;
        self.ready.push_back(user);
    }

    fn know(&mut self, user: u32, record: Option<Box<UserRecord>>) {
        let place = self.waiting_of(user);
        let waiting = &mut self.waiting[place];
        let Some(record) = record else {
            waiting.known = Known::NoAccount;
            waiting.ended = Some(Vec::new());
            return;
        };
        let known = if record.registered {
            Known::Resident
        } else {
            Known::NoAccount
        };
        if waiting.known == Known::No {
            assert!(
                record.devices.is_empty(),
                "a user with a device that is not Offline is resident"
            );
            self.users.users[user].change = record.change;
            if record.kicked_at_s > 0 {
                self.kicked_at_s.insert(user, record.kicked_at_s);
            }
        }
        waiting.known = known;
        waiting.ended = Some(record.ended);
    }

    /// The record could not be read: the event that needed it is refused.
    fn give_up_first(&mut self, now: Now, user: u32, out: &mut Vec<Effect>) {
        let place = self.waiting_of(user);
        let event = self.waiting[place]
            .events
            .pop_front()
            .expect("an event asked for the record");
        match &event {
            Event::Login(knock) => self.refuse_for_now(now, knock.key, Code::NotRecorded, out),
            Event::Kick(request, _) => {
                out.push(Effect::Reply(ToFront::Kicked(*request, Err(KickError::Busy))));
            }
            Event::Inspect(request) => {
                out.push(Effect::Reply(ToFront::Inspected(*request, Err(RegistryError))));
            }
            Event::Logout(..) | Event::LinkEnd(..) | Event::Look(_) => {
                unreachable!("what happens to a device on record needs no record")
            }
        }
        self.finish(user, &event);
    }

    pub(super) fn committed(
        &mut self,
        now: Now,
        user: u32,
        answer: Result<Timestamp, RegistryError>,
        out: &mut Vec<Effect>,
    ) {
        let place = self.waiting_of(user);
        let Hold::Committing(mut committing) = std::mem::replace(&mut self.waiting[place].hold, Hold::Free)
        else {
            unreachable!("the registry answers what it was asked")
        };
        match answer {
            Ok(at) => {
                committing
                    .commit
                    .changes
                    .iter_mut()
                    .for_each(|change| change.at = at);
                self.waiting[place].ended = None;
                self.waiting[place].known = match committing.commit.account {
                    AccountStep::Keep => Known::Resident,
                    AccountStep::Delete => Known::NoAccount,
                };
                self.confirm(now, user, &committing, out);
                self.finish(user, &committing.event);
            }
            Err(RegistryError) => self.failed(now, user, committing.event, out),
        }
        self.in_flight -= 1;
        self.ready.push_back(user);
    }

    /// The registry could not take a change. A login is refused, unless a logout is behind it: what a person ends must not
    /// go on by an older session. Anything else is tried again.
    fn failed(&mut self, now: Now, user: u32, event: Event, out: &mut Vec<Effect>) {
        self.counters.commits_failed += 1;
        let place = self.waiting_of(user);
        if let Event::Login(knock) = &event
            && !self.is_followed_by_logout(knock)
        {
            self.refuse_for_now(now, knock.key, Code::NotRecorded, out);
            return self.finish(user, &event);
        }
        let wait_ms = COMMIT_RETRY_MS_MIN << self.waiting[place].retries.min(16);
        let wait_ms = wait_ms.min(COMMIT_RETRY_MS_MAX);
        let wait_ms = self.random.u64(wait_ms / 2..=wait_ms);
        let waiting = &mut self.waiting[place];
        if waiting.retries == 0 {
            self.counters.commits_retrying_now += 1;
        }
        waiting.retries += 1;
        waiting.events.push_front(event);
        waiting.hold = Hold::BackingOff;
        let due = now.instant.after(Duration::from_millis(wait_ms));
        self.retries.push(Reverse((due, user)));
    }

    /// The wait after a failed commit is over: the event is decided anew.
    pub(super) fn retry(&mut self, user: u32) {
        let place = self.waiting_of(user);
        self.waiting[place].hold = Hold::Free;
        self.ready.push_back(user);
    }
}
