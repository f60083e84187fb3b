//! The whole way from a socket's bytes to packets and back: a transport and a dialect, as one value. A listener chooses it,
//! and each of its connections has it, wherever it moves.

use std::borrow::Cow;

use crate::protocol::dialect::Dialect;
use crate::protocol::outgoing::Outgoing;
use crate::protocol::packet::{GatewayPacket, NextPacket};
use crate::protocol::transport::{Kept, Transport};

/// How the connections of a listener speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProtocolStack {
    /// What the bytes travel in.
    pub transport: Transport,
    /// What they mean.
    pub dialect: Dialect,
}

impl ProtocolStack {
    /// The gateway's own dialect over plain TCP.
    pub const NATIVE_TCP: Self = Self {
        transport: Transport::Tcp,
        dialect: Dialect::Native,
    };

    /// Whether a socket's bytes are one heartbeat and nothing else: the shortest way, for connections that keep nothing.
    #[must_use]
    pub fn is_heartbeat(self, bytes: &[u8]) -> bool {
        match self.transport {
            Transport::Tcp => bytes == self.dialect.heartbeat(),
        }
    }

    /// See [`Transport::unwrap`].
    #[must_use]
    pub fn unwrap<'a>(self, kept: Option<Kept>, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        self.transport.unwrap(kept, bytes)
    }

    /// See [`Dialect::next`].
    #[must_use]
    pub fn next<'a>(self, bytes: &'a [u8], limit: usize) -> NextPacket<'a> {
        self.dialect.next(bytes, limit)
    }

    /// The bytes of a packet, as the socket gets them.
    #[must_use]
    pub fn write(self, packet: &GatewayPacket) -> Outgoing {
        self.transport.wrap(self.dialect.write(packet))
    }
}
