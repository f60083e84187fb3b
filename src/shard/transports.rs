//! The transports of a shard's connections, by their slots. A plain connection has none, and costs nothing here. Sends and closes
//! nothing itself.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::base::arena::Arena;
use crate::protocol::outgoing::Outgoing;
use crate::protocol::transport::ending::{CloseReason, TransportEnd, TransportMistake};
use crate::protocol::transport::settings::TransportSettings;
use crate::protocol::transport::state::TransportState;
use crate::protocol::transport::unwrapped::Unwrapped;

/// What a slot's connection has for a transport, in 4 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SlotTransport(u32);

impl SlotTransport {
    /// Plain, or no connection.
    const PLAIN: Self = Self(0);

    fn of_state(key: u32) -> Self {
        Self(key + 1)
    }

    fn state(self) -> Option<u32> {
        self.0.checked_sub(1)
    }
}

/// The transports of one shard.
#[derive(Debug)]
pub(super) struct Transports {
    /// By the listener.
    settings: Box<[Arc<TransportSettings>]>,
    /// Empty as long as every connection is plain.
    slots: Vec<SlotTransport>,
    states: Arena<TransportState>,
}

/// What a listener's new connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NewPeer {
    /// The client.
    Client,
    /// A proxy, which will say for whom it connected.
    Proxy,
}

/// Whether a connection is read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    GoesOn,
    /// Not before the step that waits was done.
    Waits,
}

/// An address as logic has it.
pub(super) fn as_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

impl Transports {
    pub(super) fn new(settings: impl Iterator<Item = Arc<TransportSettings>>) -> Self {
        Self {
            settings: settings.collect(),
            slots: Vec::new(),
            states: Arena::default(),
        }
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
        let state = TransportState::begin(&self.settings[listener], peer)?;
        let awaits_client = state.as_ref().is_some_and(TransportState::awaits_client);
        self.put(slot, state);
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
            self.slots[place] = SlotTransport::of_state(self.states.insert(state));
        }
    }

    /// The connection has gone, or goes, with its state.
    pub(super) fn take(&mut self, slot: u32) -> Option<TransportState> {
        let key = self.at(slot).state()?;
        self.slots[slot as usize] = SlotTransport::PLAIN;
        Some(self.states.remove(key))
    }

    /// Bytes came of a connection that is not plain.
    pub(super) fn receive(&mut self, slot: u32, bytes: &[u8], into: &mut Unwrapped) {
        self.change(slot, |state| state.receive(bytes, into));
    }

    /// The step of a connection that waits for it is done.
    pub(super) fn step(&mut self, slot: u32, into: &mut Unwrapped) {
        self.change(slot, |state| state.step(into));
    }

    fn change(&mut self, slot: u32, change: impl FnOnce(&mut TransportState)) {
        if let Some(key) = self.at(slot).state() {
            let state = &mut self.states[key];
            change(state);
            if state.is_plain() {
                self.take(slot);
            }
        }
    }

    /// A packet as the socket gets it. `None`: nothing can be sent.
    pub(super) fn wrap(&mut self, slot: u32, packet: Outgoing) -> Option<Outgoing> {
        match self.at(slot).state() {
            None => Some(packet),
            Some(key) => self.states[key].send(packet),
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
