//! The callback service's thread that may block: reads what is to be told from the store, has it posted, and keeps what
//! became of it. What leaves when is decided in [`dispatch`](super::dispatch).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tokio::sync::mpsc;

use super::age::{DeadLook, LateLook, Unwanted};
use super::attempt::{Attempt, Origin, Outcome};
use super::dispatch::Dispatch;
use super::receiver::ReceiverUrl;
use super::replays::Replays;
use super::standing::{Ages, behind};
use super::tell::{Standing, Teller};
use super::{Numbers, Settings};
use crate::base::ids::UserId;
use crate::base::receipt::Receipt;
use crate::base::time::{Clock, Steady, Timestamp};
use crate::services::registry::archive::{Archive, Placed, Position, ReadError};
use crate::services::registry::outbox::{LateUser, Outbox, OutboxStep};

/// How often it is looked whether a late user is due, and whether the store can be read again.
const LOOK: Duration = Duration::from_millis(100);

/// Looks into the stream of one turn: what becomes late takes no room, so that a long stretch of one user's would keep
/// attempts that have ended, and others that could begin, waiting.
const READS_AT_ONCE: usize = 4;

/// Why a callback was given up by its age alone.
const NO_RECEIVER: &str = "there is no receiver: callback.url is empty";
const RECEIVER_DOWN: &str = "the receiver is down";

/// What wakes the pump.
#[derive(Debug)]
pub(crate) enum Wake {
    /// There may be new changes.
    News,
    /// An attempt ended.
    Ended(Box<Attempt>, Outcome, Duration),
    /// These dead letters of these users are to be sent again.
    Replay(Vec<(UserId, Position)>),
    /// Late callbacks of one user, or of all, are to be forgotten; the answer says how many there were.
    DropLate(Option<UserId>, Sender<Result<u64, ReadError>>),
    /// From the next attempt on. The receipt is dropped when they count: without a receiver, when nothing is under way any more.
    Settings(Arc<Settings>, Receipt),
    /// Nothing new is sent; what is under way may end until then.
    Stop(Duration),
}

/// A store as the callback service sees it.
pub trait Source: Archive + Outbox {}

impl<S: Archive + Outbox> Source for S {}

/// A part of a turn.
type Stage = fn(&mut Pump, Timestamp) -> Result<(), ReadError>;

