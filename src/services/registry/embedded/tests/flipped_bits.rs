//! A flipped bit in any file of a store: the store is opened or refused with the name of what is damaged, what is read is what
//! was written, and what is recorded then is there after the next start.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::damaged_files::{
    DAY_MS, IN_THE_FIRST_RECORD, META, RECORDS, Truth, changes, copy, files, flip, load, meet_damage,
    prepared, rest, rules_of, tables,
};
use super::*;
use crate::base::ids::ChangeNumber;
use crate::services::registry::archive::Archive;
use crate::services::registry::outbox::Outbox;

#[test]
fn what_nothing_works_without_is_named_when_it_is_damaged() {
    let (folder, _) = prepared();
    let store = folder.path();
    let current = store.join("keyspaces/2/current");
    let manifest = fs::read_dir(store.join("keyspaces/3"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let manifest = manifest
        .into_iter()
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with('v'));
    let names = tables(store, check::NAMES).remove(0);
    let journal = store.join(&check::journals(store)[0]);
    let format = store.join("version");
    let meta = tables(store, META).remove(0);
    let bits = [
        (current, 80),
        (manifest.unwrap(), 900),
        (names, IN_THE_FIRST_RECORD),
        (journal, 800),
        (format, 3),
        (meta, 400),
    ];
    for (file, bit) in bits {
        let sound = fs::read(&file).unwrap();
        flip(&file, bit);
        let refused = EmbeddedStore::open(place(store), rules_of(0)).expect_err("what is needed is damaged");
        let text = refused.to_string();
        // A pointer and what it points to are checked together.
        let named = match file.ends_with("current") {
            true => file.parent().unwrap(),
            false => &file,
        };
        let named = named.strip_prefix(store).unwrap().display().to_string();
        assert!(
            text.contains(&named) && text.contains("holdfast store verify"),
            "{named}: {text}"
        );
        fs::write(&file, sound).unwrap();
    }
    drop(open(store));
}

/// Every so many-th user is looked at.
const USERS_LOOKED_AT: usize = 7;

/// Bits of each file that are flipped, one at a time.
const FLIPS: usize = 6;

#[test]
fn a_flipped_bit_anywhere_is_named_or_worked_around() {
    let (folder, truth) = prepared();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut opened, mut refused) = (0, 0);
    for file in files(folder.path()) {
        let bits = 8 * usize::try_from(fs::metadata(&file).unwrap().len()).unwrap();
        for flipped in 0..FLIPS {
            // The first and the last bytes have a meaning of their own.
            let bit = match flipped {
                0 => random.usize(..bits.min(64)),
                1 => bits - 1 - random.usize(..bits.min(400)),
                _ => random.usize(..bits),
            };
            let damaged = TempDir::new().unwrap();
            copy(folder.path(), damaged.path());
            let within = file.strip_prefix(folder.path()).unwrap();
            flip(&damaged.path().join(within), bit);
            let what = format!("bit {bit} of {}", within.display());
            match EmbeddedStore::open(place(damaged.path()), rules_of(u64::MAX)) {
                Ok(store) => {
                    opened += 1;
                    goes_on(store, damaged.path(), &truth, &what);
                }
                Err(error) => {
                    refused += 1;
                    let text = error.to_string();
                    let folder = within.parent().unwrap().display().to_string();
                    assert!(text.contains(&folder), "{what}: {text}");
                }
            }
        }
    }
    assert!(opened > 20 && refused > 20, "{opened} opened, {refused} refused");
}

/// What is read is what was written, and what is written now is there after another start.
fn goes_on(mut store: EmbeddedStore, path: &Path, truth: &Truth, what: &str) {
    let restored = restored(&store);
    for (name, record) in &restored {
        assert_eq!(truth.users.get(name), Some(record), "{name}: {what}");
    }
    for _ in 0..2 {
        for (name, record) in truth.users.iter().step_by(USERS_LOOKED_AT) {
            if let Ok(found) = load(&mut store, name) {
                assert_eq!(found.as_ref(), Some(record), "{name}: {what}");
            }
        }
        meet_damage(&store.reader());
        rest(&mut store, 4 * DAY_MS);
    }
    let (there, lost) = changes(&store.reader());
    for placed in &there {
        assert_eq!(truth.changes.get(&placed.position.0), Some(placed), "{what}");
    }
    assert_eq!(there.len() as u64 + lost, truth.changes.len() as u64, "{what}");
    let reader = store.reader();
    let _ = (
        reader.late_users(Timestamp(u64::MAX), 9),
        reader.dead(Position(0), 9),
        reader.due(Position(0), 9),
    );
    assert_eq!(
        work(&mut store, 5 * DAY_MS, vec![commit("newcomer", 1, 5)]),
        [DONE],
        "{what}"
    );
    drop((store, reader));
    let mut store = EmbeddedStore::open(place(path), rules_of(u64::MAX))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(
        load(&mut store, "newcomer").unwrap().unwrap().change,
        ChangeNumber(1),
        "{what}"
    );
    assert_eq!(store.reader().last().0, truth.changes.len() as u64 + 1, "{what}");
}

/// What a start hands to the shards, each user once.
fn restored(store: &EmbeddedStore) -> BTreeMap<String, UserRecord> {
    let mut restored = BTreeMap::new();
    let mut take = |user: UserId, record| {
        assert!(
            restored.insert(user.to_string(), record).is_none(),
            "{user} twice"
        );
    };
    store.reader().residents(&mut take).unwrap();
    restored
}

#[test]
fn damage_among_the_users_keeps_a_start_from_restoring_those_users_alone() {
    let (folder, truth) = prepared();
    for table in tables(folder.path(), RECORDS) {
        flip(&table, IN_THE_FIRST_RECORD);
        let records = raw::table::read(&table).unwrap().records().unwrap();
        let bytes = records
            .iter()
            .flatten()
            .map(|record| record.value.len())
            .sum::<usize>();
        flip(&table, 8 * bytes * 2 / 3);
    }
    let store = open(folder.path());
    let there = restored(&store);
    assert!((1..truth.users.len()).contains(&there.len()), "{}", there.len());
    for (name, record) in &there {
        assert_eq!(truth.users.get(name), Some(record), "{name}");
    }
    let last = there.keys().next_back();
    assert_eq!(
        last,
        truth.users.keys().next_back(),
        "up to the last behind the damage"
    );
    assert!(
        !store.reader.damaged.load(Ordering::Acquire),
        "it is not looked for again"
    );
    drop(store);
    assert_eq!(
        restored(&open(folder.path())),
        there,
        "the next start finds the same"
    );
}
