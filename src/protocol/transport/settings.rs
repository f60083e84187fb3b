//! How the connections of one listener are wrapped, and which peers may speak for others. Plain values.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::protocol::transport::kind::Transport;
use crate::protocol::transport::proxy::ProxyMode;

/// The layers of a listener's connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransportSettings {
    /// Whether each connection begins with the header of a proxy.
    pub proxy: ProxyMode,
    /// Proxies in these networks are believed whom they speak for. Others may not connect where a header is wanted.
    pub trusted: Arc<[IpNet]>,
}

impl TransportSettings {
    /// What its connections are in, once they have begun.
    #[must_use]
    pub fn kind(&self) -> Transport {
        Transport::Tcp
    }

    /// Whether a peer may speak for others.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted.iter().any(|network| network.contains(&peer))
    }
}
