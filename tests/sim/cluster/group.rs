//! A master of the shared store with its replica, which is behind. A failover loses what the replica lacked, and a former master goes on
//! answering for a while. Knows no node's process, and nothing of what is kept.

use std::collections::VecDeque;

/// Milliseconds of the world.
pub(in crate::sim) type Ms = u64;

/// How long WAIT waits.
pub(in crate::sim) const WAIT_MS: Ms = 300;

/// What one process of the shared store keeps.
pub(in crate::sim) trait ServerCopy: Clone {
    /// What is asked.
    type Op: Clone;
    /// What is answered.
    type Reply;

    fn apply(&mut self, op: &Self::Op) -> Self::Reply;

    /// Whether nothing is written by it.
    fn only_reads(op: &Self::Op) -> bool;

    /// Refusals, and what is only read, come without WAIT.
    fn is_vouched_for(reply: &Self::Reply) -> bool;

    /// Whether a master that is one can answer so.
    fn check_answer(_reply: &Self::Reply) {}
}

/// Whether a process of the shared store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Runs {
    Up,
    Paused,
    Down,
}

/// What becomes of a request.
#[derive(Debug)]
pub(in crate::sim) enum Executed<R> {
    /// It stays in a socket of a process that is paused.
    Held,
    /// It was not executed, or nobody can know.
    Failed,
    /// The connection has led to a former master.
    FailedElsewhere,
    /// It needs no WAIT.
    Answered(R),
    /// It counts if the replica has it then.
    Waits { until: Ms, reply: R },
    /// It was executed, and WAIT will not vouch for it.
    Unvouched { until: Ms, reply: R },
}

/// A master with its replica.
#[derive(Debug)]
pub(in crate::sim) struct Group<C: ServerCopy> {
    /// Counts the failovers.
    pub(in crate::sim) generation: u32,
    pub(in crate::sim) master: C,
    pub(in crate::sim) runs: Runs,
    pub(in crate::sim) replica: Option<C>,
    backlog: VecDeque<(Ms, C::Op)>,
    /// How long the replica is behind.
    pub(in crate::sim) lag: (Ms, Ms),
    replica_gone: Ms,
    former: Option<C>,
    former_until: Ms,
}

impl<C: ServerCopy> Group<C> {
    pub(in crate::sim) fn new(copy: C) -> Self {
        Self {
            generation: 0,
            replica: Some(copy.clone()),
            master: copy,
            runs: Runs::Up,
            backlog: VecDeque::new(),
            lag: (1, 4),
            replica_gone: 0,
            former: None,
            former_until: 0,
        }
    }

    fn replicate(&mut self, now: Ms) {
        while let Some((due, _)) = self.backlog.front()
            && *due <= now
            && let Some((_, op)) = self.backlog.pop_front()
            && let Some(replica) = &mut self.replica
        {
            replica.apply(&op);
        }
    }

    /// A request has reached the shared store by a connection that was made in `route`.
    pub(in crate::sim) fn execute(
        &mut self,
        now: Ms,
        route: u32,
        op: &C::Op,
        random: &mut fastrand::Rng,
    ) -> Executed<C::Reply> {
        if route != self.generation {
            return self.execute_at_former(now, route, op);
        }
        match self.runs {
            Runs::Down => return Executed::Failed,
            Runs::Paused => return Executed::Held,
            Runs::Up => {}
        }
        // As min-replicas-to-write has it.
        if self.replica.is_none() && now > self.replica_gone + 2_000 {
            return Executed::Failed;
        }
        self.replicate(now);
        let reply = self.master.apply(op);
        C::check_answer(&reply);
        if C::only_reads(op) {
            return Executed::Answered(reply);
        }
        let lag = random.u64(self.lag.0..=self.lag.1);
        let due = (now + lag).max(self.backlog.back().map_or(0, |(due, _)| *due));
        if self.replica.is_some() {
            self.backlog.push_back((due, op.clone()));
        }
        if !C::is_vouched_for(&reply) {
            return Executed::Answered(reply);
        }
        if self.replica.is_none() || due > now + WAIT_MS {
            let until = now + WAIT_MS;
            return Executed::Unvouched { until, reply };
        }
        Executed::Waits { until: due, reply }
    }

    fn execute_at_former(&mut self, now: Ms, route: u32, op: &C::Op) -> Executed<C::Reply> {
        match &mut self.former {
            Some(former) if now < self.former_until && route + 1 == self.generation => {
                let reply = former.apply(op);
                if C::is_vouched_for(&reply) {
                    Executed::FailedElsewhere
                } else {
                    Executed::Answered(reply)
                }
            }
            Some(_) | None => Executed::FailedElsewhere,
        }
    }

    /// Whether what was executed in this generation is at a replica that is still one.
    pub(in crate::sim) fn vouches(&mut self, now: Ms, generation: u32) -> bool {
        self.replicate(now);
        self.generation == generation && self.replica.is_some()
    }

    /// The replica takes over. It lacks what it had not got by now.
    pub(in crate::sim) fn promote(&mut self, now: Ms) {
        self.replicate(now);
        let Some(replica) = self.replica.take() else {
            return;
        };
        self.backlog.clear();
        let former = std::mem::replace(&mut self.master, replica);
        self.former = (self.runs == Runs::Paused).then_some(former);
        self.former_until = 0;
        self.generation += 1;
        self.runs = Runs::Up;
        self.replica_gone = now;
    }

    /// The former master goes on, and does not know yet that it is none.
    pub(in crate::sim) fn former_goes_on(&mut self, until: Ms) {
        self.former_until = until;
    }

    pub(in crate::sim) fn has_former(&self) -> bool {
        self.former.is_some()
    }

    pub(in crate::sim) fn has_replica(&self) -> bool {
        self.replica.is_some()
    }

    pub(in crate::sim) fn lose_replica(&mut self, now: Ms) {
        self.replica = None;
        self.replica_gone = now;
        self.backlog.clear();
    }

    /// A replica has all that the master has.
    pub(in crate::sim) fn attach(&mut self) {
        if self.runs == Runs::Up {
            self.backlog.clear();
            self.replica = Some(self.master.clone());
            self.former = None;
        }
    }
}
