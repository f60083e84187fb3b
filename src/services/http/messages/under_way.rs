//! Messages on their way through the HTTP server: who waits for what becomes of one at last, and the outcomes that nobody has
//! waited for, as far back as they are kept. In memory only: a new epoch tells a reader that those of an earlier start are gone.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::base::ids::UserId;
use crate::logic::message::{
    DeviceOutcome, DeviceResult, LateOutcome, SendOrder, TargetOutcome, TargetResult,
};
use crate::services::http::homes::{HomesNow, UserHome};
use crate::services::http::pending::{NoReply, PendingRequests};
use crate::services::http::sends;

/// Outcomes that are kept for readers: some seconds of a busy gateway, and hours of others.
const OUTCOMES_KEPT_MAX: usize = 65_536;

/// What they may take together: an outcome has some 200 B, and with the longest answer of an app 4 KiB more.
const OUTCOME_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What is kept of an outcome beside its texts.
const OUTCOME_BYTES: usize = 160;

/// All messages on their way, and the outcomes that are kept.
pub(in crate::services::http) struct Messages {
    epoch: String,
    random: RefCell<fastrand::Rng>,
    waiting: RefCell<HashMap<u64, Waiter>>,
    kept: RefCell<KeptOutcomes>,
    /// How many outcomes there have been.
    count: Cell<u64>,
    news: Notify,
}

/// The outcomes that are kept, the oldest first.
#[derive(Default)]
struct KeptOutcomes {
    outcomes: VecDeque<LateOutcome>,
    bytes: usize,
}

impl KeptOutcomes {
    fn push(&mut self, outcome: LateOutcome) {
        self.bytes += bytes_of(&outcome);
        self.outcomes.push_back(outcome);
        while self.outcomes.len() > OUTCOMES_KEPT_MAX || self.bytes > OUTCOME_BYTES_MAX {
            let oldest = self.outcomes.pop_front().expect("it is not empty");
            self.bytes -= bytes_of(&oldest);
        }
    }
}

fn bytes_of(outcome: &LateOutcome) -> usize {
    OUTCOME_BYTES + outcome.name.len() + outcome.result.reply.len()
}

/// Who waits for the outcomes of one message.
struct Waiter {
    came: Vec<LateOutcome>,
    news: Rc<Notify>,
}

/// The id of a message for terminals. It follows from the name: one that is sent again, to another node or after a restart, has the
/// same id, and a terminal that has it already can tell.
pub(in crate::services::http) fn id_of(name: &str) -> u64 {
    let digest = Sha256::digest(name);
    let first = digest.first_chunk().expect("it has 32 bytes");
    u64::from_be_bytes(*first)
}

/// How much is known of what becomes of a message at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutcomesKnown {
    All,
    InPart,
}

/// Where a reader of outcomes goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::services::http) struct OutcomePlace(pub(in crate::services::http) u64);

impl Messages {
    /// Nothing was sent yet.
    pub(in crate::services::http) fn new() -> Self {
        let mut random = fastrand::Rng::new();
        let epoch = format!("{:012x}", random.u64(..) >> 16);
        Self {
            epoch,
            random: RefCell::new(random),
            waiting: RefCell::default(),
            kept: RefCell::default(),
            count: Cell::new(0),
            news: Notify::new(),
        }
    }

    /// Tells starts of this server apart.
    pub(in crate::services::http) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// A name for a message that its backend has given none.
    pub(in crate::services::http) fn new_name(&self) -> String {
        format!("{:016x}", self.random.borrow_mut().u64(..))
    }

    /// Sends a message to its targets, at least one, by their homes, one for each. Gives what became of it at each, in their order, as
    /// soon as that is known at last everywhere, and after [`SendOrder::wait`] in any case.
    ///
    /// # Errors
    /// If there is no answer. What was sent may arrive all the same.
    pub(in crate::services::http) async fn send(
        &self,
        pending: &PendingRequests,
        order: &SendOrder,
        homes: (&HomesNow, &[UserHome]),
    ) -> Result<Vec<TargetResult>, NoReply> {
        if order.wait.is_zero() {
            return sends::send(pending, order, homes).await;
        }
        let news = Rc::new(Notify::new());
        let waiter = Waiter {
            came: Vec::new(),
            news: Rc::clone(&news),
        };
        self.waiting.borrow_mut().insert(order.content.id, waiter);
        // Outcomes may come before the answer that they follow.
        let waits = WaitsForOutcomes {
            messages: self,
            message: order.content.id,
        };
        let mut results = sends::send(pending, order, homes).await?;
        let all_known = async {
            while waits.merge(&mut results) == OutcomesKnown::InPart {
                news.notified().await;
            }
        };
        // Whether all is known or not: what has come is told.
        let _ = tokio::time::timeout(order.wait, all_known).await;
        waits.merge(&mut results);
        Ok(results)
    }

    /// Shards tell what became of messages.
    pub(in crate::services::http) fn take_outcomes(&self, outcomes: Vec<LateOutcome>) {
        let mut waiting = self.waiting.borrow_mut();
        let mut kept = Vec::new();
        for outcome in outcomes {
            match waiting.get_mut(&outcome.message) {
                Some(waiter) => {
                    waiter.came.push(outcome);
                    waiter.news.notify_one();
                }
                None => kept.push(outcome),
            }
        }
        drop(waiting);
        self.keep(kept);
    }

    fn keep(&self, outcomes: Vec<LateOutcome>) {
        if outcomes.is_empty() {
            return;
        }
        self.count.set(self.count.get() + outcomes.len() as u64);
        let mut kept = self.kept.borrow_mut();
        outcomes.into_iter().for_each(|outcome| kept.push(outcome));
        self.news.notify_waiters();
    }

