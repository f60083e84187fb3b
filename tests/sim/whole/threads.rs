//! The turns of the member's thread and of the desk's, those that ask the shared store for them, and what nodes say to each other.

use super::super::cluster::group::Ms;
use super::process::Actor;
use super::world::{Happening, Place, World};
use crate::base::ids::{NodeId, ShardId};
use crate::logic::delivery::{Delivery, ToShard};
use crate::services::cluster::settings::ADOPTIONS_MAX;
use crate::services::cluster::tests::simulated::{MemberJob, MemberQueue, WordToMember};
use crate::services::peers::Exchange;
use crate::services::registry::shared::tests::simulated::{DeskJob, DeskReport};

/// How often a member is told that time has passed; seldom when there is nothing to see.
const TICK_MS: u64 = 150;
const EXCHANGE_MS: Ms = 500;

impl World {
    /// The member's thread takes one thing that has come, or sees that time has passed.
    pub(super) fn member_turn(&mut self, place: Place) {
        let now = self.clock(place.host).instant;
        let Some(process) = self.process(place) else {
            return;
        };
        if let Some(word) = process.words.pop_front() {
            process.member.take(now, word);
        }
        if process.tick_at <= now {
            process.tick_at.0 = now.0 + TICK_MS;
            process.member.tick(now);
        }
        if process.member.ending().is_some() {
            return self.ended(place);
        }
        let wait = if process.words.is_empty() {
            process.tick_at.0.saturating_sub(now.0).max(1)
        } else {
            0
        };
        self.wake(place, Actor::Member, wait);
        self.tell_shards(place);
        self.poke(place, Actor::Desk);
        self.ask_on(place);
    }

    /// What the member or those that bring residents have told shards is in their inboxes from now on.
    pub(super) fn tell_shards(&mut self, place: Place) {
        let Some(process) = self.process(place) else {
            return;
        };
        for shard in process.take_notices() {
            self.poke(place, Actor::Shard(shard));
        }
    }

    /// The member has ended, and its process with it. It is started again.
    fn ended(&mut self, place: Place) {
        self.history.counts.ended += 1;
        self.kill(place.host);
        let wait = self.random.u64(500..4_000);
        self.after(wait, Happening::Start(place.host));
    }

    /// Whoever asks the shared store and has nothing to do takes the next job.
    fn ask_on(&mut self, place: Place) {
        for (queue, most) in [(MemberQueue::Beats, 1), (MemberQueue::Jobs, ADOPTIONS_MAX)] {
            while let Some(process) = self.process(place)
                && process.asking[queue as usize] < most
                && let Some(job) = process.member.next_job(queue)
            {
                process.asking[queue as usize] += 1;
                self.soon(Happening::Ask(place, queue, Box::new(job)));
            }
        }
    }

    pub(super) fn ask(&mut self, place: Place, queue: MemberQueue, job: MemberJob) {
        let told = self.trace.then(|| format!("{place:?} asks {job:?}"));
        let Some(process) = self.process(place) else {
            return;
        };
        let word = process.member.ask(queue, job);
        let spent = self.servers().take_spent();
        if let Some(told) = told {
            self.told(|| format!("{told} -> {word:?} in {spent} ms"));
        }
        self.tell_shards(place);
        let wait = spent + self.random.u64(1..3);
        self.after(wait, Happening::Asked(place, queue, Box::new(word)));
    }

    pub(super) fn asked(&mut self, place: Place, queue: MemberQueue, word: WordToMember) {
        let Some(process) = self.process(place) else {
            return;
        };
        process.asking[queue as usize] -= 1;
        process.words.push_back(word);
        self.poke(place, Actor::Member);
        self.ask_on(place);
    }

    pub(super) fn desk_turn(&mut self, place: Place) {
        let now = self.clock(place.host);
        let Some(process) = self.process(place) else {
            return;
        };
        process.desk.turn(now);
        if process.take_news() {
            self.poke(place, Actor::Member);
        }
        let Some(process) = self.process(place) else {
            return;
        };
        let mismatched = process.desk.mismatched();
        let due = process.desk.due();
        let job = process.desk.next_job();
        let answers = process.take_answers();
        if mismatched > 0 {
            self.fail("a shard's commit did not follow what is on record");
        }
        if let Some(job) = job {
            self.soon(Happening::Call(place, Box::new(job)));
        }
        if let Some(due) = due {
            self.wake(place, Actor::Desk, due.0.saturating_sub(now.instant.0).max(1));
        }
        for answer in answers {
            self.desk_answers(place, answer);
        }
    }

    fn desk_answers(&mut self, place: Place, answer: Delivery) {
        match answer {
            Delivery::Shard(shard, answer) => {
                if let ToShard::Committed(key, outcome) = &answer {
                    self.recorded(place, shard, *key, *outcome);
                }
                self.deliver(place, shard, answer);
            }
            Delivery::Http(reply) => self.replied(place, reply),
            Delivery::Registry(_) | Delivery::Peer(..) | Delivery::Outcomes(_) => {
                unreachable!("a desk asks nobody")
            }
        }
    }

    /// Something is in a shard's inbox.
    pub(super) fn deliver(&mut self, place: Place, shard: ShardId, delivered: ToShard) {
        if let Some(process) = self.process(place) {
            process.shards[usize::from(shard.0)].inbox.push_back(delivered);
            self.poke(place, Actor::Shard(shard));
        }
    }

    pub(super) fn call(&mut self, place: Place, job: DeskJob) {
        let told = self.trace.then(|| format!("{place:?} desk calls {job:?}"));
        let Some(process) = self.process(place) else {
            return;
        };
        let report = process.desk.make_calls(job);
        let spent = self.servers().take_spent();
        if let Some(told) = told {
            self.told(|| format!("{told} -> {report:?} in {spent} ms"));
        }
        let wait = spent + self.random.u64(1..3);
        self.after(wait, Happening::Called(place, Box::new(report)));
    }

    pub(super) fn called(&mut self, place: Place, report: DeskReport) {
        if let Some(process) = self.process(place) {
            process.desk.report(report);
            self.poke(place, Actor::Desk);
        }
    }

    /// A process writes to its peers.
    pub(super) fn exchange(&mut self, place: Place) {
        let now = self.now;
        let Some(process) = self.process(place) else {
            return;
        };
        let stands_still = process.paused_until > now;
        let exchange = process.member.exchange();
        self.after(EXCHANGE_MS, Happening::Exchange(place));
        if stands_still {
            return;
        }
        let from = self.hosts[place.host].node;
        for to in 0..self.hosts.len() {
            let is_lost = !self.is_peaceful && self.random.u8(..) < 4;
            if to != place.host && !is_lost && self.cut[place.host][to] <= now {
                let exchange = Box::new(exchange.clone());
                self.soon(Happening::Hear { to, from, exchange });
            }
        }
    }

    pub(super) fn hear(&mut self, to: usize, from: NodeId, exchange: Exchange) {
        if let Some(place) = self.place(to)
            && let Some(process) = self.process(place)
        {
            process.words.push_back(WordToMember::heard(from, exchange));
            self.poke(place, Actor::Member);
        }
    }
}
