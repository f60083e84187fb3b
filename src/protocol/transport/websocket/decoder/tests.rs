//! Frames to messages, wherever the bytes are cut.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::client::put_masked;
use super::*;

/// What was told, with payloads put together.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Begins(MessageKind),
    Payload(Vec<u8>),
    Ends,
    Ping(Vec<u8>),
    Pong,
}

const RULES: FrameRules = FrameRules {
    sender: FrameSender::Client,
    message_bytes_max: 400,
};

/// Reads pieces of bytes.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Told>, Result<FrameDecoder, FramesEnd>) {
    let (mut decoder, mut told) = (FrameDecoder::default(), Vec::new());
    for piece in pieces {
        let end = decoder.read(&mut piece.to_vec(), RULES, &mut |event| {
            match (event, told.last_mut()) {
                (FrameEvent::Payload(more), Some(Told::Payload(payload))) => payload.extend_from_slice(more),
                (FrameEvent::Payload(payload), _) => told.push(Told::Payload(payload.to_vec())),
                (FrameEvent::Begins(kind), _) => told.push(Told::Begins(kind)),
                (FrameEvent::Ends, _) => told.push(Told::Ends),
                (FrameEvent::Ping(payload), _) => told.push(Told::Ping(payload.to_vec())),
                (FrameEvent::Pong, _) => told.push(Told::Pong),
            }
            Ok(())
        });
        if let Err(end) = end {
            return (told, Err(end));
        }
    }
    (told, Ok(decoder))
}

/// Appends a frame of a client.
fn put(opcode: Opcode, is_last: bool, payload: &[u8], out: &mut Vec<u8>) {
    let header = out.len();
    put_masked(opcode, payload, [1, 2, 3, 4], out);
    if !is_last {
        out[header] &= 0x7f;
    }
}

fn frames(frames: &[(Opcode, bool, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (opcode, is_last, payload) in frames {
        put(*opcode, *is_last, payload, &mut bytes);
    }
    bytes
}

/// A message with a ping between its parts.
fn parts() -> Vec<u8> {
    frames(&[
        (Opcode::Binary, false, b"frag"),
        (Opcode::Ping, true, b"there?"),
        (Opcode::Continuation, false, b""),
        (Opcode::Continuation, true, b"ment"),
    ])
}

#[test]
fn a_message_comes_in_parts_with_control_frames_between() {
    let (told, end) = read([&parts()[..]].into_iter());
    let expected = [
        Told::Begins(MessageKind::Binary),
        Told::Payload(b"frag".to_vec()),
        Told::Ping(b"there?".to_vec()),
        Told::Payload(b"ment".to_vec()),
        Told::Ends,
    ];
    assert_eq!(told, expected);
    assert!(end.unwrap().is_at_rest());
}

#[test]
fn nothing_is_kept_between_two_messages_only() {
    let parts = parts();
    for end in 1..parts.len() {
        let (_, decoder) = read([&parts[..end]].into_iter());
        assert!(!decoder.unwrap().is_at_rest(), "{end}");
    }
}

#[test]
fn frames_out_of_order_have_a_fault() {
    let check = |bytes: &[u8], expected| {
        let end = read([bytes].into_iter()).1.unwrap_err();
        assert_eq!(end, FramesEnd::Fault(FrameFault::protocol(expected)));
    };
    check(
        &frames(&[(Opcode::Continuation, true, b"x")]),
        "there is no message to continue",
    );
    let two = frames(&[(Opcode::Binary, false, b"x"), (Opcode::Binary, true, b"y")]);
    check(&two, "a message inside of another");
    let behind = frames(&[(Opcode::Binary, true, b"x"), (Opcode::Continuation, true, b"y")]);
    check(&behind, "there is no message to continue");
}

#[test]
fn a_close_is_the_end() {
    let (told, end) =
        read([&frames(&[(Opcode::Close, true, &[3, 0xe9]), (Opcode::Ping, true, b"")])[..]].into_iter());
    assert_eq!(end.unwrap_err(), FramesEnd::Closed(Some(CloseCode::GOING_AWAY)));
    assert_eq!(told, []);
}

#[test]
fn a_message_has_a_limit_which_counts_headers() {
    let check = |bytes: &[u8], fits: bool| {
        let end = read([bytes].into_iter()).1;
        let code = end.map_err(|end| match end {
            FramesEnd::Fault(fault) => fault.code,
            FramesEnd::Closed(_) => panic!("nobody closes"),
        });
        assert_eq!(code.map(|_| ()).err(), (!fits).then_some(CloseCode::TOO_LARGE));
    };
    let room = RULES.message_bytes_max as usize - 8;
    check(&frames(&[(Opcode::Binary, true, &vec![0; room])]), true);
    // It is refused by its header, before a byte of it has come.
    check(&frames(&[(Opcode::Binary, true, &vec![0; room + 1])])[..8], false);
    let empty = |count| {
        let first = frames(&[(Opcode::Binary, false, b"")]);
        [first, frames(&[(Opcode::Continuation, false, b"")]).repeat(count)].concat()
    };
    check(&empty(65), true);
    check(&empty(66), false);
    // Each message has all of it.
    check(&frames(&[(Opcode::Binary, true, &[0; 200])]).repeat(9), true);
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop::sample::select(vec![
        Opcode::Continuation,
        Opcode::Text,
        Opcode::Binary,
        Opcode::Binary,
        Opcode::Ping,
        Opcode::Pong,
        Opcode::Close,
    ]);
    (
        opcode,
        prop::bool::weighted(0.8),
        vec(any::<u8>(), 0..200),
        any::<[u8; 4]>(),
    )
        .prop_map(|(opcode, is_last, mut payload, mask)| {
            if opcode.is_control() {
                payload.truncate(20);
            }
            let mut bytes = Vec::new();
            put_masked(opcode, &payload, mask, &mut bytes);
            if !is_last && !opcode.is_control() {
                bytes[0] &= 0x7f;
            }
            bytes
        })
}

/// The bytes in pieces of these lengths.
fn cut<'a>(mut bytes: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        let length = (*lengths.next()?).min(bytes.len());
        let (piece, rest) = bytes.split_at(length);
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn same_however_cut(bytes: &[u8], lengths: &[usize]) {
    let (at_once, cut) = (read([bytes].into_iter()), read(cut(bytes, lengths)));
    assert_eq!(at_once.0, cut.0);
    match (at_once.1, cut.1) {
        (Ok(at_once), Ok(cut)) => assert_eq!(at_once.partial, cut.partial),
        (at_once, cut) => assert_eq!(at_once.err(), cut.err()),
    }
}

proptest! {
    #[test]
    fn frames_are_the_same_wherever_they_are_cut(frames in vec(any_frame(), 0..8), lengths in vec(1_usize..40, 1..8)) {
        same_however_cut(&frames.concat(), &lengths);
    }

    #[test]
    fn any_bytes_are_the_same_wherever_they_are_cut(bytes in vec(any::<u8>(), 0..80), lengths in vec(1_usize..9, 1..8)) {
        same_however_cut(&bytes, &lengths);
    }
}
