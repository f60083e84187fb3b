//! A desk of the simulation: the real one, with its thread's turn and the other end of its worker. It has no thread and no clock: the
//! world says what comes next, and when.

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::base::histogram::Histogram;
use crate::base::time::{Clock, Instant, Now, Stopwatch};
use crate::logic::delivery::{Router, ToRegistry};
use crate::logic::record::RecordedChange;
use crate::services::registry::health::{BatchPace, RegistryHealth};
use crate::services::registry::shared::batch_codec::decode_batch;
use crate::services::registry::shared::desk::Desk;
use crate::services::registry::shared::job::Job;
use crate::services::registry::shared::ownership::{ConfirmedPlaces, OwnershipNews, OwnershipOrder};
use crate::services::registry::shared::settings::{DeskFiguresView, DeskSettings};
use crate::services::registry::shared::thread::DeskThread;
use crate::services::registry::shared::workers::{StoreClient, StoreHand, StoreReport, StoreWorkers};

/// What a desk is joined to.
pub(crate) struct DeskJoints {
    pub(crate) settings: DeskSettings,
    pub(crate) client: Box<dyn StoreClient>,
    pub(crate) orders: Receiver<OwnershipOrder>,
    pub(crate) news: Sender<OwnershipNews>,
    pub(crate) router: Router,
    pub(crate) confirmed: ConfirmedPlaces,
}

/// A desk without threads.
pub(crate) struct SimulatedDesk {
    thread: DeskThread,
    hand: StoreHand,
    requests: Sender<ToRegistry>,
    inbox: Receiver<ToRegistry>,
}

/// Calls that its worker is to make.
pub(crate) struct DeskJob(Stopwatch, Job);

/// What came of them.
pub(crate) struct DeskReport(StoreReport);

impl SimulatedDesk {
    pub(crate) fn start(joints: DeskJoints) -> Self {
        let (requests, inbox) = unbounded();
        let partitions = joints.settings.partitions;
        let health = RegistryHealth::default();
        let mut client = Some(joints.client);
        let clients = Box::new(move || client.take().expect("there is one worker"));
        let mut workers = StoreWorkers::nobody(clients, partitions);
        let hand = workers.employ_one();
        let thread = DeskThread {
            desk: Desk::new(joints.settings, joints.confirmed, health.clone()),
            workers,
            orders: joints.orders,
            news: joints.news,
            router: joints.router,
            clock: Clock::start(),
            figures: DeskFiguresView::default(),
            health,
            commit_times: Histogram::default(),
            pace: BatchPace::default(),
            unsent: Vec::new(),
        };
        Self {
            thread,
            hand,
            requests,
            inbox,
        }
    }

    /// Somebody asks.
    pub(crate) fn request(&self, request: ToRegistry) {
        self.requests.send(request).expect("its inbox is here");
    }

    /// A turn of its thread.
    pub(crate) fn turn(&mut self, now: Now) {
        self.thread.turn(now, &self.inbox);
    }

    /// When its next turn has something to do by itself.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.thread.desk.due()
    }

    /// What its worker is to do, if it has begun with nothing yet.
    pub(crate) fn next_job(&mut self) -> Option<DeskJob> {
        let (began, job) = self.hand.jobs.try_recv().ok()?;
        Some(DeskJob(began, job))
    }

    /// Its worker makes calls.
    pub(crate) fn make_calls(&mut self, job: DeskJob) -> DeskReport {
        DeskReport(self.hand.make_calls(job.0, job.1))
    }

    /// Its worker comes back.
    pub(crate) fn report(&self, report: DeskReport) {
        self.hand.reports.send(report.0).expect("its inbox is here");
    }

    /// Commits that did not follow what was on record.
    pub(crate) fn mismatched(&self) -> u64 {
        self.thread.desk.figures().mismatched
    }
}

/// The changes of a batch as the shared store keeps it.
pub(crate) fn changes_of(batch: &[u8]) -> Vec<RecordedChange> {
    let links = decode_batch(batch).expect("a desk has written it");
    links.into_iter().map(|link| link.recorded).collect()
}

impl std::fmt::Debug for DeskJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let batches = self.1.batches.iter();
        let batches =
            batches.map(|(_, batch)| (batch.partition.0, batch.fence.epoch, batch.first, batch.count));
        let reads = self.1.reads.iter().map(|read| read.partition.0);
        f.debug_tuple("Job")
            .field(&batches.collect::<Vec<_>>())
            .field(&reads.collect::<Vec<_>>())
            .finish()
    }
}

impl std::fmt::Debug for DeskReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let batches = self.0.outcomes.batches.iter().map(|(_, _, outcome)| outcome);
        f.debug_list().entries(batches).finish()
    }
}
