//! What is between processes: requests to the shared store and their answers, late, doubled or lost; and the words of peers.

use super::group::Executed;
use super::process::{Back, Line, Todo};
use super::shared_store::{Ms, Op, Reply};
use super::world::{Happening, World};
use crate::base::ids::PartitionId;
use crate::services::cluster::event::{Contact, MemberEvent};

/// A request that was not answered for so long is not waited for.
const REQUEST_TIME_OUT_MS: Ms = 1_000;
const WORD_MS: Ms = 500;

/// A request that is not answered yet.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) slot: usize,
    pub(super) life: u32,
    pub(super) group: usize,
    pub(super) connection: usize,
    pub(super) back: Back,
}

/// Commits and loads have a connection of their own, which may lead to another master than the other one.
fn connection_of(op: &Op) -> usize {
    usize::from(matches!(op, Op::Commit { .. } | Op::Load(_)))
}

impl World {
    pub(super) fn words(&mut self, slot: usize, life: u32) {
        self.after(WORD_MS, Happening::Words { slot, life });
        let now = self.clock(slot);
        let from = self.slots[slot].node;
        let Some(process) = self.process(slot, life).filter(|process| !process.is_paused) else {
            return;
        };
        let contact: Contact = process.membership.contact(now);
        let positions: Vec<(PartitionId, u64)> = process
            .parts
            .iter()
            .map(|(partition, part)| (*partition, part.position))
            .collect();
        for to in 0..self.slots.len() {
            self.write_to(slot, to, MemberEvent::Heard { from, contact });
            for (partition, position) in &positions {
                let (partition, position) = (*partition, *position);
                self.write_to(slot, to, MemberEvent::Witnessed { partition, position });
            }
        }
    }

    /// One peer writes to another.
    pub(super) fn write_to(&mut self, from: usize, to: usize, event: MemberEvent) {
        let is_lost = !self.is_peaceful && self.random.u8(..) < 4;
        if from == to || is_lost || self.cut[from][to] > self.now {
            return;
        }
        if let Some(life) = self.slots[to].process.as_ref().map(|process| process.life) {
            let wait = self.random.u64(1..5);
            let todo = Box::new(Todo::MemberEvent(event));
            self.after(wait, Happening::Arrive { slot: to, life, todo });
        }
    }

    /// A process asks the shared store for something.
    pub(super) fn request(&mut self, slot: usize, life: u32, op: Op, back: Back) {
        let group = op.partition().map_or(0, |partition| self.group_of(partition));
        let request = self.number();
        let connection = connection_of(&op);
        let of = Request {
            slot,
            life,
            group,
            connection,
            back,
        };
        self.requests.insert(request, of);
        let reply = None;
        self.after(REQUEST_TIME_OUT_MS, Happening::Answer { request, reply });
        let route = self.slots[slot].routes[group][connection];
        let line = self.slots[slot].line;
        let luck = if self.is_peaceful { 255 } else { self.random.u8(..) };
        let bad = if line == Line::Flaky { 60 } else { 2 };
        if line == Line::RequestsLost || luck < bad / 4 {
            return;
        }
        let op = Box::new(op);
        if (bad / 4..bad / 2).contains(&luck) {
            let (wait, op) = (self.random.u64(1..4_000), op.clone());
            self.after(wait, Happening::Execute { request, route, op });
        }
        let mut wait = self.random.u64(1..4);
        if (bad / 2..bad).contains(&luck) {
            wait = self.random.u64(1..2_500);
        }
        if matches!(*op, Op::Load(_)) {
            wait += self.random.u64(self.loading.0..=self.loading.1);
        }
        self.after(wait, Happening::Execute { request, route, op });
    }

    pub(super) fn execute(&mut self, request: u64, route: u32, op: &Op) {
        let group = op.partition().map_or(0, |partition| self.group_of(partition));
        if let Op::Bury(row) = op {
            self.check_burial(*row);
        }
        let executed = self.groups[group].execute(self.now, route, op, &mut self.random);
        let wait = self.random.u64(1..4);
        let generation = self.groups[group].generation;
        match executed {
            Executed::Held => {}
            Executed::Failed => self.after(wait, Happening::Answer { request, reply: None }),
            Executed::FailedElsewhere => {
                self.reroute(request, group);
                self.after(wait, Happening::Answer { request, reply: None });
            }
            Executed::Answered(reply) => {
                if generation != route && self.random.bool() {
                    self.reroute(request, group);
                }
                let reply = Some(Box::new(reply));
                self.after(wait, Happening::Answer { request, reply });
            }
            Executed::Waits { until, reply } => {
                let reply = Box::new(reply);
                let waited = Happening::Waited {
                    request,
                    group,
                    generation,
                    reply,
                };
                self.at(until, waited);
            }
            Executed::Unvouched { until, .. } => self.at(until, Happening::Answer { request, reply: None }),
        }
    }

    pub(super) fn reroute(&mut self, request: u64, group: usize) {
        if let Some(request) = self.requests.get(&request) {
            self.slots[request.slot].routes[group][request.connection] = self.groups[group].generation;
        }
    }

    pub(super) fn answer(&mut self, request: u64, reply: Option<Box<Reply>>) {
        let Some(of) = self.requests.get(&request) else {
            return;
        };
        let (slot, group) = (of.slot, of.group);
        let line = self.slots[slot].line;
        if reply.is_some() {
            let is_lost = line == Line::Flaky && self.random.u8(..) < 20;
            if is_lost || line == Line::AnswersLost {
                return;
            }
        } else {
            self.slots[slot].routes[group][of.connection] = self.groups[group].generation;
        }
        let of = self.requests.remove(&request).expect("it is there");
        let todo = Todo::Answer(of.back, reply.map(|reply| *reply));
        self.arrive(of.slot, of.life, todo);
    }
}
