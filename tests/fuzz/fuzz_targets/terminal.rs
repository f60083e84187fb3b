//! Any bytes from one terminal, cut anywhere, as a whole shard sees them: never a panic, and at most one close.
#![no_main]

use std::net::Ipv6Addr;
use std::sync::Arc;

use holdfast::base::ids::{ConnKey, ShardId};
use holdfast::base::time::Now;
use holdfast::logic::settings::Settings;
use holdfast::logic::state::ShardState;
use holdfast::logic::{Effect, Input, Peer, ShardPosition};
use holdfast::protocol::stack::ProtocolStack;

libfuzzer_sys::fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let position = ShardPosition { shard: ShardId(0), shards: 1, connections_max: 4 };
    let mut state = ShardState::new(Now::default(), 1, position, Arc::new(Settings::default()));
    let key = ConnKey { slot: 0, generation: 1 };
    let peer = Peer { address: Ipv6Addr::LOCALHOST, stack: ProtocolStack::NATIVE_TCP };
    let mut out = Vec::new();
    state.handle(Now::default(), Input::Opened(key, peer), &mut out);
    for piece in &pieces {
        if out.contains(&Effect::Close(key)) {
            break;
        }
        state.handle(Now::default(), Input::Received(key, piece), &mut out);
    }
    let closes = out.iter().filter(|effect| **effect == Effect::Close(key)).count();
    assert!(closes <= 1);
});
