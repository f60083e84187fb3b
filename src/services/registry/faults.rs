//! Faults that an operator can have the registry make, to see what follows: delays and refusals. None by default.

use std::time::Duration;

use crate::logic::delivery::{Delivery, ToRegistry};

/// What is to go wrong. Nothing by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultInjection {
    /// How long each batch takes longer.
    pub delay: Duration,
    /// Every so-many-th request fails; 0: none.
    pub fail_every: u64,
}

/// Makes the faults that were asked for.
pub(super) struct FaultInjector {
    faults: FaultInjection,
    requests: u64,
}

impl FaultInjector {
    pub(super) fn new(faults: FaultInjection) -> Self {
        Self { faults, requests: 0 }
    }

    /// Takes those requests out of the batch that shall fail, and lets the delay pass.
    pub(super) fn inject(&mut self, batch: &mut Vec<ToRegistry>, replies: &mut Vec<Delivery>) {
        if self.faults.fail_every > 0 {
            for request in std::mem::take(batch) {
                self.requests += 1;
                if self.requests.is_multiple_of(self.faults.fail_every) {
                    replies.push(request.refuse());
                } else {
                    batch.push(request);
                }
            }
        }
        if !self.faults.delay.is_zero() {
            std::thread::sleep(self.faults.delay);
        }
    }
}
