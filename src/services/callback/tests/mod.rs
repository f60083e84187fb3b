//! Real HTTP, a real store, and receivers of all kinds.

mod bounds;
mod expiry;
mod fairness;
mod lanes;
mod receivers;
mod replays;
mod tls;
mod turns;
mod unreadable;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{bounded, unbounded};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, PartitionId, Platform, ShardId, UserId};
use crate::base::receipt::Receipt;
use crate::base::time::{Clock, Timestamp, millis};
use crate::logic::delivery::{Delivery, ToRegistry, ToShard, UserKey};
use crate::logic::record::{AccountStep, Callbacks, Change, ChangeKind, Commit, UserRecord};
use crate::services::callback::attempt::{Attempt, AttemptOrigin, AttemptOutcome};
use crate::services::callback::event::PumpEvent;
use crate::services::callback::pump::Pump;
use crate::services::callback::{
    CallbackService, CallbackSettings, CallbackStore, ReceiverUrl, receiver_state,
};
use crate::services::registry::Store;
use crate::services::registry::archive::{Archive, Placed, Position, ReadError};
use crate::services::registry::embedded::{
    Durability, EmbeddedSettings, EmbeddedStore, StoreLocation, StoreReader,
};
use crate::services::registry::outbox::{self, Late, LateUser, Outbox, OutboxStep};
use crate::services::trust::Trust;

#[path = "../../../../tests/support/receiver.rs"]
#[allow(unreachable_pub, reason = "shared with the tests outside")]
mod receiver;
use receiver::{Order, Receiver};

const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Before the first change; each is recorded a millisecond later by its number.
const FIRST_AT: Timestamp = Timestamp(1_700_000_000_000);

const FOR_EVER: Duration = Duration::from_secs(1 << 40);

fn store(path: &Path) -> EmbeddedStore {
    store_with(path, FOR_EVER)
}

/// One that keeps changes only so long.
fn store_with(path: &Path, changes_kept: Duration) -> EmbeddedStore {
    let place = StoreLocation {
        path: path.to_owned(),
        memory_bytes_max: 16 << 20,
    };
    let rules = EmbeddedSettings {
        durability: Durability::Relaxed,
        callbacks: watch::channel(Callbacks::Documented).1,
        changes_kept_ms: millis(changes_kept),
        deleted_kept_ms: 400 * 86_400_000,
    };
    EmbeddedStore::open(place, rules).unwrap()
}

fn settings(url: String) -> CallbackSettings {
    CallbackSettings {
        sdk_app_id: 1_400_000_001,
        url: Some(ReceiverUrl::read(&url).unwrap()),
        token: Some("cb-token-01".into()),
        parallel: 8,
        timeout: Duration::from_millis(300),
        give_up: FOR_EVER,
        dead_kept: FOR_EVER,
        trust: Trust::read(None).unwrap(),
    }
}

fn start(store: &EmbeddedStore, settings: CallbackSettings) -> CallbackService {
    CallbackService::start(settings, store.reader(), store.news(), Clock::start()).unwrap()
}

fn commit(user: &UserId, number: u64) -> ToRegistry {
    commit_at(user, number, Timestamp(FIRST_AT.0 + number))
}

fn commit_at(user: &UserId, number: u64, at: Timestamp) -> ToRegistry {
    let kind = match number % 2 {
        1 => ChangeKind::Login {
            fresh: ChangeNumber(number),
            forced_off: Vec::new(),
        },
        _ => ChangeKind::Logout,
    };
    let change = Change {
        number: ChangeNumber(number),
        at,
        device: DeviceId {
            platform: Platform::Android,
            instance: InstanceId::MIN,
        },
        kind,
        address: None,
    };
    let commit = Commit {
        user: *user,
        changes: vec![change],
        kicked_at_s: None,
        account: AccountStep::Keep,
    };
    ToRegistry::Commit(ShardId(0), UserKey(0), Box::new(commit))
}

/// Records the changes `numbers` of each of these users, one after the other.
fn record(store: &mut EmbeddedStore, users: usize, numbers: std::ops::RangeInclusive<u64>) {
    let users: Vec<UserId> = (0..users)
        .map(|user| UserId::new(format!("user-{user}").as_bytes()).unwrap())
        .collect();
    for number in numbers {
        let mut answers = Vec::new();
        let mut batch: Vec<ToRegistry> = users.iter().map(|user| commit(user, number)).collect();
        store.work_off(Timestamp(1), &mut batch, &mut answers);
        let done = |answer: &Delivery| matches!(answer, Delivery::Shard(_, ToShard::Committed(_, Ok(_))));
        assert!(answers.iter().all(done));
        store.rest(Timestamp(1));
    }
}

