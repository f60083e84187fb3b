//! What an embedded store promises: what was answered is there, in order and without a gap, whatever happens to the
//! process; and a store that is not ours is left alone.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, RequestId, ShardId};
use crate::logic::letter::UserKey;
use crate::logic::record::{AccountStep, Change, ChangeKind, RecordedChange};
use crate::services::registry::archive::{Archive, Placed};
use crate::services::registry::outbox::{Dead, Late, LateUser, Outbox, OutboxStep};

const DAY_MS: u64 = 86_400_000;

pub(super) fn rules() -> Rules {
    Rules {
        durability: Durability::Commit,
        callbacks: watch::channel(Callbacks::Documented).1,
        changes_kept_ms: 7 * DAY_MS,
        deleted_kept_ms: 400 * DAY_MS,
    }
}

pub(super) fn place(path: &Path) -> Place {
    Place {
        path: path.to_owned(),
        memory_bytes_max: 16 << 20,
    }
}

pub(super) fn open(path: &Path) -> Embedded {
    Embedded::open(place(path), rules()).unwrap()
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

pub(super) fn work(store: &mut Embedded, now: u64, letters: Vec<ToRegistry>) -> Vec<Answer> {
    let (mut letters, mut answers) = (letters, Vec::new());
    store.work_off(Timestamp(now), &mut letters, &mut answers);
    for answer in &mut answers {
        // The times have a test of their own.
        if let Answer::Shard(_, ToShard::Committed(_, Ok(at))) = answer {
            *at = Timestamp(0);
        }
    }
    answers
}

pub(super) const DONE: Answer = Answer::Shard(ShardId(0), ToShard::Committed(UserKey(0), Ok(Timestamp(0))));
pub(super) const REFUSED: Answer =
    Answer::Shard(ShardId(0), ToShard::Committed(UserKey(0), Err(RegistryError)));

fn load(store: &mut Embedded, name: &str) -> Option<UserRecord> {
    let letter = ToRegistry::Load(ShardId(0), UserKey(0), user(name));
    match work(store, 0, vec![letter]).remove(0) {
        Answer::Shard(_, ToShard::Loaded(_, Ok(record))) => record.map(|record| *record),
        other @ (Answer::Shard(..) | Answer::Front(_)) => panic!("{other:?}"),
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
pub(super) fn check_fold(reading: &Reading) -> usize {
    let stream = reading.changes(Position(0), usize::MAX).unwrap();
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
    let users = reading.users(None, usize::MAX).unwrap();
    assert_eq!(users.len(), folded.len());
    for (user, record) in users {
        assert_eq!(folded.get(&user), Some(&record), "{user}");
    }
    stream.len()
}

#[test]
fn what_was_answered_is_there_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    assert_eq!(load(&mut store, "alice"), None);
    let batch = vec![
        commit("alice", 1, 10),
        commit("bob", 1, 11),
        commit("alice", 2, 12),
    ];
    assert_eq!(work(&mut store, 12, batch), [DONE, DONE, DONE]);
    assert_eq!(*store.news().borrow(), Position(3));
    let id = store.reading().store_id();
    drop(store);
    let mut store = open(folder.path());
    assert_eq!(store.reading().store_id(), id);
    assert_eq!(load(&mut store, "alice").unwrap().change, ChangeNumber(2));
    assert_eq!(work(&mut store, 13, vec![commit("bob", 2, 13)]), [DONE]);
    assert_eq!(check_fold(&store.reading()), 4);
    let mut residents = Vec::new();
    store
        .reading()
        .residents(&mut |user, record| residents.push((user, record.status())))
        .unwrap();
    let push_online = crate::logic::record::Status::PushOnline;
    assert_eq!(
        residents,
        [(user("alice"), push_online), (user("bob"), push_online)]
    );
}

#[test]
fn changes_are_read_in_pages_of_all_and_of_one() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    for number in 1..=5 {
        work(
            &mut store,
            number,
            vec![commit("alice", number, number), commit("bob", number, number)],
        );
    }
    let reading = store.reading();
    assert_eq!(places(&reading.changes(Position(0), 3).unwrap()), [1, 2, 3]);
    assert_eq!(places(&reading.changes(Position(8), 30).unwrap()), [9, 10]);
    assert_eq!(
        places(&reading.changes_of(&user("bob"), ChangeNumber(0), 9).unwrap()),
        [2, 4, 6, 8, 10]
    );
    assert_eq!(
        places(&reading.changes_of(&user("bob"), ChangeNumber(2), 2).unwrap()),
        [6, 8]
    );
    assert_eq!(reading.changes_of(&user("eve"), ChangeNumber(0), 9).unwrap(), []);
    let first = reading.users(None, 1).unwrap();
    assert_eq!(first[0].0, user("alice"));
    assert_eq!(reading.users(Some(&user("alice")), 9).unwrap()[0].0, user("bob"));
    assert_eq!(reading.users(Some(&user("bob")), 9).unwrap(), []);
}

#[test]
fn accounts_are_imported_once_and_known_when_registered() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    let ask = |ask| ToRegistry::Accounts(RequestId(1), ask, vec![user("alice"), user("bob")]);
    let told = |existed: [bool; 2]| Answer::Front(ToFront::Accounts(RequestId(1), Ok(existed.to_vec())));
    work(&mut store, 1, vec![commit("bob", 1, 1)]);
    assert_eq!(
        work(&mut store, 1, vec![ask(AccountsAsk::Check)]),
        [told([false, true])]
    );
    assert_eq!(
        work(&mut store, 1, vec![ask(AccountsAsk::Import)]),
        [told([false, true])]
    );
    assert_eq!(
        work(&mut store, 1, vec![ask(AccountsAsk::Check)]),
        [told([true, true])]
    );
    assert_eq!(load(&mut store, "alice").unwrap().change, ChangeNumber(0));
}