/// The thread's own things.
pub(crate) struct Pump {
    pub(super) source: Arc<dyn Source>,
    pub(super) dispatch: Dispatch,
    wakes: Receiver<Wake>,
    attempts: mpsc::UnboundedSender<Attempt>,
    pub(super) numbers: Arc<Numbers>,
    pub(super) replays: Replays,
    /// Steps that the store could not take yet.
    pub(super) steps: Vec<OutboxStep>,
    /// The store failed; said once.
    told: bool,
    /// Where callbacks go. `None`: there is no receiver.
    url: Option<ReceiverUrl>,
    /// Of settings that were taken while something was under way that goes by others.
    receipts: Vec<Receipt>,
    pub(super) ages: Ages,
    pub(super) teller: Teller,
    /// How long dead letters are kept.
    pub(super) dead_kept: Duration,
    pub(super) dead_look: DeadLook,
    pub(super) late_look: LateLook,
    /// The last look at what was not read found it too old.
    pub(super) unread_is_old: bool,
    /// Late callbacks that are to be forgotten, in the order in which that was asked for.
    pub(super) unwanted: VecDeque<Unwanted>,
    /// A turn left something to do at once: each takes a bounded stretch, so that the pump hears what it is told.
    pub(super) more: bool,
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
            url: settings.url.clone(),
            receipts: Vec::new(),
            ages: Ages::default(),
            teller: Teller::new(settings.url.as_ref()),
            dead_kept: settings.dead_kept,
            dead_look: DeadLook::default(),
            late_look: LateLook::default(),
            unread_is_old: false,
            unwanted: VecDeque::new(),
            more: false,
        })
    }

    pub(crate) fn numbers(&self) -> Arc<Numbers> {
        Arc::clone(&self.numbers)
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
            self.teller.look(steady.at(now));
            self.give_receipts();
            if stop_by.is_some_and(|by| by <= now.instant || self.dispatch.in_flight() == 0) {
                return self.note_last();
            }
            match self.wakes.recv_timeout(self.rest()) {
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
        let unread = |(after, _)| after < self.source.last();
        let reads = self.dispatch.wants().is_some_and(unread) && !self.is_paused();
        match (reads || self.more) && !self.told {
            true => Duration::ZERO,
            false => LOOK,
        }
    }

    /// Gives how long the end may take, if that was said.
    pub(crate) fn take(&mut self, now: Timestamp, wake: Wake) -> Option<Duration> {
        match wake {
            Wake::News => {}
            Wake::Ended(mut attempt, outcome, took) => {
                attempt.ahead_ms = self.ahead_ms(&attempt.placed, now);
                self.ended(now, &attempt, outcome, took);
            }
            Wake::Replay(letters) => self.replays.ask(letters),
            Wake::DropLate(user, answer) => self.drop_late(user, answer),
            Wake::Settings(settings, receipt) => {
                self.receipts.push(receipt);
                self.follow(&settings);
            }
            Wake::Stop(within) => return Some(within),
        }
        None
    }

    fn follow(&mut self, settings: &Settings) {
        if self.url != settings.url {
            self.url.clone_from(&settings.url);
            self.teller.follow(settings.url.as_ref());
            self.dispatch.follow_receiver();
        }
        self.dispatch.set_bounds(settings.parallel, settings.give_up);
        self.dead_kept = settings.dead_kept;
        self.dead_look = DeadLook::default();
    }

    fn ended(&mut self, now: Timestamp, attempt: &Attempt, outcome: Outcome, took: Duration) {
        let user = attempt.placed.recorded.user;
        self.numbers.ended(&outcome, took);
        match (attempt.origin, &outcome) {
            (Origin::Dead, Outcome::Refused(_) | Outcome::Unreachable(_)) => self.replays.cancel(user),
            (Origin::Dead, Outcome::Unsent) => self.replays.ask(vec![(user, attempt.placed.position)]),
            (Origin::Dead, Outcome::Delivered) | (Origin::Stream | Origin::Late, _) => {}
        }
        let fault = outcome.fault().map(str::to_owned);
        if let Some(fault) = &fault {
            tracing::debug!(%user, change = attempt.placed.recorded.change.number.0, attempt = attempt.number, fault, "a callback failed");
        }
        let before = self.steps.len();
        self.dispatch.ended(now, attempt, outcome, &mut self.steps);
        for step in &self.steps[before..] {
            if let OutboxStep::Bury(dead) = step {
                self.teller.buried(dead);
            }
        }
        let waiting = || self.source.late_count() + behind(&*self.source);
        let standing = match self.dispatch.is_down() {
            true => Standing::Down,
            false => Standing::Up,
        };
        self.teller.target((now, standing), fault.as_deref(), waiting);
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

    fn beginning(origin: Origin) -> Stage {
        match origin {
            Origin::Stream => Self::begin,
            Origin::Late => Self::work_off_late,
            Origin::Dead => Self::replay,
        }
    }

    /// What cannot be kept must not be followed by more. What cannot be read keeps nothing else from going on.
    fn unless_it_waits(&mut self, now: Timestamp, stage: Stage) -> Result<(), ReadError> {
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
            let (due, looked_at) = self.source.due(after, 1)?;
            self.ages.paused = due.first().map(|first| first.recorded.change.at);
            let passed = due
                .first()
                .map_or(looked_at, |first| Position(first.position.0 - 1));
            if passed == after {
                break;
            }
            self.more |= passed < self.source.last() && due.is_empty();
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
        self.numbers.lost();
    }

    pub(super) fn send(&self, attempt: Attempt) {
        // The poster ends after this thread; if it has failed the node notices.
        let _ = self.attempts.send(attempt);
    }

    pub(super) fn keep(&mut self) -> Result<(), ReadError> {
        self.steps.extend(self.dispatch.cursor_step());
        if !self.steps.is_empty() {
            self.source.take(&self.steps)?;
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
            let (due, looked_at) = self.source.due(after, room)?;
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
        if self.source.late_count() == 0 {
            return Ok(None);
        }
        self.source.late_user(&user)
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
