//! A running member, for the node that has it. Decides nothing.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::base::ids::{NodeId, PartitionId};
use crate::base::receipt::{Receipt, Receipts};
use crate::base::time::Clock;
use crate::services::cluster::act::MemberEnding;
use crate::services::cluster::asking::AskingTerms;
use crate::services::cluster::driver::{DriverMemory, MemberDriver, MemberInboxes};
use crate::services::cluster::event::Order;
use crate::services::cluster::membership::Membership;
use crate::services::cluster::notices::{ShardInboxes, ShardNotices};
use crate::services::cluster::published::{ClusterViews, Published};
use crate::services::cluster::residents::Residents;
use crate::services::cluster::says::NodeSays;
use crate::services::cluster::settings::ClusterSettings;
use crate::services::cluster::workers::{MemberClients, MemberWorkers};
use crate::services::peers::{Exchange, ExchangeHandle};
use crate::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipNews, OwnershipOrder};

/// What a member is started with.
pub struct ClusterParts {
    /// Its numbers, which [`ClusterSettings::check`] found to fit.
    pub settings: ClusterSettings,
    /// What it says of itself to the others; site, weight and whom it cannot reach are filled in.
    pub says: NodeSays,
    /// Format of the data and the store's id, as claims name them.
    pub format: String,
    /// How many replicas must have what it writes.
    pub copies: u16,
    /// Makes clients of the shared store.
    pub clients: MemberClients,
    /// The way into the shards.
    pub inboxes: ShardInboxes,
    /// How many shards there are.
    pub shards: u16,
    /// Who hears which partitions the node owns: the desk first, and itself, since a shard that hears of a partition asks it at once.
    pub orders: Vec<Sender<OwnershipOrder>>,
    /// The desk's news.
    pub desk_news: Receiver<OwnershipNews>,
    /// How far each partition is confirmed, as peers are told.
    pub confirmed: ConfirmedPlaces,
    /// The node's clock.
    pub clock: Clock,
}

/// A running member. To drop it ends the member without a word to the others, which find it dead after a while.
pub struct Cluster {
    orders: Sender<Order>,
    views: ClusterViews,
    joined: Receipts,
    member: JoinHandle<Option<MemberEnding>>,
    /// Those that ask the shared store.
    threads: Vec<JoinHandle<()>>,
    ended: Receipts,
    confirmed: ConfirmedPlaces,
    told: Sender<(NodeId, Exchange)>,
}

impl Cluster {
    /// Starts the member's thread and those that ask the shared store.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(parts: ClusterParts) -> io::Result<Self> {
        let ClusterParts { settings, shards, .. } = parts;
        let (orders, ordered) = unbounded();
        let (done, dones) = unbounded();
        let (told, heard) = unbounded();
        let (joining, joined) = Receipt::new();
        let (ending, ended) = Receipt::new();
        let terms = Arc::new(AskingTerms {
            node: settings.node,
            partitions: settings.partitions,
            copies: parts.copies,
            format: parts.format,
            says: NodeSays {
                site: settings.site.0,
                weight: settings.weight,
                ..parts.says
            },
        });
        let notices = ShardNotices::new(parts.inboxes, shards);
        let residents = Residents::new(notices.clone());
        let (workers, threads) = MemberWorkers::start(&parts.clients, &terms, &residents, &done)?;
        let (published, views) = Published::new(settings.partitions);
        let mut clock = parts.clock;
        let driver = MemberDriver {
            membership: Membership::new(clock.now().instant, settings),
            workers,
            shards: notices,
            orders: parts.orders,
            published,
            confirmed: parts.confirmed.clone(),
            joining: Some(joining),
            kept: DriverMemory::default(),
        };
        let inboxes = MemberInboxes {
            orders: ordered,
            done: dones,
            desk: parts.desk_news,
            heard,
        };
        let member = std::thread::Builder::new()
            .name("member".to_owned())
            .spawn(move || {
                let _ending = ending;
                driver.run(clock, &inboxes)
            })?;
        Ok(Self {
            orders,
            views,
            joined,
            member,
            threads,
            ended,
            confirmed: parts.confirmed,
            told,
        })
    }

    /// Homes, lease and status, for others to follow.
    #[must_use]
    pub fn views(&self) -> ClusterViews {
        self.views.clone()
    }

    /// Waits until the node has joined and its lease holds, or its member has ended; at most this long. Gives whether one of
    /// both is so.
    #[must_use]
    pub fn wait_joined(&self, within: Duration) -> bool {
        self.joined.wait(within)
    }

    /// The member's ends of the exchange with peers.
    #[must_use]
    pub fn exchange(&self) -> ExchangeHandle {
        let (exchange, confirmed) = (self.views.exchange.clone(), self.confirmed.clone());
        ExchangeHandle {
            own: Arc::new(move || {
                let mut own = exchange.borrow().clone();
                for owned in &mut own.owned {
                    let partition = u16::try_from(owned.partition).expect("it is one of this node's");
                    owned.confirmed = confirmed.of(PartitionId(partition)).0;
                }
                own
            }),
            heard: self.told.clone(),
        }
    }

    /// Whether the member has ended, or can do nothing more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.member.is_finished() || self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Orders something.
    pub fn order(&self, order: Order) {
        // A member that has ended does nothing more.
        let _ = self.orders.send(order);
    }

    /// Ends the member as one that is started again soon: its partitions wait for it. Gives why it has ended, if it did so in time.
    ///
    /// # Panics
    /// If the member's thread did.
    pub fn stop(self, within: Duration) -> Option<MemberEnding> {
        self.order(Order::Stop);
        if !self.ended.wait(within) {
            return None;
        }
        self.member.join().expect("the member's thread does not panic")
    }
}
