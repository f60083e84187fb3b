//! Between logic and the connections: carries out what logic decided on them, and tells it what became of them. How a connection
//! lives is in [`crate::engine::connection`].

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::base::ids::ConnKey;
use crate::engine::completion::{ConnectionEvent, LossCause, Unread};
use crate::engine::connection::{ConnectionNews, ConnectionStage};
use crate::engine::kernel::Kernel;
use crate::logic::{Effect, Input, LinkLoss, Peer};
use crate::protocol::outgoing::Outgoing;
use crate::protocol::transport::ending::CloseReason;
use crate::shard::parts::{FollowUp, Shard, ShardLogic};
use crate::shard::trace;
use crate::shard::transports::NewPeer;

/// When a connection is read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadOn {
    AtOnce,
    /// Not before the step that waits was done.
    AfterStep,
}

impl<K: Kernel, L: ShardLogic> Shard<K, L> {
    pub(super) fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Send(key, bytes) => self.send(key, bytes),
            Effect::Stay(key) => self.connections.stay(key, &mut self.ring),
            Effect::Move(key, target, arrival) => self.leave(key, target, arrival),
            Effect::Close(key, reason) => {
                // Logic has forgotten the connection, and must not hear of it.
                self.follow_ups.retain(|follow_up| follow_up.key() != key);
                if let CloseReason::Mistake(mistake) = reason {
                    self.count_mistake(mistake);
                }
                let last = self.transports.close(key.slot, reason);
                if !last.is_empty() {
                    self.connections.send(key, last, &mut self.ring);
                }
                self.connections.close(self.now.instant, key, &mut self.ring);
            }
            Effect::Deliver(delivery) => self.outbox.push(delivery),
            Effect::Trace(event) => trace::log(self.id, &event),
        }
    }

    fn send(&mut self, key: ConnKey, packet: Outgoing) {
        let room = || self.connections.room_to_send();
        let lost = match self.transports.wrap(key.slot, packet, room) {
            Some(Outgoing::Constant(constant)) => {
                self.connections
                    .send_constant(key, constant.bytes, &mut self.ring)
            }
            Some(Outgoing::Bytes(bytes)) => self.connections.send(key, bytes, &mut self.ring),
            None => None,
        };
        self.lost_by_send(key, lost);
    }

    /// What a send has come to.
    pub(super) fn lost_by_send(&mut self, key: ConnKey, lost: Option<LossCause>) {
        if let Some(cause) = lost {
            self.transports.take(key.slot);
            self.follow_ups.push_back(FollowUp::Lost(key, link_loss(cause)));
        }
    }

    pub(super) fn accepted(&mut self, slot: u32, address: SocketAddr, listener: usize) {
        let stack = self.accepting.accepted(listener);
        let key = self.connections.open(slot);
        let address = address.ip();
        let peer = Peer {
            address: as_ipv6(address),
            stack,
        };
        match self.transports.open(slot, (listener, address)) {
            Ok(NewPeer::Client) => self.decide(Input::Opened(key, peer)),
            Ok(NewPeer::Proxy) => self.decide(Input::ProxyOpened(key, peer)),
            Err(mistake) => {
                self.count_mistake(mistake);
                self.connections.close(self.now.instant, key, &mut self.ring);
            }
        }
        self.connections.read_on(key, Unread::Nothing, &mut self.ring);
    }

    pub(super) fn happened(&mut self, key: ConnKey, event: ConnectionEvent<K::Buffer>) {
        match self.connections.complete(key, event, &mut self.ring) {
            Some(ConnectionNews::Bytes { buffer, unread }) => self.read(key, buffer, unread),
            Some(ConnectionNews::Lost(cause)) => {
                self.transports.take(key.slot);
                self.decide(Input::Closed(key, link_loss(cause)));
            }
            Some(ConnectionNews::NoBuffer) => self.counts.buffer_shortages += 1,
            Some(ConnectionNews::Left) => self.left(key),
            Some(ConnectionNews::NotLeft) => self.not_left(key),
            Some(ConnectionNews::Gone) | None => {}
            Some(ConnectionNews::Connected(_)) => unreachable!("a shard connects to nobody"),
        }
    }

    fn read(&mut self, key: ConnKey, buffer: K::Buffer, unread: Unread) {
        let before = self.connections.stage(key);
        let read_on = if self.transports.is_plain(key.slot) {
            let input = Input::Received(key, self.ring.bytes(&buffer));
            self.logic.handle(self.now, input, &mut self.effects);
            self.carry_out();
            self.ring.recycle(buffer);
            ReadOn::AtOnce
        } else {
            self.unwrap(key, buffer)
        };
        match (before, self.connections.stage(key)) {
            (_, ConnectionStage::Open) => self.wake_policy.event(),
            (ConnectionStage::Settled, ConnectionStage::Settled) => self.wake_policy.heartbeat(),
            _ => {}
        }
        match read_on {
            ReadOn::AtOnce => self.connections.read_on(key, unread, &mut self.ring),
            ReadOn::AfterStep => {}
        }
    }
}

/// An address as logic has it.
pub(super) fn as_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn link_loss(cause: LossCause) -> LinkLoss {
    match cause {
        LossCause::Peer => LinkLoss::Peer,
        LossCause::SlowReader => LinkLoss::SlowReader,
    }
}
