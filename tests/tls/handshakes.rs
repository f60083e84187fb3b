//! Handshakes: versions, cipher suites, resumption, what waits for a step, and what is no TLS.

use std::io::Write;
use std::sync::Arc;

use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, ClientConfig, ClientConnection, Error, HandshakeKind, ProtocolVersion};

use super::world::*;
use crate::protocol::transport::ending::{TransportEnd, TransportMistake};
use crate::protocol::transport::tls::connection::{HTTP_ANSWER, Handshaken, Resumed, TlsConnection, TlsKept};
use crate::protocol::transport::tls::hello::HANDSHAKE_BYTES_MAX;
use crate::protocol::transport::tls::negotiation::TlsKeeping;
use crate::protocol::transport::tls::server::{TicketPolicy, TlsServer, TlsServerSettings, TlsVersion};

const FULL: Handshaken = Handshaken {
    resumed: Resumed::No,
    kept: TlsKept::Keys,
};

fn echo(client: &mut ClientConnection, gateway: &mut Gateway, rounds: usize) {
    for round in 0..rounds {
        let text = vec![round as u8; round * round * 3 + 1];
        client.writer().write_all(&text).unwrap();
        gateway.takes(&output(client));
        assert_eq!(std::mem::take(&mut gateway.received), text);
        let answer = gateway.sends(&text);
        assert_eq!(input(client, &answer).unwrap(), text);
    }
}

fn is_at_rest(gateway: &Gateway) -> bool {
    matches!(gateway.connection, TlsConnection::Rest(_))
}

#[test]
fn each_suite_speaks_with_rustls() {
    for suite in [
        TLS13_AES_128_GCM_SHA256,
        TLS13_AES_256_GCM_SHA384,
        TLS13_CHACHA20_POLY1305_SHA256,
    ] {
        let (mut client, mut gateway) = connected(server(), &Arc::new(client_config(&[suite])));
        assert!(is_at_rest(&gateway));
        echo(&mut client, &mut gateway, 100);
        assert!(is_at_rest(&gateway));
    }
}

#[test]
fn aes_128_is_preferred() {
    let suites = [
        TLS13_CHACHA20_POLY1305_SHA256,
        TLS13_AES_256_GCM_SHA384,
        TLS13_AES_128_GCM_SHA256,
    ];
    let (client, _) = connected(server(), &Arc::new(client_config(&suites)));
    assert_eq!(client.negotiated_cipher_suite(), Some(TLS13_AES_128_GCM_SHA256));
}

/// Two shards have copies of one server.
#[test]
fn a_ticket_resumes_at_each_shard() {
    let (config, server) = (Arc::new(client_config(&[])), server());
    let (client, gateway) = connected(server.clone(), &config);
    assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
    assert_eq!(client.tls13_tickets_received(), 1);
    assert_eq!(gateway.shaken, Some(FULL));
    let (mut client, mut gateway) = connected(server, &config);
    assert_eq!(client.handshake_kind(), Some(HandshakeKind::Resumed));
    let resumed = Handshaken {
        resumed: Resumed::Yes,
        ..FULL
    };
    assert_eq!(gateway.shaken, Some(resumed));
    echo(&mut client, &mut gateway, 3);
}

#[test]
fn without_tickets_each_handshake_is_full() {
    let (config, settings) = (Arc::new(client_config(&[])), settings());
    let server = TlsServer::new(&TlsServerSettings {
        tickets: TicketPolicy::Off,
        ..settings
    })
    .unwrap();
    for _ in 0..2 {
        let (client, _) = connected(server.clone(), &config);
        assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(client.tls13_tickets_received(), 0);
    }
}

