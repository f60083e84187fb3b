//! The callback service's thread that may block: reads what is to be told from the store, has it posted, and keeps what
//! became of it. What leaves when is decided in [`dispatch`](super::dispatch).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::mpsc;

use super::dispatch::{Attempt, Dispatch, Origin, due_at_once};
use super::replays::Replays;
use super::{Numbers, Settings};
use crate::base::ids::UserId;
use crate::base::planted::{Bug, planted};
use crate::base::time::{Clock, Steady, Timestamp};
use crate::services::registry::archive::{Archive, Position, ReadError};
use crate::services::registry::outbox::{Late, LateUser, Outbox, OutboxStep};

/// How often it is looked whether a late user is due, and whether the store can be read again.
const LOOK: Duration = Duration::from_millis(100);

/// What wakes the pump.
#[derive(Debug)]
pub(crate) enum Wake {
    /// There may be new changes.
    News,
    /// An attempt ended.
    Ended(Box<Attempt>, Result<(), String>, Duration),
    /// These dead letters of these users are to be sent again.
    Replay(Vec<(UserId, Position)>),
    /// From the next attempt on.
    Settings(Arc<Settings>),
    /// Nothing new is sent; what is under way may end until then.
    Stop(Duration),
}

/// A store as the callback service sees it.
pub trait Source: Archive + Outbox {}

impl<S: Archive + Outbox> Source for S {}

/// The thread's own things.
pub(crate) struct Pump {
    source: Arc<dyn Source>,
    dispatch: Dispatch,
    wakes: Receiver<Wake>,
    attempts: mpsc::UnboundedSender<Attempt>,
    numbers: Arc<Numbers>,
    replays: Replays,
    /// Steps that the store could not take yet.
    steps: Vec<OutboxStep>,
    /// The store failed; said once.
    told: bool,
    /// There is no receiver.
    paused: bool,
    ages: Ages,
}

/// When the oldest changes were recorded whose callbacks wait, beside those that are under way.
#[derive(Debug)]
struct Ages {
    late: Option<Timestamp>,
    /// What is late may be other than when it was looked at last.
    late_changed: bool,
    /// The first that waits for a receiver.
    paused: Option<Timestamp>,
}

