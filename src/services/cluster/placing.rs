//! Which partitions this node takes and which it gives away. Without a leader: each node reckons for itself, and the store decides races.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::base::ids::PartitionId;
use crate::base::time::Instant;
use crate::services::cluster::act::{MemberAct, PartitionRequest};
use crate::services::cluster::membership::{Departure, Duty, Membership};
use crate::services::cluster::roster::{Roster, RosterEntry, Takes, nearness};
use crate::services::cluster::settings::{ADOPTIONS_MAX, NEWCOMER, PRECEDENCE, RESERVED};
use crate::services::cluster::tenure::{AfterSettling, Tenure};
use crate::services::cluster::token::{Owner, Token};
use crate::services::shared_store::calls::NodeState;

/// Whose a partition is, for one who would take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vacancy {
    /// It has a living owner.
    Taken,
    /// It is this node's own: handed over to it, or held in an earlier life.
    Own,
    /// It waits for the next life of that node.
    Reserved,
    /// It is anybody's.
    Free,
}

impl Membership {
    /// Takes, gives and leaves, as the duty has it.
    pub(super) fn place(&mut self, now: Instant, acts: &mut Vec<MemberAct>) {
        let Some((owner, duty, joined)) = self
            .member()
            .map(|member| (member.owner, member.duty, member.joined))
        else {
            return;
        };
        if duty == Duty::Stopping {
            self.settle_all(acts);
            if self.holdings.is_empty() {
                self.depart(owner, Departure::Stopped, acts);
            }
            return;
        }
        if !self.is_informed(now) {
            return;
        }
        let roster = self.roster(now);
        match duty {
            Duty::Serving => {
                self.claim(now, (owner, joined), roster, acts);
                self.shed(now, acts);
            }
            Duty::Isolated | Duty::Draining | Duty::Stopping => {
                self.claim_own(owner, acts);
                // Who leaves leaves even to nobody.
                if duty == Duty::Draining || roster.others_take(owner.node) {
                    self.give_all(acts);
                }
            }
        }
        let is_empty = self.holdings.is_empty()
            && !self
                .all_partitions()
                .any(|p| self.vacancy(p, owner) == Vacancy::Own);
        if duty == Duty::Draining && is_empty {
            self.depart(owner, Departure::Drained, acts);
        }
    }

