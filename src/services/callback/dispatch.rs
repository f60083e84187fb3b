//! Whose callback leaves when: the deciding part of the callback service. One user's callbacks leave one after the other,
//! many users' side by side. Does no I/O and reads no clock.
//!
//! A callback that fails makes its user late: it and all that follow it of that user wait in the store, not in memory.
//! When many fail in a row and none succeeds, the target counts as down: nothing more is read, and one callback at a
//! time is tried until one succeeds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::base::ids::UserId;
use crate::base::planted::{Bug, planted};
use crate::base::time::{Timestamp, millis};
use crate::services::registry::archive::{Placed, Position};
use crate::services::registry::outbox::{Dead, LateUser, OutboxStep};

use super::request::is_too_old;
use super::target::{Target, wait_ms};

/// Changes that are read and not delivered: what the service holds in memory at most, about 200 bytes each.
pub(crate) const WINDOW_MAX: usize = 1_024;
/// The longest wait of a late user.
const USER_WAIT_MAX: Duration = Duration::from_secs(60);

/// Where a callback that is sent comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The stream.
    Stream,
    /// The late ones of its user.
    Late,
    /// The dead letters, by the operator's wish.
    Dead,
}

/// One attempt to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) placed: Placed,
    pub(crate) origin: Origin,
    /// 1 for the first.
    pub(crate) number: u32,
}

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
    open: BTreeSet<Position>,
    /// Of each user the callbacks of the stream that are read, the one that is sent first.
    queues: BTreeMap<UserId, VecDeque<Placed>>,
    /// Users whose first callback can be sent.
    ready: VecDeque<UserId>,
    /// Users of whom something is sent that does not come from the stream: a late callback, or a dead letter.
    aside: BTreeSet<UserId>,
    in_flight: usize,
    /// The last attempt was a late user's.
    late_had_turn: bool,
    target: Target,
    random: fastrand::Rng,
}

impl Dispatch {
    pub(crate) fn new(cursor: Position, parallel: usize, give_up: Duration, seed: u64) -> Self {
        Self {
            give_up_ms: millis(give_up),
            parallel,
            read_to: cursor,
            cursor,
            open: BTreeSet::new(),
            queues: BTreeMap::new(),
            ready: VecDeque::new(),
            aside: BTreeSet::new(),
            in_flight: 0,
            late_had_turn: false,
            target: Target::Up { failures: 0 },
            random: fastrand::Rng::with_seed(seed),
        }
    }

    pub(crate) fn set_bounds(&mut self, parallel: usize, give_up: Duration) {
        self.parallel = parallel;
        self.give_up_ms = millis(give_up);
    }

    /// From where the stream is to be read, and how many callbacks there is room for. Of a target that is down one is
    /// enough, to try it with.
    pub(crate) fn wants(&self) -> Option<(Position, usize)> {
        let window = match self.target {
            Target::Up { .. } => WINDOW_MAX,
            Target::Down { .. } => 1,
        };
        let room = window.saturating_sub(self.open.len());
        (room > 0).then_some((self.read_to, room))
    }

    /// The stream was read up to here.
    pub(crate) fn looked_at(&mut self, place: Position) {
        self.read_to = self.read_to.max(place);
    }

    /// A callback was read of a user who is not late.
    pub(crate) fn take(&mut self, placed: Placed) {
        self.looked_at(placed.position);
        self.open.insert(placed.position);
        let user = placed.recorded.user;
        let queue = self.queues.entry(user).or_default();
        if queue.is_empty() && !self.aside.contains(&user) {
            self.ready.push_back(user);
        }
        queue.push_back(placed);
    }

    /// A callback was read of a user who is late: it waits behind the others, unless it was dealt with before a crash
    /// that took the cursor back.
    pub(crate) fn take_late(&mut self, placed: &Placed, late: &LateUser) -> Option<OutboxStep> {
        self.looked_at(placed.position);
        let waits = placed.position > late.after || planted(Bug::DealtWithWaits);
        waits.then_some(OutboxStep::Late(late.user, placed.position))
    }

