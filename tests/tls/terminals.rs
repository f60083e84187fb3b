//! The terminal's end: the gateway's own client against its server.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::{Error, KeyLog};

use super::world::*;
use crate::protocol::transport::ending::{TransportEnd, TransportMistake};
use crate::protocol::transport::tls::client::{ServerTrust, TlsClient};
use crate::protocol::transport::tls::connection::{Handshaken, Resumed, TlsConnection, TlsKept};
use crate::protocol::transport::tls::negotiation::{
    ClientCertificates, Negotiation, NegotiationStage, NegotiationTerms, Negotiator, RecordsAllowed,
    TicketWish, TlsKeeping,
};
use crate::protocol::transport::tls::secrets::HandshakeSecrets;
use crate::protocol::transport::unwrapped::Unwrapped;

/// A terminal's end, and what came of it.
struct Terminal {
    connection: TlsConnection,
    came: Unwrapped,
    shaken: Option<Handshaken>,
}

impl Terminal {
    fn new(client: &TlsClient) -> Self {
        let mut came = Unwrapped::default();
        let connection = TlsConnection::connect(client, host(), &mut came).unwrap();
        Self {
            connection,
            came,
            shaken: None,
        }
    }

    /// Until neither has anything for the other.
    fn talks(&mut self, gateway: &mut Gateway) {
        while !self.came.answer.is_empty() {
            let mut answer = gateway.takes(&std::mem::take(&mut self.came.answer));
            let shaken = self.connection.receive(&mut answer, &mut self.came);
            self.shaken = self.shaken.or(shaken);
            assert!(!self.came.step_waits, "a terminal has time");
        }
    }

    fn echoes(&mut self, gateway: &mut Gateway) {
        for size in [1, 100, 20_000] {
            let content = vec![3; size];
            self.connection.send(&content, &mut self.came.answer);
            self.talks(gateway);
            assert_eq!(std::mem::take(&mut gateway.received), content);
            let mut answer = gateway.sends(&content);
            assert_eq!(self.connection.receive(&mut answer, &mut self.came), None);
            assert_eq!(std::mem::take(&mut self.came.bytes), content);
        }
    }
}

#[test]
fn a_terminal_keeps_its_keys_alone() {
    for trust in [ServerTrust::Roots(roots(host_certificate())), ServerTrust::Any] {
        let client = TlsClient::new(trust, TicketWish::None).unwrap();
        for _ in 0..2 {
            let (mut terminal, mut gateway) = (Terminal::new(&client), Gateway::new(server()));
            terminal.talks(&mut gateway);
            assert_eq!(
                terminal.shaken,
                Some(Handshaken {
                    resumed: Resumed::No,
                    kept: TlsKept::Keys
                })
            );
            assert!(matches!(terminal.connection, TlsConnection::Rest(_)));
            terminal.echoes(&mut gateway);
            let mut bye = gateway.closes();
            assert_eq!(terminal.connection.receive(&mut bye, &mut terminal.came), None);
            assert_eq!(terminal.came.end, Some(TransportEnd::InOrder));
        }
    }
}

#[test]
fn a_terminal_comes_back_with_its_ticket() {
    let client = TlsClient::new(ServerTrust::Roots(roots(host_certificate())), TicketWish::One).unwrap();
    let server = server();
    for resumed in [Resumed::No, Resumed::Yes, Resumed::Yes] {
        let (mut terminal, mut gateway) = (Terminal::new(&client), Gateway::new(server.clone()));
        terminal.talks(&mut gateway);
        assert_eq!(terminal.shaken.unwrap().resumed, resumed);
        assert!(
            matches!(terminal.connection, TlsConnection::Rest(_)),
            "the ticket came"
        );
        terminal.echoes(&mut gateway);
    }
}

#[test]
fn a_terminal_that_trusts_another_leaves() {
    let client = TlsClient::new(ServerTrust::Roots(roots(&signed(&[HOST]))), TicketWish::None).unwrap();
    let (mut terminal, mut gateway) = (Terminal::new(&client), Gateway::new(server()));
    terminal.talks(&mut gateway);
    assert_eq!(
        terminal.came.end,
        Some(TransportEnd::Mistake(TransportMistake::TlsHandshake))
    );
    assert_eq!(
        gateway.end,
        Some(TransportEnd::Mistake(TransportMistake::TlsAlert))
    );
}

#[test]
fn a_secret_of_another_handshake_is_not_used() {
    let secrets = Arc::new(HandshakeSecrets::default());
    for label in ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"] {
        secrets.log(label, &[], &[7; 32]);
    }
    let mut config = client_config(&[]);
    config.enable_secret_extraction = true;
    config.key_log = Arc::clone(&secrets) as _;
    let negotiator = Negotiator::Client(
        UnbufferedClientConnection::new(Arc::new(config), host()).unwrap(),
        TicketWish::None,
    );
    let terms = NegotiationTerms {
        keeping: TlsKeeping::Keys,
        clients: ClientCertificates::NotAsked,
    };
    let mut negotiation = Negotiation::new(negotiator, secrets, terms, Vec::new());
    let (mut gateway, mut came) = (Gateway::new(server()), Unwrapped::default());
    while !matches!(
        negotiation.advance(RecordsAllowed::All, &mut came),
        NegotiationStage::Open
    ) {
        negotiation.push(&gateway.takes(&came.answer));
        came.clear();
    }
    let told = negotiation.hand_over().err();
    assert_eq!(
        told,
        Some(Error::General("the key log told another secret".to_owned()))
    );
}