#[test]
fn relaxed_changes_show_in_the_stream_when_they_are_durable() {
    let folder = TempDir::new().unwrap();
    let relaxed = Rules {
        durability: Durability::Relaxed,
        ..rules()
    };
    let mut store = Embedded::open(place(folder.path()), relaxed).unwrap();
    assert_eq!(work(&mut store, 1, vec![commit("alice", 1, 1)]), [DONE]);
    assert_eq!(load(&mut store, "alice").unwrap().change, ChangeNumber(1));
    assert_eq!(store.reading().changes(Position(0), 9).unwrap(), []);
    store.rest(Timestamp(2));
    assert_eq!(places(&store.reading().changes(Position(0), 9).unwrap()), [1]);
}

#[test]
fn changes_are_pruned_by_age_but_not_while_a_callback_is_due() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    for number in 1..=6 {
        work(&mut store, number, vec![commit("alice", number, number * DAY_MS)]);
    }
    let reading = store.reading();
    let oldest = |reading: &Reading| match reading.changes(Position(0), 9) {
        Err(ReadError::Pruned(oldest)) => oldest.0,
        other => panic!("{other:?}"),
    };
    let late_in_the_year = Timestamp(300 * DAY_MS);
    store.rest(late_in_the_year);
    assert_eq!(places(&reading.changes(Position(0), 9).unwrap()).len(), 6);
    let late = OutboxStep::Late(user("alice"), Position(3));
    reading.take(&[OutboxStep::Cursor(Position(6)), late]).unwrap();
    store.rest(late_in_the_year);
    assert_eq!(oldest(&reading), 2);
    reading
        .take(&[OutboxStep::LateDone(user("alice"), Position(3))])
        .unwrap();
    store.rest(Timestamp(11 * DAY_MS + 1));
    assert_eq!(oldest(&reading), 4);
    // The newest stays: it keeps the place from which the next is counted.
    store.rest(late_in_the_year);
    assert_eq!(oldest(&reading), 5);
    assert_eq!(
        places(&reading.changes_of(&user("alice"), ChangeNumber(0), 9).unwrap()),
        [6]
    );
    drop((store, reading));
    let mut store = open(folder.path());
    work(&mut store, 1, vec![commit("alice", 7, 0)]);
    assert_eq!(places(&store.reading().changes(Position(5), 9).unwrap()), [6, 7]);
}

#[test]
fn changes_that_owe_no_callback_are_passed_by_at_once() {
    let folder = TempDir::new().unwrap();
    let (told, callbacks) = watch::channel(Callbacks::None);
    let rules = Rules { callbacks, ..rules() };
    let mut store = Embedded::open(place(folder.path()), rules).unwrap();
    let reading = store.reading();
    let due = |after| {
        let (due, looked_at) = reading.due(Position(after), 1).unwrap();
        (places(&due), looked_at.0)
    };
    for number in 1..=9 {
        work(&mut store, number, vec![commit("alice", number, 0)]);
    }
    assert_eq!(due(0), (vec![], 9));
    told.send_replace(Callbacks::Documented);
    let [owes, other] = [commit("alice", 10, 0), commit("bob", 1, 0)];
    work(&mut store, 10, vec![owes]);
    told.send_replace(Callbacks::None);
    work(&mut store, 11, vec![other]);
    assert_eq!(due(9), (vec![10], 10));
    assert_eq!(due(10), (vec![], 11));
    // Who opens a store does not know what its changes owe.
    drop((store, reading));
    let (due, _) = open(folder.path()).reading().due(Position(8), 1).unwrap();
    assert_eq!(places(&due), [10]);
}

