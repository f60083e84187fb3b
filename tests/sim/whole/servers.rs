//! The shared store of the world: masters with their replicas, each of which keeps what [`ModelStore`] does, and the lines to them. What
//! is asked is executed at once, and takes its time. Knows no node's process.

use std::any::Any;
use std::sync::Arc;

use super::super::cluster::group::{Executed, Group, Ms, Runs, ServerCopy};
use crate::base::ids::PartitionId;
use crate::services::registry::shared::tests::model::ModelStore;
use crate::services::shared_store::outcome::{Outcome, Refusal, SharedStoreError};

/// For so long a client waits for an answer.
const TIME_OUT_MS: Ms = 1_000;

/// What is kept by one server.
#[derive(Clone, Default)]
pub(super) struct StoreCopy(pub(super) ModelStore);

/// Something that is asked of a server.
#[derive(Clone)]
pub(super) struct StoreCall {
    pub(super) run: Arc<dyn Fn(&mut ModelStore) -> StoreAnswer + Send + Sync>,
    pub(super) only_reads: bool,
}

/// Its answer; only the asker knows the type.
pub(super) struct StoreAnswer {
    pub(super) value: Box<dyn Any + Send>,
    pub(super) is_done: bool,
}

impl ServerCopy for StoreCopy {
    type Op = StoreCall;
    type Reply = StoreAnswer;

    fn apply(&mut self, op: &StoreCall) -> StoreAnswer {
        (op.run)(&mut self.0)
    }

    fn only_reads(op: &StoreCall) -> bool {
        op.only_reads
    }

    fn is_vouched_for(reply: &StoreAnswer) -> bool {
        reply.is_done
    }
}

/// The line between a node and the shared store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Good,
    /// Some requests are late, doubled or lost, and some answers.
    Flaky,
    RequestsLost,
    AnswersLost,
}

/// Which of a node's clients asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientKind {
    Beats,
    Jobs,
    Desk,
}

/// A node's way to the servers.
struct Route {
    line: Line,
    /// Which generation of each group each client takes for the present one.
    known: Vec<[u32; 3]>,
}

/// A request that is executed later than its asker believes, or once more.
struct LateCall {
    at: Ms,
    group: usize,
    generation: u32,
    call: StoreCall,
}

pub(super) struct Servers {
    pub(super) now: Ms,
    pub(super) groups: Vec<Group<StoreCopy>>,
    pub(super) random: fastrand::Rng,
    pub(super) is_peaceful: bool,
    routes: Vec<Route>,
    late: Vec<LateCall>,
    /// How long the calls took since somebody looked.
    spent: Ms,
}

/// What came of a call, and in how many copies it is.
pub(super) type Called<T> = Outcome<(T, u16)>;

fn unknown<T>(text: &str) -> Called<T> {
    Err(SharedStoreError::Unknown(text.to_owned()))
}

fn refused<T>(why: Refusal) -> Called<T> {
    let text = why.to_string();
    Err(SharedStoreError::NotExecuted { why, text })
}

impl Servers {
    pub(super) fn new(seed: u64, nodes: usize, groups: usize) -> Self {
        let route = |_| Route {
            line: Line::Good,
            known: vec![[0; 3]; groups],
        };
        Self {
            now: 0,
            groups: (0..groups).map(|_| Group::new(StoreCopy::default())).collect(),
            random: fastrand::Rng::with_seed(seed),
            is_peaceful: true,
            routes: (0..nodes).map(route).collect(),
            late: Vec::new(),
            spent: 0,
        }
    }

    pub(super) fn group_of(&self, partition: PartitionId) -> usize {
        usize::from(partition.0) % self.groups.len()
    }

    pub(super) fn set_line(&mut self, node: usize, line: Line) {
        self.routes[node].line = line;
    }

    /// How long the calls since the last look took.
    pub(super) fn take_spent(&mut self) -> Ms {
        std::mem::take(&mut self.spent)
    }

