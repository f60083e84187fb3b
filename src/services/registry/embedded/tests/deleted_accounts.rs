//! What becomes of deleted accounts: they go by their age, and only they.

use tempfile::TempDir;

use super::damaged_files::{DAY_MS, RECORDS, flip, flush, tables};
use super::*;
use crate::base::ids::{ChangeNumber, RequestId};
use crate::logic::record::AccountStep;
use crate::services::registry::archive::Archive;
use crate::services::registry::embedded::forget::LOOKED_AT_ONCE;
use crate::services::registry::outbox::{Outbox, OutboxStep};

/// How long the stores of these tests keep deleted accounts.
const KEPT_DAYS: u64 = 30;

/// Ten years after any time that these tests count in.
const WRONG: u64 = 3_650 * DAY_MS;

fn open(folder: &TempDir) -> EmbeddedStore {
    let rules = EmbeddedSettings {
        deleted_kept_ms: KEPT_DAYS * DAY_MS,
        ..rules()
    };
    EmbeddedStore::open(place(folder.path()), rules).unwrap()
}

fn deletion(name: &str, number: u64, at: u64) -> ToRegistry {
    kick(name, number, at, AccountStep::Delete)
}

fn import(name: &str) -> ToRegistry {
    ToRegistry::Accounts(RequestId(1), AccountsRequest::Import, vec![user(name)])
}

/// Everyone was told of everything.
fn tell_all(store: &EmbeddedStore) {
    let cursor = OutboxStep::Cursor(store.last);
    store.reader().take(&[cursor]).unwrap();
}

fn record(store: &EmbeddedStore, name: &str) -> Option<UserRecord> {
    let known = store.reader.with(|files| files.user(&user(name)));
    known.unwrap().map(|known| known.record)
}

/// A store in which these users logged in, and were deleted on a day. Someone else's change is the newest, which stays.
fn with_deleted(folder: &TempDir, names: &[&str], at: u64) -> EmbeddedStore {
    let mut store = open(folder);
    for name in names {
        work(&mut store, at, vec![commit(name, 1, at), deletion(name, 2, at)]);
    }
    work(&mut store, at, vec![commit("zoe", 1, at)]);
    tell_all(&store);
    store
}

#[test]
fn a_deleted_account_is_unknown_to_whoever_asks() {
    let folder = TempDir::new().unwrap();
    let mut store = with_deleted(&folder, &["alice"], DAY_MS);
    let users = vec![user("alice"), user("zoe")];
    let ask = ToRegistry::Accounts(RequestId(1), AccountsRequest::Check, users);
    let told = Delivery::Http(ToHttp::Accounts(RequestId(1), Ok(vec![false, true])));
    assert_eq!(work(&mut store, DAY_MS, vec![ask]), [told]);
}

#[test]
fn a_deleted_account_is_forgotten_by_age() {
    let folder = TempDir::new().unwrap();
    let mut store = with_deleted(&folder, &["alice"], DAY_MS);
    store.rest(Timestamp((1 + KEPT_DAYS) * DAY_MS - 1));
    let kept = record(&store, "alice").unwrap();
    assert_eq!((kept.change, kept.ended.len()), (ChangeNumber(2), 1));
    // The next pass is a day later.
    store.rest(Timestamp((2 + KEPT_DAYS) * DAY_MS - 2));
    assert!(record(&store, "alice").is_some());
    store.rest(Timestamp((2 + KEPT_DAYS) * DAY_MS - 1));
    assert_eq!(record(&store, "alice"), None);
    assert_eq!(store.health().forgotten_accounts(), 1);
    drop(store);
    let mut store = open(&folder);
    assert_eq!(record(&store, "alice"), None);
    assert_eq!(
        work(&mut store, 1, vec![commit("alice", 1, 1)]),
        [DONE],
        "the numbering begins again"
    );
    assert!(record(&store, "zoe").is_some());
}

