//! Peers that come to a listener which does not speak as they do, over real sockets.

use super::secure::{begin, client, secure};
use super::*;
use crate::protocol::transport::ending::TransportMistake;
use crate::protocol::transport::other_protocol::{self, OtherProtocol};
use crate::protocol::transport::settings::TransportSettings;
use crate::protocol::transport::tls::connection::HTTP_ANSWER;

fn heard(peer: &mut impl Read) -> Vec<u8> {
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn who_speaks_another_protocol_than_a_plain_listener_is_told_so_in_that() {
    let mut node = Node::start(1, 64);
    let counts = |node: &Node| {
        let count = |other: OtherProtocol| node.count_own(other.mistake().series());
        (count(OtherProtocol::Tls), count(OtherProtocol::Http))
    };
    let check = |said: &[&[u8]], other: OtherProtocol, expected| {
        let Terminal(mut peer) = node.connect();
        said.iter().for_each(|part| peer.write_all(part).unwrap());
        assert_eq!(heard(&mut peer), other.answer(), "{said:?}");
        node.wait_until(|node| counts(node) == expected);
    };
    let hello = [&[22, 3, 1, 0, 200, 1][..], &[0; 199]].concat();
    check(&[&hello], OtherProtocol::Tls, (1, 0));
    check(&[&hello[..1], &hello[1..]], OtherProtocol::Tls, (2, 0));
    let request =
        b"GET /a/path/that/is/as/long/as/a/packet/that/begins/so HTTP/1.1\r\nHost: gateway.example\r\n\r\n";
    check(&[request], OtherProtocol::Http, (2, 1));
    check(&[&request[..2], &request[2..]], OtherProtocol::Http, (2, 2));
    check(&[b"HEAD / HTTP/1.0\r\n\r\n"], OtherProtocol::Http, (2, 3));
    // Once it is logged in, it is a terminal that makes a mistake.
    let mut terminal = node.log_in("alice");
    terminal.write(&hello);
    assert!(matches!(terminal.packet(), response::Packet::Error(_)));
    terminal.expect_end();
    node.wait_until(|node| node.count("frames_malformed") == 6 && node.count("connections_now") == 0);
    node.stop();
}

#[test]
fn who_speaks_no_tls_where_it_is_wanted_is_told_so() {
    let node = secure(1, 64, TransportSettings::default());
    let mut terminal = node.connect();
    terminal.write(HEARTBEAT);
    let response::Packet::Error(error) = terminal.packet() else {
        panic!("it is told something else");
    };
    let verdict = error.verdict.unwrap();
    assert_eq!(
        (verdict.code(), verdict.what_next()),
        (proto::Code::TlsFirst, proto::WhatNext::Stop)
    );
    terminal.expect_end();
    let Terminal(mut browser) = node.connect();
    browser.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(heard(&mut browser), HTTP_ANSWER);
    let not_tls = TransportMistake::NotTls.series();
    node.wait_until(|node| node.count_own(not_tls) == 2 && node.count("connections_now") == 0);
    assert_eq!(node.count("frames_malformed"), 0);
    node.stop();
}

#[test]
fn a_request_within_tls_is_answered_within_it() {
    let node = secure(1, 64, TransportSettings::default());
    let mut browser = begin(&node, &client());
    browser.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(heard(&mut browser), other_protocol::HTTP_ANSWER);
    let unexpected = TransportMistake::UnexpectedHttp.series();
    node.wait_until(|node| node.count_own(unexpected) == 1 && node.count("connections_now") == 0);
    node.stop();
}
