//! Terminals that come by TLS, with WebSocket and without, over real sockets. The client's TLS is rustls' own.

use std::sync::OnceLock;

use rustls::pki_types::ServerName;
use rustls::time_provider::DefaultTimeProvider;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use super::websockets::WebTerminal;
use super::*;
use crate::protocol::transport::settings::TransportSettings;
use crate::protocol::transport::tls::certificates::{CertificatePem, Certificates};
use crate::protocol::transport::tls::client::AnyServer;
use crate::protocol::transport::tls::negotiation::TlsKeeping;
use crate::protocol::transport::tls::server::{TicketPolicy, TlsServer, TlsServerSettings, TlsVersion};

pub(super) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// With a certificate of its own.
pub(super) fn new_server() -> TlsServer {
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
    TlsServer::new(&settings).unwrap()
}

pub(super) fn secured(shards: u16, connections_max: u32, transport: TransportSettings) -> ShardConfig {
    static SERVER: OnceLock<TlsServer> = OnceLock::new();
    let mut config = config(shards, connections_max, 16);
    let transport = Arc::new(TransportSettings {
        tls: Some(SERVER.get_or_init(new_server).clone()),
        ..transport
    });
    for listener in &mut config.listen {
        listener.transport = Arc::clone(&transport);
    }
    config
}

pub(super) fn secure(shards: u16, connections_max: u32, transport: TransportSettings) -> Node {
    Node::start_from(secured(shards, connections_max, transport))
}

pub(super) fn client() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.dangerous();
    let builder = builder.with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
    Arc::new(builder.with_no_client_auth())
}

pub(super) fn begin(node: &Node, client: &Arc<ClientConfig>) -> TlsStream {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(client), name).unwrap();
    StreamOwned::new(connection, node.connect().0)
}

fn web(stream: TlsStream) -> WebTerminal<TlsStream> {
    WebTerminal(tungstenite::client("wss://localhost/", stream).unwrap().0)
}

#[test]
fn terminals_log_in_and_beat_over_tls_wherever_their_home_is() {
    let mut node = secure(4, 64, TransportSettings::default());
    let client = client();
    let mut terminals = Vec::new();
    for number in 0..30 {
        let mut terminal = Terminal(begin(&node, &client));
        terminal.write(&node.login(&format!("user-{number}")));
        terminal.expect_login();
        terminals.push(terminal);
    }
    for _ in 0..5 {
        terminals.iter_mut().for_each(Terminal::beat);
    }
    assert!(node.count("connections_moved") > 0);
    let live = "connections_live_now{class=\"mobile\",transport=\"tls\"}";
    node.wait_until(|node| node.count("heartbeats") == 150 && node.count(live) == 30);
    drop(terminals);
    node.wait_until(|node| node.count("connections_now") == 0);
    node.stop();
}

#[test]
fn sessions_are_resumed_at_any_shard() {
    let node = secure(2, 64, TransportSettings::default());
    let (client, mut resumed) = (client(), 0);
    for _ in 0..12 {
        let mut stream = begin(&node, &client);
        stream.write_all(&[0xff; 5]).unwrap();
        stream.flush().unwrap();
        // The answer is behind the ticket.
        stream.read_exact(&mut [0; 1]).unwrap();
        resumed += u64::from(stream.conn.handshake_kind() == Some(HandshakeKind::Resumed));
    }
    assert_eq!(resumed, 11);
    node.wait_until(|node| node.count_own("tls_handshakes{kind=\"resumed\"}") == 11);
    node.wait_until(|node| node.count_own("tls_handshakes{kind=\"full\"}") == 1);
    node.stop();
}

#[test]
fn records_that_are_cut_by_a_move_arrive_whole() {
    let mut node = secure(2, 64, TransportSettings::default());
    let client = client();
    for number in 0..30 {
        let mut stream = begin(&node, &client);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        let login = node.login(&format!("user-{number}"));
        stream.conn.writer().write_all(&login).unwrap();
        stream.conn.writer().write_all(HEARTBEAT).unwrap();
        let mut records = Vec::new();
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut records).unwrap();
        }
        let (before, behind) = records.split_at(records.len() - 1 - number % 40);
        stream.sock.write_all(before).unwrap();
        stream.sock.write_all(behind).unwrap();
        let mut terminal = Terminal(stream);
        terminal.expect_login();
        assert!(matches!(terminal.packet(), response::Packet::HeartbeatAnswer(_)));
        terminal.beat();
    }
    assert!(node.count("connections_moved") > 0);
    node.stop();
}

#[test]
fn web_terminals_log_in_and_beat_over_tls_wherever_their_home_is() {
    let websocket = TransportSettings {
        websocket: Some(Default::default()),
        ..TransportSettings::default()
    };
    let mut node = secure(4, 64, websocket);
    let client = client();
    for number in 0..30 {
        let mut terminal = web(begin(&node, &client));
        terminal.say(&[&node.login(&format!("user-{number}")), HEARTBEAT].concat());
        terminal.expect_login();
        terminal.expect_beat();
        terminal.say(HEARTBEAT);
        terminal.expect_beat();
        if number % 2 == 0 {
            terminal.0.close(None).unwrap();
            while terminal.0.read().is_ok() {}
        }
    }
    assert!(node.count("connections_moved") > 0);
    node.wait_until(|node| node.count("connections_now") == 0);
    node.stop();
}

#[test]
fn who_is_sent_away_is_told_so_before_the_end_of_tls() {
    let node = secure(1, 64, TransportSettings::default());
    let client = client();
    let mut terminal = Terminal(begin(&node, &client));
    terminal.write(&[0xff; 5]);
    assert!(matches!(terminal.packet(), response::Packet::Error(_)));
    // rustls makes an error of an end without close_notify.
    terminal.expect_end();
    let mut terminal = Terminal(begin(&node, &client));
    terminal.0.conn.complete_io(&mut terminal.0.sock).unwrap();
    node.wait_until(|node| node.count_own("tls_handshakes{kind=\"resumed\"}") == 1);
    node.stop();
    assert!(matches!(terminal.packet(), response::Packet::GoAway(_)));
    terminal.expect_end();
}

#[test]
fn all_of_a_storm_of_handshakes_are_served() {
    let mut node = secure(1, 512, TransportSettings::default());
    let client = client();
    let mut session = Terminal(begin(&node, &client));
    session.write(&node.login("alice"));
    session.expect_login();
    let mut storm: Vec<TlsStream> = (0..200).map(|_| begin(&node, &self::client())).collect();
    for stream in &mut storm {
        // The hello alone.
        stream.conn.write_tls(&mut stream.sock).unwrap();
    }
    (0..20).for_each(|_| session.beat());
    for stream in &mut storm {
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
    }
    node.wait_until(|node| node.count_own("tls_handshakes{kind=\"full\"}") == 201);
    drop(storm);
    node.stop();
}

#[test]
fn who_goes_while_its_step_waits_leaves_nothing() {
    let node = secure(1, 64, TransportSettings::default());
    let client = client();
    for _ in 0..60 {
        let mut stream = begin(&node, &client);
        stream.conn.write_tls(&mut stream.sock).unwrap();
    }
    node.wait_until(|node| node.count("connections_opened") == 60 && node.count("connections_now") == 0);
    node.stop();
}
