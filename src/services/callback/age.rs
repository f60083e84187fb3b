//! What goes by its age alone: callbacks that nobody can be tried with, and dead letters. Without it both would stay for ever,
//! since only a receiver that answers, or the operator, removes them, and the changes behind them would be kept for them.
//! Sends nothing.

use std::collections::BTreeSet;

use super::dispatch::due_at_once;
use super::pump::Pump;
use crate::base::ids::UserId;
use crate::base::time::{Timestamp, millis};
use crate::services::registry::archive::{Placed, Position, ReadError, recorded_by};
use crate::services::registry::outbox::{Dead, Late, LateUser, OutboxStep};

/// Callbacks that are looked at together: some milliseconds of the store.
const PAGE: usize = 256;

/// How long after all dead letters were looked at they are again: their age is counted in days.
const DEAD_AGAIN_AFTER_MS: u64 = 600_000;

/// How far the dead letters were looked at.
#[derive(Debug, Default)]
pub(super) struct DeadLook {
    after: Position,
    not_before: Timestamp,
    dropped: u64,
}

impl Pump {
    fn is_too_old(&self, placed: &Placed, now: Timestamp) -> bool {
        let ahead_ms = self.ahead_ms(placed, now);
        self.dispatch.is_too_old(placed, Timestamp(now.0 + ahead_ms))
    }

    /// By how much a wrong clock has dated a change ahead, as far as those behind it tell.
    pub(super) fn ahead_ms(&self, placed: &Placed, now: Timestamp) -> u64 {
        let at = placed.recorded.change.at;
        let date_of = |place: Position| {
            let found = self.source.changes(Position(place.0 - 1), 1)?.pop();
            Ok(found.map(|placed| placed.recorded.change.at))
        };
        let by = recorded_by((placed.position, at), (self.source.last(), now), date_of);
        // What cannot be read tells nothing.
        at.0 - by.map_or(at, |by| by.min(at)).0
    }

    /// While there is nobody to try them with: gives up what is too old, late ones first.
    pub(super) fn give_up_old(&mut self, now: Timestamp, fault: &str) -> Result<(), ReadError> {
        self.give_up_late(now, fault)?;
        self.give_up_unread(now, fault)
    }

    fn give_up_late(&mut self, now: Timestamp, fault: &str) -> Result<(), ReadError> {
        let mut after = Position(0);
        // Mostly the first one is young.
        let mut count_max = 1;
        loop {
            let page = self.source.late(after, count_max)?;
            count_max = PAGE;
            let Some((_, last)) = page.last() else {
                return Ok(());
            };
            after = last.place();
            let mut users = BTreeSet::new();
            let mut young = false;
            for (user, late) in page {
                young = matches!(&late, Late::There(placed) if !self.is_too_old(placed, now));
                if young {
                    break;
                }
                if !self.dispatch.is_under_way(&user) {
                    let attempts = match users.insert(user) {
                        true => self.source.late_user(&user)?.map_or(0, |late| late.attempts),
                        // Those behind the first have waited for it.
                        false => 0,
                    };
                    self.give_up(now, (user, late), attempts, fault);
                }
            }
            self.keep()?;
            self.go_on_behind(now, users)?;
            if young {
                return Ok(());
            }
        }
    }

    fn give_up(&mut self, now: Timestamp, (user, late): (UserId, Late), attempts: u32, fault: &str) {
        let place = late.place();
        match late {
            Late::There(placed) => self.bury(now, placed, attempts, fault),
            Late::Lost(_) => self.lose(user, place),
        }
        self.steps.push(OutboxStep::LateDone(user, place));
    }

    /// Users who have late callbacks left are due, as if none had failed; the others are like any user again.
    fn go_on_behind(&mut self, now: Timestamp, users: BTreeSet<UserId>) -> Result<(), ReadError> {
        for user in users {
            let step = match self.source.late_of(&user, Position(0), 1)?.pop() {
                Some(next) => due_at_once(now, user, Position(next.place().0 - 1)),
                None => OutboxStep::Unschedule(user),
            };
            self.steps.push(step);
        }
        self.keep()
    }

    /// Of the stream: what was read and is not under way, and what was not read.
    fn give_up_unread(&mut self, now: Timestamp, fault: &str) -> Result<(), ReadError> {
        if self.is_paused() {
            for placed in self.dispatch.remove_old(now) {
                self.bury(now, placed, 0, fault);
            }
        }
        let mut count_max = 1;
        loop {
            let (due, _) = self.source.due(self.dispatch.read_to(), count_max)?;
            let old = due
                .iter()
                .take_while(|placed| self.is_too_old(placed, now))
                .count();
            for placed in due.into_iter().take(old) {
                self.dispatch.looked_at(placed.position);
                let late = self.source.late_user(&placed.recorded.user)?;
                // It may have been dealt with before a crash took the cursor back.
                let is_done = |late: LateUser| placed.position <= late.after;
                if !late.is_some_and(is_done) {
                    self.bury(now, placed, 0, fault);
                }
            }
            self.keep()?;
            if old < count_max {
                return Ok(());
            }
            count_max = PAGE;
        }
    }

    fn bury(&mut self, now: Timestamp, placed: Placed, attempts: u32, fault: &str) {
        let dead = Dead {
            placed,
            attempts,
            at: now,
            fault: fault.to_owned(),
        };
        self.teller.buried(&dead);
        self.steps.push(OutboxStep::Bury(dead));
    }

    /// Drops dead letters that are older than they are kept, a page at a time.
    pub(super) fn drop_old_dead(&mut self, now: Timestamp) -> Result<(), ReadError> {
        if now < self.dead_look.not_before {
            return Ok(());
        }
        let page = self.source.dead(self.dead_look.after, PAGE)?;
        let kept_ms = millis(self.dead_kept);
        let old = page
            .iter()
            .filter(|dead| dead.at.0.saturating_add(kept_ms) <= now.0);
        let steps: Vec<_> = old.map(|dead| OutboxStep::Unbury(dead.placed.position)).collect();
        self.dead_look.dropped += steps.len() as u64;
        self.steps.extend(steps);
        match page.last().filter(|_| page.len() == PAGE) {
            Some(last) => self.dead_look.after = last.placed.position,
            None => {
                if self.dead_look.dropped > 0 {
                    let count = self.dead_look.dropped;
                    tracing::warn!(
                        count,
                        "dead letters were dropped: they are older than callback.dead_keep_days"
                    );
                }
                self.dead_look = DeadLook {
                    not_before: Timestamp(now.0 + DEAD_AGAIN_AFTER_MS),
                    ..DeadLook::default()
                };
            }
        }
        self.keep()
    }

    /// Forgets late callbacks, of one user or of all. Gives how many there were. What is under way of them may still arrive.
    pub(super) fn drop_late(&mut self, user: Option<UserId>) -> Result<u64, ReadError> {
        let mut count = 0;
        loop {
            let page = match user {
                None => self.source.late(Position(0), PAGE)?,
                Some(user) => {
                    let of_user = self.source.late_of(&user, Position(0), PAGE)?;
                    of_user.into_iter().map(|late| (user, late)).collect()
                }
            };
            if page.is_empty() {
                return Ok(count);
            }
            count += page.len() as u64;
            for (user, late) in page {
                self.steps.push(OutboxStep::LateDone(user, late.place()));
            }
            // Whoever has none left is found without any in its turn.
            self.keep()?;
        }
    }
}
