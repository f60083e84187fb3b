//! The turn of a shard: take what others sent, reap what the kernel has done, decide, carry out, hand over, publish, wait.
//! The clock is read once a turn, and once more where answers wait for its end.

use std::mem::{swap, take};
use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::base::ids::PartitionId;
use crate::base::limits::{COMPLETIONS_PER_ROUND_MAX, INBOX_TAKEN_PER_TURN_MAX, ROUNDS_PER_TURN_MAX};
use crate::base::time::Instant;
use crate::engine::completion::Completion;
use crate::engine::enter_result::RingFault;
use crate::engine::kernel::Kernel;
use crate::logic::Input;
use crate::logic::delivery::ToShard;
use crate::shard::config::Restored;
use crate::shard::mesh::{InboxEntry, ShardCredit, ShardSender};
use crate::shard::parts::{FollowUp, Shard, ShardLife, ShardLogic};
use crate::shard::wake_policy::ShardWait;

/// When a turn tries again to hand over what found no room.
const SEND_AGAIN_MS: u64 = 1;

impl Shard {
    /// Works until it is stopped.
    ///
    /// # Errors
    /// If what the ring says is not to be trusted any more: then neither is what is known of connections.
    pub(super) fn run(mut self, restored: &Receiver<Restored>) -> Result<(), RingFault> {
        for users in restored {
            self.now = self.clock.now();
            self.decide(Input::Delivered(ToShard::Adopt(PartitionId::SOLE, users)));
        }
        self.inbox.room.open();
        self.shards.iter().for_each(ShardSender::wake);
        loop {
            self.turn();
            if let Some(fault) = self.ring.fault() {
                return Err(fault);
            }
            if self.life == ShardLife::Ended {
                return Ok(());
            }
            self.wait();
        }
    }

    fn turn(&mut self) {
        self.now = self.clock.now();
        self.counts.turns += 1;
        self.is_overworked = false;
        self.take_inbox();
        self.connections.feed(&mut self.ring);
        self.ring.submit();
        self.complete_all();
        self.do_steps();
        self.hear_of_turned_away();
        self.pass_time();
        self.accept();
        self.let_out();
        self.hand_over();
        self.ring.hand_in();
        self.look_for_the_end();
        self.count_turn();
    }

    fn count_turn(&mut self) {
        self.counts.slots_taken_now = u64::from(self.connections.open_count());
        (
            self.counts.completions_overflowed,
            self.counts.operations_unsubmitted_now,
        ) = self.ring.pressure();
        self.publisher.publish(self.logic.counters(), &self.counts);
        self.publisher.turn_took(self.clock.since_now());
    }

    /// Answers that waited for the end of the turn leave. The clock is read anew: what the lease says of them counts from behind the
    /// last one.
    fn let_out(&mut self) {
        if self.logic.has_gathered() {
            self.now = self.clock.now();
            self.logic.let_out(self.now, &mut self.effects);
            self.carry_out();
        }
    }

    fn take_inbox(&mut self) {
        for _ in 0..INBOX_TAKEN_PER_TURN_MAX {
            let Ok(entry) = self.inbox.entries.try_recv() else {
                return;
            };
            self.wake_policy.event();
            match entry {
                InboxEntry::Sent(sent) => {
                    if let Some(credit) = ShardCredit::of(&sent) {
                        self.inbox.room.give_back(credit);
                    }
                    if sent == ToShard::Stop && self.life == ShardLife::Works {
                        self.life = ShardLife::StopsBy(self.now.instant.after(self.stop_within));
                        self.ring.cancel_accepts();
                    }
                    if let ToShard::Transports(transports, _receipt) = sent {
                        self.transports.renew(transports);
                    } else {
                        self.decide(Input::Delivered(sent));
                    }
                }
                InboxEntry::Moved(token, newcomer) => self.announced(token, newcomer),
            }
        }
        self.is_overworked |= !self.inbox.entries.is_empty();
    }

    /// Reaps until there is nothing, or the turn has had its share.
    fn complete_all(&mut self) {
        for _ in 0..ROUNDS_PER_TURN_MAX {
            let mut completions = take(&mut self.completions);
            self.ring.reap(&mut completions, COMPLETIONS_PER_ROUND_MAX);
            let done = completions.is_empty();
            for completion in completions.drain(..) {
                self.complete(completion);
            }
            self.completions = completions;
            if done {
                return;
            }
            self.ring.hand_in();
        }
        self.is_overworked |= self.ring.has_completions();
    }

