//! A member of the simulation: the real one, with its driver and those that ask the shared store. It has no thread and no clock: the
//! world says what comes next, and when.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::base::ids::{NodeId, PartitionId};
use crate::base::receipt::Receipt;
use crate::base::time::Instant;
use crate::logic::cluster::home::HomeMap;
use crate::logic::cluster::lease::Lease;
use crate::services::cluster::act::MemberEnding;
use crate::services::cluster::asking::{AskingTerms, StoreAsker};
use crate::services::cluster::driver::{DriverMemory, MemberDriver, MemberWord};
use crate::services::cluster::event::Order;
use crate::services::cluster::job::{JobDone, StoreJob};
use crate::services::cluster::membership::Membership;
use crate::services::cluster::notices::{ShardInboxes, ShardNotices};
use crate::services::cluster::published::{ClusterViews, Published};
use crate::services::cluster::residents::Residents;
use crate::services::cluster::says::{NodeSays, PublicTexts};
use crate::services::cluster::settings::ClusterSettings;
use crate::services::cluster::workers::MemberWorkers;
use crate::services::peers::Exchange;
use crate::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipNews, OwnershipOrder};
use crate::services::shared_store::calls::SharedStore;

/// Format of the data and the store's id, as claims name them.
const FORMAT: &str = "1 simulated";

/// What a member is joined to.
pub(crate) struct MemberJoints {
    pub(crate) settings: ClusterSettings,
    /// Where terminals reach the node.
    pub(crate) address: String,
    /// The client of the thread that beats, and that of the others.
    pub(crate) clients: [Box<dyn SharedStore + Send>; 2],
    pub(crate) inboxes: ShardInboxes,
    pub(crate) shards: u16,
    pub(crate) orders: Sender<OwnershipOrder>,
    pub(crate) confirmed: ConfirmedPlaces,
}

/// A member without threads.
pub(crate) struct SimulatedMember {
    driver: MemberDriver,
    beats: Receiver<StoreJob>,
    jobs: Receiver<StoreJob>,
    beat_asker: StoreAsker,
    asker: StoreAsker,
    views: ClusterViews,
    confirmed: ConfirmedPlaces,
}

/// Something for the member's thread.
pub(crate) struct WordToMember(MemberWord);

/// Something to be asked of the shared store.
pub(crate) struct MemberJob(StoreJob);

/// Which thread asks the shared store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberQueue {
    /// The one that beats.
    Beats,
    /// Any other.
    Jobs,
}

impl WordToMember {
    pub(crate) fn order(order: Order) -> Self {
        Self(MemberWord::Order(order))
    }

    pub(crate) fn desk(news: OwnershipNews) -> Self {
        Self(MemberWord::Desk(news))
    }

    pub(crate) fn heard(from: NodeId, exchange: Exchange) -> Self {
        Self(MemberWord::Heard(from, exchange))
    }
}

impl SimulatedMember {
    pub(crate) fn start(now: Instant, joints: MemberJoints) -> Self {
        let MemberJoints { settings, .. } = joints;
        let (beats, beat_jobs) = unbounded();
        let (jobs, other_jobs) = unbounded();
        let terms = Arc::new(AskingTerms {
            node: settings.node,
            partitions: settings.partitions,
            copies: 1,
            format: FORMAT.to_owned(),
            says: NodeSays {
                site: settings.site.0,
                weight: settings.weight,
                public: PublicTexts {
                    tcp: Some(joints.address),
                    ..PublicTexts::default()
                },
                peers: Some("its door".to_owned()),
                ..NodeSays::default()
            },
        });
        let notices = ShardNotices::new(joints.inboxes, joints.shards);
        let residents = Residents::new(notices.clone());
        let [beat_asker, asker] = joints
            .clients
            .map(|client| StoreAsker::new(client, Arc::clone(&terms), residents.clone()));
        let (published, views) = Published::new(settings.partitions);
        let mut driver = MemberDriver {
            membership: Membership::new(now, settings),
            workers: MemberWorkers { beats, jobs },
            shards: notices,
            orders: vec![joints.orders],
            published,
            confirmed: joints.confirmed.clone(),
            joining: Some(Receipt::none()),
            kept: DriverMemory::default(),
        };
        driver.begin();
        Self {
            driver,
            beats: beat_jobs,
            jobs: other_jobs,
            beat_asker,
            asker,
            views,
            confirmed: joints.confirmed,
        }
    }

    /// The member's thread takes something.
    pub(crate) fn take(&mut self, now: Instant, word: WordToMember) {
        self.driver.take(now, word.0);
        self.driver.settle_on();
    }

    /// Time has passed for the member's thread.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.driver.tick(now);
        self.driver.settle_on();
    }

    /// What is to be asked next.
    pub(crate) fn next_job(&mut self, queue: MemberQueue) -> Option<MemberJob> {
        let jobs = match queue {
            MemberQueue::Beats => &self.beats,
            MemberQueue::Jobs => &self.jobs,
        };
        jobs.try_recv().ok().map(MemberJob)
    }

    /// Asks the shared store; gives what the member's thread is to be told.
    pub(crate) fn ask(&mut self, queue: MemberQueue, job: MemberJob) -> WordToMember {
        let asker = match queue {
            MemberQueue::Beats => &mut self.beat_asker,
            MemberQueue::Jobs => &mut self.asker,
        };
        let done: JobDone = asker.ask(job.0);
        WordToMember(MemberWord::Done(done))
    }

    /// How the node stands, as peers are told.
    pub(crate) fn exchange(&self) -> Exchange {
        let mut own = self.views.exchange.borrow().clone();
        for owned in &mut own.owned {
            let partition = u16::try_from(owned.partition).expect("it is one of this node's");
            owned.confirmed = self.confirmed.of(PartitionId(partition)).0;
        }
        own
    }

    /// Where users are at home, as the rest of the process sees it.
    pub(crate) fn homes(&self) -> Arc<HomeMap> {
        Arc::clone(&self.views.homes.borrow())
    }

    /// The lease, as the rest of the process sees it.
    pub(crate) fn lease(&self) -> Lease {
        *self.views.lease.borrow()
    }

    /// How it has ended.
    pub(crate) fn ending(&self) -> Option<MemberEnding> {
        self.driver.kept.ending
    }

    /// Partitions whose confirmed changes the shared store lacks, as it seems.
    pub(crate) fn behind(&self) -> Vec<PartitionId> {
        self.driver.membership.behind()
    }
}

impl std::fmt::Debug for MemberJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for WordToMember {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            MemberWord::Order(order) => order.fmt(f),
            MemberWord::Done(done) => done.event.fmt(f),
            MemberWord::Desk(news) => news.fmt(f),
            MemberWord::Heard(node, _) => write!(f, "heard of {node:?}"),
        }
    }
}
