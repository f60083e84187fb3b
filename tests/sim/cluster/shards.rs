//! The model of the shards of a process: partitions that open, settle and go, and what their users do. Not the real ones: what a member
//! promises is told here a second time.

use super::process::{EndWish, Login, PartStage, Presence, Why};
use super::shared_store::{Change, ChangeKind};
use super::world::{Happening, World};
use crate::base::ids::{Epoch, PartitionId};
use crate::base::time::Instant;
use crate::logic::cluster::gate::Gate;
use crate::logic::cluster::home::Home;
use crate::services::cluster::event::PartitionNews;

/// A device of which a link was lost may come back for so long.
const LOST_LINK_MS: u64 = 10_000;

impl World {
    pub(super) fn open(
        &mut self,
        slot: usize,
        life: u32,
        (partition, epoch): (PartitionId, Epoch),
        grace_ends: Instant,
    ) {
        self.history.counts.opened += 1;
        let (now, clock) = (self.now, self.clock(slot));
        let Some(process) = self.process(slot, life) else {
            return;
        };
        let lease = process.lease;
        let Some(part) = process.parts.get_mut(&partition) else {
            return;
        };
        assert_eq!(part.token.epoch, epoch, "the users were loaded under it");
        part.stage = PartStage::Open;
        part.opened = now;
        part.gate = Gate::new(clock, lease);
        for presence in part.users.values_mut() {
            *presence = Presence::Away {
                due: grace_ends,
                why: Why::Grace,
            };
        }
    }

    pub(super) fn resume(&mut self, slot: usize, life: u32, partition: PartitionId, epoch: Epoch) {
        self.history.counts.resumed += 1;
        if let Some(part) = self.part(slot, life, partition) {
            part.token.epoch = epoch;
            part.stage = PartStage::Open;
            if part.in_flight.is_some() {
                self.send_commit(slot, life, partition);
            } else {
                self.commit(slot, life, partition);
            }
        }
    }

    pub(super) fn drop_part(&mut self, slot: usize, life: u32, partition: PartitionId) {
        let Some(process) = self.process(slot, life) else {
            return;
        };
        process.parts.remove(&partition);
        for user in 0..self.terminals.len() {
            let link = self.terminals[user].link;
            if self.home_of(user) == partition
                && let Some(link) = link.filter(|link| (link.slot, link.life) == (slot, life))
            {
                let wait = self.random.u64(0..500);
                let attempt = link.attempt;
                self.after(wait, Happening::Close { user, attempt });
            }
        }
    }

    pub(super) fn settle(&mut self, slot: usize, life: u32, partition: PartitionId) {
        if let Some(part) = self.part(slot, life, partition) {
            part.stage = PartStage::Settling;
            part.queue.clear();
            self.settled(slot, life, partition);
        }
    }

    /// Tells that nothing is in flight, once that is so.
    pub(super) fn settled(&mut self, slot: usize, life: u32, partition: PartitionId) {
        if let Some(part) = self.part(slot, life, partition)
            && part.stage == PartStage::Settling
            && part.in_flight.is_none()
        {
            part.stage = PartStage::Settled;
            let token = part.token;
            self.tell(slot, life, (partition, token), PartitionNews::Settled);
        }
    }

    /// A login that names a user of a partition: kept, committed, sent elsewhere, or told to come again.
    pub(super) fn login(&mut self, slot: usize, life: u32, login: Login) {
        let partition = self.home_of(login.user);
        let own = self.slots[slot].node;
        let Some(process) = self.process(slot, life) else {
            return;
        };
        match process.membership.home(partition) {
            Home::There(node) => {
                self.history.counts.redirects += 1;
                if node == own {
                    let fault = format!("{node:?} sends a terminal to itself");
                    self.history.fail(self.now, &fault);
                }
                self.redirected(login, node);
            }
            Home::Nobody => self.turned_away(login),
            Home::Here(_) => self.login_here(slot, life, partition, login),
        }
    }

    pub(super) fn login_here(&mut self, slot: usize, life: u32, partition: PartitionId, login: Login) {
        let number = self.number();
        let Some(part) = self
            .part(slot, life, partition)
            .filter(|part| part.stage == PartStage::Open)
        else {
            return self.turned_away(login);
        };
        match part.users.get_mut(&login.user) {
            Some(presence @ (Presence::Linked { .. } | Presence::Away { .. })) => {
                *presence = Presence::Linked {
                    attempt: login.attempt,
                };
                self.gather(slot, life, partition, login.floor, Some(login));
            }
            Some(Presence::Going) | None => {
                let change = Change {
                    number,
                    user: login.user,
                    kind: ChangeKind::Login,
                };
                part.queue.push_back((change, Some(login)));
                self.commit(slot, life, partition);
            }
        }
    }

    pub(super) fn link_end(&mut self, slot: usize, life: u32, user: usize, wish: EndWish) {
        let (clock, number) = (self.clock(slot), self.number());
        let partition = self.home_of(user);
        let Some(part) = self.part(slot, life, partition) else {
            return;
        };
        let Some(presence) = part.users.get_mut(&user) else {
            return;
        };
        if !matches!(presence, Presence::Linked { .. }) {
            return;
        }
        match wish {
            EndWish::ComesBack => {
                let due = Instant(clock.0 + LOST_LINK_MS);
                *presence = Presence::Away {
                    due,
                    why: Why::LinkLost,
                };
            }
            EndWish::Goes if part.stage == PartStage::Open => {
                *presence = Presence::Going;
                let change = Change {
                    number,
                    user,
                    kind: ChangeKind::Offline,
                };
                part.queue.push_back((change, None));
                self.commit(slot, life, partition);
            }
            EndWish::Goes => {
                *presence = Presence::Away {
                    due: clock,
                    why: Why::LinkLost,
                };
            }
        }
    }

    /// Who did not return in the grace is given up.
    pub(super) fn give_up(&mut self, slot: usize, life: u32, clock: Instant) {
        let Some(process) = self.process(slot, life) else {
            return;
        };
        let mut due_users = Vec::new();
        for (partition, part) in process
            .parts
            .iter()
            .filter(|(_, part)| part.stage == PartStage::Open)
        {
            for (user, presence) in &part.users {
                if let Presence::Away { due, why } = presence
                    && *due <= clock
                {
                    due_users.push((*partition, *user, part.opened, *why));
                }
            }
        }
        for (partition, user, opened, why) in due_users {
            let kind = match why {
                Why::Grace => ChangeKind::GivenUp { opened },
                Why::LinkLost => ChangeKind::Offline,
            };
            let number = self.number();
            if let Some(part) = self.part(slot, life, partition) {
                part.users.insert(user, Presence::Going);
                let change = Change { number, user, kind };
                part.queue.push_back((change, None));
                self.commit(slot, life, partition);
            }
        }
    }
}
