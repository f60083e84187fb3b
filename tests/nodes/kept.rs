//! A store on disk for tests: filled by the real writer with users of every kind, and read back as a whole.

use std::path::Path;

use holdfast::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, RequestId, ShardId, UserId};
use holdfast::base::time::{Clock, Timestamp};
use holdfast::logic::delivery::{AccountsRequest, Delivery, ToRegistry, ToShard, UserKey};
use holdfast::logic::record::{
    AccountStep, Callbacks, Change, ChangeKind, Commit, RecordedChange, Status, UserRecord,
};
use holdfast::services::registry::Store;
use holdfast::services::registry::archive::{Archive, Position};
use holdfast::services::registry::embedded::{
    Durability, EmbeddedSettings, EmbeddedStore, StoreLocation, StoreReader,
};
use holdfast::services::registry::outbox::{Dead, Late, LateUser, Outbox, OutboxStep};

/// Commits of one write.
const AT_ONCE: usize = 2_000;

const DAY_MS: u64 = 86_400_000;

/// A fault that dead letters name.
const FAULT: &str = "503, and a ü";

pub fn open(path: &Path) -> EmbeddedStore {
    let place = StoreLocation {
        path: path.to_owned(),
        memory_bytes_max: 256 << 20,
    };
    let settings = EmbeddedSettings {
        durability: Durability::Relaxed,
        callbacks: tokio::sync::watch::channel(Callbacks::All).1,
        changes_kept_ms: 7 * DAY_MS,
        deleted_kept_ms: 400 * DAY_MS,
    };
    EmbeddedStore::open(place, settings).unwrap()
}

pub fn now() -> Timestamp {
    Clock::start().now().wall
}

pub fn user(number: usize) -> UserId {
    UserId::new(format!("user-{number}").as_bytes()).unwrap()
}

/// The changes of a user by its number, as often as they come; what is done in a round follows the rounds before it.
fn commits(number: usize, round: usize, at: Timestamp) -> Option<ToRegistry> {
    let device = |platform| DeviceId {
        platform,
        instance: InstanceId::new(number as u64 + 1).unwrap(),
    };
    let (phone, desk) = (device(Platform::Android), device(Platform::Windows));
    let login = |fresh: u64, forced_off| ChangeKind::Login {
        fresh: ChangeNumber(fresh),
        forced_off,
    };
    let first = vec![(phone, login(1, Vec::new()))];
    let (kinds, kicked_at_s, account) = match (number % 8, round) {
        (0, 0) => {
            let import = AccountsRequest::Import;
            return Some(ToRegistry::Accounts(RequestId(0), import, vec![user(number)]));
        }
        (1.., 0) => (first, None, AccountStep::Keep),
        (2, 1) => (vec![(phone, ChangeKind::LinkEnd)], None, AccountStep::Keep),
        (3, 1) => (vec![(phone, ChangeKind::Logout)], None, AccountStep::Keep),
        (4, 1) => (
            vec![(phone, ChangeKind::Kick)],
            Some(at.0 / 1_000),
            AccountStep::Keep,
        ),
        (5, 1) => (
            vec![(phone, ChangeKind::Deletion)],
            Some(at.0 / 1_000),
            AccountStep::Delete,
        ),
        (6, 1) => {
            let forced_off = vec![(phone, Status::Online)];
            (vec![(desk, login(2, forced_off))], None, AccountStep::Keep)
        }
        (7, 1..) => {
            let next = 2 * round as u64;
            let kinds = vec![(phone, ChangeKind::Logout), (phone, login(next + 1, Vec::new()))];
            (kinds, None, AccountStep::Keep)
        }
        _ => return None,
    };
    let start = match round {
        0 => 1,
        round => 2 * round as u64,
    };
    let change = |((device, kind), number): ((DeviceId, ChangeKind), u64)| Change {
        number: ChangeNumber(number),
        at,
        device,
        kind,
        address: (number % 3 == 0).then(|| format!("2001:db8::{number}").parse().unwrap()),
    };
    let commit = Commit {
        user: user(number),
        changes: kinds.into_iter().zip(start..).map(change).collect(),
        kicked_at_s,
        account,
    };
    Some(ToRegistry::Commit(ShardId(0), UserKey(0), Box::new(commit)))
}

/// Puts so many users on record, in some rounds of all users. The first round is older than changes are kept, and pruned.
pub fn fill(path: &Path, users: usize, rounds: usize) {
    let mut store = open(path);
    let (now, begun) = (now(), store.reader().last());
    let old = Timestamp(now.0 - 8 * DAY_MS);
    for round in 0..rounds {
        let at = Timestamp(if round == 0 {
            old.0
        } else {
            now.0 - 1_000 + round as u64
        });
        let requests = (0..users).filter_map(|number| commits(number, round, at));
        let mut requests = requests.peekable();
        while requests.peek().is_some() {
            let mut batch: Vec<_> = requests.by_ref().take(AT_ONCE).collect();
            let (count, mut answers) = (batch.len(), Vec::new());
            store.work_off(now, &mut batch, &mut answers);
            let is_done =
                |answer: &Delivery| !matches!(answer, Delivery::Shard(_, ToShard::Committed(_, Err(_))));
            assert!(answers.len() == count && answers.iter().all(is_done));
        }
        store.rest(now);
        if round == 0 {
            give_up_old(&store, begun, now);
        }
    }
    fall_behind(&store.reader(), now);
    store.close(now);
}

