//! The callback service in the world: its deciding part is the real one, over a store that may fail and forget what was
//! not durable, and with a receiver that fails, that takes callbacks whose answers get lost, and that refuses all callbacks of
//! some users for ever: these must not hold up anybody else's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, UserId};
use crate::base::time::{Timestamp, millis};
use crate::logic::record::{Change, ChangeKind, RecordedChange};
use crate::services::callback::attempt::{Attempt, AttemptOrigin, AttemptOutcome};
use crate::services::callback::event::PumpEvent;
use crate::services::callback::pump::Pump;
use crate::services::callback::window::WINDOW_MAX;
use crate::services::callback::{CallbackSettings, CallbackStore, ReceiverUrl};
use crate::services::registry::archive::{Placed, Position};
use crate::services::registry::outbox::Outbox;
use crate::services::trust::Trust;
use crate::sim::checks::{Failure, ensure};
use crate::sim::shelf::Shelf;

/// After a run everything must have been dealt with within so many seconds.
const SETTLED_WITHIN_S: u64 = 1_000;

/// Once all goes well but for users who are refused, everybody else's callbacks are told within so many seconds: the longest wait
/// of a user, and of a receiver that counted as down.
const OTHERS_WITHIN_S: u64 = 60 + 10;

/// After so many attempts in a row that nobody answered, a receiver may count as down.
const UNANSWERED_MIN: u32 = 32;

/// One flood in so many runs: each is a thousand changes, and the same for all.
const FLOODED_RUNS: u8 = 8;

/// Behind a flood of one user others' callbacks are told in so many rounds, in each of which the receiver answers every attempt
/// once: a few turns of each who may have one.
const FLOODED_ROUNDS: u64 = 30;

/// Nobody is vouched for here.
static TRUST: LazyLock<Trust> = LazyLock::new(|| Trust::read(None).expect("no file is read"));

/// How the receiver behaves for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reception {
    Good,
    Bad,
    Down,
}

pub(crate) struct Post {
    shelf: Arc<Shelf>,
    settings: CallbackSettings,
    pump: Pump,
    attempts: mpsc::UnboundedReceiver<Attempt>,
    under_way: Vec<Attempt>,
    /// Of each user the changes that the receiver has heard of, in the order it did so first.
    told: BTreeMap<UserId, Vec<u64>>,
    reception: Reception,
    /// Users whose callbacks the receiver answers with an error code, whatever they say.
    refused: BTreeSet<UserId>,
    /// Attempts since the receiver answered last.
    unanswered: u32,
    /// Whether one user's changes come as a flood at the end.
    floods: bool,
}

impl Post {
    pub(crate) fn new(shelf: Arc<Shelf>, users: &[UserId], random: &mut fastrand::Rng) -> Self {
        let settings = CallbackSettings {
            sdk_app_id: 1,
            url: ReceiverUrl::read("http://receiver").ok(),
            token: None,
            parallel: random.choice([1, 2, 64]).expect("there are some"),
            timeout: Duration::from_secs(2),
            give_up: random
                .choice([60, 3_600, 86_400])
                .map(Duration::from_secs)
                .expect("there are some"),
            dead_kept: Duration::from_secs(90_000),
            trust: TRUST.clone(),
        };
        let (pump, attempts) = pump(&shelf, &settings, random.u64(..));
        let refused = match random.u8(..3) {
            0 => random.usize(1..users.len()),
            _ => 0,
        };
        Self {
            shelf,
            settings,
            pump,
            attempts,
            under_way: Vec::new(),
            told: BTreeMap::new(),
            reception: Reception::Good,
            refused: random
                .choose_multiple(users.to_vec(), refused)
                .into_iter()
                .collect(),
            unanswered: 0,
            floods: random.u8(..FLOODED_RUNS) == 0,
        }
    }

    /// One step of the service, or of the receiver.
    pub(crate) fn step(&mut self, random: &mut fastrand::Rng, now: Timestamp) -> Result<(), Failure> {
        match random.u8(..100) {
            0..45 => self.work(now),
            45..96 if self.under_way.is_empty() => Ok(()),
            45..96 => {
                let place = random.usize(..self.under_way.len());
                let outcome = self.outcome(random, self.under_way[place].placed.recorded.user);
                self.answer(place, outcome, random.u8(..4) == 0, now)
            }
            96 => {
                self.shelf.set_failing(random.u8(..4) == 0);
                Ok(())
            }
            97 => self.replay_some(random, now),
            _ => {
                let receptions = [Reception::Good, Reception::Good, Reception::Bad, Reception::Down];
                self.reception = random.choice(receptions).expect("there are some");
                Ok(())
            }
        }
    }

