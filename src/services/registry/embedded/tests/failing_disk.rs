//! Trouble with the disk: writes that fail at every place of a short run, and files that end at every place. Whatever
//! was answered must be there, and what was refused must not.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use super::damaged_files::copy;
use super::*;
use crate::services::registry::embedded::errors::WriteError;
use crate::services::registry::embedded::upkeep::REOPEN_AFTER_MS;

const CHILD: &str = "HOLDFAST_TEST_FAILING_STORE";
const ROUNDS: u64 = 6;

/// The journal that is being written.
fn journal(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let journals = files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    let number = |path: &PathBuf| {
        path.file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    journals.max_by_key(number).unwrap()
}

fn length(folder: &Path) -> u64 {
    fs::metadata(journal(folder)).unwrap().len()
}

/// A store with one change, whose journal ends where its last write did.
fn prepared() -> TempDir {
    let folder = TempDir::new().unwrap();
    assert_eq!(
        work(&mut open(folder.path()), 1, vec![commit("alice", 1, 1)]),
        [DONE]
    );
    // The file is longer at first; opening it again cuts it.
    drop(open(folder.path()));
    folder
}

/// What the child process does: commits while its files may not grow beyond a limit, then without one.
#[test]
fn child_with_a_failing_disk() {
    let Some(arguments) = std::env::var_os(CHILD) else {
        return;
    };
    let arguments = arguments.into_string().unwrap();
    let (room, folder) = arguments.split_once(' ').unwrap();
    let folder = Path::new(folder);
    let mut store = open(folder);
    let free = getrlimit(Resource::Fsize);
    let limit = length(folder) + room.parse::<u64>().unwrap();
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: Some(limit),
            ..free
        },
    )
    .unwrap();
    let (mut number, mut now) = (2, 1_000);
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 {
            setrlimit(Resource::Fsize, free).unwrap();
        }
        now += 10 * REOPEN_AFTER_MS;
        match &work(&mut store, now, vec![commit("alice", number, now)])[..] {
            [answer] if *answer == DONE => number += 1,
            [answer] if *answer == REFUSED => {}
            other => panic!("{other:?}"),
        }
        println!("\nconfirmed {}", number - 1);
    }
}

/// Runs the child. Gives what it was confirmed last, and how many of its commits were refused.
fn run_child(room: u64, folder: &Path) -> (u64, u64) {
    let mut child = Command::new("/bin/sh");
    // A write beyond the limit is to fail, not to kill.
    child
        .arg("-c")
        .arg("trap '' XFSZ; exec \"$0\" \"$@\"")
        .arg(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "services::registry::embedded::tests::failing_disk::child_with_a_failing_disk",
        "--nocapture",
    ]);
    child.env(CHILD, format!("{room} {}", folder.display()));
    let mut child = child
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let confirmed = lines.filter_map(|line| line.strip_prefix("confirmed ")?.parse::<u64>().ok());
    let confirmed: Vec<u64> = confirmed.collect();
    assert!(child.wait().unwrap().success(), "room {room}: {confirmed:?}");
    assert_eq!(confirmed.len() as u64, ROUNDS, "room {room}");
    let last = *confirmed.last().unwrap();
    (last, ROUNDS - (last - 1))
}

#[test]
fn a_write_that_fails_undoes_itself_and_the_store_comes_back() {
    let mut refused_in_all = 0;
    // One commit writes fewer than 400 bytes: the limit cuts every part of the first, and some of the second.
    for room in (0..400).step_by(7) {
        let folder = prepared();
        let (confirmed, refused) = run_child(room, folder.path());
        refused_in_all += refused;
        let store = open(folder.path());
        assert_eq!(check_fold(&store.reader()) as u64, confirmed, "room {room}");
    }
    assert!(refused_in_all > 40, "the limit was never met");
}

