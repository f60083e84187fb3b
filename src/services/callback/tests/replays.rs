//! Dead letters that are sent again.

use super::*;

#[test]
fn replays_of_a_user_leave_one_after_the_other_and_never_beside_another_callback_of_it() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 2, 1..=3);
    let mut held = Held::new(
        &store,
        &CallbackSettings {
            give_up: Duration::ZERO,
            ..settings("http://receiver".to_owned())
        },
    );
    let reading = store.reader();
    while reading.dead_count() < 6 {
        for attempt in held.work() {
            held.end(attempt, unreachable());
        }
        held.now.0 += 1_000_000;
    }
    let dead = reading.dead(Position(0), 9).unwrap();
    held.replay(dead.into_iter().rev());
    let first = held.work();
    let expected = [
        ("user-0", 1, AttemptOrigin::Dead),
        ("user-1", 1, AttemptOrigin::Dead),
    ];
    assert_eq!(named(&first), expected);
    let [zero, one] = <[Attempt; 2]>::try_from(first).unwrap();
    // The receiver holds the one of user-0.
    held.end(one, AttemptOutcome::Delivered);
    let second = held.work();
    assert_eq!(named(&second), [("user-1", 2, AttemptOrigin::Dead)]);
    record(&mut store, 1, 4..=4);
    assert_eq!(named(&held.work()), [], "the new change waits for the replay");
    held.end(zero, AttemptOutcome::Delivered);
    let mut living = held.work();
    assert_eq!(named(&living), [("user-0", 4, AttemptOrigin::Stream)]);
    assert_eq!(named(&held.work()), [], "the replay waits for the new change");
    held.end(living.remove(0), AttemptOutcome::Delivered);
    let mut next = held.work();
    assert_eq!(named(&next), [("user-0", 2, AttemptOrigin::Dead)]);
    held.end(next.remove(0), unreachable());
    assert_eq!(named(&held.work()), [], "the third would overtake the second");
    let left = reading.dead(Position(0), 9).unwrap();
    let left = left.iter().map(|dead| dead.placed.recorded.change.number.0);
    assert_eq!(left.collect::<Vec<_>>(), [2, 2, 3, 3]);
}

#[test]
fn a_replay_does_not_leave_beside_a_late_callback_of_its_user() {
    let folder = TempDir::new().unwrap();
    let mut store = store(folder.path());
    record(&mut store, 1, 1..=1);
    let mut settings = settings("http://receiver".to_owned());
    settings.give_up = Duration::ZERO;
    let mut held = Held::new(&store, &settings);
    let attempt = held.work().remove(0);
    held.end(attempt, unreachable());
    settings.give_up = FOR_EVER;
    held.pump.take(
        held.now,
        PumpEvent::CallbackSettings(Arc::new(settings), Receipt::none()),
    );
    record(&mut store, 1, 2..=2);
    let attempt = held.work().remove(0);
    held.end(attempt, unreachable());
    held.now.0 += 1_000_000;
    let mut late = held.work();
    assert_eq!(named(&late), [("user-0", 2, AttemptOrigin::Late)]);
    held.replay(store.reader().dead(Position(0), 9).unwrap().into_iter());
    assert_eq!(named(&held.work()), []);
    held.end(late.remove(0), unreachable());
    let mut replayed = held.work();
    assert_eq!(named(&replayed), [("user-0", 1, AttemptOrigin::Dead)]);
    held.now.0 += 1_000_000;
    assert_eq!(named(&held.work()), [], "the late one waits for the replay");
    held.end(replayed.remove(0), AttemptOutcome::Delivered);
    assert_eq!(named(&held.work()), [("user-0", 2, AttemptOrigin::Late)]);
}