    /// Something takes this long.
    pub(super) fn spend(&mut self, ms: Ms) {
        self.spent += ms;
    }

    /// It is this time: late requests are executed.
    pub(super) fn pass(&mut self, now: Ms) {
        self.now = now;
        while let Some(place) = self.late.iter().position(|late| late.at <= now) {
            let late = self.late.remove(place);
            let group = &mut self.groups[late.group];
            drop(group.execute(now, late.generation, &late.call, &mut self.random));
        }
    }

    fn execute_late(&mut self, group: usize, generation: u32, call: StoreCall) {
        let at = self.now + self.random.u64(1..4_000);
        self.late.push(LateCall {
            at,
            group,
            generation,
            call,
        });
    }

    /// A node's client asks a server, and waits for its answer.
    pub(super) fn call<T: 'static>(
        &mut self,
        (node, kind): (usize, ClientKind),
        group: usize,
        call: StoreCall,
    ) -> Called<T> {
        let generation = self.routes[node].known[group][kind as usize];
        let line = self.routes[node].line;
        let luck = if self.is_peaceful { 255 } else { self.random.u8(..) };
        let bad = if line == Line::Flaky { 60 } else { 2 };
        self.spent += self.random.u64(1..4);
        if line == Line::RequestsLost || luck < bad / 4 {
            return self.lost_request(line);
        }
        if luck < bad / 2 {
            self.execute_late(group, generation, call.clone());
        } else if luck < bad {
            self.execute_late(group, generation, call);
            self.spent += TIME_OUT_MS;
            return unknown("it is late");
        }
        let executed = self.groups[group].execute(self.now, generation, &call, &mut self.random);
        let called = self.called(executed, group, call);
        if !matches!(
            called,
            Ok(_) | Err(SharedStoreError::Fenced(_) | SharedStoreError::Behind(_))
        ) {
            self.routes[node].known[group][kind as usize] = self.groups[group].generation;
        }
        let is_lost = line == Line::AnswersLost || line == Line::Flaky && self.random.u8(..) < 20;
        if is_lost {
            self.spent += TIME_OUT_MS;
            return unknown("its answer is lost");
        }
        called
    }

    fn lost_request<T>(&mut self, line: Line) -> Called<T> {
        if line == Line::RequestsLost && self.random.bool() {
            return refused(Refusal::Unreachable);
        }
        self.spent += TIME_OUT_MS;
        unknown("it is lost")
    }

    fn called<T: 'static>(
        &mut self,
        executed: Executed<StoreAnswer>,
        group: usize,
        call: StoreCall,
    ) -> Called<T> {
        match executed {
            Executed::Held => {
                let generation = self.groups[group].generation;
                self.execute_late(group, generation, call);
                self.spent += TIME_OUT_MS;
                unknown("the server stands still")
            }
            Executed::Failed if self.groups[group].runs == Runs::Up => refused(Refusal::NoReplicas),
            Executed::Failed if self.random.bool() => refused(Refusal::Unreachable),
            Executed::Failed => unknown("the connection has ended"),
            Executed::FailedElsewhere if self.random.bool() => refused(Refusal::ClusterDown),
            Executed::FailedElsewhere => unknown("no replica has confirmed it"),
            Executed::Answered(answer) => value_of(answer, 0),
            Executed::Waits { until, reply } => {
                // The replica has it somewhat sooner than it might.
                let generation = self.groups[group].generation;
                self.groups[group].vouches(until, generation);
                self.spent += until - self.now;
                value_of(reply, 1)
            }
            Executed::Unvouched { until, reply } => {
                self.spent += until - self.now;
                value_of(reply, 0)
            }
        }
    }
}

/// What a server has answered, to who knows the type.
fn value_of<T: 'static>(answer: StoreAnswer, copies: u16) -> Called<T> {
    let outcome: Box<Outcome<T>> = answer.value.downcast().expect("it is the asker's call");
    outcome.map(|value| (value, copies))
}
