//! The record layer by itself, against records that the test makes: what a peer may send, what it may not, and which alert it
//! gets.

use rustls::{AlertDescription, ContentType};

use crate::protocol::transport::ending::{TransportEnd, TransportMistake};
use crate::protocol::transport::tls::connection::TlsConnection;
use crate::protocol::transport::tls::keys::{Opener, Sealer, TrafficKey};
use crate::protocol::transport::tls::session::{
    CONTENT_BYTES_MAX, FRUITLESS_RECORDS_MAX, SessionKeys, TlsEnd, TlsRole,
};
use crate::protocol::transport::tls::suite::TlsSuite;
use crate::protocol::transport::unwrapped::Unwrapped;

const SUITES: [TlsSuite; 3] = [TlsSuite::Aes128, TlsSuite::Aes256, TlsSuite::ChaCha20];

/// KeyUpdate messages.
const UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
const UPDATE_BOTH: [u8; 5] = [24, 0, 0, 1, 1];

fn secret(suite: TlsSuite, byte: u8) -> Vec<u8> {
    vec![byte; if suite == TlsSuite::Aes256 { 48 } else { 32 }]
}

/// A connection at rest, and the keys of its peer.
struct Pair {
    gateway: TlsConnection,
    /// What the peer writes with, and what it reads with.
    writes: TrafficKey,
    reads: TrafficKey,
    came: Unwrapped,
}

impl Pair {
    fn new(suite: TlsSuite) -> Self {
        Self::at(suite, 0, 0)
    }

    /// With the numbers of the next records.
    fn at(suite: TlsSuite, from_peer: u64, to_peer: u64) -> Self {
        let key = |byte, number| TrafficKey::new(suite, &secret(suite, byte), number);
        let keys = SessionKeys {
            read: key(1, from_peer),
            write: key(2, to_peer),
            end: TlsEnd::new(TlsRole::Server),
        };
        Self {
            gateway: TlsConnection::Rest(keys),
            writes: key(1, from_peer),
            reads: key(2, to_peer),
            came: Unwrapped::default(),
        }
    }

    fn seals(&mut self, kind: ContentType, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Sealer::new(&mut self.writes).seal(kind, content, &mut out);
        out
    }

    fn takes(&mut self, bytes: &[u8]) {
        assert_eq!(self.gateway.receive(&mut bytes.to_vec(), &mut self.came), None);
    }

    /// The peer sends a record.
    fn sends(&mut self, kind: ContentType, content: &[u8]) {
        let record = self.seals(kind, content);
        self.takes(&record);
    }

    fn sends_content(&mut self, content: &[u8]) {
        self.sends(ContentType::ApplicationData, content);
    }

    /// The peer opens the first record of some bytes.
    fn opens(&mut self, bytes: &mut Vec<u8>) -> (ContentType, Vec<u8>) {
        let length = usize::from(bytes[3]) << 8 | usize::from(bytes[4]);
        let mut record: Vec<u8> = bytes.drain(..5 + length).collect();
        let opened = Opener::new(&mut self.reads).open(&mut record[5..]).unwrap();
        (opened.typ, opened.payload.to_vec())
    }

    fn answers(&mut self) -> Vec<(ContentType, Vec<u8>)> {
        let mut answer = std::mem::take(&mut self.came.answer);
        let mut records = Vec::new();
        while !answer.is_empty() {
            let record = self.opens(&mut answer);
            let updates = record.0 == ContentType::Handshake;
            records.push(record);
            if updates {
                self.reads.renew();
            }
        }
        records
    }

    #[track_caller]
    fn has(&mut self, content: &[u8]) {
        assert_eq!(self.came.bytes, content);
        assert_eq!(self.came.end, None);
        self.came.bytes.clear();
    }

    /// The connection is at its end, and the peer was told why.
    #[track_caller]
    fn is_refused(&mut self, alert: AlertDescription) {
        assert_eq!(
            self.came.end,
            Some(TransportEnd::Mistake(TransportMistake::TlsRecord))
        );
        assert_eq!(self.answers(), [(ContentType::Alert, vec![2, alert.into()])]);
        assert!(matches!(self.gateway, TlsConnection::Over));
        let mut out = Vec::new();
        self.gateway.send(b"more", &mut out);
        self.gateway.close(&mut out);
        assert!(out.is_empty(), "nothing follows an alert");
    }

