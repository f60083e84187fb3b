//! Handshakes that wait for their steps, at a shard on the model of a ring: the test says when a turn does some.

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::secure::{client, secured};
use super::*;
use crate::base::ids::ConnKey;
use crate::base::limits::{STEPS_PER_TURN_MAX, STEPS_WAITING_MAX};
use crate::engine::completion::{ConnectionEvent, ReceiveEnd, Unread};
use crate::engine::connection::ConnectionStage;
use crate::kernel::ring::ModelRing;
use crate::protocol::transport::ending::TransportMistake;
use crate::protocol::transport::settings::TransportSettings;

const SLOTS: u16 = 16;

/// A connection that is gone.
const GONE: ConnKey = ConnKey {
    slot: SLOTS as u32 - 1,
    generation: u32::MAX,
};

fn shard() -> Shard<ModelRing, ShardState> {
    let config = secured(1, SLOTS.into(), TransportSettings::default());
    let mut clock = Clock::start();
    let now = clock.now();
    let ring = ModelRing::new(SLOTS.into(), SLOTS, 4_096);
    let logic = ShardState::new(now, config.seed, config.place, Arc::clone(&config.settings));
    let (inbox, sender) = mesh::inbox().unwrap();
    let router: Router = Box::new(Err);
    Shard::new(
        &config,
        (clock, now),
        (ring, logic),
        (inbox, vec![sender], router),
        Publisher::new(),
    )
}

/// A new connection that says hello.
fn says_hello(shard: &mut Shard<ModelRing, ShardState>, slot: u32) -> ConnKey {
    let name = ServerName::try_from("localhost").unwrap();
    let mut hello = Vec::new();
    let mut connection = ClientConnection::new(client(), name).unwrap();
    connection.write_tls(&mut hello).unwrap();
    shard.accepted(slot, "127.0.0.1:1".parse().unwrap(), 0);
    let (key, buffer) = (shard.connections.key(slot), shard.ring.fill(hello).unwrap());
    let end = ReceiveEnd::Bytes {
        buffer,
        unread: Unread::Nothing,
    };
    shard.happened(key, ConnectionEvent::Received(end));
    key
}

#[test]
fn no_more_handshakes_wait_than_may() {
    let mut shard = shard();
    let first = says_hello(&mut shard, 0);
    assert_eq!(shard.steps, [first]);
    shard.steps.resize(STEPS_WAITING_MAX - 1, first);
    let last = says_hello(&mut shard, 1);
    assert_eq!(
        (shard.steps.len(), shard.steps.back()),
        (STEPS_WAITING_MAX, Some(&last))
    );
    let one_more = says_hello(&mut shard, 2);
    assert_eq!(
        (shard.steps.len(), shard.steps.back()),
        (STEPS_WAITING_MAX, Some(&last))
    );
    assert_ne!(shard.connections.stage(one_more), ConnectionStage::Open);
    assert_eq!(shard.connections.stage(last), ConnectionStage::Open);
    let errors = shard.counts.transport_errors;
    assert_eq!(errors[TransportMistake::HandshakesWaiting as usize], 1);
    assert_eq!(errors.iter().sum::<u64>(), 1);
}

#[test]
fn a_turn_does_some_steps_and_the_next_one_comes_soon() {
    let mut shard = shard();
    let slots = 0..=STEPS_PER_TURN_MAX as u32;
    let keys: Vec<ConnKey> = slots.map(|slot| says_hello(&mut shard, slot)).collect();
    assert_eq!(shard.steps, keys);
    shard.do_steps();
    assert_eq!(shard.steps, &keys[STEPS_PER_TURN_MAX..]);
    assert!(shard.is_overworked);
    shard.is_overworked = false;
    shard.do_steps();
    assert!(shard.steps.is_empty() && !shard.is_overworked);
}

#[test]
fn who_has_gone_takes_no_place_and_no_step_from_others() {
    let mut shard = shard();
    shard.steps.resize(STEPS_WAITING_MAX, GONE);
    let first = says_hello(&mut shard, 0);
    assert_eq!((shard.steps.len(), shard.steps[0]), (1, first));
    for slot in 1..=STEPS_PER_TURN_MAX as u32 {
        shard.steps.push_back(GONE);
        says_hello(&mut shard, slot);
    }
    let last = *shard.steps.back().unwrap();
    shard.do_steps();
    assert_eq!(shard.steps, [GONE, last]);
}
