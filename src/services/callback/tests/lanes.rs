//! Several lanes of one service: each has a store of its own here, and all have one receiver.

use super::*;
use crate::services::callback::window::WINDOW_MAX;

/// So many users of each lane.
const USERS: usize = 6;

/// More than enough for what is done here.
const TURNS_MAX: usize = 100;

struct Lanes {
    stores: [EmbeddedStore; 2],
    _folders: [TempDir; 2],
}

impl Lanes {
    fn new() -> Self {
        let folders = [(); 2].map(|()| TempDir::new().unwrap());
        Self {
            stores: [store(folders[0].path()), store(folders[1].path())],
            _folders: folders,
        }
    }

    fn held(&self, settings: &CallbackSettings) -> Held {
        let reader = |store: &EmbeddedStore| store.reader() as Arc<dyn CallbackStore>;
        Held::of(self.stores.iter().map(reader).collect(), settings)
    }

    /// Records these changes of the lane's users.
    fn flood(&mut self, lane: usize, numbers: std::ops::RangeInclusive<u64>) {
        for name in names(lane) {
            flood(&mut self.stores[lane], &name, numbers.clone());
        }
    }

    fn counts(&self, count: impl Fn(&StoreReader) -> u64) -> [u64; 2] {
        [0, 1].map(|lane: usize| count(&self.stores[lane].reader()))
    }
}

/// Users whose changes are in this lane.
fn names(lane: usize) -> Vec<String> {
    let all = (0..).map(|number| format!("user-{number}"));
    let here = all.filter(|name| lane_of(name) == lane);
    here.take(USERS).collect()
}

fn lane_of(user: &str) -> usize {
    usize::from(UserId::new(user.as_bytes()).unwrap().partition(2).0)
}

/// What leaves in one turn.
fn turn(held: &mut Held) -> Vec<Attempt> {
    held.pump.turn(held.now);
    std::iter::from_fn(|| held.attempts.try_recv().ok()).collect()
}

/// Each attempt ends like this until it is `done`, which is soon.
fn end_all_until(held: &mut Held, outcome: impl Fn() -> AttemptOutcome, done: impl Fn() -> bool) {
    for _ in 0..TURNS_MAX {
        if done() {
            return;
        }
        for attempt in turn(held) {
            held.end(attempt, outcome());
        }
    }
    panic!("it takes more than {TURNS_MAX} turns");
}

/// How many of these are of each lane.
fn by_lane(attempts: &[Attempt]) -> [usize; 2] {
    let lanes = attempts
        .iter()
        .map(|attempt| lane_of(attempt.placed.recorded.user.as_str()));
    lanes.fold([0; 2], |mut counts, lane| {
        counts[lane] += 1;
        counts
    })
}

#[test]
fn lanes_take_turns_at_the_attempts_and_each_user_is_told_in_order() {
    let mut lanes = Lanes::new();
    (0..2).for_each(|lane| lanes.flood(lane, 1..=2));
    let few = CallbackSettings {
        parallel: 4,
        ..settings("http://receiver".to_owned())
    };
    let mut held = lanes.held(&few);
    let (mut told, mut turns) = (Vec::new(), Vec::new());
    loop {
        let left = turn(&mut held);
        if left.is_empty() {
            break;
        }
        turns.push(by_lane(&left));
        for attempt in left {
            let recorded = &attempt.placed.recorded;
            told.push((recorded.user, recorded.change.number.0));
            held.end(attempt, AttemptOutcome::Delivered);
        }
    }
    assert_eq!(turns, [[4, 0], [0, 4]].repeat(3));
    told.sort_by_key(|(user, _)| *user);
    let in_order = told
        .chunks(2)
        .all(|two| two[0].0 == two[1].0 && (two[0].1, two[1].1) == (1, 2));
    assert!(in_order && told.len() == 4 * USERS, "{told:?}");
    let ends = 2 * USERS as u64;
    assert_eq!(lanes.counts(|store| store.cursor().unwrap().0), [ends; 2]);
}

#[test]
fn a_receiver_that_is_down_is_tried_by_one_lane_at_a_time() {
    let mut lanes = Lanes::new();
    lanes.flood(0, 1..=1);
    let mut held = lanes.held(&settings("http://receiver".to_owned()));
    while !held.pump.outlet.target.is_down() {
        for attempt in turn(&mut held) {
            held.end(attempt, unreachable());
        }
        held.now.0 += 60_000;
    }
    lanes.flood(1, 1..=1);
    let mut tried = [0; 2];
    for _ in 0..4 {
        held.now.0 += 60_000;
        let mut left = turn(&mut held);
        assert_eq!((left.len(), turn(&mut held).len()), (1, 0));
        tried[lane_of(left[0].placed.recorded.user.as_str())] += 1;
        held.end(left.remove(0), unreachable());
    }
    assert!(tried[0] > 0 && tried[1] > 0, "{tried:?}");
    held.now.0 += 60_000;
    let found = turn(&mut held).remove(0);
    held.end(found, AttemptOutcome::Delivered);
    let counts = by_lane(&turn(&mut held));
    assert!(counts[0] > 0 && counts[1] > 0, "it is up for both: {counts:?}");
}

