//! Whose callback leaves when: the deciding part of the callback service. One user's callbacks leave one after the other,
//! many users' side by side. Does no I/O and reads no clock.
//!
//! A callback that fails makes its user late: it and all that follow it of that user wait in the store, not in memory.
//! A user with more callbacks than its share of the window is late too, without a failure. When many attempts in a row find
//! nobody, the receiver counts as down: nothing more is read, and one callback at a time is tried until somebody answers.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::ids::UserId;
use crate::base::time::{Timestamp, millis};
use crate::services::callback::attempt::{Attempt, AttemptOrigin, AttemptOutcome};
use crate::services::callback::receiver_state::{ReceiverState, wait_ms};
use crate::services::callback::request::is_too_old;
use crate::services::callback::rotation::Rotation;
use crate::services::callback::window::{TakenOut, WINDOW_MAX, Window};
use crate::services::registry::archive::{Placed, Position};
use crate::services::registry::outbox::{Dead, LATE_WAIT_MAX, LateUser, OutboxStep};

/// What is under way.
#[derive(Debug)]
pub(crate) struct Dispatch {
    give_up_ms: u64,
    parallel: usize,
    /// Up to here the stream was read.
    read_to: Position,
    /// As it was written last.
    cursor: Position,
    /// Read, and neither delivered nor late.
    window: Window,
    /// Users of whom something is sent that does not come from the stream: a late callback, or a dead letter.
    aside: BTreeSet<UserId>,
    in_flight: usize,
    rotation: Rotation,
    receiver_state: ReceiverState,
    /// Receivers so far; attempts name theirs by it.
    receiver: u64,
    random: fastrand::Rng,
}

