//! Shards on real loopback sockets, with the real logic, and a registry that says yes to everything at once.

mod by_hand;
mod proxies;
mod seam;
mod secure;
mod simulated;
mod steps;
mod strangers;
mod websockets;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use prost::Message;

use super::*;
use crate::base::counters::Counters;
use crate::base::ids::UserId;
use crate::base::time::{Stopwatch, Timestamp};
use crate::logic::ShardPosition;
use crate::logic::delivery::{Delivery, Router, ToRegistry, ToShard};
use crate::logic::settings::Settings;
use crate::protocol::native::proto::{self, request, response};
use crate::protocol::native::{HEARTBEAT, HEARTBEAT_ANSWER, encode};
use crate::protocol::usersig::{Key, sign};

const SECRET: &str = "a secret of the tests";
const APP: u64 = 1_400_000_000;

/// So long that only a broken shard is cut off by it.
const PATIENCE: Duration = Duration::from_secs(20);

fn config(shards: u16, connections_max: u32, receive_buffers: u16) -> ShardConfig {
    let settings = Settings {
        sdk_app_id: APP,
        keys: vec![Key {
            secret: SECRET.into(),
            not_after_s: None,
        }],
        ..Settings::default()
    };
    ShardConfig {
        place: ShardPosition {
            shard: ShardId(0),
            shards,
            partitions: 1,
            connections_max,
        },
        settings: Arc::new(settings),
        seed: 7,
        listen: ["127.0.0.1:0", "[::1]:0"]
            .map(|address| ShardListener::native(address.parse().unwrap()))
            .to_vec(),
        receive_buffers,
        accepts_per_second_max: 0,
        heartbeat_delay_max: Duration::from_millis(5),
        // So long that a stop that waits for it hangs the test.
        stop_deadline: Duration::from_secs(3600),
        core: Core::Any,
    }
}

struct Node {
    shards: Vec<ShardHandle>,
    addresses: Vec<SocketAddr>,
    clock: Clock,
}

impl Node {
    fn start(shards: u16, connections_max: u32) -> Self {
        Self::start_from(config(shards, connections_max, 16))
    }

    fn start_from(config: ShardConfig) -> Self {
        Self::start_unlike(config, |_| ())
    }

    /// With shards that differ.
    fn start_unlike(mut config: ShardConfig, change: impl Fn(&mut ShardConfig)) -> Self {
        let (clock, mut prepared) = (Clock::start(), Vec::new());
        for id in 0..config.place.shards {
            config.place.shard = ShardId(id);
            let mut own = config.clone();
            change(&mut own);
            let shard = PreparedShard::new(own).unwrap();
            for (listener, address) in config.listen.iter_mut().zip(shard.addresses()) {
                listener.address = *address;
            }
            prepared.push(shard);
        }
        let neighbours: Vec<Neighbour> = prepared.iter().map(PreparedShard::neighbour).collect();
        let senders: Vec<ShardSender> = prepared.iter().map(PreparedShard::sender).collect();
        let start = |shard: PreparedShard| {
            let restored = crossbeam_channel::bounded(0).1;
            shard
                .spawn(clock.clone(), neighbours.clone(), registry(&senders), restored)
                .unwrap()
        };
        Self {
            addresses: config.listen.iter().map(|listener| listener.address).collect(),
            shards: prepared.into_iter().map(start).collect(),
            clock,
        }
    }

    fn connect(&self) -> Terminal {
        Terminal::connect(self.addresses[0])
    }

    fn log_in(&mut self, user: &str) -> Terminal {
        let mut terminal = self.connect();
        terminal.write(&self.login(user));
        terminal.expect_login();
        terminal
    }

    fn login(&mut self, user: &str) -> Vec<u8> {
        let name = UserId::new(user.as_bytes()).unwrap();
        encode(&proto::Request {
            packet: Some(request::Packet::Login(proto::Login {
                protocol: 1,
                user_id: user.to_owned(),
                user_sig: sign(self.clock.now().wall, APP, SECRET, &name, 3600),
                platform: proto::Platform::Iphone.into(),
                instance: 1,
                ..Default::default()
            })),
        })
    }

