//! Tables that were cut off, as by a restore onto a full disk: what is lost is named, nothing older takes its place, and what is
//! recorded then is read, told and streamed.

use std::fs::{self, File};
use std::path::Path;

use tempfile::TempDir;

use super::damaged_files::{
    CHANGES, DAY_MS, META, RECORDS, Truth, changes, copy, flush, load, name, prepared, rules_of, tables,
};
use super::*;
use crate::base::ids::ChangeNumber;
use crate::services::registry::archive::{Archive, Placed};
use crate::services::registry::embedded::mend::KEPT;
use crate::services::registry::embedded::raw::manifest::Manifest;
use crate::services::registry::outbox::Outbox;

/// How each block of a table begins.
const BLOCK: &[u8] = b"LSM\x03";

fn cut(file: &Path, length: usize) {
    let file = File::options().write(true).open(file).unwrap();
    file.set_len(length as u64).unwrap();
}

/// Where a table is cut: before each block and its table of contents, within its first block, and one byte before its end.
fn places(table: &Path) -> Vec<usize> {
    let bytes = fs::read(table).unwrap();
    let starts = |place: &usize| bytes[*place..].starts_with(BLOCK) || bytes[*place..].starts_with(b"TOC!");
    let blocks = (0..bytes.len()).filter(starts);
    let mut places: Vec<_> = blocks.collect();
    places.extend([50, bytes.len() - 1]);
    places
}

/// What is there is what was written, what is lost is refused, and the store takes what comes.
fn check_rest(path: &Path, truth: &Truth, what: &str) {
    let mut store = EmbeddedStore::open(place(path), rules_of(u64::MAX))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let reader = store.reader();
    let mut restored = Vec::new();
    reader
        .residents(&mut |user, record| restored.push((user, record)))
        .unwrap();
    for (user, record) in restored {
        assert_eq!(truth.users.get(user.as_str()), Some(&record), "{what}");
    }
    for (name, record) in &truth.users {
        if let Ok(found) = load(&mut store, name) {
            assert_eq!(found.as_ref(), Some(record), "{name}: {what}");
        }
    }
    let (there, lost) = changes(&reader);
    for placed in &there {
        assert_eq!(truth.changes.get(&placed.position.0), Some(placed), "{what}");
    }
    assert_eq!(there.len() as u64 + lost, truth.changes.len() as u64, "{what}");
    let last = reader.last();
    let answer = work(&mut store, 5 * DAY_MS, vec![commit("zoe", 1, 5)]).remove(0);
    // Where even the keys of a table of users are lost, nobody knows whether someone is new.
    if answer != REFUSED {
        let placed = reader
            .changes(last, 9)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(placed[0].recorded.user, user("zoe"), "{what}");
    }
}

#[test]
fn a_cut_table_is_named_or_worked_around() {
    let (folder, truth) = prepared();
    for keyspace in check::NAMES..=CHANGES + 1 {
        for table in tables(folder.path(), keyspace) {
            let within = table.strip_prefix(folder.path()).unwrap();
            for length in places(&table) {
                let damaged = TempDir::new().unwrap();
                copy(folder.path(), damaged.path());
                cut(&damaged.path().join(within), length);
                let what = format!("{} of {length} bytes", within.display());
                let report = verify(damaged.path(), &mut |_| {}).unwrap();
                let lost = &report
                    .tables
                    .iter()
                    .find(|bad| bad.file == within)
                    .expect(&what)
                    .lost;
                assert!(length > 0 || !lost.is_empty(), "{what}: {report:?}");
                if keyspace <= META && !lost.is_empty() {
                    let refused = EmbeddedStore::open(place(damaged.path()), rules_of(0));
                    let text = refused.expect_err(&what).to_string();
                    let names = text.contains(&within.display().to_string())
                        && text.contains("holdfast store verify");
                    assert!(names, "{what}: {text}");
                } else {
                    check_rest(damaged.path(), &truth, &what);
                }
            }
        }
    }
}

#[test]
fn an_empty_table_of_users_brings_no_older_record_to_light() {
    let (folder, truth) = prepared();
    let store = open(folder.path());
    flush(&store);
    drop(store);
    // The third generation has the ends of sessions whose logins are in the first two.
    let newest = tables(folder.path(), RECORDS).pop().unwrap();
    let journals = check::journals(folder.path());
    journals
        .iter()
        .for_each(|journal| cut(&folder.path().join(journal), 0));
    cut(&newest, 0);
    let (to, salvaged) = (TempDir::new().unwrap(), |to: &Path| {
        salvage(folder.path(), to, &mut |_| {}).unwrap()
    });
    let losses = salvaged(to.path()).losses;
    assert!(
        losses
            .iter()
            .any(|loss| loss.contains("between the first and the last")),
        "{losses:?}"
    );
    let mut store = open(folder.path());
    for (name, record) in &truth.users {
        let found = load(&mut store, name);
        assert!(
            found.is_err() || found.as_ref().unwrap().as_ref() == Some(record),
            "{name}: {found:?}"
        );
    }
}

