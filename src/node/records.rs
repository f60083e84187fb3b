//! Where the node's records are: in a store of its own, or in one that it shares with the other nodes of its cluster; and the registry
//! that writes there. Keeps nothing itself.

use anyhow::Context;
use tokio::sync::watch;

use super::cluster_plan::{ClusterPlan, ClusterRegistry, DeskEnds};
use super::config::{Config, StoreKind};
use super::router::{Inboxes, SendToShard};
use super::store::{DiskStore, OpenedStore};
use crate::base::limits::CLUSTER_NODES_MAX;
use crate::base::time::Clock;
use crate::logic::record::Callbacks;
use crate::services::registry::Registry;
use crate::services::registry::health::RegistryHealth;

/// What a node's registry will write to.
pub(super) enum Records {
    Own(OpenedStore),
    Shared(ClusterPlan),
}

/// A registry that runs.
pub(super) struct StartedRegistry {
    pub(super) registry: Registry,
    pub(super) health: RegistryHealth,
    /// Decides which changes owe a callback from now on.
    pub(super) callbacks: watch::Sender<Callbacks>,
    /// `None` if its store is not on this host's disk.
    pub(super) kept: Option<DiskStore>,
    /// `None` if it is of no cluster.
    pub(super) cluster: Option<(ClusterPlan, DeskEnds)>,
}

impl Records {
    /// Those of the configuration.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub(super) fn of(config: &Config) -> anyhow::Result<Self> {
        match config.registry.store {
            StoreKind::Embedded | StoreKind::Memory => OpenedStore::new(config).map(Self::Own),
            StoreKind::Shared => ClusterPlan::of(config).map(Self::Shared),
        }
    }

    /// How many other nodes may answer at once.
    pub(super) fn peers_max(&self) -> u16 {
        match self {
            Self::Own(_) => 0,
            Self::Shared(_) => CLUSTER_NODES_MAX,
        }
    }

    /// Before shards take connections: in a cluster nobody is at home here yet.
    pub(super) fn close(&self, shards: &SendToShard, count: u16) {
        if let Self::Shared(plan) = self {
            plan.close(shards, count);
        }
    }

    /// Starts the registry.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start_registry(
        self,
        config: &Config,
        shards: u16,
        replies: Inboxes,
        clock: &Clock,
    ) -> anyhow::Result<StartedRegistry> {
        match self {
            Self::Own(OpenedStore {
                store,
                health,
                kept,
                callbacks,
            }) => {
                let registry =
                    Registry::start(store, config.trouble, shards, replies.router(), clock.clone())?;
                Ok(StartedRegistry {
                    registry,
                    health,
                    callbacks,
                    kept,
                    cluster: None,
                })
            }
            Self::Shared(plan) => {
                let started = plan.start_registry(config, shards, replies, clock);
                let ClusterRegistry {
                    registry,
                    health,
                    callbacks,
                    ends,
                } = started.context("the registry")?;
                let cluster = Some((plan, ends));
                Ok(StartedRegistry {
                    registry,
                    health,
                    callbacks,
                    kept: None,
                    cluster,
                })
            }
        }
    }
}
