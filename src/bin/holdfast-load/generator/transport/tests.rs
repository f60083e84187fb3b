//! The terminals' ends of links, and at the other end what a gateway has.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use holdfast::base::time::Clock;
use holdfast::protocol::transport::ending::CloseReason;
use holdfast::protocol::transport::tls::certificates::{CertificatePem, Certificates};
use holdfast::protocol::transport::tls::client::ServerTrust;
use holdfast::protocol::transport::tls::negotiation::{TicketWish, TlsKeeping};
use holdfast::protocol::transport::tls::server::{TicketPolicy, TlsServer, TlsServerSettings, TlsVersion};
use holdfast::protocol::transport::websocket::frame::put_frame;
use holdfast::protocol::transport::websocket::layer::WebSocket;
use holdfast::protocol::transport::websocket::upgrade::{UpgradeContext, UpgradeRules};
use rustls::time_provider::DefaultTimeProvider;

use super::*;

/// The gateway's end of a link.
struct Far {
    tls: Option<TlsConnection>,
    websocket: Option<WebSocket>,
    packets: Vec<u8>,
}

fn server() -> TlsServer {
    let own = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let (chain, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let pem = CertificatePem {
        chain: chain.as_bytes(),
        key: key.as_bytes(),
    };
    let certificates = Certificates::new(&[pem], Clock::start().now().wall).unwrap();
    let settings = TlsServerSettings {
        certificates: Arc::new(certificates),
        version_min: TlsVersion::Tls13,
        tickets: TicketPolicy::Own,
        client_ca: None,
        keeping: TlsKeeping::Keys,
        time: Arc::new(DefaultTimeProvider),
    };
    TlsServer::new(&settings).unwrap()
}

fn clients(tickets: TicketWish) -> Vec<TlsClient> {
    vec![TlsClient::new(ServerTrust::Any, tickets).unwrap()]
}

impl Far {
    /// Takes bytes of the terminal, and gives those for it.
    fn takes(&mut self, server: &TlsServer, mut bytes: Vec<u8>) -> Vec<u8> {
        let (mut came, mut out) = (Unwrapped::default(), Vec::new());
        if let Some(tls) = &mut self.tls {
            let _ = tls.receive(&mut bytes, &mut came);
            while came.step_waits {
                came.step_waits = false;
                let _ = tls.step(server, &mut came);
            }
            out.append(&mut came.answer);
            bytes = std::mem::take(&mut came.bytes);
        }
        let Some(websocket) = &mut self.websocket else {
            self.packets.append(&mut bytes);
            return out;
        };
        let rules = UpgradeRules {
            path: "/".to_owned(),
            origins: Vec::new(),
        };
        let context = UpgradeContext {
            rules: &rules,
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            is_trusted: &|_| false,
        };
        websocket.receive(&mut bytes, Some(context), &mut came);
        self.packets.append(&mut came.bytes);
        let answer = std::mem::take(&mut came.answer);
        self.seal(&answer, &mut out);
        out
    }

    fn seal(&mut self, content: &[u8], out: &mut Vec<u8>) {
        match &mut self.tls {
            Some(tls) => tls.send(content, out),
            None => out.extend_from_slice(content),
        }
    }

    /// A packet, and the end behind it.
    fn says_last(&mut self, packet: &[u8]) -> Vec<u8> {
        let (mut content, mut out) = (Vec::new(), Vec::new());
        match &self.websocket {
            Some(websocket) => {
                put_frame(Opcode::Binary, packet, &mut content);
                websocket.close(CloseReason::Normal, &mut content);
            }
            None => content.extend_from_slice(packet),
        }
        self.seal(&content, &mut out);
        if let Some(tls) = &mut self.tls {
            tls.close(&mut out);
        }
        out
    }
}

/// Opens the first link, and sends a packet each way. Says whether a ticket was taken.
fn check(links: &mut WrappedLinks, server: &TlsServer) -> bool {
    let framing = links.transport.framing;
    let mut far = Far {
        tls: (!links.transport.tls.is_empty()).then(TlsConnection::default),
        websocket: (framing == TerminalFraming::WebSocket).then(WebSocket::default),
        packets: Vec::new(),
    };
    let (mut came, mut resumed, mut opened) = (links.begin(0), false, 0);
    assert!(!links.is_open(0), "nothing was answered");
    while !came.answer.is_empty() {
        let mut bytes = far.takes(server, came.answer);
        came = links.receive(0, &mut bytes);
        assert_eq!(came.wrong, None);
        resumed |= came.resumed;
        opened += u32::from(came.opened);
    }
    assert_eq!((opened, links.is_open(0)), (1, true));
    let packet = links.wrap(0, b"hello");
    assert!(far.takes(server, packet).is_empty());
    assert_eq!(far.packets, b"hello");
    let came = links.receive(0, &mut far.says_last(b"bye"));
    assert_eq!((&came.packets[..], came.wrong), (&b"bye"[..], None));
    links.end(0);
    resumed
}

#[test]
fn links_open_by_each_way_and_have_a_ticket_only_where_it_is_wanted() {
    let server = server();
    for framing in [TerminalFraming::None, TerminalFraming::WebSocket] {
        for (tickets, expected) in [(TicketWish::None, [false; 2]), (TicketWish::One, [false, true])] {
            let transport = TerminalTransport {
                tls: clients(tickets),
                framing,
            };
            let mut links = WrappedLinks::new(transport, 1);
            assert_eq!([(); 2].map(|()| check(&mut links, &server)), expected);
        }
    }
    let transport = TerminalTransport {
        tls: Vec::new(),
        framing: TerminalFraming::WebSocket,
    };
    assert!(!check(&mut WrappedLinks::new(transport, 1), &server));
}

#[test]
fn a_link_that_does_not_open_says_why() {
    let transport = |framing| TerminalTransport {
        tls: clients(TicketWish::None),
        framing,
    };
    let mut links = WrappedLinks::new(transport(TerminalFraming::None), 1);
    links.begin(0);
    let mut packets = *b"no TLS at all, and long enough for a record";
    assert!(
        links
            .receive(0, &mut packets)
            .wrong
            .unwrap()
            .starts_with("TLS failed")
    );
    let websocket = TerminalTransport {
        tls: Vec::new(),
        framing: TerminalFraming::WebSocket,
    };
    let mut links = WrappedLinks::new(websocket, 1);
    links.begin(0);
    let mut refusal = *b"HTTP/1.1 404 Not Found\r\n\r\nelsewhere";
    assert!(links.receive(0, &mut refusal).wrong.unwrap().contains("404"));
}

#[test]
fn plain_links_take_no_room() {
    let links = WrappedLinks::new(TerminalTransport::default(), 1_000);
    assert!(links.are_plain() && links.is_open(999));
    assert_eq!(links.links.capacity(), 0);
}
