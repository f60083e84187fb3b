//! One lane of the callback service: reads what is to be told of its store, has it posted, and keeps what became of it. What
//! leaves when is decided in [`dispatch`](super::dispatch).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::services::callback::attempt::{Attempt, AttemptOrigin, AttemptOutcome};
use crate::services::callback::dispatch::Dispatch;
use crate::services::callback::outlet::CallbackOutlet;
use crate::services::callback::progress::{DeadScan, LateScan, WaitingAges};
use crate::services::callback::replays::Replays;
use crate::services::callback::store::CallbackStore;
use crate::services::callback::window::WINDOW_MAX;
use crate::services::registry::archive::{Placed, Position, ReadError};
use crate::services::registry::outbox::{LateUser, OutboxStep};

/// Looks into the stream of one turn: what becomes late takes no room, so that a long stretch of one user's would keep
/// attempts that have ended, and others that could begin, waiting.
const READS_AT_ONCE: usize = 4;

/// Why a callback was given up by its age alone.
const NO_RECEIVER: &str = "there is no receiver: callback.url is empty";
const RECEIVER_DOWN: &str = "the receiver is down";

/// A part of a turn.
type TurnStage = fn(&mut CallbackLane, &mut CallbackOutlet, Timestamp) -> Result<(), ReadError>;

/// One lane, and how far it is.
pub(crate) struct CallbackLane {
    /// Tells it from other lanes, and from itself before it was lost.
    pub(super) number: u64,
    pub(super) store: Arc<dyn CallbackStore>,
    pub(super) dispatch: Dispatch,
    pub(super) replays: Replays,
    /// Steps that the store could not take yet.
    pub(super) steps: Vec<OutboxStep>,
    /// The store failed; said once.
    told: bool,
    pub(super) ages: WaitingAges,
    pub(super) dead_scan: DeadScan,
    pub(super) late_scan: LateScan,
    /// The last look at what was not read found it too old.
    pub(super) unread_is_old: bool,
    /// A turn left something to do at once: each takes a bounded stretch, so that the pump hears what it is told.
    pub(super) more: bool,
}

