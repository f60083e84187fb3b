//! Whose turn it is: the stream's, late users', or replays'; and whose the standing of a receiver is.

use super::*;

/// Gives these users a dead letter each.
fn bury(store: &mut EmbeddedStore, users: std::ops::Range<usize>) -> Vec<outbox::Dead> {
    let given_up_at_once = CallbackSettings {
        give_up: Duration::ZERO,
        ..settings("http://receiver".to_owned())
    };
    for user in users.clone() {
        flood(store, &format!("dead-{user}"), 1..=1);
    }
    let mut held = Held::new(store, &given_up_at_once);
    let reading = store.reader();
    while reading.dead_count() < users.len() as u64 {
        for attempt in held.work() {
            held.end(attempt, refused());
        }
    }
    held.work();
    reading.dead(Position(0), users.len()).unwrap()
}

fn origins(attempts: &[Attempt]) -> Vec<AttemptOrigin> {
    attempts.iter().map(|attempt| attempt.origin).collect()
}

#[test]
fn late_users_replays_and_the_stream_take_turns_where_there_is_one_attempt_at_a_time() {
    for (parallel, expected) in [(1, [2, 2, 2]), (2, [6, 3, 3])] {
        let folder = TempDir::new().unwrap();
        let mut store = store(folder.path());
        let dead = bury(&mut store, 0..9);
        let settings = CallbackSettings {
            parallel,
            ..settings("http://receiver".to_owned())
        };
        let mut held = Held::new(&store, &settings);
        flood(&mut store, "late", 1..=40);
        for user in 0..9 {
            flood(&mut store, &format!("user-{user}"), 1..=1);
        }
        held.replay(dead.into_iter());
        let mut told = Vec::new();
        for _ in 0..6 {
            let left = held.work();
            told.extend(origins(&left));
            for attempt in left {
                held.end(attempt, AttemptOutcome::Delivered);
            }
        }
        let of = |origin| told.iter().filter(|told| **told == origin).count();
        let counted = [AttemptOrigin::Stream, AttemptOrigin::Late, AttemptOrigin::Dead].map(of);
        assert_eq!(counted, expected, "{parallel} at once: {told:?}");
    }
}

#[test]
fn late_users_come_before_replays_and_both_leave_half_to_the_stream() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let dead = bury(&mut store, 0..20);
    let mut held = Held::new(&store, &settings("http://receiver".to_owned()));
    for user in 0..3 {
        flood(&mut store, &format!("late-{user}"), 1..=40);
    }
    held.replay(dead.into_iter());
    let mut left = held.work();
    assert_eq!(
        origins(&left),
        [
            AttemptOrigin::Late,
            AttemptOrigin::Late,
            AttemptOrigin::Late,
            AttemptOrigin::Dead
        ]
    );
    for user in 0..9 {
        flood(&mut store, &format!("user-{user}"), 1..=1);
    }
    assert_eq!(origins(&held.work()), [AttemptOrigin::Stream; 4]);
    held.end(left.remove(3), AttemptOutcome::Delivered);
    assert_eq!(origins(&held.work()), [AttemptOrigin::Dead]);
}

#[test]
fn another_receiver_has_its_own_standing() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let users = 2 * receiver_state::FAILURES_MAX as usize;
    record(&mut store, users, 1..=1);
    let of_url = |url: &str| CallbackSettings {
        parallel: users,
        ..settings(url.to_owned())
    };
    let none = CallbackSettings {
        url: None,
        ..of_url("http://receiver")
    };
    for next in [of_url("http://another"), none] {
        let mut held = Held::new(&store, &of_url("http://receiver"));
        let mut under_way = held.work();
        assert_eq!(under_way.len(), users);
        for attempt in under_way.drain(..users / 2) {
            held.end(attempt, unreachable());
        }
        let down = |held: &mut Held| {
            held.pump.count();
            held.pump.metrics().down.load(Ordering::Relaxed)
        };
        assert_eq!(down(&mut held), 1);
        held.follow(&of_url("http://receiver"));
        assert_eq!(down(&mut held), 1, "it is the same receiver");
        held.follow(&next);
        assert_eq!(down(&mut held), 0);
        // What went to the old one.
        for attempt in under_way {
            held.end(attempt, unreachable());
        }
        assert_eq!(down(&mut held), 0);
    }
}

#[test]
fn what_an_old_receiver_takes_does_not_say_that_the_new_one_is_up() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    let users = 1 + receiver_state::FAILURES_MAX as usize;
    record(&mut store, users, 1..=1);
    let mut settings = settings("http://receiver".to_owned());
    settings.parallel = 1;
    let mut held = Held::new(&store, &settings);
    let old = held.work().remove(0);
    settings.url = ReceiverUrl::read("http://another").ok();
    settings.parallel = users;
    held.follow(&settings);
    for attempt in held.work() {
        held.end(attempt, unreachable());
    }
    assert!(held.pump.outlet.target.is_down());
    held.end(old, AttemptOutcome::Delivered);
    assert!(held.pump.outlet.target.is_down());
}
