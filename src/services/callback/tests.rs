//! Real HTTP, a real store, and receivers of all kinds.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::attempt::Origin;
use super::*;
use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, ShardId, UserId};
use crate::logic::letter::{ToRegistry, ToShard, UserKey};
use crate::logic::record::{AccountStep, Callbacks, Change, ChangeKind, Commit, UserRecord};
use crate::services::registry::archive::{Archive, Placed};
use crate::services::registry::embedded::{Durability, Embedded, Place, Rules};
use crate::services::registry::outbox::{self, Late, LateUser, Outbox};
use crate::services::registry::{Answer, Store};

#[path = "../../../tests/support/receiver.rs"]
#[allow(unreachable_pub, reason = "shared with the tests outside")]
mod receiver;
use receiver::{Order, Receiver};

mod bounds;
mod turns;

const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Before the first change; each is recorded a millisecond later by its number.
const FIRST_AT: Timestamp = Timestamp(1_700_000_000_000);
const FOR_EVER: Duration = Duration::from_secs(1 << 40);

fn store(path: &Path) -> Embedded {
    store_with(path, FOR_EVER)
}

/// One that keeps changes only so long.
fn store_with(path: &Path, changes_kept: Duration) -> Embedded {
    let place = Place {
        path: path.to_owned(),
        memory_bytes_max: 16 << 20,
    };
    let rules = Rules {
        durability: Durability::Relaxed,
        callbacks: watch::channel(Callbacks::Documented).1,
        changes_kept_ms: millis(changes_kept),
        deleted_kept_ms: 400 * 86_400_000,
    };
    Embedded::open(place, rules).unwrap()
}

fn settings(url: String) -> Settings {
    Settings {
        sdk_app_id: 1_400_000_001,
        url: Some(ReceiverUrl::read(&url).unwrap()),
        token: Some(Token("cb-token-01".into())),
        parallel: 8,
        timeout: Duration::from_millis(300),
        give_up: FOR_EVER,
        dead_kept: FOR_EVER,
        trust: Trust::read(None).unwrap(),
    }
}

fn start(store: &Embedded, settings: Settings) -> Service {
    Service::start(settings, store.reading(), store.news(), Clock::start()).unwrap()
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
fn record(store: &mut Embedded, users: usize, numbers: std::ops::RangeInclusive<u64>) {
    let users: Vec<UserId> = (0..users)
        .map(|user| UserId::new(format!("user-{user}").as_bytes()).unwrap())
        .collect();
    for number in numbers {
        let mut answers = Vec::new();
        let mut batch: Vec<ToRegistry> = users.iter().map(|user| commit(user, number)).collect();
        store.work_off(Timestamp(1), &mut batch, &mut answers);
        let done = |answer: &Answer| matches!(answer, Answer::Shard(_, ToShard::Committed(_, Ok(_))));
        assert!(answers.iter().all(done));
        store.rest(Timestamp(1));
    }
}

/// Records the changes `numbers` of one user in one batch.
fn flood(store: &mut Embedded, user: &str, numbers: std::ops::RangeInclusive<u64>) {
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

#[test]
fn a_receiver_has_a_name() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(0);
    let url = format!("http://localhost:{}/callback", receiver.address.port());
    let service = start(&store, settings(url));
    record(&mut store, 3, 1..=3);
    let told = receiver.wait_for(|told| has_all(told, 3, 3));
    Order::default().check(&told);
    service.stop(STOP_WITHIN).unwrap();
}

/// A store in which something cannot be read.
struct Flawed {
    reading: Arc<crate::services::registry::embedded::Reading>,
    /// Of this user no late callbacks.
    user: UserId,
    told: AtomicU64,
}

const FLAW: &str = "it is damaged";

impl Archive for Flawed {
    fn store_id(&self) -> u64 {
        self.reading.store_id()
    }

    fn last(&self) -> Position {
        self.reading.last()
    }

    fn changes(&self, after: Position, count_max: usize) -> Result<Vec<Placed>, ReadError> {
        self.reading.changes(after, count_max)
    }

    fn changes_of(
        &self,
        user: &UserId,
        after: ChangeNumber,
        count_max: usize,
    ) -> Result<Vec<Placed>, ReadError> {
        self.reading.changes_of(user, after, count_max)
    }

    fn users(
        &self,
        after: Option<&UserId>,
        count_max: usize,
    ) -> Result<Vec<(UserId, UserRecord)>, ReadError> {
        self.reading.users(after, count_max)
    }

    fn residents(&self, take: &mut dyn FnMut(UserId, UserRecord)) -> Result<(), ReadError> {
        self.reading.residents(take)
    }
}

impl Outbox for Flawed {
    fn cursor(&self) -> Result<Position, ReadError> {
        self.reading.cursor()
    }

    fn due(&self, after: Position, count_max: usize) -> Result<(Vec<Placed>, Position), ReadError> {
        self.reading.due(after, count_max)
    }

    fn take(&self, steps: &[OutboxStep]) -> Result<(), ReadError> {
        self.reading.take(steps)
    }

    fn late_user(&self, user: &UserId) -> Result<Option<LateUser>, ReadError> {
        self.reading.late_user(user)
    }

    fn late_users(&self, now: Timestamp, count_max: usize) -> Result<Vec<LateUser>, ReadError> {
        self.reading.late_users(now, count_max)
    }

    fn late_of(&self, user: &UserId, after: Position, count_max: usize) -> Result<Vec<Late>, ReadError> {
        if *user == self.user {
            self.told.fetch_add(1, Ordering::Relaxed);
            return Err(ReadError::Store(FLAW.to_owned()));
        }
        self.reading.late_of(user, after, count_max)
    }

    fn late(&self, _: Position, _: usize) -> Result<Vec<(UserId, Late)>, ReadError> {
        Err(ReadError::Store(FLAW.to_owned()))
    }

    fn oldest_late(&self) -> Result<Option<Timestamp>, ReadError> {
        Err(ReadError::Store(FLAW.to_owned()))
    }

    fn late_count(&self) -> u64 {
        self.reading.late_count()
    }

    fn dead(&self, _: Position, _: usize) -> Result<Vec<outbox::Dead>, ReadError> {
        Err(ReadError::Store(FLAW.to_owned()))
    }

    fn dead_count(&self) -> u64 {
        self.reading.dead_count()
    }
}

#[test]
fn what_cannot_be_read_keeps_nobody_else_from_their_callbacks() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 3, 1..=1);
    let flawed = Arc::new(Flawed {
        reading: store.reading(),
        user: UserId::new(b"user-0").unwrap(),
        told: AtomicU64::new(0),
    });
    let source = Arc::clone(&flawed) as Arc<dyn Source>;
    let mut held = Held::of(source, &settings("http://receiver".to_owned()));
    for attempt in held.work_as_it_can() {
        held.end(attempt, refused());
    }
    held.now.0 += 1_000_000;
    // A dead letter that is to be sent again cannot be read either.
    held.pump.take(
        held.now,
        Wake::Replay(vec![(UserId::new(b"user-9").unwrap(), Position(1))]),
    );
    flood(&mut store, "another", 1..=1);
    let mut left = held.work_as_it_can();
    let mut names = named(&left);
    names.sort_unstable_by_key(|(user, ..)| *user);
    let expected = [
        ("another", 1, Origin::Stream),
        ("user-1", 1, Origin::Late),
        ("user-2", 1, Origin::Late),
    ];
    assert_eq!(names, expected);
    for attempt in left.drain(..) {
        held.end(attempt, Outcome::Delivered);
    }
    for _ in 0..9 {
        held.work_as_it_can();
    }
    assert_eq!(
        flawed.told.load(Ordering::Relaxed),
        1,
        "it is looked at once a minute"
    );
}

