//! The gateway itself: the cases whose result needs no echo, and what it says to texts, to messages without end, and to bytes
//! that are no request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use holdfast::protocol::native::HEARTBEAT;
use holdfast::protocol::native::proto::{Platform, request};

use crate::cases;
use crate::check;
use crate::run::{Cut, Endpoint, OverTcp};
use crate::support::gateway::{Gateway, free_addresses};
use crate::support::terminal::{frame, login};
use crate::wire::{self, Arrivals, Seen};

/// A gateway with a listener for WebSockets, and its address.
pub(crate) fn start() -> (Gateway, SocketAddr) {
    let [address, ..] = free_addresses();
    let listener = format!("[{{ address = \"{address}\", transport = \"websocket\" }}]");
    let settings = [("terminals.listener", listener.as_str())];
    (Gateway::start(env!("CARGO_BIN_EXE_holdfast"), &settings), address)
}

/// Takes what comes until so much has been seen, or the connection ends.
fn arrive(socket: &mut OverTcp, arrivals: &mut Arrivals, seen: usize) {
    while arrivals.seen.len() < seen {
        let bytes = socket.receive().unwrap();
        if bytes.is_empty() {
            return;
        }
        arrivals.take(&bytes).unwrap();
    }
}

/// Sends frames, and gives how the connection ends.
fn close_of(address: SocketAddr, frames: &[u8]) -> Option<Option<u16>> {
    let (mut socket, mut arrivals) = (OverTcp::open(address), Arrivals::default());
    socket.send(frames);
    arrive(&mut socket, &mut arrivals, usize::MAX);
    arrivals.close
}

#[test]
fn the_gateway_passes_the_cases_that_need_no_echo() {
    let (_gateway, address) = start();
    let cases = cases::all().into_iter().filter(|case| case.without_echo);
    check(cases, &[Cut::Whole, Cut::Bytes(1)], || {
        Box::new(OverTcp::open(address))
    });
}

#[test]
fn packets_travel_in_binary_messages() {
    let (_gateway, address) = start();
    let login = frame(request::Packet::Login(login("alice", Platform::Web, 1)));
    let (mut socket, mut arrivals) = (OverTcp::open(address), Arrivals::default());
    socket.send(&wire::frame(2, &login));
    arrive(&mut socket, &mut arrivals, 1);
    let beats = [
        wire::frame(2, &HEARTBEAT[..1]),
        wire::fragment(2, &HEARTBEAT[1..]),
        wire::frame(0, HEARTBEAT),
    ];
    socket.send(&beats.concat());
    arrive(&mut socket, &mut arrivals, 3);
    socket.send(&wire::frame(8, &[]));
    arrive(&mut socket, &mut arrivals, usize::MAX);
    assert_eq!(arrivals.close, Some(None));
    let [Seen::Binary(login), beats @ ..] = &arrivals.seen[..] else {
        panic!("no answer to the login: {:?}", arrivals.seen);
    };
    assert_eq!(login.get(1), Some(&0x0a), "an answer to a login");
    assert_eq!(beats, vec![Seen::Binary(vec![2, 0x12, 0]); 2]);
}

#[test]
fn texts_and_messages_that_are_too_large_are_refused_by_their_codes() {
    let (_gateway, address) = start();
    let check = |frames: &[u8], code| assert_eq!(close_of(address, frames), Some(Some(code)));
    check(&wire::frame(1, b"a text"), 1003);
    check(&wire::header(0x82, 1_000_000), 1009);
    let empty = [wire::fragment(2, b""), wire::fragment(0, b"").repeat(12_000)];
    check(&empty.concat(), 1009);
}

#[test]
fn what_asks_for_no_websocket_is_answered_in_its_own_language() {
    let (_gateway, address) = start();
    let answer = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    };
    let check = |bytes: &[u8], expected: &str| {
        let answer = String::from_utf8(answer(bytes)).unwrap();
        assert!(answer.starts_with(expected), "{answer}");
    };
    check(
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n",
    );
    check(
        b"GET /favicon.ico HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\n",
    );
    check(HEARTBEAT, "HTTP/1.1 400 Bad Request\r\n");
    let unexpected_message = [21, 3, 3, 0, 2, 2, 10];
    assert_eq!(answer(&[22, 3, 1, 2, 0, 1]), unexpected_message);
}
