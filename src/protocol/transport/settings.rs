//! How the connections of one listener are wrapped, and which peers may speak for others. Plain values.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::protocol::transport::kind::Transport;
use crate::protocol::transport::proxy::ProxyMode;
use crate::protocol::transport::tls::server::TlsServer;
use crate::protocol::transport::websocket::upgrade::UpgradeRules;

/// The layers of a listener's connections.
#[derive(Debug, Clone, Default)]
pub struct TransportSettings {
    /// Whether each connection begins with the header of a proxy.
    pub proxy: ProxyMode,
    /// Proxies in these networks are believed whom they speak for, by a header or in the request for a WebSocket. Others may not
    /// connect where a header is wanted.
    pub trusted: Arc<[IpNet]>,
    /// Which requests are taken, if its connections are WebSockets.
    pub websocket: Option<UpgradeRules>,
    /// What TLS goes by, if it is spoken.
    pub tls: Option<TlsServer>,
}

/// The settings of all listeners, in their order. They are the same only if they were made together.
#[derive(Debug, Clone)]
pub struct ListenerTransports(pub Arc<[Arc<TransportSettings>]>);

impl PartialEq for ListenerTransports {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ListenerTransports {}

impl TransportSettings {
    /// What its connections are in, once they have begun.
    #[must_use]
    pub fn kind(&self) -> Transport {
        match (&self.tls, &self.websocket) {
            (None, None) => Transport::Tcp,
            (Some(_), None) => Transport::Tls,
            (None, Some(_)) => Transport::WebSocket,
            (Some(_), Some(_)) => Transport::SecureWebSocket,
        }
    }

    /// Whether there is no layer.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.proxy == ProxyMode::Off && self.kind() == Transport::Tcp
    }

    /// Whether a peer may speak for others.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted.iter().any(|network| network.contains(&peer))
    }
}