#[test]
fn the_outbox_keeps_what_is_late_and_what_is_dead() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    for number in 1..=3 {
        work(
            &mut store,
            number,
            vec![commit("alice", number, 0), commit("al", number, 0)],
        );
    }
    let reading = store.reading();
    let (due, looked_at) = reading.due(Position(1), 2).unwrap();
    assert_eq!((places(&due), looked_at), (vec![2, 3], Position(3)));
    let late = |attempts, next_at| LateUser {
        user: user("alice"),
        attempts,
        next_at: Timestamp(next_at),
        after: Position(2),
    };
    let dead = Dead {
        placed: due[0].clone(),
        attempts: 3,
        at: Timestamp(9),
        fault: "no answer".to_owned(),
    };
    reading
        .take(&[
            OutboxStep::Late(user("alice"), Position(3)),
            OutboxStep::Late(user("alice"), Position(5)),
            OutboxStep::Late(user("al"), Position(4)),
            OutboxStep::Schedule(late(1, 50)),
            OutboxStep::Schedule(late(2, 70)),
            OutboxStep::Bury(dead.clone()),
            OutboxStep::Cursor(Position(5)),
        ])
        .unwrap();
    drop((store, reading));
    let reading = open(folder.path()).reading();
    assert_eq!((reading.late_count(), reading.dead_count()), (3, 1));
    assert_eq!(reading.cursor().unwrap(), Position(5));
    let late_of = |after| there(&reading.late_of(&user("alice"), Position(after), 9).unwrap());
    assert_eq!(
        (late_of(2), late_of(3), late_of(5)),
        (vec![3, 5], vec![5], vec![])
    );
    assert_eq!(reading.late_users(Timestamp(69), 9).unwrap(), []);
    assert_eq!(reading.late_users(Timestamp(70), 9).unwrap(), [late(2, 70)]);
    assert_eq!(reading.dead(Position(0), 9).unwrap(), [dead]);
    reading
        .take(&[OutboxStep::Late(user("alice"), Position(5))])
        .unwrap();
    assert_eq!(reading.late_count(), 3, "a repeated step counts once");
    let done = [
        OutboxStep::LateDone(user("alice"), Position(3)),
        OutboxStep::Unschedule(user("alice")),
        OutboxStep::Unbury(Position(2)),
    ];
    reading.take(&done).unwrap();
    reading.take(&done).unwrap();
    assert_eq!(reading.late_user(&user("alice")).unwrap(), None);
    assert_eq!(reading.late_users(Timestamp(900), 9).unwrap(), []);
    reading.take(&[OutboxStep::Schedule(late(1, 60))]).unwrap();
    reading.take(&[OutboxStep::Schedule(late(2, 80))]).unwrap();
    assert_eq!(reading.late_users(Timestamp(900), 9).unwrap(), [late(2, 80)]);
    reading.take(&[OutboxStep::Schedule(late(3, 20))]).unwrap();
    assert_eq!(reading.late_users(Timestamp(20), 9).unwrap(), [late(3, 20)]);
    assert_eq!((reading.late_count(), reading.dead_count()), (2, 0));
}

#[test]
fn a_store_belongs_to_one_gateway() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let second = Embedded::open(place(folder.path()), rules()).unwrap_err();
    assert!(matches!(second, OpenError::InUse(_)), "{second}");
    drop(store);
    open(folder.path());
}

#[test]
fn a_store_of_another_version_is_left_alone() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()));
    {
        let database = fjall::Database::builder(folder.path()).open().unwrap();
        let meta = database.keyspace("meta", Default::default).unwrap();
        meta.insert("format", 2_u64.to_be_bytes()).unwrap();
    }
    for _ in 0..2 {
        let refused = Embedded::open(place(folder.path()), rules()).unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains("format 2") && text.contains("reads only format 1"),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_directory_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a store").unwrap();
    let refused = Embedded::open(place(&file), rules()).unwrap_err();
    assert!(matches!(refused, OpenError::Directory { .. }), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), b"not a store");
}

#[test]
fn a_time_out_after_a_restart_tells_the_address_on_record() {
    let folder = TempDir::new().unwrap();
    let address = Some(std::net::Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped());
    let from = |number, kind: Option<ChangeKind>, address| {
        let ToRegistry::Commit(shard, key, mut commit) = commit("alice", number, number) else {
            unreachable!("a commit")
        };
        let change = &mut commit.changes[0];
        change.address = address;
        change.kind = kind.unwrap_or(change.kind.clone());
        ToRegistry::Commit(shard, key, commit)
    };
    work(&mut open(folder.path()), 1, vec![from(1, None, address)]);
    let mut store = open(folder.path());
    work(&mut store, 2, vec![from(2, Some(ChangeKind::TimeOut), None)]);
    drop(store);
    let mut store = open(folder.path());
    work(&mut store, 3, vec![from(3, Some(ChangeKind::Expiry), None)]);
    let changes = store.reading().changes(Position(0), 9).unwrap();
    let told = changes.iter().map(|placed| placed.recorded.change.address);
    assert_eq!(told.collect::<Vec<_>>(), [address; 3]);
}

