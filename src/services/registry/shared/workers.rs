//! Threads that make a desk's calls: one for each master of the store, each with connections of its own, since calls block. Where a
//! master stands still, its own worker waits for it, up to the time-outs of the client, and no other. So it costs the partitions of
//! other masters nothing, and its own partitions as long as that lasts.
//!
//! Who the masters are, a worker learns with its first call. Until then all partitions are the first worker's.

use std::io;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use hashbrown::HashMap;

use crate::base::ids::PartitionId;
use crate::base::time::Stopwatch;
use crate::services::registry::shared::desk::Desk;
use crate::services::registry::shared::job::{Job, JobOutcomes};
use crate::services::shared_store::calls::SharedStore;
use crate::services::shared_store::client::RedisStore;

/// More masters than this share workers.
const WORKERS_MAX: usize = 64;

/// A client of the shared store, for one thread.
pub trait StoreClient: SharedStore + Send {
    /// The server that is taken for a partition's master, if any is yet.
    fn master_of(&self, partition: PartitionId) -> Option<String>;
}

impl StoreClient for RedisStore {
    fn master_of(&self, partition: PartitionId) -> Option<String> {
        self.master(partition)
    }
}

/// Makes clients.
pub type StoreClients = Box<dyn FnMut() -> Box<dyn StoreClient> + Send>;

/// What a worker has done.
pub(in crate::services::registry) struct StoreReport {
    worker: usize,
    pub(super) outcomes: JobOutcomes,
    pub(super) began: Stopwatch,
    masters: Vec<(PartitionId, String)>,
}

/// All workers of a desk.
pub(in crate::services::registry) struct StoreWorkers {
    clients: StoreClients,
    partitions: u16,
    workers: Vec<StoreWorker>,
    /// Of the workers, in their order.
    threads: Vec<JoinHandle<()>>,
    by_master: HashMap<String, usize>,
    /// Whose a partition is. Those of the first are not named.
    by_partition: HashMap<PartitionId, usize>,
    sender: Sender<StoreReport>,
    reports: Receiver<StoreReport>,
}

struct StoreWorker {
    jobs: Sender<(Stopwatch, Job)>,
    at_work: Working,
}

/// The other end of a worker: makes its calls.
pub(super) struct StoreHand {
    worker: usize,
    client: Box<dyn StoreClient>,
    /// Partitions whose masters were not told yet.
    untold: Vec<PartitionId>,
    pub(super) jobs: Receiver<(Stopwatch, Job)>,
    pub(super) reports: Sender<StoreReport>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Working {
    No,
    Yes,
}

impl StoreWorkers {
    /// One worker, so far.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(in crate::services::registry) fn start(clients: StoreClients, partitions: u16) -> io::Result<Self> {
        let mut workers = Self::nobody(clients, partitions);
        workers.add()?;
        Ok(workers)
    }

    /// No worker, so far.
    pub(super) fn nobody(clients: StoreClients, partitions: u16) -> Self {
        let (sender, reports) = unbounded();
        Self {
            clients,
            partitions,
            workers: Vec::new(),
            threads: Vec::new(),
            by_master: HashMap::new(),
            by_partition: HashMap::new(),
            sender,
            reports,
        }
    }

    fn add(&mut self) -> io::Result<()> {
        let mut hand = self.employ_one();
        let name = format!("registry-{}", hand.worker);
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || hand.work())
            .inspect_err(|_| drop(self.workers.pop()))?;
        self.threads.push(thread);
        Ok(())
    }

    /// One more worker. Whoever has its other end makes its calls.
    pub(super) fn employ_one(&mut self) -> StoreHand {
        let (jobs, wanted) = bounded(1);
        let hand = StoreHand {
            worker: self.workers.len(),
            client: (self.clients)(),
            untold: (0..self.partitions).map(PartitionId).collect(),
            jobs: wanted,
            reports: self.sender.clone(),
        };
        let at_work = Working::No;
        self.workers.push(StoreWorker { jobs, at_work });
        hand
    }

    /// Where reports come.
    pub(super) fn reports(&self) -> Receiver<StoreReport> {
        self.reports.clone()
    }

    /// Whether no worker has a job.
    pub(super) fn are_idle(&self) -> bool {
        self.workers.iter().all(|worker| worker.at_work == Working::No)
    }

    /// Gives everyone who is idle what is to be done, if anything is.
    pub(super) fn employ(&mut self, desk: &mut Desk) {
        for (number, worker) in self.workers.iter_mut().enumerate() {
            if worker.at_work == Working::Yes {
                continue;
            }
            let of = |partition: PartitionId| self.by_partition.get(&partition).copied().unwrap_or(0);
            let job = desk.job(|partition| of(partition) == number);
            if !job.is_empty() {
                worker.at_work = Working::Yes;
                let sent = worker.jobs.send((Stopwatch::start(), job));
                sent.expect("a worker lives as long as it may have a job");
            }
        }
    }

    /// A worker has come back.
    pub(super) fn note(&mut self, report: &mut StoreReport) {
        self.workers[report.worker].at_work = Working::No;
        for (partition, master) in report.masters.drain(..) {
            let worker = self.worker_for(master, report.worker);
            self.by_partition.insert(partition, worker);
        }
    }

    /// The worker of a master. A new master has the worker that met it, if that has no other, or a new one.
    fn worker_for(&mut self, master: String, met_by: usize) -> usize {
        if let Some(worker) = self.by_master.get(&master) {
            return *worker;
        }
        let is_taken = self.by_master.values().any(|worker| *worker == met_by);
        let is_full = self.workers.len() >= WORKERS_MAX;
        let worker = if is_taken && !is_full && self.add().is_ok() {
            self.workers.len() - 1
        } else {
            met_by
        };
        self.by_master.insert(master, worker);
        worker
    }

    /// Ends the workers. Those that have a job end behind it, by themselves.
    pub(super) fn end(self) {
        for (worker, thread) in self.workers.into_iter().zip(self.threads) {
            drop(worker.jobs);
            if worker.at_work == Working::No {
                thread.join().expect("a worker does not panic");
            }
        }
    }
}

impl StoreHand {
    fn work(&mut self) {
        while let Ok((began, job)) = self.jobs.recv() {
            let report = self.make_calls(began, job);
            if self.reports.send(report).is_err() {
                return;
            }
        }
    }

    /// Makes the calls of a job.
    pub(super) fn make_calls(&mut self, began: Stopwatch, job: Job) -> StoreReport {
        let batches = job.batches.iter().map(|(_, batch)| batch.partition);
        let reads = job.reads.iter().map(|wanted| wanted.partition);
        let partitions: Vec<PartitionId> = batches.chain(reads).chain(self.untold.drain(..)).collect();
        let outcomes = job.run(&mut *self.client);
        let masters = partitions.into_iter();
        let masters = masters.filter_map(|partition| Some((partition, self.client.master_of(partition)?)));
        StoreReport {
            worker: self.worker,
            outcomes,
            began,
            masters: masters.collect(),
        }
    }
}
