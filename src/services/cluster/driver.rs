//! The member's thread: the only one that calls the [`Membership`]. It tells what happened, and has done what is wanted: requests to the
//! shared store by other threads, notices to the shards, orders to the desk. It never waits for any of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select};

use crate::base::ids::{Epoch, NodeId, PartitionId};
use crate::base::receipt::{Receipt, Receipts};
use crate::base::time::{Clock, Instant};
use crate::logic::cluster::lease::Lease;
use crate::logic::delivery::ToShard;
use crate::services::cluster::act::{MemberAct, MemberEnding, PartitionRequest};
use crate::services::cluster::event::{Contact, JoinAnswer, MemberEvent, Order, PartitionNews};
use crate::services::cluster::job::JobDone;
use crate::services::cluster::membership::Membership;
use crate::services::cluster::notices::ShardNotices;
use crate::services::cluster::partition_jobs::PartitionJobs;
use crate::services::cluster::published::Published;
use crate::services::cluster::says::NodeSays;
use crate::services::cluster::settings::TICK;
use crate::services::cluster::token::{Incarnation, Owner, Token};
use crate::services::cluster::wording::token_of;
use crate::services::cluster::workers::MemberWorkers;
use crate::services::peers::Exchange;
use crate::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipNews, OwnershipOrder};
use crate::services::shared_store::calls::Places;

/// Everything that a member is joined to.
pub(super) struct MemberDriver {
    pub(super) membership: Membership,
    pub(super) workers: MemberWorkers,
    pub(super) shards: ShardNotices,
    pub(super) orders: Vec<Sender<OwnershipOrder>>,
    pub(super) published: Published,
    /// How far each partition is confirmed.
    pub(super) confirmed: ConfirmedPlaces,
    /// Dropped once the lease holds.
    pub(super) joining: Option<Receipt>,
    pub(super) kept: DriverMemory,
}

/// What the driver remembers between acts.
#[derive(Default)]
pub(super) struct DriverMemory {
    pub(super) jobs: PartitionJobs,
    /// What all nodes say, as the last beat has brought it.
    pub(super) says: BTreeMap<NodeId, NodeSays>,
    /// Where partitions stood when they were last looked at.
    pub(super) places: BTreeMap<PartitionId, Places>,
    /// The partitions that the desk has, with the token that it has them under.
    pub(super) owned: BTreeMap<PartitionId, Token>,
    pub(super) settling: BTreeMap<PartitionId, SettlingPartition>,
    pub(super) last_beat: u64,
    pub(super) ending: Option<MemberEnding>,
}

/// A partition that settles.
pub(super) struct SettlingPartition {
    pub(super) token: Token,
    /// Of the shards; `None` once the desk settles.
    pub(super) shards: Option<Receipts>,
}

/// What reaches the member's thread.
pub(super) struct MemberInboxes {
    /// Orders of the node. When nobody can give any more, the thread ends without a word.
    pub(super) orders: Receiver<Order>,
    pub(super) done: Receiver<JobDone>,
    pub(super) desk: Receiver<OwnershipNews>,
    /// What peers have told.
    pub(super) heard: Receiver<(NodeId, Exchange)>,
}

/// One thing that has reached the member's thread.
pub(super) enum MemberWord {
    /// The node orders something.
    Order(Order),
    /// A job is done.
    Done(JobDone),
    /// The desk has news.
    Desk(OwnershipNews),
    /// A peer tells how it stands.
    Heard(NodeId, Exchange),
}

