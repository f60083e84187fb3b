//! What follows from each outcome of a batch.

use super::*;
use crate::services::registry::archive::Position;
use crate::services::registry::shared::ownership::OwnershipNews;

const P: PartitionId = PartitionId(1);

/// A desk that has confirmed changes 1 and 2 of a partition, one batch each, and is about to write the third.
fn third() -> (TestDesk, (u64, Batch)) {
    third_by(settings())
}

fn third_by(settings: DeskSettings) -> (TestDesk, (u64, Batch)) {
    let mut desk = TestDesk::owner(settings);
    for key in [1, 2] {
        desk.log_in(key, user_of(1, key as usize), 1);
        desk.record_all();
        assert_eq!(desk.committed(), [(key, Ok(()))]);
    }
    desk.log_in(3, user_of(1, 3), 1);
    let sent = desk.sent();
    assert_eq!((sent.1.first, sent.1.count, sent.1.durable), (3, 1, 2));
    assert_eq!(sent.1.residents.len(), 1);
    (desk, sent)
}

/// What is sent next is the same, apart from its fence.
fn assert_again(desk: &mut TestDesk, sent: &(u64, Batch)) -> (u64, Batch) {
    assert!(desk.batch().is_none(), "not at once");
    desk.pass(1_000);
    let again = desk.sent();
    assert_eq!((&again.1, desk.committed()), (&sent.1, Vec::new()));
    assert_ne!(again.0, sent.0);
    again
}

#[test]
fn a_batch_in_as_many_copies_as_wanted_is_confirmed() {
    let (mut desk, sent) = third();
    assert_eq!(
        (desk.committed(), desk.confirmed.of(P)),
        (Vec::new(), Position(2))
    );
    desk.outcome(sent, recorded(3));
    assert_eq!(
        (desk.committed(), desk.confirmed.of(P)),
        (vec![(3, Ok(()))], Position(3))
    );
    assert!(desk.batch().is_none());
    let figures = desk.desk.figures();
    assert_eq!(
        (figures.batches, figures.changes, figures.in_flight_now),
        (3, 3, 0)
    );
    assert_eq!(desk.health.counts(), [3, 3, 0]);
}

#[test]
fn a_batch_in_too_few_copies_is_sent_again_until_there_are_enough() {
    let (mut desk, sent) = third();
    desk.outcome(sent.clone(), in_one_copy(3));
    let again = assert_again(&mut desk, &sent);
    assert_eq!(desk.confirmed.of(P), Position(2));
    // It was executed once: what another server says of that does not undo it.
    desk.outcome(again, not_executed());
    let again = assert_again(&mut desk, &sent);
    desk.outcome(again, recorded(3));
    assert_eq!(desk.committed(), [(3, Ok(()))]);
    let figures = desk.desk.figures();
    assert_eq!(
        (figures.copies_missing, figures.refused, figures.retried),
        (1, 1, 2)
    );
}

#[test]
fn who_logged_in_is_told_before_readers_of_the_stream() {
    let (mut desk, sent) = third();
    let end = end(&sent.1);
    desk.unpublished_outcome(sent, recorded(end));
    assert_eq!(desk.confirmed.of(P), Position(2));
    assert_ne!(desk.committed(), []);
    desk.desk.publish();
    assert_eq!(desk.confirmed.of(P), Position(end));
}

#[test]
fn a_batch_in_too_few_copies_is_confirmed_if_the_settings_say_so() {
    let mut settings = settings();
    settings.copies_missing = CopiesMissing::GoOn;
    let (mut desk, sent) = third_by(settings);
    desk.outcome(sent, in_one_copy(3));
    assert_eq!(desk.committed(), [(3, Ok(()))]);
    assert_eq!(desk.desk.figures().copies_missing, 1);
}

#[test]
fn a_batch_that_was_not_executed_is_refused_and_leaves_nothing() {
    let (mut desk, sent) = third();
    desk.log_in(4, user_of(1, 4), 1);
    desk.outcome(sent, not_executed());
    let refused = Err(RegistryError::Unavailable);
    assert_eq!(desk.committed(), [(3, refused), (4, refused)]);
    assert!(desk.health.failing_since().is_some());
    // The same place is given anew, and the record is what it was.
    desk.log_in(3, user_of(1, 3), 1);
    desk.pass(1_000);
    let again = desk.sent();
    assert_eq!((again.1.first, again.1.durable), (3, 2));
    desk.outcome(again, recorded(3));
    assert_eq!(desk.committed(), [(3, Ok(()))]);
    assert_eq!(desk.health.failing_since(), None);
}

