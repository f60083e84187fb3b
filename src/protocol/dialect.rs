//! What a terminal's bytes mean: turns them into packets and back. Keeps nothing, and knows no transport.

use crate::protocol::native;
use crate::protocol::outgoing::Outgoing;
use crate::protocol::packet::{GatewayPacket, NextPacket};

/// A language that terminals speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The gateway's own: `proto/gateway.proto`.
    Native,
}

impl Dialect {
    /// A heartbeat's bytes, as terminals send it.
    #[must_use]
    pub fn heartbeat(self) -> &'static [u8] {
        match self {
            Self::Native => native::HEARTBEAT,
        }
    }

    /// Reads the first packet in `bytes`. A packet may have at most `limit` bytes.
    #[must_use]
    pub fn next<'a>(self, bytes: &'a [u8], limit: usize) -> NextPacket<'a> {
        match self {
            Self::Native => native::next(bytes, limit),
        }
    }

    /// The bytes of a packet.
    #[must_use]
    pub fn write(self, packet: &GatewayPacket) -> Outgoing {
        match self {
            Self::Native => native::write(packet),
        }
    }
}