#[test]
fn a_bad_receiver_gets_everything_in_order() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(15);
    let service = start(&store, settings(receiver.url()));
    record(&mut store, 20, 1..=12);
    let told = receiver.wait_for(|told| has_all(told, 20, 12));
    Order::default().check(&told);
    let query = &told[0].query;
    assert!(
        query.contains("SdkAppid=1400000001&CallbackCommand=State.StateChange"),
        "{query}"
    );
    assert!(query.contains("&Sign="), "{query}");
    service.stop(STOP_WITHIN).unwrap();
    assert_eq!(store.reading().late_count(), 0);
    assert_eq!(store.reading().cursor().unwrap(), Position(240));
}

#[test]
fn a_receiver_that_is_down_costs_disk_and_gets_everything_later() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    // Nobody listens there until later.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let service = start(&store, settings(format!("http://{address}/callback")));
    record(&mut store, 300, 1..=10);
    let numbers = service.handle().numbers();
    let value = |name: &str| numbers.all().iter().find(|(known, ..)| *known == name).unwrap().2;
    let waited = std::time::Duration::from_millis(20);
    while value("callback_receiver_down_now") == 0 {
        std::thread::sleep(waited);
    }
    assert!(
        value("callbacks_delivered") == 0 && value("callbacks_failed") >= u64::from(target::FAILURES_MAX)
    );
    let receiver = Receiver::start_at(address, 0);
    let told = receiver.wait_for(|told| has_all(told, 300, 10));
    Order::default().check(&told);
    service.stop(STOP_WITHIN).unwrap();
}