/// Records the changes `numbers` of one user in one batch.
fn flood(store: &mut EmbeddedStore, user: &str, numbers: std::ops::RangeInclusive<u64>) {
    let user = UserId::new(user.as_bytes()).unwrap();
    let mut batch: Vec<ToRegistry> = numbers.map(|number| commit(&user, number)).collect();
    store.work_off(Timestamp(1), &mut batch, &mut Vec::new());
    store.rest(Timestamp(1));
}

fn has_all(told: &[receiver::Told], users: usize, changes: u64) -> bool {
    let mut pairs: Vec<(&str, u64)> = told.iter().map(|told| (&*told.user, told.change)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs.len() as u64 == users as u64 * changes
}

/// Parts of a turn, whose faults the test hears of.
impl Pump {
    fn work(&mut self, now: Timestamp) -> Result<(), ReadError> {
        let lanes = self.lanes.values_mut();
        let worked = lanes.map(|lane| lane.work(&mut self.outlet, now));
        worked.fold(Ok(()), Result::and)
    }

    fn pass_by(&mut self, now: Timestamp) -> Result<(), ReadError> {
        let lanes = self.lanes.values_mut();
        let passed = lanes.map(|lane| lane.pass_by(&mut self.outlet, now));
        passed.fold(Ok(()), Result::and)
    }

    fn has_more(&self) -> bool {
        self.lanes.values().any(|lane| lane.more)
    }
}

/// A pump whose attempts the test makes itself: it is a receiver that holds each as long as it likes.
struct Held {
    pump: Pump,
    attempts: mpsc::UnboundedReceiver<Attempt>,
    now: Timestamp,
}

impl Held {
    fn new(store: &EmbeddedStore, settings: &CallbackSettings) -> Self {
        Self::of(vec![store.reader()], settings)
    }

    fn of(lanes: Vec<Arc<dyn CallbackStore>>, settings: &CallbackSettings) -> Self {
        let (sender, attempts) = mpsc::unbounded_channel();
        // Nobody wakes it: the test calls it.
        let wakes = crossbeam_channel::never();
        let pump = Pump::new(lanes, settings, wakes, sender, 1).unwrap();
        let now = Timestamp(1_700_000_001_000);
        Self { pump, attempts, now }
    }

    /// What leaves now from a store that cannot be read everywhere.
    fn work_as_it_can(&mut self) -> Vec<Attempt> {
        let _ = self.pump.work(self.now);
        std::iter::from_fn(|| self.attempts.try_recv().ok()).collect()
    }

    /// What leaves now.
    fn work(&mut self) -> Vec<Attempt> {
        self.pump.work(self.now).unwrap();
        while self.pump.has_more() {
            self.pump.work(self.now).unwrap();
        }
        std::iter::from_fn(|| self.attempts.try_recv().ok()).collect()
    }

    /// Passes by all that there is, without a receiver.
    fn pass_by(&mut self) {
        self.pump.pass_by(self.now).unwrap();
        while self.pump.has_more() {
            self.pump.pass_by(self.now).unwrap();
        }
    }

    fn follow(&mut self, settings: &CallbackSettings) {
        let settings = Arc::new(settings.clone());
        self.pump
            .take(self.now, PumpEvent::CallbackSettings(settings, Receipt::none()));
    }

    fn end(&mut self, attempt: Attempt, outcome: AttemptOutcome) {
        let ended = PumpEvent::Ended(Box::new(attempt), outcome, Duration::ZERO);
        self.pump.take(self.now, ended);
    }

    fn replay(&mut self, dead: impl Iterator<Item = outbox::Dead>) {
        let dead_letters = dead.map(|dead| (dead.placed.recorded.user, dead.placed.position));
        self.pump
            .take(self.now, PumpEvent::Replay(dead_letters.collect()));
    }
}

fn unreachable() -> AttemptOutcome {
    AttemptOutcome::Unreachable("no".to_owned())
}

fn refused() -> AttemptOutcome {
    AttemptOutcome::Refused("no".to_owned())
}

/// Of each attempt the user, the change and where it comes from.
fn named(attempts: &[Attempt]) -> Vec<(&str, u64, AttemptOrigin)> {
    let attempts = attempts.iter();
    let name = |attempt: &'_ Attempt| (attempt.placed.recorded.change.number.0, attempt.origin);
    attempts
        .map(|attempt| {
            (
                attempt.placed.recorded.user.as_str(),
                name(attempt).0,
                name(attempt).1,
            )
        })
        .collect()
}

const DAY_MS: u64 = 86_400_000;

fn given_up_after_a_day() -> CallbackSettings {
    CallbackSettings {
        give_up: Duration::from_secs(86_400),
        dead_kept: Duration::from_secs(3 * 86_400),
        ..settings("http://receiver".to_owned())
    }
}
