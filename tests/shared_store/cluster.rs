//! Three masters with a replica each: what the client does when slots move and masters fail. One cluster runs at a time.

use std::sync::{Mutex, PoisonError};

use super::base::ids::PartitionId;
use super::samples::*;
use super::servers::*;
use super::shared_store::calls::*;
use super::shared_store::check::check_settings;
use super::shared_store::client::RedisStore;
use super::shared_store::keys::PartitionKey;
use super::shared_store::outcome::{Fence, Outcome, Refusal, SharedStoreError, Vouched};

pub static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn commit(store: &mut RedisStore, batch: Batch) -> Outcome<Vouched<u64>> {
    store.commit(&[batch]).pop().unwrap()
}

/// Makes the same commit again until it is vouched for, as an owner does.
fn vouched(store: &mut RedisStore, batch: &Batch) -> u64 {
    let mut place = 0;
    wait_for("a copy", || match commit(store, batch.clone()) {
        Ok(Vouched { answer, copies }) => {
            place = answer;
            copies == 1
        }
        Err(SharedStoreError::Unknown(_) | SharedStoreError::NotExecuted { .. }) => false,
        Err(other) => panic!("{other}"),
    });
    place
}

fn owned(store: &mut RedisStore, partition: PartitionId) -> Fence {
    let mine = fence("a.1", 1);
    let claim = claim(partition, mine.clone(), Fence::none());
    wait_for("a claim that is vouched for", || {
        store.claim(&claim).is_ok_and(|vouched| {
            assert_eq!(vouched.answer, Claimed::Granted(Places::default()));
            vouched.copies == 1
        })
    });
    mine
}

fn firsts(store: &mut RedisStore, partition: PartitionId) -> Vec<u64> {
    let part = store.stream(partition, 0, 1_000).unwrap();
    part.value.into_iter().map(|(first, _)| first).collect()
}

#[test]
fn masters_fail() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut cluster = RedisCluster::start(3, &[]);
    let mut store = hasty_store(&cluster.urls(), 1);
    let all: Vec<_> = (0..PARTITIONS).map(PartitionId).collect();
    let fences: Vec<_> = all.iter().map(|p| owned(&mut store, *p)).collect();
    for (p, mine) in all.iter().zip(&fences) {
        assert_eq!(vouched(&mut store, &batch(*p, mine, 1, 4)), 4);
    }
    a_master_is_killed(&mut cluster, &mut store, &all, &fences);
    a_master_stands_still_over_its_failover(&cluster, &mut store);
}

fn a_master_is_killed(
    cluster: &mut RedisCluster,
    store: &mut RedisStore,
    all: &[PartitionId],
    fences: &[Fence],
) {
    cluster.servers[0].kill();
    let round: Vec<_> = all
        .iter()
        .zip(fences)
        .map(|(p, mine)| batch(*p, mine, 5, 1))
        .collect();
    let came = store.commit(&round);
    for (p, came) in all.iter().zip(&came) {
        match came {
            Ok(vouched) => assert_eq!(vouched.answer, 5),
            Err(SharedStoreError::Unknown(_)) => assert_eq!(cluster.first_master(*p), 0),
            Err(other) => panic!("{p:?}: {other}"),
        }
        assert_eq!(came.is_ok(), cluster.first_master(*p) != 0, "{p:?}");
    }
    // The dead master had one replica, which has all that was vouched for.
    cluster.wait_failover(3);
    cluster.servers[0].restart();
    for (p, batch) in all.iter().zip(&round) {
        assert_eq!(vouched(store, batch), 5);
        assert_eq!(firsts(store, *p), [1, 5]);
    }
}

/// The old owner's commits reach a master that does not know yet that it was deposed. It executes them and says OK.
fn a_master_stands_still_over_its_failover(cluster: &RedisCluster, old: &mut RedisStore) {
    let p = (0..PARTITIONS)
        .map(PartitionId)
        .find(|p| cluster.first_master(*p) == 1)
        .unwrap();
    let mine = fence("a.1", 1);
    let next = batch(p, &mine, 6, 1);
    cluster.servers[1].pause();
    let is_unknown = |came: &Outcome<Vouched<u64>>| {
        matches!(
            came,
            Err(SharedStoreError::Unknown(_) | SharedStoreError::NotExecuted { .. })
        )
    };
    assert!(is_unknown(&commit(old, next.clone())));
    cluster.wait_failover(4);
    // Another claims the partition at the new master, and writes.
    let others: Vec<_> = [2, 4].map(|number| cluster.servers[number].url()).into();
    let mut new = store(&others, 0);
    let theirs = fence("b.1", 2);
    let wanted = claim(p, theirs.clone(), mine);
    wait_for("a claim", || {
        new.claim(&wanted)
            .is_ok_and(|vouched| matches!(vouched.answer, Claimed::Granted(places) if places.seq == 5))
    });
    assert_eq!(
        commit(&mut new, batch(p, &theirs, 6, 2)),
        Ok(Vouched { answer: 7, copies: 0 })
    );
    cluster.servers[1].go_on();
    let mut came = commit(old, next.clone());
    wait_for("the truth", || {
        assert!(!matches!(came, Ok(Vouched { copies: 1.., .. })), "{came:?}");
        let told = came == Err(SharedStoreError::Fenced(theirs.clone()));
        came = commit(old, next.clone());
        told
    });
    let part = new.stream(p, 5, 1_000).unwrap();
    assert_eq!(part.value.last(), Some(&(6, b"changes 6+2".to_vec())));
}

