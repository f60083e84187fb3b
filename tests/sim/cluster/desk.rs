//! The model of a process's desk and gates: commits, empty ones among them, and what of memory leaves. Knows no terminal's wishes.

use super::process::{Back, Gathered, Login, PartStage, Presence, Todo};
use super::shared_store::{ChangeKind, Op, Reply};
use super::world::{Happening, World};
use crate::base::ids::PartitionId;
use crate::base::time::Instant;
use crate::logic::cluster::gate::{NextVouch, Passage, Vouch};
use crate::logic::cluster::home::Home;
use crate::services::cluster::event::PartitionNews;
use crate::services::cluster::token::Token;

/// When a commit of which nothing is known is sent again.
const COMMIT_AGAIN_MS: u64 = 200;

impl World {
    /// Takes an answer from memory.
    pub(super) fn gather(
        &mut self,
        slot: usize,
        life: u32,
        partition: PartitionId,
        floor: u64,
        kept: Option<Login>,
    ) {
        let Some(process) = self.process(slot, life) else {
            return;
        };
        let turn = process.turn;
        if !matches!(process.membership.home(partition), Home::Here(_)) {
            return;
        }
        let Some(part) = process.parts.get(&partition) else {
            return;
        };
        let gathered = Gathered {
            position: part.position,
            floor,
            kept,
        };
        // A pause may come in between.
        process.todo.push_front(Todo::Leave {
            partition,
            gathered,
            turn,
        });
    }

    pub(super) fn leave(
        &mut self,
        slot: usize,
        life: u32,
        partition: PartitionId,
        gathered: Gathered,
        turn: Instant,
    ) {
        let after = self.clock(slot);
        assert!(turn <= after, "a turn begins before its end");
        let Some(process) = self.process(slot, life) else {
            return;
        };
        let lease = process.lease;
        let Some(part) = process.parts.get_mut(&partition) else {
            return;
        };
        match part.gate.leave(after, lease, gathered) {
            Passage::Leaves(gathered) => self.left(slot, life, partition, gathered),
            Passage::Vouch => {
                self.history.counts.held += 1;
                self.vouch(slot, life, partition);
            }
            Passage::Waits => {}
        }
    }

    pub(super) fn left(&mut self, slot: usize, life: u32, partition: PartitionId, gathered: Gathered) {
        let Gathered {
            position,
            floor,
            kept,
        } = gathered;
        self.history.answered(self.now, partition, position, floor);
        if let Some(login) = kept {
            self.history.counts.kept += 1;
            self.accepted(slot, life, login);
        }
    }

    pub(super) fn vouch(&mut self, slot: usize, life: u32, partition: PartitionId) {
        if let Some(token) = self.part(slot, life, partition).map(|part| part.token) {
            let op = Op::Commit {
                partition,
                token,
                position: 0,
                change: None,
            };
            self.request(slot, life, op, Back::Vouch { partition, token });
        }
    }

    pub(super) fn vouched(
        &mut self,
        slot: usize,
        life: u32,
        (partition, token): (PartitionId, Token),
        reply: Option<Reply>,
    ) {
        let clock = self.clock(slot);
        let Some(process) = self.process(slot, life) else {
            return;
        };
        let lease = process.lease;
        let Some(part) = process
            .parts
            .get_mut(&partition)
            .filter(|part| part.token == token)
        else {
            return;
        };
        let vouch = match reply {
            Some(Reply::Committed) => Vouch::Given,
            _ => Vouch::Refused,
        };
        let ended = part.gate.vouched(clock, lease, vouch);
        if ended.next == NextVouch::Ask {
            self.vouch(slot, life, partition);
        }
        for gathered in ended.answers {
            match vouch {
                Vouch::Given => self.left(slot, life, partition, gathered),
                Vouch::Refused => {
                    self.history.counts.refused += 1;
                    if let Some(login) = gathered.kept {
                        self.turned_away(login);
                    }
                }
            }
        }
        if matches!(reply, Some(Reply::Fenced)) {
            self.fenced(slot, life, partition, token);
        }
    }

    /// Begins the next commit, if none is in flight.
    pub(super) fn commit(&mut self, slot: usize, life: u32, partition: PartitionId) {
        if let Some(part) = self.part(slot, life, partition)
            && part.stage == PartStage::Open
            && part.in_flight.is_none()
        {
            part.in_flight = part.queue.pop_front();
            self.send_commit(slot, life, partition);
        }
    }

    /// Sends the commit that is in flight.
    pub(super) fn send_commit(&mut self, slot: usize, life: u32, partition: PartitionId) {
        let Some(part) = self.part(slot, life, partition) else {
            return;
        };
        if !matches!(part.stage, PartStage::Open | PartStage::Settling) {
            return;
        }
        if let Some((change, _)) = part.in_flight {
            let (token, position) = (part.token, part.position + 1);
            let op = Op::Commit {
                partition,
                token,
                position,
                change: Some(change),
            };
            let back = Back::Commit {
                partition,
                token,
                position,
            };
            self.request(slot, life, op, back);
        }
    }

    pub(super) fn committed(
        &mut self,
        slot: usize,
        life: u32,
        (partition, token, position): (PartitionId, Token, u64),
        reply: Option<Reply>,
    ) {
        let part = self.part(slot, life, partition);
        let Some(part) = part.filter(|part| part.token == token && part.position + 1 == position) else {
            return;
        };
        match reply {
            Some(Reply::Committed) => {
                let Some((change, login)) = part.in_flight.take() else {
                    return;
                };
                part.position = position;
                match (change.kind, login) {
                    (ChangeKind::Login, Some(login)) => {
                        let attempt = login.attempt;
                        part.users.insert(change.user, Presence::Linked { attempt });
                    }
                    (ChangeKind::Offline | ChangeKind::GivenUp { .. }, _) | (ChangeKind::Login, None) => {
                        part.users.remove(&change.user);
                    }
                    (ChangeKind::Lost, _) => unreachable!("nobody commits it"),
                }
                self.history.confirm(self.now, partition, position, change, token);
                if let ChangeKind::GivenUp { opened } = change.kind {
                    self.check_given_up(slot, change.user, opened);
                }
                if let Some(login) = login {
                    self.accepted(slot, life, login);
                }
                self.settled(slot, life, partition);
                self.commit(slot, life, partition);
            }
            Some(Reply::Fenced) => self.fenced(slot, life, partition, token),
            _ => {
                let todo = Box::new(Todo::CommitAgain(partition));
                self.after(COMMIT_AGAIN_MS, Happening::Arrive { slot, life, todo });
            }
        }
    }

    pub(super) fn fenced(&mut self, slot: usize, life: u32, partition: PartitionId, token: Token) {
        self.history.counts.fenced += 1;
        if let Some(part) = self.part(slot, life, partition) {
            if part.stage != PartStage::Settled {
                part.stage = PartStage::Fenced;
            }
            self.tell(slot, life, (partition, token), PartitionNews::Fenced);
        }
    }
}
