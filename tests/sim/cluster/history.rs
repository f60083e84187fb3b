//! What the world has seen, and the rules that it checks it by. The second telling of what members promise: written from the rules, not
//! from the machine.

use std::collections::BTreeMap;

use super::shared_store::{Change, Ms};
use crate::base::ids::PartitionId;
use crate::services::cluster::token::Token;

/// All confirmed changes, and the first fault.
#[derive(Debug, Default)]
pub(super) struct History {
    confirmed: BTreeMap<(PartitionId, u64), (Change, Token)>,
    last: BTreeMap<PartitionId, u64>,
    pub(super) fault: Option<String>,
    pub(super) counts: Counts,
}

/// That things have happened at all.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) confirmed: u64,
    pub(super) kept: u64,
    pub(super) answers: u64,
    pub(super) held: u64,
    pub(super) refused: u64,
    pub(super) given_up: u64,
    pub(super) burials: u64,
    pub(super) opened: u64,
    pub(super) fenced: u64,
    pub(super) resumed: u64,
    pub(super) sent_away: u64,
    pub(super) failovers: u64,
    pub(super) redirects: u64,
    pub(super) alarms: u64,
    pub(super) isolated: u64,
    pub(super) name_taken: u64,
    pub(super) drained: u64,
    pub(super) stopped: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.confirmed, other.confirmed),
            (&mut self.kept, other.kept),
            (&mut self.answers, other.answers),
            (&mut self.held, other.held),
            (&mut self.refused, other.refused),
            (&mut self.given_up, other.given_up),
            (&mut self.burials, other.burials),
            (&mut self.opened, other.opened),
            (&mut self.fenced, other.fenced),
            (&mut self.resumed, other.resumed),
            (&mut self.sent_away, other.sent_away),
            (&mut self.failovers, other.failovers),
            (&mut self.redirects, other.redirects),
            (&mut self.alarms, other.alarms),
            (&mut self.isolated, other.isolated),
            (&mut self.name_taken, other.name_taken),
            (&mut self.drained, other.drained),
            (&mut self.stopped, other.stopped),
        ];
        for (sum, more) in pairs {
            *sum += more;
        }
    }
}

impl History {
    pub(super) fn fail(&mut self, now: Ms, fault: &str) {
        self.fault.get_or_insert_with(|| format!("at {now} ms: {fault}"));
    }

    /// The last confirmed position of a partition.
    pub(super) fn position(&self, partition: PartitionId) -> u64 {
        self.last.get(&partition).copied().unwrap_or(0)
    }

    /// An owner counts a commit.
    pub(super) fn confirm(
        &mut self,
        now: Ms,
        partition: PartitionId,
        position: u64,
        change: Change,
        token: Token,
    ) {
        self.counts.confirmed += 1;
        if let Some(before) = self.confirmed.insert((partition, position), (change, token))
            && before != (change, token)
        {
            let fault = format!(
                "{partition:?} has two changes at {position}: {before:?} and {:?}",
                (change, token)
            );
            self.fail(now, &fault);
        }
        let last = self.last.entry(partition).or_default();
        *last = position.max(*last);
    }

    /// An answer from memory has left.
    pub(super) fn answered(&mut self, now: Ms, partition: PartitionId, position: u64, floor: u64) {
        self.counts.answers += 1;
        if position < floor {
            let fault = format!(
                "an old answer: {partition:?} at {position}, and {floor} was confirmed before it was asked"
            );
            self.fail(now, &fault);
        }
    }

    /// What was confirmed is in the shared store for ever.
    pub(super) fn check_chain(&mut self, now: Ms, partition: PartitionId, chain: &[Change]) {
        let confirmed = self.confirmed.range((partition, 0)..=(partition, u64::MAX));
        let missing = (1..).zip(chain).collect::<BTreeMap<u64, &Change>>();
        let lost = confirmed
            .filter(|((_, position), (change, _))| missing.get(position) != Some(&change))
            .map(|((_, position), _)| *position)
            .next();
        if let Some(position) = lost {
            self.fail(
                now,
                &format!("{partition:?} lacks what was confirmed at {position}"),
            );
        }
    }
}