#[test]
fn what_is_too_old_is_given_up_and_can_be_sent_again_or_dropped() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(100);
    let given_up = Settings {
        give_up: Duration::ZERO,
        ..settings(receiver.url())
    };
    let service = start(&store, given_up);
    record(&mut store, 2, 1..=2);
    let reading = store.reading();
    while reading.dead_count() < 4 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let dead = reading.dead(Position(0), 9).unwrap();
    receiver.set_trouble(0);
    let again = &dead[1].placed;
    service
        .handle()
        .replay(vec![(again.recorded.user, again.position)]);
    let told = receiver.wait_for(|told| !told.is_empty());
    assert!(told.len() == 1 && told[0].replayed, "{told:?}");
    service.handle().forget(&[dead[0].placed.position]).unwrap();
    // A later change goes its ordinary way.
    record(&mut store, 1, 3..=3);
    let told = receiver.wait_for(|told| told.len() == 2);
    assert_eq!(
        (told[1].change, told[1].previous, told[1].replayed),
        (3, 2, false)
    );
    service.stop(STOP_WITHIN).unwrap();
    assert_eq!(reading.dead_count(), 2);
}

/// A pump whose attempts the test makes itself: it is a receiver that holds each as long as it likes.
struct Held {
    pump: Pump,
    attempts: mpsc::UnboundedReceiver<Attempt>,
    now: Timestamp,
}

impl Held {
    fn new(store: &Embedded, settings: &Settings) -> Self {
        Self::of(store.reading(), settings)
    }

    fn of(source: Arc<dyn Source>, settings: &Settings) -> Self {
        let (sender, attempts) = mpsc::unbounded_channel();
        // Nobody wakes it: the test calls it.
        let wakes = crossbeam_channel::never();
        let pump = Pump::new(source, settings, wakes, sender, 1).unwrap();
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
        while self.pump.more {
            self.pump.work(self.now).unwrap();
        }
        std::iter::from_fn(|| self.attempts.try_recv().ok()).collect()
    }

    /// Passes by all that there is, without a receiver.
    fn pass_by(&mut self) {
        self.pump.pass_by(self.now).unwrap();
        while self.pump.more {
            self.pump.pass_by(self.now).unwrap();
        }
    }

    fn follow(&mut self, settings: &Settings) {
        let settings = Arc::new(settings.clone());
        self.pump
            .take(self.now, Wake::Settings(settings, Receipt::none()));
    }

    fn end(&mut self, attempt: Attempt, outcome: Outcome) {
        let ended = Wake::Ended(Box::new(attempt), outcome, Duration::ZERO);
        self.pump.take(self.now, ended);
    }

    fn replay(&mut self, dead: impl Iterator<Item = outbox::Dead>) {
        let letters = dead.map(|dead| (dead.placed.recorded.user, dead.placed.position));
        self.pump.take(self.now, Wake::Replay(letters.collect()));
    }
}

#[test]
fn a_callback_of_a_change_that_a_wrong_clock_dated_ahead_is_given_up() {
    const YEARS: u64 = 315_360_000_000;
    let give_up = Duration::from_secs(100);
    for with_receiver in [true, false] {
        let folder = TempDir::new().unwrap();
        let mut store = store(folder.path());
        let [alice, bob] = [b"alice".as_slice(), b"bob"].map(|name| UserId::new(name).unwrap());
        let ahead = Timestamp(FIRST_AT.0 + YEARS);
        let mut batch = vec![commit_at(&alice, 1, ahead), commit(&bob, 1)];
        store.work_off(Timestamp(1), &mut batch, &mut Vec::new());
        store.rest(Timestamp(1));
        let settings = Settings {
            give_up,
            ..settings("http://receiver".to_owned())
        };
        let mut held = Held::new(&store, &settings);
        let reading = store.reading();
        let mut look = |at_ms: u64| {
            held.now = Timestamp(FIRST_AT.0 + at_ms);
            if with_receiver {
                for attempt in held.work() {
                    held.end(attempt, refused());
                }
                held.work();
            } else {
                held.pass_by();
            }
            reading.dead_count()
        };
        assert_eq!(look(50_000), 0, "{with_receiver}");
        assert_eq!(look(100_001), 2, "{with_receiver}");
        let dead = reading.dead(Position(0), 9).unwrap();
        assert_eq!(dead[0].placed.recorded.change.at, ahead, "its own date is told");
    }
}

fn unreachable() -> Outcome {
    Outcome::Unreachable("no".to_owned())
}

fn refused() -> Outcome {
    Outcome::Refused("no".to_owned())
}

