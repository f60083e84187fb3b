//! How far each partition is at this shard, and what waits for it there. Knows partitions by their numbers and users by their
//! names; decides nothing of them.

use crate::base::ids::{PartitionId, UserId};
use crate::base::receipt::Receipt;
use crate::base::time::Instant;
use crate::logic::cluster::lease::Lease;
use crate::logic::settings::Settings;
use crate::logic::users::grace::Grace;

/// How far a partition is at this shard.
///
/// ```text
///  Away ──adopt──> Adopting ──open──> Open ──settle──> Settling
///    ^                │                │ ^──────open──────┘ │
///    └──────drop──────┴────────────────┴────────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartitionStage {
    /// Its users are not here.
    Away,
    /// Its users come from the records.
    Adopting,
    /// Its users can log in.
    Open,
    /// Nothing more of it is decided.
    Settling,
}

/// One partition, at this shard.
#[derive(Debug)]
pub(super) struct Partition {
    stage: PartitionStage,
    grace: Grace,
    /// Devices whose alarms rang while nothing of it was to be decided.
    rang: Vec<u32>,
    /// Asked of the registry and not answered.
    asked: usize,
    /// They are dropped when nothing of it is with the registry.
    receipts: Vec<Receipt>,
    /// The stretch of the lease in which the registry has last shown that this node is the owner.
    vouched_in: Option<u32>,
}

/// All partitions, at this shard.
#[derive(Debug)]
pub(super) struct Partitions(Vec<Partition>);

/// What is to be done when a partition opens.
#[derive(Debug)]
pub(super) struct Opened {
    /// What it was before.
    pub(super) before: PartitionStage,
    /// Devices whose alarms rang meanwhile.
    pub(super) rang: Vec<u32>,
}

impl Partition {
    pub(super) fn stage(&self) -> PartitionStage {
        self.stage
    }

    /// The restart grace of its users.
    pub(super) fn grace(&self) -> &Grace {
        &self.grace
    }

    /// See [`Grace::wait`].
    pub(super) fn pause_grace(&mut self, now: Instant) {
        self.grace.wait(now);
    }

    /// Its users come.
    pub(super) fn adopt(&mut self) {
        self.stage = PartitionStage::Adopting;
    }

    /// Its users can log in: the grace begins, unless it goes on.
    pub(super) fn open(&mut self, now: Instant, lease: Lease, settings: &Settings) -> Opened {
        let before = std::mem::replace(&mut self.stage, PartitionStage::Open);
        if before != PartitionStage::Settling {
            self.grace = Grace::begin(now, settings);
        }
        self.vouch(lease.stretch(now));
        let rang = std::mem::take(&mut self.rang);
        Opened { before, rang }
    }

    /// A device's alarm rang. Says whether that has to wait until it is open.
    pub(super) fn holds_alarm(&mut self, device: u32) -> bool {
        let held = self.is_held_back();
        if held {
            self.rang.push(device);
        }
        held
    }

    /// Whether nothing of it may be decided now.
    fn is_held_back(&self) -> bool {
        matches!(self.stage, PartitionStage::Adopting | PartitionStage::Settling)
    }

    /// The registry is asked for one of its users.
    pub(super) fn ask(&mut self) {
        self.asked += 1;
    }

    /// The registry has answered for one of its users.
    pub(super) fn answered(&mut self) {
        self.asked -= 1;
        self.settled();
    }

    /// From now on nothing of it is decided.
    pub(super) fn settle(&mut self, receipt: Receipt) {
        if self.stage == PartitionStage::Open {
            self.stage = PartitionStage::Settling;
        }
        self.receipts.push(receipt);
        self.settled();
    }

    fn settled(&mut self) {
        if self.asked == 0 {
            self.receipts.clear();
        }
    }

    /// This node was the owner in this stretch of the lease.
    pub(super) fn vouch(&mut self, stretch: Option<u32>) {
        self.vouched_in = stretch.or(self.vouched_in);
    }

    /// Another node may be the owner.
    pub(super) fn vouch_no_more(&mut self) {
        self.vouched_in = None;
    }

