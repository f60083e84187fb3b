//! The turn of a shard: take letters, reap what the kernel has done, decide, carry out, hand over, publish, sleep.
//! The clock is read once a turn.

use std::collections::VecDeque;
use std::mem::take;
use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::base::ids::{ConnKey, ShardId};
use crate::base::limits::{COMPLETIONS_PER_ROUND_MAX, LETTERS_PER_TURN_MAX, ROUNDS_PER_TURN_MAX};
use crate::base::time::{Clock, Instant, Now};
use crate::engine::completion::Completion;
use crate::engine::entered::RingFault;
use crate::engine::ring::Ring;
use crate::logic::letter::{ToFront, ToRegistry, ToShard};
use crate::logic::state::ShardState;
use crate::logic::{Effect, Input, LinkLoss};
use crate::shard::accepting::Accepting;
use crate::shard::conn::Table;
use crate::shard::mesh::{Inbox, Mail, Services, ShardDoor};
use crate::shard::moves::Moves;
use crate::shard::pace::{Pace, Sleep};
use crate::shard::view::{Own, Publisher};
use crate::shard::{Config, Restored};

/// One core's thread.
pub(super) struct Shard {
    pub(super) id: ShardId,
    pub(super) ring: Ring,
    pub(super) logic: ShardState,
    pub(super) table: Table,
    pub(super) moves: Moves,
    pub(super) pace: Pace,
    pub(super) now: Now,
    pub(super) own: Own,
    /// Connections that found no receive buffer.
    pub(super) starved: Vec<ConnKey>,
    /// When each draining connection is ended all the same, in this order.
    pub(super) draining: VecDeque<(Instant, ConnKey)>,
    /// What carrying out effects made happen.
    pub(super) echoes: VecDeque<Echo>,
    /// The turn has had its share, and left something.
    overworked: bool,
    /// Connections with a send in flight.
    pub(super) sending_count: u32,
    pub(super) doors: Vec<ShardDoor>,
    clock: Clock,
    pub(super) inbox: Inbox,
    services: Services,
    publisher: Publisher,
    out: Vec<Effect>,
    completions: Vec<Completion>,
    pub(super) asks: Vec<ToRegistry>,
    pub(super) replies: Vec<ToFront>,
    pub(super) accepting: Accepting,
    pub(super) life: Life,
    stop_within: Duration,
}

/// What carrying out an effect made happen. It is given to logic after all effects of the same input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    Stayed(ConnKey),
    Lost(ConnKey, LinkLoss),
}

/// Whether the shard goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Works,
    /// Until everyone is gone, or until this moment.
    StopsBy(Instant),
    Ended,
}

impl Shard {
    pub(super) fn new(
        config: &Config,
        (clock, now): (Clock, Now),
        (ring, logic): (Ring, ShardState),
        (inbox, doors, services): (Inbox, Vec<ShardDoor>, Services),
        publisher: Publisher,
    ) -> Self {
        let slots = config.place.connections_max;
        Self {
            id: config.place.shard,
            ring,
            logic,
            table: Table::new(slots),
            moves: Moves::new(config.place.shard, config.settings.login_deadline),
            pace: Pace::new(config.heartbeat_delay_max, now.instant),
            now,
            own: Own {
                slots_now: u64::from(slots),
                ..Own::default()
            },
            starved: Vec::new(),
            draining: VecDeque::new(),
            echoes: VecDeque::new(),
            overworked: false,
            sending_count: 0,
            doors,
            clock,
            inbox,
            services,
            publisher,
            out: Vec::new(),
            completions: Vec::with_capacity(COMPLETIONS_PER_ROUND_MAX),
            asks: Vec::new(),
            replies: Vec::new(),
            accepting: Accepting::new(config, now.instant),
            life: Life::Works,
            stop_within: config.stop_deadline,
        }
    }

    /// Works until it is stopped.
    ///
    /// # Errors
    /// If what the ring says is not to be trusted any more: then neither is what is known of connections.
    pub(super) fn run(mut self, restored: &Receiver<Restored>) -> Result<(), RingFault> {
        for users in restored {
            self.now = self.clock.now();
            self.decide(Input::Letter(ToShard::Restore(users)));
        }
        self.inbox.room.open();
        self.doors.iter().for_each(ShardDoor::knock);
        loop {
            self.turn();
            if let Some(fault) = self.ring.fault() {
                return Err(fault);
            }
            if self.life == Life::Ended {
                return Ok(());
            }
            self.sleep();
        }
    }

    fn turn(&mut self) {
        self.now = self.clock.now();
        self.own.turns += 1;
        self.overworked = false;
        self.take_letters();
        self.feed_starved();
        self.ring.submit();
        self.complete_all();
        self.hear_of_turned_away();
        self.pass_time();
        self.accept();
        self.hand_over();
        self.ring.hand_in();
        self.look_for_the_end();
        self.count_turn();
    }

    fn count_turn(&mut self) {
        self.own.slots_taken_now = u64::from(self.table.open_count());
        (
            self.own.completions_overflowed,
            self.own.operations_unsubmitted_now,
        ) = self.ring.pressure();
        self.publisher.publish(self.logic.counters(), &self.own);
        self.publisher.turn_took(self.clock.since_now());
    }

