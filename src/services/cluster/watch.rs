//! Whose beat stands still, by this node's clock. What was seen counts only as long as this node's own beats succeed: after a gap of
//! its own all silence begins anew, so that a shared store that was away buries nobody. Compares no clocks of two nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::ids::NodeId;
use crate::base::time::Instant;
use crate::services::cluster::table::{NodeRow, RowVersion};

/// What one node sees of the others.
#[derive(Debug)]
pub(super) struct Watch {
    gap_max: Duration,
    seen: BTreeMap<NodeId, SeenRow>,
    /// When the last request that succeeded was sent.
    contact: Option<Instant>,
}

#[derive(Debug)]
struct SeenRow {
    version: RowVersion,
    still_since: Instant,
    /// When its burial was last asked for.
    asked_at: Option<Instant>,
}

impl Watch {
    pub(super) fn new(gap_max: Duration) -> Self {
        Self {
            gap_max,
            seen: BTreeMap::new(),
            contact: None,
        }
    }

    /// A request that was sent at `sent` has brought the rows, as is known at `now`.
    pub(super) fn answered(&mut self, sent: Instant, now: Instant, nodes: &BTreeMap<NodeId, NodeRow>) {
        let unbroken = self.is_in_contact(now);
        self.contact = Some(sent);
        self.seen.retain(|node, _| nodes.contains_key(node));
        for (node, row) in nodes {
            let version = row.version(*node);
            let fresh = SeenRow {
                version,
                still_since: now,
                asked_at: None,
            };
            let seen = self.seen.entry(*node).or_insert_with(|| SeenRow { ..fresh });
            if seen.version != version || !unbroken {
                *seen = SeenRow {
                    version,
                    still_since: now,
                    asked_at: None,
                };
            }
        }
    }

    /// Whether this node's own requests succeed.
    pub(super) fn is_in_contact(&self, now: Instant) -> bool {
        self.contact.is_some_and(|sent| now.since(sent) <= self.gap_max)
    }

    /// For how long a node's row has stood still before this node's eyes; zero while nothing can be said.
    pub(super) fn silence(&self, now: Instant, node: NodeId) -> Duration {
        match self.seen.get(&node) {
            Some(seen) if self.is_in_contact(now) => now.since(seen.still_since),
            _ => Duration::ZERO,
        }
    }

    /// The row of a node whose burial is to be asked for now, if it was silent for `dead` and was not asked for within `again`.
    pub(super) fn overdue(
        &mut self,
        now: Instant,
        node: NodeId,
        dead: Duration,
        again: Duration,
    ) -> Option<RowVersion> {
        if self.silence(now, node) < dead {
            return None;
        }
        let seen = self.seen.get_mut(&node)?;
        if seen.asked_at.is_some_and(|asked| now.since(asked) < again) {
            return None;
        }
        seen.asked_at = Some(now);
        Some(seen.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::cluster::token::{Incarnation, Site};
    use crate::services::shared_store::calls::NodeState;

    const DEAD: Duration = Duration::from_secs(9);
    const GAP: Duration = Duration::from_secs(3);

    fn rows(beat: u64) -> BTreeMap<NodeId, NodeRow> {
        let row = NodeRow {
            incarnation: Incarnation(1),
            beat,
            state: NodeState::Up,
            site: Site(1),
            weight: 1,
            unreachable: Vec::new(),
        };
        BTreeMap::from([(NodeId(1), row)])
    }

    /// The moments, in seconds, of answers that each took 100 ms, with the beat they showed; gives whether it is overdue at `at_ms`.
    fn check(answers: &[(u64, u64)], at_ms: u64, expected: Option<u64>) {
        let mut watch = Watch::new(GAP);
        for (second, beat) in answers {
            let sent = Instant(second * 1_000);
            watch.answered(sent, Instant(sent.0 + 100), &rows(*beat));
        }
        let overdue = watch.overdue(Instant(at_ms), NodeId(1), DEAD, DEAD);
        assert_eq!(overdue.map(|row| row.beat), expected, "{answers:?}");
    }

    #[test]
    fn a_beat_is_overdue_9_s_after_it_was_first_seen() {
        let answers: Vec<(u64, u64)> = (0..=9).map(|second| (second, second.min(1))).collect();
        check(&answers, 10_099, None);
        check(&answers, 10_100, Some(1));
    }

    #[test]
    fn after_a_gap_of_ones_own_all_silence_begins_anew() {
        check(&[(0, 1), (4, 1), (6, 1), (8, 1), (10, 1)], 12_900, None);
        check(
            &[(0, 1), (4, 1), (6, 1), (8, 1), (10, 1), (12, 1)],
            13_100,
            Some(1),
        );
        // In the gap nothing is known.
        check(&[(0, 1), (2, 1), (4, 1), (6, 1)], 10_000, None);
    }

    #[test]
    fn a_burial_is_asked_for_once_in_a_while() {
        let mut watch = Watch::new(GAP);
        for second in 0..=10 {
            watch.answered(Instant(second * 1_000), Instant(second * 1_000), &rows(1));
        }
        let mut overdue = |at| watch.overdue(Instant(at), NodeId(1), DEAD, GAP).is_some();
        assert_eq!(
            [10_000, 10_100, 12_900, 13_000].map(&mut overdue),
            [true, false, false, true]
        );
    }
}
