//! Files that are not what was written: a flipped bit anywhere. What is damaged is named, everything else is read as it was
//! written, and the store goes on recording.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fjall::PersistMode;
use tempfile::TempDir;

use super::*;
use crate::base::ids::{ChangeNumber, ShardId};
use crate::logic::delivery::UserKey;
use crate::services::registry::archive::{Archive, Placed, ResumeAfter};
use crate::services::registry::embedded::check::{KEYSPACES, TABLES};
use crate::services::registry::embedded::raw::bytes::numbered;
use crate::services::registry::embedded::raw::table;
use crate::services::registry::embedded::upkeep::REOPEN_AFTER_MS;
use crate::services::registry::outbox::{Dead, LateUser, Outbox, OutboxStep};

pub(super) const USERS: u64 = 400;
pub(super) const DAY_MS: u64 = 86_400_000;

/// The numbers that the database gives our keyspaces, in the order in which they are made.
pub(super) const META: u64 = 1;
pub(super) const RECORDS: u64 = 2;
pub(super) const CHANGES: u64 = 3;

/// What was recorded.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) users: BTreeMap<String, UserRecord>,
    pub(super) changes: BTreeMap<u64, Placed>,
}

pub(super) fn name(number: u64) -> String {
    format!("user{number:04}")
}

pub(super) fn flush(store: &EmbeddedStore) {
    let flushed = store.reader.with(|files| {
        let keyspaces = [&files.meta, &files.users, &files.changes, &files.outbox];
        let flush = |keyspace: &&fjall::Keyspace| keyspace.rotate_memtable_and_wait().map_err(errors::unread);
        keyspaces.iter().try_for_each(flush)
    });
    flushed.unwrap();
}

/// A store with two generations of tables and a journal: each user logs in, half of them before the first flush.
pub(super) fn prepared() -> (TempDir, Truth) {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    for half in 0..2 {
        let users = (0..USERS).filter(|number| number % 2 == half);
        let logins = users
            .map(|number| commit(&name(number), 1, DAY_MS * (half + 1)))
            .collect();
        assert!(work(&mut store, 1, logins).iter().all(|answer| *answer == DONE));
        note_callbacks(&store.reader());
        flush(&store);
    }
    let ends = (0..USERS)
        .step_by(3)
        .map(|number| commit(&name(number), 2, 3 * DAY_MS));
    work(&mut store, 1, ends.collect());
    let truth = truth(&store);
    drop(store);
    // It is longer at first; opening it again cuts it.
    drop(open(folder.path()));
    (folder, truth)
}

/// As [`prepared`], with everything in tables, and nothing in the journal.
pub(super) fn prepared_in_tables() -> (TempDir, Truth) {
    let (folder, truth) = prepared();
    let store = open(folder.path());
    flush(&store);
    drop(store);
    let journals = check::journals(folder.path());
    journals
        .iter()
        .for_each(|journal| fs::write(folder.path().join(journal), []).unwrap());
    (folder, truth)
}

pub(super) fn note_callbacks(reader: &StoreReader) {
    let first = reader.changes(Position(0), 1).unwrap().remove(0);
    let late = LateUser {
        user: first.recorded.user,
        attempts: 1,
        next_at: Timestamp(5),
        after: Position(0),
    };
    let dead = Dead {
        placed: first.clone(),
        attempts: 3,
        at: Timestamp(9),
        fault: "no answer".to_owned(),
    };
    let steps = [
        OutboxStep::Late(first.recorded.user, first.position),
        OutboxStep::Schedule(late),
        OutboxStep::Bury(dead),
        OutboxStep::Cursor(Position(2)),
    ];
    reader.take(&steps).unwrap();
}

pub(super) fn truth(store: &EmbeddedStore) -> Truth {
    let reader = store.reader();
    let users = reader.users(None, usize::MAX).unwrap();
    let changes = reader.changes(Position(0), usize::MAX).unwrap();
    Truth {
        users: users
            .into_iter()
            .map(|(user, record)| (user.to_string(), record))
            .collect(),
        changes: changes
            .into_iter()
            .map(|placed| (placed.position.0, placed))
            .collect(),
    }
}

pub(super) fn tables(store: &Path, keyspace: u64) -> Vec<PathBuf> {
    let folder = store.join(KEYSPACES).join(keyspace.to_string()).join(TABLES);
    let numbers = numbered(&folder, "").unwrap();
    numbers
        .iter()
        .map(|number| folder.join(number.to_string()))
        .collect()
}