#[test]
fn a_slot_moves() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = RedisCluster::start(3, &[]);
    let mut store = store(&cluster.urls(), 0);
    let [p, q] = [PartitionId(0), PartitionId(1)];
    let (mine, theirs) = (owned_alone(&mut store, p), owned_alone(&mut store, q));
    let mut next = batch(p, &mine, 1, 1);
    next.residents = users(&["r"], "r");
    next.others = users(&["o"], "o");
    commit(&mut store, next).unwrap();
    let slot = tags().slot(p).to_string();
    let (source, target) = (&cluster.servers[0], &cluster.servers[1]);
    let [source_id, target_id]: [String; 2] = [source, target].map(|server| server.ask(&["CLUSTER", "MYID"]));
    let () = target.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]);
    let () = source.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]);
    let migrate = |kept| {
        let port = target.port.to_string();
        let said: String = source.ask(&["MIGRATE", "127.0.0.1", &port, &key(p, kept), "0", "5000"]);
        assert_eq!(said, "OK");
    };
    // All keys are still here.
    assert_eq!(commit(&mut store, batch(p, &mine, 2, 1)).unwrap().answer, 2);
    // Some are here and some there: a script needs them all.
    migrate(PartitionKey::Meta);
    let split = commit(&mut store, batch(p, &mine, 3, 1));
    assert!(
        matches!(
            split,
            Err(SharedStoreError::NotExecuted {
                why: Refusal::Moving,
                ..
            })
        ),
        "{split:?}"
    );
    assert_eq!(store.look(p).unwrap().answer.places.seq, 2);
    // All are there, but the slot is still the source's.
    [
        PartitionKey::Residents,
        PartitionKey::Others,
        PartitionKey::Stream,
    ]
    .into_iter()
    .for_each(migrate);
    let round = [batch(p, &mine, 3, 1), batch(q, &theirs, 1, 1)];
    let came: Vec<_> = store
        .commit(&round)
        .into_iter()
        .map(|came| came.unwrap().answer)
        .collect();
    assert_eq!(came, [3, 1]);
    assert_eq!(store.master(p), Some(format!("127.0.0.1:{}", source.port)));
    // The slot has moved.
    for server in [target, source] {
        let () = server.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]);
    }
    assert_eq!(commit(&mut store, batch(p, &mine, 4, 1)).unwrap().answer, 4);
    assert_eq!(store.master(p), Some(format!("127.0.0.1:{}", target.port)));
    assert_eq!(firsts(&mut store, p), [1, 2, 3, 4]);
    settings_are_checked_at_every_server(&cluster);
    a_slot_that_nobody_has_stops_alone(&cluster, &mut store, q, &theirs);
}

fn owned_alone(store: &mut RedisStore, partition: PartitionId) -> Fence {
    let mine = fence("a.1", 1);
    store
        .claim(&claim(partition, mine.clone(), Fence::none()))
        .unwrap();
    mine
}

fn settings_are_checked_at_every_server(cluster: &RedisCluster) {
    let set = |number: usize, name, value| {
        let () = cluster.servers[number].ask(&["CONFIG", "SET", name, value]);
    };
    (0..6).for_each(|number| set(number, "min-replicas-to-write", "1"));
    let found = || {
        let faults = check_settings(&settings(&cluster.urls()[2..3], 1), wall_ms).unwrap();
        let mut found: Vec<_> = faults
            .into_iter()
            .map(|fault| (fault.server, fault.setting, fault.is))
            .collect();
        found.sort();
        found
    };
    let at = |number: usize| format!("127.0.0.1:{}", cluster.servers[number].port);
    wait_for("no fault", || found().is_empty());
    set(0, "appendonly", "no");
    set(4, "cluster-require-full-coverage", "yes");
    let mut expected = vec![
        (at(0), "appendonly", "no".to_owned()),
        (at(4), "cluster-require-full-coverage", "yes".to_owned()),
    ];
    expected.sort();
    // A cluster on a slow machine may take a server for failed for a moment, and not name it.
    wait_for("both faults", || found() == expected);
    set(4, "cluster-require-full-coverage", "no");
    set(0, "appendonly", "yes");
    let clock_faults = || {
        let off = check_settings(&settings(&cluster.urls(), 1), || wall_ms() + 3_600_000).unwrap();
        off.iter().filter(|fault| fault.setting == "clock").count()
    };
    wait_for("a fault of each clock", || clock_faults() == 6);
    (0..6).for_each(|number| set(number, "min-replicas-to-write", "0"));
}

fn a_slot_that_nobody_has_stops_alone(
    cluster: &RedisCluster,
    store: &mut RedisStore,
    q: PartitionId,
    mine: &Fence,
) {
    let lost = PartitionId(2);
    let slot = tags().slot(lost).to_string();
    for server in &cluster.servers[..3] {
        let _: redis::RedisResult<()> = redis::cmd("CLUSTER")
            .arg(&["DELSLOTS", &slot])
            .query(&mut server.connect());
    }
    let down = store.look(lost);
    assert!(
        matches!(
            down,
            Err(SharedStoreError::NotExecuted {
                why: Refusal::ClusterDown,
                ..
            })
        ),
        "{down:?}"
    );
    assert_eq!(commit(store, batch(q, mine, 2, 1)).unwrap().answer, 2);
}
