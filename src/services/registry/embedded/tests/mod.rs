//! The embedded store on a real disk: what the tests share.

mod cut_tables;
mod damaged_files;
mod deleted_accounts;
mod failing_disk;
mod flipped_bits;
mod promises;
mod salvaged;
mod wrong_clocks;

use std::path::Path;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use tokio::sync::watch;

use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, RequestId, ShardId, UserId};
use crate::base::time::Timestamp;
use crate::logic::delivery::{
    AccountsRequest, Delivery, RegistryError, ToHttp, ToRegistry, ToShard, UserKey,
};
use crate::logic::record::{AccountStep, Callbacks, Change, ChangeKind, Commit, RecordedChange, UserRecord};
use crate::services::registry::archive::{Archive, Placed, Position, ReadError};
use crate::services::registry::codec::{self, StoredRecord};
use crate::services::registry::embedded::reader::StoreReader;
use crate::services::registry::embedded::settings::{Durability, EmbeddedSettings, StoreLocation};
use crate::services::registry::embedded::writer::EmbeddedStore;
use crate::services::registry::embedded::{OpenError, check, errors, files, raw, salvage, verify};
use crate::services::registry::outbox::{Dead, Late, LateUser, Outbox, OutboxStep};
use crate::services::registry::store::Store;

const DAY_MS: u64 = 86_400_000;

/// 2026-02-16: a day on which a kick can have been made.
const KICKS_COUNT: u64 = 20_500 * DAY_MS;

pub(super) fn rules() -> EmbeddedSettings {
    EmbeddedSettings {
        durability: Durability::Commit,
        callbacks: watch::channel(Callbacks::Documented).1,
        changes_kept_ms: 7 * DAY_MS,
        deleted_kept_ms: 400 * DAY_MS,
    }
}

pub(super) fn place(path: &Path) -> StoreLocation {
    StoreLocation {
        path: path.to_owned(),
        memory_bytes_max: 16 << 20,
    }
}

pub(super) fn open(path: &Path) -> EmbeddedStore {
    EmbeddedStore::open(place(path), rules()).unwrap()
}

pub(super) fn user(name: &str) -> UserId {
    UserId::new(name.as_bytes()).unwrap()
}

fn device() -> DeviceId {
    DeviceId {
        platform: Platform::Android,
        instance: InstanceId::MIN,
    }
}

/// A login for odd numbers, the link's end for even ones.
pub(super) fn commit(name: &str, number: u64, at: u64) -> ToRegistry {
    let kind = match number % 2 {
        1 => ChangeKind::Login {
            fresh: ChangeNumber(number),
            forced_off: Vec::new(),
        },
        _ => ChangeKind::LinkEnd,
    };
    let change = Change {
        number: ChangeNumber(number),
        at: Timestamp(at),
        device: device(),
        kind,
        address: None,
    };
    let commit = Commit {
        user: user(name),
        changes: vec![change],
        kicked_at_s: None,
        account: AccountStep::Keep,
    };
    ToRegistry::Commit(ShardId(0), UserKey(0), Box::new(commit))
}

/// This commit, as a change of another kind.
pub(super) fn as_kind(commit: ToRegistry, kind: ChangeKind) -> ToRegistry {
    let ToRegistry::Commit(shard, key, mut commit) = commit else {
        unreachable!("a commit")
    };
    commit.changes[0].kind = kind;
    ToRegistry::Commit(shard, key, commit)
}

/// A kick, or the account's deletion, as this change of the device that is logged in.
pub(super) fn kick(name: &str, number: u64, at: u64, account: AccountStep) -> ToRegistry {
    let kind = match account {
        AccountStep::Keep => ChangeKind::Kick,
        AccountStep::Delete => ChangeKind::Deletion,
    };
    let ToRegistry::Commit(shard, key, mut kick) = as_kind(commit(name, number, at), kind) else {
        unreachable!("a commit")
    };
    (kick.kicked_at_s, kick.account) = (Some(at / 1_000), account);
    ToRegistry::Commit(shard, key, kick)
}

pub(super) fn work(store: &mut EmbeddedStore, now: u64, requests: Vec<ToRegistry>) -> Vec<Delivery> {
    let (mut requests, mut answers) = (requests, Vec::new());
    store.work_off(Timestamp(now), &mut requests, &mut answers);
    for answer in &mut answers {
        // The times have a test of their own.
        if let Delivery::Shard(_, ToShard::Committed(_, Ok(at))) = answer {
            *at = Timestamp(0);
        }
    }
    answers
}

pub(super) const DONE: Delivery =
    Delivery::Shard(ShardId(0), ToShard::Committed(UserKey(0), Ok(Timestamp(0))));
pub(super) const REFUSED: Delivery = Delivery::Shard(
    ShardId(0),
    ToShard::Committed(UserKey(0), Err(RegistryError::Unavailable)),
);

fn load(store: &mut EmbeddedStore, name: &str) -> Option<UserRecord> {
    load_at(store, 0, name)
}

fn load_at(store: &mut EmbeddedStore, now: u64, name: &str) -> Option<UserRecord> {
    let request = ToRegistry::Load(ShardId(0), UserKey(0), user(name));
    match work(store, now, vec![request]).remove(0) {
        Delivery::Shard(_, ToShard::Loaded(_, Ok(record))) => record.map(|record| *record),
        other @ (Delivery::Shard(..)
        | Delivery::Registry(_)
        | Delivery::Http(_)
        | Delivery::Peer(..)
        | Delivery::Outcomes(_)) => {
            panic!("{other:?}")
        }
    }
}

fn there(late: &[Late]) -> Vec<u64> {
    let place = |late: &Late| match late {
        Late::There(placed) => placed.position.0,
        Late::Lost(place) => panic!("{place:?} is lost"),
    };
    late.iter().map(place).collect()
}

fn places(changes: &[Placed]) -> Vec<u64> {
    changes.iter().map(|placed| placed.position.0).collect()
}

/// Every record is the fold of its stream, whose numbers have no gap. Gives the number of changes.
pub(super) fn check_fold(reader: &StoreReader) -> usize {
    let stream = reader.changes(Position(0), usize::MAX).unwrap();
    assert_eq!(places(&stream), (1..=stream.len() as u64).collect::<Vec<_>>());
    let mut folded: HashMap<UserId, UserRecord> = HashMap::new();
    for placed in &stream {
        let RecordedChange {
            user,
            change,
            previous,
            ..
        } = placed.recorded.clone();
        let record = folded.entry(user).or_default();
        assert_eq!(previous, Some(record.told));
        record.told = change.number;
        record.apply(&Commit {
            user,
            changes: vec![change],
            kicked_at_s: None,
            account: AccountStep::Keep,
        });
    }
    let users = reader.users(None, usize::MAX).unwrap();
    assert_eq!(users.len(), folded.len());
    for (user, record) in users {
        assert_eq!(folded.get(&user), Some(&record), "{user}");
    }
    stream.len()
}