/// Of each attempt the user, the change and where it comes from.
fn named(attempts: &[Attempt]) -> Vec<(&str, u64, Origin)> {
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

#[test]
fn replays_of_a_user_leave_one_after_the_other_and_never_beside_another_callback_of_it() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 2, 1..=3);
    let mut held = Held::new(
        &store,
        &Settings {
            give_up: Duration::ZERO,
            ..settings("http://receiver".to_owned())
        },
    );
    let reading = store.reading();
    while reading.dead_count() < 6 {
        for attempt in held.work() {
            held.end(attempt, unreachable());
        }
        held.now.0 += 1_000_000;
    }
    let dead = reading.dead(Position(0), 9).unwrap();
    held.replay(dead.into_iter().rev());
    let first = held.work();
    let expected = [("user-0", 1, Origin::Dead), ("user-1", 1, Origin::Dead)];
    assert_eq!(named(&first), expected);
    let [zero, one] = <[Attempt; 2]>::try_from(first).unwrap();
    // The receiver holds the one of user-0.
    held.end(one, Outcome::Delivered);
    let second = held.work();
    assert_eq!(named(&second), [("user-1", 2, Origin::Dead)]);
    record(&mut store, 1, 4..=4);
    assert_eq!(named(&held.work()), [], "the new change waits for the replay");
    held.end(zero, Outcome::Delivered);
    let mut living = held.work();
    assert_eq!(named(&living), [("user-0", 4, Origin::Stream)]);
    assert_eq!(named(&held.work()), [], "the replay waits for the new change");
    held.end(living.remove(0), Outcome::Delivered);
    let mut next = held.work();
    assert_eq!(named(&next), [("user-0", 2, Origin::Dead)]);
    held.end(next.remove(0), unreachable());
    assert_eq!(named(&held.work()), [], "the third would overtake the second");
    let left = reading.dead(Position(0), 9).unwrap();
    let left = left.iter().map(|dead| dead.placed.recorded.change.number.0);
    assert_eq!(left.collect::<Vec<_>>(), [2, 2, 3, 3]);
}

#[test]
fn a_replay_does_not_leave_beside_a_late_callback_of_its_user() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 1, 1..=1);
    let mut settings = settings("http://receiver".to_owned());
    settings.give_up = Duration::ZERO;
    let mut held = Held::new(&store, &settings);
    let attempt = held.work().remove(0);
    held.end(attempt, unreachable());
    settings.give_up = FOR_EVER;
    held.pump
        .take(held.now, Wake::Settings(Arc::new(settings), Receipt::none()));
    record(&mut store, 1, 2..=2);
    let attempt = held.work().remove(0);
    held.end(attempt, unreachable());
    held.now.0 += 1_000_000;
    let mut late = held.work();
    assert_eq!(named(&late), [("user-0", 2, Origin::Late)]);
    held.replay(store.reading().dead(Position(0), 9).unwrap().into_iter());
    assert_eq!(named(&held.work()), []);
    held.end(late.remove(0), unreachable());
    let mut replayed = held.work();
    assert_eq!(named(&replayed), [("user-0", 1, Origin::Dead)]);
    held.now.0 += 1_000_000;
    assert_eq!(named(&held.work()), [], "the late one waits for the replay");
    held.end(replayed.remove(0), Outcome::Delivered);
    assert_eq!(named(&held.work()), [("user-0", 2, Origin::Late)]);
}

#[test]
fn a_callback_whose_change_is_gone_is_counted_and_holds_up_nobody() {
    let folder = TempDir::new().unwrap();
    let mut store = store_with(folder.path(), Duration::ZERO);
    let reading = store.reading();
    record(&mut store, 2, 1..=2);
    reading.take(&[OutboxStep::Cursor(Position(4))]).unwrap();
    store.rest(Timestamp(2_000_000_000_000));
    assert_eq!(reading.oldest().unwrap(), Position(3), "these are gone");
    record(&mut store, 2, 3..=3);
    let [zero, one] = [b"user-0", b"user-1"].map(|name| UserId::new(name).unwrap());
    let late = |user, place| OutboxStep::Late(user, Position(place));
    let due = |user| dispatch::due_at_once(Timestamp(0), user, Position(0));
    let steps = [
        OutboxStep::Cursor(Position(6)),
        late(zero, 1),
        late(zero, 3),
        late(zero, 5),
        due(zero),
        late(one, 2),
        late(one, 6),
        due(one),
    ];
    reading.take(&steps).unwrap();
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    let numbers = held.pump.numbers();
    let (mut told, mut lost) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        for attempt in held.work() {
            told.push(attempt.placed.position.0);
            held.end(attempt, Outcome::Delivered);
        }
        lost.push(numbers.lost.load(Ordering::Relaxed));
    }
    assert_eq!((told, lost), (vec![6, 5], vec![2, 3, 3, 3]));
    held.work();
    assert_eq!(reading.late_count(), 0);
    assert_eq!(reading.late_users(Timestamp(u64::MAX), 9).unwrap(), []);
}