    /// Whether an answer from memory that was made before `now` may leave.
    pub(super) fn passes(&self, now: Instant, lease: Lease) -> bool {
        let stretch = lease.stretch(now);
        stretch.is_some() && stretch == self.vouched_in
    }

    /// Its users are not here any more. What was asked for them may still be with the registry.
    pub(super) fn go_away(&mut self, receipt: Receipt) {
        self.stage = PartitionStage::Away;
        self.vouch_no_more();
        self.rang.clear();
        self.receipts.push(receipt);
        self.settled();
    }
}

impl Partitions {
    /// None of them is here.
    pub(super) fn new(count: u16) -> Self {
        let partition = || Partition {
            stage: PartitionStage::Away,
            grace: Grace::default(),
            rang: Vec::new(),
            asked: 0,
            receipts: Vec::new(),
            vouched_in: None,
        };
        Self((0..count).map(|_| partition()).collect())
    }

    /// Which one a user is in. Where there is one, it costs nothing to know.
    pub(super) fn id_of(&self, user: &UserId) -> PartitionId {
        match u16::try_from(self.0.len()).expect("partitions are counted in a u16") {
            1 => PartitionId::SOLE,
            count => user.partition(count),
        }
    }

    pub(super) fn get(&self, partition: PartitionId) -> &Partition {
        &self.0[usize::from(partition.0)]
    }

    pub(super) fn get_mut(&mut self, partition: PartitionId) -> &mut Partition {
        &mut self.0[usize::from(partition.0)]
    }

    /// That of a user.
    pub(super) fn of(&self, user: &UserId) -> &Partition {
        self.get(self.id_of(user))
    }

    /// That of a user.
    pub(super) fn of_mut(&mut self, user: &UserId) -> &mut Partition {
        self.get_mut(self.id_of(user))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Partition> {
        self.0.iter_mut()
    }

    /// Whether there is one of which something may be decided.
    pub(super) fn any_decides(&self) -> bool {
        self.0.iter().any(|partition| !partition.is_held_back())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn receipts_are_dropped_when_nothing_is_with_the_registry() {
        let mut partitions = Partitions::new(1);
        let partition = partitions.get_mut(PartitionId::SOLE);
        partition.open(Instant(0), Lease::Forever, &Settings::default());
        (0..2).for_each(|_| partition.ask());
        let (receipt, receipts) = Receipt::new();
        partition.settle(receipt.clone());
        partition.settle(receipt);
        partition.answered();
        assert!(!receipts.are_in());
        partition.answered();
        assert!(receipts.are_in());
        let (receipt, receipts) = Receipt::new();
        partition.settle(receipt);
        assert!(receipts.are_in(), "nothing is there");
        let (receipt, receipts) = Receipt::new();
        partition.ask();
        partition.go_away(receipt);
        partition.adopt();
        assert!(
            !receipts.are_in(),
            "something of its users is there, who have gone"
        );
        partition.answered();
        assert!(receipts.are_in());
    }

    #[test]
    fn an_answer_from_memory_leaves_in_a_stretch_that_was_vouched_for() {
        let mut partitions = Partitions::new(1);
        let partition = partitions.get_mut(PartitionId::SOLE);
        let length = Duration::from_secs(6);
        let first = Lease::Never.renewed(Instant(0), Instant(0), length);
        assert!(!partition.passes(Instant(1), first));
        partition.vouch(first.stretch(Instant(1)));
        assert!(partition.passes(Instant(5_999), first));
        assert!(!partition.passes(Instant(6_000), first), "it has lapsed");
        let second = first.renewed(Instant(7_000), Instant(7_000), length);
        assert!(!partition.passes(Instant(7_001), second), "of another stretch");
        partition.vouch(first.stretch(Instant(6_500)));
        assert!(
            partition.passes(Instant(5_999), first),
            "what was asked for in a lapse vouches for nothing"
        );
        partition.vouch(second.stretch(Instant(7_001)));
        assert!(partition.passes(Instant(7_001), second));
        partition.go_away(Receipt::none());
        assert!(!partition.passes(Instant(7_001), second));
    }
}
