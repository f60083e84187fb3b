//! The outbox's steps of one lane on their way to the shared store: each group has a number, and none is skipped. Groups that are in
//! too few copies are kept, so that they can be taken again where a failover lost them. Knows nothing of what steps mean.

use std::collections::VecDeque;

use crate::base::ids::PartitionId;
use crate::services::shared_store::calls::SharedStore;
use crate::services::shared_store::outbox::{KeptStep, OutboxCounts, StepGroup, StepsTaken};
use crate::services::shared_store::outcome::{Confirmation, Fence, SharedStoreError, Vouched};

/// Every so many groups one waits for copies: it vouches for those before it. The others cost no wait.
const GROUPS_UNVOUCHED: u64 = 64;

/// Groups that are kept at most, while replicas are missing. What a failover loses beyond them cannot be taken again.
const GROUPS_KEPT_MAX: usize = 1_024;

/// Why steps were not taken, or perhaps not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum StepFault {
    /// What came of the call.
    #[error(transparent)]
    Store(#[from] SharedStoreError),
    /// A failover lost more than is kept here.
    #[error(
        "the shared store has only the steps up to group {0}, and lacks more than is known here: the lane has to begin anew"
    )]
    Lost(u64),
    /// Two write, or wrote.
    #[error("the shared store has steps up to group {0}, of another writer: the lane has to begin anew")]
    OtherWriter(u64),
}

/// A group of steps that has its number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NumberedSteps {
    number: u64,
    steps: Vec<KeptStep>,
}

/// The steps of one lane.
#[derive(Debug)]
pub(super) struct StepLine {
    partition: PartitionId,
    /// How many replicas must have a group before it is not kept any more.
    copies: u16,
    /// The number of the last group that was taken.
    last: u64,
    /// A group of which nobody knows whether it was taken: it comes before any other.
    pending: Option<NumberedSteps>,
    /// Groups that were taken, and may be lost by a failover.
    kept: VecDeque<NumberedSteps>,
}

impl StepLine {
    /// One that goes on behind this group.
    pub(super) fn new(partition: PartitionId, copies: u16, last: u64) -> Self {
        Self {
            partition,
            copies,
            last,
            pending: None,
            kept: VecDeque::new(),
        }
    }

    /// Takes steps. After an error the caller takes the same ones again, perhaps with more behind them: each may be taken twice.
    pub(super) fn take(
        &mut self,
        store: &mut (impl SharedStore + ?Sized),
        fence: &Fence,
        steps: Vec<KeptStep>,
    ) -> Result<OutboxCounts, StepFault> {
        if let Some(pending) = self.pending.clone() {
            self.send(store, fence, pending)?;
            self.pending = None;
        }
        let group = NumberedSteps {
            number: self.last + 1,
            steps,
        };
        let came = self.send(store, fence, group.clone());
        if let Err(StepFault::Store(SharedStoreError::Unknown(_))) = came {
            self.pending = Some(group);
        }
        came
    }

    fn send(
        &mut self,
        store: &mut (impl SharedStore + ?Sized),
        fence: &Fence,
        group: NumberedSteps,
    ) -> Result<OutboxCounts, StepFault> {
        let copies = match group.number.is_multiple_of(GROUPS_UNVOUCHED) {
            true => Confirmation::Wanted,
            false => Confirmation::Needless,
        };
        let mut came = self.call(store, fence, &group, copies);
        if let Err(StepFault::Store(SharedStoreError::Behind(last))) = came {
            self.take_again(store, fence, last)?;
            came = self.call(store, fence, &group, copies);
        }
        let Vouched { answer, copies } = came?;
        self.last = group.number;
        self.kept.push_back(group);
        if copies >= self.copies {
            self.kept.clear();
        } else if self.kept.len() > GROUPS_KEPT_MAX {
            self.kept.pop_front();
        }
        Ok(answer.counts)
    }

    /// The store has only what is up to this group: takes the others again.
    fn take_again(
        &self,
        store: &mut (impl SharedStore + ?Sized),
        fence: &Fence,
        last: u64,
    ) -> Result<(), StepFault> {
        let missing = self.kept.iter().filter(|group| group.number > last);
        if missing.clone().next().map(|group| group.number) != Some(last + 1) {
            return Err(StepFault::Lost(last));
        }
        for group in missing {
            self.call(store, fence, group, Confirmation::Needless)?;
        }
        Ok(())
    }

    fn call(
        &self,
        store: &mut (impl SharedStore + ?Sized),
        fence: &Fence,
        group: &NumberedSteps,
        copies: Confirmation,
    ) -> Result<Vouched<StepsTaken>, StepFault> {
        let sent = StepGroup {
            partition: self.partition,
            fence: fence.clone(),
            number: group.number,
            steps: group.steps.clone(),
        };
        let taken = store.steps(&sent, copies)?;
        if taken.answer.number != group.number {
            return Err(StepFault::OtherWriter(taken.answer.number));
        }
        Ok(taken)
    }
}
