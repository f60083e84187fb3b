//! Where terminals go, and how they speak. Plain values.

use std::net::SocketAddrV4;

use super::dialect::TerminalDialect;
use super::transport::TerminalTransport;

/// The server that terminals go to.
#[derive(Debug, Clone)]
pub(crate) struct GeneratorTarget {
    pub(crate) address: SocketAddrV4,
    pub(crate) dialect: TerminalDialect,
    pub(crate) transport: TerminalTransport,
}

impl GeneratorTarget {
    /// The gateway's protocol over TCP alone.
    #[allow(dead_code, reason = "the benches ask for it")]
    pub(crate) fn plain(address: SocketAddrV4) -> Self {
        Self {
            address,
            dialect: TerminalDialect::Gateway,
            transport: TerminalTransport::default(),
        }
    }
}
