//! What is fuzzed: each entry takes any bytes and panics if something that must hold does not. The loop of `main.rs` and the
//! targets of `cargo fuzz` call the same ones.

#[path = "tls.rs"]
pub(crate) mod tls;

use std::net::Ipv6Addr;
use std::sync::Arc;

use holdfast::base::ids::{ConnKey, ShardId, UserId};
use holdfast::base::time::{Now, Timestamp};
use holdfast::logic::settings::Settings;
use holdfast::logic::state::ShardState;
use holdfast::logic::{Effect, Input, Peer, ShardPosition};
use holdfast::protocol::dialect::Dialect;
use holdfast::protocol::packet::{NextPacket, TerminalPacket};
use holdfast::protocol::stack::ProtocolStack;
use holdfast::protocol::transport::unwrapped::Unwrapped;
use holdfast::protocol::transport::websocket::client;
use holdfast::protocol::transport::websocket::layer::WebSocket;
use holdfast::protocol::transport::websocket::upgrade::{UpgradeContext, UpgradeRules};
use holdfast::protocol::usersig::{App, Key, Verifier};

/// The app that UserSigs are checked for.
pub(crate) const APP: u64 = 1_400_000_001;
/// When they are.
pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// Whose they must be.
pub(crate) const USER: &str = "alice";

const PACKET_BYTES_MAX: usize = 4_096;

/// Pieces of what a socket gives: before each stands its length in a byte. What is left is the last one.
fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first()?;
        let (piece, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = rest;
        Some(piece)
    })
}

/// Packets until one cannot be read, and how many bytes are left.
fn read(mut bytes: &[u8], packets: &mut Vec<TerminalPacket>) -> Option<usize> {
    loop {
        match Dialect::Native.next(bytes, PACKET_BYTES_MAX) {
            NextPacket::Packet { packet, rest, .. } => {
                assert!(rest.len() < bytes.len(), "a packet has bytes");
                packets.push(packet);
                bytes = rest;
            }
            NextPacket::Incomplete => return Some(bytes.len()),
            NextPacket::Unreadable | NextPacket::TooLarge | NextPacket::Malformed => return None,
        }
    }
}

/// Bytes of a terminal are the same packets wherever they are cut.
pub(crate) fn packets(bytes: &[u8]) {
    let whole: Vec<u8> = pieces(bytes).flatten().copied().collect();
    let (mut at_once, mut cut) = (Vec::new(), Vec::new());
    let end = read(&whole, &mut at_once);
    let mut kept = Vec::new();
    for piece in pieces(bytes) {
        kept.extend_from_slice(piece);
        match read(&kept, &mut cut) {
            Some(left) => drop(kept.drain(..kept.len() - left)),
            None => {
                assert_eq!(end, None, "what is whole can be read");
                break;
            }
        }
    }
    assert_eq!(at_once, cut);
    if let Some(left) = end {
        assert_eq!(kept.len(), left);
    }
}

/// Nothing is a good UserSig but what was made with the key.
pub(crate) fn usersig(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let user = UserId::new(USER.as_bytes()).expect("a UserID");
    let keys = [Key {
        secret: "a secret that nobody knows".into(),
        not_after_s: None,
    }];
    let app = App {
        sdk_app_id: APP,
        keys: &keys,
        ahead_max_s: 86_400,
    };
    assert!(Verifier::default().verify(NOW, app, &user, text).is_err());
}

/// A shard takes any bytes of a terminal, and closes its connection once at most. Nothing is sent behind the close.
pub(crate) fn terminal(bytes: &[u8]) {
    let position = ShardPosition {
        shard: ShardId(0),
        shards: 1,
        partitions: 1,
        connections_max: 4,
    };
    let now = Now {
        wall: NOW,
        ..Now::default()
    };
    let mut state = ShardState::new(now, 1, position, Arc::new(Settings::default()));
    let key = ConnKey {
        slot: 0,
        generation: 1,
    };
    let peer = Peer {
        address: Ipv6Addr::LOCALHOST,
        stack: ProtocolStack::NATIVE_TCP,
    };
    let closes = |effect: &Effect| matches!(effect, Effect::Close(..));
    let mut out = Vec::new();
    state.handle(now, Input::Opened(key, peer), &mut out);
    for piece in pieces(bytes) {
        if out.iter().any(closes) {
            break;
        }
        state.handle(now, Input::Received(key, piece), &mut out);
    }
    let close = out.iter().position(closes);
    let to_it = |effect: &Effect| matches!(effect, Effect::Close(to, _) | Effect::Send(to, _) if *to == key);
    if let Some(close) = close {
        assert!(!out[close + 1..].iter().any(to_it), "nothing follows a close");
    }
}

/// A WebSocket gives the same wherever its bytes are cut, as a request and as frames.
pub(crate) fn websocket(bytes: &[u8]) {
    let whole: Vec<u8> = pieces(bytes).flatten().copied().collect();
    for begin in [WebSocket::default, WebSocket::open] {
        let at_once = received(begin(), [&whole[..]].into_iter());
        assert_eq!(at_once, received(begin(), pieces(bytes)));
    }
    let _ = client::answer(&whole, "");
}

/// All that comes of the bytes, up to the end.
fn received<'a>(mut websocket: WebSocket, pieces: impl Iterator<Item = &'a [u8]>) -> Unwrapped {
    let context = UpgradeContext {
        rules: &UpgradeRules::default(),
        peer: Ipv6Addr::LOCALHOST.into(),
        is_trusted: &|_| true,
    };
    let mut into = Unwrapped::default();
    for piece in pieces {
        websocket.receive(&mut piece.to_vec(), Some(context), &mut into);
        if into.end.is_some() {
            break;
        }
    }
    into
}