    /// How many attempts may begin now.
    pub(crate) fn room(&self, now: Timestamp) -> usize {
        match self.target {
            Target::Up { .. } => self.parallel.saturating_sub(self.in_flight),
            Target::Down { next_at, .. } => usize::from(next_at <= now && self.in_flight == 0),
        }
    }

    /// How many of them may be replays: half of the room is left to what was not given up.
    pub(crate) fn room_for_replays(&self, now: Timestamp) -> usize {
        match self.target {
            Target::Up { .. } => self.room(now).saturating_sub(self.parallel / 2),
            Target::Down { .. } if self.ready.is_empty() => self.room(now),
            Target::Down { .. } => 0,
        }
    }

    /// How many of them may be of late users. A target that is down is tried with the stream's, too, in turn: what is
    /// wrong may be with the late ones alone.
    pub(crate) fn room_for_late(&self, now: Timestamp) -> usize {
        let is_their_turn = match self.target {
            Target::Up { .. } => true,
            Target::Down { .. } => self.ready.is_empty() || !self.late_had_turn,
        };
        if is_their_turn { self.room(now) } else { 0 }
    }

    /// The next attempt of the stream's callbacks.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<Attempt> {
        if self.room(now) == 0 {
            return None;
        }
        let user = self.ready.pop_front()?;
        self.late_had_turn = false;
        let placed = self.queues[&user]
            .front()
            .expect("a ready user has a callback")
            .clone();
        self.in_flight += 1;
        Some(Attempt {
            placed,
            origin: Origin::Stream,
            number: 1,
        })
    }

    /// Until when late users are due.
    pub(crate) fn late_due(&self, now: Timestamp) -> Timestamp {
        match self.target {
            Target::Up { .. } => now,
            // The attempt tries the target, whoever's it is.
            Target::Down { .. } => Timestamp(u64::MAX),
        }
    }

    /// Whether something of this user is under way, so that nothing else of it may leave.
    pub(crate) fn is_under_way(&self, user: &UserId) -> bool {
        self.aside.contains(user) || self.queues.contains_key(user)
    }

    /// An attempt of a late user's oldest callback.
    pub(crate) fn begin_late(&mut self, user: &LateUser, placed: Placed) -> Attempt {
        self.aside.insert(user.user);
        self.late_had_turn = true;
        self.in_flight += 1;
        Attempt {
            placed,
            origin: Origin::Late,
            number: user.attempts + 1,
        }
    }

    /// An attempt of a dead letter, of a user of whom nothing is under way.
    pub(crate) fn begin_dead(&mut self, dead: Dead) -> Attempt {
        self.aside.insert(dead.placed.recorded.user);
        self.in_flight += 1;
        Attempt {
            placed: dead.placed,
            origin: Origin::Dead,
            number: dead.attempts + 1,
        }
    }

    /// An attempt ended. Gives what is to be kept of that.
    pub(crate) fn ended(
        &mut self,
        now: Timestamp,
        attempt: &Attempt,
        outcome: Result<(), String>,
        steps: &mut Vec<OutboxStep>,
    ) {
        self.in_flight -= 1;
        let outcome = outcome.or_else(|fault| match planted(Bug::RefusalTaken) {
            true => Ok(()),
            false => Err(fault),
        });
        match &outcome {
            Ok(()) => self.target = Target::Up { failures: 0 },
            Err(_) => self.target = self.target.failed(now, &mut self.random),
        }
        match (attempt.origin, outcome) {
            (Origin::Stream, Ok(())) => self.delivered(attempt),
            (Origin::Stream, Err(fault)) => self.failed(now, attempt, fault, steps),
            (Origin::Late, Ok(())) => self.late_delivered(now, attempt, steps),
            (Origin::Late, Err(fault)) => self.late_failed(now, attempt, fault, steps),
            (Origin::Dead, outcome) => self.replayed(attempt, outcome.is_ok(), steps),
        }
    }

    fn delivered(&mut self, attempt: &Attempt) {
        let user = attempt.placed.recorded.user;
        self.open.remove(&attempt.placed.position);
        let queue = self.queues.get_mut(&user).expect("what was sent is queued");
        queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&user);
        } else {
            self.ready.push_back(user);
        }
    }

    /// The user is late from now on: all that was read of it goes to the store.
    fn failed(&mut self, now: Timestamp, attempt: &Attempt, fault: String, steps: &mut Vec<OutboxStep>) {
        let user = attempt.placed.recorded.user;
        if planted(Bug::CallbackOvertakes) {
            self.delivered(attempt);
            steps.push(OutboxStep::Late(user, attempt.placed.position));
            return steps.push(self.schedule(now, user, 1, Position(0)));
        }
        let mut queue = self.queues.remove(&user).expect("what was sent is queued");
        for placed in &queue {
            self.open.remove(&placed.position);
        }
        let mut attempts = 1;
        if is_too_old(&attempt.placed.recorded.change, now, self.give_up_ms) {
            queue.pop_front();
            if !planted(Bug::DeadLetterLost) {
                steps.push(bury(attempt, now, fault));
            }
            attempts = 0;
        }
        let Some(first) = queue.front() else {
            return;
        };
        let after = Position(first.position.0 - 1);
        steps.extend(queue.iter().map(|placed| OutboxStep::Late(user, placed.position)));
        steps.push(self.schedule(now, user, attempts, after));
    }

    /// Whether the user has more is asked of the store: it is due at once.
    fn late_delivered(&mut self, now: Timestamp, attempt: &Attempt, steps: &mut Vec<OutboxStep>) {
        let (user, after) = (attempt.placed.recorded.user, attempt.placed.position);
        self.aside.remove(&user);
        steps.push(OutboxStep::LateDone(user, after));
        steps.push(due_at_once(now, user, after));
    }

    fn late_failed(&mut self, now: Timestamp, attempt: &Attempt, fault: String, steps: &mut Vec<OutboxStep>) {
        let (user, place) = (attempt.placed.recorded.user, attempt.placed.position);
        self.aside.remove(&user);
        if is_too_old(&attempt.placed.recorded.change, now, self.give_up_ms) {
            steps.push(bury(attempt, now, fault));
            return self.late_delivered(now, attempt, steps);
        }
        if planted(Bug::LateForgotten) {
            return steps.push(OutboxStep::LateDone(user, place));
        }
        steps.push(self.schedule(now, user, attempt.number, Position(place.0 - 1)));
    }

    /// What was read of the user meanwhile has waited. A dead letter that fails stays one.
    fn replayed(&mut self, attempt: &Attempt, delivered: bool, steps: &mut Vec<OutboxStep>) {
        let user = attempt.placed.recorded.user;
        self.aside.remove(&user);
        if self.queues.contains_key(&user) {
            self.ready.push_back(user);
        }
        steps.extend(delivered.then_some(OutboxStep::Unbury(attempt.placed.position)));
    }

    /// While the target is down the waiting is its own: the user is due, behind those that were due before.
    fn schedule(&mut self, now: Timestamp, user: UserId, attempts: u32, after: Position) -> OutboxStep {
        let wait_ms = match self.target {
            Target::Up { .. } => wait_ms(attempts.max(1), USER_WAIT_MAX, &mut self.random),
            Target::Down { .. } => 0,
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
        let cursor = match self.open.first() {
            Some(first) if !planted(Bug::CursorRunsAhead) => Position(first.0 - 1),
            Some(_) | None => self.read_to,
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
        matches!(self.target, Target::Down { .. })
    }

    /// When the oldest change was recorded whose callback is read, and neither delivered nor late.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        let first = self.open.first()?;
        let queued = self
            .queues
            .values()
            .flatten()
            .find(|placed| placed.position == *first);
        queued.map(|placed| placed.recorded.change.at)
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
