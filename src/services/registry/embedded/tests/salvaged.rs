//! Salvage brings back whatever is not damaged, and never touches what it reads.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::damaged_files::{
    self, DAY_MS, RECORDS, USERS, changes, copy, files, flip, load, prepared, prepared_in_tables, tables,
};
use super::*;
use crate::services::registry::archive::Archive;
use crate::services::registry::embedded::Salvaged;
use crate::services::registry::outbox::Outbox;

fn salvaged(from: &Path) -> (TempDir, Salvaged) {
    let to = TempDir::new().unwrap();
    let salvaged = salvage(from, to.path(), &mut |_| {}).unwrap();
    (to, salvaged)
}

#[test]
fn a_sound_store_is_salvaged_whole() {
    let (folder, truth) = prepared();
    let id = open(folder.path()).reader().store_id();
    let report = verify(folder.path(), &mut |_| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let before: Vec<_> = files(folder.path())
        .iter()
        .map(|file| fs::read(file).unwrap())
        .collect();
    let (to, result) = salvaged(folder.path());
    assert_eq!(
        (result.rebuilt, result.lost_changes, result.losses),
        (0, 0, vec![])
    );
    let after: Vec<_> = files(folder.path())
        .iter()
        .map(|file| fs::read(file).unwrap())
        .collect();
    assert!(before == after, "the source is never touched");
    let store = open(to.path());
    let reader = store.reader();
    assert_eq!(reader.store_id(), id);
    let there = damaged_files::truth(&store);
    assert_eq!((there.users, there.changes), (truth.users, truth.changes));
    assert_eq!((reader.late_count(), reader.dead_count()), (1, 1));
    assert_eq!(reader.cursor().unwrap(), Position(2));
    assert_eq!(reader.late_users(Timestamp(5), 9).unwrap().len(), 1);
}

#[test]
fn a_store_without_its_users_is_salvaged_from_its_changes() {
    let (folder, truth) = prepared_in_tables();
    for table in tables(folder.path(), RECORDS) {
        let bits = 8 * fs::read(&table).unwrap().len();
        (0..bits).step_by(8 * 500).for_each(|bit| flip(&table, bit));
    }
    let (to, result) = salvaged(folder.path());
    assert!(
        result.rebuilt > USERS / 2 && !result.losses.is_empty(),
        "{result:?}"
    );
    let store = open(to.path());
    assert_eq!(damaged_files::truth(&store).users, truth.users);
}

#[test]
fn a_record_that_is_made_of_changes_refuses_usersigs_as_before() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    let logins = vec![commit("alice", 1, KICKS_COUNT), commit("bob", 1, KICKS_COUNT)];
    let kicks = vec![
        kick("alice", 2, KICKS_COUNT + 5_000, AccountStep::Keep),
        kick("bob", 2, KICKS_COUNT + 9_000, AccountStep::Delete),
    ];
    assert_eq!(work(&mut store, 1, logins), [DONE, DONE]);
    assert_eq!(work(&mut store, 1, kicks), [DONE, DONE]);
    let kicked = ["alice", "bob"].map(|name| load(&mut store, name).unwrap());
    damaged_files::flush(&store);
    drop(store);
    for file in tables(folder.path(), RECORDS) {
        fs::write(file, []).unwrap();
    }
    for journal in check::journals(folder.path()) {
        fs::write(folder.path().join(journal), []).unwrap();
    }
    let (to, result) = salvaged(folder.path());
    assert_eq!(result.rebuilt, 2, "{result:?}");
    let mut store = open(to.path());
    assert_eq!(
        ["alice", "bob"].map(|name| load(&mut store, name).unwrap()),
        kicked
    );
}

#[test]
fn salvage_brings_back_whatever_is_not_damaged() {
    let (folder, truth) = prepared_in_tables();
    let mut random = fastrand::Rng::with_seed(11);
    for file in files(folder.path()) {
        let bits = 8 * usize::try_from(fs::metadata(&file).unwrap().len()).unwrap();
        let damaged = TempDir::new().unwrap();
        copy(folder.path(), damaged.path());
        let within = file.strip_prefix(folder.path()).unwrap();
        let bit = random.usize(..bits);
        flip(&damaged.path().join(within), bit);
        let what = format!("bit {bit} of {}", within.display());
        let report = verify(damaged.path(), &mut |_| {}).unwrap();
        let (to, result) = salvaged(damaged.path());
        let mut store = open(to.path());
        let (there, _) = changes(&store.reader());
        for placed in &there {
            assert_eq!(truth.changes.get(&placed.position.0), Some(placed), "{what}");
        }
        let found = truth
            .users
            .iter()
            .filter(|(name, record)| load(&mut store, name).unwrap().as_ref() == Some(record));
        let (users, losses) = (found.count(), result.losses.len());
        assert!(users >= truth.users.len() / 2, "{what}: {users} users are there");
        assert!(
            there.len() >= truth.changes.len() / 2,
            "{what}: {} changes are there",
            there.len()
        );
        if losses == 0 {
            assert_eq!(
                (users, there.len()),
                (truth.users.len(), truth.changes.len()),
                "{what}"
            );
        } else {
            assert!(!report.is_sound(), "{what}: {result:?}");
        }
        assert_eq!(
            work(&mut store, 5 * DAY_MS, vec![commit("newcomer", 1, 5)]),
            [DONE],
            "{what}"
        );
    }
}
