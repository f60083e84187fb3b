//! Requests to send a message to users of which some have to wait for their turn: what became of it at the others is kept until
//! all is known. Decides nothing.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::ids::RequestId;
use crate::logic::message::{SendOrder, TargetOutcome, TargetResult};

/// What is known of one request.
#[derive(Debug)]
pub(super) struct OpenSend {
    order: Arc<SendOrder>,
    /// Of each target, in their order.
    outcomes: Vec<Option<TargetOutcome>>,
}

/// All requests that wait for some of their targets.
#[derive(Debug, Default)]
pub(super) struct OpenSends(HashMap<RequestId, OpenSend>);

impl OpenSend {
    /// What is known so far of each target, in their order.
    pub(super) fn new(order: Arc<SendOrder>, outcomes: Vec<Option<TargetOutcome>>) -> Self {
        Self { order, outcomes }
    }

    /// What became of all, if that is known.
    pub(super) fn results(self) -> Result<Vec<TargetResult>, Self> {
        if self.outcomes.iter().any(Option::is_none) {
            return Err(self);
        }
        let users = self.order.targets.iter().map(|target| target.user);
        let outcomes = self.outcomes.into_iter().flatten();
        let results = users.zip(outcomes);
        Ok(results
            .map(|(user, outcome)| TargetResult { user, outcome })
            .collect())
    }
}

impl OpenSends {
    /// One that waits.
    pub(super) fn insert(&mut self, request: RequestId, open: OpenSend) {
        self.0.insert(request, open);
    }

    /// What became of it at one target. Gives what became of all, if this was the last one.
    pub(super) fn settle(
        &mut self,
        request: RequestId,
        target: usize,
        outcome: TargetOutcome,
    ) -> Option<Vec<TargetResult>> {
        let mut open = self.0.remove(&request).expect("it waits for this target");
        open.outcomes[target] = Some(outcome);
        match open.results() {
            Ok(results) => Some(results),
            Err(open) => {
                self.0.insert(request, open);
                None
            }
        }
    }
}