impl MemberDriver {
    /// Runs until the member has ended, or nobody can order anything any more. Gives how it ended.
    pub(super) fn run(mut self, mut clock: Clock, inboxes: &MemberInboxes) -> Option<MemberEnding> {
        let (mut desk, mut heard) = (inboxes.desk.clone(), inboxes.heard.clone());
        let (mut is_desk_gone, mut are_peers_gone) = (false, false);
        self.begin();
        let mut tick_at = clock.now().instant;
        while self.kept.ending.is_none() {
            let wait = tick_at.since(clock.now().instant);
            let word = select! {
                recv(inboxes.orders) -> order => match order {
                    Ok(order) => Some(MemberWord::Order(order)),
                    Err(_) => break,
                },
                recv(inboxes.done) -> done => match done {
                    Ok(done) => Some(MemberWord::Done(done)),
                    // They end only by a panic, which the node notices.
                    Err(_) => break,
                },
                recv(desk) -> news => {
                    is_desk_gone = news.is_err();
                    news.ok().map(MemberWord::Desk)
                },
                recv(heard) -> told => {
                    are_peers_gone = told.is_err();
                    told.ok().map(|(node, exchange)| MemberWord::Heard(node, exchange))
                },
                default(wait) => None,
            };
            if is_desk_gone {
                desk = never();
            }
            if are_peers_gone {
                heard = never();
            }
            // Behind whatever has come.
            let now = clock.now().instant;
            if let Some(word) = word {
                self.take(now, word);
            }
            if tick_at <= now {
                tick_at = now.after(TICK);
                self.tick(now);
            }
            self.settle_on();
        }
        self.kept.jobs.call_all_off();
        self.kept.ending
    }

    /// Before anything else: nobody is at home here yet.
    pub(super) fn begin(&mut self) {
        self.shards.tell(&ToShard::Lease(Lease::Never));
        self.shards
            .tell(&ToShard::Homes(Arc::clone(&self.published.homes.borrow())));
    }