impl Dispatch {
    pub(crate) fn new(cursor: Position, parallel: usize, give_up: Duration, seed: u64) -> Self {
        Self {
            give_up_ms: millis(give_up),
            parallel,
            read_to: cursor,
            cursor,
            window: Window::default(),
            aside: BTreeSet::new(),
            in_flight: 0,
            rotation: Rotation::new(),
            receiver_state: ReceiverState::Up { failures: 0 },
            receiver: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    pub(crate) fn set_bounds(&mut self, parallel: usize, give_up: Duration) {
        self.parallel = parallel;
        self.give_up_ms = millis(give_up);
    }

    /// Callbacks go to another receiver, or to none. Nothing is known of it, and what comes of attempts that were meant for
    /// those before it tells nothing.
    pub(crate) fn follow_receiver(&mut self) {
        self.receiver += 1;
        self.receiver_state = ReceiverState::Up { failures: 0 };
    }

    /// From where the stream is to be read, and how many callbacks there is room for. Of a receiver that is down one is
    /// enough, to try it with.
    pub(crate) fn wants(&self) -> Option<(Position, usize)> {
        let window_max = match self.receiver_state {
            ReceiverState::Up { .. } => WINDOW_MAX,
            ReceiverState::Down { .. } => 1,
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

    /// Whether a callback of this change is not tried again, as a clock knows it that says `now`.
    pub(super) fn is_too_old(&self, placed: &Placed, now: Timestamp) -> bool {
        is_too_old(&placed.recorded.change, now, self.give_up_ms)
    }

    /// Takes out of the window what is too old and not under way.
    pub(super) fn remove_old(&mut self, now: Timestamp) -> Vec<Placed> {
        let give_up_ms = self.give_up_ms;
        self.window
            .remove_oldest(|placed| is_too_old(&placed.recorded.change, now, give_up_ms))
    }

    /// How many attempts may begin now.
    pub(crate) fn room(&self, now: Timestamp) -> usize {
        match self.receiver_state {
            ReceiverState::Up { .. } => self.parallel.saturating_sub(self.in_flight),
            ReceiverState::Down { next_at, .. } => usize::from(next_at <= now && self.in_flight == 0),
        }
    }

    /// How many attempts late users and replays have together: half of all, so that however many they are, the stream goes
    /// on.
    fn share_aside(&self) -> usize {
        match self.receiver_state {
            ReceiverState::Up { .. } => (self.parallel / 2).max(1),
            ReceiverState::Down { .. } => 1,
        }
    }

    /// How many attempts of late users, or replays, may begin now.
    pub(crate) fn room_aside(&self, now: Timestamp) -> usize {
        let left = self.share_aside().saturating_sub(self.aside.len());
        self.room(now).min(left)
    }

    /// In which order they take what room there is: late ones first, as they were not given up. Where one attempt is all that
    /// there is, or all that is not the stream's, they take turns. A receiver that is down is tried with the stream's and the
    /// late ones in turn, since what is wrong may be with the late ones alone; with replays only if there is nothing else, since
    /// one that fails is not tried again.
    pub(crate) fn order(&self) -> [AttemptOrigin; 3] {
        match self.receiver_state {
            ReceiverState::Down { .. } => self.rotation.with_last(AttemptOrigin::Dead).all(),
            ReceiverState::Up { .. } if self.parallel == 1 => self.rotation.all(),
            ReceiverState::Up { .. } if self.share_aside() == 1 => {
                self.rotation.with_last(AttemptOrigin::Stream).all()
            }
            ReceiverState::Up { .. } => [AttemptOrigin::Late, AttemptOrigin::Dead, AttemptOrigin::Stream],
        }
    }

    /// The next attempt of the stream's callbacks.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<Attempt> {
        if self.room(now) == 0 {
            return None;
        }
        let placed = self.window.send()?;
        Some(self.begin(placed, AttemptOrigin::Stream, 1))
    }

    fn begin(&mut self, placed: Placed, origin: AttemptOrigin, number: u32) -> Attempt {
        self.rotation = self.rotation.with_last(origin);
        self.in_flight += 1;
        Attempt {
            placed,
            origin,
            number,
            receiver: self.receiver,
            ahead_ms: 0,
        }
    }

    /// Until when late users are due.
    pub(crate) fn late_due(&self, now: Timestamp) -> Timestamp {
        match self.receiver_state {
            ReceiverState::Up { .. } => now,
            // The attempt tries the receiver, whoever's it is.
            ReceiverState::Down { .. } => Timestamp(u64::MAX),
        }
    }

    /// Whether something of this user is under way, so that nothing else of it may leave.
    pub(crate) fn is_under_way(&self, user: &UserId) -> bool {
        self.aside.contains(user) || self.window.has(user)
    }

    /// An attempt of a late user's oldest callback.
    pub(crate) fn begin_late(&mut self, user: &LateUser, placed: Placed) -> Attempt {
        self.aside.insert(user.user);
        self.begin(placed, AttemptOrigin::Late, user.attempts + 1)
    }

    /// An attempt of a dead letter, of a user of whom nothing is under way.
    pub(crate) fn begin_dead(&mut self, dead: Dead) -> Attempt {
        self.aside.insert(dead.placed.recorded.user);
        self.begin(dead.placed, AttemptOrigin::Dead, dead.attempts + 1)
    }

    /// An attempt ended. Gives what is to be kept of that.
    pub(crate) fn ended(
        &mut self,
        now: Timestamp,
        attempt: &Attempt,
        outcome: AttemptOutcome,
        steps: &mut Vec<OutboxStep>,
    ) {
        self.in_flight -= 1;
        if attempt.receiver == self.receiver {
            self.judge(now, &outcome);
        }
        let fault = match outcome {
            AttemptOutcome::Delivered => None,
            AttemptOutcome::Refused(fault) | AttemptOutcome::Unreachable(fault) => Some(fault),
            AttemptOutcome::Unsent => return self.unsent(attempt),
        };
        match (attempt.origin, fault) {
            (AttemptOrigin::Stream, None) => self.window.sent_is_done(attempt.placed.recorded.user),
            (AttemptOrigin::Stream, Some(fault)) => self.failed(now, attempt, fault, steps),
            (AttemptOrigin::Late, None) => self.late_delivered(now, attempt, steps),
            (AttemptOrigin::Late, Some(fault)) => self.late_failed(now, attempt, fault, steps),
            (AttemptOrigin::Dead, fault) => {
                let delivered = fault
                    .is_none()
                    .then_some(OutboxStep::Unbury(attempt.placed.position));
                steps.extend(delivered);
                self.leave_aside(attempt.placed.recorded.user);
            }
        }
    }

    /// What an outcome says of the receiver: whoever answers is up.
    fn judge(&mut self, now: Timestamp, outcome: &AttemptOutcome) {
        match outcome {
            AttemptOutcome::Delivered | AttemptOutcome::Refused(_) => {
                self.receiver_state = ReceiverState::Up { failures: 0 }
            }
            AttemptOutcome::Unreachable(_) => {
                self.receiver_state = self.receiver_state.failed(now, &mut self.random)
            }
            AttemptOutcome::Unsent => {}
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
    fn failed(&mut self, now: Timestamp, attempt: &Attempt, fault: String, steps: &mut Vec<OutboxStep>) {
        let user = attempt.placed.recorded.user;
        let TakenOut { after, mut placed } = self.window.remove(&user);
        let (mut after, mut attempts) = (after, 1);
        if self.is_too_old(&attempt.placed, Timestamp(now.0 + attempt.ahead_ms)) {
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
        steps.push(self.schedule(now, user, attempts, after));
    }

    /// Whether the user has more is asked of the store: it is due at once.
    fn late_delivered(&mut self, now: Timestamp, attempt: &Attempt, steps: &mut Vec<OutboxStep>) {
        let (user, after) = (attempt.placed.recorded.user, attempt.placed.position);
        self.leave_aside(user);
        steps.push(OutboxStep::LateDone(user, after));
        steps.push(due_at_once(now, user, after));
    }

    fn late_failed(&mut self, now: Timestamp, attempt: &Attempt, fault: String, steps: &mut Vec<OutboxStep>) {
        let (user, place) = (attempt.placed.recorded.user, attempt.placed.position);
        self.leave_aside(user);
        if self.is_too_old(&attempt.placed, Timestamp(now.0 + attempt.ahead_ms)) {
            steps.push(bury(attempt, now, fault));
            return self.late_delivered(now, attempt, steps);
        }
        steps.push(self.schedule(now, user, attempt.number, Position(place.0 - 1)));
    }

    /// While the receiver is down the waiting is its own: the user is due, behind those that were due before.
    fn schedule(&mut self, now: Timestamp, user: UserId, attempts: u32, after: Position) -> OutboxStep {
        let wait_ms = match self.receiver_state {
            ReceiverState::Up { .. } => wait_ms(attempts.max(1), LATE_WAIT_MAX, &mut self.random),
            ReceiverState::Down { .. } => 0,
        };
        OutboxStep::Schedule(LateUser {
            user,
            attempts,
            next_at: Timestamp(now.0 + wait_ms),
            after,
        })
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

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) fn is_down(&self) -> bool {
        matches!(self.receiver_state, ReceiverState::Down { .. })
    }

    /// When the oldest change was recorded whose callback is read, and neither delivered nor late.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.window.oldest()
    }
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
