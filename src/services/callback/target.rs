//! The receiver, as all lanes share it: how many attempts may be under way, whose turn it is where there are few, and whether it
//! counts as down. Decides; does no I/O, reads no clock, and knows no users.

use std::time::Duration;

use crate::base::time::{Timestamp, millis};
use crate::services::callback::attempt::{Attempt, AttemptOrigin, AttemptOutcome};
use crate::services::callback::receiver_state::{ReceiverState, wait_ms};
use crate::services::callback::request::is_too_old;
use crate::services::callback::rotation::Rotation;
use crate::services::registry::archive::Placed;
use crate::services::registry::outbox::LATE_WAIT_MAX;

/// What is under way, and what it has shown.
#[derive(Debug)]
pub(crate) struct CallbackTarget {
    give_up_ms: u64,
    parallel: usize,
    in_flight: usize,
    /// Of these, what does not come from the stream: late callbacks, and dead letters.
    aside: usize,
    rotation: Rotation,
    receiver_state: ReceiverState,
    /// Receivers so far; attempts name theirs by it.
    receiver: u64,
    random: fastrand::Rng,
}

impl CallbackTarget {
    pub(crate) fn new(parallel: usize, give_up: Duration, seed: u64) -> Self {
        Self {
            give_up_ms: millis(give_up),
            parallel,
            in_flight: 0,
            aside: 0,
            rotation: Rotation::new(),
            receiver_state: ReceiverState::Up { failures: 0 },
            receiver: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    pub(super) fn set_bounds(&mut self, parallel: usize, give_up: Duration) {
        self.parallel = parallel;
        self.give_up_ms = millis(give_up);
    }

    /// Callbacks go to another receiver, or to none. Nothing is known of it, and what comes of attempts that were meant for
    /// those before it tells nothing.
    pub(super) fn follow_receiver(&mut self) {
        self.receiver += 1;
        self.receiver_state = ReceiverState::Up { failures: 0 };
    }

    /// Whether a callback of this change is not tried again, as a clock knows it that says `now`.
    pub(super) fn is_too_old(&self, placed: &Placed, now: Timestamp) -> bool {
        is_too_old(&placed.recorded.change, now, self.give_up_ms)
    }

    /// How many attempts may begin now.
    pub(super) fn room(&self, now: Timestamp) -> usize {
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
        let left = self.share_aside().saturating_sub(self.aside);
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

    /// An attempt begins, for which there is room.
    pub(super) fn begin(&mut self, placed: Placed, origin: AttemptOrigin, number: u32) -> Attempt {
        self.rotation = self.rotation.with_last(origin);
        self.in_flight += 1;
        self.aside += usize::from(origin != AttemptOrigin::Stream);
        Attempt {
            placed,
            origin,
            lane: 0,
            number,
            receiver: self.receiver,
            ahead_ms: 0,
        }
    }

    /// Until when late users are due.
    pub(super) fn late_due(&self, now: Timestamp) -> Timestamp {
        match self.receiver_state {
            ReceiverState::Up { .. } => now,
            // The attempt tries the receiver, whoever's it is.
            ReceiverState::Down { .. } => Timestamp(u64::MAX),
        }
    }

    /// An attempt ended.
    pub(super) fn ended(&mut self, now: Timestamp, attempt: &Attempt, outcome: &AttemptOutcome) {
        self.in_flight -= 1;
        self.aside -= usize::from(attempt.origin != AttemptOrigin::Stream);
        if attempt.receiver == self.receiver {
            self.judge(now, outcome);
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

    /// When a user is tried again whose oldest callback was tried so often. While the receiver is down the waiting is its own: the
    /// user is due, behind those that were due before.
    pub(super) fn next_at(&mut self, now: Timestamp, attempts: u32) -> Timestamp {
        let wait_ms = match self.receiver_state {
            ReceiverState::Up { .. } => wait_ms(attempts.max(1), LATE_WAIT_MAX, &mut self.random),
            ReceiverState::Down { .. } => 0,
        };
        Timestamp(now.0 + wait_ms)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) fn is_down(&self) -> bool {
        matches!(self.receiver_state, ReceiverState::Down { .. })
    }
}
