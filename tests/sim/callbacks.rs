//! The callback service in the world: its deciding part is the real one, over a store that may fail and forget what was
//! not durable, and with a receiver that refuses, and that takes callbacks whose answers get lost.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::base::ids::UserId;
use crate::base::time::{Timestamp, millis};
use crate::services::callback::attempt::{Attempt, Origin, Outcome};
use crate::services::callback::pump::{Pump, Wake};
use crate::services::callback::{ReceiverUrl, Settings, Trust};
use crate::services::registry::archive::{Placed, Position};
use crate::services::registry::outbox::Outbox;
use crate::sim::checks::{Failure, ensure};
use crate::sim::shelf::Shelf;

/// After a run everything must have been dealt with within so many seconds.
const SETTLED_WITHIN_S: u64 = 1_000;

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
    settings: Settings,
    pump: Pump,
    attempts: mpsc::UnboundedReceiver<Attempt>,
    under_way: Vec<Attempt>,
    /// Of each user the changes that the receiver has heard of, in the order it did so first.
    told: BTreeMap<UserId, Vec<u64>>,
    reception: Reception,
}

impl Post {
    pub(crate) fn new(shelf: Arc<Shelf>, random: &mut fastrand::Rng) -> Self {
        let settings = Settings {
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
        Self {
            shelf,
            settings,
            pump,
            attempts,
            under_way: Vec::new(),
            told: BTreeMap::new(),
            reception: Reception::Good,
        }
    }

    /// One step of the service, or of the receiver.
    pub(crate) fn step(&mut self, random: &mut fastrand::Rng, now: Timestamp) -> Result<(), Failure> {
        match random.u8(..100) {
            0..45 => self.work(now),
            45..96 if self.under_way.is_empty() => Ok(()),
            45..96 => {
                let place = random.usize(..self.under_way.len());
                let bad = match self.reception {
                    Reception::Good => 2,
                    Reception::Bad => 50,
                    Reception::Down => 100,
                };
                let refused = random.u8(..100) < bad;
                self.answer(place, refused, random.u8(..4) == 0, now)
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

    fn work(&mut self, now: Timestamp) -> Result<(), Failure> {
        // A store that fails is tried again.
        let _ = self.pump.work(now);
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

    /// An attempt ends. One that was refused may have been taken all the same, if its answer was lost.
    fn answer(&mut self, place: usize, refused: bool, lost: bool, now: Timestamp) -> Result<(), Failure> {
        let attempt = self.under_way.swap_remove(place);
        if !refused || lost {
            self.receive(&attempt)?;
        }
        let outcome = match refused {
            true => Outcome::Unreachable("no".to_owned()),
            false => Outcome::Delivered,
        };
        self.pump
            .take(now, Wake::Ended(Box::new(attempt), outcome, Duration::ZERO));
        Ok(())
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
        if attempt.origin == Origin::Dead {
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
        self.pump.take(now, Wake::Replay(letters));
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

    /// From now on all goes well: everything that is owed must be told.
    pub(crate) fn settle(&mut self, mut now: Timestamp) -> Result<(), Failure> {
        self.shelf.set_failing(false);
        for _ in 0..SETTLED_WITHIN_S {
            self.work(now)?;
            while !self.under_way.is_empty() {
                self.answer(0, false, false, now)?;
            }
            if self.shelf.is_done() {
                return self.check();
            }
            now = Timestamp(now.0 + 1_000);
        }
        ensure("callbacks at least once", false, || {
            format!("some never leave: {:?}", self.shelf)
        })
    }
}

fn pump(shelf: &Arc<Shelf>, settings: &Settings, seed: u64) -> (Pump, mpsc::UnboundedReceiver<Attempt>) {
    let (sender, attempts) = mpsc::unbounded_channel();
    let shelf: Arc<Shelf> = Arc::clone(shelf);
    // Nobody wakes it: the world calls it.
    let wakes = crossbeam_channel::never();
    let pump = Pump::new(shelf, settings, wakes, sender, seed).expect("it can always be read");
    (pump, attempts)
}
