//! Transports where something comes in between: a move that fails, an end with more behind it, other settings. Over real sockets.

use super::secure::{begin, client, new_server, secure, secured};
use super::websockets::{self, WebTerminal};
use super::*;
use crate::base::receipt::Receipt;
use crate::protocol::transport::settings::{ListenerTransports, TransportSettings};

/// Users whose home is the second of two shards.
fn of_the_second() -> impl Iterator<Item = String> {
    let names = (0..).map(|number| format!("user-{number}"));
    names.filter(|name| UserId::new(name.as_bytes()).unwrap().home(2) == ShardId(1))
}

#[test]
fn who_finds_no_room_at_home_is_told_so_by_its_transport() {
    let config = secured(2, 64, TransportSettings::default());
    // The second shard has room for one, and no listener.
    let mut node = Node::start_unlike(config, |config| {
        if config.place.shard == ShardId(1) {
            config.place.connections_max = 1;
            config.listen.clear();
        }
    });
    let (client, mut users) = (client(), of_the_second());
    let mut log_in = |node: &mut Node| {
        let mut terminal = Terminal(begin(node, &client));
        terminal.write(&node.login(&users.next().unwrap()));
        terminal
    };
    let mut first = log_in(&mut node);
    first.expect_login();
    let mut late = log_in(&mut node);
    let response::Packet::LoginAnswer(answer) = late.packet() else {
        panic!("its login is not answered");
    };
    assert_eq!(answer.verdict.unwrap().code(), proto::Code::Busy);
    // rustls makes an error of an end without close_notify.
    late.expect_end();
    first.beat();
    node.wait_until(|node| node.count("moves_refused") == 1 && node.count("connections_arrived") == 1);
    node.stop();
}

#[test]
fn nothing_is_said_behind_the_close_of_a_websocket_and_nothing_read() {
    let mut node = websockets::start(1);
    let mut terminal = WebTerminal::connect(&node);
    terminal.say(&node.login("alice"));
    terminal.expect_login();
    // With masks of zeros.
    let heartbeat = [&[0x82, 0x83, 0, 0, 0, 0], HEARTBEAT].concat();
    let close = [0x88, 0x80, 0, 0, 0, 0];
    let socket = terminal.socket();
    socket
        .write_all(&[&heartbeat, &close[..], &heartbeat].concat())
        .unwrap();
    let mut last = Vec::new();
    socket.read_to_end(&mut last).unwrap();
    assert_eq!(last, [0x88, 0], "a close, and no heartbeat's answer behind it");
    node.wait_until(|node| node.count("connections_now") == 0 && node.count("link_ends") == 1);
    assert_eq!(node.count("heartbeats"), 1, "the one before the close");
    node.stop();
}

#[test]
fn nothing_is_said_behind_the_end_of_tls_and_nothing_read() {
    const ALERT_RECORD_BYTES: usize = 5 + 2 + 1 + 16;
    let mut node = secure(1, 64, TransportSettings::default());
    let mut terminal = Terminal(begin(&node, &client()));
    terminal.write(&node.login("alice"));
    terminal.expect_login();
    let Terminal(stream) = &mut terminal;
    stream.conn.writer().write_all(HEARTBEAT).unwrap();
    stream.conn.send_close_notify();
    let mut records = Vec::new();
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut records).unwrap();
    }
    records.extend_from_slice(&[23; 40]);
    stream.sock.write_all(&records).unwrap();
    let mut last = Vec::new();
    stream.sock.read_to_end(&mut last).unwrap();
    assert_eq!(
        last.len(),
        ALERT_RECORD_BYTES,
        "a close_notify, and no heartbeat's answer"
    );
    node.wait_until(|node| node.count("connections_now") == 0 && node.count("link_ends") == 1);
    assert_eq!(node.count("heartbeats"), 1);
    node.stop();
}

#[test]
fn other_certificates_are_for_connections_that_begin_behind_them() {
    let mut node = secure(1, 64, TransportSettings::default());
    let client = client();
    let shown = |stream: &mut super::secure::TlsStream| {
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        stream.conn.peer_certificates().unwrap()[0].clone()
    };
    let mut open = Terminal(begin(&node, &client));
    open.write(&node.login("alice"));
    open.expect_login();
    let mut hello = Vec::new();
    // Without the tickets of the other.
    let mut half = begin(&node, &self::client());
    half.conn.write_tls(&mut hello).unwrap();
    half.sock.write_all(&hello[..9]).unwrap();
    node.wait_until(|node| node.count("connections_opened") == 2);

    let (receipt, receipts) = Receipt::new();
    let settings = Arc::new(TransportSettings {
        tls: Some(new_server()),
        ..TransportSettings::default()
    });
    let all = node.addresses.iter().map(|_| Arc::clone(&settings)).collect();
    let renewed = ToShard::Transports(ListenerTransports(all), receipt);
    node.shards[0].sender.send(renewed).unwrap();
    assert!(receipts.wait(PATIENCE));

    open.beat();
    half.sock.write_all(&hello[9..]).unwrap();
    let before = open.0.conn.peer_certificates().unwrap()[0].clone();
    assert_eq!(shown(&mut half), before, "it had begun");
    assert_ne!(shown(&mut begin(&node, &self::client())), before);
    node.stop();
}