    /// What comes of an attempt for this user.
    fn outcome(&self, random: &mut fastrand::Rng, user: UserId) -> AttemptOutcome {
        let (bad, is_down) = match self.reception {
            Reception::Good => (2, false),
            Reception::Bad => (50, false),
            Reception::Down => (100, true),
        };
        if !is_down && self.refused.contains(&user) {
            return refusal();
        }
        match random.u8(..100) < bad {
            true if !is_down && random.bool() => refusal(),
            true => AttemptOutcome::Unreachable("nobody is there".to_owned()),
            false => AttemptOutcome::Delivered,
        }
    }

    fn work(&mut self, now: Timestamp) -> Result<(), Failure> {
        self.pump.turn(now);
        while let Ok(attempt) = self.attempts.try_recv() {
            let user = attempt.placed.recorded.user;
            let mut others = self.under_way.iter();
            let alone = others.all(|other| other.placed.recorded.user != user);
            ensure("callbacks in turn", alone, || {
                format!("{attempt:?} beside {:?}", self.under_way)
            })?;
            self.under_way.push(attempt);
        }
        let parallel = self.settings.parallel;
        ensure("callbacks in turn", self.under_way.len() <= parallel, || {
            format!("{} of {parallel} at once", self.under_way.len())
        })
    }

    /// An attempt ends. One that found nobody may have been taken all the same, if its answer was lost.
    fn answer(
        &mut self,
        place: usize,
        outcome: AttemptOutcome,
        lost: bool,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let attempt = self.under_way.swap_remove(place);
        let (unanswered, taken) = match outcome {
            AttemptOutcome::Unreachable(_) => (self.unanswered + 1, lost),
            AttemptOutcome::Delivered => (0, true),
            AttemptOutcome::Refused(_) => (0, false),
            AttemptOutcome::Unsent => unreachable!("what is under way was sent"),
        };
        self.unanswered = unanswered;
        if taken {
            self.receive(&attempt)?;
        }
        self.pump
            .take(now, PumpEvent::Ended(Box::new(attempt), outcome, Duration::ZERO));
        let is_down = self.pump.outlet.target.is_down();
        ensure("receiver", !is_down || unanswered >= UNANSWERED_MIN, || {
            format!("it counts as down after {unanswered} attempts that nobody answered")
        })
    }

    /// The receiver hears of a change.
    fn receive(&mut self, attempt: &Attempt) -> Result<(), Failure> {
        let all = self.shelf.all();
        let Placed { position, recorded } = &attempt.placed;
        ensure(
            "callbacks are true",
            all.get(position.0 as usize - 1) == Some(&attempt.placed),
            || format!("not on record: {attempt:?}"),
        )?;
        let buried = self.shelf.buried();
        if attempt.origin == AttemptOrigin::Dead {
            return ensure("callbacks in order", buried.contains_key(position), || {
                format!("not dead: {attempt:?}")
            });
        }
        let told = self.told.entry(recorded.user).or_default();
        if told.contains(&recorded.change.number.0) {
            // A repeat: allowed, and dropped.
            return Ok(());
        }
        let mut before = all[..position.0 as usize - 1].iter();
        let dealt_with = |placed: &Placed| {
            placed.recorded.user != recorded.user
                || placed.recorded.previous.is_none()
                || told.contains(&placed.recorded.change.number.0)
                || buried.contains_key(&placed.position)
        };
        ensure("callbacks in order", before.all(dealt_with), || {
            format!("{attempt:?} after {told:?}")
        })?;
        told.push(recorded.change.number.0);
        Ok(())
    }

    fn replay_some(&mut self, random: &mut fastrand::Rng, now: Timestamp) -> Result<(), Failure> {
        let dead = self.shelf.dead(Position(0), usize::MAX).unwrap_or_default();
        let letters = dead
            .iter()
            .map(|dead| (dead.placed.recorded.user, dead.placed.position))
            .filter(|_| random.bool())
            .collect();
        self.pump.take(now, PumpEvent::Replay(letters));
        Ok(())
    }

    /// The process dies: of what is under way the receiver may hear or not.
    pub(crate) fn crash(&mut self, random: &mut fastrand::Rng) -> Result<(), Failure> {
        for attempt in std::mem::take(&mut self.under_way) {
            if random.bool() {
                self.receive(&attempt)?;
            }
        }
        self.shelf.crash();
        self.unanswered = 0;
        self.check()?;
        (self.pump, self.attempts) = pump(&self.shelf, &self.settings, random.u64(..));
        Ok(())
    }

