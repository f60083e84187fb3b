//! How many partitions each node is to have, and who is the best for one. Every node reckons the same from the same view: nobody leads.

use std::collections::BTreeMap;

use crate::base::ids::{NodeId, PartitionId};
use crate::services::cluster::settings::SHARE_SLACK_PERCENT;
use crate::services::cluster::token::Owner;

/// A node as the reckoning takes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RosterEntry {
    pub(super) owner: Owner,
    pub(super) weight: u32,
    /// How many partitions are its, or are about to be.
    pub(super) owned: u64,
    /// Whether it can take more: it is up, and its beat moves.
    pub(super) takes: Takes,
}

/// Whether a node can be given partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// It can.
    More,
    /// It cannot at the moment, but keeps what it has.
    Nothing,
}

/// All nodes that have a share.
#[derive(Debug)]
pub(super) struct Roster {
    partitions: u16,
    entries: BTreeMap<NodeId, RosterEntry>,
}

impl Roster {
    pub(super) fn new(partitions: u16, entries: BTreeMap<NodeId, RosterEntry>) -> Self {
        Self { partitions, entries }
    }

    /// The most partitions that a node is to have; 0 if it has no share. All together can have all.
    pub(super) fn share_max(&self, node: NodeId) -> u64 {
        let weights: u64 = self.entries.values().map(|entry| u64::from(entry.weight)).sum();
        self.entries.get(&node).map_or(0, |entry| {
            let slack = 100 + SHARE_SLACK_PERCENT;
            (u64::from(self.partitions) * u64::from(entry.weight) * slack).div_ceil(weights * 100)
        })
    }

    /// By how many a node has more than it is to have.
    pub(super) fn surplus(&self, node: NodeId) -> u64 {
        let owned = self.entries.get(&node).map_or(0, |entry| entry.owned);
        owned.saturating_sub(self.share_max(node))
    }

    pub(super) fn count(&mut self, node: NodeId) {
        if let Some(entry) = self.entries.get_mut(&node) {
            entry.owned += 1;
        }
    }

    fn has_room(&self, node: NodeId) -> bool {
        self.entries
            .get(&node)
            .is_some_and(|entry| entry.takes == Takes::More && entry.owned < self.share_max(node))
    }

    /// How many nodes with room are better for a partition than this one; `None` if this one has no room.
    pub(super) fn rank(&self, partition: PartitionId, node: NodeId) -> Option<u32> {
        let own = nearness(partition, node);
        let better = |other: &&NodeId| nearness(partition, **other) > own && self.has_room(**other);
        self.has_room(node).then(|| {
            let count = self.entries.keys().filter(better).count();
            u32::try_from(count).expect("a node's name has 16 bits")
        })
    }

    /// Who is to have a partition that `from` gives away: the nearest with room, else the one that has the least for its weight.
    pub(super) fn heir(&self, partition: PartitionId, from: NodeId) -> Option<Owner> {
        let others = || {
            self.entries
                .iter()
                .filter(|(node, entry)| **node != from && entry.takes == Takes::More)
        };
        let with_room = others().filter(|(node, _)| self.has_room(**node));
        let nearest = with_room.max_by_key(|(node, _)| nearness(partition, **node));
        let emptiest =
            || others().min_by_key(|(_, entry)| entry.owned * 1_000 / u64::from(entry.weight.max(1)));
        nearest.or_else(emptiest).map(|(_, entry)| entry.owner)
    }

    /// Whether there is another node that takes partitions, with room or without.
    pub(super) fn others_take(&self, than: NodeId) -> bool {
        let mut others = self.entries.iter().filter(|(node, _)| **node != than);
        others.any(|(_, entry)| entry.takes == Takes::More)
    }

    /// Whether another node has room.
    pub(super) fn others_have_room(&self, than: NodeId) -> bool {
        self.entries
            .keys()
            .any(|node| *node != than && self.has_room(*node))
    }
}

/// The higher, the nearer. Nothing stored depends on it, but all nodes must agree: those of two versions would only race.
pub(super) fn nearness(partition: PartitionId, node: NodeId) -> u64 {
    // splitmix64, after Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
    let mut mixed = (u64::from(partition.0) << 32) | u64::from(node.0);
    mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::cluster::token::Incarnation;

    fn roster(partitions: u16, nodes: &[(u32, u64, Takes)]) -> Roster {
        let entries = (1..)
            .map(NodeId)
            .zip(nodes)
            .map(|(node, (weight, owned, takes))| {
                let owner = Owner {
                    node,
                    incarnation: Incarnation(1),
                };
                let entry = RosterEntry {
                    owner,
                    weight: *weight,
                    owned: *owned,
                    takes: *takes,
                };
                (node, entry)
            });
        Roster::new(partitions, entries.collect())
    }

    #[test]
    fn shares_go_by_weight_and_can_hold_all() {
        let more = |weight| (weight, 0, Takes::More);
        let check = |partitions, weights: &[u32], expected: &[u64]| {
            let nodes: Vec<_> = weights.iter().copied().map(more).collect();
            let roster = roster(partitions, &nodes);
            let shares: Vec<u64> = (1..)
                .take(weights.len())
                .map(|node| roster.share_max(NodeId(node)))
                .collect();
            assert_eq!(shares, expected);
            assert!(shares.iter().sum::<u64>() >= u64::from(partitions));
        };
        check(256, &[1], &[269]);
        check(256, &[1, 1, 1], &[90, 90, 90]);
        check(256, &[1, 3], &[68, 202]);
        check(16, &[1, 1, 1], &[6, 6, 6]);
    }

    #[test]
    fn partitions_are_spread_over_nodes_with_room() {
        let roster = roster(
            256,
            &[
                (1, 0, Takes::More),
                (1, 68, Takes::More),
                (1, 0, Takes::Nothing),
                (1, 0, Takes::More),
            ],
        );
        let ranks = |node| (0..256).map(PartitionId).map(move |p| (p, node));
        let first: Vec<usize> = (1..=4)
            .map(|node| {
                ranks(node)
                    .filter(|(p, node)| roster.rank(*p, NodeId(*node)) == Some(0))
                    .count()
            })
            .collect();
        assert_eq!(first.iter().sum::<usize>(), 256);
        assert_eq!((first[1], first[2]), (0, 0));
        assert!((100..156).contains(&first[0]), "{first:?}");
    }

    #[test]
    fn the_heir_is_the_nearest_with_room_or_the_one_with_the_least() {
        let full = roster(
            2,
            &[
                (1, 2, Takes::More),
                (1, 3, Takes::More),
                (2, 5, Takes::More),
                (1, 0, Takes::Nothing),
            ],
        );
        let heir = |roster: &Roster, from| roster.heir(PartitionId(0), NodeId(from)).map(|owner| owner.node);
        assert_eq!(heir(&full, 1), Some(NodeId(3)));
        assert!(!full.others_have_room(NodeId(1)));
        let alone = roster(2, &[(1, 2, Takes::More)]);
        assert_eq!(heir(&alone, 1), None);
    }
}
