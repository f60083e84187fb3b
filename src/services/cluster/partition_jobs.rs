//! One job at a time for each partition: a load that nobody wants any more must be over before the next request of its partition begins.
//! Does no job.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::ids::PartitionId;
use crate::services::cluster::act::PartitionRequest;
use crate::services::cluster::job::StoreJob;
use crate::services::cluster::token::Token;

/// The jobs of all partitions.
#[derive(Debug, Default)]
pub(super) struct PartitionJobs(BTreeMap<PartitionId, UnderWay>);

/// A job, and those behind it.
#[derive(Debug)]
struct UnderWay {
    is_off: Arc<AtomicBool>,
    behind: VecDeque<StoreJob>,
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
        if let Some(under_way) = self.0.get_mut(&partition) {
            under_way.behind.push_back(job);
            return None;
        }
        let behind = VecDeque::new();
        self.0.insert(partition, UnderWay { is_off, behind });
        Some(job)
    }

    /// A partition's job is done; gives the next.
    pub(super) fn done(&mut self, partition: PartitionId) -> Option<StoreJob> {
        let under_way = self.0.get_mut(&partition)?;
        let next = under_way.behind.pop_front();
        match &next {
            Some(StoreJob::Partition { is_off, .. }) => under_way.is_off = Arc::clone(is_off),
            Some(_) | None => {
                self.0.remove(&partition);
            }
        }
        next
    }

    /// Nobody wants what is asked of this partition any more. It goes on, and is done as any other.
    pub(super) fn call_off(&mut self, partition: PartitionId) {
        if let Some(under_way) = self.0.get_mut(&partition) {
            under_way.is_off.store(true, Ordering::SeqCst);
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
}
