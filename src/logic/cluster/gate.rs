//! The gate of a partition: what was gathered from memory leaves at once while the lease holds, and else after an empty commit has
//! shown that this node was still the owner. Knows neither answers nor the store.
//!
//! ```text
//!             leave, lease holds ──> out
//!             leave, lapsed ──> waiting ──vouch──> vouching ──vouched──> out
//!                                                         └──failed───> refused
//! ```

use crate::base::time::Instant;
use crate::logic::cluster::lease::Lease;

/// What becomes of something gathered.
#[derive(Debug, PartialEq, Eq)]
pub enum Passage<T> {
    /// It leaves.
    Leaves(T),
    /// It waits, and somebody has to ask for an empty commit now.
    Vouch,
    /// It waits for an empty commit that is still to be asked for.
    Waits,
}

/// What an empty commit has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouch {
    /// This node was the owner when it was asked for.
    Given,
    /// Nothing: it was refused, or has failed.
    Refused,
}

/// What an empty commit that has ended leaves behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended<T> {
    /// What waited for it: leaves if it was given, and is unavailable if not.
    pub answers: Vec<T>,
    /// Whether others wait already, for whom another one has to be asked for now.
    pub next: NextVouch,
}

/// Whether another empty commit is to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextVouch {
    /// Nobody waits.
    Nobody,
    /// Somebody does.
    Ask,
}

/// The gate of one partition that this node owns.
#[derive(Debug)]
pub struct Gate<T> {
    /// The stretch of the lease in which an empty commit, or the claim, has vouched for the ownership.
    vouched_in: Option<u32>,
    waiting: Vec<T>,
    vouching: Option<Vouching<T>>,
}

/// An empty commit that was asked for.
#[derive(Debug)]
struct Vouching<T> {
    stretch: Option<u32>,
    answers: Vec<T>,
}

impl<T> Gate<T> {
    /// The gate of a partition that the store has just vouched for.
    #[must_use]
    pub fn new(now: Instant, lease: Lease) -> Self {
        Self {
            vouched_in: lease.stretch(now),
            waiting: Vec::new(),
            vouching: None,
        }
    }

    /// `answer` was gathered before the clock said `after`.
    pub fn leave(&mut self, after: Instant, lease: Lease, answer: T) -> Passage<T> {
        if self.passes(after, lease) {
            return Passage::Leaves(answer);
        }
        self.waiting.push(answer);
        if self.vouching.is_some() {
            return Passage::Waits;
        }
        self.ask(after, lease);
        Passage::Vouch
    }

    /// Whether what was gathered before `after` leaves without an empty commit.
    #[must_use]
    pub fn passes(&self, after: Instant, lease: Lease) -> bool {
        lease.holds(after) && lease.stretch(after) == self.vouched_in
    }

    fn ask(&mut self, now: Instant, lease: Lease) {
        self.vouching = Some(Vouching {
            stretch: lease.stretch(now),
            answers: std::mem::take(&mut self.waiting),
        });
    }

    /// The empty commit that was asked for has ended. What was gathered after it was asked for waits for the next one.
    pub fn vouched(&mut self, now: Instant, lease: Lease, vouch: Vouch) -> Ended<T> {
        let ended = self.vouching.take();
        let (stretch, answers) = ended.map_or((None, Vec::new()), |ended| (ended.stretch, ended.answers));
        if vouch == Vouch::Given && stretch.is_some() {
            self.vouched_in = stretch;
        }
        let next = if self.waiting.is_empty() {
            NextVouch::Nobody
        } else {
            self.ask(now, lease);
            NextVouch::Ask
        };
        Ended { answers, next }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lease(sent: u64) -> Lease {
        Lease::Never.renewed(Instant(sent), Instant(sent), Duration::from_secs(6))
    }

    #[test]
    fn while_the_lease_holds_everything_leaves_at_once() {
        let lease = lease(0);
        let mut gate = Gate::new(Instant(0), lease);
        assert_eq!(gate.leave(Instant(5_999), lease, 'a'), Passage::Leaves('a'));
        assert_eq!(
            Gate::new(Instant(0), Lease::Forever).leave(Instant(9), Lease::Forever, 'a'),
            Passage::Leaves('a')
        );
    }

    #[test]
    fn after_a_lapse_all_that_wait_share_an_empty_commit_that_was_asked_for_after_they_were_gathered() {
        let lease = lease(0);
        let mut gate = Gate::new(Instant(0), lease);
        assert_eq!(gate.leave(Instant(6_000), lease, 'a'), Passage::Vouch);
        assert_eq!(gate.leave(Instant(6_001), lease, 'b'), Passage::Waits);
        assert_eq!(gate.leave(Instant(6_002), lease, 'c'), Passage::Waits);
        let first = gate.vouched(Instant(6_003), lease, Vouch::Given);
        assert_eq!((first.answers, first.next), (vec!['a'], NextVouch::Ask));
        let second = gate.vouched(Instant(6_004), lease, Vouch::Refused);
        assert_eq!((second.answers, second.next), (vec!['b', 'c'], NextVouch::Nobody));
    }

    #[test]
    fn a_lease_that_is_back_counts_once_an_empty_commit_was_asked_for_in_it() {
        let old = lease(0);
        let mut gate = Gate::new(Instant(0), old);
        assert_eq!(gate.leave(Instant(7_000), old, 'a'), Passage::Vouch);
        let back = old.renewed(Instant(7_000), Instant(7_010), Duration::from_secs(6));
        // It was asked for while there was no lease.
        gate.vouched(Instant(7_020), back, Vouch::Given);
        assert_eq!(gate.leave(Instant(7_030), back, 'b'), Passage::Vouch);
        gate.vouched(Instant(7_040), back, Vouch::Given);
        assert_eq!(gate.leave(Instant(7_050), back, 'c'), Passage::Leaves('c'));
    }
}
