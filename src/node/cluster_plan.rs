//! What a node needs to know of its cluster before it starts, and the registry that it starts with. Takes no part.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::watch;

use super::config::Config;
use super::node_lock::NodeLock;
use super::router::{Inboxes, SendToShard, notify};
use super::shared_store;
use crate::base::ids::ShardId;
use crate::base::time::Clock;
use crate::logic::cluster::home::{Home, HomeMap};
use crate::logic::cluster::lease::Lease;
use crate::logic::delivery::ToShard;
use crate::logic::record::Callbacks;
use crate::services::http::Archived;
use crate::services::registry::Registry;
use crate::services::registry::health::RegistryHealth;
use crate::services::registry::shared::open_lanes::OpenLanes;
use crate::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipNews, OwnershipOrder};
use crate::services::registry::shared::settings::{CACHE_BYTES, DeskFiguresView, DeskSettings};
use crate::services::registry::shared::tail::TailLimits;
use crate::services::registry::shared::thread::DeskDoors;
use crate::services::shared_store::calls::Founding;
use crate::services::shared_store::client::RedisStore;
use crate::services::shared_store::settings::{CopiesMissing, RedisSettings};

/// What a node needs to know of its cluster before it starts.
pub(super) struct ClusterPlan {
    pub(super) founded: Founding,
    pub(super) store: RedisSettings,
    store_id: u64,
    pub(super) lock: NodeLock,
}

/// The registry of a node of a cluster.
pub(super) struct ClusterRegistry {
    pub(super) registry: Registry,
    pub(super) health: RegistryHealth,
    pub(super) callbacks: watch::Sender<Callbacks>,
    pub(super) ends: DeskEnds,
}

/// What the member and the callbacks have of the registry.
pub(super) struct DeskEnds {
    pub(super) figures: DeskFiguresView,
    pub(super) orders: Sender<OwnershipOrder>,
    pub(super) news: Receiver<OwnershipNews>,
    pub(super) confirmed: ConfirmedPlaces,
    /// The lanes of this node's partitions.
    pub(super) lanes: OpenLanes<RedisStore>,
}

impl DeskEnds {
    /// What can be read of the lanes of this node's partitions.
    pub(super) fn archived(&self) -> Archived {
        Archived {
            lanes: Arc::new(self.lanes.clone()),
            news: self.confirmed.news(),
        }
    }
}

impl ClusterPlan {
    /// What the configuration and the shared store say.
    ///
    /// # Errors
    /// If the store cannot be reached, has no such cluster, its records are being moved, or another process of this host is this node.
    pub(super) fn of(config: &Config) -> anyhow::Result<Self> {
        let store = shared_store::settings(config)?;
        let founded = shared_store::founded(config)?;
        shared_store::ensure_open(config, &founded)?;
        let store_id = shared_store::store_id(&founded)?;
        let lock = NodeLock::take(config)?;
        Ok(Self {
            founded,
            store,
            store_id,
            lock,
        })
    }

    /// Into how many partitions all users fall.
    pub(super) fn partitions(&self) -> u16 {
        self.founded.partitions
    }

    /// The shared store's own id.
    pub(super) fn store_id(&self) -> u64 {
        self.store_id
    }

    /// How many replicas must have what the member and the callbacks write: none, if they go on without.
    pub(super) fn copies(&self) -> u16 {
        match self.store.copies_missing {
            CopiesMissing::Wait => self.store.copies,
            CopiesMissing::GoOn => 0,
        }
    }

    /// Makes clients of the shared store.
    pub(super) fn client(&self, config: &Config) -> impl Fn() -> RedisStore + Send + Sync + 'static {
        let (settings, name) = (self.store.clone(), config.cluster.name.clone());
        let partitions = self.founded.partitions;
        move || RedisStore::new(settings.clone(), &name, partitions)
    }

    /// Starts the node's registry, which owns nobody yet.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start_registry(
        &self,
        config: &Config,
        shards: u16,
        replies: Inboxes,
        clock: &Clock,
    ) -> io::Result<ClusterRegistry> {
        let (callbacks, follows) = watch::channel(super::store::callbacks(config));
        let (orders, ordered) = unbounded();
        let (news, told) = unbounded();
        let confirmed = ConfirmedPlaces::new(self.founded.partitions);
        let (figures, health) = (DeskFiguresView::default(), RegistryHealth::default());
        let settings = DeskSettings {
            partitions: self.founded.partitions,
            copies: self.store.copies,
            copies_missing: self.store.copies_missing,
            callbacks: follows,
            tail: TailLimits::default(),
            cache_bytes: CACHE_BYTES,
        };
        let client = self.client(config);
        let doors = DeskDoors {
            clients: Box::new(move || Box::new(client())),
            orders: ordered,
            news,
            confirmed: confirmed.clone(),
            figures: figures.clone(),
            health: health.clone(),
        };
        let registry = Registry::start_shared(settings, doors, shards, replies.router(), clock.clone())?;
        Ok(ClusterRegistry {
            registry,
            health,
            callbacks,
            ends: DeskEnds {
                figures,
                orders,
                news: told,
                confirmed,
                lanes: OpenLanes::new(self.store_id, self.founded.partitions),
            },
        })
    }

    /// Before shards take connections: nobody is at home here, and nothing is told from memory.
    pub(super) fn close(&self, shards: &SendToShard, count: u16) {
        let nobody = vec![Home::Nobody; usize::from(self.founded.partitions)];
        let homes = Arc::new(HomeMap::new(nobody, BTreeMap::new()));
        for shard in (0..count).map(ShardId) {
            notify(shards, shard, ToShard::Lease(Lease::Never));
            notify(shards, shard, ToShard::Homes(Arc::clone(&homes)));
        }
    }
}
