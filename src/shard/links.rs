//! What happens to one connection, and what is done with it: the steps of the picture in `conn`. Each completion
//! that is late, of a connection that is gone, changes nothing.

use std::net::{IpAddr, SocketAddr};

use crate::base::ids::ConnKey;
use crate::base::limits::{DRAIN_MS_MAX, OUTBOUND_BYTES_MAX};
use crate::base::time::Instant;
use crate::engine::completion::{Incoming, Refusal, SendEnd};
use crate::engine::operations::{Cancel, Patience};
use crate::logic::{Effect, Input, LinkLoss, Peer};
use crate::protocol::outgoing::Outgoing;
use crate::shard::conn::{InFlight, Stage};
use crate::shard::notes;
use crate::shard::turn::{Echo, Shard};

impl Shard {
    pub(super) fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Send(key, bytes) => self.send(key, bytes),
            Effect::Stay(key) => self.stay(key),
            Effect::Move(key, target, arrival) => self.leave(key, target, arrival),
            Effect::Close(key) => self.drain(key),
            Effect::Ask(question) => self.asks.push(question),
            Effect::Reply(answer) => self.replies.push(answer),
            Effect::Trace(event) => notes::log(self.id, &event),
        }
    }

    pub(super) fn accepted(&mut self, slot: u32, address: SocketAddr, listener: usize) {
        let key = self.table.open(slot);
        let address = match address.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let stack = self.accepting.stacks[listener];
        self.decide(Input::Opened(key, Peer { address, stack }));
        self.listen_on(key);
    }

    /// Lets a connection that is not at home yet say more.
    fn listen_on(&mut self, key: ConnKey) {
        if self.table.stage(key) == Stage::Greeting {
            self.receive(key, Patience::Waits);
        }
    }

    fn receive(&mut self, key: ConnKey, patience: Patience) {
        let Some(conn) = self.table.get(key) else { return };
        if !conn.in_flight.has(InFlight::RECEIVE) {
            conn.in_flight.add(InFlight::RECEIVE);
            self.ring.receive(key, patience);
        }
    }

    fn stay(&mut self, key: ConnKey) {
        if self.table.stage(key) == Stage::Greeting {
            let conn = self.table.get(key).expect("it has a stage");
            conn.stage = Stage::Settled;
            self.poll(key);
        }
    }

    /// Waits for more, unless something is under way that will tell of it.
    fn poll(&mut self, key: ConnKey) {
        let conn = self.table.get(key).expect("asked for by one that is here");
        if !conn.in_flight.has(InFlight::POLL) && !conn.in_flight.has(InFlight::RECEIVE) {
            conn.in_flight.add(InFlight::POLL);
            self.ring.poll(key);
        }
    }

    pub(super) fn polled(&mut self, key: ConnKey) {
        let Some(conn) = self.table.get(key) else { return };
        conn.in_flight.remove(InFlight::POLL);
        match conn.stage {
            Stage::Settled => self.receive(key, Patience::AtOnce),
            Stage::Ending => self.join(key),
            Stage::Draining => {}
            Stage::Free | Stage::Greeting | Stage::Moving | Stage::Closing => {
                unreachable!("only a settled connection is polled, and its end is joined")
            }
        }
    }

    pub(super) fn received(&mut self, key: ConnKey, incoming: Incoming) {
        if let Some(conn) = self.table.get(key) {
            conn.in_flight.remove(InFlight::RECEIVE);
        }
        match incoming {
            Incoming::Bytes { buffer, more } => {
                let stage = self.table.stage(key);
                match stage {
                    Stage::Greeting | Stage::Settled => self.decide_received(key, &buffer),
                    Stage::Ending | Stage::Draining | Stage::Free | Stage::Moving | Stage::Closing => {}
                }
                self.ring.recycle(buffer);
                self.go_on(key, stage, more);
            }
            Incoming::EndWith(buffer) => {
                self.ring.recycle(buffer);
                self.link_ended(key);
            }
            Incoming::End => self.link_ended(key),
            Incoming::Nothing => self.read_empty(key),
            Incoming::NoBuffer => {
                self.own.buffer_shortages += 1;
                self.starved.push(key);
            }
            Incoming::Cancelled => self.join_if_ending(key),
        }
    }

    /// Reads on after bytes that came at `stage`. What was decided on them may have changed the stage since.
    fn go_on(&mut self, key: ConnKey, stage: Stage, more: bool) {
        match self.table.stage(key) {
            Stage::Greeting => {
                self.pace.event();
                self.receive(key, Patience::Waits);
            }
            Stage::Settled => {
                if stage == Stage::Settled {
                    self.pace.heartbeat();
                }
                if more {
                    self.receive(key, Patience::AtOnce);
                } else {
                    self.poll(key);
                }
            }
            Stage::Ending => self.join(key),
            Stage::Draining | Stage::Free | Stage::Moving | Stage::Closing => {}
        }
    }

    /// There is nothing more to read, or to throw away.
    fn read_empty(&mut self, key: ConnKey) {
        match self.table.stage(key) {
            Stage::Settled => self.poll(key),
            Stage::Ending => {
                self.stop_reading(key);
                self.join(key);
            }
            Stage::Free | Stage::Greeting | Stage::Moving | Stage::Draining | Stage::Closing => {}
        }
    }

    /// Buffers came back since: those that found none try again.
    pub(super) fn feed_starved(&mut self) {
        for key in std::mem::take(&mut self.starved) {
            match self.table.stage(key) {
                Stage::Greeting => self.receive(key, Patience::Waits),
                Stage::Settled => self.receive(key, Patience::AtOnce),
                Stage::Ending => self.join(key),
                Stage::Draining | Stage::Free | Stage::Moving | Stage::Closing => {}
            }
        }
    }

    fn link_ended(&mut self, key: ConnKey) {
        match self.table.stage(key) {
            Stage::Greeting | Stage::Settled => {
                self.stop_reading(key);
                self.end(key);
                self.decide(Input::Closed(key, LinkLoss::Peer));
            }
            Stage::Draining => {
                self.stop_reading(key);
                self.end(key);
            }
            Stage::Ending => self.read_empty(key),
            Stage::Free | Stage::Moving | Stage::Closing => {}
        }
    }

    fn stop_reading(&mut self, key: ConnKey) {
        self.table
            .get(key)
            .expect("its caller knows its stage")
            .discards_left = 0;
    }

    fn send(&mut self, key: ConnKey, bytes: Outgoing) {
        match self.table.stage(key) {
            Stage::Greeting | Stage::Settled => {}
            Stage::Free | Stage::Moving | Stage::Draining | Stage::Ending | Stage::Closing => return,
        }
        let in_flight = self.table.get(key).expect("it has a stage").in_flight;
        match (in_flight.has(InFlight::SEND), bytes) {
            (false, Outgoing::Constant(constant)) => self.ring.send_constant(key, constant),
            (false, Outgoing::Bytes(bytes)) => {
                self.table.begin_send(key);
                self.sending_count += 1;
                self.ring.send(key, bytes, 0);
            }
            (true, bytes) => {
                let queue = &mut self.table.busy(key).queue;
                queue.extend_from_slice(bytes.as_slice());
                if queue.len() > OUTBOUND_BYTES_MAX {
                    self.shed(key, LinkLoss::SlowReader);
                }
            }
        }
    }

    pub(super) fn constant_not_sent(&mut self, key: ConnKey, refusal: Refusal) {
        self.not_sent(key, refusal);
    }

    /// Something could not be sent. A peer that is gone may have said goodbye before: what it sent is read first, and the read
    /// behind it tells of the end.
    fn not_sent(&mut self, key: ConnKey, refusal: Refusal) {
        let is_read = matches!(self.table.stage(key), Stage::Greeting | Stage::Settled);
        if refusal.is_of_gone_peer() && is_read {
            return;
        }
        let loss = match refusal {
            Refusal::FULL => LinkLoss::SlowReader,
            Refusal(_) => LinkLoss::Peer,
        };
        self.shed(key, loss);
        self.hear_echoes();
    }

    pub(super) fn sent(&mut self, key: ConnKey, end: SendEnd) {
        self.sending_count -= 1;
        let Some(conn) = self.table.get(key) else { return };
        conn.in_flight.remove(InFlight::SEND);
        let stage = conn.stage;
        if stage == Stage::Ending {
            self.table.end_send(key);
            return self.join(key);
        }
        let count = match end.sent {
            Ok(count @ 1..) => count,
            Ok(0) | Err(_) => {
                self.table.end_send(key);
                return self.not_sent(key, end.sent.err().unwrap_or(Refusal::NOTHING));
            }
        };
        let busy = self.table.busy(key);
        let sent = busy.start + count;
        if sent < end.bytes.len() {
            busy.start = sent;
            self.send_on(key, end.bytes, sent);
        } else if busy.queue.is_empty() {
            self.table.end_send(key);
            if stage == Stage::Draining {
                self.end(key);
            }
        } else {
            busy.start = 0;
            let bytes = std::mem::take(&mut busy.queue);
            self.send_on(key, bytes, 0);
        }
    }

    fn send_on(&mut self, key: ConnKey, bytes: Vec<u8>, start: usize) {
        let conn = self.table.get(key).expect("its caller has looked");
        conn.in_flight.add(InFlight::SEND);
        self.sending_count += 1;
        self.ring.send(key, bytes, start);
    }

    /// Resets a connection. Logic learns it, if it has not forgotten the connection, after the effects in hand.
    fn shed(&mut self, key: ConnKey, loss: LinkLoss) {
        match self.table.stage(key) {
            Stage::Greeting | Stage::Settled => self.echoes.push_back(Echo::Lost(key, loss)),
            Stage::Draining => {}
            Stage::Free | Stage::Moving | Stage::Ending | Stage::Closing => return,
        }
        self.ring.abort(key);
        self.stop_reading(key);
        self.end_when_joined(key);
    }

    /// Gives logic what was not made to happen by its own effects.
    pub(super) fn hear_echoes(&mut self) {
        while let Some(echo) = self.echoes.pop_front() {
            match echo {
                Echo::Stayed(key) => self.decide(Input::Stayed(key)),
                Echo::Lost(key, loss) => self.decide(Input::Closed(key, loss)),
            }
        }
    }

    /// Logic has forgotten the connection: what is on its way out goes first.
    fn drain(&mut self, key: ConnKey) {
        self.echoes
            .retain(|echo| *echo != Echo::Stayed(key) && !matches!(echo, Echo::Lost(of, _) if *of == key));
        match self.table.stage(key) {
            Stage::Greeting | Stage::Settled => {}
            Stage::Free | Stage::Moving | Stage::Draining | Stage::Ending | Stage::Closing => return,
        }
        let conn = self.table.get(key).expect("it has a stage");
        conn.stage = Stage::Draining;
        if !conn.in_flight.has(InFlight::SEND) {
            return self.end(key);
        }
        let due = Instant(self.now.instant.0 + DRAIN_MS_MAX);
        self.draining.push_back((due, key));
    }

    pub(super) fn end_late_drains(&mut self) {
        while let Some((due, key)) = self.draining.front().copied() {
            let drains = self.table.stage(key) == Stage::Draining;
            if drains && due > self.now.instant {
                return;
            }
            self.draining.pop_front();
            if drains {
                self.shed(key, LinkLoss::SlowReader);
            }
        }
    }

    /// Cancels what is armed. When all of it has ended the connection is closed: a close before would leak the
    /// socket.
    pub(super) fn end(&mut self, key: ConnKey) {
        let armed = self.table.get(key).expect("its caller knows its stage").in_flight;
        for (what, cancel) in [
            (InFlight::RECEIVE, Cancel::Receive),
            (InFlight::POLL, Cancel::Poll),
            (InFlight::SEND, Cancel::Send),
        ] {
            if armed.has(what) {
                self.ring.cancel(key, cancel);
            }
        }
        self.end_when_joined(key);
    }

    fn end_when_joined(&mut self, key: ConnKey) {
        self.table.get(key).expect("its caller knows its stage").stage = Stage::Ending;
        self.join(key);
    }

    fn join_if_ending(&mut self, key: ConnKey) {
        if self.table.stage(key) == Stage::Ending {
            self.join(key);
        }
    }

    fn join(&mut self, key: ConnKey) {
        let conn = self.table.get(key).expect("its caller knows its stage");
        if conn.in_flight != InFlight::NOTHING {
            return;
        }
        match conn.discards_left.checked_sub(1) {
            Some(left) => {
                conn.discards_left = left;
                self.receive(key, Patience::AtOnce);
            }
            None => self.close(key),
        }
    }

    /// Closes a connection that has nothing in flight.
    pub(super) fn close(&mut self, key: ConnKey) {
        let conn = self.table.get(key).expect("its caller knows its stage");
        conn.stage = Stage::Closing;
        self.ring.close(key);
    }
}
