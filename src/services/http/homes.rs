//! Where a request about a user goes: to a shard of this node, or to the node that the user is at home at; and whether what was
//! gathered from memory may leave. Decides no ownership.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::watch;

use crate::base::ids::{NodeId, ShardId, UserId};
use crate::base::time::{Clock, Instant};
use crate::logic::cluster::home::{Home, HomeMap};
use crate::logic::cluster::lease::Lease;
use crate::services::cluster::published::ClusterStatus;

/// What the HTTP server sees of a cluster.
#[derive(Debug, Clone)]
pub struct ClusterView {
    /// This node.
    pub node: NodeId,
    /// Whose each partition is.
    pub homes: watch::Receiver<Arc<HomeMap>>,
    /// Until when nobody else owns this node's partitions.
    pub lease: watch::Receiver<Lease>,
    /// How the cluster stands.
    pub status: watch::Receiver<Arc<ClusterStatus>>,
}

/// Where a request about a user goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UserHome {
    /// To this shard.
    Shard(ShardId),
    /// To another node.
    Peer(NodeId),
    /// Nowhere, for now.
    Nobody,
}

/// The homes of all users.
pub(super) struct UserHomes {
    shards: u16,
    cluster: Option<ClusterView>,
    clock: RefCell<Clock>,
}

/// The homes of all users at one moment.
pub(super) struct HomesNow {
    pub(super) shards: u16,
    map: Option<Arc<HomeMap>>,
}

impl UserHomes {
    /// Without a cluster all are here.
    pub(super) fn new(shards: u16, cluster: Option<ClusterView>, clock: Clock) -> Self {
        let clock = RefCell::new(clock);
        Self {
            shards,
            cluster,
            clock,
        }
    }

    pub(super) fn cluster(&self) -> Option<&ClusterView> {
        self.cluster.as_ref()
    }

    pub(super) fn now(&self) -> HomesNow {
        let map = |cluster: &ClusterView| Arc::clone(&cluster.homes.borrow());
        HomesNow {
            shards: self.shards,
            map: self.cluster.as_ref().map(map),
        }
    }

    /// The clock, before something is asked.
    pub(super) fn clock(&self) -> Instant {
        self.clock.borrow_mut().now().instant
    }

    /// Whether what was gathered since it was asked for is still true now: nobody else can have owned meanwhile what this node has told
    /// of. A lease that has lapsed in between and is back is not enough. The clock is read here, and not before.
    pub(super) fn may_leave(&self, asked_at: Instant) -> bool {
        let Some(cluster) = &self.cluster else { return true };
        let now = self.clock();
        cluster.lease.borrow().covers(asked_at, now)
    }

    /// Whether the lease holds.
    pub(super) fn has_lease(&self) -> bool {
        let now = self.clock();
        let lease = self.cluster.as_ref().map(|cluster| *cluster.lease.borrow());
        lease.is_none_or(|lease| lease.holds(now))
    }
}

impl HomesNow {
    pub(super) fn of(&self, user: &UserId) -> UserHome {
        match self.map.as_ref().map(|map| map.home(user)) {
            None | Some(Home::Here(_)) => UserHome::Shard(user.home(self.shards)),
            Some(Home::There(node)) => UserHome::Peer(node),
            Some(Home::Nobody) => UserHome::Nobody,
        }
    }

    /// The same for another node that asks: whoever is not here is at no home, since requests are passed on once.
    pub(super) fn here(&self, user: &UserId) -> UserHome {
        match self.of(user) {
            here @ UserHome::Shard(_) => here,
            UserHome::Peer(_) | UserHome::Nobody => UserHome::Nobody,
        }
    }
}