#[test]
fn the_oldest_callback_is_named_whether_it_is_under_way_or_waits() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let mut settings = settings("http://receiver".to_owned());
    settings.url = None;
    let mut held = Held::new(&store, &settings);
    let numbers = held.pump.numbers();
    let oldest = |held: &mut Held| {
        held.pump.count();
        numbers.oldest().map(|at| at.0 - FIRST_AT.0)
    };
    assert_eq!(oldest(&mut held), None);
    record(&mut store, 2, 1..=2);
    held.pass_by();
    assert_eq!(oldest(&mut held), Some(1), "waits for a receiver");
    settings.url = ReceiverUrl::read("http://receiver").ok();
    held.pump
        .take(held.now, Wake::Settings(Arc::new(settings), Receipt::none()));
    let [zero, one] = <[Attempt; 2]>::try_from(held.work()).unwrap();
    assert_eq!(oldest(&mut held), Some(1), "under way");
    held.end(zero, unreachable());
    held.end(one, Outcome::Delivered);
    let mut second = held.work();
    assert_eq!(named(&second), [("user-1", 2, Origin::Stream)]);
    assert_eq!(oldest(&mut held), Some(1), "late");
    held.end(second.remove(0), Outcome::Delivered);
    held.now.0 += 1_000_000;
    let mut first = held.work();
    assert_eq!(oldest(&mut held), Some(1), "late, and under way");
    held.end(first.remove(0), Outcome::Delivered);
    let mut second = held.work();
    assert_eq!(named(&second), [("user-0", 2, Origin::Late)]);
    assert_eq!(oldest(&mut held), Some(2), "the next late one");
    held.end(second.remove(0), Outcome::Delivered);
    held.work();
    assert_eq!(oldest(&mut held), None);
    // What was noted of the store holds for what becomes late afterwards, too.
    record(&mut store, 1, 3..=3);
    let third = held.work().remove(0);
    held.end(third, unreachable());
    held.work();
    assert_eq!(oldest(&mut held), Some(3));
}

#[test]
fn a_user_that_floods_the_stream_has_a_share_of_the_window_and_keeps_nobody_out() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let flooded = window::WINDOW_MAX as u64 + 76;
    flood(&mut store, "flood", 1..=flooded);
    record(&mut store, 1, 1..=1);
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    let first = held.work();
    let named_first = named(&first);
    assert!(
        named_first.contains(&("user-0", 1, Origin::Stream)),
        "{named_first:?}"
    );
    assert!(
        named_first.contains(&("flood", 1, Origin::Late)),
        "{named_first:?}"
    );
    assert_eq!(
        held.pump.numbers().failed.load(Ordering::Relaxed),
        0,
        "nothing failed"
    );
    let (mut under_way, mut told) = (first, Vec::new());
    while !under_way.is_empty() {
        for attempt in under_way {
            told.extend(
                (attempt.placed.recorded.user.as_str() == "flood")
                    .then_some(attempt.placed.recorded.change.number.0),
            );
            held.end(attempt, Outcome::Delivered);
        }
        // Nothing has to be waited for.
        under_way = held.work();
    }
    assert_eq!(told, (1..=flooded).collect::<Vec<_>>());
    let reading = store.reading();
    assert_eq!(
        (reading.late_count(), reading.cursor().unwrap()),
        (0, reading.last())
    );
    flood(&mut store, "flood", flooded + 1..=flooded + 1);
    assert_eq!(
        named(&held.work()),
        [("flood", flooded + 1, Origin::Stream)],
        "it is a user like any other again"
    );
}

#[test]
fn what_was_under_way_of_a_user_that_was_set_aside_is_told_first_after_a_crash() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let settings = settings("http://receiver".to_owned());
    flood(&mut store, "flood", 1..=1);
    let mut held = Held::new(&store, &settings);
    let under_way = held.work();
    assert_eq!(named(&under_way), [("flood", 1, Origin::Stream)]);
    flood(&mut store, "flood", 2..=40);
    assert_eq!(named(&held.work()), [], "one after the other");
    assert_eq!(store.reading().late_count(), 39);
    // Whoever had it under way is gone.
    let mut held = Held::new(&store, &settings);
    for number in 1..=40 {
        let mut next = held.work();
        assert_eq!(named(&next), [("flood", number, Origin::Late)]);
        held.end(next.remove(0), Outcome::Delivered);
    }
    assert_eq!(named(&held.work()), []);
}

#[test]
fn a_user_that_was_set_aside_while_its_first_was_under_way_goes_on_in_order_if_that_fails() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    flood(&mut store, "flood", 1..=1);
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    let mut under_way = held.work();
    flood(&mut store, "flood", 2..=40);
    held.work();
    held.end(under_way.remove(0), refused());
    assert_eq!(named(&held.work()), [], "the failure has its wait");
    held.now.0 += 1_000_000;
    for number in 1..=40 {
        let mut next = held.work();
        assert_eq!(named(&next), [("flood", number, Origin::Late)]);
        held.end(next.remove(0), Outcome::Delivered);
    }
}

#[test]
fn late_users_leave_half_of_the_room_to_the_stream() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 20, 1..=1);
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    while store.reading().late_count() < 20 {
        for attempt in held.work() {
            held.end(attempt, refused());
        }
    }
    held.now.0 += 1_000_000;
    for user in 20..40 {
        flood(&mut store, &format!("user-{user}"), 1..=1);
    }
    let left = held.work();
    let of = |origin| left.iter().filter(|attempt| attempt.origin == origin).count();
    assert_eq!((of(Origin::Late), of(Origin::Stream)), (4, 4));
}