#[test]
fn after_a_cut_table_of_changes_new_ones_are_read_told_and_streamed() {
    for length in [50, 0] {
        let (folder, truth) = prepared();
        cut(tables(folder.path(), CHANGES).last().unwrap(), length);
        let (mut lost_before, there) = (None, truth.changes.len() as u64);
        // Each start is a new beginning for what is numbered.
        for start in 0..3 {
            let mut store = open(folder.path());
            let reader = store.reader();
            let last = Position(there + 2 * start);
            assert_eq!(reader.last(), last);
            let both = vec![commit("newcomer", start + 1, 5), commit(&name(3 * start), 3, 5)];
            assert_eq!(work(&mut store, 4 * DAY_MS, both), [DONE, DONE]);
            let users = |placed: Vec<Placed>| placed.into_iter().map(|placed| placed.recorded.user);
            let streamed: Vec<_> = users(reader.changes(last, 9).unwrap()).collect();
            assert_eq!(streamed, [user("newcomer"), user(&name(3 * start))]);
            let told: Vec<_> = users(reader.due(last, 9).unwrap().0).collect();
            assert!(told.contains(&user(&name(3 * start))), "{told:?}");
            let own = reader.changes_of(&user("newcomer"), ChangeNumber(0), 9).unwrap();
            assert_eq!(own.len() as u64, start + 1);
            let (_, lost) = changes(&reader);
            assert_eq!(
                *lost_before.get_or_insert(lost),
                lost,
                "no more are lost than were"
            );
        }
    }
}

#[test]
fn a_late_user_whose_turn_is_lost_is_tried_at_once() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    assert_eq!(work(&mut store, 1, vec![commit("alice", 1, DAY_MS)]), [DONE]);
    let late = OutboxStep::Late(user("alice"), Position(1));
    let turn = LateUser {
        user: user("alice"),
        attempts: 7,
        next_at: Timestamp(9 * DAY_MS),
        after: Position(0),
    };
    for step in [late, OutboxStep::Schedule(turn.clone())] {
        store.reader().take(&[step]).unwrap();
        flush(&store);
    }
    drop(store);
    cut(tables(folder.path(), CHANGES + 1).last().unwrap(), 0);
    for journal in check::journals(folder.path()) {
        cut(&folder.path().join(journal), 0);
    }
    let late_users = open(folder.path()).reader().late_users(Timestamp(0), 9);
    let at_once = LateUser {
        attempts: 0,
        next_at: Timestamp(0),
        ..turn
    };
    assert_eq!(late_users.unwrap(), [at_once]);
}

#[test]
fn a_table_that_cannot_say_its_keys_lies_between_its_neighbours() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    for names in [["ada", "bob"], ["kay", "lee"], ["uma", "viv"]] {
        let logins = names.map(|name| commit(name, 1, DAY_MS)).to_vec();
        assert_eq!(work(&mut store, 1, logins), [DONE, DONE]);
        flush(&store);
    }
    drop(store);
    let keyspace = check::keyspace_folder(folder.path(), RECORDS);
    let mut manifest = Manifest::read(&keyspace).unwrap();
    let mut run: Vec<_> = manifest.tables().collect();
    run.sort_by_key(|entry| entry.id);
    let middle = run[1].id;
    manifest.levels = vec![Vec::new(); manifest.levels.len()];
    *manifest.levels.last_mut().unwrap() = vec![run];
    manifest.write(&keyspace).unwrap();
    cut(&keyspace.join(check::TABLES).join(middle.to_string()), 0);
    let mut store = open(folder.path());
    for known in ["ada", "bob", "uma", "viv"] {
        assert!(load(&mut store, known).unwrap().is_some(), "{known}");
    }
    for lost in ["bobby", "kay", "lee", "ulf"] {
        assert_eq!(load(&mut store, lost), Err(RegistryError::Unavailable), "{lost}");
    }
    let newcomers = ["aaron", "zoe"].map(|name| commit(name, 1, 5)).to_vec();
    assert_eq!(work(&mut store, 4 * DAY_MS, newcomers), [DONE, DONE]);
}

#[test]
fn a_damaged_note_of_lost_records_is_named() {
    let (folder, _) = prepared();
    cut(tables(folder.path(), RECORDS).last().unwrap(), 0);
    drop(open(folder.path()));
    let kept = fs::read_dir(folder.path().join(KEPT)).unwrap();
    let mut kept = kept.map(|entry| entry.unwrap().path());
    let note = kept.find(|path| path.extension().is_some()).unwrap();
    let sound = fs::read(&note).unwrap();
    let mut flipped = sound.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&[][..], &flipped] {
        fs::write(&note, damaged).unwrap();
        let within = note.strip_prefix(folder.path()).unwrap().display().to_string();
        let refused = EmbeddedStore::open(place(folder.path()), rules_of(0)).expect_err("it is needed");
        assert!(refused.to_string().contains(&within), "{refused}");
        let report = verify(folder.path(), &mut |_| {}).unwrap();
        assert!(
            report
                .faults
                .iter()
                .any(|fault| fault.to_string().contains(&within)),
            "{report:?}"
        );
    }
    fs::write(&note, sound).unwrap();
    drop(open(folder.path()));
}