impl Pump {
    /// One that goes on where the store's cursor stands.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) fn new(
        source: Arc<dyn Source>,
        settings: &Settings,
        wakes: Receiver<Wake>,
        attempts: mpsc::UnboundedSender<Attempt>,
        seed: u64,
    ) -> Result<Self, ReadError> {
        let cursor = source.cursor()?;
        Ok(Self {
            source,
            dispatch: Dispatch::new(cursor, settings.parallel, settings.give_up, seed),
            wakes,
            attempts,
            numbers: Arc::default(),
            replays: Replays::default(),
            steps: Vec::new(),
            told: false,
            paused: settings.url.is_none(),
            ages: Ages {
                late: None,
                late_changed: true,
                paused: None,
            },
        })
    }

    pub(crate) fn numbers(&self) -> Arc<Numbers> {
        Arc::clone(&self.numbers)
    }

    pub(crate) fn run(mut self, mut clock: Clock) {
        let mut stop_by = None;
        let steady = Steady::from(clock.now());
        loop {
            let now = clock.now();
            if stop_by.is_none() {
                let worked = if self.paused {
                    self.pass_by()
                } else {
                    self.work(steady.at(now))
                };
                self.note(worked);
            }
            self.count();
            if stop_by.is_some_and(|by| by <= now.instant || self.dispatch.in_flight() == 0) {
                return self.note_last();
            }
            match self.wakes.recv_timeout(LOOK) {
                Ok(wake) => {
                    stop_by = self
                        .take(steady.at(clock.now()), wake)
                        .map(|within| now.instant.after(within))
                        .or(stop_by)
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.note_last(),
            }
            while let Ok(wake) = self.wakes.try_recv() {
                stop_by = self
                    .take(steady.at(clock.now()), wake)
                    .map(|within| now.instant.after(within))
                    .or(stop_by);
            }
        }
    }

    /// Gives how long the end may take, if that was said.
    pub(crate) fn take(&mut self, now: Timestamp, wake: Wake) -> Option<Duration> {
        match wake {
            Wake::News => {}
            Wake::Ended(attempt, outcome, took) => {
                self.numbers.ended(outcome.is_ok(), took);
                if let Err(fault) = &outcome {
                    self.failed(&attempt, fault);
                }
                let was_down = self.dispatch.is_down();
                self.dispatch.ended(now, &attempt, outcome, &mut self.steps);
                tell_target(was_down, self.dispatch.is_down());
            }
            Wake::Replay(letters) => self.replays.ask(letters),
            Wake::Settings(settings) => {
                self.paused = settings.url.is_none();
                self.dispatch.set_bounds(settings.parallel, settings.give_up);
            }
            Wake::Stop(within) => return Some(within),
        }
        None
    }

    fn failed(&mut self, attempt: &Attempt, fault: &str) {
        let user = attempt.placed.recorded.user;
        tracing::debug!(%user, fault, "a callback failed");
        if attempt.origin == Origin::Dead {
            self.replays.cancel(user);
        }
    }

    /// Keeps what became of attempts, reads what there is room for, and begins what may begin.
    pub(crate) fn work(&mut self, now: Timestamp) -> Result<(), ReadError> {
        self.ages.paused = None;
        self.keep()?;
        self.read()?;
        self.keep()?;
        self.replay(now)?;
        self.work_off_late(now)?;
        while let Some(attempt) = self.dispatch.next(now) {
            self.send(attempt);
        }
        Ok(())
    }

    /// While there is no receiver: what owes no callback need not be kept for one. What does waits.
    pub(crate) fn pass_by(&mut self) -> Result<(), ReadError> {
        while let Some((after, _)) = self.dispatch.wants() {
            let (due, looked_at) = self.source.due(after, 1)?;
            self.ages.paused = due.first().map(|first| first.recorded.change.at);
            let passed = due
                .first()
                .map_or(looked_at, |first| Position(first.position.0 - 1));
            if passed == after {
                break;
            }
            self.dispatch.looked_at(passed);
            self.keep()?;
        }
        Ok(())
    }

    fn send(&self, attempt: Attempt) {
        // The poster ends after this thread; if it has failed the node notices.
        let _ = self.attempts.send(attempt);
    }

    fn keep(&mut self) -> Result<(), ReadError> {
        self.steps.extend(self.dispatch.cursor_step());
        if !self.steps.is_empty() {
            self.source.take(&self.steps)?;
            let is_late = |step: &OutboxStep| matches!(step, OutboxStep::Late(..) | OutboxStep::LateDone(..));
            self.ages.late_changed |= self.steps.iter().any(is_late);
            self.steps.clear();
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), ReadError> {
        while let Some((after, room)) = self.dispatch.wants() {
            let (due, looked_at) = self.source.due(after, room)?;
            if looked_at == after {
                break;
            }
            let mut late: BTreeMap<_, Option<LateUser>> = BTreeMap::new();
            for placed in due {
                let late = match late.entry(placed.recorded.user) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => place.insert(self.late_user(placed.recorded.user)?),
                };
                match late {
                    Some(late) if !planted(Bug::LateOvertaken) => {
                        self.steps.extend(self.dispatch.take_late(&placed, late));
                    }
                    Some(_) | None => self.dispatch.take(placed),
                }
            }
            self.dispatch.looked_at(looked_at);
            self.keep()?;
        }
        Ok(())
    }

    fn late_user(&self, user: UserId) -> Result<Option<LateUser>, ReadError> {
        if self.source.late_count() == 0 {
            return Ok(None);
        }
        self.source.late_user(&user)
    }

    fn replay(&mut self, now: Timestamp) -> Result<(), ReadError> {
        let waits =
            |dispatch: &Dispatch, user: &UserId| dispatch.is_under_way(user) && !planted(Bug::ReplayBeside);
        while self.dispatch.room_for_replays(now) > 0
            && let Some(letter) = self.replays.next(|user| waits(&self.dispatch, user))
        {
            let place = letter.1;
            let dead = self.source.dead(Position(place.0.saturating_sub(1)), 1)?.pop();
            self.replays.remove(&letter);
            if let Some(dead) = dead.filter(|dead| dead.placed.position == place) {
                let attempt = self.dispatch.begin_dead(dead);
                self.send(attempt);
            }
        }
        Ok(())
    }

    fn work_off_late(&mut self, now: Timestamp) -> Result<(), ReadError> {
        let mut room = self.dispatch.room_for_late(now);
        if room == 0 {
            return Ok(());
        }
        // Those of whom something is under way are in the schedule, too.
        let due = self.dispatch.late_due(now);
        let late = self.source.late_users(due, room + self.dispatch.in_flight())?;
        for user in late {
            if room == 0 {
                break;
            }
            if !self.dispatch.is_under_way(&user.user) && self.begin_late(now, &user)? {
                room -= 1;
            }
        }
        Ok(())
    }

    /// Says whether anything of this user has left.
    fn begin_late(&mut self, now: Timestamp, user: &LateUser) -> Result<bool, ReadError> {
        match self.source.late_of(&user.user, user.after, 1)?.pop() {
            Some(Late::There(oldest)) => {
                let attempt = self.dispatch.begin_late(user, oldest);
                self.send(attempt);
                return Ok(true);
            }
            Some(Late::Lost(place)) => {
                tracing::error!(user = %user.user, position = place.0, "a callback is lost: its change is gone from the store");
                self.numbers.lost();
                self.steps.push(OutboxStep::LateDone(user.user, place));
                self.steps.push(due_at_once(now, user.user, place));
            }
            None => self.steps.push(OutboxStep::Unschedule(user.user)),
        }
        self.keep()?;
        Ok(false)
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

    /// When the oldest change was recorded whose callback was neither taken nor given up.
    fn oldest(&mut self) -> Option<Timestamp> {
        if self.ages.late_changed
            && let Ok(late) = self.source.oldest_late()
        {
            self.ages.late = late;
            self.ages.late_changed = false;
        }
        let oldest = [self.dispatch.oldest(), self.ages.late, self.ages.paused];
        oldest.into_iter().flatten().min()
    }

    /// Says how callbacks stand.
    pub(crate) fn count(&mut self) {
        let behind = self
            .source
            .last()
            .0
            .saturating_sub(self.source.cursor().unwrap_or_default().0);
        let (late, dead) = (self.source.late_count(), self.source.dead_count());
        self.numbers
            .stand([self.dispatch.in_flight() as u64, behind, late, dead]);
        self.numbers.set_down(self.dispatch.is_down());
        let oldest = self.oldest();
        self.numbers.set_oldest(oldest);
    }
}

fn tell_target(was_down: bool, is_down: bool) {
    match (was_down, is_down) {
        (false, true) => tracing::warn!("the callback receiver is down: callbacks wait in the store"),
        (true, false) => tracing::info!("the callback receiver is back"),
        (false, false) | (true, true) => {}
    }
}
