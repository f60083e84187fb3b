//! No allocation for a heartbeat, and none held by an idle connection: counted over 10,000 live connections on real
//! sockets, for all threads of the gateway but not for the test's own. Nor is there one for a heartbeat by WebSocket or TLS, and none is
//! left of a message that was acknowledged.

#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a counting allocator, and nothing of the library"
)]

#[path = "support/mod.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast::base::ids::{RequestId, ShardId, UserId};
use holdfast::base::time::Clock;
use holdfast::logic::ShardPosition;
use holdfast::logic::delivery::{Delivery, Router, ToShard};
use holdfast::logic::message::{AckWish, SendOrder, SendReach, SendTarget};
use holdfast::logic::settings::Settings;
use holdfast::node::config::DEVELOPMENT_SECRET;
use holdfast::protocol::native::proto::{self, Platform, request, response};
use holdfast::protocol::native::{HEARTBEAT, HEARTBEAT_ANSWER};
use holdfast::protocol::packet::{FEATURE_ACKS, FEATURE_MESSAGES, MessageContent};
use holdfast::protocol::transport::settings::TransportSettings;
use holdfast::protocol::transport::tls::certificates::{CertificatePem, Certificates};
use holdfast::protocol::transport::tls::client::AnyServer;
use holdfast::protocol::transport::tls::negotiation::TlsKeeping;
use holdfast::protocol::transport::tls::server::{TicketPolicy, TlsServer, TlsServerSettings, TlsVersion};
use holdfast::protocol::usersig::Key;
use holdfast::services::registry::memory::MemoryStore;
use holdfast::services::registry::{FaultInjection, Registry};
use holdfast::shard::mesh::{Neighbour, ShardSender};
use holdfast::shard::{Core, PreparedShard, ShardConfig, ShardListener};
use prost::Message as _;
use rustls::pki_types::ServerName;
use rustls::time_provider::DefaultTimeProvider;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use support::gateway::SDK_APP_ID;
use support::terminal::{Terminal, frame, login};
use tungstenite::{Message, WebSocket};

const SHARDS: u16 = 2;
const FEW: usize = 1_000;
const MANY: usize = 10_000;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// Whether this thread is the test's own.
    static OUTSIDE: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

fn counts() -> bool {
    OUTSIDE.try_with(|outside| !outside.get()).unwrap_or(false)
}

// SAFETY: it does what the system's allocator does, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if counts() {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            LIVE.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if counts() {
            LIVE.fetch_sub(1, Ordering::Relaxed);
        }
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Shards with a registry in memory, and no front. Gives where they listen, and their inboxes.
fn start(transport: TransportSettings) -> (SocketAddr, Vec<ShardSender>) {
    let clock = Clock::start();
    let key = Key {
        secret: DEVELOPMENT_SECRET.into(),
        not_after_s: None,
    };
    let settings = Settings {
        sdk_app_id: SDK_APP_ID,
        keys: vec![key],
        ..Settings::default()
    };
    let mut config = ShardConfig {
        place: ShardPosition {
            shard: ShardId(0),
            shards: SHARDS,
            partitions: 1,
            connections_max: 12_000,
        },
        settings: Arc::new(settings),
        seed: 1,
        listen: vec![ShardListener {
            transport: Arc::new(transport),
            ..ShardListener::native("127.0.0.1:0".parse().unwrap())
        }],
        receive_buffers: 256,
        accepts_per_second_max: 0,
        heartbeat_delay_max: Duration::from_millis(5),
        stop_deadline: Duration::from_secs(1),
        core: Core::Any,
    };
    let mut prepared = Vec::new();
    for shard in 0..SHARDS {
        config.place.shard = ShardId(shard);
        let shard = PreparedShard::new(config.clone()).unwrap();
        config.listen[0].address = shard.addresses()[0];
        prepared.push(shard);
    }
    let senders: Vec<ShardSender> = prepared.iter().map(PreparedShard::sender).collect();
    let neighbours: Vec<Neighbour> = prepared.iter().map(PreparedShard::neighbour).collect();
    let inboxes = senders.clone();
    let answers: Router = Box::new(move |delivery| {
        if let Delivery::Shard(shard, reply) = delivery {
            inboxes[usize::from(shard.0)].send(reply).unwrap();
        }
        Ok(())
    });
    let registry = Registry::start(
        MemoryStore::default(),
        FaultInjection::default(),
        SHARDS,
        answers,
        clock.clone(),
    )
    .unwrap();
    for shard in prepared {
        let door = registry.sender();
        let router: Router = Box::new(move |delivery| {
            if let Delivery::Registry(request) = delivery {
                door.send(request).unwrap();
            }
            Ok(())
        });
        // Nobody is on record.
        let (_, nobody) = crossbeam_channel::bounded(0);
        shard
            .spawn(clock.clone(), neighbours.clone(), router, nobody)
            .unwrap();
    }
    (config.listen[0].address, senders)
}

