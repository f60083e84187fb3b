//! The same bytes through the gateway's record layer and through a connection of rustls that has the same keys: both give the
//! same content, and send the same bytes, to the last one. The peer sends what it likes, cut wherever it likes.

use std::io::{Read, Write};
use std::sync::Arc;

use proptest::prelude::*;
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::server::NoServerSessionStorage;
use rustls::{
    AlertDescription, ClientConnection, ContentType, ServerConfig, ServerConnection, SupportedCipherSuite,
};

use super::world::*;
use crate::protocol::transport::ending::TransportEnd;
use crate::protocol::transport::tls::connection::TlsConnection;
use crate::protocol::transport::tls::keys::{Opener, Sealer, TrafficKey};
use crate::protocol::transport::tls::secrets::HandshakeSecrets;
use crate::protocol::transport::tls::session::{SessionKeys, TlsEnd, TlsRole};
use crate::protocol::transport::tls::suite::TlsSuite;
use crate::protocol::transport::unwrapped::Unwrapped;

/// What the peer sends.
#[derive(Debug, Clone)]
enum Sent {
    Content {
        bytes: usize,
        padding: usize,
    },
    /// Asked for or not.
    KeyUpdate(u8),
    /// In records of one byte.
    KeyUpdateInPieces(u8),
    Alert(u8, u8),
    Record(u8, Vec<u8>),
    /// A record with one bit changed, behind its header.
    Forged {
        bytes: usize,
        bit: usize,
    },
    /// The last record again.
    Replay,
    /// A record is lost.
    Loss,
    /// No record at all. The version in a header is what it should be, since rustls looks at it; no length lies between the
    /// RFC's bound and that of rustls; and the type is right, or one that rustls refuses at once.
    Raw(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let bytes = prop_oneof![6 => 0..40_usize, 3 => 0..2_000_usize, 1 => 16_000..=16_384_usize];
    let record = (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..12));
    prop_oneof![
        40 => (bytes, prop_oneof![4 => Just(0), 1 => 0..300_usize])
            .prop_map(|(bytes, padding)| Sent::Content { bytes, padding: padding.min(16_384 - bytes) }),
        12 => (0..2_u8).prop_map(Sent::KeyUpdate),
        3 => (0..2_u8).prop_map(Sent::KeyUpdateInPieces),
        1 => Just(Sent::Alert(1, 0)),
        1 => Just(Sent::Alert(1, 90)),
        1 => (1..3_u8, any::<u8>())
            .prop_map(|(level, alert)| Sent::Alert(level, alert))
            .prop_filter("of another mind", |sent| !rustls_thinks_otherwise(sent)),
        1 => record
            .prop_map(|(kind, content)| Sent::Record(kind, content))
            .prop_filter("of another mind", |sent| !rustls_thinks_otherwise(sent)),
        1 => (0..6_u8, proptest::collection::vec(any::<u8>(), 0..6))
            .prop_map(|(kind, content)| Sent::Record(20 + kind, content))
            .prop_filter("of another mind", |sent| !rustls_thinks_otherwise(sent)),
        // A whole message of any kind.
        1 => (prop_oneof![any::<u8>(), Just(24)], proptest::collection::vec(any::<u8>(), 0..6))
            .prop_map(|(kind, body)| Sent::Record(22, [&[kind, 0, 0, body.len() as u8], &body[..]].concat()))
            .prop_filter("of another mind", |sent| !rustls_thinks_otherwise(sent)),
        1 => (1..100_usize, any::<usize>()).prop_map(|(bytes, bit)| Sent::Forged { bytes, bit }),
        1 => Just(Sent::Replay),
        1 => Just(Sent::Loss),
        1 => (proptest::collection::vec(any::<u8>(), 5..40), prop_oneof![0..0x41_u8, 0x48..=0xff_u8])
            .prop_map(|(mut bytes, high)| {
                let header = [23, 3, 3, high];
                let kind = bytes.first().copied().filter(|kind| *kind % 2 == 0 && !(20..=24).contains(kind));
                for (byte, header) in bytes.iter_mut().zip(header) {
                    *byte = header;
                }
                if let (Some(kind), Some(first)) = (kind, bytes.first_mut()) {
                    *first = kind;
                }
                Sent::Raw(bytes)
            }),
    ]
}

/// rustls takes an empty part of a message, against RFC 8446, 5.4, and waits for all of one that has no place here; and it looks
/// at the level of an alert, which 6 says can be ignored.
fn rustls_thinks_otherwise(sent: &Sent) -> bool {
    let alert = |level, alert: Option<&u8>| ![1, 2].contains(level) || (*level, alert) == (2, Some(&90));
    match sent {
        Sent::Alert(level, kind) => alert(level, Some(kind)),
        Sent::Record(21, content) => content.first().is_some_and(|level| alert(level, content.get(1))),
        Sent::Record(22, content) => {
            !matches!(content[..], [_, 0, 0, length, ..] if usize::from(length) + 4 == content.len())
        }
        Sent::Record(_, _) => false,
        Sent::Content { .. }
        | Sent::KeyUpdate(_)
        | Sent::KeyUpdateInPieces(_)
        | Sent::Forged { .. }
        | Sent::Replay
        | Sent::Loss
        | Sent::Raw(_) => false,
    }
}

