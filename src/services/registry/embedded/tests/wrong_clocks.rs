//! Changes, records and schedules that a wrong clock dated.

use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::base::time::millis;

/// Ten years after any time that these tests count in.
const WRONG: u64 = 3_650 * DAY_MS;

#[test]
fn a_wrong_clock_holds_back_the_time_of_its_users_alone() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    let at = |store: &mut EmbeddedStore, request| {
        let (mut requests, mut answers) = (vec![request], Vec::new());
        store.work_off(Timestamp(9), &mut requests, &mut answers);
        match answers.remove(0) {
            Delivery::Shard(_, ToShard::Committed(_, Ok(at))) => at.0,
            other @ (Delivery::Shard(..)
            | Delivery::Registry(_)
            | Delivery::Http(_)
            | Delivery::Peer(..)
            | Delivery::Outcomes(_)) => {
                panic!("{other:?}")
            }
        }
    };
    assert_eq!(at(&mut store, commit("alice", 1, WRONG)), WRONG);
    assert_eq!(
        store.health().clock_behind(Timestamp(WRONG - 7)),
        Duration::from_millis(7)
    );
    assert_eq!(at(&mut store, commit("bob", 1, 20)), 20);
    drop(store);
    let mut store = open(folder.path());
    assert_eq!(at(&mut store, commit("alice", 2, 30)), WRONG);
    assert_eq!(at(&mut store, commit("carol", 1, 30)), 30);
    let changes = store.reader().changes(Position(0), 9).unwrap();
    let times: Vec<u64> = changes.iter().map(|placed| placed.recorded.change.at.0).collect();
    assert_eq!(times, [WRONG, 20, WRONG, 30]);
}

#[test]
fn a_record_of_an_earlier_version_holds_back_by_the_latest_time_in_it() {
    use prost::Message;

    let mut known = StoredRecord::default();
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
    let reader = store.reader();
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
    reader.take(&[OutboxStep::Cursor(Position(6))]).unwrap();
    let mut oldest_at = |now| {
        store.rest(Timestamp(now));
        reader.oldest().unwrap()
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
    let reader = store.reader();
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
    reader.take(&steps).unwrap();
    let due = |now, count_max| reader.late_users(Timestamp(now), count_max).unwrap();
    assert_eq!(due(10, 9), [all[0].clone(), all[2].clone(), all[3].clone()]);
    assert_eq!(due(10, 2), [all[0].clone(), all[2].clone()]);
    assert_eq!(due(11, 9), [all[0].clone(), all[3].clone()]);
    assert_eq!(due(u64::MAX, 9), all);
}
