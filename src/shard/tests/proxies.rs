//! Connections that begin with the header of a proxy, over real sockets.

use super::*;
use crate::protocol::transport::ending::TransportMistake;
use crate::protocol::transport::proxy::ProxyMode;
use crate::protocol::transport::settings::TransportSettings;

fn behind_proxies(shards: u16, trusted: &str) -> ShardConfig {
    let transport = TransportSettings {
        proxy: ProxyMode::Any,
        trusted: [trusted.parse().unwrap()].into(),
        ..TransportSettings::default()
    };
    let mut config = config(shards, 64, 16);
    config
        .listen
        .iter_mut()
        .for_each(|listener| listener.transport = Arc::new(transport.clone()));
    config
}

fn header(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 10.0.0.9 258 772\r\n").into_bytes()
}

#[test]
fn terminals_behind_a_proxy_log_in_wherever_their_home_is() {
    let mut node = Node::start_from(behind_proxies(2, "127.0.0.0/8"));
    for number in 0..20 {
        let login = node.login(&format!("user-{number}"));
        let bytes = [&header("203.0.113.7"), &*login, HEARTBEAT].concat();
        let mut terminal = node.connect();
        let cut = number * 7 % bytes.len();
        terminal.write(&bytes[..cut]);
        terminal.write(&bytes[cut..]);
        terminal.expect_login();
        assert!(matches!(terminal.packet(), response::Packet::HeartbeatAnswer(_)));
        terminal.beat();
    }
    assert!(node.count("connections_moved") > 0);
    node.wait_until(|node| node.count("connections_now") == 0);
    node.stop();
}

#[test]
fn limits_are_those_of_the_client() {
    let mut config = behind_proxies(1, "127.0.0.0/8");
    Arc::make_mut(&mut config.settings).addresses.connections_max = 1;
    let mut node = Node::start_from(config);
    let mut terminals = Vec::new();
    for number in 1..4 {
        let mut terminal = node.connect();
        terminal.write(&header(&format!("203.0.113.{number}")));
        terminal.write(&node.login(&format!("user-{number}")));
        terminal.expect_login();
        terminals.push(terminal);
    }
    let mut one_more = node.connect();
    one_more.write(&header("203.0.113.2"));
    let response::Packet::Error(error) = one_more.packet() else {
        panic!("it is let in");
    };
    assert_eq!(error.verdict.unwrap().code, 205);
    one_more.expect_end();
    node.wait_until(|node| node.count("address_refusals{limit=\"connections\"}") == 1);
    node.stop();
}

#[test]
fn who_is_no_trusted_proxy_is_sent_away() {
    let node = Node::start_from(behind_proxies(1, "10.0.0.0/8"));
    node.connect().expect_end();
    node.wait_until(|node| node.count_own(TransportMistake::ProxyUntrusted.series()) == 1);
    assert_eq!(node.count("connections_opened"), 0);
    node.stop();
}

#[test]
fn what_is_no_header_ends_the_link() {
    let node = Node::start_from(behind_proxies(1, "127.0.0.0/8"));
    let mut terminal = node.connect();
    terminal.write(HEARTBEAT);
    terminal.expect_end();
    node.wait_until(|node| node.count_own(TransportMistake::ProxyHeader.series()) == 1);
    node.wait_until(|node| node.count("connections_opened") == 1 && node.count("connections_now") == 0);
    node.stop();
}

#[test]
fn a_proxy_whose_header_does_not_end_has_the_login_deadline() {
    let mut config = behind_proxies(1, "127.0.0.0/8");
    Arc::make_mut(&mut config.settings).login_deadline = Duration::from_millis(50);
    let node = Node::start_from(config);
    let mut terminal = node.connect();
    terminal.write(&header("203.0.113.7")[..9]);
    assert!(matches!(terminal.packet(), response::Packet::Error(_)));
    terminal.expect_end();
    node.stop();
}