impl CallbackLane {
    /// One that goes on where the store's cursor stands.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(super) fn new(number: u64, store: Arc<dyn CallbackStore>) -> Result<Self, ReadError> {
        let cursor = store.cursor()?;
        Ok(Self {
            number,
            store,
            dispatch: Dispatch::new(cursor, WINDOW_MAX),
            replays: Replays::default(),
            steps: Vec::new(),
            told: false,
            ages: WaitingAges::default(),
            dead_scan: DeadScan::default(),
            late_scan: LateScan::default(),
            unread_is_old: false,
            more: false,
        })
    }

    /// Does a bounded stretch of what there is to do.
    pub(super) fn turn(&mut self, outlet: &mut CallbackOutlet, now: Timestamp) {
        let worked = match outlet.is_paused() {
            true => self.pass_by(outlet, now),
            false => self.work(outlet, now),
        };
        self.note(worked);
    }

    /// Whether there is something to do at once.
    pub(super) fn has_more(&self, outlet: &CallbackOutlet) -> bool {
        let unread = |(after, _)| after < self.store.last();
        let reads = self.dispatch.wants(&outlet.target).is_some_and(unread) && !outlet.is_paused();
        (reads || self.more) && !self.told
    }

    /// An attempt for one of its users ended.
    pub(super) fn ended(
        &mut self,
        outlet: &mut CallbackOutlet,
        now: Timestamp,
        attempt: &Attempt,
        outcome: AttemptOutcome,
    ) {
        let user = attempt.placed.recorded.user;
        match (attempt.origin, &outcome) {
            (AttemptOrigin::Dead, AttemptOutcome::Refused(_) | AttemptOutcome::Unreachable(_)) => {
                self.replays.cancel(user)
            }
            (AttemptOrigin::Dead, AttemptOutcome::Unsent) => self.replays.ask(user, attempt.placed.position),
            (AttemptOrigin::Dead, AttemptOutcome::Delivered)
            | (AttemptOrigin::Stream | AttemptOrigin::Late, _) => {}
        }
        let before = self.steps.len();
        let kept = (&mut outlet.target, &mut self.steps);
        self.dispatch.ended(now, attempt, outcome, kept);
        for step in &self.steps[before..] {
            if let OutboxStep::Bury(dead) = step {
                outlet.log.buried(dead);
            }
        }
    }

    /// Keeps what became of attempts, reads what there is room for, and begins what may begin.
    pub(super) fn work(&mut self, outlet: &mut CallbackOutlet, now: Timestamp) -> Result<(), ReadError> {
        (self.ages.paused, self.more) = (None, false);
        self.keep()?;
        let mut worked = self.read(outlet, now);
        for origin in outlet.target.order() {
            worked = worked.and(self.unless_it_waits(outlet, now, Self::beginning(origin)));
        }
        worked.and(self.unless_it_waits(outlet, now, Self::drop_old))
    }

    fn beginning(origin: AttemptOrigin) -> TurnStage {
        match origin {
            AttemptOrigin::Stream => Self::begin,
            AttemptOrigin::Late => Self::work_off_late,
            AttemptOrigin::Dead => Self::replay,
        }
    }

    /// What cannot be kept must not be followed by more. What cannot be read keeps nothing else from going on.
    fn unless_it_waits(
        &mut self,
        outlet: &mut CallbackOutlet,
        now: Timestamp,
        stage: TurnStage,
    ) -> Result<(), ReadError> {
        match self.steps.is_empty() {
            true => stage(self, outlet, now),
            false => Ok(()),
        }
    }

    fn begin(&mut self, outlet: &mut CallbackOutlet, now: Timestamp) -> Result<(), ReadError> {
        while let Some(attempt) = self.dispatch.next(now, &mut outlet.target) {
            outlet.send(self.number, attempt);
        }
        Ok(())
    }

    fn drop_old(&mut self, outlet: &mut CallbackOutlet, now: Timestamp) -> Result<(), ReadError> {
        let given_up = match outlet.target.is_down() {
            true => self.give_up_old(outlet, now, RECEIVER_DOWN),
            false => Ok(()),
        };
        given_up.and(self.drop_old_dead(now, outlet.dead_kept))
    }

    /// While there is no receiver: what owes no callback need not be kept for one. What does waits.
    pub(super) fn pass_by(&mut self, outlet: &mut CallbackOutlet, now: Timestamp) -> Result<(), ReadError> {
        self.more = false;
        self.keep()?;
        let given_up = self.give_up_old(outlet, now, NO_RECEIVER);
        for _ in 0..READS_AT_ONCE {
            let Some((after, _)) = self.dispatch.wants(&outlet.target) else {
                break;
            };
            let (due, looked_at) = self.store.due(after, 1)?;
            self.ages.paused = due.first().map(|first| first.recorded.change.at);
            let passed = due
                .first()
                .map_or(looked_at, |first| Position(first.position.0 - 1));
            if passed == after {
                break;
            }
            self.more |= passed < self.store.last() && due.is_empty();
            self.dispatch.looked_at(passed);
            self.keep()?;
        }
        given_up.and(self.drop_old_dead(now, outlet.dead_kept))
    }

    pub(super) fn keep(&mut self) -> Result<(), ReadError> {
        self.steps.extend(self.dispatch.cursor_step());
        if !self.steps.is_empty() {
            self.store.take(&self.steps)?;
            let is_late = |step: &OutboxStep| matches!(step, OutboxStep::Late(..) | OutboxStep::LateDone(..));
            self.ages.late_is_known &= !self.steps.iter().any(is_late);
            self.steps.clear();
        }
        Ok(())
    }

    fn read(&mut self, outlet: &CallbackOutlet, now: Timestamp) -> Result<(), ReadError> {
        for _ in 0..READS_AT_ONCE {
            let Some((after, room)) = self.dispatch.wants(&outlet.target) else {
                break;
            };
            let (due, looked_at) = self.store.due(after, room)?;
            if looked_at == after {
                break;
            }
            self.sort(now, due)?;
            self.dispatch.looked_at(looked_at);
            self.keep()?;
        }
        Ok(())
    }

    /// Into the window, or behind what is late of the same user.
    fn sort(&mut self, now: Timestamp, due: Vec<Placed>) -> Result<(), ReadError> {
        let mut late: BTreeMap<_, Option<LateUser>> = BTreeMap::new();
        for placed in due {
            let late = match late.entry(placed.recorded.user) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.late_user(placed.recorded.user)?),
            };
            match late {
                Some(late) => self.steps.extend(self.dispatch.take_late(&placed, late)),
                None => *late = self.dispatch.take(now, placed, &mut self.steps),
            }
        }
        Ok(())
    }

    fn late_user(&self, user: UserId) -> Result<Option<LateUser>, ReadError> {
        if self.store.late_count() == 0 {
            return Ok(None);
        }
        self.store.late_user(&user)
    }

    fn note(&mut self, worked: Result<(), ReadError>) {
        match worked {
            Ok(()) => self.told = false,
            Err(error) if !self.told => {
                self.told = true;
                tracing::error!(%error, "callbacks wait: the store cannot be used");
            }
            Err(_) => {}
        }
    }

    /// Keeps what became of the last attempts.
    pub(super) fn note_last(&mut self) {
        let kept = self.keep();
        self.note(kept);
    }
}
