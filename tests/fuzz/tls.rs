//! What is fuzzed of TLS: the beginning of a connection, and records behind a handshake.

use std::sync::{Arc, LazyLock};

use holdfast::base::time::Timestamp;
use holdfast::protocol::transport::ending::TransportEnd;
use holdfast::protocol::transport::tls::certificates::{CertificatePem, Certificates};
use holdfast::protocol::transport::tls::client::{ServerTrust, TlsClient};
use holdfast::protocol::transport::tls::connection::TlsConnection;
use holdfast::protocol::transport::tls::keys::{Sealer, TrafficKey};
use holdfast::protocol::transport::tls::negotiation::{TicketWish, TlsKeeping};
use holdfast::protocol::transport::tls::server::{TicketPolicy, TlsServer, TlsServerSettings, TlsVersion};
use holdfast::protocol::transport::tls::session::{SessionKeys, TlsEnd, TlsRole};
use holdfast::protocol::transport::tls::suite::TlsSuite;
use holdfast::protocol::transport::unwrapped::Unwrapped;
use rustls::ContentType;
use rustls::time_provider::DefaultTimeProvider;

use super::pieces;

/// All versions, and clients are asked for certificates: as much of the code as there is.
static SERVER: LazyLock<TlsServer> = LazyLock::new(|| {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (chain, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let pem = CertificatePem {
        chain: chain.as_bytes(),
        key: key.as_bytes(),
    };
    let certificates = Certificates::new(&[pem], Timestamp(1_800_000_000_000)).expect("it is good");
    let settings = TlsServerSettings {
        certificates: Arc::new(certificates),
        version_min: TlsVersion::Tls12,
        tickets: TicketPolicy::Own,
        client_ca: Some(chain.as_bytes()),
        keeping: TlsKeeping::Keys,
        time: Arc::new(DefaultTimeProvider),
    };
    TlsServer::new(&settings).expect("it can be used")
});

/// Whatever comes first: there is no content before a handshake is done, and it cannot be done without keys.
pub(crate) fn tls_beginning(bytes: &[u8]) {
    let (mut connection, mut into) = (TlsConnection::default(), Unwrapped::default());
    for piece in pieces(bytes) {
        assert!(connection.receive(&mut piece.to_vec(), &mut into).is_none());
        while into.step_waits && into.end.is_none() {
            into.step_waits = false;
            assert!(connection.step(&SERVER, &mut into).is_none());
        }
        assert!(!connection.is_open() && into.bytes.is_empty());
    }
    let answered = into.answer.len();
    connection.send(b"content", &mut into.answer);
    connection.close(&mut into.answer);
    assert_eq!(into.answer.len(), answered, "nobody could read it");
}

/// Records give the same content and the same end wherever they are cut. What a piece begins with says what it is: bytes as
/// they are, or the content of a record that is protected rightly.
pub(crate) fn tls_records(bytes: &[u8]) {
    let (suite, bytes) = bytes.split_first().unwrap_or((&0, bytes));
    let suite = [TlsSuite::Aes128, TlsSuite::Aes256, TlsSuite::ChaCha20][usize::from(*suite % 3)];
    let role = if bytes.len() % 2 == 0 {
        TlsRole::Server
    } else {
        TlsRole::Client
    };
    let mut key = TrafficKey::new(suite, secret(suite, 1), 0);
    let mut stream = Vec::new();
    for piece in pieces(bytes) {
        match piece.split_first() {
            Some((kind @ 20..=23, content)) => {
                Sealer::new(&mut key).seal(ContentType::from(*kind), content, &mut stream);
                if (*kind, content.first()) == (22, Some(&24)) {
                    key.renew();
                }
            }
            _ => stream.extend_from_slice(piece),
        }
    }
    let at_once = received(suite, role, &stream, stream.len().max(1));
    for length in [1, 7, 100] {
        assert_eq!(at_once, received(suite, role, &stream, length));
    }
}

fn secret(suite: TlsSuite, byte: u8) -> &'static [u8] {
    let secret: &[u8; 48] = if byte == 1 { &[1; 48] } else { &[2; 48] };
    &secret[..if suite == TlsSuite::Aes256 { 48 } else { 32 }]
}

/// The content and the end of a stream that comes in pieces.
fn received(suite: TlsSuite, role: TlsRole, stream: &[u8], length: usize) -> (Vec<u8>, Option<TransportEnd>) {
    let mut connection = TlsConnection::Rest(SessionKeys {
        read: TrafficKey::new(suite, secret(suite, 1), 0),
        write: TrafficKey::new(suite, secret(suite, 2), 0),
        end: TlsEnd::new(role),
    });
    let mut into = Unwrapped::default();
    for piece in stream.chunks(length) {
        assert!(connection.receive(&mut piece.to_vec(), &mut into).is_none());
        if into.end.is_some() {
            break;
        }
    }
    (into.bytes, into.end)
}

/// What a client begins with.
pub(crate) fn hellos() -> Vec<Vec<u8>> {
    let client = TlsClient::new(ServerTrust::Any, TicketWish::None).expect("a client");
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let mut came = Unwrapped::default();
    TlsConnection::connect(&client, name, &mut came).expect("a hello");
    let hello = came.answer;
    let finished = [&hello[..], &[20, 3, 3, 0, 1, 1], &[23, 3, 3, 0, 53], &[0; 53]].concat();
    vec![
        hello,
        finished,
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![21, 3, 3, 0, 2, 2, 80],
    ]
}

/// Records as [`tls_records`] takes them, each with its length before it.
pub(crate) fn records() -> Vec<Vec<u8>> {
    let pieces: [&[u8]; 9] = [
        b"\x17content",
        b"\x16\x18\0\0\x01\x01",
        b"\x17",
        b"\x15\x01\x5a",
        b"\x16\x18\0\0\x01\0",
        b"\x17\x17\0\0\0",
        b"\x16\x04\0\0\x01\0",
        b"\x15\x01\0",
        b"\0\x17\x03\x03\0\x14",
    ];
    let script = |chosen: &[usize]| {
        let pieces = chosen.iter().map(|place| pieces[*place]);
        let framed = pieces.flat_map(|piece| [&[piece.len() as u8], piece].concat());
        [0].into_iter().chain(framed).collect::<Vec<u8>>()
    };
    (0..pieces.len())
        .map(|last| script(&[0, 1, last, 0, 4, 2, 3, 0]))
        .chain([script(&[0, 1, 2, 3, 4, 5, 6, 7, 8])])
        .collect()
}