    /// The sum over all shards.
    fn count(&self, name: &str) -> u64 {
        let mut names = Counters::NAMES.iter();
        let place = names.position(|(known, _)| *known == name).unwrap();
        self.shards
            .iter()
            .map(|shard| shard.counters.values()[place])
            .sum()
    }

    fn count_own(&self, name: &str) -> u64 {
        let mut names = ShardView::OWN_NAMES.iter();
        let place = names.position(|(known, _)| *known == name).unwrap();
        self.shards
            .iter()
            .map(|shard| shard.counters.own_values()[place])
            .sum()
    }

    fn wait_until(&self, what: impl Fn(&Self) -> bool) {
        let waited = Stopwatch::start();
        while !what(self) {
            assert!(waited.elapsed() < PATIENCE, "it does not become so");
            std::thread::yield_now();
        }
    }

    fn stop(self) {
        for shard in &self.shards {
            shard.sender.send(ToShard::Stop).unwrap();
        }
        for shard in self.shards {
            shard.thread.join().unwrap().unwrap();
        }
    }
}

/// A registry that has nobody on record and takes everything.
fn registry(senders: &[ShardSender]) -> Router {
    let senders = senders.to_vec();
    Box::new(move |delivery| {
        let (shard, reply) = match delivery {
            Delivery::Registry(ToRegistry::Load(shard, user, _)) => (shard, ToShard::Loaded(user, Ok(None))),
            Delivery::Registry(ToRegistry::Commit(shard, user, _)) => {
                (shard, ToShard::Committed(user, Ok(Timestamp(0))))
            }
            other @ (Delivery::Shard(..)
            | Delivery::Registry(_)
            | Delivery::Http(_)
            | Delivery::Peer(..)
            | Delivery::Outcomes(_)) => {
                panic!("nobody asked: {other:?}")
            }
        };
        senders[usize::from(shard.0)].send(reply).unwrap();
        Ok(())
    })
}

struct Terminal<S = TcpStream>(S);

impl Terminal {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }
}

impl<S: Read + Write> Terminal<S> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn packet(&mut self) -> response::Packet {
        let mut length = 0;
        for shift in (0..).step_by(7) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            length |= usize::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                break;
            }
        }
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        proto::Response::decode(&*bytes).unwrap().packet.unwrap()
    }

    fn expect_login(&mut self) {
        let packet = self.packet();
        assert!(
            matches!(&packet, response::Packet::LoginAnswer(answer) if answer.session == 1),
            "{packet:?}"
        );
    }

    fn beat(&mut self) {
        self.write(HEARTBEAT);
        let mut answer = vec![0; HEARTBEAT_ANSWER.len()];
        self.0.read_exact(&mut answer).unwrap();
        assert_eq!(answer, HEARTBEAT_ANSWER);
    }

    fn expect_end(&mut self) {
        assert_eq!(self.0.read(&mut [0; 1]).unwrap(), 0);
    }
}

#[test]
fn terminals_log_in_and_beat_wherever_their_home_is() {
    let mut node = Node::start(2, 256);
    let mut terminals: Vec<Terminal> = (0..40)
        .map(|number| node.log_in(&format!("user-{number}")))
        .collect();
    for _ in 0..20 {
        terminals.iter_mut().for_each(Terminal::beat);
    }
    assert!(node.count("connections_moved") > 0);
    node.wait_until(|node| node.count("connections_arrived") == node.count("connections_moved"));
    node.wait_until(|node| node.count("heartbeats") == 800);
    assert_eq!(node.count("devices_online_now"), 40);
    drop(terminals);
    node.wait_until(|node| node.count("connections_now") == 0 && node.count("link_ends") == 40);
    node.stop();
}

#[test]
fn heartbeats_sent_all_at_once_are_all_answered_though_buffers_are_few() {
    let mut node = Node::start_from(config(1, 64, 1));
    let mut terminals: Vec<Terminal> = (0..20)
        .map(|number| node.log_in(&format!("user-{number}")))
        .collect();
    for _ in 0..300 {
        for terminal in &mut terminals {
            terminal.write(HEARTBEAT);
        }
    }
    for terminal in &mut terminals {
        let mut answers = vec![0; 300 * HEARTBEAT_ANSWER.len()];
        terminal.0.read_exact(&mut answers).unwrap();
        assert_eq!(answers, HEARTBEAT_ANSWER.repeat(300));
    }
    node.wait_until(|node| node.count_own("buffer_shortages") > 0);
    node.stop();
}

