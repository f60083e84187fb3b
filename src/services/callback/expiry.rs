//! What goes by its age alone: callbacks that nobody can be tried with, and dead letters. Without it both would stay for ever,
//! since only a receiver that answers, or the operator, removes them, and the changes behind them would be kept for them.
//! Sends nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::base::ids::UserId;
use crate::base::time::{Timestamp, millis};
use crate::services::callback::dispatch::due_at_once;
use crate::services::callback::lane::CallbackLane;
use crate::services::callback::outlet::CallbackOutlet;
use crate::services::callback::progress::{DeadScan, LateDrop, LateScan};
use crate::services::callback::pump::Pump;
use crate::services::registry::archive::{Placed, Position, ReadError, recorded_by};
use crate::services::registry::outbox::{Late, LateUser, OutboxStep};

/// Callbacks that are looked at in a turn: some milliseconds of the store.
pub(super) const PAGE: usize = 256;

/// How long after all dead letters were looked at they are again: their age is counted in days.
const DEAD_AGAIN_AFTER_MS: u64 = 600_000;

impl CallbackLane {
    fn is_too_old(&self, outlet: &CallbackOutlet, placed: &Placed, now: Timestamp) -> bool {
        let ahead_ms = self.ahead_ms(placed, now);
        outlet.target.is_too_old(placed, Timestamp(now.0 + ahead_ms))
    }

    /// By how much a wrong clock has dated a change ahead, as far as those behind it tell.
    pub(super) fn ahead_ms(&self, placed: &Placed, now: Timestamp) -> u64 {
        let at = placed.recorded.change.at;
        let date_of = |place: Position| {
            let found = self.store.changes(Position(place.0 - 1), 1)?.pop();
            Ok(found.map(|placed| placed.recorded.change.at))
        };
        let by = recorded_by((placed.position, at), (self.store.last(), now), date_of);
        // What cannot be read tells nothing.
        at.0 - by.map_or(at, |by| by.min(at)).0
    }

    /// While there is nobody to try them with: gives up what is too old, late ones first, and a page of each at a time.
    pub(super) fn give_up_old(
        &mut self,
        outlet: &mut CallbackOutlet,
        now: Timestamp,
        fault: &str,
    ) -> Result<(), ReadError> {
        self.give_up_late(outlet, now, fault)?;
        self.give_up_unread(outlet, now, fault)
    }

    fn give_up_late(
        &mut self,
        outlet: &mut CallbackOutlet,
        now: Timestamp,
        fault: &str,
    ) -> Result<(), ReadError> {
        // Of a shared store each look is a call.
        if self.store.late_count() == 0 {
            self.late_scan = LateScan::default();
            return Ok(());
        }
        let mut look = self.late_scan.clone();
        // Mostly the first one is young.
        let count_max = if look.after == Position(0) { 1 } else { PAGE };
        let page = self.store.late(look.after, count_max)?;
        let mut is_more = page.len() == count_max;
        let mut users = BTreeSet::new();
        for (user, late) in page {
            if matches!(&late, Late::There(placed) if !self.is_too_old(outlet, placed, now)) {
                is_more = false;
                break;
            }
            look.after = late.place();
            if self.dispatch.is_under_way(&user) || look.spared.contains(&user) {
                look.spared.insert(user);
                continue;
            }
            let attempts = match users.insert(user) {
                true => self.store.late_user(&user)?.map_or(0, |late| late.attempts),
                // Those behind the first have waited for it.
                false => 0,
            };
            let place = late.place();
            match late {
                Late::There(placed) => self.steps.push(outlet.bury(now, placed, (attempts, fault))),
                Late::Lost(_) => outlet.lose(user, place),
            }
            self.steps.push(OutboxStep::LateDone(user, place));
        }
        self.keep()?;
        self.go_on_behind(now, users)?;
        self.late_scan = if is_more { look } else { LateScan::default() };
        self.more |= is_more;
        Ok(())
    }

    /// Users who have late callbacks left are due, as if none had failed; the others are like any user again.
    fn go_on_behind(&mut self, now: Timestamp, users: BTreeSet<UserId>) -> Result<(), ReadError> {
        for user in users {
            let step = match self.store.late_of(&user, Position(0), 1)?.pop() {
                Some(next) => due_at_once(now, user, Position(next.place().0 - 1)),
                None => OutboxStep::Unschedule(user),
            };
            self.steps.push(step);
        }
        self.keep()
    }

