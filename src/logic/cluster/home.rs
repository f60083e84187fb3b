//! Whose each partition is, as far as this node knows, and where terminals reach the other nodes. Never learns why.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::base::ids::{Epoch, NodeId, PartitionId, UserId};
use crate::base::limits::PUBLIC_ADDRESS_BYTES_MAX;
use crate::protocol::transport::Transport;

/// Where the users of a partition are at home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// At this node, which owns the partition under this epoch.
    Here(Epoch),
    /// At another node, which lives as far as this one knows. Never this node.
    There(NodeId),
    /// At no node, or at one that is about to take the partition over: who asks is to come again.
    Nobody,
}

/// The homes of all users at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeMap {
    /// By partition.
    homes: Vec<Home>,
    addresses: BTreeMap<NodeId, PublicAddresses>,
}

/// Where terminals reach a node, by what they speak. A terminal goes on as it speaks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicAddresses {
    /// By plain TCP: a host and a port.
    pub tcp: Option<PublicAddress>,
    /// By TLS: a host and a port.
    pub tls: Option<PublicAddress>,
    /// By WebSocket: a URL. It is one of `wss` where a proxy speaks TLS for the gateway.
    pub websocket: Option<PublicAddress>,
    /// By WebSocket within TLS: a URL.
    pub secure_websocket: Option<PublicAddress>,
}

/// Where terminals reach a listener, as they are told: a host and a port, or the URL of a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicAddress(Box<str>);

/// Why a text is no [`PublicAddress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a public address has 1 to {PUBLIC_ADDRESS_BYTES_MAX} bytes of printable ASCII, without a space")]
pub struct PublicAddressError;

impl HomeMap {
    /// The homes of the partitions, in their order, and where the nodes among them are reached.
    ///
    /// # Panics
    /// If there are as many partitions as no cluster has: 0, or more than a `u16` counts.
    #[must_use]
    pub fn new(homes: Vec<Home>, addresses: BTreeMap<NodeId, PublicAddresses>) -> Self {
        let count = u16::try_from(homes.len()).expect("partitions are counted in a u16");
        assert!(count > 0, "a cluster has partitions");
        Self { homes, addresses }
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        u16::try_from(self.homes.len()).expect("it was made with so many")
    }

    /// The home of a partition's users.
    #[must_use]
    pub fn of(&self, partition: PartitionId) -> Home {
        self.homes[usize::from(partition.0)]
    }

    /// The home of a user.
    #[must_use]
    pub fn home(&self, user: &UserId) -> Home {
        self.of(user.partition(self.partitions()))
    }

    /// Where a terminal that speaks so reaches a node.
    #[must_use]
    pub fn address(&self, node: NodeId, transport: Transport) -> Option<&PublicAddress> {
        self.addresses.get(&node)?.by(transport)
    }
}

impl PublicAddresses {
    fn by(&self, transport: Transport) -> Option<&PublicAddress> {
        match transport {
            Transport::Tcp => self.tcp.as_ref(),
            Transport::Tls => self.tls.as_ref(),
            Transport::WebSocket => self.websocket.as_ref(),
            Transport::SecureWebSocket => self.secure_websocket.as_ref(),
        }
    }
}

impl PublicAddress {
    /// The text that terminals are given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicAddress {
    type Err = PublicAddressError;

    fn from_str(text: &str) -> Result<Self, PublicAddressError> {
        let is_short = (1..=PUBLIC_ADDRESS_BYTES_MAX).contains(&text.len());
        if is_short && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(PublicAddressError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_the_address_for_what_it_speaks() {
        let addresses = PublicAddresses {
            tcp: Some("two.example:9001".parse().unwrap()),
            secure_websocket: Some("wss://two.example/".parse().unwrap()),
            ..PublicAddresses::default()
        };
        let node = NodeId(2);
        let map = HomeMap::new(vec![Home::There(node), Home::Nobody], [(node, addresses)].into());
        let told = |transport| map.address(node, transport).map(PublicAddress::as_str);
        assert_eq!(told(Transport::Tcp), Some("two.example:9001"));
        assert_eq!(told(Transport::Tls), None);
        assert_eq!(told(Transport::WebSocket), None);
        assert_eq!(told(Transport::SecureWebSocket), Some("wss://two.example/"));
        assert_eq!(map.address(NodeId(3), Transport::Tcp), None);
    }

    #[test]
    fn a_user_is_at_home_where_the_partition_is() {
        let homes = [
            Home::Here(Epoch(1)),
            Home::Nobody,
            Home::There(NodeId(2)),
            Home::Nobody,
        ];
        let map = HomeMap::new(homes.to_vec(), BTreeMap::new());
        for name in ["user-1", "user-2", "alice", "a"] {
            let user = UserId::new(name.as_bytes()).unwrap();
            assert_eq!(map.home(&user), homes[usize::from(user.partition(4).0)], "{name}");
        }
    }

    #[test]
    fn an_address_is_short_printable_and_without_spaces() {
        let longest = "x".repeat(PUBLIC_ADDRESS_BYTES_MAX);
        for good in ["a:1", "[::1]:9001", "wss://two.example/gate?x=1", &longest] {
            assert_eq!(
                good.parse::<PublicAddress>().map(|address| address.0),
                Ok(good.into())
            );
        }
        for bad in ["", "a b:1", "h\u{e4}:1", "a:1\n", &format!("{longest}x")] {
            assert_eq!(bad.parse::<PublicAddress>(), Err(PublicAddressError), "{bad}");
        }
    }
}
