//! Partitions that come and go.

use super::*;
use crate::services::registry::archive::Position;
use crate::services::registry::shared::ownership::OwnershipNews;

const P: PartitionId = PartitionId(1);
const SUPERSEDED: Result<(), RegistryError> = Err(RegistryError::Superseded);

#[test]
fn a_user_of_another_node_is_superseded() {
    let mut desk = TestDesk::new(settings());
    desk.log_in(1, user_of(1, 1), 1);
    assert_eq!(desk.committed(), [(1, SUPERSEDED)]);
    desk.desk
        .request(ToRegistry::Load(SHARD, UserKey(2), user_of(1, 1)));
    let answer = ToShard::Loaded(UserKey(2), Err(RegistryError::Superseded));
    assert_eq!(desk.desk.take_answers(), [Delivery::Shard(SHARD, answer)]);
    assert!(desk.job().is_empty());
}

#[test]
fn a_partition_goes_on_where_it_stands() {
    let mut desk = TestDesk::new(settings());
    desk.fence = fence(7);
    let ahead = START.0 + 60_000;
    let places = Places {
        seq: 41,
        latest: ahead,
        ..Places::default()
    };
    desk.desk.order(OwnershipOrder::Own(P, fence(7), places));
    assert_eq!(desk.confirmed.of(P), Position(41));
    desk.log_in(1, user_of(1, 1), 1);
    let sent = desk.sent();
    assert_eq!((sent.1.first, sent.1.durable, sent.1.latest), (42, 41, ahead));
    assert_eq!(sent.1.fence, fence(7));
    desk.outcome(sent, recorded(42));
    // No date is before the latest of the partition.
    let answer = ToShard::Committed(UserKey(1), Ok(Timestamp(ahead)));
    assert_eq!(desk.desk.take_answers(), [Delivery::Shard(SHARD, answer)]);
}

#[test]
fn of_a_partition_that_is_lost_all_is_superseded_and_nothing_kept() {
    let mut desk = TestDesk::owner(settings());
    desk.log_in(1, user_of(1, 1), 1);
    desk.record_all();
    desk.log_in(2, user_of(1, 1), 2);
    let sent = desk.sent();
    desk.log_in(3, user_of(1, 3), 1);
    desk.desk
        .request(ToRegistry::Load(SHARD, UserKey(4), user_of(1, 4)));
    desk.committed();
    desk.desk.order(OwnershipOrder::Lose(P));
    let answers = desk.desk.take_answers();
    let loaded = Delivery::Shard(SHARD, ToShard::Loaded(UserKey(4), Err(RegistryError::Superseded)));
    assert!(answers.contains(&loaded) && answers.len() == 3, "{answers:?}");
    let figures = desk.desk.figures();
    assert_eq!((figures.cache_bytes_now, figures.tail_bytes_now), (0, 0));
    // It comes back, and what the store says of the old batch is not taken for the new one.
    let places = Places {
        seq: 1,
        ..Places::default()
    };
    desk.desk.order(OwnershipOrder::Own(P, fence(3), places));
    desk.fence = fence(3);
    desk.log_in(5, user_of(1, 5), 1);
    let new = desk.sent();
    desk.outcome(sent, recorded(2));
    assert_eq!(
        (desk.committed(), desk.confirmed.of(P)),
        (Vec::new(), Position(1))
    );
    desk.outcome(new, recorded(2));
    assert_eq!(desk.committed(), [(5, Ok(()))]);
}

#[test]
fn a_partition_is_settled_when_nothing_is_left() {
    let mut desk = TestDesk::owner(settings());
    desk.log_in(1, user_of(1, 1), 1);
    let sent = desk.sent();
    desk.log_in(2, user_of(1, 2), 1);
    desk.desk.order(OwnershipOrder::Settle(P));
    assert_eq!(desk.desk.take_news(), []);
    desk.outcome(sent, recorded(1));
    assert_eq!(desk.desk.take_news(), []);
    desk.record_all();
    assert_eq!(desk.desk.take_news(), [OwnershipNews::Settled(P)]);
    assert_eq!(desk.committed(), [(1, Ok(())), (2, Ok(()))]);
    desk.log_in(3, user_of(1, 3), 1);
    assert_eq!(desk.committed(), [(3, Err(RegistryError::Unavailable))]);
    assert!(desk.batch().is_none());
    desk.desk.order(OwnershipOrder::Settle(PartitionId(0)));
    let idle = [OwnershipNews::Settled(PartitionId(0))];
    assert_eq!(desk.desk.take_news(), idle, "at once, if nothing is left");
}

#[test]
fn nothing_is_left_of_a_partition_that_is_not_here() {
    let mut desk = TestDesk::new(settings());
    desk.desk.order(OwnershipOrder::Settle(P));
    assert_eq!(desk.desk.take_news(), [OwnershipNews::Settled(P)]);
}

#[test]
fn all_who_wait_share_an_empty_batch() {
    let mut desk = TestDesk::owner(settings());
    for key in 0..100 {
        desk.desk.request(vouch(key, user_of(1, key as usize)));
    }
    let sent = desk.sent();
    assert_eq!((sent.1.first, sent.1.count, sent.1.residents.len()), (1, 0, 0));
    // Who asks behind its sending is not vouched for by it.
    desk.desk.request(vouch(100, user_of(1, 100)));
    desk.outcome(sent, recorded(0));
    assert!(desk.committed().into_iter().eq((0..100).map(|key| (key, Ok(())))));
    desk.record_all();
    assert_eq!(desk.committed(), [(100, Ok(()))]);
    assert_eq!(desk.desk.figures().tail_bytes_now, 0);
    // Beside a change it is not needed.
    desk.desk.request(vouch(1, user_of(1, 1)));
    desk.log_in(2, user_of(1, 2), 1);
    let (_, batch) = desk.sent();
    assert_eq!(batch.count, 1);
}

#[test]
fn a_batch_has_as_many_changes_as_readers_count_on() {
    let mut desk = TestDesk::owner(settings());
    for key in 0..150 {
        desk.log_in(key, user_of(1, key as usize), 1);
    }
    let mut counts = Vec::new();
    for _ in 0..2 {
        // Records of so many at a time are read before.
        while let Some((ticket, batch)) = desk.batch() {
            counts.push(batch.count);
            let end = end(&batch);
            desk.outcome((ticket, batch), recorded(end));
        }
    }
    assert_eq!(counts.iter().sum::<u32>(), 150);
    assert!(
        counts.iter().all(|count| *count <= 64) && counts[0] == 64,
        "{counts:?}"
    );
    assert_eq!(desk.committed().len(), 150);
    let changes = (1..=65).map(|number| change(number, login_kind(number), 1));
    let commit = commit_of(user_of(1, 151), changes.collect());
    desk.desk
        .request(ToRegistry::Commit(SHARD, UserKey(7), Box::new(commit)));
    assert_eq!(desk.committed(), [(7, Err(RegistryError::Unavailable))]);
}

#[test]
fn partitions_do_not_wait_for_each_other() {
    let mut desk = TestDesk::owner(settings());
    desk.log_in(1, user_of(1, 1), 1);
    let _stuck = desk.sent();
    desk.log_in(2, user_of(2, 1), 1);
    assert_eq!(desk.desk.job(|partition| partition == P), Job::default());
    desk.record_all();
    assert_eq!(desk.committed(), [(2, Ok(()))]);
}