    /// Everything was told, or will be, or was given up in its time.
    fn check(&self) -> Result<(), Failure> {
        let buried = self.shelf.buried();
        for placed in self.shelf.all() {
            let recorded = &placed.recorded;
            let told = self
                .told
                .get(&recorded.user)
                .is_some_and(|told| told.contains(&recorded.change.number.0));
            let safe = recorded.previous.is_none()
                || told
                || buried.contains_key(&placed.position)
                || self.shelf.owes(&placed);
            ensure("callbacks at least once", safe, || {
                format!("forgotten: {placed:?}")
            })?;
        }
        let in_time = |(at, change): (Timestamp, Timestamp)| at.0 >= change.0 + millis(self.settings.give_up);
        let early = buried
            .values()
            .find(|dead| !in_time((dead.at, dead.placed.recorded.change.at)));
        ensure("callbacks at least once", early.is_none(), || {
            format!("given up early: {early:?}")
        })
    }

    /// From now on all goes well: everything that is owed must be told, and soon of those who are not refused.
    pub(crate) fn settle(&mut self, mut now: Timestamp) -> Result<(), Failure> {
        self.shelf.set_failing(false);
        for _ in 0..OTHERS_WITHIN_S {
            self.answer_all(now)?;
            now = Timestamp(now.0 + 1_000);
        }
        let held_up = self.first_held_up();
        ensure("callbacks of others", held_up.is_none(), || {
            format!("held up by {:?}: {held_up:?}", self.refused)
        })?;
        self.refused.clear();
        for _ in 0..SETTLED_WITHIN_S {
            self.answer_all(now)?;
            if self.shelf.is_done() {
                self.check()?;
                return if self.floods { self.flood(now) } else { Ok(()) };
            }
            now = Timestamp(now.0 + 1_000);
        }
        ensure("callbacks at least once", false, || {
            format!("some never leave: {:?}", self.shelf)
        })
    }

    /// One user has more changes than there is room for, and others have one each behind them, at a receiver that takes its
    /// time: it does not keep them waiting.
    fn flood(&mut self, mut now: Timestamp) -> Result<(), Failure> {
        let many = 1..=WINDOW_MAX as u64 + 100;
        let many: Vec<_> = many.map(|number| logout("the flood", number, now)).collect();
        self.shelf.commit(&many);
        let others = ["one", "another", "a third"].map(|name| logout(name, 1, now));
        self.shelf.commit(&others);
        for _ in 0..FLOODED_ROUNDS {
            self.work(now)?;
            for _ in 0..self.under_way.len() {
                self.answer(0, AttemptOutcome::Delivered, false, now)?;
            }
            now = Timestamp(now.0 + 1_000);
        }
        let waits = others.iter().find(|other| !self.told.contains_key(&other.user));
        ensure("callbacks of others", waits.is_none(), || {
            format!("held up by one user's flood: {waits:?}")
        })
    }

    /// The service works, and the receiver answers, until nothing is under way.
    fn answer_all(&mut self, now: Timestamp) -> Result<(), Failure> {
        self.work(now)?;
        while let Some(attempt) = self.under_way.first() {
            let outcome = match self.refused.contains(&attempt.placed.recorded.user) {
                true => refusal(),
                false => AttemptOutcome::Delivered,
            };
            self.answer(0, outcome, false, now)?;
            if self.under_way.is_empty() {
                self.work(now)?;
            }
        }
        Ok(())
    }

    /// A change of a user whom the receiver does not refuse, and that it has not heard of.
    fn first_held_up(&self) -> Option<Placed> {
        let buried = self.shelf.buried();
        let waits = |placed: &Placed| {
            let recorded = &placed.recorded;
            let told = self.told.get(&recorded.user);
            let is_told = told.is_some_and(|told| told.contains(&recorded.change.number.0));
            let is_refused = self.refused.contains(&recorded.user);
            recorded.previous.is_some() && !is_refused && !is_told && !buried.contains_key(&placed.position)
        };
        self.shelf.all().into_iter().find(waits)
    }
}

/// A change that owes a callback, of a user that no shard knows.
fn logout(name: &str, number: u64, at: Timestamp) -> RecordedChange {
    let change = Change {
        number: ChangeNumber(number),
        at,
        device: DeviceId {
            platform: Platform::Web,
            instance: InstanceId::MIN,
        },
        kind: ChangeKind::Logout,
        address: None,
    };
    RecordedChange {
        user: UserId::new(name.as_bytes()).expect("a short name"),
        change,
        session: ChangeNumber(number),
        previous: Some(ChangeNumber(number - 1)),
    }
}

fn refusal() -> AttemptOutcome {
    AttemptOutcome::Refused("an error code".to_owned())
}

fn pump(
    shelf: &Arc<Shelf>,
    settings: &CallbackSettings,
    seed: u64,
) -> (Pump, mpsc::UnboundedReceiver<Attempt>) {
    let (sender, attempts) = mpsc::unbounded_channel();
    let shelf: Arc<dyn CallbackStore> = Arc::<Shelf>::clone(shelf);
    // Nobody wakes it: the world calls it.
    let wakes = crossbeam_channel::never();
    let pump = Pump::new(vec![shelf], settings, wakes, sender, seed).expect("it can always be read");
    (pump, attempts)
}