#[test]
fn one_that_is_registered_again_is_not() {
    let folder = TempDir::new().unwrap();
    let names = ["alice", "bob", "carol"];
    let mut store = with_deleted(&folder, &names, DAY_MS);
    let again = vec![
        import("alice"),
        commit("bob", 3, DAY_MS),
        commit("carol", 3, DAY_MS),
        commit("carol", 4, DAY_MS),
    ];
    work(&mut store, DAY_MS, again);
    work(&mut store, DAY_MS, vec![commit("zoe", 2, DAY_MS)]);
    tell_all(&store);
    store.rest(Timestamp(400 * DAY_MS));
    let all = names.map(|name| record(&store, name).map(|record| record.change.0));
    assert_eq!(all, [Some(2), Some(3), Some(4)]);
    assert_eq!(store.health().forgotten_accounts(), 0);
}

#[test]
fn one_with_a_device_is_not_forgotten() {
    let folder = TempDir::new().unwrap();
    let mut store = with_deleted(&folder, &[], DAY_MS);
    work(&mut store, DAY_MS, vec![commit("alice", 1, DAY_MS)]);
    let put = |files: &files::Files| {
        let mut known = files.user(&user("alice"))?.unwrap();
        (known.record.registered, known.last) = (false, Position(0));
        files
            .users
            .insert("alice", codec::encode_user(&known))
            .map_err(errors::unread)
    };
    store.reader.with(put).unwrap();
    store.rest(Timestamp(400 * DAY_MS));
    assert!(record(&store, "alice").is_some());
}

#[test]
fn a_commit_of_a_user_whose_record_went_meanwhile_counts() {
    let folder = TempDir::new().unwrap();
    let mut store = with_deleted(&folder, &["alice", "bob"], DAY_MS);
    // Their shards have loaded the records, up to change 2.
    store.rest(Timestamp(400 * DAY_MS));
    assert_eq!(store.health().forgotten_accounts(), 2);
    work(&mut store, 1, vec![import("bob")]);
    let logins = vec![commit("alice", 3, 401 * DAY_MS), commit("bob", 3, 401 * DAY_MS)];
    assert_eq!(work(&mut store, 401 * DAY_MS, logins), [DONE, DONE]);
    let ends = vec![commit("alice", 4, 402 * DAY_MS), commit("bob", 4, 402 * DAY_MS)];
    assert_eq!(work(&mut store, 402 * DAY_MS, ends), [DONE, DONE]);
    for name in ["alice", "bob"] {
        let record = record(&store, name).unwrap();
        assert_eq!((record.change, record.registered), (ChangeNumber(4), true));
        let changes = store
            .reader()
            .changes_of(&user(name), ChangeNumber(0), 9)
            .unwrap();
        let numbers: Vec<_> = changes
            .iter()
            .map(|placed| placed.recorded.change.number.0)
            .collect();
        assert_eq!(numbers, [3, 4]);
    }
}

#[test]
fn one_whose_changes_are_kept_is_not_forgotten() {
    let folder = TempDir::new().unwrap();
    let mut store = with_deleted(&folder, &["alice"], DAY_MS);
    // The callback of the login is late, so both changes stay.
    let late = OutboxStep::Late(user("alice"), Position(1));
    store.reader().take(&[late]).unwrap();
    store.rest(Timestamp(400 * DAY_MS));
    assert!(record(&store, "alice").is_some());
    let done = OutboxStep::LateDone(user("alice"), Position(1));
    store.reader().take(&[done]).unwrap();
    store.rest(Timestamp(401 * DAY_MS));
    assert_eq!(record(&store, "alice"), None);
}