pub(super) fn flip(file: &Path, bit: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(file, bytes).unwrap();
}

/// A bit in the middle of the first record of a table's first block.
pub(super) const IN_THE_FIRST_RECORD: usize = 8 * 60;

pub(super) fn load(store: &mut EmbeddedStore, name: &str) -> Result<Option<UserRecord>, RegistryError> {
    let request = ToRegistry::Load(ShardId(0), UserKey(0), user(name));
    match work(store, 4 * DAY_MS, vec![request]).remove(0) {
        Delivery::Shard(_, ToShard::Loaded(_, outcome)) => outcome.map(|record| record.map(|record| *record)),
        other @ (Delivery::Shard(..)
        | Delivery::Registry(_)
        | Delivery::Http(_)
        | Delivery::Peer(..)
        | Delivery::Outcomes(_)) => {
            panic!("{other:?}")
        }
    }
}

/// All changes that can be read, and how many places are lost among them.
pub(super) fn changes(reader: &StoreReader) -> (Vec<Placed>, u64) {
    let (mut there, mut lost, mut after) = (Vec::new(), 0, Position(0));
    while after < reader.last() {
        match reader.changes(after, 50) {
            Ok(page) => {
                after = page
                    .last()
                    .expect("a page behind which there are others")
                    .position;
                there.extend(page);
            }
            Err(ReadError::Hole(ResumeAfter::Position(behind))) => {
                lost += behind.0 - after.0;
                after = behind;
            }
            Err(ReadError::Pruned(oldest)) => after = oldest,
            Err(error) => panic!("{error}"),
        }
    }
    (there, lost)
}

/// Reads all changes up to the first damage among them.
pub(super) fn meet_damage(reader: &StoreReader) {
    let mut after = Position(0);
    while let Ok(page) = reader.changes(after, 50) {
        let Some(last) = page.last() else { break };
        after = last.position;
    }
}

/// Rests until damage that was met is mended: it is looked for in the rest after it was met.
pub(super) fn rest(store: &mut EmbeddedStore, now: u64) {
    store.rest(Timestamp(now));
    store.rest(Timestamp(now + 1));
}

#[test]
fn an_old_damaged_table_stops_neither_logins_nor_pruning() {
    let (folder, _) = prepared();
    flip(&tables(folder.path(), CHANGES)[0], IN_THE_FIRST_RECORD);
    let mut store = open(folder.path());
    let reader = store.reader();
    reader
        .take(&[
            OutboxStep::LateDone(user(&name(0)), Position(1)),
            OutboxStep::Cursor(reader.last()),
        ])
        .unwrap();
    let mut now = 300 * DAY_MS;
    for number in 1..=9 {
        rest(&mut store, now);
        assert_eq!(
            work(&mut store, now, vec![commit("newcomer", number, now)]),
            [DONE],
            "{number}"
        );
        assert_eq!(store.health().failing_since(), None);
        now += 100;
    }
    let last = reader.last().0;
    assert_eq!(
        reader.oldest().unwrap(),
        Position(last - 9),
        "the old ones are pruned behind the damage"
    );
    assert!(store.health().damage()[0] > 0);
}

#[test]
fn a_damaged_newest_table_does_not_keep_a_store_from_opening() {
    let (folder, truth) = prepared();
    let newest = tables(folder.path(), CHANGES).pop().unwrap();
    let blocks = table::read(&newest).unwrap().records().unwrap();
    let bytes = blocks
        .iter()
        .flatten()
        .map(|record| record.value.len())
        .sum::<usize>();
    flip(&newest, 8 * bytes / 2);
    let journals = check::journals(folder.path());
    fs::write(folder.path().join(&journals[0]), []).unwrap();
    let mut store = open(folder.path());
    meet_damage(&store.reader());
    rest(&mut store, 4 * DAY_MS);
    assert_eq!(
        work(&mut store, 4 * DAY_MS, vec![commit("newcomer", 1, 4)]),
        [DONE]
    );
    let (there, lost) = changes(&store.reader());
    assert!(lost > 0);
    let newcomer = there.last().unwrap();
    assert_eq!(newcomer.recorded.user, user("newcomer"));
    for placed in &there[..there.len() - 1] {
        assert_eq!(truth.changes.get(&placed.position.0), Some(placed));
    }
}