    /// The place behind the newest outcome.
    pub(in crate::services::http) fn end(&self) -> OutcomePlace {
        OutcomePlace(self.count.get())
    }

    /// The place of the oldest outcome that is kept.
    pub(in crate::services::http) fn beginning(&self) -> OutcomePlace {
        OutcomePlace(self.count.get() - self.kept.borrow().outcomes.len() as u64)
    }

    /// Outcomes from a place on, at most so many, and the place behind them. Those that are not kept any more are passed over.
    pub(in crate::services::http) fn read(
        &self,
        from: OutcomePlace,
        most: usize,
    ) -> (Vec<LateOutcome>, OutcomePlace) {
        let first = self.beginning().0;
        let from = from.0.clamp(first, self.count.get());
        let skip = usize::try_from(from - first).expect("it is below a length");
        let kept = self.kept.borrow();
        let read: Vec<LateOutcome> = kept.outcomes.iter().skip(skip).take(most).cloned().collect();
        let next = OutcomePlace(from + read.len() as u64);
        (read, next)
    }

    /// Waits until there is an outcome behind a place.
    pub(in crate::services::http) async fn come(&self, behind: OutcomePlace) {
        loop {
            let news = self.news.notified();
            if self.count.get() > behind.0 {
                return;
            }
            news.await;
        }
    }
}

/// Somebody waits for the outcomes of a message. What comes later, and what nobody has taken, is kept for readers.
struct WaitsForOutcomes<'a> {
    messages: &'a Messages,
    message: u64,
}

impl WaitsForOutcomes<'_> {
    /// Puts what has come into the results.
    fn merge(&self, results: &mut [TargetResult]) -> OutcomesKnown {
        let mut waiting = self.messages.waiting.borrow_mut();
        let waiter = waiting.get_mut(&self.message).expect("somebody waits");
        waiter.came.retain(|late| {
            let mut devices = devices_of(results);
            let place = devices.find(|(user, device)| {
                let is_its = (*user, device.device) == (late.user, late.result.device);
                is_its && device.outcome == DeviceOutcome::Held
            });
            let Some((_, device)) = place else { return true };
            device.clone_from(&late.result);
            false
        });
        match devices_of(results).any(|(_, device)| device.outcome == DeviceOutcome::Held) {
            true => OutcomesKnown::InPart,
            false => OutcomesKnown::All,
        }
    }
}

impl Drop for WaitsForOutcomes<'_> {
    fn drop(&mut self) {
        let waiter = self.messages.waiting.borrow_mut().remove(&self.message);
        self.messages
            .keep(waiter.map(|waiter| waiter.came).unwrap_or_default());
    }
}

/// What became of a message at all devices, with their users.
fn devices_of(results: &mut [TargetResult]) -> impl Iterator<Item = (UserId, &mut DeviceResult)> {
    results.iter_mut().flat_map(|result| {
        let user = result.user;
        let devices = match &mut result.outcome {
            TargetOutcome::Reached(reached) => reached.devices.as_mut_slice(),
            TargetOutcome::Refused(_) => &mut [],
        };
        devices.iter_mut().map(move |device| (user, device))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform};

    fn outcome(message: u64, reply: usize) -> LateOutcome {
        LateOutcome {
            message,
            name: "".into(),
            user: UserId::new(b"alice").unwrap(),
            change: ChangeNumber(1),
            result: DeviceResult {
                device: DeviceId {
                    platform: Platform::Mac,
                    instance: InstanceId::MIN,
                },
                session: ChangeNumber(1),
                outcome: DeviceOutcome::Acked,
                after: Duration::ZERO,
                reply: vec![0; reply],
            },
        }
    }

    fn ids(messages: &Messages, from: u64, most: usize) -> (Vec<u64>, u64) {
        let (read, next) = messages.read(OutcomePlace(from), most);
        (read.iter().map(|outcome| outcome.message).collect(), next.0)
    }

    #[test]
    fn outcomes_are_read_from_a_place_on_as_far_as_they_are_kept() {
        let messages = Messages::new();
        assert_eq!(ids(&messages, 0, 9), (vec![], 0));
        messages.take_outcomes((0..5).map(|id| outcome(id, 0)).collect());
        assert_eq!(ids(&messages, 0, 2), (vec![0, 1], 2));
        assert_eq!(ids(&messages, 2, 9), (vec![2, 3, 4], 5));
        assert_eq!(ids(&messages, 5, 9), (vec![], 5));
        assert_eq!(ids(&messages, 99, 9), (vec![], 5), "it is behind the end");
    }

    #[test]
    fn no_more_outcomes_are_kept_than_may_be_in_number_and_in_bytes() {
        let messages = Messages::new();
        let count = OUTCOMES_KEPT_MAX as u64;
        messages.take_outcomes((0..count + 3).map(|id| outcome(id, 0)).collect());
        assert_eq!((messages.beginning().0, messages.end().0), (3, count + 3));
        assert_eq!(ids(&messages, 0, 1).0, [3], "those before are passed over");
        messages.take_outcomes((0..count).map(|id| outcome(id, 4_096)).collect());
        let kept = messages.kept.borrow();
        assert!(kept.bytes <= OUTCOME_BYTES_MAX && kept.outcomes.len() > 1_000);
        let bytes: usize = kept.outcomes.iter().map(bytes_of).sum();
        assert_eq!(kept.bytes, bytes);
    }

    #[test]
    fn a_name_has_one_id_and_another_name_another() {
        assert_eq!(id_of("order-17"), id_of("order-17"));
        assert_ne!(id_of("order-17"), id_of("order-18"));
    }
}
