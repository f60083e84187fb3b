//! Group 6: texts that are UTF-8, and such that are not. A case whose text is not UTF-8 may end with the byte that makes it so:
//! the endpoint must not wait for more.

use crate::case::{Case, End, INVALID_TEXT, TEXT, case, text};
use crate::utf8;
use crate::wire::{fragment, frame, header, put_payload};

/// A text in frames of a byte each.
fn byte_by_byte(payload: &[u8]) -> Vec<Vec<u8>> {
    let last = payload.len() - 1;
    let bytes = payload.chunks(1).enumerate();
    bytes
        .map(|(place, byte)| {
            let opcode = if place == 0 { TEXT } else { 0 };
            if place == last {
                frame(opcode, byte)
            } else {
                fragment(opcode, byte)
            }
        })
        .collect()
}

pub(super) fn texts() -> Vec<Case> {
    let mixed = "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!";
    let (first, second) = mixed.split_at("Hello-\u{b5}@\u{df}\u{f6}\u{e4}".len());
    let greek = utf8::GREEK;
    let middle = "middle frame payload".as_bytes();
    let empty = vec![fragment(TEXT, b""), fragment(0, b""), frame(0, b"")];
    let around = vec![fragment(TEXT, b""), fragment(0, middle), frame(0, b"")];
    let in_two = vec![fragment(TEXT, first.as_bytes()), frame(0, second.as_bytes())];
    let surrogate = [greek, b"\xed\xa0\x80", b"edited"].concat();
    let not_utf8 = || End::Failed(vec![INVALID_TEXT]);
    let mut all = vec![
        case("6.1.1", "an empty text", vec![frame(TEXT, b"")]).sees(vec![text(b"")]),
        case("6.1.2", "three empty frames", empty).sees(vec![text(b"")]),
        case("6.1.3", "a frame between two empty ones", around).sees(vec![text(middle)]),
        case(
            "6.2.1",
            "a text beyond ASCII",
            vec![frame(TEXT, mixed.as_bytes())],
        )
        .sees(vec![text(mixed.as_bytes())]),
        case("6.2.2", "the same in two frames", in_two).sees(vec![text(mixed.as_bytes())]),
        case(
            "6.2.3",
            "the same in frames of a byte",
            byte_by_byte(mixed.as_bytes()),
        )
        .sees(vec![text(mixed.as_bytes())]),
        case("6.2.4", "Greek in frames of a byte", byte_by_byte(greek)).sees(vec![text(greek)]),
        case("6.3.1", "a text that is no UTF-8", vec![frame(TEXT, &surrogate)]).ends(not_utf8()),
        case("6.3.2", "the same in frames of a byte", byte_by_byte(&surrogate)).ends(not_utf8()),
    ];
    all.extend(not_utf8_at_once().into_iter().map(|case| case.ends(not_utf8())));
    for (group, number, is_valid, payload) in utf8::sequences() {
        let hex: String = payload
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let more = if payload.len() > 16 { " and more" } else { "" };
        let case = case(
            format!("6.{group}.{number}"),
            format!("a text of the bytes {hex}{more}"),
            vec![frame(TEXT, &payload)],
        );
        all.push(match is_valid {
            true => case.sees(vec![text(&payload)]),
            false => case.ends(not_utf8()),
        });
    }
    all
}

/// The bytes behind the wrong one are never sent.
fn not_utf8_at_once() -> Vec<Case> {
    let too_high = b"\xf4\x90\x80\x80";
    let whole = [utf8::GREEK, too_high, b"edited"].concat();
    // The payload of one frame, of which only a part comes.
    let begun = |payload: &[u8]| {
        let mut bytes = header(0x80 | TEXT, whole.len());
        put_payload(&mut bytes, payload);
        bytes
    };
    let (up_to_first, wrong) = (&whole[..12], &whole[12..13]);
    vec![
        case(
            "6.4.1",
            "two frames, of which the second is no UTF-8",
            vec![fragment(TEXT, utf8::GREEK), fragment(0, too_high)],
        ),
        case(
            "6.4.2",
            "two frames, the second of one wrong byte",
            vec![fragment(TEXT, up_to_first), fragment(0, wrong)],
        ),
        case(
            "6.4.3",
            "a part of a frame that is no UTF-8",
            vec![begun(&[utf8::GREEK, too_high].concat())],
        ),
        case(
            "6.4.4",
            "a part of a frame up to its wrong byte",
            vec![begun(&[up_to_first, wrong].concat())],
        ),
    ]
}
