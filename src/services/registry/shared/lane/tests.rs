//! Lanes on a store in memory, and one on a real server.

use std::sync::{Arc, Mutex};

use super::*;
use crate::base;
use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform};
use crate::base::time::Timestamp;
use crate::logic::record::{Change, ChangeKind, RecordedChange, UserRecord};
use crate::services::registry::archive::Archive;
use crate::services::registry::codec::{self, StoredRecord};
use crate::services::registry::outbox::{Dead, Late, LateUser, Outbox, OutboxStep};
use crate::services::registry::shared::batch_codec::encode_batch;
use crate::services::registry::shared::lane_forget::LaneForgetPass;
use crate::services::registry::shared::lane_prune::PruneLeft;
use crate::services::registry::shared::tests::model::{ModelPartition, ModelStore};
use crate::services::shared_store;
use crate::services::shared_store::calls::{Batch, Claim, Claimed};

#[allow(missing_docs, unreachable_pub, reason = "other tests use it, too")]
#[path = "../../../../../tests/shared_store/servers.rs"]
mod servers;

const P: PartitionId = PartitionId(3);

fn user(number: u64) -> UserId {
    UserId::new(format!("user-{number:04}").as_bytes()).unwrap()
}

fn fence(epoch: u64) -> Fence {
    Fence {
        owner: "a.1".into(),
        epoch,
    }
}

/// A partition that is written as a desk writes it, and its lane.
struct World<S> {
    store: Arc<Mutex<S>>,
    confirmed: ConfirmedPlaces,
    /// What was recorded, by place.
    changes: Vec<Placed>,
    records: std::collections::BTreeMap<UserId, StoredRecord>,
}

impl World<ModelStore> {
    fn new() -> Self {
        Self::on(ModelStore::default())
    }

    fn partition(&self) -> ModelPartition {
        self.store.lock().unwrap().partitions[&P].clone()
    }

    /// Has the store be what it was: a failover.
    fn put_back(&self, partition: ModelPartition) {
        self.store.lock().unwrap().partitions.insert(P, partition);
    }
}

impl<S: SharedStore + Send> World<S> {
    fn on(mut store: S) -> Self {
        let claim = Claim {
            partition: P,
            fence: fence(1),
            seen: Fence::none(),
            format: "1".to_owned(),
        };
        let claimed = store.claim(&claim).unwrap().answer;
        assert!(matches!(claimed, Claimed::Granted(_)), "{claimed:?}");
        Self {
            store: Arc::new(Mutex::new(store)),
            confirmed: ConfirmedPlaces::new(16),
            changes: Vec::new(),
            records: std::collections::BTreeMap::new(),
        }
    }

    fn open(&self) -> Result<SharedLane<S>, ReadError> {
        SharedLane::open(LaneSource {
            store: Arc::clone(&self.store),
            partition: P,
            fence: fence(1),
            store_id: 7,
            copies: 1,
            confirmed: self.confirmed.clone(),
        })
    }

    fn lane(&self) -> SharedLane<S> {
        self.open().unwrap()
    }

    fn confirm(&self, place: u64) {
        self.confirmed.set(P, Position(place));
    }

    /// Records a change of each of these users as one batch, and has it confirmed.
    fn commit(&mut self, users: &[u64]) {
        let first = self.changes.len() as u64 + 1;
        let links: Vec<_> = (first..)
            .zip(users)
            .map(|(place, number)| self.change(place, user(*number)))
            .collect();
        let record = |number: &u64| (user(*number), codec::encode_user(&self.records[&user(*number)]));
        let (residents, others): (Vec<u64>, Vec<u64>) = users.iter().partition(|number| *number % 2 == 0);
        let batch = Batch {
            partition: P,
            fence: fence(1),
            first,
            count: users.len() as u32,
            durable: first - 1,
            latest: 1,
            changes: encode_batch(&links),
            residents: residents.iter().map(record).collect(),
            others: others.iter().map(record).collect(),
            gone: Vec::new(),
        };
        let came = self.store.lock().unwrap().commit(&[batch]).pop().unwrap();
        assert_eq!(came.unwrap().answer, self.changes.len() as u64);
        self.confirm(self.changes.len() as u64);
    }