#[test]
fn a_late_user_and_the_stream_take_turns_where_there_is_one_attempt_at_a_time() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 2, 1..=3);
    let mut settings = settings("http://receiver".to_owned());
    settings.parallel = 1;
    let mut held = Held::new(&store, &settings);
    let first = held.work().remove(0);
    held.end(first, refused());
    let mut told = Vec::new();
    for _ in 0..6 {
        held.now.0 += 1_000_000;
        let mut next = held.work();
        told.extend(
            named(&next)
                .iter()
                .map(|(user, number, _)| format!("{user} {number}")),
        );
        held.end(next.remove(0), Outcome::Delivered);
    }
    let first_four = ["user-0 1", "user-1 1", "user-0 2", "user-1 2"];
    assert_eq!(told[..4], first_four, "{told:?}");
}

#[test]
fn a_refusal_is_its_users_affair_and_says_that_the_receiver_is_up() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let users = 2 * target::FAILURES_MAX as usize;
    record(&mut store, users, 1..=1);
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    let down = |held: &mut Held| {
        held.pump.count();
        held.pump.numbers().down.load(Ordering::Relaxed)
    };
    for _ in 0..users {
        for attempt in held.work() {
            held.end(attempt, refused());
        }
    }
    assert_eq!(down(&mut held), 0);
    assert_eq!(store.reading().late_count(), users as u64);
    flood(&mut store, "another", 1..=1);
    let mut next = held.work();
    assert_eq!(
        named(&next),
        [("another", 1, Origin::Stream)],
        "nobody else waits"
    );
    held.end(next.remove(0), Outcome::Delivered);
    // The late ones find nobody, until the receiver counts as down; then it refuses one.
    held.now.0 += 1_000_000;
    while down(&mut held) == 0 {
        for attempt in held.work() {
            held.end(attempt, unreachable());
        }
    }
    held.now.0 += 1_000_000;
    let attempt = held.work().remove(0);
    held.end(attempt, refused());
    assert_eq!(down(&mut held), 0);
}

#[test]
fn users_that_a_receiver_refuses_keep_nobody_else_waiting() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(0);
    let refused: Vec<String> = (0..40).map(|user| format!("user-{user}")).collect();
    receiver.refuse(&refused);
    let service = start(&store, settings(receiver.url()));
    record(&mut store, 41, 1..=3);
    let told = receiver.wait_for(|told| told.len() == 3);
    assert!(told.iter().all(|told| told.user == "user-40"));
    receiver.wait_for_refusals(80);
    let numbers = service.handle().numbers();
    assert_eq!(numbers.down.load(Ordering::Relaxed), 0);
    receiver.refuse(&[]);
    let told = receiver.wait_for(|told| has_all(told, 41, 3));
    Order::default().check(&told);
    service.stop(STOP_WITHIN).unwrap();
}

const DAY_MS: u64 = 86_400_000;

fn given_up_after_a_day() -> Settings {
    Settings {
        give_up: Duration::from_secs(86_400),
        dead_kept: Duration::from_secs(3 * 86_400),
        ..settings("http://receiver".to_owned())
    }
}

#[test]
fn without_a_receiver_all_is_given_up_by_age_and_pruning_goes_on() {
    let folder = TempDir::new().unwrap();
    let mut store = store_with(folder.path(), Duration::from_secs(86_400));
    let reading = store.reading();
    record(&mut store, 2, 1..=2);
    let mut held = Held::new(&store, &given_up_after_a_day());
    held.now = FIRST_AT;
    // user-0 is late, user-1 has one left in the window, and one more change of each was not read.
    let [zero, one] = <[Attempt; 2]>::try_from(held.work()).unwrap();
    held.end(zero, refused());
    held.end(one, Outcome::Delivered);
    held.pump.work(held.now).unwrap();
    record(&mut store, 2, 3..=3);
    let none = Settings {
        url: None,
        ..given_up_after_a_day()
    };
    held.pump
        .take(held.now, Wake::Settings(Arc::new(none), Receipt::none()));
    let unsent = held.attempts.try_recv().unwrap();
    held.end(unsent, Outcome::Unsent);
    held.pass_by();
    assert_eq!((reading.dead_count(), reading.late_count()), (0, 2));
    held.now.0 += DAY_MS + 2;
    held.pass_by();
    assert_eq!(
        (reading.dead_count(), reading.late_count()),
        (3, 0),
        "the last two are a moment younger"
    );
    held.now.0 += 10;
    held.pass_by();
    let dead = reading.dead(Position(0), 9).unwrap();
    let attempts = dead.iter().map(|dead| (dead.placed.position.0, dead.attempts));
    assert_eq!(
        attempts.collect::<Vec<_>>(),
        [(1, 1), (3, 0), (4, 0), (5, 0), (6, 0)]
    );
    assert!(
        dead[0].fault.contains("callback.url is empty"),
        "{}",
        dead[0].fault
    );
    assert_eq!(reading.cursor().unwrap(), Position(6));
    assert_eq!(
        reading.late_users(Timestamp(u64::MAX), 9).unwrap(),
        [],
        "nobody is late any more"
    );
    store.rest(Timestamp(held.now.0 + DAY_MS));
    assert_eq!(
        reading.oldest().unwrap(),
        Position(5),
        "all but the newest change are pruned"
    );
}

