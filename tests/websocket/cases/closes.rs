//! Group 7: how a WebSocket is closed.

use crate::case::{
    CLOSE, Case, End, HELLO, INVALID_TEXT, NORMAL, PING, PROTOCOL_ERROR, TEXT, case, close, text,
};
use crate::utf8;
use crate::wire::{fragment, frame};

pub(super) fn closes() -> Vec<Case> {
    let answered = || End::Answered(vec![Some(NORMAL)]);
    let large = b"BAsd7&jh23"
        .iter()
        .copied()
        .cycle()
        .take(256 * 1024)
        .collect::<Vec<u8>>();
    let normal = || close(NORMAL, b"");
    let parts = vec![fragment(TEXT, b"fragment1"), normal(), frame(0, b"fragment2")];
    let many = vec![
        frame(TEXT, &large),
        frame(TEXT, HELLO),
        normal(),
        frame(PING, b""),
    ];
    let too_long = close(NORMAL, &[b'*'; 124]);
    let not_utf8 = close(NORMAL, &[utf8::GREEK, b"\xed\xa0\x80edited"].concat());
    let mut all = vec![
        case("7.1.1", "a text, and a close", vec![frame(TEXT, HELLO)]).sees(vec![text(HELLO)]),
        case("7.1.2", "two closes", vec![normal(), frame(CLOSE, b"")])
            .ends(answered())
            .without_echo(),
        case("7.1.3", "a ping behind a close", vec![normal(), frame(PING, b"")])
            .ends(answered())
            .without_echo(),
        case(
            "7.1.4",
            "a text behind a close",
            vec![normal(), frame(TEXT, HELLO)],
        )
        .ends(answered())
        .without_echo(),
        case("7.1.5", "a close between the parts of a text", parts).ends(answered()),
        case("7.1.6", "256 KiB, a text, a close, a ping", many)
            .sees(vec![text(&large), text(HELLO)])
            .ends(answered())
            .informational(),
        case("7.3.1", "a close without code", vec![frame(CLOSE, b"")])
            .ends(End::Answered(vec![None]))
            .without_echo(),
        case("7.3.2", "a close of one byte", vec![frame(CLOSE, b"a")])
            .fails()
            .without_echo(),
        case("7.3.3", "a close with a code", vec![normal()])
            .ends(answered())
            .without_echo(),
        case("7.3.4", "a close with a reason", vec![close(NORMAL, HELLO)])
            .ends(answered())
            .without_echo(),
        case(
            "7.3.5",
            "a close with a reason of 123 bytes",
            vec![close(NORMAL, &[b'*'; 123])],
        )
        .ends(answered())
        .without_echo(),
        case("7.3.6", "a close with a reason of 124 bytes", vec![too_long])
            .fails()
            .without_echo(),
        case("7.5.1", "a close with a reason that is no UTF-8", vec![not_utf8])
            .ends(End::Failed(vec![PROTOCOL_ERROR, INVALID_TEXT]))
            .without_echo(),
    ];
    let of_code = |id: String, code| {
        case(
            id,
            format!("a close with the code {code}"),
            vec![close(code, b"")],
        )
        .without_echo()
    };
    let valid = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ];
    all.extend((1..).zip(valid).map(|(number, code): (usize, u16)| {
        of_code(format!("7.7.{number}"), code).ends(End::Answered(vec![Some(NORMAL), Some(code)]))
    }));
    let invalid = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
    let number = |(number, code): (usize, u16)| of_code(format!("7.9.{number}"), code).fails();
    all.extend((1..).zip(invalid).map(number));
    for (id, code) in [("7.13.1", 5000), ("7.13.2", 65_535)] {
        all.push(of_code(id.to_owned(), code).fails().informational());
    }
    all
}
