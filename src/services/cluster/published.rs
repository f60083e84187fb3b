//! What a member shows to the rest of the process and to its peers: homes, the lease, and how the cluster stands. Decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::base::ids::{NodeId, PartitionId};
use crate::base::time::{Instant, millis};
use crate::logic::cluster::home::{Home, HomeMap, PublicAddress, PublicAddresses};
use crate::logic::cluster::lease::Lease;
use crate::services::cluster::event::Contact;
use crate::services::cluster::membership::Membership;
use crate::services::cluster::says::{NodeSays, PublicTexts};
use crate::services::cluster::table::NodeRow;
use crate::services::peers::{Exchange, OwnedPartition, PeerAddresses};

/// How the cluster stands, as one node sees it.
#[derive(Debug, Clone, Default)]
pub struct ClusterStatus {
    /// What this node is about, in a word.
    pub standing: &'static str,
    /// All nodes on record.
    pub nodes: BTreeMap<NodeId, NodeStatus>,
    /// How many partitions have no home, as far as this node knows.
    pub homeless: usize,
    /// How many this node is about to open.
    pub opening: usize,
    /// How many it is about to hand over, or to keep for its next life.
    pub settling: usize,
    /// Partitions that take no changes, since the shared store lacks what was confirmed.
    pub behind: Vec<PartitionId>,
}

/// One node of it.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// As the shared store has it.
    pub row: NodeRow,
    /// What it says of itself.
    pub says: NodeSays,
    /// How many partitions are at home there, as far as is known.
    pub partitions: usize,
}

/// The member's end.
pub(super) struct Published {
    partitions: u16,
    pub(super) homes: watch::Sender<Arc<HomeMap>>,
    pub(super) lease: watch::Sender<Lease>,
    status: watch::Sender<Arc<ClusterStatus>>,
    addresses: watch::Sender<Arc<PeerAddresses>>,
    exchange: watch::Sender<Exchange>,
}

/// Everybody else's.
#[derive(Debug, Clone)]
pub struct ClusterViews {
    /// Where users are at home.
    pub homes: watch::Receiver<Arc<HomeMap>>,
    /// Until when answers from memory may leave.
    pub lease: watch::Receiver<Lease>,
    /// How the cluster stands.
    pub status: watch::Receiver<Arc<ClusterStatus>>,
    /// Where the nodes are for each other.
    pub addresses: watch::Receiver<Arc<PeerAddresses>>,
    /// How this node stands, without the confirmed places.
    pub(super) exchange: watch::Receiver<Exchange>,
}

impl Published {
    /// Nobody is at home anywhere.
    pub(super) fn new(partitions: u16) -> (Self, ClusterViews) {
        let nobody = HomeMap::new(vec![Home::Nobody; usize::from(partitions)], BTreeMap::new());
        let (homes, homes_seen) = watch::channel(Arc::new(nobody));
        let (lease, lease_seen) = watch::channel(Lease::Never);
        let (status, status_seen) = watch::channel(Arc::default());
        let (addresses, addresses_seen) = watch::channel(Arc::default());
        let (exchange, exchange_seen) = watch::channel(Exchange::default());
        let published = Self {
            partitions,
            homes,
            lease,
            status,
            addresses,
            exchange,
        };
        let views = ClusterViews {
            homes: homes_seen,
            lease: lease_seen,
            status: status_seen,
            addresses: addresses_seen,
            exchange: exchange_seen,
        };
        (published, views)
    }

    /// Shows homes; gives them if they are other ones than before.
    pub(super) fn show_homes(
        &self,
        member: &Membership,
        says: &BTreeMap<NodeId, NodeSays>,
    ) -> Option<Arc<HomeMap>> {
        let homes: Vec<Home> = self.all().map(|partition| member.home(partition)).collect();
        let addresses = says.iter().map(|(node, says)| (*node, addresses(&says.public)));
        let map = HomeMap::new(homes, addresses.collect());
        if **self.homes.borrow() == map {
            return None;
        }
        let map = Arc::new(map);
        self.homes.send_replace(Arc::clone(&map));
        Some(map)
    }

    /// Shows how the cluster and this node stand.
    pub(super) fn show(&self, now: Instant, member: &Membership, says: &BTreeMap<NodeId, NodeSays>) {
        self.show_status(member, says);
        let with_door = says
            .iter()
            .filter_map(|(node, says)| Some((*node, says.peers.clone()?)));
        let addresses: PeerAddresses = with_door.collect();
        self.addresses.send_if_modified(|known| {
            let is_new = **known != addresses;
            *known = Arc::new(addresses);
            is_new
        });
        let owned = self.all().filter_map(|partition| match member.home(partition) {
            Home::Here(epoch) => Some(OwnedPartition {
                partition: u32::from(partition.0),
                epoch: epoch.0,
                confirmed: 0,
            }),
            Home::There(_) | Home::Nobody => None,
        });
        let contact = member.contact(now);
        self.exchange.send_replace(Exchange {
            has_lease: contact == Contact::Held,
            had_store_ago_ms: match contact {
                Contact::Held => Some(0),
                Contact::Lost { had } => had.map(millis),
            },
            incarnation: member.incarnation().map_or(0, |life| life.0),
            owned: owned.collect(),
        });
    }

    fn show_status(&self, member: &Membership, says: &BTreeMap<NodeId, NodeSays>) {
        let homes = Arc::clone(&self.homes.borrow());
        let own = member.node();
        let at = |node: NodeId| {
            let is_there = |home| match home {
                Home::Here(_) => node == own,
                Home::There(there) => node == there,
                Home::Nobody => false,
            };
            self.all()
                .filter(|partition| is_there(homes.of(*partition)))
                .count()
        };
        let nodes = member.nodes().iter().map(|(node, row)| {
            let status = NodeStatus {
                row: row.clone(),
                says: says.get(node).cloned().unwrap_or_default(),
                partitions: at(*node),
            };
            (*node, status)
        });
        let homeless = self
            .all()
            .filter(|partition| homes.of(*partition) == Home::Nobody);
        let (opening, settling) = member.moving();
        self.status.send_replace(Arc::new(ClusterStatus {
            standing: member.standing_name(),
            nodes: nodes.collect(),
            homeless: homeless.count(),
            opening,
            settling,
            behind: member.behind(),
        }));
    }

    fn all(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.partitions).map(PartitionId)
    }
}

/// The addresses among the texts of a node. One that is none is not shown to terminals.
fn addresses(texts: &PublicTexts) -> PublicAddresses {
    let read = |text: &Option<String>| text.as_ref()?.parse::<PublicAddress>().ok();
    PublicAddresses {
        tcp: read(&texts.tcp),
        tls: read(&texts.tls),
        websocket: read(&texts.websocket),
        secure_websocket: read(&texts.secure_websocket),
    }
}