    /// Of users whose number is a multiple of 5 nobody is told.
    fn change(&mut self, place: u64, user: UserId) -> ChainedChange {
        let known = self.records.entry(user).or_default();
        let (before, number) = (known.last, known.record.change.next());
        let number_of_user: u64 = user.as_str()[5..].parse().unwrap();
        known.record = UserRecord {
            change: number,
            registered: !number_of_user.is_multiple_of(7),
            ..UserRecord::default()
        };
        known.last = Position(place);
        let change = Change {
            number,
            at: Timestamp(1_000 + place),
            device: DeviceId {
                platform: Platform::Web,
                instance: InstanceId::MIN,
            },
            kind: ChangeKind::Logout,
            address: None,
        };
        let recorded = RecordedChange {
            user,
            change,
            session: ChangeNumber(1),
            previous: (!number_of_user.is_multiple_of(5)).then_some(ChangeNumber(number.0 - 1)),
        };
        self.changes.push(Placed {
            position: Position(place),
            recorded: recorded.clone(),
        });
        ChainedChange { recorded, before }
    }

    fn placed(&self, place: u64) -> Placed {
        self.changes[place as usize - 1].clone()
    }
}

fn is_unreadable<T: std::fmt::Debug>(read: Result<T, ReadError>, word: &str) {
    match read {
        Err(ReadError::Store(text)) => assert!(text.contains(word), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// Batches of one, three, and many changes.
fn with_changes() -> World<ModelStore> {
    let mut world = World::new();
    for size in [1, 3, 64, 1, 1, 40] {
        let first = world.changes.len() as u64;
        world.commit(&(first..first + size).collect::<Vec<_>>());
    }
    world
}

#[test]
fn the_stream_is_read_from_any_place_up_to_what_is_confirmed() {
    let world = with_changes();
    let lane = world.lane();
    assert_eq!(lane.store_id(), 7);
    for last in [0, 1, 2, 30, 69, 110] {
        world.confirm(last);
        assert_eq!(lane.last(), Position(last));
        for after in 0..=last {
            for count_max in [1, 2, 50, 500] {
                let read = lane.changes(Position(after), count_max).unwrap();
                let end = last.min(after + count_max as u64) as usize;
                assert_eq!(
                    read,
                    world.changes[after as usize..end],
                    "{after} {last} {count_max}"
                );
            }
        }
    }
    assert_eq!(lane.changes(Position(110), 10), Ok(Vec::new()));
    assert_eq!(lane.changes(Position(3), 0), Ok(Vec::new()));
}

#[test]
fn what_owes_no_callback_is_passed_by() {
    let world = with_changes();
    let lane = world.lane();
    let (mut after, mut due) = (Position(0), Vec::new());
    while after < lane.last() {
        let (some, looked_at) = lane.due(after, 3).unwrap();
        assert!(looked_at > after && some.len() <= 3, "{after:?}");
        due.extend(some);
        after = looked_at;
    }
    let mut owing = world.changes.clone();
    owing.retain(|placed| placed.recorded.previous.is_some());
    assert!(owing.len() < world.changes.len());
    assert_eq!(due, owing);
    assert_eq!(lane.due(after, 3), Ok((Vec::new(), after)));
}

#[test]
fn what_another_owner_wrote_is_not_taken_for_the_lanes_own() {
    let world = with_changes();
    let lane = world.lane();
    let mut partition = world.partition();
    partition.epoch = 2;
    world.put_back(partition);
    is_unreadable(lane.changes(Position(0), 1), "epoch 2");
    is_unreadable(lane.due(Position(0), 1), "epoch 2");
    is_unreadable(lane.late(Position(0), 1), "epoch 2");
    is_unreadable(lane.users(None, 1), "epoch 2");
    is_unreadable(lane.take(&[OutboxStep::Cursor(Position(1))]), "epoch 2");
    is_unreadable(world.open(), "epoch 2");
    // It is this node's again, and nobody's else in between.
    lane.resume(fence(2));
    assert_eq!(lane.changes(Position(0), 1).unwrap(), world.changes[..1]);
    lane.take(&[OutboxStep::Cursor(Position(1))]).unwrap();
}

#[test]
fn a_store_that_lacks_what_is_confirmed_is_no_end_of_the_stream() {
    let world = with_changes();
    let lane = world.lane();
    let mut partition = world.partition();
    partition.stream.retain(|first, _| *first < 70);
    world.put_back(partition);
    assert_eq!(lane.changes(Position(60), 100).unwrap(), world.changes[60..69]);
    is_unreadable(lane.changes(Position(69), 100), "lacks the change at 70");
    is_unreadable(lane.due(Position(69), 100), "lacks the change at 70");
    let mut partition = world.partition();
    partition.stream.remove(&2);
    world.put_back(partition);
    assert_eq!(lane.changes(Position(0), 100).unwrap(), world.changes[..1]);
    is_unreadable(lane.changes(Position(1), 100), "lacks the change at 2");
}

#[test]
fn what_is_pruned_is_told() {
    let world = with_changes();
    let lane = world.lane();
    let pruned = world.store.lock().unwrap().prune(P, &fence(1), 30).unwrap();
    assert_eq!(pruned.answer, 4);
    assert_eq!(lane.changes(Position(3), 10), Err(ReadError::Pruned(Position(4))));
    assert_eq!(lane.changes(Position(4), 1).unwrap(), world.changes[4..5]);
    assert_eq!(lane.due(Position(0), 10), Ok((Vec::new(), Position(4))));
}

#[test]
fn one_users_changes_are_a_chain_through_the_batches() {
    let mut world = World::new();
    world.commit(&[1, 2, 1]);
    world.commit(&[2]);
    world.commit(&[1, 3, 1, 1]);
    let lane = world.lane();
    let check = |after, count_max, places: &[u64]| {
        let read = lane.changes_of(&user(1), ChangeNumber(after), count_max).unwrap();
        let expected: Vec<_> = places.iter().map(|place| world.placed(*place)).collect();
        assert_eq!(read, expected, "{after} {count_max}");
    };
    check(0, 10, &[1, 3, 5, 7, 8]);
    check(0, 2, &[1, 3]);
    check(2, 2, &[5, 7]);
    check(5, 10, &[]);
    world.confirm(7);
    check(2, 10, &[5, 7]);
    world.store.lock().unwrap().prune(P, &fence(1), 5).unwrap();
    check(0, 10, &[5, 7]);
    assert_eq!(lane.changes_of(&user(9), ChangeNumber(0), 10), Ok(Vec::new()));
}

#[test]
fn users_are_listed_in_their_order_and_residents_handed_over() {
    let mut world = World::new();
    let users: Vec<u64> = (0..50).map(|number| number * 37 % 50).collect();
    world.commit(&users);
    let lane = world.lane();
    let registered = |number: &u64| !number.is_multiple_of(7);
    let expected: Vec<_> = (0..50)
        .filter(registered)
        .map(|number| (user(number), world.records[&user(number)].record.clone()))
        .collect();
    for count_max in [1, 7, 100] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = lane.users(after.as_ref(), count_max).unwrap();
            assert!(page.len() <= count_max);
            let Some((last, _)) = page.last() else {
                break;
            };
            after = Some(*last);
            listed.extend(page);
        }
        assert_eq!(listed, expected, "{count_max}");
    }
    // Of changes that are not confirmed nobody hears.
    world.confirm(49);
    is_unreadable(lane.users(None, 100), "the change at 50 is not confirmed");
    let mut residents = Vec::new();
    lane.residents(&mut |user, record| residents.push((user, record)))
        .unwrap();
    residents.sort_by_key(|(user, _)| *user);
    let expected = (0..50).step_by(2);
    let expected = expected.map(|number| (user(number), world.records[&user(number)].record.clone()));
    assert_eq!(residents, expected.collect::<Vec<_>>());
}

fn schedule(number: u64, at: u64) -> OutboxStep {
    OutboxStep::Schedule(late_user(number, at))
}

fn late_user(number: u64, at: u64) -> LateUser {
    LateUser {
        user: user(number),
        attempts: 3,
        next_at: Timestamp(at),
        after: Position(1),
    }
}

fn late(number: u64, place: u64) -> OutboxStep {
    OutboxStep::Late(user(number), Position(place))
}

fn dead(placed: Placed) -> Dead {
    Dead {
        placed,
        attempts: 9,
        at: Timestamp(77),
        fault: "refused".to_owned(),
    }
}

/// The outbox from its first step to its last, on any store.
fn check_outbox<S: SharedStore + Send>(world: &mut World<S>) {
    world.commit(&[1, 2, 1, 3, 2]);
    let lane = world.lane();
    assert_eq!(
        (lane.cursor(), lane.late_count(), lane.dead_count()),
        (Ok(Position(0)), 0, 0)
    );
    assert_eq!(lane.late_users(Timestamp(u64::MAX), 9), Ok(Vec::new()));
    assert_eq!(lane.oldest_late(), Ok(None));
    let steps = [
        late(1, 1),
        late(2, 2),
        late(1, 3),
        schedule(1, 500),
        schedule(2, 900),
    ];
    lane.take(&steps).unwrap();
    lane.take(&[
        OutboxStep::Bury(dead(world.placed(4))),
        OutboxStep::Cursor(Position(4)),
    ])
    .unwrap();
    for lane in [&lane, &world.lane()] {
        assert_eq!(
            (lane.cursor(), lane.late_count(), lane.dead_count()),
            (Ok(Position(4)), 3, 1)
        );
        let there = |place| Late::There(world.placed(place));
        let all = vec![(user(1), there(1)), (user(2), there(2)), (user(1), there(3))];
        assert_eq!(lane.late(Position(0), 9), Ok(all.clone()));
        assert_eq!(lane.late(Position(1), 1), Ok(all[1..2].to_vec()));
        assert_eq!(
            lane.late_of(&user(1), Position(0), 9),
            Ok(vec![there(1), there(3)])
        );
        assert_eq!(lane.late_of(&user(1), Position(1), 1), Ok(vec![there(3)]));
        assert_eq!(lane.oldest_late(), Ok(Some(Timestamp(1_001))));
        assert_eq!(lane.late_user(&user(1)), Ok(Some(late_user(1, 500))));
        assert_eq!(lane.late_user(&user(3)), Ok(None));
        assert_eq!(lane.late_users(Timestamp(499), 9), Ok(Vec::new()));
        assert_eq!(lane.late_users(Timestamp(500), 9), Ok(vec![late_user(1, 500)]));
        assert_eq!(lane.late_users(Timestamp(900), 1), Ok(vec![late_user(1, 500)]));
        let both = vec![late_user(1, 500), late_user(2, 900)];
        assert_eq!(lane.late_users(Timestamp(900), 9), Ok(both));
        assert_eq!(lane.dead(Position(0), 9), Ok(vec![dead(world.placed(4))]));
        assert_eq!(lane.dead(Position(4), 9), Ok(Vec::new()));
    }
    // One who is scheduled farther ahead than anyone waits is due, whatever is known of the others.
    lane.take(&[schedule(1, 70_000)]).unwrap();
    for _ in 0..2 {
        assert_eq!(lane.late_users(Timestamp(800), 9), Ok(vec![late_user(1, 70_000)]));
    }
    assert_eq!(lane.late_users(Timestamp(10_000), 9), Ok(vec![late_user(2, 900)]));
    let done = |number, place| OutboxStep::LateDone(user(number), Position(place));
    lane.take(&[done(1, 1), done(2, 2), done(1, 3)]).unwrap();
    lane.take(&[OutboxStep::Unschedule(user(1)), OutboxStep::Unschedule(user(2))])
        .unwrap();
    lane.take(&[OutboxStep::Unbury(Position(4))]).unwrap();
    assert_eq!((lane.late_count(), lane.dead_count()), (0, 0));
    assert_eq!(lane.late(Position(0), 9), Ok(Vec::new()));
    assert_eq!(lane.late_users(Timestamp(u64::MAX), 9), Ok(Vec::new()));
    assert_eq!(lane.dead(Position(0), 9), Ok(Vec::new()));
}

#[test]
fn the_outbox_keeps_what_is_late_and_what_is_dead() {
    check_outbox(&mut World::new());
}

#[test]
fn a_lane_on_a_real_server() {
    let server = servers::RedisServer::start(&[]);
    let mut world = World::on(servers::store(&[server.url()], 0));
    check_outbox(&mut world);
    let lane = world.lane();
    assert_eq!(lane.changes(Position(1), 3).unwrap(), world.changes[1..4]);
    let of_one: Vec<_> = [1, 3].map(|place| world.placed(place)).into();
    assert_eq!(lane.changes_of(&user(1), ChangeNumber(0), 9), Ok(of_one));
    let listed = lane.users(None, 9).unwrap().into_iter().map(|(user, _)| user);
    assert_eq!(listed.collect::<Vec<_>>(), [user(1), user(2), user(3)]);
}

#[test]
fn a_late_callback_whose_change_is_gone_is_lost() {
    let mut world = World::new();
    world.commit(&[1]);
    world.commit(&[2]);
    world.commit(&[1]);
    let lane = world.lane();
    lane.take(&[late(1, 1), late(1, 3)]).unwrap();
    world.store.lock().unwrap().prune(P, &fence(1), 2).unwrap();
    let expected = vec![Late::Lost(Position(1)), Late::There(world.placed(3))];
    assert_eq!(lane.late_of(&user(1), Position(0), 9), Ok(expected));
    assert_eq!(lane.oldest_late(), Ok(Some(Timestamp(1_003))));
    // One that is not pruned has to be there.
    let mut partition = world.partition();
    partition.stream.remove(&3);
    world.put_back(partition);
    is_unreadable(lane.late_of(&user(1), Position(0), 9), "lacks the change at 3");
}

/// What the store keeps of the outbox.
fn kept(world: &World<ModelStore>) -> (u64, Vec<u64>, u64) {
    let partition = world.partition();
    let late = partition.late.keys().map(|late| late.place).collect();
    (partition.places.cursor, late, partition.places.steps)
}

#[test]
fn steps_whose_answer_is_lost_are_taken_once() {
    let mut world = World::new();
    world.commit(&[1, 2, 1]);
    let lane = world.lane();
    world.store.lock().unwrap().lost_answers = 1;
    is_unreadable(lane.take(&[late(1, 1)]), "nobody knows");
    // With more behind them, as a caller has it by then.
    lane.take(&[late(1, 1), OutboxStep::Cursor(Position(2))]).unwrap();
    assert_eq!(kept(&world), (2, vec![1], 2));
    assert_eq!((lane.late_count(), lane.cursor()), (1, Ok(Position(2))));
    // And a caller that has given up.
    world.store.lock().unwrap().lost_answers = 1;
    is_unreadable(lane.take(&[late(1, 3)]), "nobody knows");
    lane.take(&[OutboxStep::Cursor(Position(3))]).unwrap();
    assert_eq!(kept(&world), (3, vec![1, 3], 4));
}

#[test]
fn steps_that_a_failover_lost_are_taken_again() {
    let mut world = World::new();
    world.commit(&[1, 2, 1]);
    let lane = world.lane();
    lane.take(&[late(1, 1)]).unwrap();
    let before = world.partition();
    lane.take(&[late(2, 2)]).unwrap();
    lane.take(&[OutboxStep::LateDone(user(1), Position(1))]).unwrap();
    world.put_back(before);
    lane.take(&[OutboxStep::Cursor(Position(3))]).unwrap();
    assert_eq!(kept(&world), (3, vec![2], 4));
    assert_eq!(lane.late_count(), 1);
}

#[test]
fn a_lane_that_lost_more_than_it_keeps_begins_anew() {
    let mut world = World::new();
    world.commit(&[1]);
    let lane = world.lane();
    let before = world.partition();
    for _ in 0..2_000 {
        lane.take(&[OutboxStep::Cursor(Position(1))]).unwrap();
    }
    world.put_back(before);
    for _ in 0..2 {
        is_unreadable(lane.take(&[OutboxStep::Cursor(Position(1))]), "begin anew");
    }
    let lane = world.lane();
    lane.take(&[OutboxStep::Cursor(Position(1))]).unwrap();
    assert_eq!(kept(&world), (1, vec![], 1));
}

#[test]
fn two_lanes_of_a_partition_do_not_both_take_steps() {
    let mut world = World::new();
    world.commit(&[1]);
    let (one, other) = (world.lane(), world.lane());
    one.take(&[late(1, 1)]).unwrap();
    one.take(&[OutboxStep::Cursor(Position(1))]).unwrap();
    is_unreadable(other.take(&[OutboxStep::Cursor(Position(1))]), "another writer");
}

#[test]
fn old_changes_that_nobody_has_to_be_told_of_are_taken_out() {
    let mut world = World::new();
    (0..4).for_each(|_| world.commit(&[1, 2]));
    let lane = world.lane();
    let prune = |before: Timestamp| lane.prune(before).unwrap();
    let first_kept = || match lane.changes(Position(0), 1) {
        Ok(changes) => changes[0].position.0,
        Err(ReadError::Pruned(pruned)) => pruned.0 + 1,
        Err(error) => panic!("{error}"),
    };
    let ever = Timestamp(u64::MAX);
    assert_eq!(
        (prune(ever), first_kept()),
        (PruneLeft::Nothing, 1),
        "nothing is told yet"
    );
    let late = LateUser {
        user: user(1),
        attempts: 1,
        next_at: Timestamp(1),
        after: Position(4),
    };
    let told = OutboxStep::Cursor(Position(8));
    lane.take(&[
        OutboxStep::Late(user(1), Position(5)),
        OutboxStep::Schedule(late),
        told,
    ])
    .unwrap();
    assert_eq!(
        (prune(Timestamp(0)), first_kept()),
        (PruneLeft::Nothing, 1),
        "all are young"
    );
    prune(ever);
    assert_eq!(first_kept(), 5, "what is late is kept");
    let Some(Late::There(kept)) = lane.late_of(&user(1), Position(0), 1).unwrap().pop() else {
        panic!("it is there");
    };
    assert_eq!(kept.position, Position(5));
    lane.take(&[
        OutboxStep::LateDone(user(1), Position(5)),
        OutboxStep::Unschedule(user(1)),
    ])
    .unwrap();
    while prune(ever) == PruneLeft::Some {}
    assert_eq!(first_kept(), 7, "the last batch stays");
    world.commit(&[1]);
    assert_eq!(lane.changes(Position(8), 5).unwrap().len(), 1);
}

#[test]
fn deleted_accounts_are_found_once_a_day() {
    let mut world = World::new();
    world.commit(&(1..50).collect::<Vec<_>>());
    world.commit(&[1]);
    let lane = world.lane();
    let (mut pass, now) = (LaneForgetPass::default(), Timestamp(10_000_000));
    let mut look = |now| {
        let found = lane.look_for_deleted(&mut pass, now, 0).unwrap();
        let mut users: Vec<_> = found.iter().flat_map(|some| some.users.clone()).collect();
        users.sort();
        (users, pass.is_due(now))
    };
    assert_eq!(look(now), (Vec::new(), false), "their changes are kept");
    world.store.lock().unwrap().prune(P, &fence(1), 50).unwrap();
    let next_day = Timestamp(now.0 + 86_400_000);
    let deleted = [7, 21, 35, 49].map(user).to_vec();
    assert_eq!(look(next_day), (deleted, false));
    let mut stolen = world.partition();
    stolen.epoch = 2;
    world.put_back(stolen);
    let far = Timestamp(next_day.0 + 86_400_000);
    assert!(pass.is_due(far));
    is_unreadable(lane.look_for_deleted(&mut pass, far, 0), "epoch 2");
    pass.put_off(far);
    assert!(!pass.is_due(far) && pass.is_due(Timestamp(far.0 + 60_000)));
}