/// One heartbeat on each connection, the next before the last was answered.
fn beat<S: Read + Write>(terminals: &mut [S]) {
    for batch in terminals.chunks_mut(200) {
        for terminal in &mut *batch {
            terminal.write_all(HEARTBEAT).unwrap();
        }
        for terminal in batch {
            let mut answer = [0; HEARTBEAT_ANSWER.len()];
            terminal.read_exact(&mut answer).unwrap();
            assert_eq!(answer, HEARTBEAT_ANSWER);
        }
    }
}

/// What the gateway allocates while each terminal beats once.
fn allocations_of_a_round<S: Read + Write>(terminals: &mut [S]) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    beat(terminals);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// The first rounds let vectors that are reused find their size, and what shards remember of the logins is tidied up in the next
/// seconds. If heartbeats allocated, each round would.
fn assert_quiet<S: Read + Write>(terminals: &mut [S]) {
    let quiet = (0..ROUNDS_MAX).any(|_| allocations_of_a_round(terminals) == 0);
    assert!(quiet, "heartbeats allocate");
}

/// Of a connection's heartbeats.
const ROUNDS_MAX: u32 = 100;

/// What is counted is all of the process: one test at a time.
static COUNTS: Mutex<()> = Mutex::new(());

#[test]
fn a_heartbeat_allocates_nothing_and_an_idle_connection_holds_nothing() {
    OUTSIDE.set(true);
    let _counts = COUNTS.lock();
    let (address, shards) = start(TransportSettings::default());
    let mut terminals: Vec<TcpStream> = Vec::new();
    let mut live = Vec::new();
    for target in [FEW, MANY] {
        while terminals.len() < target {
            let user = format!("user-{}", terminals.len());
            let login = proto::Login {
                features: FEATURE_MESSAGES | FEATURE_ACKS,
                ..login(&user, Platform::Android, 1)
            };
            terminals.push(Terminal::logged_in(address, login).0.stream);
        }
        assert_quiet(&mut terminals);
        live.push(LIVE.load(Ordering::Relaxed));
    }
    // The registry keeps a record a user: its map grows in place, and each record has a list of devices.
    let records = i64::try_from(MANY - FEW).unwrap();
    let held = live[1] - live[0] - records;
    assert!(
        held < records / 50,
        "{held} allocations are held by {records} idle connections"
    );
    // What was sent and acknowledged leaves nothing behind.
    for (batch, terminals) in terminals.chunks_mut(MESSAGES_AT_ONCE).enumerate() {
        for number in 0..terminals.len() {
            send(&shards, &format!("user-{}", batch * MESSAGES_AT_ONCE + number));
        }
        terminals.iter_mut().for_each(take_message);
    }
    assert_quiet(&mut terminals);
    let left = LIVE.load(Ordering::Relaxed) - live[1];
    assert!(
        left < records / 50,
        "{left} allocations are left of {MANY} messages"
    );
}

/// Messages on their way at once: a shard has room for some more.
const MESSAGES_AT_ONCE: usize = 100;