    fn complete(&mut self, completion: Completion) {
        match completion {
            Completion::Accepted { slot, peer, listener } => {
                self.wake_policy.event();
                self.accepted(slot, peer, listener);
            }
            Completion::NotAccepted(end) => {
                self.accepting
                    .not_accepted(end, self.now.instant, &mut self.counts);
            }
            Completion::Arrived(token, slot) => self.arrived(token, slot),
            Completion::Of(key, event) => self.happened(key, event),
        }
    }

    fn accept(&mut self) {
        let now = self.now.instant;
        if self.life == ShardLife::Works && self.accepting.next_deadline(now).is_none() && self.all_ready() {
            let free = self.connections.free_count();
            self.accepting.accept(now, free, &mut self.ring, &mut self.counts);
        }
    }

    /// Whether all shards have begun: a terminal whose home has not would be refused. Each wakes the others when it begins.
    fn all_ready(&mut self) -> bool {
        if !self.accepting.all_ready && self.shards.iter().all(ShardSender::is_ready) {
            self.accepting.all_ready = true;
            if self.is_alone {
                self.decide(Input::Delivered(ToShard::Open(PartitionId::SOLE)));
            }
        }
        self.accepting.all_ready
    }

    /// Hands over what the turn had for other threads. What finds no room is kept for the next turn, which comes soon.
    fn hand_over(&mut self) {
        for delivery in self.outbox.drain(..) {
            self.unsent.extend((self.router)(delivery).err());
        }
        swap(&mut self.outbox, &mut self.unsent);
    }

    fn look_for_the_end(&mut self) {
        let ShardLife::StopsBy(deadline) = self.life else {
            return;
        };
        let everyone_gone = self.connections.open_count() == 0
            && self.ring.accepts_pending() == 0
            && self.logic.in_flight() == 0
            && self.outbox.is_empty()
            && self.inbox.entries.is_empty()
            && self.inbox.room.close();
        if everyone_gone || deadline <= self.now.instant {
            self.life = ShardLife::Ended;
        }
    }

    fn wait(&mut self) {
        if self.connections.is_sending() || self.moves.any_leaving() {
            self.wake_policy.hurry();
        }
        let how = self.wake_policy.wait(self.now.instant);
        let wait = self
            .next_deadline()
            .map(|deadline| deadline.since(self.now.instant));
        let at_most = |longest: Duration| wait.map_or(longest, |wait| wait.min(longest));
        if wait == Some(Duration::ZERO) || self.connections.waits_for_buffers() || self.is_overworked {
            return;
        }
        let inbox = &self.inbox;
        let (shards, all_ready) = (&self.shards, self.accepting.all_ready);
        let nothing_came =
            || inbox.entries.is_empty() && (all_ready || !shards.iter().all(ShardSender::is_ready));
        match how {
            ShardWait::Batching(longest) => inbox.sleeper.wait_batching(at_most(longest)),
            ShardWait::Timed(_) | ShardWait::InRing if self.ring.has_completions() => {}
            ShardWait::Timed(longest) => inbox.sleeper.wait_timed(at_most(longest), nothing_came),
            ShardWait::InRing => inbox
                .sleeper
                .wait_in_ring(nothing_came, || self.ring.submit_and_wait(wait)),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let stop = match self.life {
            ShardLife::StopsBy(deadline) => Some(deadline),
            ShardLife::Works | ShardLife::Ended => None,
        };
        let unsent = (!self.outbox.is_empty()).then(|| Instant(self.now.instant.0 + SEND_AGAIN_MS));
        let all = [
            unsent,
            self.connections.next_deadline(),
            self.accepting.next_deadline(self.now.instant),
            stop,
            self.moves.next_deadline(),
            self.logic.next_deadline(),
        ];
        all.into_iter().flatten().min()
    }
}

impl<K: Kernel, L: ShardLogic> Shard<K, L> {
    /// One input, then all its effects, then the next.
    pub(super) fn decide(&mut self, input: Input<'_>) {
        self.logic.handle(self.now, input, &mut self.effects);
        self.carry_out();
    }

    /// Carries out all effects of one input, then gives logic what followed of them.
    pub(super) fn carry_out(&mut self) {
        loop {
            let mut effects = take(&mut self.effects);
            for effect in effects.drain(..) {
                self.act(effect);
            }
            self.effects = effects;
            let Some(follow_up) = self.follow_ups.pop_front() else {
                return;
            };
            let input = match follow_up {
                FollowUp::Stayed(key) => Input::Stayed(key),
                FollowUp::Lost(key, loss) => Input::Closed(key, loss),
            };
            self.logic.handle(self.now, input, &mut self.effects);
        }
    }

    pub(super) fn pass_time(&mut self) {
        self.connections.expire(self.now.instant, &mut self.ring);
        self.end_unpaired();
        self.logic.expire(self.now, &mut self.effects);
        self.carry_out();
    }
}
