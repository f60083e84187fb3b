//! The beat and what follows from it: the lease, the burial of the silent, and what a node does that has lost the shared store or the others.
//! Never looks at a partition.

use crate::base::ids::NodeId;
use crate::base::time::Instant;
use crate::services::cluster::act::{Alarm, MemberAct};
use crate::services::cluster::event::{BeatAnswer, Contact};
use crate::services::cluster::membership::{Duty, Flight, Membership, Standing};
use crate::services::cluster::peers::OutageVerdict;
use crate::services::cluster::settings::{BEAT, ISOLATED_AFTER, RETRY, VERDICT};
use crate::services::cluster::table::NodeTable;
use crate::services::cluster::token::Owner;
use crate::services::shared_store::calls::NodeState;

impl Membership {
    /// Beats if that is due. There is one beat on the way at a time.
    pub(super) fn beat(&mut self, now: Instant, acts: &mut Vec<MemberAct>) {
        let unreachable = self.unreachable(now);
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        if let Flight::Due(at) = member.beat.flight
            && at <= now
        {
            member.beat.number += 1;
            member.beat.flight = Flight::Sent(now);
            acts.push(MemberAct::Beat {
                owner: member.owner,
                number: member.beat.number,
                state: member.duty.state(),
                unreachable,
            });
        }
    }

    pub(super) fn beaten(
        &mut self,
        now: Instant,
        (owner, number): (Owner, u64),
        answer: BeatAnswer,
        acts: &mut Vec<MemberAct>,
    ) {
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        let Flight::Sent(sent) = member.beat.flight else {
            return;
        };
        if (member.owner, member.beat.number) != (owner, number) {
            return;
        }
        match answer {
            BeatAnswer::Counted(table) => {
                member.beat.flight = Flight::Due(sent.after(BEAT));
                member.contact = sent;
                member.lease = member.lease.renewed(sent, now, self.settings.lease);
                acts.push(MemberAct::Lease(member.lease));
                self.counted(sent, now, table, acts);
            }
            BeatAnswer::Dead => self.begin_anew(now, acts),
            BeatAnswer::Stranger => {
                member.beat.flight = Flight::Due(now.after(BEAT));
                acts.push(MemberAct::Alarm(Alarm::StoreForgot));
            }
            BeatAnswer::Failed => member.beat.flight = Flight::Due(now.after(RETRY)),
        }
    }

    /// A beat counts, and has brought the table.
    fn counted(&mut self, sent: Instant, now: Instant, table: NodeTable, acts: &mut Vec<MemberAct>) {
        // Whoever knows better than the shared store's map tells it: who did first may be dead.
        let known = self.map.all().zip(&table.hints);
        let behind = known.filter(|((_, token), hint)| hint.epoch < token.epoch);
        acts.extend(behind.map(|((partition, token), _)| MemberAct::Publish { partition, token }));
        self.learn(sent, now, table);
        self.consider_isolation(now);
        self.place(now, acts);
    }

    /// Asks for the burial of whoever is silent for too long.
    pub(super) fn bury(&mut self, now: Instant, acts: &mut Vec<MemberAct>) {
        for (node, row) in &self.nodes {
            if *node == self.settings.node {
                continue;
            }
            let Some(silence_max) = row.state.silence_max(self.settings.dead) else {
                continue;
            };
            if let Some(row) = self.watch.overdue(now, *node, silence_max, BEAT) {
                acts.push(MemberAct::Bury(row));
            }
        }
    }

    /// The others that beat, as far as is known.
    fn others(&self) -> impl Iterator<Item = NodeId> {
        let others = self.nodes.iter();
        others
            .filter(|(node, row)| **node != self.settings.node && row.state.beats())
            .map(|(node, _)| *node)
    }

    fn unreachable(&self, now: Instant) -> Vec<NodeId> {
        self.others()
            .filter(|node| !self.peers.is_reachable(now, *node))
            .collect()
    }

    /// A node that has lost the shared store asks what its peers say. If it alone is cut off, the others take its partitions: it gives
    /// up in time for its terminals to return there. If the shared store is down for all, and was before anybody could bury this node,
    /// everything stays as it is.
    pub(super) fn judge(&mut self, now: Instant, acts: &mut Vec<MemberAct>) {
        let Some(contact) = self.member().map(|member| member.contact) else {
            return;
        };
        let lapse = contact.after(self.settings.lease);
        let verdict = self.peers.verdict(now, lapse, self.others());
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        if now < lapse {
            member.verdict = None;
            return;
        }
        let since = match member.verdict {
            Some((before, since)) if before == verdict => since,
            Some(_) | None => now,
        };
        member.verdict = Some((verdict, since));
        let is_sure = now.since(since) >= VERDICT && now >= lapse.after(self.settings.hold);
        if verdict == OutageVerdict::CutOff && is_sure {
            self.begin_anew(now, acts);
        }
    }

    /// A node that most others cannot reach hands over, if there are others that can be reached.
    fn consider_isolation(&mut self, now: Instant) {
        let own = self.settings.node;
        let is_better = |node: NodeId| node != own && self.is_reached(now, node);
        let is_alone = !self.is_reached(now, own) && self.nodes.keys().any(|node| is_better(*node));
        let Standing::Member(member) = &mut self.standing else {
            return;
        };
        if !is_alone {
            member.unreached_since = None;
            if member.duty == Duty::Isolated {
                member.duty = Duty::Serving;
            }
            return;
        }
        let since = *member.unreached_since.get_or_insert(now);
        if member.duty == Duty::Serving && now.since(since) >= ISOLATED_AFTER {
            member.duty = Duty::Isolated;
        }
    }

    /// Whether a node beats and at least half of the others that do can reach it.
    fn is_reached(&self, now: Instant, node: NodeId) -> bool {
        let beats = |node: NodeId, state: NodeState| {
            state.beats() && self.watch.silence(now, node) < self.settings.lease
        };
        if !self.nodes.get(&node).is_some_and(|row| beats(node, row.state)) {
            return false;
        }
        let others: Vec<_> = self
            .nodes
            .iter()
            .filter(|(other, row)| **other != node && beats(**other, row.state))
            .collect();
        let cannot = others.iter().filter(|(_, row)| row.unreachable.contains(&node));
        cannot.count() * 2 <= others.len()
    }

    /// Whether partitions may be claimed and handed over: what is known of the others is fresh.
    pub(super) fn is_informed(&self, now: Instant) -> bool {
        self.contact(now) == Contact::Held && self.watch.is_in_contact(now)
    }
}
