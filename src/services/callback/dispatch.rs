//! Whose callback of one lane leaves when: the deciding part of the callback service. One user's callbacks leave one after the
//! other, many users' side by side, as far as the [`target`](super::target) has room. Does no I/O and reads no clock.
//!
//! A callback that fails makes its user late: it and all that follow it of that user wait in the store, not in memory.
//! A user with more callbacks than its share of the window is late too, without a failure. When many attempts in a row find
//! nobody, the receiver counts as down: nothing more is read, and one callback at a time is tried until somebody answers.

use std::collections::BTreeSet;

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::services::callback::attempt::{Attempt, AttemptOrigin, AttemptOutcome};
use crate::services::callback::target::CallbackTarget;
use crate::services::callback::window::{TakenOut, Window};
use crate::services::registry::archive::{Placed, Position};
use crate::services::registry::outbox::{Dead, LateUser, OutboxStep};

/// What is under way.
#[derive(Debug)]
pub(crate) struct Dispatch {
    /// Up to here the stream was read.
    read_to: Position,
    /// As it was written last.
    cursor: Position,
    /// Read, and neither delivered nor late.
    window: Window,
    /// So many callbacks it holds at most.
    window_max: usize,
    /// Users of whom something is sent that does not come from the stream: a late callback, or a dead letter.
    aside: BTreeSet<UserId>,
}

impl Dispatch {
    pub(crate) fn new(cursor: Position, window_max: usize) -> Self {
        Self {
            read_to: cursor,
            cursor,
            window: Window::default(),
            window_max,
            aside: BTreeSet::new(),
        }
    }

    /// So many callbacks it holds in memory at most, from the next that is read on.
    pub(super) fn set_window(&mut self, window_max: usize) {
        self.window_max = window_max;
    }

    /// From where the stream is to be read, and how many callbacks there is room for. Of a receiver that is down one is
    /// enough, to try it with.
    pub(crate) fn wants(&self, target: &CallbackTarget) -> Option<(Position, usize)> {
        let window_max = match target.is_down() {
            true => 1,
            false => self.window_max,
        };
        let room = window_max.saturating_sub(self.window.len());
        (room > 0).then_some((self.read_to, room))
    }

    /// The stream was read up to here.
    pub(crate) fn looked_at(&mut self, place: Position) {
        self.read_to = self.read_to.max(place);
    }