#[test]
fn damage_is_merged_away_and_does_not_poison_the_store() {
    let (folder, _) = prepared();
    flip(&tables(folder.path(), RECORDS)[0], IN_THE_FIRST_RECORD);
    let mut store = open(folder.path());
    let (mut number, mut refused, mut now) = (1, 0, 4 * DAY_MS);
    // Every fourth flush makes the database merge tables.
    for _ in 0..12 {
        match &work(&mut store, now, vec![commit("newcomer", number, now)])[..] {
            [answer] if *answer == DONE => number += 1,
            [answer] if *answer == REFUSED => refused += 1,
            other => panic!("{other:?}"),
        }
        let rotated = store.reader.with(|files| {
            let rotated = files.users.rotate_memtable().map_err(errors::unread);
            let works =
                || files.database.outstanding_flushes() > 0 || files.database.active_compactions() > 0;
            // A thread that met damage is gone, and leaves its work undone.
            while works() && files.database.persist(PersistMode::Buffer).is_ok() {
                std::thread::yield_now();
            }
            rotated
        });
        assert!(rotated.is_ok(), "{rotated:?}");
        now += 2 * REOPEN_AFTER_MS;
        store.rest(Timestamp(now));
    }
    assert!(refused <= 1, "{refused} were refused");
    drop(store);
    assert_eq!(
        load(&mut open(folder.path()), "newcomer")
            .unwrap()
            .unwrap()
            .change,
        ChangeNumber(number - 1)
    );
}

#[test]
fn a_damaged_record_is_refused_and_nobody_elses() {
    let (folder, truth) = prepared();
    flip(&tables(folder.path(), RECORDS)[0], IN_THE_FIRST_RECORD);
    let mut store = open(folder.path());
    for round in 0..2 {
        let mut refused = 0;
        for (name, record) in &truth.users {
            match load(&mut store, name) {
                Ok(found) => assert_eq!(found.as_ref(), Some(record), "{name} in round {round}"),
                Err(_) => refused += 1,
            }
        }
        assert!((1..=USERS / 2).contains(&refused), "{refused} in round {round}");
        assert_eq!(store.health().failing_since(), None);
        rest(&mut store, 4 * DAY_MS);
    }
    let lost = truth
        .users
        .keys()
        .find(|name| load(&mut store, name).is_err())
        .unwrap();
    let both = vec![commit(lost, 2, 9), commit("newcomer", 1, 9)];
    assert_eq!(work(&mut store, 4 * DAY_MS, both), [REFUSED, DONE]);
    let mut restored = 0;
    store.reader().residents(&mut |_, _| restored += 1).unwrap();
    assert!(restored > USERS / 2);
}

#[test]
fn the_list_of_users_names_what_is_lost_and_goes_on_behind_it() {
    let (folder, truth) = prepared();
    flip(&tables(folder.path(), RECORDS)[0], IN_THE_FIRST_RECORD);
    let mut store = open(folder.path());
    assert_eq!(load(&mut store, &name(2)), Err(RegistryError::Unavailable));
    rest(&mut store, 4 * DAY_MS);
    let reader = store.reader();
    let (mut after, mut listed, mut holes) = (None, Vec::new(), 0);
    loop {
        match reader.users(after.as_ref(), 20) {
            Ok(page) if page.is_empty() => break,
            Ok(page) => {
                after = page.last().map(|(user, _)| *user);
                listed.extend(page);
            }
            Err(ReadError::Hole(ResumeAfter::User(behind))) => {
                holes += 1;
                after = Some(behind);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(holes, 1);
    assert!(listed.len() as u64 > USERS / 2, "{}", listed.len());
    for (user, record) in listed {
        assert_eq!(truth.users.get(&user.to_string()), Some(&record));
    }
}

pub(super) fn rules_of(changes_kept_ms: u64) -> EmbeddedSettings {
    EmbeddedSettings {
        durability: Durability::Commit,
        callbacks: watch::channel(Callbacks::Documented).1,
        changes_kept_ms,
        deleted_kept_ms: 400 * DAY_MS,
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .flat_map(|entry| match entry.file_type().unwrap().is_dir() {
            true => files(&entry.path()),
            false => vec![entry.path()],
        })
        .filter(|path| fs::metadata(path).unwrap().len() > 0)
        .collect();
    files.sort();
    files
}