/// The signature is made by the step and by nothing else; what comes behind it needs none.
#[test]
fn a_hello_waits_for_its_step_wherever_it_is_cut() {
    let config = Arc::new(client_config(&[]));
    let mut client = ClientConnection::new(config, host()).unwrap();
    let hello = output(&mut client);
    for cut in 1..hello.len() {
        let mut gateway = Gateway::new(server());
        assert!(gateway.takes(&hello[..cut]).is_empty());
        assert_eq!((gateway.steps, gateway.end), (0, None), "{cut}");
        let answer = gateway.takes(&hello[cut..]);
        assert_eq!(gateway.steps, 1, "{cut}");
        if cut == hello.len() - 1 {
            assert!(input(&mut client, &answer).unwrap().is_empty());
            gateway.takes(&output(&mut client));
            assert_eq!((gateway.shaken, gateway.steps), (Some(FULL), 1));
        }
    }
}

/// A hello in many small records is one as well.
#[test]
fn a_hello_in_pieces_is_whole() {
    let mut client = ClientConnection::new(Arc::new(client_config(&[])), host()).unwrap();
    let hello = output(&mut client);
    let records: Vec<u8> = hello[5..]
        .chunks(3)
        .flat_map(|part| [&[22, 3, 1, 0, part.len() as u8], part].concat())
        .collect();
    let mut gateway = Gateway::new(server());
    let answer = gateway.takes(&records);
    assert!(input(&mut client, &answer).unwrap().is_empty());
    shake(&mut client, &mut gateway);
    assert_eq!((gateway.shaken, gateway.steps), (Some(FULL), 1));
    echo(&mut client, &mut gateway, 3);
}

/// As a terminal does that logs in at once.
#[test]
fn content_right_behind_the_handshake_is_read() {
    for one_read in [0, 1, 30, usize::MAX] {
        let mut client = ClientConnection::new(Arc::new(client_config(&[])), host()).unwrap();
        let mut gateway = Gateway::new(server());
        let answer = gateway.takes(&output(&mut client));
        assert!(input(&mut client, &answer).unwrap().is_empty());
        client.writer().write_all(b"a login").unwrap();
        client.refresh_traffic_keys().unwrap();
        client.writer().write_all(b", and more").unwrap();
        let flight = output(&mut client);
        let (first, second) = flight.split_at(one_read.min(flight.len()));
        let mut answer = gateway.takes(first);
        answer.extend(gateway.takes(second));
        assert_eq!(gateway.received, b"a login, and more");
        assert!(is_at_rest(&gateway));
        assert!(input(&mut client, &answer).unwrap().is_empty());
        gateway.received.clear();
        echo(&mut client, &mut gateway, 2);
    }
}

fn refused(bytes: &[u8], mistake: TransportMistake) -> Vec<u8> {
    ended(bytes, TransportEnd::Mistake(mistake))
}

fn ended(bytes: &[u8], end: TransportEnd) -> Vec<u8> {
    let mut gateway = Gateway::new(server());
    let answer = gateway.takes(bytes);
    assert_eq!(gateway.end, Some(end), "{bytes:?}");
    assert!(matches!(gateway.connection, TlsConnection::Over));
    assert!(gateway.takes(bytes).is_empty() && gateway.sends(b"a").is_empty() && gateway.closes().is_empty());
    answer
}

fn fatal(alert: AlertDescription) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, alert.into()]
}

#[test]
fn what_is_no_tls_is_told_apart() {
    let not = |bytes| refused(bytes, TransportMistake::NotTls);
    assert_eq!(not(b"GET / HTTP/1.1\r\n"), HTTP_ANSWER);
    assert_eq!(not(b"OPTIONS * HTTP/1.1\r\n"), HTTP_ANSWER);
    let skipped = |bytes| ended(bytes, TransportEnd::Skipped(TransportMistake::NotTls));
    assert_eq!(skipped(b"GOT"), b"");
    assert_eq!(skipped(b"\x80\x01\x0a\x08hello"), b"");
    let (head, body) = std::str::from_utf8(HTTP_ANSWER)
        .unwrap()
        .split_once("\r\n\r\n")
        .unwrap();
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
    let mut gateway = Gateway::new(server());
    assert!(gateway.takes(b"GE").is_empty());
    assert_eq!(gateway.end, None);
}