#[test]
fn both_families_are_served() {
    let mut node = Node::start(2, 64);
    for (number, address) in node.addresses.clone().into_iter().enumerate() {
        let mut terminal = Terminal::connect(address);
        terminal.write(&node.login(&format!("user-{number}")));
        terminal.expect_login();
        terminal.beat();
    }
    node.stop();
}

#[test]
fn bytes_behind_a_login_and_while_it_moves_are_not_lost() {
    let mut node = Node::start(2, 64);
    for number in 0..20 {
        let mut terminal = node.connect();
        let mut bytes = node.login(&format!("user-{number}"));
        bytes.extend_from_slice(HEARTBEAT);
        terminal.write(&bytes);
        terminal.write(HEARTBEAT);
        terminal.expect_login();
        for _ in 0..2 {
            assert!(matches!(terminal.packet(), response::Packet::HeartbeatAnswer(_)));
        }
        terminal.beat();
    }
    assert!(node.count("connections_moved") > 0);
    node.stop();
}

#[test]
fn a_login_may_come_byte_by_byte() {
    let mut node = Node::start(1, 64);
    let mut terminal = node.connect();
    for byte in node.login("alice") {
        terminal.write(&[byte]);
    }
    terminal.expect_login();
    node.stop();
}

#[test]
fn the_last_packet_arrives_though_more_was_sent_than_is_read() {
    let node = Node::start(1, 64);
    for _ in 0..20 {
        let mut terminal = node.connect();
        terminal.write(&[0xff; 12_000]);
        assert!(matches!(terminal.packet(), response::Packet::Error(_)));
        terminal.expect_end();
    }
    node.wait_until(|node| node.count("connections_now") == 0);
    node.stop();
}

#[test]
fn who_does_not_read_is_cut_off() {
    let mut node = Node::start(1, 64);
    let mut terminal = node.log_in("alice");
    let many = HEARTBEAT.repeat(10_000);
    let error = (0..10_000).find_map(|_| terminal.0.write_all(&many).err());
    let error = error.expect("200 MB are more than anybody keeps");
    assert!(
        matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{error}"
    );
    node.wait_until(|node| node.count("slow_readers") == 1 && node.count("connections_now") == 0);
    assert!(node.log_in("bob").0.peer_addr().is_ok());
    node.stop();
}

#[test]
fn a_full_table_makes_others_wait_and_loses_nobody() {
    let mut node = Node::start(1, 8);
    // One slot is kept, since either listener may take the last one.
    let mut inside: Vec<Terminal> = (0..7)
        .map(|number| node.log_in(&format!("user-{number}")))
        .collect();
    let mut outside = node.connect();
    outside.write(&node.login("late"));
    inside.iter_mut().for_each(Terminal::beat);
    node.wait_until(|node| node.count_own("accept_pauses") == 1);
    inside.pop();
    outside.expect_login();
    inside.iter_mut().for_each(Terminal::beat);
    assert_eq!(node.count_own("accepts_failed"), 0);
    node.stop();
}

#[test]
fn slots_come_back_for_ever() {
    let mut node = Node::start(2, 64);
    for round in 0..500 {
        let mut terminal = node.log_in(&format!("user-{round}"));
        terminal.beat();
    }
    node.wait_until(|node| node.count("connections_now") == 0);
    node.stop();
}

#[test]
fn a_stop_says_goodbye_to_everyone_and_ends_the_threads() {
    let mut node = Node::start(2, 64);
    let terminals: Vec<Terminal> = (0..10)
        .map(|number| node.log_in(&format!("user-{number}")))
        .collect();
    let silent = node.connect();
    node.wait_until(|node| node.count("connections_opened") == 11);
    node.stop();
    for mut terminal in terminals.into_iter().chain([silent]) {
        assert!(matches!(terminal.packet(), response::Packet::GoAway(_)));
        terminal.expect_end();
    }
}