#[test]
fn a_batch_of_unknown_fate_is_sent_again_and_nobody_is_told() {
    let (mut desk, sent) = third();
    desk.outcome(sent.clone(), unknown());
    // What comes meanwhile waits: the borders stay.
    desk.log_in(4, user_of(1, 4), 1);
    let again = assert_again(&mut desk, &sent);
    desk.outcome(again, not_executed());
    let again = assert_again(&mut desk, &sent);
    desk.outcome(again, recorded(3));
    assert_eq!(desk.committed(), [(3, Ok(()))]);
    desk.record_all();
    assert_eq!(desk.committed(), [(4, Ok(()))]);
}

#[test]
fn what_the_store_lost_is_written_again_in_order() {
    let (mut desk, sent) = third();
    desk.outcome(sent.clone(), behind(0));
    desk.pass(1_000);
    for place in [1, 2] {
        let lost = desk.sent();
        assert_eq!((lost.1.first, lost.1.count), (place, 1));
        desk.outcome(lost, recorded(place));
        assert_eq!(desk.committed(), []);
    }
    let again = desk.sent();
    assert_eq!(again.1, sent.1);
    desk.outcome(again, recorded(3));
    assert_eq!(desk.committed(), [(3, Ok(()))]);
    let figures = desk.desk.figures();
    assert_eq!((figures.behind, figures.repaired, figures.stopped_now), (1, 2, 0));
}

#[test]
fn a_repair_begins_where_the_store_ends_and_begins_anew_if_it_loses_more() {
    let (mut desk, sent) = third();
    desk.outcome(sent, behind(1));
    desk.pass(1_000);
    let lost = desk.sent();
    assert_eq!(lost.1.first, 2);
    desk.outcome(lost, behind(0));
    desk.pass(1_000);
    for place in [1, 2, 3] {
        let lost = desk.sent();
        assert_eq!(lost.1.first, place);
        // In too few copies it is written again, too.
        desk.outcome(lost, in_one_copy(place));
        desk.pass(1_000);
        let lost = desk.sent();
        assert_eq!(lost.1.first, place);
        desk.outcome(lost, recorded(place));
    }
    assert_eq!(desk.committed(), [(3, Ok(()))]);
}

#[test]
fn a_repair_passes_over_what_the_store_has_after_all() {
    let (mut desk, sent) = third();
    // A former master had less.
    desk.outcome(sent, behind(0));
    desk.pass(1_000);
    let lost = desk.sent();
    assert_eq!(lost.1.first, 1);
    desk.outcome(lost, recorded(2));
    let again = desk.sent();
    assert_eq!(again.1.first, 3);
}

#[test]
fn a_record_without_a_change_is_repaired_at_its_place() {
    let mut desk = TestDesk::owner(settings());
    let (alice, bob) = (user_of(1, 1), user_of(1, 2));
    let kick = |user, second| {
        let kicked_at_s = Some(second);
        let commit = Commit {
            kicked_at_s,
            ..commit_of(user, Vec::new())
        };
        ToRegistry::Commit(SHARD, UserKey(9), Box::new(commit))
    };
    desk.log_in(1, alice, 1);
    desk.record_all();
    for second in [7, 8] {
        desk.desk.request(kick(bob, second));
        desk.record_all();
    }
    desk.log_in(1, alice, 2);
    desk.record_all();
    desk.log_in(1, alice, 3);
    let sent = desk.sent();
    desk.outcome(sent, behind(0));
    desk.pass(1_000);
    let mut repaired = Vec::new();
    for _ in 0..4 {
        let lost = desk.sent();
        repaired.push((lost.1.first, lost.1.count));
        let end = end(&lost.1);
        desk.outcome(lost, recorded(end));
    }
    assert_eq!(repaired, [(1, 1), (2, 0), (2, 0), (2, 1)]);
    assert_eq!(desk.sent().1.first, 3);
}