#[test]
fn what_is_asked_of_late_and_dead_callbacks_reaches_all_lanes_and_amounts_are_sums() {
    let mut lanes = Lanes::new();
    (0..2).for_each(|lane| lanes.flood(lane, 1..=1));
    let given_up_at_once = CallbackSettings {
        give_up: Duration::ZERO,
        ..settings("http://receiver".to_owned())
    };
    let mut held = lanes.held(&given_up_at_once);
    let users = USERS as u64;
    end_all_until(&mut held, refused, || {
        lanes.counts(Outbox::dead_count) == [users; 2]
    });
    held.follow(&settings("http://receiver".to_owned()));
    let dead = |lane: usize| lanes.stores[lane].reader().dead(Position(0), USERS).unwrap();
    held.replay([dead(0), dead(1)].concat().into_iter());
    end_all_until(
        &mut held,
        || AttemptOutcome::Delivered,
        || lanes.counts(Outbox::dead_count) == [0; 2],
    );
    (0..2).for_each(|lane| lanes.flood(lane, 2..=3));
    end_all_until(&mut held, refused, || {
        lanes.counts(Outbox::late_count) == [2 * users; 2]
    });
    held.pump.count();
    let late = |held: &Held| held.pump.metrics().late.load(Ordering::Relaxed);
    assert_eq!(late(&held), 4 * users);
    let drop_late = |held: &mut Held, user: Option<UserId>| {
        let (answer, answered) = bounded(1);
        held.pump.take(held.now, PumpEvent::DropLate(user, answer));
        turn(held);
        turn(held);
        answered.try_recv().unwrap().unwrap()
    };
    let one = UserId::new(names(1)[0].as_bytes()).unwrap();
    assert_eq!(drop_late(&mut held, Some(one)), 2);
    assert_eq!(lanes.counts(Outbox::late_count), [2 * users, 2 * users - 2]);
    assert_eq!(drop_late(&mut held, None), 4 * users - 2);
    held.pump.count();
    assert_eq!((lanes.counts(Outbox::late_count), late(&held)), ([0; 2], 0));
}

#[test]
fn lanes_share_the_room_of_the_window() {
    let mut lanes = Lanes::new();
    record(&mut lanes.stores[0], WINDOW_MAX, 1..=1);
    let many = CallbackSettings {
        parallel: WINDOW_MAX,
        ..settings("http://receiver".to_owned())
    };
    assert_eq!(lanes.held(&many).work().len(), WINDOW_MAX / 2);
}

#[test]
fn a_lane_that_is_lost_and_back_tells_again_what_was_under_way() {
    let mut lanes = Lanes::new();
    (0..2).for_each(|lane| lanes.flood(lane, 1..=1));
    let all_at_once = CallbackSettings {
        parallel: 4 * USERS,
        ..settings("http://receiver".to_owned())
    };
    let mut held = lanes.held(&all_at_once);
    let under_way = turn(&mut held);
    assert_eq!(by_lane(&under_way), [USERS; 2]);
    let partition = PartitionId(1);
    held.pump.take(held.now, PumpEvent::LaneLost(partition));
    assert!(turn(&mut held).is_empty());
    let left: Vec<_> = held.pump.lanes.keys().copied().collect();
    assert_eq!(left, [PartitionId(0)]);
    let store = lanes.stores[1].reader() as Arc<dyn CallbackStore>;
    held.pump.take(held.now, PumpEvent::LaneGained(partition, store));
    let again = turn(&mut held);
    assert_eq!(by_lane(&again), [0, USERS], "nobody has kept that they were told");
    // What was begun before the loss ends: it counts for the lane that was not lost, and for the receiver.
    for attempt in under_way {
        held.end(attempt, AttemptOutcome::Delivered);
    }
    turn(&mut held);
    assert_eq!(lanes.counts(|store| store.cursor().unwrap().0), [USERS as u64, 0]);
    assert_eq!(held.pump.outlet.target.in_flight(), USERS);
    for attempt in again {
        held.end(attempt, AttemptOutcome::Delivered);
    }
    turn(&mut held);
    assert_eq!(lanes.counts(|store| store.cursor().unwrap().0), [USERS as u64; 2]);
    assert_eq!(held.pump.outlet.target.in_flight(), 0);
}
