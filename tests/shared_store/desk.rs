//! A registry on a real server: its thread, its workers, and what is in the store behind them.

use std::sync::PoisonError;

use holdfast::base::ids::{PartitionId, ShardId, UserId};
use holdfast::logic::delivery::{RegistryError, ToRegistry, ToShard, UserKey};
use holdfast::logic::record::{AccountStep, Commit};
use holdfast::services::registry::archive::Position;
use holdfast::services::registry::shared::ownership::{ForgetCandidates, OwnershipNews, OwnershipOrder};

use super::cluster::ONE_AT_A_TIME;
use super::driven::{PATIENCE, TestDesk, step};
use super::samples::*;
use super::servers::*;
use super::shared_store::calls::SharedStore;
use super::shared_store::client::RedisStore;

#[test]
fn a_registry_records_repairs_and_gives_way() {
    let pair = Pair::start(&[]);
    let urls = [pair.master.url()];
    let desk = TestDesk::start(&urls, 1);
    let users: Vec<UserId> = (0..40).map(|number| user(&format!("user-{number}"))).collect();
    for number in 1..=3 {
        for (key, user) in (0..).zip(&users) {
            desk.ask(step(key, *user, number));
        }
        for _ in &users {
            let (_, outcome) = desk.committed();
            outcome.unwrap();
        }
    }
    let mut store = store(&urls, 1);
    let seqs = |store: &mut RedisStore| -> u64 {
        let of = |partition| {
            let seq = store.look(partition).unwrap().answer.places.seq;
            assert_eq!(desk.confirmed.of(partition), Position(seq));
            seq
        };
        (0..PARTITIONS).map(PartitionId).map(of).sum()
    };
    assert_eq!(seqs(&mut store), 120);

    // The server comes back with less: what was confirmed is written again.
    let home = users[0].partition(PARTITIONS);
    let (meta, stream) = (
        key(home, super::shared_store::keys::PartitionKey::Meta),
        key(home, super::shared_store::keys::PartitionKey::Stream),
    );
    pair.master.ask::<()>(&["HSET", &meta, "seq", "0"]);
    pair.master.ask::<()>(&["DEL", &stream]);
    desk.ask(step(0, users[0], 4));
    desk.committed().1.unwrap();
    assert_eq!(seqs(&mut store), 121);

    // Another node has it: the batch waits, until that is certain here.
    let other = claim(home, fence("other 2", 2), desk.fences[&home].clone());
    store.claim(&other).unwrap();
    desk.ask(step(0, users[0], 5));
    let news = desk.news.recv_timeout(PATIENCE).unwrap();
    assert_eq!(news, OwnershipNews::Fenced(home, fence("me 1", 1)));
    assert!(desk.answers.is_empty());
    desk.orders.send(OwnershipOrder::Lose(home)).unwrap();
    assert_eq!(desk.committed(), (0, Err(RegistryError::Superseded)));

    let is_elsewhere = |user: &&UserId| user.partition(PARTITIONS) != home;
    let elsewhere = users.iter().position(|user| is_elsewhere(&user)).unwrap();
    let TestDesk {
        registry,
        answers,
        figures,
        ..
    } = desk;
    registry.sender().send(step(7, users[elsewhere], 4)).unwrap();
    registry.finish();
    let left: Vec<ToShard> = answers.iter().collect();
    assert!(
        matches!(left[..], [ToShard::Committed(UserKey(7), Ok(_))]),
        "{left:?}"
    );
    assert!(TestDesk::figure_of(&figures, "repaired") > 0);
}

#[test]
fn a_master_that_stands_still_holds_up_nobody_else() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = RedisCluster::start(3, &[]);
    let urls = cluster.urls();
    let mut settings = settings(&urls, 1);
    // Whoever waits for the master waits longer than the test.
    settings.reply_ms = 600_000;
    let desk = TestDesk::start_with(settings, PARTITIONS);
    let mut names = (0..).map(|number| user(&format!("user-{number}")));
    let mut user_at = |master: usize| {
        let is_there = |user: &UserId| cluster.first_master(user.partition(PARTITIONS)) == master;
        names.find(is_there).unwrap()
    };
    let users: Vec<UserId> = (0..3).map(&mut user_at).collect();
    // Which worker has which master is known with the first change.
    for (key, user) in (0..).zip(&users) {
        desk.ask(step(key, *user, 1));
        assert_eq!(desk.committed().0, key);
    }
    let stuck = &cluster.servers[0];
    stuck.pause();
    desk.ask(step(0, users[0], 2));
    for number in 2..10 {
        for key in [1, 2] {
            desk.ask(step(key, users[key as usize], number));
            let (answered, outcome) = desk.committed();
            assert_eq!((answered, outcome.is_ok()), (key, true));
        }
    }
    stuck.go_on();
    let (answered, outcome) = desk.committed();
    assert_eq!(
        (answered, outcome.is_ok()),
        (0, true),
        "at whichever master it is"
    );
    desk.registry.finish();
}

#[test]
fn a_registry_forgets_a_deleted_account() {
    let server = RedisServer::start(&[]);
    let urls = [server.url()];
    let desk = TestDesk::start(&urls, 0);
    let [stays, goes] = ["stays", "goes"].map(user);
    for (key, user) in [(0, stays), (1, goes)] {
        let commit = Commit {
            user,
            changes: Vec::new(),
            kicked_at_s: Some(1_700_000_000 + 3_000_000_000 * u64::from(user == stays)),
            account: AccountStep::Delete,
        };
        desk.ask(ToRegistry::Commit(ShardId(0), UserKey(key), Box::new(commit)));
        desk.committed().1.unwrap();
    }
    let mut store = store(&urls, 0);
    let mut is_known = |user: UserId| {
        let wanted = [(user.partition(PARTITIONS), vec![user])];
        let loaded = store.load(&wanted).pop().unwrap().unwrap().answer;
        loaded.records[0].is_some()
    };
    assert!(is_known(stays) && is_known(goes));
    for user in [stays, goes] {
        let candidates = ForgetCandidates {
            users: vec![user],
            kept_ms: 86_400_000,
            pruned: Position(0),
        };
        let order = OwnershipOrder::Forget(user.partition(PARTITIONS), candidates);
        desk.orders.send(order).unwrap();
    }
    wait_for("the removal of a record", || !is_known(goes));
    // What is asked later is done later.
    desk.ask(step(2, stays, 1));
    desk.committed().1.unwrap();
    assert!(is_known(stays));
    desk.registry.finish();
}
