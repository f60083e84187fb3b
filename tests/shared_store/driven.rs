//! A registry on a real server that is driven directly, as a shard would.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::HashMap;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use holdfast::base::ids::{ChangeNumber, DeviceId, InstanceId, PartitionId, Platform, ShardId, UserId};
use holdfast::base::time::{Clock, Timestamp};
use holdfast::logic::delivery::{Delivery, RegistryError, ToRegistry, ToShard, UserKey};
use holdfast::logic::record::{AccountStep, Callbacks, Change, ChangeKind, Commit};
use holdfast::services::registry::Registry;
use holdfast::services::registry::health::RegistryHealth;
use holdfast::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipNews, OwnershipOrder};
use holdfast::services::registry::shared::settings::{
    CACHE_BYTES, DeskFigures, DeskFiguresView, DeskSettings,
};
use holdfast::services::registry::shared::tail::TailLimits;
use holdfast::services::registry::shared::thread::DeskDoors;
use tokio::sync::watch;

use super::samples::*;
use super::servers::*;
use super::shared_store::calls::{Claimed, SharedStore};
use super::shared_store::client::RedisStore;
use super::shared_store::outcome::Fence;
use super::shared_store::settings::{CopiesMissing, RedisSettings};

/// What is awaited comes within this time, or not at all.
pub const PATIENCE: Duration = Duration::from_secs(60);

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
        Self::start_with(settings(urls, copies), PARTITIONS)
    }

    /// One with so many partitions.
    pub fn start_with(settings: RedisSettings, partitions: u16) -> Self {
        let (copies, confirmed) = (settings.copies, ConfirmedPlaces::new(partitions));
        let mut claims = RedisStore::new(settings.clone(), "test", partitions);
        let (orders, wanted) = unbounded();
        let (sender, news) = unbounded();
        let (answered, answers) = unbounded();
        let figures = DeskFiguresView::default();
        let doors = DeskDoors {
            clients: Box::new(move || Box::new(RedisStore::new(settings.clone(), "test", partitions))),
            orders: wanted,
            news: sender,
            confirmed: confirmed.clone(),
            figures: figures.clone(),
            health: RegistryHealth::default(),
        };
        let desk = DeskSettings {
            partitions,
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
        for partition in (0..partitions).map(PartitionId) {
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