/// A user's shard is asked to send a message, which is to be acknowledged.
fn send(shards: &[ShardSender], user: &str) {
    let user = UserId::new(user.as_bytes()).unwrap();
    // The shard frees it.
    OUTSIDE.set(false);
    let content = MessageContent {
        id: 17,
        kind: "note".to_owned(),
        body: b"hello".to_vec(),
        ..MessageContent::default()
    };
    let order = SendOrder {
        content: Arc::new(content),
        name: "note-17".into(),
        ack: AckWish::Device,
        ttl: Duration::from_secs(60),
        wait: Duration::ZERO,
        collapse: None,
        reach: SendReach::All,
        targets: vec![SendTarget::all_of(user)],
    };
    let home = usize::from(user.home(SHARDS).0);
    let sent = ToShard::Send(RequestId(1), Box::new(order));
    OUTSIDE.set(true);
    assert!(shards[home].send(sent).is_ok(), "there is no room");
}

/// A terminal reads a message, and acknowledges it.
fn take_message(terminal: &mut TcpStream) {
    let mut length = [0];
    terminal.read_exact(&mut length).unwrap();
    let mut packet = vec![0; length[0].into()];
    terminal.read_exact(&mut packet).unwrap();
    let response = proto::Response::decode(&*packet).unwrap();
    let Some(response::Packet::Message(message)) = response.packet else {
        panic!("no message: {response:?}");
    };
    let ack = proto::MessageAck {
        id: vec![message.id],
        ..proto::MessageAck::default()
    };
    terminal
        .write_all(&frame(request::Packet::MessageAck(ack)))
        .unwrap();
}

/// A terminal's packets in messages: each read gives one.
struct Messages(WebSocket<TcpStream>);

impl Read for Messages {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let message = self.0.read().map_err(io::Error::other)?.into_data();
        into[..message.len()].copy_from_slice(&message);
        Ok(message.len())
    }
}

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.send(Message::binary(bytes.to_vec()));
        sent.map_err(io::Error::other).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Has some terminals log in by these streams, and beat.
fn assert_quiet_by<S: Read + Write>(transport: TransportSettings, open: impl Fn(TcpStream) -> S) {
    OUTSIDE.set(true);
    let _counts = COUNTS.lock();
    let (address, _) = start(transport);
    let log_in = |number| {
        let mut stream = open(Terminal::connect(address).stream);
        let login = login(&format!("user-{number}"), Platform::Android, 1);
        stream.write_all(&frame(request::Packet::Login(login))).unwrap();
        assert!(stream.read(&mut [0; 1_024]).unwrap() > 0);
        stream
    };
    let mut terminals: Vec<S> = (0..FEW).map(log_in).collect();
    assert_quiet(&mut terminals);
}

#[test]
fn a_heartbeat_by_websocket_allocates_nothing() {
    let transport = TransportSettings {
        websocket: Some(Default::default()),
        ..TransportSettings::default()
    };
    assert_quiet_by(transport, |stream| {
        Messages(tungstenite::client("ws://127.0.0.1/", stream).unwrap().0)
    });
}

#[test]
fn a_heartbeat_by_tls_allocates_nothing() {
    OUTSIDE.set(true);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let pem = CertificatePem {
        chain: chain.as_bytes(),
        key: key.as_bytes(),
    };
    let settings = TlsServerSettings {
        certificates: Arc::new(Certificates::new(&[pem], Clock::start().now().wall).unwrap()),
        version_min: TlsVersion::Tls13,
        tickets: TicketPolicy::Own,
        client_ca: None,
        keeping: TlsKeeping::Keys,
        time: Arc::new(DefaultTimeProvider),
    };
    let transport = TransportSettings {
        tls: Some(TlsServer::new(&settings).unwrap()),
        ..TransportSettings::default()
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let client = client.with_safe_default_protocol_versions().unwrap().dangerous();
    let client = client.with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
    let client = Arc::new(client.with_no_client_auth());
    assert_quiet_by(transport, |stream| {
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::clone(&client), name).unwrap(), stream)
    });
}