#[test]
fn a_receiver_that_is_down_keeps_nothing_beyond_its_age_and_is_still_tried() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let reading = store.reading();
    let users = target::FAILURES_MAX as usize;
    record(&mut store, users, 1..=1);
    let mut held = Held::new(&store, &given_up_after_a_day());
    held.now = FIRST_AT;
    while reading.late_count() < users as u64 {
        for attempt in held.work() {
            held.end(attempt, unreachable());
        }
    }
    record(&mut store, users, 2..=4);
    held.work().clear();
    held.now.0 += DAY_MS + 100;
    let mut tried = held.work();
    assert!(reading.late_count() <= 1, "but for the one that is under way");
    record(&mut store, 1, 5..=5);
    while let Some(attempt) = tried.pop() {
        held.end(attempt, unreachable());
        held.now.0 += 10_000;
        held.pump.work(held.now).unwrap();
        tried.extend(held.attempts.try_recv());
        if reading.dead_count() == 4 * users as u64 {
            break;
        }
    }
    assert_eq!(reading.dead_count(), 4 * users as u64);
    if tried.is_empty() {
        held.now.0 += 10_000;
        tried = held.work();
    }
    assert_eq!(named(&tried)[0].1, 5, "what is young is what it is tried with");
}

#[test]
fn dead_letters_are_dropped_by_age() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let reading = store.reading();
    record(&mut store, 300, 1..=1);
    let none = Settings {
        url: None,
        ..given_up_after_a_day()
    };
    let mut held = Held::new(&store, &none);
    held.now = Timestamp(FIRST_AT.0 + DAY_MS + 100);
    held.pass_by();
    assert_eq!(reading.dead_count(), 300);
    held.now.0 += 3 * DAY_MS - 1;
    for _ in 0..3 {
        held.pass_by();
    }
    assert_eq!(reading.dead_count(), 300, "a millisecond is left");
    // They are looked at again after ten minutes.
    held.now.0 += 600_000;
    for _ in 0..3 {
        held.pass_by();
    }
    assert_eq!(reading.dead_count(), 0);
}

#[test]
fn late_callbacks_can_be_dropped_of_one_user_and_of_all() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let reading = store.reading();
    record(&mut store, 3, 1..=2);
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    for attempt in held.work() {
        held.end(attempt, refused());
    }
    held.work();
    assert_eq!(reading.late_count(), 6);
    let drop_late = |held: &mut Held, user: Option<&[u8]>| {
        let (answer, answered) = bounded(1);
        let user = user.map(|name| UserId::new(name).unwrap());
        held.pump.take(held.now, Wake::DropLate(user, answer));
        held.pump.drop_some();
        answered.recv().unwrap().unwrap()
    };
    assert_eq!(drop_late(&mut held, Some(b"user-1")), 2);
    assert_eq!(reading.late_count(), 4);
    assert_eq!(drop_late(&mut held, None), 4);
    assert_eq!(reading.late_count(), 0);
    held.now.0 += 1_000_000;
    assert_eq!(named(&held.work()), []);
    record(&mut store, 3, 3..=3);
    assert_eq!(held.work().len(), 3, "they are users like any other again");
}

#[test]
fn a_receiver_that_was_down_until_all_was_given_up_is_found_again() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(100);
    let given_up = Settings {
        give_up: Duration::ZERO,
        timeout: Duration::from_millis(50),
        ..settings(receiver.url())
    };
    let service = start(&store, given_up);
    // So that the last one that fails makes it count as down: nothing is left to try it with but what is new.
    let users = target::FAILURES_MAX;
    record(&mut store, users as usize, 1..=1);
    let reading = store.reading();
    while reading.dead_count() < u64::from(users) {
        std::thread::sleep(Duration::from_millis(20));
    }
    receiver.set_trouble(0);
    record(&mut store, 1, 2..=2);
    receiver.wait_for(|told| told.iter().any(|told| told.change == 2));
    service.stop(STOP_WITHIN).unwrap();
}

#[test]
fn a_user_that_fails_for_ever_does_not_keep_the_others_from_a_receiver_that_seems_down() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 2, 1..=1);
    let [bad, good] = &store.reading().due(Position(0), 2).unwrap().0[..] else {
        panic!("two changes")
    };
    let (mut now, mut steps) = (Timestamp(1), Vec::new());
    let mut dispatch = dispatch::Dispatch::new(Position(0), 8, FOR_EVER, 1);
    dispatch.take(now, bad.clone(), &mut steps);
    let attempt = dispatch.next(now).unwrap();
    dispatch.ended(now, &attempt, unreachable(), &mut steps);
    let late = |steps: &[OutboxStep]| match steps.last() {
        Some(OutboxStep::Schedule(late)) => late.clone(),
        other => panic!("{other:?}"),
    };
    for _ in 0..=target::FAILURES_MAX {
        now.0 += 1_000_000;
        assert_eq!(dispatch.room_aside(now), if dispatch.is_down() { 1 } else { 4 });
        let attempt = dispatch.begin_late(&late(&steps), bad.clone());
        dispatch.ended(now, &attempt, unreachable(), &mut steps);
    }
    assert!(dispatch.is_down());
    assert_eq!(dispatch.wants().map(|(_, room)| room), Some(1));
    dispatch.take(now, good.clone(), &mut steps);
    now.0 += 1_000_000;
    let order = [Origin::Stream, Origin::Late, Origin::Dead];
    assert_eq!(dispatch.order(), order, "the late one had its turn");
    let attempt = dispatch.next(now).unwrap();
    assert_eq!(attempt.placed, *good);
    dispatch.ended(now, &attempt, Outcome::Delivered, &mut steps);
    assert!(!dispatch.is_down());
}

