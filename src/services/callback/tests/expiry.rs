//! What is given up by its age, and what is dropped.

use super::*;
use crate::services::registry::outbox::OutboxStep;

#[test]
fn what_is_too_old_is_given_up_and_can_be_sent_again_or_dropped() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(100);
    let given_up = CallbackSettings {
        give_up: Duration::ZERO,
        ..settings(receiver.url())
    };
    let service = start(&store, given_up);
    record(&mut store, 2, 1..=2);
    let reading = store.reader();
    while reading.dead_count() < 4 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let dead = reading.dead(Position(0), 9).unwrap();
    receiver.set_trouble(0);
    let again = &dead[1].placed;
    service
        .handle()
        .replay(vec![(again.recorded.user, again.position)]);
    let told = receiver.wait_for(|told| !told.is_empty());
    assert!(told.len() == 1 && told[0].replayed, "{told:?}");
    let dropped = OutboxStep::Unbury(dead[0].placed.position);
    reading.take(&[dropped]).unwrap();
    // A later change goes its ordinary way.
    record(&mut store, 1, 3..=3);
    let told = receiver.wait_for(|told| told.len() == 2);
    assert_eq!(
        (told[1].change, told[1].previous, told[1].replayed),
        (3, 2, false)
    );
    service.stop(STOP_WITHIN).unwrap();
    assert_eq!(reading.dead_count(), 2);
}

#[test]
fn a_callback_of_a_change_that_a_wrong_clock_dated_ahead_is_given_up() {
    const YEARS: u64 = 315_360_000_000;
    let give_up = Duration::from_secs(100);
    for with_receiver in [true, false] {
        let folder = TempDir::new().unwrap();
        let mut store = store(folder.path());
        let [alice, bob] = [b"alice".as_slice(), b"bob"].map(|name| UserId::new(name).unwrap());
        let ahead = Timestamp(FIRST_AT.0 + YEARS);
        let mut batch = vec![commit_at(&alice, 1, ahead), commit(&bob, 1)];
        store.work_off(Timestamp(1), &mut batch, &mut Vec::new());
        store.rest(Timestamp(1));
        let settings = CallbackSettings {
            give_up,
            ..settings("http://receiver".to_owned())
        };
        let mut held = Held::new(&store, &settings);
        let reading = store.reader();
        let mut look = |at_ms: u64| {
            held.now = Timestamp(FIRST_AT.0 + at_ms);
            if with_receiver {
                for attempt in held.work() {
                    held.end(attempt, refused());
                }
                held.work();
            } else {
                held.pass_by();
            }
            reading.dead_count()
        };
        assert_eq!(look(50_000), 0, "{with_receiver}");
        assert_eq!(look(100_001), 2, "{with_receiver}");
        let dead = reading.dead(Position(0), 9).unwrap();
        assert_eq!(dead[0].placed.recorded.change.at, ahead, "its own date is told");
    }
}

#[test]
fn without_a_receiver_all_is_given_up_by_age_and_pruning_goes_on() {
    let folder = TempDir::new().unwrap();
    let mut store = store_with(folder.path(), Duration::from_secs(86_400));
    let reading = store.reader();
    record(&mut store, 2, 1..=2);
    let mut held = Held::new(&store, &given_up_after_a_day());
    held.now = FIRST_AT;
    // user-0 is late, user-1 has one left in the window, and one more change of each was not read.
    let [zero, one] = <[Attempt; 2]>::try_from(held.work()).unwrap();
    held.end(zero, refused());
    held.end(one, AttemptOutcome::Delivered);
    held.pump.work(held.now).unwrap();
    record(&mut store, 2, 3..=3);
    let none = CallbackSettings {
        url: None,
        ..given_up_after_a_day()
    };
    held.pump.take(
        held.now,
        PumpEvent::CallbackSettings(Arc::new(none), Receipt::none()),
    );
    let unsent = held.attempts.try_recv().unwrap();
    held.end(unsent, AttemptOutcome::Unsent);
    held.pass_by();
    assert_eq!((reading.dead_count(), reading.late_count()), (0, 2));
    held.now.0 += DAY_MS + 2;
    held.pass_by();
    assert_eq!(
        (reading.dead_count(), reading.late_count()),
        (3, 0),
        "the last two are a moment younger"
    );
    held.now.0 += 10;
    held.pass_by();
    let dead = reading.dead(Position(0), 9).unwrap();
    let attempts = dead.iter().map(|dead| (dead.placed.position.0, dead.attempts));
    assert_eq!(
        attempts.collect::<Vec<_>>(),
        [(1, 1), (3, 0), (4, 0), (5, 0), (6, 0)]
    );
    assert!(
        dead[0].fault.contains("callback.url is empty"),
        "{}",
        dead[0].fault
    );
    assert_eq!(reading.cursor().unwrap(), Position(6));
    assert_eq!(
        reading.late_users(Timestamp(u64::MAX), 9).unwrap(),
        [],
        "nobody is late any more"
    );
    store.rest(Timestamp(held.now.0 + DAY_MS));
    assert_eq!(
        reading.oldest().unwrap(),
        Position(5),
        "all but the newest change are pruned"
    );
}

