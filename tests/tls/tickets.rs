//! Tickets of a shared secret: who opens them, and for how long.

use std::sync::Arc;
use std::time::Duration;

use rustls::HandshakeKind;
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;

use super::world::*;
use crate::protocol::transport::tls::server::{TicketPolicy, TlsServer, TlsServerSettings};
use crate::protocol::transport::tls::tickets::{SECRET_BYTES_MIN, SharedTickets, TicketSecret};

#[derive(Debug)]
struct At(u64);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

const NOW_S: u64 = 1_700_000_000 / 21_600 * 21_600;

fn tickets(secret: u8, now_s: u64) -> SharedTickets {
    let secret = TicketSecret::new(&[secret; SECRET_BYTES_MIN]).unwrap();
    SharedTickets::new(&secret, Arc::new(At(now_s)))
}

#[test]
fn a_ticket_is_good_for_six_to_twelve_hours() {
    let ticket = tickets(1, NOW_S).encrypt(b"a session").unwrap();
    let opens = |secret, now_s| tickets(secret, now_s).decrypt(&ticket).is_some();
    assert_eq!(tickets(1, NOW_S).decrypt(&ticket).unwrap(), b"a session");
    assert!(opens(1, NOW_S + 43_199) && !opens(1, NOW_S + 43_200));
    // A node whose clock is behind.
    assert!(opens(1, NOW_S - 1) && !opens(1, NOW_S - 21_601));
    assert!(!opens(2, NOW_S));
    assert_eq!(tickets(1, NOW_S).lifetime(), 43_200);
}

#[test]
fn a_changed_ticket_is_none() {
    let tickets = tickets(1, NOW_S);
    let ticket = tickets.encrypt(b"a session").unwrap();
    assert_ne!(tickets.encrypt(b"a session").unwrap(), ticket, "no two are alike");
    assert!(!ticket.windows(9).any(|part| part == b"a session"));
    for place in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[place] ^= 1;
        assert_eq!(tickets.decrypt(&changed), None, "{place}");
        assert_eq!(tickets.decrypt(&ticket[..place]), None);
    }
}

#[test]
fn a_short_secret_is_none() {
    assert!(TicketSecret::new(&[1; SECRET_BYTES_MIN - 1]).is_err());
    let secret = TicketSecret::new(&[1; SECRET_BYTES_MIN]).unwrap();
    assert_eq!(
        format!("{secret:?} {:?}", tickets(1, 0)),
        "TicketSecret SharedTickets"
    );
}

/// Of two nodes, or of one that was started again.
#[test]
fn nodes_that_share_a_secret_take_each_others_tickets() {
    let node = |secret: u8| {
        let secret = TicketSecret::new(&[secret; SECRET_BYTES_MIN]).unwrap();
        TlsServer::new(&TlsServerSettings {
            tickets: TicketPolicy::Shared(secret),
            ..settings()
        })
        .unwrap()
    };
    let config = Arc::new(client_config(&[]));
    let kind = |server| connected(server, &config).0.handshake_kind().unwrap();
    assert_eq!(kind(node(1)), HandshakeKind::Full);
    assert_eq!(kind(node(1)), HandshakeKind::Resumed);
    assert_eq!(kind(node(2)), HandshakeKind::Full);
}

/// Whom one gateway let in without a certificate does not get in by its ticket where one is asked for.
#[test]
fn a_ticket_is_no_certificate() {
    let secret = TicketSecret::new(&[1; SECRET_BYTES_MIN]).unwrap();
    let own = signed(&["a terminal"]);
    let with = |client_ca| {
        let tickets = TicketPolicy::Shared(secret.clone());
        TlsServer::new(&TlsServerSettings {
            tickets,
            client_ca,
            ..settings()
        })
        .unwrap()
    };
    let config = Arc::new(client_config(&[]));
    connected(with(None), &config);
    let mut client = rustls::ClientConnection::new(config, host()).unwrap();
    let mut gateway = Gateway::new(with(Some(own.chain.as_bytes())));
    for _ in 0..3 {
        let answer = gateway.takes(&output(&mut client));
        let _ = input(&mut client, &answer);
    }
    assert!(gateway.end.is_some() && gateway.shaken.is_none());
}
