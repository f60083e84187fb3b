//! What comes of bytes, as requests and as frames.

use std::net::{IpAddr, Ipv4Addr};

use super::super::client::{self, put_masked};
use super::super::upgrade::UpgradeRules;
use super::*;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn receive(websocket: &mut WebSocket, bytes: &[u8]) -> Unwrapped {
    let context = UpgradeContext {
        rules: &UpgradeRules::default(),
        peer: PEER,
        is_trusted: &|_| false,
    };
    let mut into = Unwrapped::default();
    websocket.receive(&mut bytes.to_vec(), Some(context), &mut into);
    into
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_masked(opcode, payload, [9, 8, 7, 6], &mut bytes);
    bytes
}

fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let mut bytes = vec![0x88, 2 + reason.len() as u8];
    bytes.extend_from_slice(&code.to_be_bytes());
    bytes.extend_from_slice(reason.as_bytes());
    bytes
}

/// What comes of some frames, once the WebSocket is open.
fn check(bytes: &[u8], expected: Unwrapped) {
    let mut websocket = WebSocket::open();
    assert_eq!(receive(&mut websocket, bytes), expected, "{bytes:?}");
    assert!(expected.end.is_some() || websocket.is_at_rest());
}

#[test]
fn a_request_is_answered_and_what_is_behind_it_is_read() {
    let key = client::key([7; 16]);
    let request = client::request("gateway.example", "/", &key).into_bytes();
    let mut websocket = WebSocket::default();
    assert_eq!(receive(&mut websocket, &request[..40]), Unwrapped::default());
    assert!(!websocket.is_at_rest());
    let rest = [
        &request[40..],
        &frame(Opcode::Ping, b""),
        &frame(Opcode::Binary, b"packet"),
    ]
    .concat();
    let came = receive(&mut websocket, &rest);
    let length = client::answer(&came.answer, &key).unwrap().unwrap();
    assert_eq!(came.answer[length..], [0x8a, 0]);
    assert_eq!(
        (came.bytes, came.client, came.end),
        (b"packet".to_vec(), Some(PEER), None)
    );
    assert!(websocket.is_at_rest());
}

#[test]
fn an_answer_is_taken_only_for_its_request() {
    let key = client::key([7; 16]);
    let request = client::request("gateway.example", "/", &key);
    let granted = receive(&mut WebSocket::default(), request.as_bytes()).answer;
    for end in 0..granted.len() {
        assert_eq!(client::answer(&granted[..end], &key), Ok(None), "{end}");
    }
    assert_eq!(client::answer(&granted, &key), Ok(Some(granted.len())));
    assert_eq!(
        client::answer(&granted, &client::key([8; 16])),
        Err("the answer is to another request".to_owned())
    );
    let elsewhere = client::request("gateway.example", "/elsewhere", &key);
    let refused = receive(&mut WebSocket::default(), elsewhere.as_bytes());
    assert_eq!(
        client::answer(&refused.answer, &key),
        Err("no WebSocket, but 404 Not Found: There is no WebSocket at this path.".to_owned())
    );
    assert_eq!(
        refused.end,
        Some(TransportEnd::Mistake(TransportMistake::Upgrade))
    );
    let login = receive(&mut WebSocket::default(), &[2, 0x12, 0]);
    assert_eq!(login.end, Some(TransportEnd::Mistake(TransportMistake::NotHttp)));
    assert!(client::answer(&login.answer, &key).is_err_and(|text| text.starts_with("no WebSocket, but 400")));
}

#[test]
fn messages_are_a_stream_and_signs_of_life_are_told() {
    let of = |bytes: &[u8], answer: &[u8], alive| Unwrapped {
        bytes: bytes.to_vec(),
        answer: answer.to_vec(),
        alive,
        ..Unwrapped::default()
    };
    let two = [
        frame(Opcode::Binary, &[2, 0x12]),
        frame(Opcode::Binary, &[0, 2, 0x12, 0]),
    ]
    .concat();
    check(&two, of(&[2, 0x12, 0, 2, 0x12, 0], &[], false));
    check(&frame(Opcode::Binary, b""), of(&[], &[], false));
    check(&frame(Opcode::Pong, b"x"), of(&[], &[], true));
    let pings = [
        frame(Opcode::Ping, b"a"),
        frame(Opcode::Binary, b"x"),
        frame(Opcode::Ping, b"b"),
    ]
    .concat();
    check(&pings, of(b"x", b"\x8a\x01a\x8a\x01b", true));
}

#[test]
fn each_end_has_its_close_frame_and_its_kind() {
    let of = |answer: Vec<u8>, end| Unwrapped {
        answer,
        end: Some(end),
        ..Unwrapped::default()
    };
    check(
        &frame(Opcode::Close, b""),
        of(vec![0x88, 0], TransportEnd::InOrder),
    );
    check(
        &frame(Opcode::Close, b"\x0f\xa0bye"),
        of(close_frame(4000, ""), TransportEnd::InOrder),
    );
    let mistake = |code, reason, kind| of(close_frame(code, reason), TransportEnd::Mistake(kind));
    check(
        &frame(Opcode::Text, b"login"),
        mistake(
            1003,
            "only binary messages are taken",
            TransportMistake::WebSocketText,
        ),
    );
    check(
        &frame(Opcode::Binary, &vec![0; WEBSOCKET_MESSAGE_BYTES_MAX])[..16],
        mistake(
            1009,
            "the message is too large",
            TransportMistake::WebSocketTooLarge,
        ),
    );
    check(
        &[0x82, 3, 2, 0x12, 0],
        mistake(
            1002,
            "a frame of a client without mask",
            TransportMistake::WebSocketFrame,
        ),
    );
    check(
        &frame(Opcode::Close, b"\x03\xe8\xff"),
        mistake(
            1007,
            "the reason of a close is no UTF-8",
            TransportMistake::WebSocketFrame,
        ),
    );
}

#[test]
fn what_came_before_a_mistake_counts() {
    let bytes = [
        frame(Opcode::Binary, b"packet"),
        frame(Opcode::Ping, b""),
        vec![0xff, 0xff],
    ]
    .concat();
    let came = receive(&mut WebSocket::open(), &bytes);
    assert_eq!((came.bytes, came.alive), (b"packet".to_vec(), true));
    assert_eq!(
        came.answer,
        [vec![0x8a, 0], close_frame(1002, "a reserved bit is set")].concat()
    );
}

#[test]
fn the_last_words_are_in_the_peers_language() {
    let (open, upgrading) = (WebSocket::open(), WebSocket::default());
    let mut out = Vec::new();
    for (reason, code) in [
        (CloseReason::Normal, 1000),
        (CloseReason::GoingAway, 1001),
        (CloseReason::ProtocolError, 1002),
        (CloseReason::TooLarge, 1009),
        (CloseReason::Policy, 1008),
    ] {
        out.clear();
        open.close(reason, &mut out);
        assert_eq!(out, close_frame(code, ""));
    }
    out.clear();
    upgrading.close(CloseReason::Policy, &mut out);
    assert!(out.starts_with(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"));
}

#[test]
fn a_terminal_reads_what_the_gateway_sends() {
    let mut sent = Vec::new();
    put_frame(Opcode::Binary, &[7; 300], &mut sent);
    WebSocket::open().close(CloseReason::GoingAway, &mut sent);
    let (mut decoder, mut packets) = (FrameDecoder::default(), Vec::new());
    let end = client::receive(&mut decoder, &mut sent, &mut packets);
    assert_eq!(packets, vec![7; 300]);
    assert_eq!(end, Err(FramesEnd::Closed(Some(CloseCode::GOING_AWAY))));
}
