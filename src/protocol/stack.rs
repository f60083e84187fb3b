//! The whole way from a socket's bytes to packets and back: a transport and a dialect, as one value. A listener chooses it,
//! and each of its connections has it, wherever it moves.

use crate::protocol::dialect::Dialect;
use crate::protocol::transport::Transport;

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
}
