//! This node among those of its cluster: its member, its way to other nodes, and the callbacks of the partitions that it owns. Decides
//! nothing.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use crossbeam_channel::{Receiver, Sender, bounded};
use sha2::{Digest, Sha256};

use super::addresses::{ListenerRole, listen};
use super::cluster_plan::{ClusterPlan, DeskEnds};
use super::config::Config;
use super::lanes::{LaneKeeper, RecordsKept};
use super::node_lock::NodeLock;
use super::router::{Inboxes, PeersSender, SendToShard};
use super::shared_store;
use super::startup_wait::StartupWait;
use crate::base::time::Clock;
use crate::logic::cluster::home::PublicAddress;
use crate::logic::settings::Settings;
use crate::services::callback::CallbackHandle;
use crate::services::cluster::act::MemberEnding;
use crate::services::cluster::event::Order;
use crate::services::cluster::handle::{Cluster, ClusterParts};
use crate::services::cluster::published::ClusterViews;
use crate::services::cluster::says::{NodeSays, PublicTexts};
use crate::services::cluster::settings::ClusterSettings;
use crate::services::http::{ClusterHandles, ClusterView};
use crate::services::peers::{PeerIdentity, PeersClient};
use crate::services::registry::shared::settings::DeskFiguresView;

/// How long a start waits until the node is a member: until a process of the same name that was killed counts as dead, with room
/// to spare.
const JOINED_WITHIN: Duration = Duration::from_secs(60);

/// Orders of the operator that may wait until they are looked at, once a second. More are refused.
const ORDERS_MAX: usize = 64;

/// A node that takes part in a cluster.
pub(super) struct ClusterNode {
    member: Cluster,
    views: ClusterViews,
    peers: PeersClient,
    lanes: JoinHandle<()>,
    /// Of the settings that decide about users.
    policy: String,
    /// What the operator wants.
    wanted: Receiver<Order>,
    drain_ordered: bool,
    /// Nodes whose settings differ, as it was told last.
    told: Vec<u16>,
    _lock: NodeLock,
}

impl ClusterNode {
    /// Has the node take part. Its partitions' callbacks are told by `callbacks`; the answers of other nodes go to `replies`.
    ///
    /// # Errors
    /// If settings do not fit, or the system gives no thread.
    pub(super) fn start(
        config: &Config,
        (plan, ends): (ClusterPlan, DeskEnds),
        (shards, count): (&SendToShard, u16),
        (replies, callbacks): (Inboxes, CallbackHandle),
        clock: &Clock,
    ) -> anyhow::Result<(Self, ClusterHandles)> {
        let policy = policy(&config.logic);
        let kept = RecordsKept {
            changes: config.registry.changes_kept,
            deleted: config.registry.deleted_kept,
        };
        let client = plan.client(config);
        let keeper = LaneKeeper::new(
            client,
            ends.confirmed.clone(),
            (ends.lanes, plan.copies()),
            callbacks,
            (clock.clone(), kept),
        );
        let (lane_orders, lanes) = keeper.start(ends.orders.clone())?;
        let client = plan.client(config);
        let member = Cluster::start(ClusterParts {
            settings: member_settings(config, &plan)?,
            says: says(config, &policy),
            format: shared_store::partition_format(&plan.founded.store),
            copies: plan.copies(),
            clients: Arc::new(move || Box::new(client())),
            inboxes: Arc::clone(shards),
            shards: count,
            orders: vec![ends.orders, lane_orders],
            desk_news: ends.news,
            confirmed: ends.confirmed,
            clock: clock.clone(),
        })?;
        let (orders, wanted) = bounded(ORDERS_MAX);
        let handles = handles(config, &member, (ends.figures, orders))?;
        let views = member.views();
        let addresses = views.addresses.clone();
        let (identity, exchange) = (handles.identity.clone(), handles.exchange.clone());
        let peers = PeersClient::start(identity, addresses, exchange, replies.router())?;
        let node = Self {
            member,
            views,
            peers,
            lanes,
            policy,
            wanted,
            drain_ordered: false,
            told: Vec::new(),
            _lock: plan.lock,
        };
        Ok((node, handles))
    }

    /// The way to other nodes.
    pub(super) fn peers(&self) -> PeersSender {
        self.peers.sender()
    }

    /// Waits until the node is a member.
    ///
    /// # Errors
    /// If it does not become one.
    pub(super) fn wait_joined(&self) -> anyhow::Result<()> {
        if self.member.wait_joined(JOINED_WITHIN) {
            return self.check();
        }
        let standing = self.views.status.borrow().standing;
        bail!(
            "the node did not become a member of its cluster: it is {standing}; look at registry.redis and at the log"
        )
    }