#[test]
fn a_receiver_that_is_down_keeps_nothing_beyond_its_age_and_is_still_tried() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let reading = store.reader();
    let users = receiver_state::FAILURES_MAX as usize;
    record(&mut store, users, 1..=1);
    let mut held = Held::new(&store, &given_up_after_a_day());
    held.now = FIRST_AT;
    while reading.late_count() < users as u64 {
        for attempt in held.work() {
            held.end(attempt, unreachable());
        }
    }
    record(&mut store, users, 2..=4);
    held.work().clear();
    held.now.0 += DAY_MS + 100;
    let mut tried = held.work();
    assert!(reading.late_count() <= 1, "but for the one that is under way");
    record(&mut store, 1, 5..=5);
    while let Some(attempt) = tried.pop() {
        held.end(attempt, unreachable());
        held.now.0 += 10_000;
        held.pump.work(held.now).unwrap();
        tried.extend(held.attempts.try_recv());
        if reading.dead_count() == 4 * users as u64 {
            break;
        }
    }
    assert_eq!(reading.dead_count(), 4 * users as u64);
    if tried.is_empty() {
        held.now.0 += 10_000;
        tried = held.work();
    }
    assert_eq!(named(&tried)[0].1, 5, "what is young is what it is tried with");
}

#[test]
fn dead_letters_are_dropped_by_age() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let reading = store.reader();
    record(&mut store, 300, 1..=1);
    let none = CallbackSettings {
        url: None,
        ..given_up_after_a_day()
    };
    let mut held = Held::new(&store, &none);
    held.now = Timestamp(FIRST_AT.0 + DAY_MS + 100);
    held.pass_by();
    assert_eq!(reading.dead_count(), 300);
    held.now.0 += 3 * DAY_MS - 1;
    for _ in 0..3 {
        held.pass_by();
    }
    assert_eq!(reading.dead_count(), 300, "a millisecond is left");
    // They are looked at again after ten minutes.
    held.now.0 += 600_000;
    for _ in 0..3 {
        held.pass_by();
    }
    assert_eq!(reading.dead_count(), 0);
}

#[test]
fn late_callbacks_can_be_dropped_of_one_user_and_of_all() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let reading = store.reader();
    record(&mut store, 3, 1..=2);
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    for attempt in held.work() {
        held.end(attempt, refused());
    }
    held.work();
    assert_eq!(reading.late_count(), 6);
    let drop_late = |held: &mut Held, user: Option<&[u8]>| {
        let (answer, answered) = bounded(1);
        let user = user.map(|name| UserId::new(name).unwrap());
        held.pump.take(held.now, PumpEvent::DropLate(user, answer));
        held.pump.drop_some();
        answered.recv().unwrap().unwrap()
    };
    assert_eq!(drop_late(&mut held, Some(b"user-1")), 2);
    assert_eq!(reading.late_count(), 4);
    assert_eq!(drop_late(&mut held, None), 4);
    assert_eq!(reading.late_count(), 0);
    held.now.0 += 1_000_000;
    assert_eq!(named(&held.work()), []);
    record(&mut store, 3, 3..=3);
    assert_eq!(held.work().len(), 3, "they are users like any other again");
}

#[test]
fn a_receiver_that_was_down_until_all_was_given_up_is_found_again() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let receiver = Receiver::start(100);
    let given_up = CallbackSettings {
        give_up: Duration::ZERO,
        timeout: Duration::from_millis(50),
        ..settings(receiver.url())
    };
    let service = start(&store, given_up);
    // So that the last one that fails makes it count as down: nothing is left to try it with but what is new.
    let users = receiver_state::FAILURES_MAX;
    record(&mut store, users as usize, 1..=1);
    let reading = store.reader();
    while reading.dead_count() < u64::from(users) {
        std::thread::sleep(Duration::from_millis(20));
    }
    receiver.set_trouble(0);
    record(&mut store, 1, 2..=2);
    receiver.wait_for(|told| told.iter().any(|told| told.change == 2));
    service.stop(STOP_WITHIN).unwrap();
}