    /// Takes one thing that has come before `now`.
    pub(super) fn take(&mut self, now: Instant, word: MemberWord) {
        match word {
            MemberWord::Order(order) => self.handle(now, MemberEvent::Ordered(order)),
            MemberWord::Done(done) => self.done(now, done),
            MemberWord::Desk(news) => self.desk_news(now, news),
            MemberWord::Heard(node, exchange) => self.hear(now, node, &exchange),
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        self.shards.go_on();
        self.handle(now, MemberEvent::Tick);
        self.show_homes();
        self.published.show(now, &self.membership, &self.kept.says);
    }

    /// A job is done.
    fn done(&mut self, now: Instant, done: JobDone) {
        if let Some(says) = done.says {
            self.kept.says = says;
        }
        if let Some(partition) = done.partition {
            if let Some(places) = done.places {
                self.kept.places.insert(partition, places);
            }
            if let Some(next) = self.kept.jobs.done(partition) {
                self.workers.ask(next);
            }
        }
        if let Some(event) = done.event {
            self.handle(now, event);
        }
    }

    /// A peer tells how it stands.
    fn hear(&mut self, now: Instant, from: NodeId, exchange: &Exchange) {
        let contact = if exchange.has_lease {
            Contact::Held
        } else {
            let had = exchange.had_store_ago_ms.map(Duration::from_millis);
            Contact::Lost { had }
        };
        self.handle(now, MemberEvent::Heard { from, contact });
        let owner = Some(Owner {
            node: from,
            incarnation: Incarnation(exchange.incarnation),
        });
        for owned in &exchange.owned {
            let Ok(partition) = u16::try_from(owned.partition).map(PartitionId) else {
                continue;
            };
            let epoch = Epoch(owned.epoch);
            let token = Token { owner, epoch };
            self.handle(now, MemberEvent::Told { partition, token });
            let position = owned.confirmed;
            self.handle(now, MemberEvent::Witnessed { partition, position });
        }
    }

    /// Of nodes that were not heard, those that should have been: without a door for peers at both ends silence says nothing.
    pub(super) fn missed(&self, unheard: Vec<NodeId>) -> Vec<NodeId> {
        let has_door = |node: &NodeId| self.kept.says.get(node).is_some_and(|says| says.peers.is_some());
        if !has_door(&self.membership.node()) {
            return Vec::new();
        }
        unheard.into_iter().filter(has_door).collect()
    }

    fn desk_news(&mut self, now: Instant, news: OwnershipNews) {
        let (partition, token, news) = match news {
            OwnershipNews::Settled(partition) => {
                let Some(SettlingPartition { token, .. }) = self.kept.settling.remove(&partition) else {
                    return;
                };
                (partition, token, PartitionNews::Settled)
            }
            OwnershipNews::Fenced(partition, fence) => {
                let Some(token) = token_of(&fence) else {
                    return;
                };
                (partition, token, PartitionNews::Fenced)
            }
            OwnershipNews::Behind(partition, position) => {
                let Some(token) = self.kept.owned.get(&partition).copied() else {
                    return;
                };
                let (position, confirmed) = (position.0, self.confirmed.of(partition).0);
                let news = PartitionNews::Behind { position, confirmed };
                (partition, token, news)
            }
        };
        let event = MemberEvent::Partition {
            partition,
            token,
            news,
        };
        self.handle(now, event);
    }

    /// Partitions whose shards have settled settle at the desk; those whose users have left are free for what waits for them.
    pub(super) fn settle_on(&mut self) {
        for job in self.kept.jobs.left() {
            self.workers.ask(job);
        }
        let mut settled = Vec::new();
        for (partition, settling) in &mut self.kept.settling {
            if settling.shards.as_ref().is_some_and(Receipts::are_in) {
                settling.shards = None;
                settled.push(*partition);
            }
        }
        for partition in settled {
            self.order(&OwnershipOrder::Settle(partition));
        }
    }

    /// Orders the desk, and whoever else hears it.
    pub(super) fn order(&self, order: &OwnershipOrder) {
        for orders in &self.orders {
            // Nobody listens when the node ends.
            let _ = orders.send(order.clone());
        }
    }

    /// The clock said `now` after whatever brought the event.
    fn handle(&mut self, now: Instant, event: MemberEvent) {
        let before = self.membership.standing_name();
        let mut acts = Vec::new();
        if let MemberEvent::Joined(JoinAnswer::Joined(life)) = event {
            tracing::info!(life = life.0, "the node has joined its cluster");
            self.kept.last_beat = 0;
        }
        let is_word = is_word(&event);
        self.membership.handle(now, event, &mut acts);
        let after = self.membership.standing_name();
        if before != after {
            tracing::info!(from = before, to = after, "the node's standing has changed");
        }
        // A partition opens before anybody is sent here for it, and others are named before anybody is sent away to them.
        let (later, sooner): (Vec<_>, Vec<_>) = acts.into_iter().partition(sends_away);
        let is_quiet = is_word && sooner.is_empty() && later.is_empty();
        sooner.into_iter().for_each(|act| self.act(now, act));
        if !is_quiet {
            self.show_homes();
        }
        later.into_iter().for_each(|act| self.act(now, act));
    }

    fn show_homes(&mut self) {
        if let Some(homes) = self.published.show_homes(&self.membership, &self.kept.says) {
            self.shards.tell(&ToShard::Homes(homes));
        }
    }
}

/// Whether it is heard often, and changes homes rarely: then they are shown with the next tick.
fn is_word(event: &MemberEvent) -> bool {
    match event {
        MemberEvent::Tick | MemberEvent::Heard { .. } => true,
        MemberEvent::Told { .. } | MemberEvent::Witnessed { .. } => true,
        MemberEvent::Surveyed(_)
        | MemberEvent::Joined(_)
        | MemberEvent::Beaten { .. }
        | MemberEvent::Buried { .. }
        | MemberEvent::Departed { .. }
        | MemberEvent::Partition { .. }
        | MemberEvent::Ordered(_) => false,
    }
}

/// Whether users are stopped or sent away by it: not before everybody knows where to.
fn sends_away(act: &MemberAct) -> bool {
    match act {
        MemberAct::Drop(_) | MemberAct::SendAway { .. } => true,
        MemberAct::Ask { request, .. } => *request == PartitionRequest::Settle,
        MemberAct::Survey
        | MemberAct::Join { .. }
        | MemberAct::Beat { .. }
        | MemberAct::Bury(_)
        | MemberAct::Depart { .. }
        | MemberAct::Publish { .. }
        | MemberAct::Lease(_)
        | MemberAct::Open { .. }
        | MemberAct::Resume { .. }
        | MemberAct::Alarm(_)
        | MemberAct::End(_) => false,
    }
}
