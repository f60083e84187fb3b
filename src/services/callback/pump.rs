//! The callback service's thread that may block: reads what is to be told from the store, has it posted, and keeps what
//! became of it. What leaves when is decided in [`dispatch`](super::dispatch).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::mpsc;

use crate::base::ids::UserId;
use crate::base::receipt::Receipt;
use crate::base::time::{Clock, Steady, Timestamp};
use crate::services::callback::attempt::{Attempt, AttemptOrigin, AttemptOutcome};
use crate::services::callback::dispatch::Dispatch;
use crate::services::callback::event::PumpEvent;
use crate::services::callback::log::CallbackLog;
use crate::services::callback::metrics::CallbackMetrics;
use crate::services::callback::progress::{DeadScan, LateDrop, LateScan, WaitingAges};
use crate::services::callback::receiver::ReceiverUrl;
use crate::services::callback::replays::Replays;
use crate::services::callback::settings::CallbackSettings;
use crate::services::callback::store::{CallbackStore, behind};
use crate::services::registry::archive::{Placed, Position, ReadError};
use crate::services::registry::outbox::{LateUser, OutboxStep};

/// How often it is looked whether a late user is due, and whether the store can be read again.
const POLL: Duration = Duration::from_millis(100);

/// Looks into the stream of one turn: what becomes late takes no room, so that a long stretch of one user's would keep
/// attempts that have ended, and others that could begin, waiting.
const READS_AT_ONCE: usize = 4;

/// Why a callback was given up by its age alone.
const NO_RECEIVER: &str = "there is no receiver: callback.url is empty";
const RECEIVER_DOWN: &str = "the receiver is down";

/// A part of a turn.
type TurnStage = fn(&mut Pump, Timestamp) -> Result<(), ReadError>;

/// The thread's own things.
pub(crate) struct Pump {
    pub(super) store: Arc<dyn CallbackStore>,
    pub(crate) dispatch: Dispatch,
    events: Receiver<PumpEvent>,
    attempts: mpsc::UnboundedSender<Attempt>,
    pub(super) metrics: Arc<CallbackMetrics>,
    pub(super) replays: Replays,
    /// Steps that the store could not take yet.
    pub(super) steps: Vec<OutboxStep>,
    /// The store failed; said once.
    told: bool,
    /// Where callbacks go. `None`: there is no receiver.
    url: Option<ReceiverUrl>,
    /// Of settings that were taken while something was under way that goes by others.
    receipts: Vec<Receipt>,
    pub(super) ages: WaitingAges,
    pub(super) log: CallbackLog,
    /// How long dead letters are kept.
    pub(super) dead_kept: Duration,
    pub(super) dead_scan: DeadScan,
    pub(super) late_scan: LateScan,
    /// The last look at what was not read found it too old.
    pub(super) unread_is_old: bool,
    /// Late callbacks that are to be forgotten, in the order in which that was asked for.
    pub(super) late_drops: VecDeque<LateDrop>,
    /// A turn left something to do at once: each takes a bounded stretch, so that the pump hears what it is told.
    pub(super) more: bool,
}