/// What a peer makes of its wishes.
struct Peer {
    key: TrafficKey,
    last: Vec<u8>,
}

impl Peer {
    fn seals(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        self.last.clear();
        Sealer::new(&mut self.key).seal(ContentType::from(kind), content, &mut self.last);
        self.last.clone()
    }

    fn bytes(&mut self, sent: &Sent) -> Vec<u8> {
        match sent {
            Sent::Content { bytes, padding } => {
                // The type stands behind the content, and padding behind it: what is sealed as the type is its last byte.
                let mut content = vec![*bytes as u8; *bytes];
                if *padding == 0 {
                    return self.seals(23, &content);
                }
                content.push(23);
                content.resize(content.len() + padding - 1, 0);
                self.seals(0, &content)
            }
            Sent::KeyUpdate(asked) => {
                let record = self.seals(22, &[24, 0, 0, 1, *asked]);
                self.key.renew();
                record
            }
            Sent::KeyUpdateInPieces(asked) => {
                let message = [24, 0, 0, 1, *asked];
                let records = message.iter().flat_map(|byte| self.seals(22, &[*byte])).collect();
                self.key.renew();
                records
            }
            Sent::Alert(level, alert) => self.seals(21, &[*level, *alert]),
            Sent::Record(kind, content) => self.seals(*kind, content),
            Sent::Forged { bytes, bit } => {
                let mut record = self.seals(23, &vec![1; *bytes]);
                let bit = bit % ((record.len() - 5) * 8);
                record[5 + bit / 8] ^= 1 << (bit % 8);
                record
            }
            Sent::Replay => self.last.clone(),
            Sent::Loss => {
                self.seals(23, b"lost");
                Vec::new()
            }
            Sent::Raw(bytes) => bytes.clone(),
        }
    }
}

/// What a gateway's end came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Came {
    content: Vec<u8>,
    sent: Vec<u8>,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    InOrder,
    Failed,
}

/// A handshake of rustls with itself: its end of the gateway, ours with the same keys, and the peer's.
struct Twins {
    rustls: ServerConnection,
    ours: TlsConnection,
    peer: Peer,
    suite: TlsSuite,
    /// Of what both send.
    secret: Vec<u8>,
}