    fn at_rest(&self) -> bool {
        matches!(self.gateway, TlsConnection::Rest(_))
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// RFC 8448, 3: the server's application traffic secret, its IV, and the client's record of 50 bytes.
#[test]
fn keys_are_those_of_the_rfc() {
    let server = hex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643");
    let key = TrafficKey::new(TlsSuite::Aes128, &server, 0);
    assert_eq!(key.iv()[..], hex("cf782b88dd83549aadf1e984"));
    let client = hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5");
    let mut key = TrafficKey::new(TlsSuite::Aes128, &client, 0);
    let content: Vec<u8> = (0..50).collect();
    let mut record = Vec::new();
    Sealer::new(&mut key).seal(ContentType::ApplicationData, &content, &mut record);
    let expected = "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4";
    assert_eq!(record, hex(expected));
}

#[test]
fn content_comes_through_wherever_it_is_cut() {
    for suite in SUITES {
        let mut pair = Pair::new(suite);
        let sizes = [1, 0, 17, 500, CONTENT_BYTES_MAX, 1];
        let stream: Vec<u8> = sizes
            .iter()
            .flat_map(|size| pair.seals(ContentType::ApplicationData, &vec![*size as u8; *size]))
            .collect();
        for piece in stream.chunks(7) {
            pair.takes(piece);
        }
        assert!(pair.at_rest());
        let expected: Vec<u8> = sizes.iter().flat_map(|size| vec![*size as u8; *size]).collect();
        pair.has(&expected);
        assert!(pair.answers().is_empty());
        // At once.
        let stream: Vec<u8> = sizes
            .iter()
            .flat_map(|size| pair.seals(ContentType::ApplicationData, &vec![*size as u8; *size]))
            .collect();
        pair.takes(&stream);
        pair.has(&expected);
    }
}

#[test]
fn a_part_of_a_record_is_kept_until_it_is_whole() {
    let mut pair = Pair::new(TlsSuite::Aes128);
    let record = pair.seals(ContentType::ApplicationData, b"a packet");
    pair.takes(&record[..4]);
    assert!(!pair.at_rest());
    pair.has(b"");
    pair.takes(&record[4..]);
    assert!(pair.at_rest());
    pair.has(b"a packet");
}

#[test]
fn much_content_leaves_in_several_records() {
    for suite in SUITES {
        let mut pair = Pair::new(suite);
        let content: Vec<u8> = (0..50_000_u32).map(|byte| byte as u8).collect();
        let mut out = b"before".to_vec();
        pair.gateway.send(&content, &mut out);
        pair.gateway.send(b"", &mut out);
        let mut out = out.strip_prefix(b"before").unwrap().to_vec();
        let mut received = Vec::new();
        while !out.is_empty() {
            let (kind, part) = pair.opens(&mut out);
            assert_eq!(kind, ContentType::ApplicationData);
            assert!(part.len() <= CONTENT_BYTES_MAX);
            received.extend(part);
        }
        assert_eq!(received, content);
    }
}

#[test]
fn a_record_that_is_forged_or_out_of_order_is_refused() {
    for suite in SUITES {
        let good = Pair::new(suite).seals(ContentType::ApplicationData, b"a packet");
        for place in 5..good.len() {
            let mut pair = Pair::new(suite);
            let mut forged = good.clone();
            forged[place] ^= 1;
            pair.takes(&forged);
            pair.is_refused(AlertDescription::BadRecordMac);
            assert!(pair.came.bytes.is_empty());
        }
        // Cut short, with a header that says so.
        let mut pair = Pair::new(suite);
        let mut cut = good[..good.len() - 1].to_vec();
        cut[4] -= 1;
        pair.takes(&cut);
        pair.is_refused(AlertDescription::BadRecordMac);
        // Again.
        let mut pair = Pair::new(suite);
        pair.takes(&good);
        pair.has(b"a packet");
        pair.takes(&good);
        pair.is_refused(AlertDescription::BadRecordMac);
        // One is missing.
        let mut pair = Pair::new(suite);
        pair.seals(ContentType::ApplicationData, b"lost");
        pair.sends_content(b"next");
        pair.is_refused(AlertDescription::BadRecordMac);
        // Ours comes back.
        let (mut pair, mut out) = (Pair::new(suite), Vec::new());
        pair.gateway.send(b"ours", &mut out);
        pair.takes(&out);
        pair.opens(&mut out);
        pair.is_refused(AlertDescription::BadRecordMac);
    }
}

#[test]
fn a_record_that_is_too_large_is_refused() {
    let mut pair = Pair::new(TlsSuite::Aes128);
    pair.takes(&[23, 3, 3, 0x41, 1]);
    pair.is_refused(AlertDescription::RecordOverflow);
    let mut pair = Pair::new(TlsSuite::Aes128);
    pair.takes(&[23, 3, 3, 0x41, 0]);
    pair.has(b"");
    // Padding counts, and the type does not.
    let mut pair = Pair::new(TlsSuite::Aes128);
    let mut padded = vec![0; CONTENT_BYTES_MAX];
    padded[3] = 23;
    pair.sends(ContentType::Unknown(0), &padded);
    pair.has(&[0; 3]);
    padded.push(0);
    pair.sends(ContentType::Unknown(0), &padded);
    pair.is_refused(AlertDescription::RecordOverflow);
    let mut pair = Pair::new(TlsSuite::Aes128);
    pair.sends_content(&[0; CONTENT_BYTES_MAX + 1]);
    pair.is_refused(AlertDescription::RecordOverflow);
}

#[test]
fn a_record_too_short_for_a_tag_is_refused() {
    for length in 0..17 {
        let mut pair = Pair::new(TlsSuite::Aes128);
        pair.takes(&[&[23, 3, 3, 0, length][..], &vec![0; length.into()]].concat());
        pair.is_refused(AlertDescription::BadRecordMac);
    }
}

#[test]
fn padding_is_taken_off() {
    let mut pair = Pair::new(TlsSuite::ChaCha20);
    pair.sends(ContentType::Unknown(0), b"padded\x17\0\0\0\0");
    pair.has(b"padded");
    pair.sends(ContentType::Unknown(0), &[&UPDATE_BOTH[..], &[22, 0, 0]].concat());
    pair.writes.renew();
    assert_eq!(pair.answers(), [(ContentType::Handshake, UPDATE.to_vec())]);
    // Nothing but padding.
    pair.sends(ContentType::Unknown(0), &[0; 9]);
    pair.is_refused(AlertDescription::UnexpectedMessage);
}

#[test]
fn empty_records_are_counted() {
    let mut pair = Pair::new(TlsSuite::Aes128);
    for _ in 0..3 {
        for _ in 0..FRUITLESS_RECORDS_MAX {
            pair.sends_content(b"");
        }
        pair.sends_content(b"a");
        pair.has(b"a");
    }
    for _ in 0..FRUITLESS_RECORDS_MAX {
        pair.sends_content(b"");
        pair.has(b"");
    }
    pair.sends_content(b"");
    pair.is_refused(AlertDescription::UnexpectedMessage);
}

#[test]
fn records_of_another_kind_are_refused() {
    for kind in [20, 21, 22, 24, 0, 255] {
        let mut pair = Pair::new(TlsSuite::Aes128);
        let mut record = pair.seals(ContentType::ApplicationData, b"a");
        record[0] = kind;
        pair.takes(&record);
        pair.is_refused(AlertDescription::UnexpectedMessage);
        if ![21, 22].contains(&kind) {
            let mut pair = Pair::new(TlsSuite::Aes128);
            pair.sends(ContentType::from(kind), b"\x01");
            pair.is_refused(AlertDescription::UnexpectedMessage);
        }
    }
}

#[test]
fn key_updates_are_followed_and_answered_once_a_read() {
    for suite in SUITES {
        let mut pair = Pair::new(suite);
        for _ in 0..3 {
            pair.sends(ContentType::Handshake, &UPDATE);
            pair.writes.renew();
            assert!(pair.answers().is_empty(), "nobody asked");
            pair.sends_content(b"new");
            pair.has(b"new");
            let mut stream = Vec::new();
            for _ in 0..5 {
                stream.extend(pair.seals(ContentType::Handshake, &UPDATE_BOTH));
                pair.writes.renew();
            }
            stream.extend(pair.seals(ContentType::ApplicationData, b"newer"));
            pair.takes(&stream);
            pair.has(b"newer");
            assert_eq!(pair.answers(), [(ContentType::Handshake, UPDATE.to_vec())]);
            let mut out = Vec::new();
            pair.gateway.send(b"ours", &mut out);
            assert_eq!(pair.opens(&mut out).1, b"ours");
        }
        assert!(pair.at_rest());
    }
}

#[test]
fn endless_key_updates_are_refused() {
    let mut pair = Pair::new(TlsSuite::Aes128);
    for _ in 0..FRUITLESS_RECORDS_MAX {
        pair.sends(ContentType::Handshake, &UPDATE);
        pair.writes.renew();
        pair.has(b"");
    }
    pair.sends(ContentType::Handshake, &UPDATE);
    pair.is_refused(AlertDescription::UnexpectedMessage);
}

#[test]
fn a_key_update_in_several_records_is_one() {
    let mut pair = Pair::new(TlsSuite::Aes128);
    for byte in UPDATE_BOTH {
        assert!(pair.answers().is_empty());
        pair.sends(ContentType::Handshake, &[byte]);
    }
    pair.writes.renew();
    assert_eq!(pair.answers(), [(ContentType::Handshake, UPDATE.to_vec())]);
    assert!(pair.at_rest());
    pair.sends_content(b"a");
    pair.has(b"a");
    // Nothing may stand between its parts.
    for kind in [ContentType::ApplicationData, ContentType::Alert] {
        let mut pair = Pair::new(TlsSuite::Aes128);
        pair.sends(ContentType::Handshake, &UPDATE[..3]);
        assert!(!pair.at_rest());
        pair.sends(kind, &[1, 0]);
        pair.is_refused(AlertDescription::UnexpectedMessage);
        assert!(pair.came.bytes.is_empty());
    }
}

#[test]
fn wrong_handshake_messages_are_refused() {
    let refused = |message: &[u8], alert| {
        let mut pair = Pair::new(TlsSuite::Aes128);
        pair.sends(ContentType::Handshake, message);
        pair.is_refused(alert);
    };
    refused(&[], AlertDescription::UnexpectedMessage);
    refused(&[24, 0, 0, 1, 2], AlertDescription::IllegalParameter);
    refused(&[24, 0, 0, 0], AlertDescription::DecodeError);
    refused(&[24, 0, 0, 2, 0, 0], AlertDescription::DecodeError);
    refused(&[24, 1, 0, 1], AlertDescription::DecodeError);
    // Behind it, under the old key.
    refused(&[24, 0, 0, 1, 0, 24], AlertDescription::UnexpectedMessage);
    // A ticket, a hello, a Finished, a certificate, a request.
    for kind in [4, 1, 20, 11, 13, 2, 99] {
        refused(&[kind, 0, 0, 0], AlertDescription::UnexpectedMessage);
        refused(&[kind, 0, 9, 0], AlertDescription::UnexpectedMessage);
    }
}

/// The last number that the cipher allows goes to the key update.
#[test]
fn our_key_is_renewed_before_it_is_spent() {
    for suite in SUITES {
        let limit = suite.records_max();
        let mut pair = Pair::at(suite, 0, limit - 3);
        let mut out = Vec::new();
        for text in [&b"one"[..], b"two"] {
            pair.gateway.send(text, &mut out);
            assert_eq!(
                pair.opens(&mut out),
                (ContentType::ApplicationData, text.to_vec())
            );
        }
        pair.gateway.send(b"three", &mut out);
        assert_eq!(pair.reads.sequence(), limit - 1);
        assert_eq!(
            pair.opens(&mut out),
            (ContentType::Handshake, UPDATE_BOTH.to_vec())
        );
        pair.reads.renew();
        assert_eq!(
            pair.opens(&mut out),
            (ContentType::ApplicationData, b"three".to_vec())
        );
        assert_eq!(pair.reads.sequence(), 1);
        // The peer does the same, and need not be answered.
        pair.sends(ContentType::Handshake, &UPDATE);
        pair.writes.renew();
        assert!(pair.answers().is_empty());
        pair.sends_content(b"a");
        pair.has(b"a");
    }
    assert_eq!(TlsSuite::Aes128.records_max(), 1 << 24);
    assert!(TlsSuite::ChaCha20.records_max() < 1 << 48);
}

/// An alert, and an answer to a key update, may always leave.
#[test]
fn the_end_of_a_spent_key_can_be_told() {
    let mut pair = Pair::at(TlsSuite::Aes128, 0, TlsSuite::Aes128.records_max() - 1);
    pair.sends(ContentType::Handshake, &UPDATE_BOTH);
    assert_eq!(pair.answers(), [(ContentType::Handshake, UPDATE.to_vec())]);
    let mut out = Vec::new();
    pair.gateway.close(&mut out);
    assert_eq!(pair.opens(&mut out), (ContentType::Alert, vec![1, 0]));
}

#[test]
fn a_peer_that_has_closed_can_still_read() {
    for suite in SUITES {
        let mut pair = Pair::new(suite);
        let mut stream = pair.seals(ContentType::ApplicationData, b"the last");
        stream.extend(pair.seals(ContentType::Alert, &[1, 0]));
        stream.extend(pair.seals(ContentType::ApplicationData, b"ignored"));
        pair.takes(&stream);
        assert_eq!(pair.came.end, Some(TransportEnd::InOrder));
        assert_eq!(pair.came.bytes, b"the last");
        pair.takes(b"ignored as well");
        assert_eq!(pair.came.bytes, b"the last");
        let mut out = Vec::new();
        pair.gateway.send(b"ours", &mut out);
        pair.gateway.close(&mut out);
        pair.gateway.send(b"too late", &mut out);
        pair.gateway.close(&mut out);
        assert_eq!(
            pair.opens(&mut out),
            (ContentType::ApplicationData, b"ours".to_vec())
        );
        assert_eq!(pair.opens(&mut out), (ContentType::Alert, vec![1, 0]));
        assert!(out.is_empty());
    }
}

#[test]
fn an_alert_of_the_peer_is_the_end() {
    // Whatever its level.
    for level in [1, 2, 9] {
        let mut pair = Pair::new(TlsSuite::Aes128);
        pair.sends(
            ContentType::Alert,
            &[level, AlertDescription::InternalError.into()],
        );
        assert_eq!(
            pair.came.end,
            Some(TransportEnd::Mistake(TransportMistake::TlsAlert))
        );
        assert!(pair.answers().is_empty());
        assert!(matches!(pair.gateway, TlsConnection::Over));
    }
    // But for the one that says nothing.
    let mut pair = Pair::new(TlsSuite::Aes128);
    pair.sends(ContentType::Alert, &[1, AlertDescription::UserCanceled.into()]);
    pair.has(b"");
    for (wrong, alert) in [
        (&[][..], AlertDescription::UnexpectedMessage),
        (&[2], AlertDescription::DecodeError),
        (&[2, 0, 0], AlertDescription::DecodeError),
    ] {
        let mut pair = Pair::new(TlsSuite::Aes128);
        pair.sends(ContentType::Alert, wrong);
        pair.is_refused(alert);
    }
}

#[test]
fn the_gateway_closes_with_an_alert() {
    let mut pair = Pair::new(TlsSuite::Aes256);
    let record = pair.seals(ContentType::ApplicationData, b"half");
    pair.takes(&record[..9]);
    let mut out = Vec::new();
    pair.gateway.close(&mut out);
    assert_eq!(pair.opens(&mut out), (ContentType::Alert, vec![1, 0]));
    assert!(matches!(pair.gateway, TlsConnection::Over));
}

#[test]
fn secrets_are_not_printed() {
    let pair = Pair::new(TlsSuite::Aes128);
    let TlsConnection::Rest(keys) = &pair.gateway else {
        panic!()
    };
    let printed = format!("{keys:?} {:?}", pair.gateway);
    assert_eq!(
        printed,
        "SessionKeys { read: TrafficKey(Aes128, 0), write: TrafficKey(Aes128, 0), end: Server, 0 fruitless } \
         TlsConnection::Rest"
    );
}