    fn all_partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.settings.partitions).map(PartitionId)
    }

    /// Who has a share, and how many partitions each has.
    fn roster(&self, now: Instant) -> Roster {
        let mut entries = BTreeMap::new();
        for (node, row) in &self.nodes {
            if !matches!(row.state, NodeState::Up | NodeState::Restarting) {
                continue;
            }
            let is_own = *node == self.settings.node;
            let moves = is_own || self.watch.silence(now, *node) < self.settings.lease;
            entries.insert(
                *node,
                RosterEntry {
                    owner: Owner {
                        node: *node,
                        incarnation: row.incarnation,
                    },
                    weight: row.weight.max(1),
                    owned: 0,
                    takes: if row.state == NodeState::Up && moves {
                        Takes::More
                    } else {
                        Takes::Nothing
                    },
                },
            );
        }
        let mut roster = Roster::new(self.settings.partitions, entries);
        for (partition, token) in self.map.all() {
            let owner = match self.holdings.get(partition).map(|holding| holding.tenure) {
                Some(Tenure::Releasing { to }) => to.owner.map(|owner| owner.node),
                Some(_) => Some(self.settings.node),
                None => token.owner.map(|owner| owner.node),
            };
            if let Some(owner) = owner {
                roster.count(owner);
            }
        }
        roster
    }

    fn vacancy(&self, partition: PartitionId, me: Owner) -> Vacancy {
        let held = self.holdings.get(partition).is_some();
        let Some(owner) = self.map.token(partition).owner else {
            return if held { Vacancy::Taken } else { Vacancy::Free };
        };
        let row = self.nodes.get(&owner.node);
        let life = row.map(|row| owner.incarnation.cmp(&row.incarnation));
        match (row, life) {
            _ if held => Vacancy::Taken,
            _ if owner.node == me.node => Vacancy::Own,
            // A life that this table does not know yet: it is behind what a peer has told.
            (None, _) | (_, Some(Ordering::Greater)) => Vacancy::Taken,
            (Some(row), _) if row.state.is_gone() => Vacancy::Free,
            (_, Some(Ordering::Less)) => Vacancy::Reserved,
            (_, Some(Ordering::Equal) | None) => Vacancy::Taken,
        }
    }

    fn claim(
        &mut self,
        now: Instant,
        (me, joined): (Owner, Instant),
        mut roster: Roster,
        acts: &mut Vec<MemberAct>,
    ) {
        self.claim_own(me, acts);
        for partition in self.all_partitions() {
            let patience = match self.vacancy(partition, me) {
                Vacancy::Taken | Vacancy::Own => {
                    self.vacant_since.remove(&partition);
                    continue;
                }
                Vacancy::Reserved => RESERVED,
                Vacancy::Free => NEWCOMER.saturating_sub(now.since(joined)),
            };
            let since = *self.vacant_since.entry(partition).or_insert(now);
            let Some(rank) = roster.rank(partition, me.node) else {
                continue;
            };
            if now.since(since) >= patience + PRECEDENCE * rank && self.adoptions() < ADOPTIONS_MAX {
                self.begin_claim(partition, me, acts);
                roster.count(me.node);
            }
        }
    }

    fn claim_own(&mut self, me: Owner, acts: &mut Vec<MemberAct>) {
        for partition in self.all_partitions() {
            if self.adoptions() < ADOPTIONS_MAX && self.vacancy(partition, me) == Vacancy::Own {
                self.begin_claim(partition, me, acts);
            }
        }
    }

    fn adoptions(&self) -> usize {
        self.holdings.count(Tenure::is_adoption)
    }

    fn begin_claim(&mut self, partition: PartitionId, me: Owner, acts: &mut Vec<MemberAct>) {
        let token: Token = self.map.before_next(partition).passed_to(Some(me));
        let expected = self.map.token(partition);
        self.vacant_since.remove(&partition);
        self.begin(partition, token, Tenure::Claiming { expected }, acts);
    }

    /// Gives away what is above this node's share, as long as another has room.
    fn shed(&mut self, now: Instant, acts: &mut Vec<MemberAct>) {
        let roster = self.roster(now);
        let own = self.settings.node;
        let under_way = self.holdings.count(Tenure::is_release);
        let surplus = usize::try_from(roster.surplus(own)).expect("there are 65,536 partitions at most");
        if surplus == 0 || !roster.others_have_room(own) {
            return;
        }
        let room = surplus.min(ADOPTIONS_MAX).saturating_sub(under_way);
        let mut open = self.holdings.with(|tenure| tenure == Tenure::Open);
        open.sort_by_key(|partition| nearness(*partition, own));
        for partition in open.into_iter().take(room) {
            self.settle(partition, AfterSettling::Release, acts);
        }
    }

    /// Gives everything away, so many at a time.
    fn give_all(&mut self, acts: &mut Vec<MemberAct>) {
        let room = ADOPTIONS_MAX.saturating_sub(self.holdings.count(Tenure::is_release));
        let open = self
            .holdings
            .with(|tenure| matches!(tenure, Tenure::Open | Tenure::Behind { .. }));
        let behind = self.behind();
        for partition in open.into_iter().take(room) {
            // What is in flight of it would never be recorded.
            if behind.contains(&partition) {
                acts.push(MemberAct::Drop(partition));
            }
            self.settle(partition, AfterSettling::Release, acts);
        }
    }

    /// Nothing is decided any more. What is on its way in stays with the store, for this node's next life.
    fn settle_all(&mut self, acts: &mut Vec<MemberAct>) {
        for partition in self.holdings.with(|tenure| tenure == Tenure::Open) {
            self.settle(partition, AfterSettling::Keep, acts);
        }
        for partition in self
            .holdings
            .with(|tenure| tenure.is_adoption() || matches!(tenure, Tenure::Behind { .. }))
        {
            self.holdings.remove(partition);
            acts.push(MemberAct::Drop(partition));
        }
    }

    /// Who is to have a partition that is settled.
    pub(super) fn heir(&self, now: Instant, partition: PartitionId) -> Option<Owner> {
        self.roster(now).heir(partition, self.settings.node)
    }

    fn settle(&mut self, partition: PartitionId, then: AfterSettling, acts: &mut Vec<MemberAct>) {
        let Some(holding) = self.holdings.get(partition) else {
            return;
        };
        self.holdings
            .set(partition, holding.token, Tenure::Settling { then });
        acts.push(MemberAct::Ask {
            partition,
            token: holding.token,
            request: PartitionRequest::Settle,
        });
    }
}
