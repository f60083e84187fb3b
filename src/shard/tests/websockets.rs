//! Terminals that come by WebSocket, over real sockets, with a client of other people.

use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use super::*;
use crate::protocol::native::terminal::{NextResponse, next};
use crate::protocol::transport::ending::TransportMistake;
use crate::protocol::transport::settings::TransportSettings;

fn websockets(shards: u16, transport: &TransportSettings) -> ShardConfig {
    let mut config = config(shards, 64, 16);
    for listener in &mut config.listen {
        listener.transport = Arc::new(TransportSettings {
            websocket: Some(Default::default()),
            ..transport.clone()
        });
    }
    config
}

pub(super) fn start(shards: u16) -> Node {
    Node::start_from(websockets(shards, &TransportSettings::default()))
}

pub(super) struct WebTerminal<S = TcpStream>(pub(super) WebSocket<S>);

impl WebTerminal {
    pub(super) fn connect(node: &Node) -> Self {
        let Terminal(stream) = node.connect();
        let (websocket, _) = tungstenite::client("ws://127.0.0.1/", stream).unwrap();
        Self(websocket)
    }

    /// The socket itself, behind what was said.
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }
}

impl<S: Read + Write> WebTerminal<S> {
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.0.send(Message::binary(bytes.to_vec())).unwrap();
    }

    fn packet(&mut self) -> response::Packet {
        let message = self.0.read().unwrap().into_data();
        let NextResponse::Packet(Some(packet), []) = next(&message, 4_096) else {
            panic!("no packet, or more: {message:?}");
        };
        packet
    }

    pub(super) fn expect_login(&mut self) {
        let packet = self.packet();
        assert!(matches!(packet, response::Packet::LoginAnswer(answer) if answer.session == 1));
    }

    pub(super) fn expect_beat(&mut self) {
        assert!(matches!(self.packet(), response::Packet::HeartbeatAnswer(_)));
    }

    fn expect_close(&mut self, code: CloseCode) {
        let Message::Close(Some(frame)) = self.0.read().unwrap() else {
            panic!("it goes on");
        };
        assert_eq!(frame.code, code);
        // tungstenite has answered, and reads to the end.
        assert!(matches!(self.0.read(), Err(tungstenite::Error::ConnectionClosed)));
    }
}

#[test]
fn web_terminals_log_in_and_beat_wherever_their_home_is() {
    let mut node = start(4);
    let mut terminals = Vec::new();
    for number in 0..40 {
        let mut terminal = WebTerminal::connect(&node);
        terminal.say(&node.login(&format!("user-{number}")));
        terminal.expect_login();
        terminals.push(terminal);
    }
    for _ in 0..5 {
        terminals.iter_mut().for_each(|terminal| terminal.say(HEARTBEAT));
        terminals.iter_mut().for_each(WebTerminal::expect_beat);
    }
    assert!(node.count("connections_moved") > 0);
    let live = "connections_live_now{class=\"mobile\",transport=\"websocket\"}";
    node.wait_until(|node| node.count("heartbeats") == 200 && node.count(live) == 40);
    drop(terminals);
    node.wait_until(|node| node.count("connections_now") == 0);
    node.stop();
}

#[test]
fn frames_that_are_cut_by_a_move_arrive_whole() {
    let mut node = start(2);
    // A binary message with a mask of zeros.
    let heartbeat = [&[0x82, 0x83, 0, 0, 0, 0], HEARTBEAT].concat();
    for number in 0..30 {
        let mut terminal = WebTerminal::connect(&node);
        let login = node.login(&format!("user-{number}"));
        let length = u16::try_from(login.len()).unwrap().to_be_bytes();
        let login = [&[0x82, 0xfe], &length[..], &[0; 4], &*login].concat();
        let (before, behind) = heartbeat.split_at(number % heartbeat.len());
        terminal.socket().write_all(&[&login, before].concat()).unwrap();
        terminal.socket().write_all(behind).unwrap();
        terminal.expect_login();
        terminal.expect_beat();
        terminal.say(HEARTBEAT);
        terminal.expect_beat();
    }
    assert!(node.count("connections_moved") > 0);
    node.stop();
}