#[test]
fn what_is_wrong_tls_gets_an_alert() {
    let wrong = |bytes: &[u8]| refused(bytes, TransportMistake::TlsHandshake);
    assert_eq!(wrong(&[22, 3, 1, 0, 0]), fatal(AlertDescription::DecodeError));
    assert_eq!(wrong(&[22, 7, 1, 0, 9]), fatal(AlertDescription::DecodeError));
    assert_eq!(
        wrong(&[22, 3, 1, 0xff, 0xff]),
        fatal(AlertDescription::DecodeError)
    );
    assert_eq!(
        wrong(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 7]),
        fatal(AlertDescription::DecodeError)
    );
    assert_eq!(
        wrong(&[22, 3, 1, 0, 5, 9, 0, 0, 1, 7]),
        fatal(AlertDescription::UnexpectedMessage)
    );
    let alert = refused(
        &fatal(AlertDescription::InternalError),
        TransportMistake::TlsAlert,
    );
    assert_eq!(alert, b"");
}

#[test]
fn a_hello_without_end_is_refused() {
    let mut gateway = Gateway::new(server());
    let part = [&[22, 3, 1, 0x40, 0][..], &[1, 0xff, 0xff, 0xff], &[0; 0x4000 - 4]].concat();
    let records = HANDSHAKE_BYTES_MAX / part.len();
    for _ in 0..records {
        gateway.takes(&part);
        assert_eq!(gateway.end, None);
    }
    gateway.takes(&part);
    assert_eq!(
        gateway.end,
        Some(TransportEnd::Mistake(TransportMistake::TlsHandshake))
    );
}

#[test]
fn a_client_that_does_not_trust_us_says_so() {
    let server = TlsServer::new(&TlsServerSettings {
        certificates: certificates(&[&signed(&[HOST])]),
        ..settings()
    });
    let mut client = ClientConnection::new(Arc::new(client_config(&[])), host()).unwrap();
    let mut gateway = Gateway::new(server.unwrap());
    let answer = gateway.takes(&output(&mut client));
    assert!(input(&mut client, &answer).is_err());
    assert!(gateway.takes(&output(&mut client)).is_empty());
    assert_eq!(
        gateway.end,
        Some(TransportEnd::Mistake(TransportMistake::TlsAlert))
    );
}

fn old_client() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots(host_certificate()));
    Arc::new(config.with_no_client_auth())
}

#[test]
fn tls_1_2_is_refused_unless_it_is_allowed() {
    let mut client = ClientConnection::new(old_client(), host()).unwrap();
    let answer = refused(&output(&mut client), TransportMistake::TlsHandshake);
    assert_eq!(answer, fatal(AlertDescription::ProtocolVersion));

    let settings = TlsServerSettings {
        version_min: TlsVersion::Tls12,
        ..settings()
    };
    let server = TlsServer::new(&settings).unwrap();
    let (mut client, mut gateway) = connected(server, &old_client());
    assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(
        gateway.shaken,
        Some(Handshaken {
            kept: TlsKept::Rustls,
            ..FULL
        })
    );
    stays_with_rustls(&mut client, &mut gateway);
}

#[test]
fn rustls_keeps_connections_if_it_is_told_to() {
    let settings = TlsServerSettings {
        keeping: TlsKeeping::Connection,
        ..settings()
    };
    let config = Arc::new(client_config(&[]));
    let (mut client, mut gateway) = connected(TlsServer::new(&settings).unwrap(), &config);
    assert_eq!(
        gateway.shaken,
        Some(Handshaken {
            kept: TlsKept::Rustls,
            ..FULL
        })
    );
    client.refresh_traffic_keys().unwrap();
    stays_with_rustls(&mut client, &mut gateway);
}