    fn take_letters(&mut self) {
        for _ in 0..LETTERS_PER_TURN_MAX {
            let Ok(mail) = self.inbox.mail.try_recv() else {
                return;
            };
            self.pace.event();
            match mail {
                Mail::Letter(letter) => {
                    if letter == ToShard::Stop && self.life == Life::Works {
                        self.life = Life::StopsBy(self.now.instant.after(self.stop_within));
                        self.ring.cancel_accepts();
                    }
                    self.decide(Input::Letter(letter));
                }
                Mail::Moved(token, arrival) => self.announced(token, arrival),
            }
        }
        self.overworked |= !self.inbox.mail.is_empty();
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
        self.overworked |= self.ring.has_completions();
    }

    fn complete(&mut self, completion: Completion) {
        match completion {
            Completion::Accepted { slot, peer, listener } => {
                self.pace.event();
                self.accepting.rate.take();
                self.accepted(slot, peer, listener);
            }
            Completion::NotAccepted(end) => self.not_accepted(end),
            Completion::Received(key, incoming) => self.received(key, incoming),
            Completion::Polled(key) => self.polled(key),
            Completion::ConstantNotSent(key, refusal) => self.constant_not_sent(key, refusal),
            Completion::Sent(key, end) => self.sent(key, end),
            Completion::Closed(key) => self.table.free(key),
            Completion::Left(key, result) => self.left(key, result),
            Completion::Arrived(token, slot) => self.arrived(token, slot),
            Completion::Connected(..) => unreachable!("a shard connects to nobody"),
        }
    }

    /// One input, then all its effects, then the next.
    pub(super) fn decide(&mut self, input: Input<'_>) {
        self.logic.handle(self.now, input, &mut self.out);
        self.carry_out();
    }

    /// As [`Shard::decide`] for bytes that are in a receive buffer.
    pub(super) fn decide_received(&mut self, key: ConnKey, buffer: &crate::engine::buffers::Buffer) {
        let input = Input::Received(key, self.ring.bytes(buffer));
        self.logic.handle(self.now, input, &mut self.out);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        loop {
            let mut effects = take(&mut self.out);
            for effect in effects.drain(..) {
                self.act(effect);
            }
            self.out = effects;
            let Some(echo) = self.echoes.pop_front() else {
                return;
            };
            let input = match echo {
                Echo::Stayed(key) => Input::Stayed(key),
                Echo::Lost(key, loss) => Input::Closed(key, loss),
            };
            self.logic.handle(self.now, input, &mut self.out);
        }
    }

    fn pass_time(&mut self) {
        self.end_late_drains();
        self.end_unpaired();
        self.logic.expire(self.now, &mut self.out);
        self.carry_out();
    }

    /// Hands over what the turn had to say, with one wake each.
    fn hand_over(&mut self) {
        if !self.asks.is_empty() {
            (self.services.registry)(&mut self.asks);
        }
        if !self.replies.is_empty() {
            (self.services.front)(&mut self.replies);
        }
    }

    fn look_for_the_end(&mut self) {
        let Life::StopsBy(deadline) = self.life else {
            return;
        };
        let everyone_gone = self.table.open_count() == 0
            && self.ring.accepts_pending() == 0
            && self.logic.in_flight() == 0
            && self.inbox.mail.is_empty()
            && self.inbox.room.close();
        if everyone_gone || deadline <= self.now.instant {
            self.life = Life::Ended;
        }
    }

    fn sleep(&mut self) {
        if self.sending_count > 0 || self.moves.any_leaving() {
            self.pace.hurry();
        }
        let how = self.pace.sleep(self.now.instant);
        let wait = self
            .next_deadline()
            .map(|deadline| deadline.since(self.now.instant));
        let at_most = |sleep: Duration| wait.map_or(sleep, |wait| wait.min(sleep));
        if wait == Some(Duration::ZERO) || !self.starved.is_empty() || self.overworked {
            return;
        }
        let inbox = &self.inbox;
        let (doors, all_ready) = (&self.doors, self.accepting.all_ready);
        let nothing_came = || inbox.mail.is_empty() && (all_ready || !doors.iter().all(ShardDoor::is_ready));
        match how {
            Sleep::Doze(doze) => inbox.sleeper.doze(at_most(doze)),
            Sleep::Nap(_) | Sleep::InRing if self.ring.has_completions() => {}
            Sleep::Nap(nap) => inbox.sleeper.nap(at_most(nap), nothing_came),
            Sleep::InRing => inbox
                .sleeper
                .in_ring(nothing_came, || self.ring.submit_and_wait(wait)),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let drain = self.draining.front().map(|(due, _)| *due);
        let again = Some(self.accepting.again_at).filter(|at| *at > self.now.instant);
        let stop = match self.life {
            Life::StopsBy(deadline) => Some(deadline),
            Life::Works | Life::Ended => None,
        };
        let all = [
            drain,
            again,
            stop,
            self.moves.next_deadline(),
            self.logic.next_deadline(),
        ];
        all.into_iter().flatten().min()
    }
}