/// The first round is told, but for two callbacks that were given up. Then all of it is pruned.
fn give_up_old(store: &EmbeddedStore, begun: Position, now: Timestamp) {
    let reader = store.reader();
    let old = reader.changes(begun, 2).unwrap();
    let mut steps: Vec<_> = old.into_iter().map(|placed| bury(placed, now)).collect();
    steps.push(OutboxStep::Cursor(reader.last()));
    reader.take(&steps).unwrap();
}

fn bury(placed: holdfast::services::registry::archive::Placed, now: Timestamp) -> OutboxStep {
    OutboxStep::Bury(Dead {
        placed,
        attempts: 9,
        at: now,
        fault: FAULT.to_owned(),
    })
}

/// Of the newest changes, the last are to be told, and before them each tenth is late, or dead.
fn fall_behind(reader: &StoreReader, now: Timestamp) {
    let last = reader.last();
    let from = Position(last.0 - 200);
    let mut steps = vec![OutboxStep::Cursor(Position(last.0 - 50))];
    for placed in reader.changes(from, 150).unwrap() {
        match placed.position.0 % 20 {
            3 => steps.push(bury(placed, now)),
            7 => {
                let user = placed.recorded.user;
                steps.push(OutboxStep::Late(user, placed.position));
                steps.push(OutboxStep::Schedule(LateUser {
                    user,
                    attempts: 4,
                    next_at: Timestamp(now.0 + 5_000),
                    after: Position(0),
                }));
            }
            _ => {}
        }
    }
    reader.take(&steps).unwrap();
}

/// Prunes what is old, as a gateway does beside its work. Gives up to where.
pub fn prune(path: &Path) -> Position {
    let mut store = open(path);
    let (reader, now) = (store.reader(), now());
    let mut before = None;
    while before != Some(reader.oldest().unwrap()) {
        before = Some(reader.oldest().unwrap());
        store.rest(now);
    }
    store.close(now);
    reader.oldest().unwrap()
}

/// All that is kept beside users, without places.
#[derive(Debug, PartialEq)]
pub struct KeptOutbox {
    /// Users and numbers of changes that are to be told: late ones with how often they were tried.
    pub untold: Vec<(UserId, u64)>,
    pub attempts: Vec<(UserId, u32)>,
    pub dead: Vec<(UserId, u64, u32, Timestamp, String)>,
}

/// What the callback service keeps. Users that are late only because others were told already have tried nothing.
pub fn outbox(path: &Path) -> KeptOutbox {
    let store = open(path);
    let reader = store.reader();
    let mut untold = Vec::new();
    let mut attempts = Vec::new();
    for (user, late) in reader.late(Position(0), usize::MAX).unwrap() {
        let Late::There(placed) = late else {
            panic!("a late callback's change is there");
        };
        untold.push((user, placed.recorded.change.number.0));
        let known = reader.late_user(&user).unwrap().unwrap();
        attempts.extend((known.attempts > 0).then_some((user, known.attempts)));
    }
    let cursor = reader.cursor().unwrap();
    let behind = match cursor < reader.last() {
        true => reader.changes(cursor, usize::MAX).unwrap(),
        false => Vec::new(),
    };
    let owing = behind
        .into_iter()
        .filter(|placed| placed.recorded.previous.is_some());
    untold.extend(owing.map(|placed| (placed.recorded.user, placed.recorded.change.number.0)));
    let dead = reader
        .dead(Position(0), usize::MAX)
        .unwrap()
        .into_iter()
        .map(|dead| {
            let recorded = dead.placed.recorded;
            (
                recorded.user,
                recorded.change.number.0,
                dead.attempts,
                dead.at,
                dead.fault,
            )
        });
    let mut kept = KeptOutbox {
        untold,
        attempts,
        dead: dead.collect(),
    };
    kept.untold.sort();
    kept.attempts.sort();
    kept.attempts.dedup();
    kept.dead.sort();
    kept
}

/// Sees to it that two stores have the same of all these users: records, and changes that are kept. Gives how many changes.
pub fn compare_users(one: &Path, other: &Path, users: impl Iterator<Item = UserId>) -> usize {
    let (mut one, mut other) = (open(one), open(other));
    let mut count = 0;
    for user in users {
        let (known, changes) = known(&mut one, user);
        assert!(known.is_some(), "{user}");
        assert_eq!(
            (&known, &changes),
            (&self::known(&mut other, user).0, &self::known(&mut other, user).1),
            "{user}"
        );
        count += changes.len();
    }
    count
}

/// The record of a user, and the changes that are kept of it.
pub fn known(store: &mut EmbeddedStore, user: UserId) -> (Option<Box<UserRecord>>, Vec<RecordedChange>) {
    let (mut request, mut answer) = (vec![ToRegistry::Load(ShardId(0), UserKey(0), user)], Vec::new());
    store.work_off(now(), &mut request, &mut answer);
    let Some(Delivery::Shard(_, ToShard::Loaded(_, Ok(record)))) = answer.pop() else {
        panic!("the record of {user} is not read");
    };
    let changes = store
        .reader()
        .changes_of(&user, ChangeNumber(0), usize::MAX)
        .unwrap();
    (
        record,
        changes.into_iter().map(|placed| placed.recorded).collect(),
    )
}

/// Every change of a store in its order, and how many are before the first.
pub fn stream(path: &Path) -> (Position, Vec<RecordedChange>) {
    let reader = open(path).reader();
    let oldest = reader.oldest().unwrap();
    let changes = reader.changes(oldest, usize::MAX).unwrap();
    (
        oldest,
        changes.into_iter().map(|placed| placed.recorded).collect(),
    )
}