#[test]
fn a_restart_goes_on_where_it_was_and_repeats_rather_than_forgets() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(10);
    for round in 0..4 {
        let service = start(&store, settings(receiver.url()));
        record(&mut store, 10, 5 * round + 1..=5 * (round + 1));
        receiver.wait_for(|told| told.len() as u64 >= 40 * (round + 1));
        // Nothing is waited for: what is under way is told again.
        service.stop(Duration::ZERO).unwrap();
    }
    let service = start(&store, settings(receiver.url()));
    let told = receiver.wait_for(|told| has_all(told, 10, 20));
    Order::default().check(&told);
    service.stop(STOP_WITHIN).unwrap();
}

#[test]
fn other_settings_count_from_the_next_attempt_on() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let (old, new) = (Receiver::start(0), Receiver::start(0));
    let service = start(&store, settings(old.url()));
    record(&mut store, 1, 1..=1);
    old.wait_for(|told| told.len() == 1);
    service.handle().update(settings(new.url()), Receipt::none());
    record(&mut store, 1, 2..=2);
    let told = new.wait_for(|told| !told.is_empty());
    assert_eq!((told[0].change, told[0].previous), (2, 1));
    service.stop(STOP_WITHIN).unwrap();
}

/// A server's settings with a certificate of its own, and the certificate as a file.
fn certificate(folder: &Path) -> (Arc<rustls::ServerConfig>, PathBuf) {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let path = folder.join("receiver.pem");
    std::fs::write(&path, own.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    (Arc::new(config), path)
}

#[test]
fn callbacks_go_over_tls_to_a_receiver_that_is_vouched_for() {
    let folder = TempDir::new().unwrap();
    let (config, ca_file) = certificate(folder.path());
    let receiver = Receiver::start_tls(config);
    let url = receiver.url().replace("http:", "https:");
    let mut store = store(&folder.path().join("store"));
    let service = start(&store, settings(url.clone()));
    record(&mut store, 1, 1..=2);
    let handle = service.handle();
    let failed = || handle.numbers().failed.load(Ordering::Relaxed);
    while failed() == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(receiver.told().is_empty(), "nobody vouches for it");
    let trusting = Settings {
        trust: Trust::read(Some(&ca_file)).unwrap(),
        ..settings(url)
    };
    handle.update(trusting, Receipt::none());
    let told = receiver.wait_for(|told| has_all(told, 1, 2));
    Order::default().check(&told);
    service.stop(STOP_WITHIN).unwrap();
}

#[test]
fn a_file_without_a_certificate_vouches_for_nobody() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for text in ["", "not a certificate\n"] {
        std::fs::write(file.path(), text).unwrap();
        let refused = Trust::read(Some(file.path())).unwrap_err().to_string();
        assert!(refused.ends_with("there is no certificate in it"), "{refused}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = TempDir::new().unwrap();
    let missing = Trust::read(Some(&folder.path().join("nobody.pem"))).unwrap_err();
    assert!(missing.to_string().contains("nobody.pem"), "{missing}");
}

#[test]
fn settings_without_a_receiver_count_when_nothing_is_under_way_any_more() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(0);
    receiver.hold();
    let service = start(
        &store,
        Settings {
            timeout: Duration::from_secs(600),
            ..settings(receiver.url())
        },
    );
    record(&mut store, 20, 1..=1);
    receiver.wait_for_held(8);
    let (receipt, receipts) = Receipt::new();
    let none = Settings {
        url: None,
        ..settings(receiver.url())
    };
    service.handle().update(none.clone(), receipt);
    // What was taken after it is behind it.
    let (receipt, later) = Receipt::new();
    service.handle().update(none, receipt);
    assert!(!receipts.are_in(), "eight are under way");
    receiver.go_on();
    assert!(later.wait(STOP_WITHIN) && receipts.are_in());
    assert_eq!(receiver.told().len(), 8, "no others leave");
    service.handle().update(settings(receiver.url()), Receipt::none());
    let told = receiver.wait_for(|told| has_all(told, 20, 1));
    Order::default().check(&told);
    service.stop(STOP_WITHIN).unwrap();
}
