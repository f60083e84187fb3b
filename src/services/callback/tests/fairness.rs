//! One user, however late or busy, keeps nobody else from their callbacks.

use super::*;
use crate::services::callback::{dispatch, target, window};

#[test]
fn the_oldest_callback_is_named_whether_it_is_under_way_or_waits() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let mut settings = settings("http://receiver".to_owned());
    settings.url = None;
    let mut held = Held::new(&store, &settings);
    let numbers = held.pump.metrics();
    let oldest = |held: &mut Held| {
        held.pump.count();
        numbers.oldest().map(|at| at.0 - FIRST_AT.0)
    };
    assert_eq!(oldest(&mut held), None);
    record(&mut store, 2, 1..=2);
    held.pass_by();
    assert_eq!(oldest(&mut held), Some(1), "waits for a receiver");
    settings.url = ReceiverUrl::read("http://receiver").ok();
    held.pump.take(
        held.now,
        PumpEvent::CallbackSettings(Arc::new(settings), Receipt::none()),
    );
    let [zero, one] = <[Attempt; 2]>::try_from(held.work()).unwrap();
    assert_eq!(oldest(&mut held), Some(1), "under way");
    held.end(zero, unreachable());
    held.end(one, AttemptOutcome::Delivered);
    let mut second = held.work();
    assert_eq!(named(&second), [("user-1", 2, AttemptOrigin::Stream)]);
    assert_eq!(oldest(&mut held), Some(1), "late");
    held.end(second.remove(0), AttemptOutcome::Delivered);
    held.now.0 += 1_000_000;
    let mut first = held.work();
    assert_eq!(oldest(&mut held), Some(1), "late, and under way");
    held.end(first.remove(0), AttemptOutcome::Delivered);
    let mut second = held.work();
    assert_eq!(named(&second), [("user-0", 2, AttemptOrigin::Late)]);
    assert_eq!(oldest(&mut held), Some(2), "the next late one");
    held.end(second.remove(0), AttemptOutcome::Delivered);
    held.work();
    assert_eq!(oldest(&mut held), None);
    // What was noted of the store holds for what becomes late afterwards, too.
    record(&mut store, 1, 3..=3);
    let third = held.work().remove(0);
    held.end(third, unreachable());
    held.work();
    assert_eq!(oldest(&mut held), Some(3));
}

#[test]
fn a_user_that_floods_the_stream_has_a_share_of_the_window_and_keeps_nobody_out() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let flooded = window::WINDOW_MAX as u64 + 76;
    flood(&mut store, "flood", 1..=flooded);
    record(&mut store, 1, 1..=1);
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    let first = held.work();
    let named_first = named(&first);
    assert!(
        named_first.contains(&("user-0", 1, AttemptOrigin::Stream)),
        "{named_first:?}"
    );
    assert!(
        named_first.contains(&("flood", 1, AttemptOrigin::Late)),
        "{named_first:?}"
    );
    assert_eq!(
        held.pump.metrics().failed.load(Ordering::Relaxed),
        0,
        "nothing failed"
    );
    let (mut under_way, mut told) = (first, Vec::new());
    while !under_way.is_empty() {
        for attempt in under_way {
            told.extend(
                (attempt.placed.recorded.user.as_str() == "flood")
                    .then_some(attempt.placed.recorded.change.number.0),
            );
            held.end(attempt, AttemptOutcome::Delivered);
        }
        // Nothing has to be waited for.
        under_way = held.work();
    }
    assert_eq!(told, (1..=flooded).collect::<Vec<_>>());
    let reading = store.reader();
    assert_eq!(
        (reading.late_count(), reading.cursor().unwrap()),
        (0, reading.last())
    );
    flood(&mut store, "flood", flooded + 1..=flooded + 1);
    assert_eq!(
        named(&held.work()),
        [("flood", flooded + 1, AttemptOrigin::Stream)],
        "it is a user like any other again"
    );
}

#[test]
fn what_was_under_way_of_a_user_that_was_set_aside_is_told_first_after_a_crash() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let settings = settings("http://receiver".to_owned());
    flood(&mut store, "flood", 1..=1);
    let mut held = Held::new(&store, &settings);
    let under_way = held.work();
    assert_eq!(named(&under_way), [("flood", 1, AttemptOrigin::Stream)]);
    flood(&mut store, "flood", 2..=40);
    assert_eq!(named(&held.work()), [], "one after the other");
    assert_eq!(store.reader().late_count(), 39);
    // Whoever had it under way is gone.
    let mut held = Held::new(&store, &settings);
    for number in 1..=40 {
        let mut next = held.work();
        assert_eq!(named(&next), [("flood", number, AttemptOrigin::Late)]);
        held.end(next.remove(0), AttemptOutcome::Delivered);
    }
    assert_eq!(named(&held.work()), []);
}

#[test]
fn a_user_that_was_set_aside_while_its_first_was_under_way_goes_on_in_order_if_that_fails() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    flood(&mut store, "flood", 1..=1);
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    let mut under_way = held.work();
    flood(&mut store, "flood", 2..=40);
    held.work();
    held.end(under_way.remove(0), refused());
    assert_eq!(named(&held.work()), [], "the failure has its wait");
    held.now.0 += 1_000_000;
    for number in 1..=40 {
        let mut next = held.work();
        assert_eq!(named(&next), [("flood", number, AttemptOrigin::Late)]);
        held.end(next.remove(0), AttemptOutcome::Delivered);
    }
}

