//! One job at a time for each partition: a load that nobody wants any more must be over before the next request of its partition begins,
//! and so must be what users have asked who are sent away. Does no job.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::ids::PartitionId;
use crate::base::receipt::Receipts;
use crate::services::cluster::act::PartitionRequest;
use crate::services::cluster::job::StoreJob;
use crate::services::cluster::token::Token;

/// The jobs of all partitions.
#[derive(Debug, Default)]
pub(super) struct PartitionJobs(BTreeMap<PartitionId, UnderWay>);

/// What is under way of a partition, and the jobs behind it.
#[derive(Debug, Default)]
struct UnderWay {
    /// Of the job, if there is one: whether nobody wants it.
    job: Option<Arc<AtomicBool>>,
    /// Of the shards, if its users leave.
    leaving: Vec<Receipts>,
    behind: VecDeque<(StoreJob, Arc<AtomicBool>)>,
}

impl UnderWay {
    /// The next job, if it can be done now.
    fn next(&mut self) -> Option<StoreJob> {
        if self.job.is_some() || !self.leaving.iter().all(Receipts::are_in) {
            return None;
        }
        self.leaving.clear();
        let (job, is_off) = self.behind.pop_front()?;
        self.job = Some(is_off);
        Some(job)
    }

    fn is_over(&self) -> bool {
        self.job.is_none() && self.leaving.is_empty() && self.behind.is_empty()
    }
}

impl PartitionJobs {
    /// A request of a partition; gives the job if it can be done now.
    pub(super) fn ask(
        &mut self,
        partition: PartitionId,
        token: Token,
        request: PartitionRequest,
    ) -> Option<StoreJob> {
        let is_off = Arc::new(AtomicBool::new(false));
        let job = StoreJob::Partition {
            partition,
            token,
            request,
            is_off: Arc::clone(&is_off),
        };
        let under_way = self.0.entry(partition).or_default();
        under_way.behind.push_back((job, is_off));
        under_way.next()
    }

    /// A partition's users leave the shards, and have left when these are in.
    pub(super) fn leave(&mut self, partition: PartitionId, receipts: Receipts) {
        self.0.entry(partition).or_default().leaving.push(receipts);
    }

    /// A partition's job is done; gives the next.
    pub(super) fn done(&mut self, partition: PartitionId) -> Option<StoreJob> {
        let under_way = self.0.get_mut(&partition)?;
        under_way.job = None;
        let next = under_way.next();
        if under_way.is_over() {
            self.0.remove(&partition);
        }
        next
    }

    /// The jobs that waited for users who have left by now.
    pub(super) fn left(&mut self) -> Vec<StoreJob> {
        let leaving = self
            .0
            .values_mut()
            .filter(|under_way| !under_way.leaving.is_empty());
        let next = leaving.filter_map(UnderWay::next).collect();
        self.0.retain(|_, under_way| !under_way.is_over());
        next
    }

    /// Nobody wants what is asked of this partition any more. It goes on, and is done as any other.
    pub(super) fn call_off(&mut self, partition: PartitionId) {
        if let Some(under_way) = self.0.get_mut(&partition) {
            if let Some(is_off) = &under_way.job {
                is_off.store(true, Ordering::SeqCst);
            }
            under_way.behind.clear();
        }
    }

    /// Nor of any other.
    pub(super) fn call_all_off(&mut self) {
        let partitions: Vec<PartitionId> = self.0.keys().copied().collect();
        partitions
            .into_iter()
            .for_each(|partition| self.call_off(partition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::receipt::Receipt;

    const PARTITION: PartitionId = PartitionId(3);

    fn is_off(job: &StoreJob) -> bool {
        let StoreJob::Partition { is_off, .. } = job else {
            panic!("it is of a partition");
        };
        is_off.load(Ordering::SeqCst)
    }

    #[test]
    fn what_is_called_off_is_over_before_the_next_begins() {
        let mut jobs = PartitionJobs::default();
        let ask = |jobs: &mut PartitionJobs, request| jobs.ask(PARTITION, Token::default(), request);
        let load = ask(&mut jobs, PartitionRequest::Load).expect("nothing is under way");
        assert!(ask(&mut jobs, PartitionRequest::Look).is_none());
        jobs.call_off(PARTITION);
        assert!(is_off(&load));
        let expected = Token::default();
        assert!(ask(&mut jobs, PartitionRequest::Claim { expected }).is_none());
        let next = jobs.done(PARTITION).expect("it waits");
        assert!(!is_off(&next), "the look was called off, and not this");
        assert!(matches!(
            next,
            StoreJob::Partition {
                request: PartitionRequest::Claim { .. },
                ..
            }
        ));
        assert!(jobs.done(PARTITION).is_none());
        assert!(ask(&mut jobs, PartitionRequest::Load).is_some());
    }

    #[test]
    fn nothing_is_asked_before_users_who_leave_have_left() {
        let mut jobs = PartitionJobs::default();
        let (first, left) = Receipt::new();
        jobs.leave(PARTITION, left);
        let (second, left) = Receipt::new();
        jobs.leave(PARTITION, left);
        let expected = Token::default();
        let claim = PartitionRequest::Claim { expected };
        assert!(jobs.ask(PARTITION, Token::default(), claim).is_none());
        drop(first);
        assert!(jobs.left().is_empty(), "others are there");
        drop(second);
        assert_eq!(jobs.left().len(), 1);
        assert!(jobs.left().is_empty(), "it is under way");
        assert!(jobs.done(PARTITION).is_none());
        assert!(jobs.0.is_empty());
    }
}
