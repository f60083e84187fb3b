//! What comes of connections that are not plain: their transports' answers go out, the dialect's bytes to logic, and what takes
//! long is done a few at a time. How bytes are unwrapped is in [`crate::protocol::transport`].

use std::mem::take;

use crate::base::ids::ConnKey;
use crate::base::limits::{STEPS_PER_TURN_MAX, STEPS_WAITING_MAX};
use crate::engine::completion::Unread;
use crate::engine::connection::ConnectionStage;
use crate::engine::kernel::Kernel;
use crate::logic::{Input, LinkLoss};
use crate::protocol::transport::ending::{TransportEnd, TransportMistake};
use crate::protocol::transport::tls::connection::{Handshaken, Resumed, TlsKept};
use crate::protocol::transport::unwrapped::Unwrapped;
use crate::shard::connections::{ReadOn, as_ipv6};
use crate::shard::parts::{Shard, ShardLogic};

impl<K: Kernel, L: ShardLogic> Shard<K, L> {
    /// Bytes came of a connection that is not plain.
    pub(super) fn unwrap(&mut self, key: ConnKey, buffer: K::Buffer) -> ReadOn {
        let mut unwrapped = take(&mut self.unwrapped);
        let bytes = self.ring.bytes(&buffer);
        let handshaken = self.transports.receive(key.slot, bytes, &mut unwrapped);
        self.ring.recycle(buffer);
        self.count_handshake(handshaken);
        self.pass_on(key, unwrapped)
    }

    /// Does some of the steps that wait: a turn full of them would keep heartbeats waiting.
    pub(super) fn do_steps(&mut self) {
        for _ in 0..STEPS_PER_TURN_MAX {
            self.drop_gone_steps();
            let Some(key) = self.steps.pop_front() else {
                return;
            };
            let mut unwrapped = take(&mut self.unwrapped);
            let handshaken = self.transports.step(key.slot, &mut unwrapped);
            self.count_handshake(handshaken);
            if self.pass_on(key, unwrapped) == ReadOn::AtOnce {
                self.connections.read_on(key, Unread::Perhaps, &mut self.ring);
            }
        }
        self.is_overworked |= !self.steps.is_empty();
    }

    /// Gives everybody what is for them: first the peer, since what logic sends goes behind it.
    fn pass_on(&mut self, key: ConnKey, mut unwrapped: Unwrapped) -> ReadOn {
        if !unwrapped.answer.is_empty() {
            let mut answer = self.connections.room_to_send();
            answer.extend_from_slice(&unwrapped.answer);
            let lost = self.connections.send(key, answer, &mut self.ring);
            self.lost_by_send(key, lost);
            self.carry_out();
        }
        if let Some(client) = unwrapped.client {
            self.decide(Input::ClientKnown(key, as_ipv6(client)));
        }
        // Each of these may end the connection, of which logic must not hear any more then.
        if unwrapped.alive && self.is_live(key) {
            self.decide(Input::Alive(key));
        }
        if !unwrapped.bytes.is_empty() && self.is_live(key) {
            self.decide(Input::Received(key, &unwrapped.bytes));
        }
        let mut read_on = ReadOn::AtOnce;
        if unwrapped.step_waits {
            read_on = self.await_step(key);
        }
        self.end_if_ended(key);
        unwrapped.clear();
        self.unwrapped = unwrapped;
        read_on
    }

    fn count_handshake(&mut self, handshaken: Option<Handshaken>) {
        let Some(Handshaken { resumed, kept }) = handshaken else {
            return;
        };
        match resumed {
            Resumed::No => self.counts.handshakes_full += 1,
            Resumed::Yes => self.counts.handshakes_resumed += 1,
        }
        if kept == TlsKept::Rustls {
            self.counts.handshakes_kept_by_rustls += 1;
        }
    }

    /// Those of connections that went while they waited.
    fn drop_gone_steps(&mut self) {
        while self.steps.front().is_some_and(|key| !self.is_live(*key)) {
            self.steps.pop_front();
        }
    }

    fn await_step(&mut self, key: ConnKey) -> ReadOn {
        self.drop_gone_steps();
        if self.steps.len() >= STEPS_WAITING_MAX {
            self.end(key, TransportEnd::Mistake(TransportMistake::HandshakesWaiting));
        } else if self.is_live(key) {
            self.steps.push_back(key);
            return ReadOn::AfterStep;
        }
        ReadOn::AtOnce
    }

    /// Ends the link of a connection whose peer has ended its transport. One that is on its way to another shard ends there.
    pub(super) fn end_if_ended(&mut self, key: ConnKey) {
        if let Some(end) = self.transports.end_of(key.slot) {
            self.end(key, end);
        }
    }

    fn end(&mut self, key: ConnKey, end: TransportEnd) {
        if !self.is_live(key) {
            return;
        }
        let loss = match end {
            TransportEnd::InOrder => LinkLoss::Peer,
            TransportEnd::Mistake(mistake) => {
                self.count_mistake(mistake);
                LinkLoss::Mistake
            }
            TransportEnd::Skipped(mistake) => {
                self.count_mistake(mistake);
                // What it is sent now goes as it is.
                self.transports.take(key.slot);
                return self.decide(Input::TransportSkipped(key));
            }
        };
        self.transports.take(key.slot);
        self.connections.close(self.now.instant, key, &mut self.ring);
        self.decide(Input::Closed(key, loss));
    }

    pub(super) fn count_mistake(&mut self, mistake: TransportMistake) {
        self.counts.transport_errors[mistake as usize] += 1;
    }

    /// Whether logic has the connection, and may have something sent to it.
    fn is_live(&self, key: ConnKey) -> bool {
        match self.connections.stage(key) {
            ConnectionStage::Open | ConnectionStage::Settled => true,
            ConnectionStage::Free
            | ConnectionStage::Connecting
            | ConnectionStage::Moving
            | ConnectionStage::Draining
            | ConnectionStage::Ending { .. }
            | ConnectionStage::Closing => false,
        }
    }
}