#[test]
fn late_users_leave_half_of_the_room_to_the_stream() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 20, 1..=1);
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    while store.reader().late_count() < 20 {
        for attempt in held.work() {
            held.end(attempt, refused());
        }
    }
    held.now.0 += 1_000_000;
    for user in 20..40 {
        flood(&mut store, &format!("user-{user}"), 1..=1);
    }
    let left = held.work();
    let of = |origin| left.iter().filter(|attempt| attempt.origin == origin).count();
    assert_eq!((of(AttemptOrigin::Late), of(AttemptOrigin::Stream)), (4, 4));
}

#[test]
fn a_late_user_and_the_stream_take_turns_where_there_is_one_attempt_at_a_time() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 2, 1..=3);
    let mut settings = settings("http://receiver".to_owned());
    settings.parallel = 1;
    let mut held = Held::new(&store, &settings);
    let first = held.work().remove(0);
    held.end(first, refused());
    let mut told = Vec::new();
    for _ in 0..6 {
        held.now.0 += 1_000_000;
        let mut next = held.work();
        told.extend(
            named(&next)
                .iter()
                .map(|(user, number, _)| format!("{user} {number}")),
        );
        held.end(next.remove(0), AttemptOutcome::Delivered);
    }
    let first_four = ["user-0 1", "user-1 1", "user-0 2", "user-1 2"];
    assert_eq!(told[..4], first_four, "{told:?}");
}

#[test]
fn a_refusal_is_its_users_affair_and_says_that_the_receiver_is_up() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let users = 2 * receiver_state::FAILURES_MAX as usize;
    record(&mut store, users, 1..=1);
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    let down = |held: &mut Held| {
        held.pump.count();
        held.pump.metrics().down.load(Ordering::Relaxed)
    };
    for _ in 0..users {
        for attempt in held.work() {
            held.end(attempt, refused());
        }
    }
    assert_eq!(down(&mut held), 0);
    assert_eq!(store.reader().late_count(), users as u64);
    flood(&mut store, "another", 1..=1);
    let mut next = held.work();
    assert_eq!(
        named(&next),
        [("another", 1, AttemptOrigin::Stream)],
        "nobody else waits"
    );
    held.end(next.remove(0), AttemptOutcome::Delivered);
    // The late ones find nobody, until the receiver counts as down; then it refuses one.
    held.now.0 += 1_000_000;
    while down(&mut held) == 0 {
        for attempt in held.work() {
            held.end(attempt, unreachable());
        }
    }
    held.now.0 += 1_000_000;
    let attempt = held.work().remove(0);
    held.end(attempt, refused());
    assert_eq!(down(&mut held), 0);
}

#[test]
fn users_that_a_receiver_refuses_keep_nobody_else_waiting() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(0);
    let refused: Vec<String> = (0..40).map(|user| format!("user-{user}")).collect();
    receiver.refuse(&refused);
    let service = start(&store, settings(receiver.url()));
    record(&mut store, 41, 1..=3);
    let told = receiver.wait_for(|told| told.len() == 3);
    assert!(told.iter().all(|told| told.user == "user-40"));
    receiver.wait_for_refusals(80);
    let numbers = service.handle().metrics();
    assert_eq!(numbers.down.load(Ordering::Relaxed), 0);
    receiver.refuse(&[]);
    let told = receiver.wait_for(|told| has_all(told, 41, 3));
    Order::default().check(&told);
    service.stop(STOP_WITHIN).unwrap();
}

#[test]
fn a_user_that_fails_for_ever_does_not_keep_the_others_from_a_receiver_that_seems_down() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 2, 1..=1);
    let [bad, good] = &store.reader().due(Position(0), 2).unwrap().0[..] else {
        panic!("two changes")
    };
    let (mut now, mut steps) = (Timestamp(1), Vec::new());
    let mut target = target::CallbackTarget::new(8, FOR_EVER, 1);
    let mut dispatch = dispatch::Dispatch::new(Position(0), window::WINDOW_MAX);
    dispatch.take(now, bad.clone(), &mut steps);
    let attempt = dispatch.next(now, &mut target).unwrap();
    dispatch.ended(now, &attempt, unreachable(), (&mut target, &mut steps));
    let late = |steps: &[OutboxStep]| match steps.last() {
        Some(OutboxStep::Schedule(late)) => late.clone(),
        other => panic!("{other:?}"),
    };
    for _ in 0..=receiver_state::FAILURES_MAX {
        now.0 += 1_000_000;
        assert_eq!(target.room_aside(now), if target.is_down() { 1 } else { 4 });
        let attempt = dispatch.begin_late(&late(&steps), bad.clone(), &mut target);
        dispatch.ended(now, &attempt, unreachable(), (&mut target, &mut steps));
    }
    assert!(target.is_down());
    assert_eq!(dispatch.wants(&target).map(|(_, room)| room), Some(1));
    dispatch.take(now, good.clone(), &mut steps);
    assert_eq!(dispatch.wants(&target), None, "one is enough to try it with");
    now.0 += 1_000_000;
    let order = [AttemptOrigin::Stream, AttemptOrigin::Late, AttemptOrigin::Dead];
    assert_eq!(target.order(), order, "the late one had its turn");
    let attempt = dispatch.next(now, &mut target).unwrap();
    assert_eq!(attempt.placed, *good);
    dispatch.ended(
        now,
        &attempt,
        AttemptOutcome::Delivered,
        (&mut target, &mut steps),
    );
    assert!(!target.is_down());
}