#[test]
fn one_without_a_credible_date_ages_from_the_first_pass_on() {
    let folder = TempDir::new().unwrap();
    let mut store = with_deleted(&folder, &["alice"], DAY_MS);
    let put = |name: &str, changed_at, kicked_at_s| {
        let record = UserRecord {
            changed_at: Timestamp(changed_at),
            kicked_at_s,
            ..UserRecord::default()
        };
        let bytes = codec::encode_user(&StoredRecord {
            record,
            ..StoredRecord::default()
        });
        let put = |files: &files::Files| files.users.insert(name, bytes).map_err(errors::unread);
        store.reader.with(put).unwrap();
    };
    let names = ["changed", "kicked", "undated"];
    put(names[0], WRONG, 0);
    put(names[1], 0, WRONG / 1_000);
    put(names[2], 0, 0);
    let there = |store: &EmbeddedStore| names.map(|name| record(store, name).is_some());
    store.rest(Timestamp(50 * DAY_MS));
    assert_eq!(record(&store, "alice"), None, "it has a date");
    assert_eq!(there(&store), [true; 3]);
    assert_eq!(
        record(&store, "changed").unwrap().changed_at,
        Timestamp(WRONG),
        "times do not run backwards"
    );
    store.rest(Timestamp((50 + KEPT_DAYS) * DAY_MS - 1));
    assert_eq!(there(&store), [true; 3]);
    drop(store);
    let mut store = open(&folder);
    store.rest(Timestamp((50 + KEPT_DAYS) * DAY_MS));
    assert_eq!(there(&store), [false; 3]);
}

/// The deletion of an account that has no device.
fn quiet_deletion(name: &str, at: u64) -> ToRegistry {
    let ToRegistry::Commit(shard, key, mut deletion) = deletion(name, 1, at) else {
        unreachable!("a commit")
    };
    deletion.changes.clear();
    ToRegistry::Commit(shard, key, deletion)
}

#[test]
fn one_that_was_only_imported_ages_from_its_deletion() {
    let folder = TempDir::new().unwrap();
    let mut store = with_deleted(&folder, &[], DAY_MS);
    let requests = vec![import("alice"), quiet_deletion("alice", 100 * DAY_MS)];
    work(&mut store, DAY_MS, requests);
    store.rest(Timestamp((100 + KEPT_DAYS) * DAY_MS - 1));
    assert!(record(&store, "alice").is_some());
    store.rest(Timestamp((101 + KEPT_DAYS) * DAY_MS));
    assert_eq!(record(&store, "alice"), None);
}

#[test]
fn one_that_is_deleted_again_ages_anew() {
    let folder = TempDir::new().unwrap();
    let mut store = with_deleted(&folder, &[], DAY_MS);
    // The clock is wrong at first: the pass finds a date ahead.
    work(
        &mut store,
        1,
        vec![import("alice"), quiet_deletion("alice", KICKS_COUNT + WRONG)],
    );
    store.rest(Timestamp(KICKS_COUNT + 50 * DAY_MS));
    let deleted_at = KICKS_COUNT + 70 * DAY_MS;
    let again = vec![import("alice"), quiet_deletion("alice", deleted_at)];
    work(&mut store, deleted_at, again);
    store.rest(Timestamp(deleted_at + KEPT_DAYS * DAY_MS - 1));
    assert!(record(&store, "alice").is_some());
    store.rest(Timestamp(deleted_at + (1 + KEPT_DAYS) * DAY_MS));
    assert_eq!(record(&store, "alice"), None);
}

#[test]
fn a_pass_goes_on_where_its_last_step_ended() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder);
    let mut requests: Vec<_> = (0..LOOKED_AT_ONCE)
        .map(|number| import(&format!("a{number:05}")))
        .collect();
    requests.extend([import("bob"), quiet_deletion("bob", DAY_MS)]);
    work(&mut store, DAY_MS, requests);
    store.rest(Timestamp(400 * DAY_MS));
    assert!(record(&store, "bob").is_some(), "it is beyond the first step");
    store.rest(Timestamp(400 * DAY_MS + 1));
    assert_eq!(record(&store, "bob"), None);
}

#[test]
fn damage_that_a_pass_meets_keeps_nobody_from_writing() {
    let folder = TempDir::new().unwrap();
    let store = with_deleted(&folder, &["alice"], DAY_MS);
    flush(&store);
    drop(store);
    for table in tables(folder.path(), RECORDS) {
        flip(&table, 8 * 20);
    }
    let mut store = open(&folder);
    store.rest(Timestamp(400 * DAY_MS));
    assert!(store.health().damage()[0] > 0, "the pass met it");
    assert_eq!(
        work(&mut store, 400 * DAY_MS, vec![commit("new", 1, 400 * DAY_MS)]),
        [DONE]
    );
    assert_eq!(store.health().failing_since(), None);
}
