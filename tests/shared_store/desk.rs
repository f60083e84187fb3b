//! A registry on a real server: its thread, its workers, and what is in the store behind them.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use holdfast::base::ids::{ChangeNumber, DeviceId, InstanceId, PartitionId, Platform, ShardId, UserId};
use holdfast::base::time::{Clock, Timestamp};
use holdfast::logic::delivery::{Delivery, RegistryError, ToRegistry, ToShard, UserKey};
use holdfast::logic::record::{AccountStep, Callbacks, Change, ChangeKind, Commit};
use holdfast::services::registry::Registry;
use holdfast::services::registry::archive::Position;
use holdfast::services::registry::health::RegistryHealth;
use holdfast::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipNews, OwnershipOrder};
use holdfast::services::registry::shared::settings::{
    CACHE_BYTES, DeskFigures, DeskFiguresView, DeskSettings,
};
use holdfast::services::registry::shared::tail::TailLimits;
use holdfast::services::registry::shared::thread::DeskDoors;
use tokio::sync::watch;

use super::cluster::ONE_AT_A_TIME;
use super::samples::*;
use super::servers::*;
use super::shared_store::calls::{Claimed, SharedStore};
use super::shared_store::client::RedisStore;
use super::shared_store::outcome::Fence;
use super::shared_store::settings::{CopiesMissing, RedisSettings};

/// What is awaited comes within this time, or not at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running registry that owns all partitions.
pub struct TestDesk {
    pub registry: Registry,
    pub answers: Receiver<ToShard>,
    pub orders: Sender<OwnershipOrder>,
    pub news: Receiver<OwnershipNews>,
    pub confirmed: ConfirmedPlaces,
    pub figures: DeskFiguresView,
    pub fences: HashMap<PartitionId, Fence>,
}

impl TestDesk {
    pub fn start(urls: &[String], copies: u16) -> Self {
        Self::start_with(urls, settings(urls, copies))
    }

    pub fn start_with(urls: &[String], settings: RedisSettings) -> Self {
        let (copies, confirmed) = (settings.copies, ConfirmedPlaces::new(PARTITIONS));
        let (orders, wanted) = unbounded();
        let (sender, news) = unbounded();
        let (answered, answers) = unbounded();
        let figures = DeskFiguresView::default();
        let doors = DeskDoors {
            clients: Box::new(move || Box::new(RedisStore::new(settings.clone(), "test", PARTITIONS))),
            orders: wanted,
            news: sender,
            confirmed: confirmed.clone(),
            figures: figures.clone(),
            health: RegistryHealth::default(),
        };
        let desk = DeskSettings {
            partitions: PARTITIONS,
            copies,
            copies_missing: CopiesMissing::Wait,
            callbacks: watch::channel(Callbacks::All).1,
            tail: TailLimits::default(),
            cache_bytes: CACHE_BYTES,
        };
        let router = Box::new(move |delivery| {
            let Delivery::Shard(_, answer) = delivery else {
                panic!("nobody asked: {delivery:?}");
            };
            let _ = answered.send(answer);
            Ok(())
        });
        let registry = Registry::start_shared(desk, doors, 1, router, Clock::start()).unwrap();
        let mut desk = Self {
            registry,
            answers,
            orders,
            news,
            confirmed,
            figures,
            fences: HashMap::new(),
        };
        let mut claims = store(urls, copies);
        for partition in (0..PARTITIONS).map(PartitionId) {
            let mine = fence("me 1", 1);
            let claim = claim(partition, mine.clone(), Fence::none());
            let Claimed::Granted(places) = claims.claim(&claim).unwrap().answer else {
                panic!("nobody else claims");
            };
            desk.fences.insert(partition, mine.clone());
            desk.orders
                .send(OwnershipOrder::Own(partition, mine, places))
                .unwrap();
        }
        desk
    }

    pub fn ask(&self, request: ToRegistry) {
        self.registry.sender().send(request).unwrap();
    }

    /// A figure as it was told last: once in a turn of the desk.
    pub fn figure(&self, name: &str) -> u64 {
        Self::figure_of(&self.figures, name)
    }

    pub fn figure_of(figures: &DeskFiguresView, name: &str) -> u64 {
        let place = DeskFigures::NAMES.iter().position(|(known, _)| *known == name);
        figures.values()[place.unwrap()]
    }

    /// How a commit ended.
    pub fn committed(&self) -> (u32, Result<Timestamp, RegistryError>) {
        let answer = self.answers.recv_timeout(PATIENCE).unwrap();
        let ToShard::Committed(UserKey(key), outcome) = answer else {
            panic!("{answer:?}");
        };
        (key, outcome)
    }
}

/// A login or logout of a user, which is change `number`.
pub fn step(key: u32, user: UserId, number: u64) -> ToRegistry {
    let kind = if number % 2 == 1 {
        ChangeKind::Login {
            fresh: ChangeNumber(number),
            forced_off: Vec::new(),
        }
    } else {
        ChangeKind::Logout
    };
    let change = Change {
        number: ChangeNumber(number),
        at: Timestamp(1_800_000_000_000),
        device: DeviceId {
            platform: Platform::Web,
            instance: InstanceId::MIN,
        },
        kind,
        address: None,
    };
    let commit = Commit {
        user,
        changes: vec![change],
        kicked_at_s: None,
        account: AccountStep::Keep,
    };
    ToRegistry::Commit(ShardId(0), UserKey(key), Box::new(commit))
}

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
    let desk = TestDesk::start_with(&urls, settings);
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