    /// A callback was read of a user who is not late. If that is more than the user's share of the window, the user is late
    /// from now on, and due at once: gives how, and what is to be kept of that.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        placed: Placed,
        steps: &mut Vec<OutboxStep>,
    ) -> Option<LateUser> {
        self.looked_at(placed.position);
        let user = placed.recorded.user;
        self.window.push(placed);
        if !self.aside.contains(&user) {
            self.window.make_ready(user);
        }
        let surplus = self.window.surplus(&user)?;
        let late = LateUser {
            user,
            attempts: 0,
            next_at: now,
            after: surplus.after,
        };
        steps.extend(
            surplus
                .placed
                .iter()
                .map(|placed| OutboxStep::Late(user, placed.position)),
        );
        steps.push(OutboxStep::Schedule(late.clone()));
        Some(late)
    }

    /// A callback was read of a user who is late: it waits behind the others, unless it was dealt with before a crash
    /// that took the cursor back.
    pub(crate) fn take_late(&mut self, placed: &Placed, late: &LateUser) -> Option<OutboxStep> {
        self.looked_at(placed.position);
        (placed.position > late.after).then_some(OutboxStep::Late(late.user, placed.position))
    }

    /// Up to where the stream was read.
    pub(super) fn read_to(&self) -> Position {
        self.read_to
    }

    /// Takes out of the window what is too old and not under way.
    pub(super) fn remove_old(&mut self, now: Timestamp, target: &CallbackTarget) -> Vec<Placed> {
        self.window.remove_oldest(|placed| target.is_too_old(placed, now))
    }

    /// The next attempt of the stream's callbacks.
    pub(crate) fn next(&mut self, now: Timestamp, target: &mut CallbackTarget) -> Option<Attempt> {
        if target.room(now) == 0 {
            return None;
        }
        let placed = self.window.send()?;
        Some(target.begin(placed, AttemptOrigin::Stream, 1))
    }

    /// Whether something of this user is under way, so that nothing else of it may leave.
    pub(crate) fn is_under_way(&self, user: &UserId) -> bool {
        self.aside.contains(user) || self.window.has(user)
    }

    /// An attempt of a late user's oldest callback.
    pub(crate) fn begin_late(
        &mut self,
        user: &LateUser,
        placed: Placed,
        target: &mut CallbackTarget,
    ) -> Attempt {
        self.aside.insert(user.user);
        target.begin(placed, AttemptOrigin::Late, user.attempts + 1)
    }

    /// An attempt of a dead letter, of a user of whom nothing is under way.
    pub(crate) fn begin_dead(&mut self, dead: Dead, target: &mut CallbackTarget) -> Attempt {
        self.aside.insert(dead.placed.recorded.user);
        target.begin(dead.placed, AttemptOrigin::Dead, dead.attempts + 1)
    }

    /// An attempt ended. Gives what is to be kept of that.
    pub(crate) fn ended(
        &mut self,
        now: Timestamp,
        attempt: &Attempt,
        outcome: AttemptOutcome,
        (target, steps): (&mut CallbackTarget, &mut Vec<OutboxStep>),
    ) {
        target.ended(now, attempt, &outcome);
        let fault = match outcome {
            AttemptOutcome::Delivered => None,
            AttemptOutcome::Refused(fault) | AttemptOutcome::Unreachable(fault) => Some(fault),
            AttemptOutcome::Unsent => return self.unsent(attempt),
        };
        match (attempt.origin, fault) {
            (AttemptOrigin::Stream, None) => self.window.sent_is_done(attempt.placed.recorded.user),
            (AttemptOrigin::Stream, Some(fault)) => self.failed(now, attempt, fault, (target, steps)),
            (AttemptOrigin::Late, None) => self.late_delivered(now, attempt, steps),
            (AttemptOrigin::Late, Some(fault)) => self.late_failed(now, attempt, fault, (target, steps)),
            (AttemptOrigin::Dead, fault) => {
                let delivered = fault
                    .is_none()
                    .then_some(OutboxStep::Unbury(attempt.placed.position));
                steps.extend(delivered);
                self.leave_aside(attempt.placed.recorded.user);
            }
        }
    }

    /// It is as if it had not begun: a late user is still scheduled, and a dead letter dead.
    fn unsent(&mut self, attempt: &Attempt) {
        let user = attempt.placed.recorded.user;
        match attempt.origin {
            AttemptOrigin::Stream => self.window.sent_is_back(user),
            AttemptOrigin::Late | AttemptOrigin::Dead => self.leave_aside(user),
        }
    }

    /// What was read of the user meanwhile has waited.
    fn leave_aside(&mut self, user: UserId) {
        self.aside.remove(&user);
        self.window.make_ready(user);
    }

    /// The user is late from now on: all that was read of it goes to the store.
    fn failed(
        &mut self,
        now: Timestamp,
        attempt: &Attempt,
        fault: String,
        (target, steps): (&mut CallbackTarget, &mut Vec<OutboxStep>),
    ) {
        let user = attempt.placed.recorded.user;
        let TakenOut { after, mut placed } = self.window.remove(&user);
        let (mut after, mut attempts) = (after, 1);
        if target.is_too_old(&attempt.placed, Timestamp(now.0 + attempt.ahead_ms)) {
            placed.pop_front();
            steps.push(bury(attempt, now, fault));
            (after, attempts) = (attempt.placed.position, 0);
        }
        if placed.is_empty() {
            return;
        }
        steps.extend(
            placed
                .iter()
                .map(|placed| OutboxStep::Late(user, placed.position)),
        );
        steps.push(schedule(target, now, user, (attempts, after)));
    }

    /// Whether the user has more is asked of the store: it is due at once.
    fn late_delivered(&mut self, now: Timestamp, attempt: &Attempt, steps: &mut Vec<OutboxStep>) {
        let (user, after) = (attempt.placed.recorded.user, attempt.placed.position);
        self.leave_aside(user);
        steps.push(OutboxStep::LateDone(user, after));
        steps.push(due_at_once(now, user, after));
    }

    fn late_failed(
        &mut self,
        now: Timestamp,
        attempt: &Attempt,
        fault: String,
        (target, steps): (&mut CallbackTarget, &mut Vec<OutboxStep>),
    ) {
        let (user, place) = (attempt.placed.recorded.user, attempt.placed.position);
        self.leave_aside(user);
        if target.is_too_old(&attempt.placed, Timestamp(now.0 + attempt.ahead_ms)) {
            steps.push(bury(attempt, now, fault));
            return self.late_delivered(now, attempt, steps);
        }
        let behind = Position(place.0 - 1);
        steps.push(schedule(target, now, user, (attempt.number, behind)));
    }

    /// The cursor, if it has moved.
    pub(crate) fn cursor_step(&mut self) -> Option<OutboxStep> {
        let cursor = match self.window.first() {
            Some(first) => Position(first.0 - 1),
            None => self.read_to,
        };
        if cursor <= self.cursor {
            return None;
        }
        self.cursor = cursor;
        Some(OutboxStep::Cursor(cursor))
    }

    /// When the oldest change was recorded whose callback is read, and neither delivered nor late.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.window.oldest()
    }
}

/// The user's late callbacks behind `after`, of which the oldest was tried so often, are tried again after a wait.
fn schedule(
    target: &mut CallbackTarget,
    now: Timestamp,
    user: UserId,
    (attempts, after): (u32, Position),
) -> OutboxStep {
    OutboxStep::Schedule(LateUser {
        user,
        attempts,
        next_at: target.next_at(now, attempts),
        after,
    })
}

/// The user's late callbacks behind `after` are tried in their turn, as if none had failed.
pub(super) fn due_at_once(now: Timestamp, user: UserId, after: Position) -> OutboxStep {
    OutboxStep::Schedule(LateUser {
        user,
        attempts: 0,
        next_at: now,
        after,
    })
}

fn bury(attempt: &Attempt, at: Timestamp, fault: String) -> OutboxStep {
    OutboxStep::Bury(Dead {
        placed: attempt.placed.clone(),
        attempts: attempt.number,
        at,
        fault,
    })
}