    /// Whether it still takes part.
    ///
    /// # Errors
    /// If it does not.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.member.has_ended() {
            bail!(
                "the node takes no part in its cluster any more: it was drained, or another process has its number; see the log"
            )
        }
        if self.peers.has_ended() {
            bail!(
                "the thread that speaks to other nodes has ended on its own; its last words are in the log"
            );
        }
        if self.lanes.is_finished() {
            bail!(
                "the thread that keeps the callbacks' partitions has ended on its own; its last words are in the log"
            );
        }
        Ok(())
    }

    /// Whether all its users are handed over, as the operator wanted.
    pub(super) fn has_drained(&self) -> bool {
        self.drain_ordered && self.member.has_ended()
    }

    /// Does what the operator wants, and tells of nodes that decide differently. To be called once a second.
    pub(super) fn look(&mut self) {
        for order in self.wanted.try_iter() {
            tracing::info!(
                ?order,
                "the operator wants something of the node's part in its cluster"
            );
            self.drain_ordered |= order == Order::Drain;
            self.member.order(order);
        }
        let status = Arc::clone(&self.views.status.borrow());
        let others = status.nodes.iter().filter(|(_, node)| node.row.state.beats());
        let differ = others.filter(|(_, node)| node.says.policy != self.policy);
        let differ: Vec<u16> = differ.map(|(node, _)| node.0).collect();
        if differ != self.told {
            if !differ.is_empty() {
                tracing::warn!(nodes = ?differ, "other nodes have other settings of presence or accounts: users are treated by the node that they are at");
            }
            self.told = differ;
        }
    }

    /// Ends its part: what was decided is recorded, and its partitions wait for its next start.
    pub(super) fn stop(self, within: Duration) -> StoppedCluster {
        match self.member.stop(within) {
            Some(MemberEnding::Stopped | MemberEnding::Drained) => {}
            Some(ending) => tracing::warn!(
                ?ending,
                "the node has left its cluster otherwise than it was asked to"
            ),
            None => tracing::warn!("the node could not leave its cluster in time: others will find it dead"),
        }
        StoppedCluster {
            peers: self.peers,
            _lock: self._lock,
        }
    }
}

/// What is left when the member has ended.
pub(super) struct StoppedCluster {
    peers: PeersClient,
    _lock: NodeLock,
}

impl StoppedCluster {
    /// Ends when the HTTP server has.
    ///
    /// # Errors
    /// If the thread that spoke to other nodes could not run.
    pub(super) fn finish(self) -> io::Result<()> {
        self.peers.finish()
    }
}

/// The numbers that the node takes part with.
fn member_settings(config: &Config, plan: &ClusterPlan) -> anyhow::Result<ClusterSettings> {
    let own = &config.cluster;
    let settings = ClusterSettings {
        weight: own.weight,
        lease: own.lease,
        dead: shared_store::dead_after(config),
        hold: own.hold,
        restart_grace: config.logic.restart_grace,
        ..ClusterSettings::new(own.node, plan.lock.site(), plan.partitions())
    };
    let checked = settings.check();
    checked.map_err(|fault| anyhow::anyhow!("cluster.lease_s, cluster.hold_s: {fault:?}"))?;
    Ok(settings)
}

/// What the HTTP server needs of the cluster.
fn handles(
    config: &Config,
    member: &Cluster,
    (figures, orders): (DeskFiguresView, Sender<Order>),
) -> anyhow::Result<ClusterHandles> {
    let own = &config.cluster;
    let secret = own.secret.clone().context("cluster.secret")?;
    let views = member.views();
    Ok(ClusterHandles {
        view: ClusterView {
            node: own.node,
            homes: views.homes,
            lease: views.lease,
            status: views.status,
        },
        identity: PeerIdentity::new(own.node, &own.name, secret)?,
        exchange: member.exchange(),
        figures,
        orders,
        listeners: listen(ListenerRole::Peers, config, StartupWait(config.startup_wait))?,
    })
}

fn says(config: &Config, policy: &str) -> NodeSays {
    let text = |address: &Option<PublicAddress>| address.as_ref().map(|address| address.as_str().to_owned());
    let public = &config.cluster.public;
    NodeSays {
        public: PublicTexts {
            tcp: text(&public.tcp),
            tls: text(&public.tls),
            websocket: text(&public.websocket),
            secure_websocket: text(&public.secure_websocket),
        },
        peers: config.cluster.peer_address.clone(),
        admin: config.cluster.admin_address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        policy: policy.to_owned(),
        ..NodeSays::default()
    }
}

/// Tells the settings that decide about users from others.
fn policy(settings: &Settings) -> String {
    let Settings {
        sdk_app_id,
        policy,
        conflict,
        instances,
        web_close,
        heartbeat_timeout,
        push_online,
        restart_grace,
        registration,
        ..
    } = settings;
    let decides = format!(
        "{sdk_app_id} {policy:?} {conflict:?} {instances:?} {web_close:?} {heartbeat_timeout:?} {push_online:?} {restart_grace:?} {registration:?}"
    );
    let digest = Sha256::digest(decides);
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