#[test]
fn while_the_last_writes_fate_is_unknown_nothing_is_written() {
    let folder = prepared();
    let mut store = open(folder.path());
    store.suspect(Timestamp(1), &WriteError::of("it failed"));
    let again = 1 + REOPEN_AFTER_MS;
    assert_eq!(
        work(&mut store, again - 1, vec![commit("alice", 2, 2)]),
        [REFUSED]
    );
    assert_eq!(load(&mut store, "alice").unwrap().change, ChangeNumber(1));
    assert_eq!(work(&mut store, again, vec![commit("alice", 2, 2)]), [DONE]);
}

#[test]
fn a_torn_journal_loses_only_what_was_not_answered() {
    let folder = prepared();
    let mut ends = Vec::new();
    let mut store = open(folder.path());
    for number in 2..=5 {
        let before = length(folder.path());
        assert_eq!(
            work(&mut store, number, vec![commit("alice", number, number)]),
            [DONE]
        );
        ends.push((number, before, length(folder.path())));
    }
    drop(store);
    for (number, start, end) in ends {
        for cut in (start..=end).step_by(11).chain([end - 1, end]) {
            let torn = TempDir::new().unwrap();
            copy(folder.path(), torn.path());
            let file = fs::OpenOptions::new()
                .write(true)
                .open(journal(torn.path()))
                .unwrap();
            file.set_len(cut).unwrap();
            let mut store = open(torn.path());
            let there = check_fold(&store.reader()) as u64;
            assert_eq!(
                there,
                if cut == end { number } else { number - 1 },
                "cut at {cut}"
            );
            assert_eq!(work(&mut store, 99, vec![commit("alice", there + 1, 99)]), [DONE]);
        }
    }
}

#[test]
fn damage_in_the_middle_is_told() {
    let folder = prepared();
    let start = length(folder.path());
    let mut store = open(folder.path());
    for number in 2..=5 {
        work(&mut store, number, vec![commit("alice", number, number)]);
    }
    drop(store);
    let path = journal(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    // A letter of the user's name, in the second of five commits.
    let place = usize::try_from(start).unwrap();
    let name = bytes[place..]
        .windows(5)
        .position(|window| window == b"alice")
        .unwrap();
    bytes[place + name] ^= 1;
    fs::write(&path, bytes).unwrap();
    let refused = EmbeddedStore::open(
        super::place(folder.path()),
        EmbeddedSettings {
            durability: Durability::Commit,
            callbacks: watch::channel(Callbacks::None).1,
            changes_kept_ms: 0,
            deleted_kept_ms: 400 * 86_400_000,
        },
    );
    let Err(OpenError::Damaged { faults, .. }) = refused else {
        panic!("{refused:?}");
    };
    let named = faults[0].to_string();
    assert_eq!(named, format!("0.jnl: the batch at byte {start} is damaged"));
}

#[test]
fn a_batch_whose_end_is_damaged_is_told_and_salvaged() {
    let folder = prepared();
    let mut store = open(folder.path());
    let start = length(folder.path());
    assert_eq!(work(&mut store, 2, vec![commit("alice", 2, 2)]), [DONE]);
    drop(store);
    let (path, end) = (
        journal(folder.path()),
        usize::try_from(length(folder.path())).unwrap(),
    );
    let whole = fs::read(&path).unwrap();
    for place in end - 4..end {
        let mut bytes = whole.clone();
        bytes[place] ^= 4;
        fs::write(&path, bytes).unwrap();
        let faults = verify(folder.path(), &mut |_| {}).unwrap().faults;
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told, [format!("0.jnl: the batch at byte {start} is damaged")]);
        let to = TempDir::new().unwrap();
        salvage(folder.path(), to.path(), &mut |_| {}).unwrap();
        assert_eq!(check_fold(&open(to.path()).reader()), 2);
    }
}

#[test]
fn a_store_of_another_version_of_the_database_is_told() {
    let folder = prepared();
    fs::write(folder.path().join("version"), b"FJL\x07").unwrap();
    let faults = verify(folder.path(), &mut |_| {}).unwrap().faults;
    let told = "version: it is damaged, or another version of the database wrote it";
    assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [told]);
}
