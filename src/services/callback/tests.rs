//! Real HTTP, a real store, and receivers of all kinds.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use super::dispatch::Origin;
use super::*;
use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, ShardId, UserId};
use crate::logic::letter::{ToRegistry, ToShard, UserKey};
use crate::logic::record::{AccountStep, Callbacks, Change, ChangeKind, Commit};
use crate::services::registry::embedded::{Durability, Embedded, Place, Rules};
use crate::services::registry::outbox::{self, Outbox};
use crate::services::registry::{Answer, Store};

#[path = "../../../tests/support/receiver.rs"]
#[allow(unreachable_pub, reason = "shared with the tests outside")]
mod receiver;
use receiver::{Order, Receiver};

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
    };
    Embedded::open(place, rules).unwrap()
}

fn settings(url: String) -> Settings {
    Settings {
        sdk_app_id: 1_400_000_001,
        url: Some(url),
        token: Some(Token("cb-token-01".to_owned())),
        parallel: 8,
        timeout: Duration::from_millis(300),
        give_up: FOR_EVER,
        ca_file: None,
    }
}

fn start(store: &Embedded, settings: Settings) -> Service {
    Service::start(settings, store.reading(), store.news(), Clock::start()).unwrap()
}

fn commit(user: &UserId, number: u64) -> ToRegistry {
    let kind = match number % 2 {
        1 => ChangeKind::Login {
            fresh: ChangeNumber(number),
            forced_off: Vec::new(),
        },
        _ => ChangeKind::Logout,
    };
    let change = Change {
        number: ChangeNumber(number),
        at: Timestamp(FIRST_AT.0 + number),
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
        let done = |answer: &Answer| matches!(answer, Answer::Shard(_, ToShard::Committed(_, Ok(()))));
        assert!(answers.iter().all(done));
        store.rest(Timestamp(1));
    }
}

