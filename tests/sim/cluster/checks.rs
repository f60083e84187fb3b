//! The checks that look at the whole world.

use std::collections::BTreeMap;

use super::clock::DRIFT_PPM_MAX;
use super::group::Runs;
use super::process::{Line, PartStage, Process, Slot};
use super::shared_store::Ms;
use super::terminal::LossKind;
use super::world::World;
use crate::base::ids::PartitionId;
use crate::logic::cluster::home::Home;
use crate::services::cluster::table::RowVersion;
use crate::services::shared_store::calls::NodeState;

/// At least so long after its link's end a terminal has had to return.
const RETURN_MIN_MS: Ms = 30_000;
const GRACE_MS: Ms = 60_000;
/// A node may have so many partitions: its share and 5 %.
fn share_max(partitions: u16, nodes: u16) -> usize {
    usize::from(partitions) * 105 / 100 / usize::from(nodes) + 1
}

impl World {
    /// Whether nothing went wrong for a while.
    pub(super) fn is_calm(&self) -> bool {
        self.is_peaceful && self.now > self.store_bad_until + 30_000 && self.calm_since + 30_000 < self.now
    }

    /// At most one node answers for a partition without asking the shared store.
    pub(super) fn check_owners(&mut self) {
        let mut owners: BTreeMap<PartitionId, usize> = BTreeMap::new();
        let mut fault = None;
        for (number, slot) in self.slots.iter().enumerate() {
            let Some(process) = &slot.process else {
                continue;
            };
            let now = slot.clock.read(self.now);
            if !process.lease.holds(now) {
                continue;
            }
            let open = process
                .parts
                .iter()
                .filter(|(_, part)| part.stage == PartStage::Open && part.gate.passes(now, process.lease));
            for (partition, _) in open {
                if let Some(other) = owners.insert(*partition, number) {
                    fault = Some(format!(
                        "{partition:?} is open at slots {other} and {number}, both with a lease"
                    ));
                }
            }
        }
        if let Some(fault) = fault {
            self.history.fail(self.now, &fault);
        }
    }

    /// A burial is on its way to the shared store: its node must have had a reason to be silent.
    pub(super) fn check_burial(&mut self, row: RowVersion) {
        let now = self.now;
        let master = &self.groups[0].master;
        let takes_effect = master.nodes.get(&row.owner.node).is_some_and(|known| {
            known.version(row.owner.node) == row && !known.state.is_gone() && self.groups[0].runs == Runs::Up
        });
        if !takes_effect {
            return;
        }
        self.history.counts.burials += 1;
        let waits_for_return = master.nodes[&row.owner.node].state == NodeState::Restarting;
        let nobody_plays_it = self.slots.iter().all(|slot| slot.node != row.owner.node);
        let explained = nobody_plays_it
            || self
                .slots
                .iter()
                .filter(|slot| slot.node == row.owner.node)
                .any(|slot| {
                    let was_paused = slot.process.as_ref().is_none_or(|process| {
                        let lives = process.incarnation == Some(row.owner.incarnation);
                        !lives || process.is_paused || process.paused_until + 12_000 > now
                    });
                    let line_bad = slot.line != Line::Good || slot.line_bad_until + 12_000 > now;
                    was_paused || line_bad
                });
        if !explained && !waits_for_return {
            self.history
                .fail(now, &format!("{row:?} is buried, and nothing was wrong with it"));
        }
    }

    /// A node sends all its terminals away: it must have been cut off, or have stood still.
    pub(super) fn check_sent_away(&mut self, slot: usize, life: u32) {
        let (now, lately) = (self.now, 45_000);
        let is_well = |slot: &Slot| {
            let process = slot.process.as_ref();
            let never_paused =
                |process: &Process| process.paused_until == 0 || process.paused_until + lately < now;
            process.is_some_and(|process| !process.is_paused && never_paused(process))
                && slot.lonely_until + lately < now
                && slot.no_process_until.saturating_add(lately) < now
        };
        let line_was_good = self.slots[slot].line_bad_until + lately < now;
        if self.slots.len() > 1 && self.slots.iter().all(is_well) && line_was_good {
            let fault = format!("slot {slot}.{life} sends its terminals away, and was not cut off");
            self.history.fail(now, &fault);
        }
    }

    /// The partition's owner at `slot`, which has opened it at `opened`, has given a user up.
    pub(super) fn check_given_up(&mut self, slot: usize, user: usize, opened: Ms) {
        let now = self.now;
        self.history.counts.given_up += 1;
        let terminal = &self.terminals[user];
        let tolerance = GRACE_MS * DRIFT_PPM_MAX.unsigned_abs() / 1_000_000 + 1;
        if now < opened + GRACE_MS - tolerance {
            let fault = format!(
                "user {user} is given up {} ms after its partition was opened",
                now - opened
            );
            return self.history.fail(now, &fault);
        }
        if let (None, Some((lost, LossKind::Closed))) = (terminal.link, terminal.lost)
            && now < lost + RETURN_MIN_MS
        {
            let fault = format!(
                "user {user} is given up {} ms after its link was closed",
                now - lost
            );
            return self.history.fail(now, &fault);
        }
        let Some(link) = terminal.link.filter(|link| link.slot != slot) else {
            return;
        };
        let held = self.process(link.slot, link.life).is_some_and(|process| {
            !process.is_paused && (process.paused_until == 0 || process.paused_until + 60_000 < now)
        });
        if held {
            let fault = format!(
                "user {user} is given up, and slot {} has still its link",
                link.slot
            );
            self.history.fail(now, &fault);
        }
    }

    /// After a minute of peace.
    pub(super) fn check_peace(&mut self) {
        let partitions = self.size.partitions;
        let mut owned = vec![0_usize; self.slots.len()];
        let mut faults = Vec::new();
        for partition in (0..partitions).map(PartitionId) {
            let homes: Vec<Option<Home>> = self
                .slots
                .iter()
                .map(|slot| {
                    slot.process
                        .as_ref()
                        .map(|process| process.membership.home(partition))
                })
                .collect();
            let here: Vec<usize> = (0..self.slots.len())
                .filter(|slot| matches!(homes[*slot], Some(Home::Here(_))))
                .collect();
            let [owner] = here[..] else {
                faults.push(format!("{partition:?} is open at {here:?}: {homes:?}"));
                continue;
            };
            owned[owner] += 1;
            let there = Some(Home::There(self.slots[owner].node));
            if (0..self.slots.len()).any(|slot| slot != owner && homes[slot] != there) {
                faults.push(format!("nodes disagree about {partition:?}: {homes:?}"));
            }
            let group = self.group_of(partition);
            let chain = self.groups[group].master.metas[usize::from(partition.0)]
                .chain
                .clone();
            self.history.check_chain(self.now, partition, &chain);
        }
        let most = share_max(partitions, self.size.nodes);
        if owned.iter().any(|owned| *owned > most) {
            faults.push(format!("the nodes own {owned:?}, where {most} are the most"));
        }
        for slot in &self.slots {
            let now = slot.clock.read(self.now);
            if !slot
                .process
                .as_ref()
                .is_some_and(|process| process.lease.holds(now))
            {
                faults.push(format!("{:?} has no lease", slot.node));
            }
        }
        for (user, terminal) in self.terminals.iter().enumerate() {
            if terminal.wants && terminal.link.is_none() && terminal.wanted_since + 20_000 < self.now {
                faults.push(format!("user {user} is not online"));
            }
        }
        if let Some(fault) = faults.first() {
            let fault = format!("after a minute of peace: {fault}");
            self.history.fail(self.now, &fault);
        }
    }
}
