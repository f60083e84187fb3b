//! The transports of a shard's connections, by their slots. A plain connection has none, and costs nothing here. Sends and closes
//! nothing itself.

use std::net::IpAddr;

use crate::base::arena::Arena;
use crate::protocol::outgoing::Outgoing;
use crate::protocol::transport::ending::{CloseReason, TransportEnd, TransportMistake};
use crate::protocol::transport::layers::TransportScratch;
use crate::protocol::transport::settings::ListenerTransports;
use crate::protocol::transport::state::{TransportMemory, TransportState};
use crate::protocol::transport::tls::connection::Handshaken;
use crate::protocol::transport::unwrapped::Unwrapped;

/// What a slot's connection has for a transport, in 4 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SlotTransport(u32);

impl SlotTransport {
    /// Plain, or no connection.
    const PLAIN: Self = Self(0);
    /// A WebSocket, which is open and rests.
    const WEBSOCKET: Self = Self(1);

    fn of_state(key: u32) -> Self {
        Self(key + 2)
    }

    fn state(self) -> Option<u32> {
        self.0.checked_sub(2)
    }
}

/// The transports of one shard.
#[derive(Debug)]
pub(super) struct Transports {
    /// By the listener.
    settings: ListenerTransports,
    /// Empty as long as every connection is plain.
    slots: Vec<SlotTransport>,
    states: Arena<TransportState>,
    /// Reused: bytes as they are changed in place.
    received: Vec<u8>,
    scratch: TransportScratch,
}

/// What a listener's new connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NewPeer {
    /// The client.
    Client,
    /// A proxy, which will say for whom it connected.
    Proxy,
}

impl Transports {
    pub(super) fn new(settings: ListenerTransports) -> Self {
        Self {
            settings,
            slots: Vec::new(),
            states: Arena::default(),
            received: Vec::new(),
            scratch: TransportScratch::default(),
        }
    }

    /// New connections go by other settings from now on. Their listeners' stacks stay.
    pub(super) fn renew(&mut self, settings: ListenerTransports) {
        self.settings = settings;
    }

    /// A connection begins in a free slot.
    ///
    /// # Errors
    /// If it may not connect to this listener.
    pub(super) fn open(
        &mut self,
        slot: u32,
        (listener, peer): (usize, IpAddr),
    ) -> Result<NewPeer, TransportMistake> {
        let settings = &self.settings.0[listener];
        if settings.is_plain() {
            return Ok(NewPeer::Client);
        }
        let state = TransportState::begin(settings, peer)?;
        let awaits_client = state.awaits_client();
        self.put(slot, Some(state));
        Ok(match awaits_client {
            true => NewPeer::Proxy,
            false => NewPeer::Client,
        })
    }

    /// Whether a socket's bytes are its dialect's.
    pub(super) fn is_plain(&self, slot: u32) -> bool {
        self.at(slot) == SlotTransport::PLAIN
    }

    fn at(&self, slot: u32) -> SlotTransport {
        let at = self.slots.get(slot as usize);
        at.copied().unwrap_or(SlotTransport::PLAIN)
    }

    /// A connection has come with its state.
    pub(super) fn put(&mut self, slot: u32, state: Option<TransportState>) {
        assert!(self.is_plain(slot), "the connection before it has ended");
        if let Some(state) = state {
            let place = slot as usize;
            if self.slots.len() <= place {
                self.slots.resize(place + 1, SlotTransport::PLAIN);
            }
            self.keep(slot, state);
        }
    }

    fn keep(&mut self, slot: u32, state: TransportState) {
        self.slots[slot as usize] = match state.memory() {
            TransportMemory::Nothing => SlotTransport::PLAIN,
            TransportMemory::WebSocket => SlotTransport::WEBSOCKET,
            TransportMemory::All => SlotTransport::of_state(self.states.insert(state)),
        };
    }

    /// The connection has gone, or goes, with its state.
    pub(super) fn take(&mut self, slot: u32) -> Option<TransportState> {
        let at = self.at(slot);
        if at == SlotTransport::PLAIN {
            return None;
        }
        self.slots[slot as usize] = SlotTransport::PLAIN;
        let state = at.state().map(|key| self.states.remove(key));
        Some(state.unwrap_or_else(TransportState::websocket))
    }

    /// Bytes came of a connection that is not plain. Tells if a handshake is done by that.
    pub(super) fn receive(&mut self, slot: u32, bytes: &[u8], into: &mut Unwrapped) -> Option<Handshaken> {
        let mut bytes_of_its_own = std::mem::take(&mut self.received);
        bytes_of_its_own.extend_from_slice(bytes);
        let handshaken = self.change(slot, |state, scratch| {
            state.receive(&mut bytes_of_its_own, scratch, into)
        });
        bytes_of_its_own.clear();
        self.received = bytes_of_its_own;
        handshaken
    }

    /// The step of a connection that waits for it is done.
    pub(super) fn step(&mut self, slot: u32, into: &mut Unwrapped) -> Option<Handshaken> {
        self.change(slot, |state, scratch| state.step(scratch, into))
    }

    fn change(
        &mut self,
        slot: u32,
        change: impl FnOnce(&mut TransportState, &mut TransportScratch) -> Option<Handshaken>,
    ) -> Option<Handshaken> {
        let at = self.at(slot);
        if at == SlotTransport::PLAIN {
            return None;
        }
        let Some(key) = at.state() else {
            let mut state = TransportState::websocket();
            let handshaken = change(&mut state, &mut self.scratch);
            self.keep(slot, state);
            return handshaken;
        };
        let state = &mut self.states[key];
        let handshaken = change(state, &mut self.scratch);
        if state.memory() != TransportMemory::All {
            let state = self.states.remove(key);
            self.keep(slot, state);
        }
        handshaken
    }

    /// A packet as the socket gets it, in `room` if it has to be copied. `None`: nothing can be sent.
    pub(super) fn wrap(
        &mut self,
        slot: u32,
        packet: Outgoing,
        room: impl FnOnce() -> Vec<u8>,
    ) -> Option<Outgoing> {
        match (self.at(slot), self.at(slot).state()) {
            (SlotTransport::PLAIN, _) => Some(packet),
            (_, None) => TransportState::websocket().send(packet, room),
            (_, Some(key)) => self.states[key].send(packet, room),
        }
    }

    /// The connection is to be closed. Gives what the socket gets last.
    pub(super) fn close(&mut self, slot: u32, reason: CloseReason) -> Vec<u8> {
        let mut last = Vec::new();
        if let Some(mut state) = self.take(slot) {
            state.close(reason, &mut last);
        }
        last
    }

    /// How a connection's peer has ended its transport, if so.
    pub(super) fn end_of(&self, slot: u32) -> Option<TransportEnd> {
        self.states[self.at(slot).state()?].end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Transports {
        /// The slots whose connections have a transport that is more than plain. No transport is without a slot.
        pub(in crate::shard) fn slots_with_any(&self) -> Vec<u32> {
            let slots = 0..u32::try_from(self.slots.len()).unwrap();
            let all: Vec<u32> = slots.filter(|slot| !self.is_plain(*slot)).collect();
            let with_states = all.iter().filter(|slot| self.at(**slot).state().is_some());
            assert_eq!(with_states.count(), self.states.len(), "a transport is nobody's");
            all
        }
    }
}