    /// Of the stream: what was read and is not under way, and what was not read.
    fn give_up_unread(
        &mut self,
        outlet: &mut CallbackOutlet,
        now: Timestamp,
        fault: &str,
    ) -> Result<(), ReadError> {
        if outlet.is_paused() {
            for placed in self.dispatch.remove_old(now, &outlet.target) {
                self.steps.push(outlet.bury(now, placed, (0, fault)));
            }
        }
        // Mostly the first one is young.
        let count_max = if self.unread_is_old { PAGE } else { 1 };
        let after = self.dispatch.read_to();
        let (due, looked_at) = self.store.due(after, count_max)?;
        let is_old = |placed: &&Placed| self.is_too_old(outlet, placed, now);
        let old = due.iter().take_while(is_old).count();
        let all_are_old = old == due.len();
        for placed in due.into_iter().take(old) {
            let late = self.store.late_user(&placed.recorded.user)?;
            self.dispatch.looked_at(placed.position);
            // It may have been dealt with before a crash took the cursor back.
            let is_done = |late: LateUser| placed.position <= late.after;
            if !late.is_some_and(is_done) {
                self.steps.push(outlet.bury(now, placed, (0, fault)));
            }
        }
        if all_are_old {
            self.dispatch.looked_at(looked_at);
        }
        self.unread_is_old = all_are_old && looked_at > after;
        self.more |= self.unread_is_old;
        self.keep()
    }

    /// Drops dead letters that are older than they are kept, a page at a time.
    pub(super) fn drop_old_dead(&mut self, now: Timestamp, kept: Duration) -> Result<(), ReadError> {
        if now < self.dead_scan.not_before {
            return Ok(());
        }
        let page = self.store.dead(self.dead_scan.after, PAGE)?;
        let kept_ms = millis(kept);
        let old = page
            .iter()
            .filter(|dead| dead.at.0.saturating_add(kept_ms) <= now.0);
        let steps: Vec<_> = old.map(|dead| OutboxStep::Unbury(dead.placed.position)).collect();
        self.dead_scan.dropped += steps.len() as u64;
        self.steps.extend(steps);
        match page.last().filter(|_| page.len() == PAGE) {
            Some(last) => self.dead_scan.after = last.placed.position,
            None => {
                if self.dead_scan.dropped > 0 {
                    let count = self.dead_scan.dropped;
                    tracing::warn!(
                        count,
                        "dead letters were dropped: they are older than callback.dead_keep_days"
                    );
                }
                self.dead_scan = DeadScan {
                    not_before: Timestamp(now.0 + DEAD_AGAIN_AFTER_MS),
                    ..DeadScan::default()
                };
            }
        }
        self.keep()
    }

    /// Forgets a page of late callbacks. Gives how many there were.
    fn drop_page(
        &mut self,
        user: Option<UserId>,
        (after, until): (Position, Position),
    ) -> Result<Vec<(UserId, Late)>, ReadError> {
        self.keep()?;
        let mut page = match user {
            None => self.store.late(after, PAGE)?,
            Some(user) => {
                let of_user = self.store.late_of(&user, after, PAGE)?;
                of_user.into_iter().map(|late| (user, late)).collect()
            }
        };
        page.retain(|(_, late)| late.place() <= until);
        let done = page
            .iter()
            .map(|(user, late)| OutboxStep::LateDone(*user, late.place()));
        let steps: Vec<_> = done.collect();
        // Whoever has none left is found without any in its turn.
        self.store.take(&steps)?;
        self.ages.late_is_known = false;
        Ok(page)
    }
}

impl Pump {
    /// Late callbacks that there are now are to be forgotten, of one user or of all. The answer says how many there were. What
    /// is under way of them may still arrive.
    pub(super) fn drop_late(&mut self, user: Option<UserId>, answer: Sender<Result<u64, ReadError>>) {
        let only = user.as_ref().map(|user| self.partition_of(user));
        let lanes = self
            .lanes
            .iter()
            .filter(|(partition, _)| only.is_none_or(|only| only == **partition));
        let lanes = lanes.map(|(partition, lane)| (*partition, lane.store.last()));
        self.late_drops.push_back(LateDrop {
            user,
            lanes: lanes.collect(),
            after: Position(0),
            count: 0,
            answer,
        });
    }

    /// Forgets a page of them, and answers whoever asked if it was the last one.
    pub(super) fn drop_some(&mut self) {
        let Some(mut late_drop) = self.late_drops.pop_front() else {
            return;
        };
        match self.drop_page(&mut late_drop) {
            Ok(()) if late_drop.lanes.is_empty() => _ = late_drop.answer.send(Ok(late_drop.count)),
            Ok(()) => self.late_drops.push_front(late_drop),
            // Whoever asked may have gone.
            Err(error) => _ = late_drop.answer.send(Err(error)),
        }
    }

    fn drop_page(&mut self, late_drop: &mut LateDrop) -> Result<(), ReadError> {
        let Some((partition, until)) = late_drop.lanes.front().copied() else {
            return Ok(());
        };
        let page = match self.lanes.get_mut(&partition) {
            Some(lane) => lane.drop_page(late_drop.user, (late_drop.after, until))?,
            // It was lost meanwhile.
            None => Vec::new(),
        };
        late_drop.count += page.len() as u64;
        match page.last().filter(|_| page.len() == PAGE) {
            Some((_, last)) => late_drop.after = last.place(),
            None => {
                late_drop.lanes.pop_front();
                late_drop.after = Position(0);
            }
        }
        Ok(())
    }
}