fn has_all(told: &[receiver::Told], users: usize, changes: u64) -> bool {
    let mut pairs: Vec<(&str, u64)> = told.iter().map(|told| (&*told.user, told.change)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs.len() as u64 == users as u64 * changes
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
        let (sender, attempts) = mpsc::unbounded_channel();
        // Nobody wakes it: the test calls it.
        let wakes = crossbeam_channel::never();
        let pump = Pump::new(store.reading(), settings, wakes, sender, 1).unwrap();
        let now = Timestamp(1_700_000_001_000);
        Self { pump, attempts, now }
    }

    /// What leaves now.
    fn work(&mut self) -> Vec<Attempt> {
        self.pump.work(self.now).unwrap();
        std::iter::from_fn(|| self.attempts.try_recv().ok()).collect()
    }

    fn end(&mut self, attempt: Attempt, outcome: Result<(), &str>) {
        let outcome = outcome.map_err(str::to_owned);
        let ended = Wake::Ended(Box::new(attempt), outcome, Duration::ZERO);
        self.pump.take(self.now, ended);
    }

    fn replay(&mut self, dead: impl Iterator<Item = outbox::Dead>) {
        let letters = dead.map(|dead| (dead.placed.recorded.user, dead.placed.position));
        self.pump.take(self.now, Wake::Replay(letters.collect()));
    }
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
            held.end(attempt, Err("no"));
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
    held.end(one, Ok(()));
    let second = held.work();
    assert_eq!(named(&second), [("user-1", 2, Origin::Dead)]);
    record(&mut store, 1, 4..=4);
    assert_eq!(named(&held.work()), [], "the new change waits for the replay");
    held.end(zero, Ok(()));
    let mut living = held.work();
    assert_eq!(named(&living), [("user-0", 4, Origin::Stream)]);
    assert_eq!(named(&held.work()), [], "the replay waits for the new change");
    held.end(living.remove(0), Ok(()));
    let mut next = held.work();
    assert_eq!(named(&next), [("user-0", 2, Origin::Dead)]);
    held.end(next.remove(0), Err("no"));
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
    held.end(attempt, Err("no"));
    settings.give_up = FOR_EVER;
    held.pump.take(held.now, Wake::Settings(Arc::new(settings)));
    record(&mut store, 1, 2..=2);
    let attempt = held.work().remove(0);
    held.end(attempt, Err("no"));
    held.now.0 += 1_000_000;
    let mut late = held.work();
    assert_eq!(named(&late), [("user-0", 2, Origin::Late)]);
    held.replay(store.reading().dead(Position(0), 9).unwrap().into_iter());
    assert_eq!(named(&held.work()), []);
    held.end(late.remove(0), Err("no"));
    let mut replayed = held.work();
    assert_eq!(named(&replayed), [("user-0", 1, Origin::Dead)]);
    held.now.0 += 1_000_000;
    assert_eq!(named(&held.work()), [], "the late one waits for the replay");
    held.end(replayed.remove(0), Ok(()));
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
            held.end(attempt, Ok(()));
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
    held.pump.pass_by().unwrap();
    assert_eq!(oldest(&mut held), Some(1), "waits for a receiver");
    settings.url = Some("http://receiver".to_owned());
    held.pump.take(held.now, Wake::Settings(Arc::new(settings)));
    let [zero, one] = <[Attempt; 2]>::try_from(held.work()).unwrap();
    assert_eq!(oldest(&mut held), Some(1), "under way");
    held.end(zero, Err("no"));
    held.end(one, Ok(()));
    let mut second = held.work();
    assert_eq!(named(&second), [("user-1", 2, Origin::Stream)]);
    assert_eq!(oldest(&mut held), Some(1), "late");
    held.end(second.remove(0), Ok(()));
    held.now.0 += 1_000_000;
    let mut first = held.work();
    assert_eq!(oldest(&mut held), Some(1), "late, and under way");
    held.end(first.remove(0), Ok(()));
    let mut second = held.work();
    assert_eq!(named(&second), [("user-0", 2, Origin::Late)]);
    assert_eq!(oldest(&mut held), Some(2), "the next late one");
    held.end(second.remove(0), Ok(()));
    held.work();
    assert_eq!(oldest(&mut held), None);
    // What was noted of the store holds for what becomes late afterwards, too.
    record(&mut store, 1, 3..=3);
    let third = held.work().remove(0);
    held.end(third, Err("no"));
    held.work();
    assert_eq!(oldest(&mut held), Some(3));
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
    dispatch.take(bad.clone());
    let attempt = dispatch.next(now).unwrap();
    dispatch.ended(now, &attempt, Err("no".to_owned()), &mut steps);
    let late = |steps: &[OutboxStep]| match steps.last() {
        Some(OutboxStep::Schedule(late)) => late.clone(),
        other => panic!("{other:?}"),
    };
    for _ in 0..=target::FAILURES_MAX {
        now.0 += 1_000_000;
        assert_eq!(
            dispatch.room_for_late(now),
            if dispatch.is_down() { 1 } else { 8 }
        );
        let attempt = dispatch.begin_late(&late(&steps), bad.clone());
        dispatch.ended(now, &attempt, Err("no".to_owned()), &mut steps);
    }
    assert!(dispatch.is_down());
    assert_eq!(dispatch.wants().map(|(_, room)| room), Some(1));
    dispatch.take(good.clone());
    now.0 += 1_000_000;
    assert_eq!(dispatch.room_for_late(now), 0, "the late one had its turn");
    let attempt = dispatch.next(now).unwrap();
    assert_eq!(attempt.placed, *good);
    dispatch.ended(now, &attempt, Ok(()), &mut steps);
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
    service.handle().update(settings(new.url()));
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
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
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
    handle.update(Settings {
        ca_file: Some(ca_file),
        ..settings(url)
    });
    let told = receiver.wait_for(|told| has_all(told, 1, 2));
    Order::default().check(&told);
    service.stop(STOP_WITHIN).unwrap();
}

#[test]
fn a_file_without_a_certificate_vouches_for_nobody() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for text in ["", "not a certificate\n"] {
        std::fs::write(file.path(), text).unwrap();
        let refused = check_ca_file(file.path()).unwrap_err().to_string();
        assert!(refused.ends_with("there is no certificate in it"), "{refused}");
    }
}

#[test]
fn a_receiver_with_tls_must_be_known() {
    let folder = TempDir::new().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let missing = Settings {
        ca_file: Some(folder.path().join("nobody.pem")),
        ..settings(format!("https://{address}/"))
    };
    let store = store(&folder.path().join("store"));
    let refused = Service::start(missing, store.reading(), store.news(), Clock::start()).unwrap_err();
    assert!(refused.to_string().contains("nobody.pem"), "{refused}");
}