/// Ten years after any time that these tests count in.
const WRONG: u64 = 3_650 * DAY_MS;

#[test]
fn a_wrong_clock_holds_back_the_time_of_its_users_alone() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    let at = |store: &mut Embedded, letter| {
        let (mut letters, mut answers) = (vec![letter], Vec::new());
        store.work_off(Timestamp(9), &mut letters, &mut answers);
        match answers.remove(0) {
            Answer::Shard(_, ToShard::Committed(_, Ok(at))) => at.0,
            other @ (Answer::Shard(..) | Answer::Front(_)) => panic!("{other:?}"),
        }
    };
    assert_eq!(at(&mut store, commit("alice", 1, WRONG)), WRONG);
    assert_eq!(
        store.vitals().clock_behind(Timestamp(WRONG - 7)),
        Duration::from_millis(7)
    );
    assert_eq!(at(&mut store, commit("bob", 1, 20)), 20);
    drop(store);
    let mut store = open(folder.path());
    assert_eq!(at(&mut store, commit("alice", 2, 30)), WRONG);
    assert_eq!(at(&mut store, commit("carol", 1, 30)), 30);
    let changes = store.reading().changes(Position(0), 9).unwrap();
    let times: Vec<u64> = changes.iter().map(|placed| placed.recorded.change.at.0).collect();
    assert_eq!(times, [WRONG, 20, WRONG, 30]);
}

#[test]
fn a_record_of_an_earlier_version_holds_back_by_the_latest_time_in_it() {
    use prost::Message;

    let mut known = Known::default();
    let ToRegistry::Commit(_, _, login) = commit("alice", 1, 70) else {
        unreachable!("a commit")
    };
    known.record.apply(&login);
    let bytes = codec::encode_user(&known);
    assert_eq!(codec::decode_user(&bytes).unwrap(), known);
    known.record.changed_at = Timestamp(0);
    let earlier = codec::encode_user(&known);
    assert!(
        earlier.encoded_len() < bytes.encoded_len(),
        "the field is not there"
    );
    assert_eq!(
        codec::decode_user(&earlier).unwrap().record.changed_at,
        Timestamp(70)
    );
}

#[test]
fn pruning_goes_on_behind_changes_that_a_wrong_clock_dated() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    let reading = store.reading();
    let keep_until = |day: u64| day * DAY_MS + 7 * DAY_MS + 1;
    for (number, at) in [(1, WRONG), (2, WRONG + 1)] {
        work(&mut store, 1, vec![commit("alice", number, at)]);
    }
    for (number, day) in [(1, 1), (2, 2), (3, 30), (4, 31)] {
        work(
            &mut store,
            day * DAY_MS,
            vec![commit("bob", number, day * DAY_MS)],
        );
    }
    reading.take(&[OutboxStep::Cursor(Position(6))]).unwrap();
    let mut oldest_at = |now| {
        store.rest(Timestamp(now));
        reading.oldest().unwrap()
    };
    assert_eq!(
        oldest_at(keep_until(1) - 2),
        Position(0),
        "nothing says that they are old"
    );
    assert_eq!(oldest_at(keep_until(1)), Position(3));
    assert_eq!(oldest_at(keep_until(2)), Position(4));
}

#[test]
fn a_late_user_that_a_wrong_clock_scheduled_is_due() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    work(&mut store, 1, vec![commit("alice", 1, 0)]);
    let reading = store.reading();
    let late = |name: &str, next_at| LateUser {
        user: user(name),
        attempts: 1,
        next_at: Timestamp(next_at),
        after: Position(0),
    };
    let longest = millis(crate::services::registry::outbox::LATE_WAIT_MAX);
    let all = [
        late("alice", 5),
        late("bob", 10 + longest),
        late("carol", 11 + longest),
        late("dave", WRONG),
    ];
    let steps: Vec<_> = all.iter().cloned().map(OutboxStep::Schedule).collect();
    reading.take(&steps).unwrap();
    let due = |now, count_max| reading.late_users(Timestamp(now), count_max).unwrap();
    assert_eq!(due(10, 9), [all[0].clone(), all[2].clone(), all[3].clone()]);
    assert_eq!(due(10, 2), [all[0].clone(), all[2].clone()]);
    assert_eq!(due(11, 9), [all[0].clone(), all[3].clone()]);
    assert_eq!(due(u64::MAX, 9), all);
}