#[test]
fn a_ping_is_answered_before_and_after_the_login() {
    let mut node = start(1);
    let mut terminal = WebTerminal::connect(&node);
    let ping = |terminal: &mut WebTerminal| {
        terminal.0.send(Message::Ping(b"life"[..].into())).unwrap();
        assert_eq!(terminal.0.read().unwrap(), Message::Pong(b"life"[..].into()));
    };
    ping(&mut terminal);
    terminal.say(&node.login("alice"));
    terminal.expect_login();
    ping(&mut terminal);
    terminal.say(HEARTBEAT);
    terminal.expect_beat();
    node.stop();
}

#[test]
fn a_text_ends_the_link_with_its_code() {
    let mut node = start(1);
    let mut terminal = WebTerminal::connect(&node);
    terminal.say(&node.login("alice"));
    terminal.expect_login();
    terminal.0.send(Message::text("hello")).unwrap();
    terminal.expect_close(CloseCode::Unsupported);
    node.wait_until(|node| node.count_own(TransportMistake::WebSocketText.series()) == 1);
    node.wait_until(|node| node.count("connections_now") == 0 && node.count("link_ends") == 1);
    node.stop();
}

#[test]
fn a_close_is_answered_and_ends_the_link() {
    let mut node = start(2);
    for number in 0..8 {
        let mut terminal = WebTerminal::connect(&node);
        terminal.say(&node.login(&format!("user-{number}")));
        // Some are closed while they move.
        if number % 2 == 0 {
            terminal.expect_login();
        }
        terminal.0.close(None).unwrap();
        while terminal.0.read().is_ok() {}
    }
    node.wait_until(|node| node.count("connections_now") == 0);
    node.stop();
}

#[test]
fn who_is_sent_away_hears_it_as_a_packet_and_as_a_code() {
    let mut node = start(1);
    let mut refused = WebTerminal::connect(&node);
    let login = node.login("alice");
    refused.say(&[&login[..], b"\xff\xff\xff\xff\xff"].concat());
    refused.expect_login();
    assert!(matches!(refused.packet(), response::Packet::Error(_)));
    refused.expect_close(CloseCode::Protocol);
    let mut stopped = WebTerminal::connect(&node);
    node.stop();
    assert!(matches!(stopped.packet(), response::Packet::GoAway(_)));
    stopped.expect_close(CloseCode::Away);
}

#[test]
fn what_is_no_websocket_is_told_so_in_http() {
    let mut config = websockets(1, &TransportSettings::default());
    Arc::make_mut(&mut config.settings).login_deadline = Duration::from_millis(50);
    let mut node = Node::start_from(config);
    let login = node.login("alice");
    for (said, answer) in [
        (&login[..], "HTTP/1.1 400 "),
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 426 "),
        (b"GET / HTTP/1.1\r\n", "HTTP/1.1 503 "),
    ] {
        let mut terminal = node.connect();
        terminal.write(said);
        let mut answered = String::new();
        terminal.0.read_to_string(&mut answered).unwrap();
        assert!(answered.starts_with(answer), "{answered}");
    }
    for mistake in [TransportMistake::NotHttp, TransportMistake::Upgrade] {
        assert_eq!(node.count_own(mistake.series()), 1, "{mistake:?}");
    }
    node.stop();
}

#[test]
fn limits_are_those_of_whom_a_trusted_proxy_names() {
    let trusted = TransportSettings {
        trusted: ["127.0.0.0/8".parse().unwrap()].into(),
        ..TransportSettings::default()
    };
    for (transport, let_in) in [(trusted, 2), (TransportSettings::default(), 1)] {
        let mut config = websockets(1, &transport);
        Arc::make_mut(&mut config.settings).addresses.connections_max = 1;
        let node = Node::start_from(config);
        let upgrade = |client: &str| {
            let Terminal(mut stream) = node.connect();
            let request = format!(
                "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nX-Forwarded-For: {client}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).unwrap();
            stream
        };
        let connections = ["203.0.113.1", "203.0.113.2", "203.0.113.1"].map(upgrade);
        let refusals = "address_refusals{limit=\"connections\"}";
        node.wait_until(|node| node.count(refusals) == 3 - let_in);
        drop(connections);
        node.wait_until(|node| node.count("connections_now") == 0);
        node.stop();
    }
}