impl Pump {
    /// One that goes on where the store's cursor stands.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) fn new(
        store: Arc<dyn CallbackStore>,
        settings: &CallbackSettings,
        events: Receiver<PumpEvent>,
        attempts: mpsc::UnboundedSender<Attempt>,
        seed: u64,
    ) -> Result<Self, ReadError> {
        let cursor = store.cursor()?;
        Ok(Self {
            store,
            dispatch: Dispatch::new(cursor, settings.parallel, settings.give_up, seed),
            events,
            attempts,
            metrics: Arc::default(),
            replays: Replays::default(),
            steps: Vec::new(),
            told: false,
            url: settings.url.clone(),
            receipts: Vec::new(),
            ages: WaitingAges::default(),
            log: CallbackLog::new(settings.url.as_ref()),
            dead_kept: settings.dead_kept,
            dead_scan: DeadScan::default(),
            late_scan: LateScan::default(),
            unread_is_old: false,
            late_drops: VecDeque::new(),
            more: false,
        })
    }

    pub(crate) fn metrics(&self) -> Arc<CallbackMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Settings with a receiver count at once, those without when nothing is under way.
    fn give_receipts(&mut self) {
        if !self.is_paused() || self.dispatch.in_flight() == 0 {
            self.receipts.clear();
        }
    }

    pub(crate) fn run(mut self, mut clock: Clock) {
        let mut stop_by = None;
        let steady = Steady::from(clock.now());
        loop {
            let now = clock.now();
            if stop_by.is_none() {
                self.turn(steady.at(now));
            }
            self.count();
            self.log.tell_due(steady.at(now));
            self.give_receipts();
            if stop_by.is_some_and(|by| by <= now.instant || self.dispatch.in_flight() == 0) {
                return self.note_last();
            }
            match self.events.recv_timeout(self.rest()) {
                Ok(wake) => {
                    stop_by = self
                        .take(steady.at(clock.now()), wake)
                        .map(|within| now.instant.after(within))
                        .or(stop_by)
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.note_last(),
            }
            while let Ok(wake) = self.events.try_recv() {
                stop_by = self
                    .take(steady.at(clock.now()), wake)
                    .map(|within| now.instant.after(within))
                    .or(stop_by);
            }
        }
    }

    /// Does a bounded stretch of what there is to do.
    fn turn(&mut self, now: Timestamp) {
        let worked = match self.is_paused() {
            true => self.pass_by(now),
            false => self.work(now),
        };
        self.note(worked);
        self.drop_some();
    }

    /// How long nothing is to be done: none, if there is more to do at once.
    pub(super) fn rest(&self) -> Duration {
        let unread = |(after, _)| after < self.store.last();
        let reads = self.dispatch.wants().is_some_and(unread) && !self.is_paused();
        match (reads || self.more) && !self.told {
            true => Duration::ZERO,
            false => POLL,
        }
    }

    /// Gives how long the end may take, if that was said.
    pub(crate) fn take(&mut self, now: Timestamp, wake: PumpEvent) -> Option<Duration> {
        match wake {
            PumpEvent::News => {}
            PumpEvent::Ended(mut attempt, outcome, took) => {
                attempt.ahead_ms = self.ahead_ms(&attempt.placed, now);
                self.ended(now, &attempt, outcome, took);
            }
            PumpEvent::Replay(dead_letters) => self.replays.ask(dead_letters),
            PumpEvent::DropLate(user, answer) => self.drop_late(user, answer),
            PumpEvent::CallbackSettings(settings, receipt) => {
                self.receipts.push(receipt);
                self.follow(&settings);
            }
            PumpEvent::Stop(within) => return Some(within),
        }
        None
    }

    fn follow(&mut self, settings: &CallbackSettings) {
        if self.url != settings.url {
            self.url.clone_from(&settings.url);
            self.log.follow(settings.url.as_ref());
            self.dispatch.follow_receiver();
        }
        self.dispatch.set_bounds(settings.parallel, settings.give_up);
        self.dead_kept = settings.dead_kept;
        self.dead_scan = DeadScan::default();
    }

    fn ended(&mut self, now: Timestamp, attempt: &Attempt, outcome: AttemptOutcome, took: Duration) {
        let user = attempt.placed.recorded.user;
        self.metrics.ended(&outcome, took);
        match (attempt.origin, &outcome) {
            (AttemptOrigin::Dead, AttemptOutcome::Refused(_) | AttemptOutcome::Unreachable(_)) => {
                self.replays.cancel(user)
            }
            (AttemptOrigin::Dead, AttemptOutcome::Unsent) => {
                self.replays.ask(vec![(user, attempt.placed.position)])
            }
            (AttemptOrigin::Dead, AttemptOutcome::Delivered)
            | (AttemptOrigin::Stream | AttemptOrigin::Late, _) => {}
        }
        let fault = outcome.fault().map(str::to_owned);
        if let Some(fault) = &fault {
            tracing::debug!(%user, change = attempt.placed.recorded.change.number.0, attempt = attempt.number, fault, "a callback failed");
        }
        let before = self.steps.len();
        self.dispatch.ended(now, attempt, outcome, &mut self.steps);
        for step in &self.steps[before..] {
            if let OutboxStep::Bury(dead) = step {
                self.log.buried(dead);
            }
        }
        let waiting = || self.store.late_count() + behind(&*self.store);
        let down = self
            .dispatch
            .is_down()
            .then_some(fault.as_deref().unwrap_or_default());
        self.log.receiver(now, down, waiting);
    }

    /// Keeps what became of attempts, reads what there is room for, and begins what may begin.
    pub(crate) fn work(&mut self, now: Timestamp) -> Result<(), ReadError> {
        (self.ages.paused, self.more) = (None, false);
        self.keep()?;
        let mut worked = self.read(now);
        for origin in self.dispatch.order() {
            worked = worked.and(self.unless_it_waits(now, Self::beginning(origin)));
        }
        worked.and(self.unless_it_waits(now, Self::drop_old))
    }

    fn beginning(origin: AttemptOrigin) -> TurnStage {
        match origin {
            AttemptOrigin::Stream => Self::begin,
            AttemptOrigin::Late => Self::work_off_late,
            AttemptOrigin::Dead => Self::replay,
        }
    }

    /// What cannot be kept must not be followed by more. What cannot be read keeps nothing else from going on.
    fn unless_it_waits(&mut self, now: Timestamp, stage: TurnStage) -> Result<(), ReadError> {
        match self.steps.is_empty() {
            true => stage(self, now),
            false => Ok(()),
        }
    }

    fn begin(&mut self, now: Timestamp) -> Result<(), ReadError> {
        while let Some(attempt) = self.dispatch.next(now) {
            self.send(attempt);
        }
        Ok(())
    }

    fn drop_old(&mut self, now: Timestamp) -> Result<(), ReadError> {
        let given_up = match self.dispatch.is_down() {
            true => self.give_up_old(now, RECEIVER_DOWN),
            false => Ok(()),
        };
        given_up.and(self.drop_old_dead(now))
    }

    /// While there is no receiver: what owes no callback need not be kept for one. What does waits.
    pub(crate) fn pass_by(&mut self, now: Timestamp) -> Result<(), ReadError> {
        self.more = false;
        self.keep()?;
        let given_up = self.give_up_old(now, NO_RECEIVER);
        for _ in 0..READS_AT_ONCE {
            let Some((after, _)) = self.dispatch.wants() else {
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
        given_up.and(self.drop_old_dead(now))
    }

    /// There is no receiver.
    pub(super) fn is_paused(&self) -> bool {
        self.url.is_none()
    }

    /// Nobody is told of a change that is gone.
    pub(super) fn lose(&mut self, user: UserId, place: Position) {
        tracing::error!(%user, position = place.0, "a callback is lost: its change is gone from the store");
        self.metrics.lost();
    }

    pub(super) fn send(&self, attempt: Attempt) {
        // The poster ends after this thread; if it has failed the node notices.
        let _ = self.attempts.send(attempt);
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

    fn read(&mut self, now: Timestamp) -> Result<(), ReadError> {
        for _ in 0..READS_AT_ONCE {
            let Some((after, room)) = self.dispatch.wants() else {
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

    fn note_last(mut self) {
        let kept = self.keep();
        self.note(kept);
    }
}
