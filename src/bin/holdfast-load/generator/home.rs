//! Where terminals find their users: at the target, or at nodes that they were sent on to. Connects nobody.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::transport::{HOST, TerminalFraming, TerminalTransport};

/// How often a terminal is sent on without a login in between.
const REDIRECTS_MAX: u8 = 3;

/// All addresses that terminals of one worker were ever sent to. The first is the target's.
#[derive(Debug)]
pub(crate) struct KnownNodes {
    addresses: Vec<SocketAddrV4>,
    transport: TerminalTransport,
}

/// Where one terminal goes, in two bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TerminalHome {
    /// Among the known ones.
    node: u8,
    redirects: u8,
}

/// When a terminal that was sent on goes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GoesOn {
    AtOnce,
    /// As one that is told to come back.
    Later,
}

impl KnownNodes {
    pub(crate) fn new(target: SocketAddrV4, transport: TerminalTransport) -> Self {
        Self {
            addresses: vec![target],
            transport,
        }
    }

    /// Where a terminal goes.
    pub(super) fn of(&self, home: TerminalHome) -> SocketAddrV4 {
        self.addresses[usize::from(home.node)]
    }

    /// The number of an address that terminals could have been given first: of IPv4, since they connect by nothing else.
    pub(crate) fn find(&mut self, text: &str) -> Option<u8> {
        let address = self.address(text)?;
        let known = self.addresses.iter().position(|known| *known == address);
        let node = known.unwrap_or(self.addresses.len());
        let number = u8::try_from(node).ok()?;
        if known.is_none() {
            self.addresses.push(address);
        }
        Some(number)
    }

    fn address(&self, text: &str) -> Option<SocketAddrV4> {
        let place = match (self.transport.framing, self.transport.tls.is_empty()) {
            (TerminalFraming::None, _) => text,
            (TerminalFraming::WebSocket, true) => root_of(text.strip_prefix("ws://")?)?,
            (TerminalFraming::WebSocket, false) => root_of(text.strip_prefix("wss://")?)?,
        };
        let (host, port) = place.rsplit_once(':')?;
        let host = if host == HOST {
            Ipv4Addr::LOCALHOST
        } else {
            host.parse().ok()?
        };
        let port = port.parse().ok().filter(|port| *port > 0)?;
        Some(SocketAddrV4::new(host, port))
    }
}

/// The place of a URL whose path is the one that terminals ask for.
fn root_of(rest: &str) -> Option<&str> {
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    path.is_empty().then_some(place)
}

impl TerminalHome {
    /// It is logged in.
    pub(super) fn logged_in(&mut self) {
        self.redirects = 0;
    }

    /// A login's answer says that its user is there.
    pub(super) fn sent_on(&mut self, nodes: &mut KnownNodes, address: &str) -> GoesOn {
        match nodes.find(address) {
            Some(node) if self.redirects < REDIRECTS_MAX => {
                self.node = node;
                self.redirects += 1;
                GoesOn::AtOnce
            }
            Some(_) | None => {
                *self = Self::default();
                GoesOn::Later
            }
        }
    }

    /// A goodbye says that its user will be there.
    pub(super) fn sent_away(&mut self, nodes: &mut KnownNodes, address: &str) {
        let node = nodes.find(address).unwrap_or_default();
        *self = Self { node, redirects: 0 };
    }

    /// Whether it goes to another address than the one it began at, or was sent back there.
    pub(super) fn was_sent(self) -> bool {
        self != Self::default()
    }

    /// Nobody can be connected to. Says whether there was another address to begin at.
    pub(super) fn unreached(&mut self) -> bool {
        let was_sent = self.was_sent();
        *self = Self::default();
        was_sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(framing: TerminalFraming) -> KnownNodes {
        let transport = TerminalTransport {
            framing,
            ..TerminalTransport::default()
        };
        KnownNodes::new("127.0.0.1:9001".parse().unwrap(), transport)
    }

    #[test]
    fn a_terminal_goes_where_it_is_sent_and_back_where_nobody_is() {
        let (mut nodes, mut home) = (nodes(TerminalFraming::None), TerminalHome::default());
        assert_eq!(home.sent_on(&mut nodes, "localhost:9002"), GoesOn::AtOnce);
        assert_eq!(nodes.of(home).to_string(), "127.0.0.1:9002");
        assert!(home.was_sent() && home.unreached());
        assert_eq!(nodes.of(home).to_string(), "127.0.0.1:9001");
        assert!(!home.unreached(), "there is no other");
        home.sent_away(&mut nodes, "127.0.0.1:9002");
        assert_eq!((nodes.of(home).port(), nodes.addresses.len()), (9002, 2));
        home.sent_away(&mut nodes, "");
        assert_eq!(nodes.of(home).port(), 9001);
    }

    #[test]
    fn a_terminal_is_sent_on_three_times_in_a_row() {
        let (mut nodes, mut home) = (nodes(TerminalFraming::None), TerminalHome::default());
        let mut send_on = |home: &mut TerminalHome| home.sent_on(&mut nodes, "127.0.0.1:9002");
        assert_eq!([(); 3].map(|()| send_on(&mut home)), [GoesOn::AtOnce; 3]);
        assert_eq!(
            (send_on(&mut home), home),
            (GoesOn::Later, TerminalHome::default())
        );
        assert_eq!([(); 2].map(|()| send_on(&mut home)), [GoesOn::AtOnce; 2]);
        home.logged_in();
        assert_eq!([(); 3].map(|()| send_on(&mut home)), [GoesOn::AtOnce; 3]);
    }

    #[test]
    fn an_address_is_one_that_could_have_been_the_first() {
        let check = |framing, text: &str, expected: Option<&str>| {
            let address = nodes(framing).address(text);
            assert_eq!(
                address.map(|address| address.to_string()).as_deref(),
                expected,
                "{text}"
            );
        };
        let websocket = TerminalFraming::WebSocket;
        check(websocket, "ws://localhost:9005/", Some("127.0.0.1:9005"));
        check(websocket, "ws://127.0.0.1:9005", Some("127.0.0.1:9005"));
        for bad in [
            "wss://localhost:9005/",
            "ws://localhost:9005/gate",
            "localhost:9005",
            "ws://two.example:1/",
        ] {
            check(websocket, bad, None);
        }
        for bad in [
            "",
            "9002",
            "two.example:9002",
            "[::1]:9002",
            "127.0.0.1:0",
            "127.0.0.1:99999",
        ] {
            check(TerminalFraming::None, bad, None);
        }
    }
}
