//! Groups 1 to 4: whole messages, pings and pongs, reserved bits and opcodes.

use crate::case::{
    BINARY, CLOSE, Case, End, HELLO, NORMAL, NOT_UTF8, PING, PONG, TEXT, case, close, pong, text,
};
use crate::wire::{Seen, frame};

/// A frame with reserved bits.
fn reserved(bits: u8, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(opcode, payload);
    bytes[0] |= bits << 4;
    bytes
}

pub(super) fn messages() -> Vec<Case> {
    let lengths = [0, 125, 126, 127, 128, 65_535, 65_536, 65_536];
    let kinds = [(1, TEXT, "text", b'*'), (2, BINARY, "binary message", 0xfe)];
    let of_kind = |(group, opcode, name, byte)| {
        (1..).zip(lengths).map(move |(number, length): (usize, usize)| {
            let payload = vec![byte; length];
            let seen = match opcode {
                TEXT => Seen::Text(payload.clone()),
                _ => Seen::Binary(payload.clone()),
            };
            let sends = format!("a {name} of {length} bytes");
            case(
                format!("1.{group}.{number}"),
                sends,
                vec![frame(opcode, &payload)],
            )
            .sees(vec![seen])
        })
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

pub(super) fn pings() -> Vec<Case> {
    let ping = |number: usize, sends: &str, payload: &[u8]| {
        case(format!("2.{number}"), sends, vec![frame(PING, payload)]).sees(vec![pong(payload)])
    };
    let ten = |number: usize| {
        let payloads: Vec<String> = (0..10).map(|number| format!("payload-{number}")).collect();
        let frames = payloads
            .iter()
            .map(|payload| frame(PING, payload.as_bytes()))
            .collect();
        let pongs = payloads.iter().map(|payload| pong(payload.as_bytes())).collect();
        case(format!("2.{number}"), "ten pings", frames).sees(pongs)
    };
    let answered = || End::Answered(vec![Some(NORMAL)]);
    let all = vec![
        ping(1, "a ping without payload", b""),
        ping(2, "a ping with a text", HELLO),
        ping(3, "a ping with bytes that are no UTF-8", NOT_UTF8),
        ping(4, "a ping of 125 bytes", &[0xfe; 125]),
        case("2.5", "a ping of 126 bytes", vec![frame(PING, &[0xfe; 126])]).fails(),
        ping(6, "a ping of 125 bytes, byte by byte", &[0xfe; 125]),
        case(
            "2.7",
            "a pong without payload, and a close",
            vec![frame(PONG, b""), close(NORMAL, b"")],
        )
        .ends(answered()),
        case(
            "2.8",
            "a pong with payload, and a close",
            vec![frame(PONG, b"unsolicited"), close(NORMAL, b"")],
        )
        .ends(answered()),
        case(
            "2.9",
            "a pong, then a ping",
            vec![frame(PONG, b"unsolicited"), frame(PING, b"ping payload")],
        )
        .sees(vec![pong(b"ping payload")]),
        ten(10),
        ten(11),
    ];
    all.into_iter().map(Case::without_echo).collect()
}

pub(super) fn reserved_bits() -> Vec<Case> {
    let behind_text = |id: &str, bits| {
        let frames = vec![frame(TEXT, HELLO), reserved(bits, TEXT, HELLO), frame(PING, b"")];
        case(
            id,
            format!("a text, the same with reserved bits {bits}, a ping"),
            frames,
        )
        .sees(vec![text(HELLO)])
        .fails()
    };
    let alone = |id: &str, bits, opcode, payload: &[u8]| {
        let sends = format!("a frame of opcode {opcode} with reserved bits {bits}");
        case(id, sends, vec![reserved(bits, opcode, payload)])
            .fails()
            .without_echo()
    };
    vec![
        alone("3.1", 1, TEXT, HELLO),
        behind_text("3.2", 2),
        behind_text("3.3", 3),
        behind_text("3.4", 4),
        alone("3.5", 5, BINARY, NOT_UTF8),
        alone("3.6", 6, BINARY, HELLO),
        alone("3.7", 7, CLOSE, b""),
    ]
}

pub(super) fn opcodes() -> Vec<Case> {
    let alone = |id: String, opcode, payload: &[u8]| {
        case(
            id,
            format!("a frame of opcode {opcode}"),
            vec![frame(opcode, payload)],
        )
        .fails()
        .without_echo()
    };
    let behind_text = |id: String, opcode, payload: &[u8]| {
        let frames = vec![frame(TEXT, HELLO), frame(opcode, payload), frame(PING, b"")];
        case(id, format!("a text, a frame of opcode {opcode}, a ping"), frames)
            .sees(vec![text(HELLO)])
            .fails()
    };
    let of_group = |(group, first): (usize, u8)| {
        vec![
            alone(format!("4.{group}.1"), first, b""),
            alone(format!("4.{group}.2"), first + 1, b"reserved opcode payload"),
            behind_text(format!("4.{group}.3"), first + 2, b""),
            behind_text(format!("4.{group}.4"), first + 3, HELLO),
            behind_text(format!("4.{group}.5"), first + 4, HELLO),
        ]
    };
    [(1, 3), (2, 11)].into_iter().flat_map(of_group).collect()
}
