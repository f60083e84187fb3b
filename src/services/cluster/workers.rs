//! Threads that ask the shared store, each with a client of its own, since its calls block. Decides nothing.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::services::cluster::asking::{AskingTerms, StoreAsker};
use crate::services::cluster::job::{JobDone, StoreJob};
use crate::services::cluster::residents::Residents;
use crate::services::cluster::settings::ADOPTIONS_MAX;
use crate::services::shared_store::calls::SharedStore;

/// Makes clients of the shared store.
pub type MemberClients = Arc<dyn Fn() -> Box<dyn SharedStore + Send> + Send + Sync>;

/// As many as partitions are on their way in at once: each may wait for a server that does not answer, and holds up no other.
const WORKERS: usize = ADOPTIONS_MAX;

/// The threads, which end when their last job is done and this is gone.
pub(super) struct MemberWorkers {
    /// To the one that beats: no other job holds it up.
    pub(super) beats: Sender<StoreJob>,
    pub(super) jobs: Sender<StoreJob>,
}

impl MemberWorkers {
    /// Starts them. What came of jobs goes to `done`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(
        clients: &MemberClients,
        terms: &Arc<AskingTerms>,
        residents: &Residents,
        done: &Sender<JobDone>,
    ) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let spawn = |name: String, jobs: Receiver<StoreJob>| {
            let asker = StoreAsker::new(clients(), Arc::clone(terms), residents.clone());
            let done = done.clone();
            std::thread::Builder::new()
                .name(name)
                .spawn(move || work(asker, &jobs, &done))
        };
        let (beats, beat_jobs) = unbounded();
        let (jobs, other_jobs) = unbounded();
        let mut threads = vec![spawn("member-beat".to_owned(), beat_jobs)?];
        for number in 0..WORKERS {
            threads.push(spawn(format!("member-{number}"), other_jobs.clone())?);
        }
        Ok((Self { beats, jobs }, threads))
    }

    /// Hands out a job.
    pub(super) fn ask(&self, job: StoreJob) {
        let queue = match &job {
            StoreJob::Survey | StoreJob::Join { .. } | StoreJob::Beat(_) | StoreJob::Depart(_) => &self.beats,
            StoreJob::Bury(_) | StoreJob::Publish(..) | StoreJob::Partition { .. } => &self.jobs,
        };
        // A thread ends before this one only by a panic, which the node notices.
        let _ = queue.send(job);
    }
}

fn work(mut asker: StoreAsker, jobs: &Receiver<StoreJob>, done: &Sender<JobDone>) {
    for job in jobs {
        if done.send(asker.ask(job)).is_err() {
            return;
        }
    }
}
