//! Which server the gateway is measured beside, and what is known of each kind. Starts none.

use crate::generator::dialect::TerminalDialect;

/// Which server that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PeerKind {
    /// A plain server on tokio that speaks the gateway's protocol.
    Tokio,
    /// A bare echo loop on io_uring: the floor for heartbeats, and nothing but heartbeats is compared.
    Echo,
    /// The MQTT broker mosquitto, where it is installed.
    Mosquitto,
}

impl PeerKind {
    /// The word that names it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Echo => "echo",
            Self::Mosquitto => "mosquitto",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Tokio => "The gateway beside a plain server on tokio",
            Self::Echo => "The gateway beside a bare echo loop on io_uring",
            Self::Mosquitto => "The gateway beside mosquitto",
        }
    }

    pub(crate) fn dialect(self) -> TerminalDialect {
        match self {
            Self::Tokio => TerminalDialect::Gateway,
            Self::Echo => TerminalDialect::Echo,
            Self::Mosquitto => TerminalDialect::Mqtt,
        }
    }

    /// The most logins at once, of both servers: mosquitto's listener queues 100 connections, and one that finds no place
    /// is tried again by the kernel after a second.
    pub(crate) fn logins_at_once_max(self) -> u32 {
        match self {
            Self::Tokio | Self::Echo => u32::MAX,
            Self::Mosquitto => 64,
        }
    }
}