fn stays_with_rustls(client: &mut ClientConnection, gateway: &mut Gateway) {
    echo(client, gateway, 100);
    // In pieces.
    client.writer().write_all(&[7; 50_000]).unwrap();
    for piece in output(client).chunks(1_000) {
        gateway.takes(piece);
    }
    assert_eq!(std::mem::take(&mut gateway.received), [7; 50_000]);
    client.send_close_notify();
    gateway.takes(&output(client));
    assert_eq!(gateway.end, Some(TransportEnd::InOrder));
    let last = [gateway.sends(b"the last"), gateway.closes()].concat();
    assert_eq!(input(client, &last).unwrap(), b"the last");
    assert!(client.process_new_packets().unwrap().peer_has_closed());
    assert!(gateway.closes().is_empty() && gateway.sends(b"no more").is_empty());
}

#[test]
fn forged_bytes_end_a_connection_that_rustls_keeps() {
    let settings = TlsServerSettings {
        keeping: TlsKeeping::Connection,
        ..settings()
    };
    let config = Arc::new(client_config(&[]));
    let (mut client, mut gateway) = connected(TlsServer::new(&settings).unwrap(), &config);
    let answer = gateway.takes(&[
        23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
    ]);
    assert_eq!(
        gateway.end,
        Some(TransportEnd::Mistake(TransportMistake::TlsRecord))
    );
    let told = input(&mut client, &answer).unwrap_err();
    assert_eq!(told, Error::AlertReceived(AlertDescription::BadRecordMac));
}

#[test]
fn clients_can_be_asked_for_certificates() {
    let own = signed(&["a terminal"]);
    let settings = TlsServerSettings {
        client_ca: Some(own.chain.as_bytes()),
        ..settings()
    };
    let server = TlsServer::new(&settings).unwrap();
    let with = |signed: &Signed| {
        let chain = vec![CertificateDer::from_pem_slice(signed.chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::clone(client_config(&[]).crypto_provider()));
        let config = config
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(host_certificate()));
        Arc::new(config.with_client_auth_cert(chain, key).unwrap())
    };
    let config = with(&own);
    // Each time: there are no tickets.
    for _ in 0..2 {
        let (mut client, mut gateway) = connected(server.clone(), &config);
        assert_eq!(gateway.shaken, Some(FULL));
        // The check of a client's certificate and signature waits for a step, as well.
        assert!(gateway.steps > 1);
        echo(&mut client, &mut gateway, 3);
    }

    for (config, alert) in [
        (
            Arc::new(client_config(&[])),
            AlertDescription::CertificateRequired,
        ),
        (with(&signed(&["another"])), AlertDescription::DecryptError),
    ] {
        let mut client = ClientConnection::new(config, host()).unwrap();
        let mut gateway = Gateway::new(server.clone());
        let answer = gateway.takes(&output(&mut client));
        input(&mut client, &answer).unwrap();
        let answer = gateway.takes(&output(&mut client));
        assert_eq!(
            gateway.end,
            Some(TransportEnd::Mistake(TransportMistake::TlsHandshake))
        );
        assert_eq!(input(&mut client, &answer), Err(Error::AlertReceived(alert)));
    }
}

#[test]
fn http_is_agreed_on_where_websocket_is_spoken() {
    let offering = |protocols: &[&[u8]]| {
        let mut config = client_config(&[]);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    };
    let (client, _) = connected(server().with_http(), &offering(&[b"h2", b"http/1.1"]));
    assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (client, _) = connected(server().with_http(), &offering(&[]));
    assert_eq!(client.alpn_protocol(), None);
    let (client, _) = connected(server(), &offering(&[b"whatever"]));
    assert_eq!(client.alpn_protocol(), None);
    let mut client = ClientConnection::new(offering(&[b"h2"]), host()).unwrap();
    let mut gateway = Gateway::new(server().with_http());
    let answer = gateway.takes(&output(&mut client));
    let told = input(&mut client, &answer).unwrap_err();
    assert_eq!(
        told,
        Error::AlertReceived(AlertDescription::NoApplicationProtocol)
    );
}