fn twins(suite: SupportedCipherSuite) -> Twins {
    let secrets = Arc::new(HandshakeSecrets::default());
    let certificates = certificates(&[host_certificate()]);
    let provider = Arc::clone(client_config(&[suite]).crypto_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.key_log = Arc::clone(&secrets) as _;
    let mut rustls = ServerConnection::new(Arc::new(config)).unwrap();
    let mut client = ClientConnection::new(Arc::new(client_config(&[suite])), host()).unwrap();
    for _ in 0..3 {
        rustls.read_tls(&mut &output(&mut client)[..]).unwrap();
        rustls.process_new_packets().unwrap();
        let mut answer = Vec::new();
        while rustls.wants_write() {
            rustls.write_tls(&mut answer).unwrap();
        }
        input(&mut client, &answer).unwrap();
    }
    assert!(!rustls.is_handshaking());
    let suite = TlsSuite::of(suite).unwrap();
    let key = |secret: Option<&[u8]>| TrafficKey::new(suite, secret.unwrap(), 0);
    Twins {
        rustls,
        ours: TlsConnection::Rest(SessionKeys {
            read: key(secrets.client()),
            write: key(secrets.server()),
            end: TlsEnd::new(TlsRole::Server),
        }),
        peer: Peer {
            key: key(secrets.client()),
            last: Vec::new(),
        },
        suite,
        secret: secrets.server().unwrap().to_vec(),
    }
}

impl Twins {
    fn rustls_takes(&mut self, mut bytes: &[u8], came: &mut Came) {
        while !bytes.is_empty() && came.end.is_none() {
            self.rustls.read_tls(&mut bytes).unwrap();
            let state = self.rustls.process_new_packets();
            let _ = self.rustls.reader().read_to_end(&mut came.content);
            came.end = match state {
                Ok(state) if state.peer_has_closed() => Some(End::InOrder),
                Ok(_) => None,
                Err(_) => Some(End::Failed),
            };
        }
    }

    fn rustls_sends(&mut self, content: &[u8], came: &mut Came) {
        if came.end != Some(End::Failed) {
            let mut content = content;
            while !content.is_empty() {
                let taken = self.rustls.writer().write(content).unwrap();
                content = &content[taken..];
                self.flush(came);
            }
        }
        self.flush(came);
    }

    fn flush(&mut self, came: &mut Came) {
        while self.rustls.wants_write() {
            self.rustls.write_tls(&mut came.sent).unwrap();
        }
    }

    fn ours_takes(&mut self, bytes: &[u8], came: &mut Came) {
        let mut into = Unwrapped::default();
        assert_eq!(self.ours.receive(&mut bytes.to_vec(), &mut into), None);
        came.content.append(&mut into.bytes);
        came.sent.append(&mut into.answer);
        came.end = came.end.or(into.end.map(|end| match end {
            TransportEnd::InOrder => End::InOrder,
            TransportEnd::Mistake(_) | TransportEnd::Skipped(_) => End::Failed,
        }));
    }

    /// The alert at the end of what was sent.
    fn alert(&self, mut sent: &[u8]) -> Option<AlertDescription> {
        let mut key = TrafficKey::new(self.suite, &self.secret, 0);
        while let Some((header, rest)) = sent.split_first_chunk::<5>() {
            let (body, rest) = rest.split_at(usize::from(header[3]) << 8 | usize::from(header[4]));
            let mut body = body.to_vec();
            let opened = Opener::new(&mut key).open(&mut body).unwrap();
            let (kind, content) = (opened.typ, opened.payload.to_vec());
            if kind == ContentType::Handshake {
                key.renew();
            }
            if kind == ContentType::Alert {
                assert!(rest.is_empty(), "an alert is the last");
                return Some(AlertDescription::from(content[1]));
            }
            sent = rest;
        }
        None
    }
}

/// Alerts that differ from rustls' on purpose. It sends none for what is out of place, DecodeError for a header that is no
/// record's, and opens records whatever type their header has; RFC 8446, 5, wants UnexpectedMessage, RecordOverflow for what is
/// too large, and counts an alert of any level (6).
fn may_differ(ours: Option<AlertDescription>, rustls: Option<AlertDescription>) -> bool {
    match ours {
        Some(AlertDescription::UnexpectedMessage) => [
            None,
            Some(AlertDescription::DecodeError),
            Some(AlertDescription::BadRecordMac),
        ]
        .contains(&rustls),
        Some(AlertDescription::RecordOverflow) => [
            Some(AlertDescription::DecodeError),
            Some(AlertDescription::BadRecordMac),
        ]
        .contains(&rustls),
        None => rustls == Some(AlertDescription::DecodeError),
        _ => false,
    }
}

fn check(suite: SupportedCipherSuite, sent: &[Sent], cuts: &[usize], answers: &[usize]) {
    let mut twins = twins(suite);
    let stream: Vec<u8> = sent.iter().flat_map(|sent| twins.peer.bytes(sent)).collect();
    let (mut rustls, mut ours) = (Came::default(), Came::default());
    let (mut rest, mut cuts, mut answers) = (&stream[..], cuts.iter().cycle(), answers.iter().cycle());
    while !rest.is_empty() && rustls.end.is_none() {
        let (piece, behind) = rest.split_at(cuts.next().map_or(1, |cut| 1 + cut % rest.len().min(20_000)));
        rest = behind;
        twins.rustls_takes(piece, &mut rustls);
        twins.ours_takes(piece, &mut ours);
        // Something is sent behind each piece, since rustls answers a key update with the next content.
        let answer = vec![9; 1 + answers.next().unwrap_or(&0)];
        twins.rustls_sends(&answer, &mut rustls);
        twins.ours.send(&answer, &mut ours.sent);
        assert_eq!(rustls.end, ours.end);
        assert!(rustls.content == ours.content, "the same content");
    }
    if rustls.end != Some(End::Failed) {
        twins.rustls.send_close_notify();
        twins.flush(&mut rustls);
        twins.ours.close(&mut ours.sent);
        assert!(rustls.sent == ours.sent, "the same bytes");
        return;
    }
    let (theirs, told) = (twins.alert(&rustls.sent), twins.alert(&ours.sent));
    assert!(
        told == theirs || may_differ(told, theirs),
        "{told:?}, and rustls {theirs:?}"
    );
    // Without the alerts.
    let before = |sent: &[u8], alert: Option<_>| sent.len() - if alert.is_some() { ALERT_BYTES } else { 0 };
    let (same, own) = (before(&rustls.sent, theirs), before(&ours.sent, told));
    assert!(rustls.sent[..same] == ours.sent[..same], "the same bytes");
    // rustls leaves without an answer that it had still to send.
    assert!(own == same || theirs.is_none(), "the same bytes");
}

/// Of a record with an alert.
const ALERT_BYTES: usize = 5 + 2 + 1 + 16;

fn checks(suite: SupportedCipherSuite) {
    let config = ProptestConfig {
        cases: 192,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let cuts = prop_oneof![
        proptest::collection::vec(0..60_usize, 1..20),
        proptest::collection::vec(0..20_000_usize, 1..20),
    ];
    let answers = proptest::collection::vec(prop_oneof![9 => 0..50_usize, 1 => 0..40_000_usize], 1..6);
    proptest!(config, |(sent in proptest::collection::vec(sent(), 0..30), cuts in cuts, answers in answers)| {
        check(suite, &sent, &cuts, &answers);
    });
}

#[test]
fn aes_128_is_as_rustls_has_it() {
    checks(TLS13_AES_128_GCM_SHA256);
}

#[test]
fn aes_256_is_as_rustls_has_it() {
    checks(TLS13_AES_256_GCM_SHA384);
}

#[test]
fn chacha20_is_as_rustls_has_it() {
    checks(TLS13_CHACHA20_POLY1305_SHA256);
}