#[test]
fn while_a_repair_is_refused_so_are_its_users_and_it_is_still_to_be_done() {
    let (mut desk, sent) = third();
    desk.outcome(sent, behind(0));
    desk.pass(1_000);
    let lost = desk.sent();
    desk.outcome(lost, not_executed());
    assert_eq!(desk.committed(), [(3, Err(RegistryError::Unavailable))]);
    desk.pass(1_000);
    let firsts: Vec<u64> = (0..2)
        .map(|_| {
            let lost = desk.sent();
            let first = lost.1.first;
            desk.outcome(lost, recorded(first));
            first
        })
        .collect();
    assert_eq!(firsts, [1, 2]);
    assert!(desk.batch().is_none());
}

#[test]
fn what_the_tail_lacks_stops_the_partition() {
    let mut settings = settings();
    settings.tail.bytes = 0;
    let (mut desk, sent) = third_by(settings);
    desk.log_in(4, user_of(1, 4), 1);
    desk.outcome(sent, behind(1));
    assert_eq!(desk.desk.take_news(), [OwnershipNews::Behind(P, Position(1))]);
    let refused = Err(RegistryError::Unavailable);
    assert_eq!(desk.committed(), [(3, refused), (4, refused)]);
    desk.log_in(5, user_of(1, 5), 1);
    assert_eq!(desk.committed(), [(5, refused)]);
    desk.pass(10_000);
    assert!(desk.batch().is_none());
    // Others go on.
    desk.log_in(6, user_of(2, 6), 1);
    desk.record_all();
    assert_eq!(desk.committed(), [(6, Ok(()))]);
    assert_eq!(desk.desk.figures().stopped_now, 1);
    // The operator has accepted the loss.
    desk.desk.order(OwnershipOrder::Resume(P, fence(1)));
    desk.log_in(5, user_of(1, 5), 1);
    desk.record_all();
    assert_eq!(desk.committed(), [(5, Ok(()))]);
}

#[test]
fn a_partition_that_stops_does_not_give_up_what_may_have_been_executed() {
    let mut settings = settings();
    settings.tail.bytes = 0;
    let (mut desk, sent) = third_by(settings);
    desk.outcome(sent.clone(), unknown());
    let again = assert_again(&mut desk, &sent);
    desk.outcome(again, behind(1));
    assert_eq!(desk.committed(), []);
    desk.desk.order(OwnershipOrder::Resume(P, fence(1)));
    let again = desk.sent();
    assert_eq!(again.1, sent.1);
    desk.outcome(again, recorded(3));
    assert_eq!(desk.committed(), [(3, Ok(()))]);
}

#[test]
fn a_store_with_more_than_was_written_stops_the_partition() {
    for more in [recorded(4), behind(4)] {
        let (mut desk, sent) = third();
        desk.outcome(sent, more);
        assert_eq!(desk.desk.take_news(), [OwnershipNews::Behind(P, Position(4))]);
        assert_eq!(desk.confirmed.of(P), Position(2));
    }
}

#[test]
fn a_fenced_batch_waits_for_what_becomes_of_the_partition() {
    let (mut desk, sent) = third();
    desk.outcome(sent.clone(), fenced());
    assert_eq!(desk.desk.take_news(), [OwnershipNews::Fenced(P, fence(1))]);
    desk.log_in(4, user_of(1, 4), 1);
    desk.pass(60_000);
    assert!(desk.batch().is_none());
    assert_eq!(desk.committed(), []);
    desk.desk.order(OwnershipOrder::Resume(P, fence(3)));
    desk.fence = fence(3);
    let again = desk.sent();
    let expected = Batch {
        fence: fence(3),
        ..sent.1
    };
    assert_eq!(again.1, expected);
    desk.outcome(again, recorded(3));
    desk.record_all();
    assert_eq!(desk.committed(), [(3, Ok(())), (4, Ok(()))]);
}

#[test]
fn a_refusal_under_a_fence_that_was_replaced_meanwhile_means_nothing() {
    let (mut desk, sent) = third();
    desk.desk.order(OwnershipOrder::Resume(P, fence(3)));
    desk.outcome(sent, fenced());
    assert_eq!(desk.desk.take_news(), []);
    assert_eq!(desk.sent().1.fence, fence(3));
}
