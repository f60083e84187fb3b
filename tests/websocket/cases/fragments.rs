//! Groups 5 and 10: messages in several frames, in order and out of order.

use crate::case::{Case, HELLO, PING, PONG, Step, TEXT, case, pong, text};
use crate::wire::{fragment, frame};

pub(super) fn fragments() -> Vec<Case> {
    let mut all = Vec::new();
    for (id, opcode) in [("5.1", PING), ("5.2", PONG)] {
        let frames = vec![fragment(opcode, b"fragment1"), frame(0, b"fragment2")];
        all.push(
            case(id, "a control frame in two parts", frames)
                .fails()
                .without_echo(),
        );
    }
    let two = || vec![fragment(TEXT, b"fragment1"), frame(0, b"fragment2")];
    for number in 3..=5 {
        all.push(
            case(format!("5.{number}"), "a text in two frames", two())
                .sees(vec![text(b"fragment1fragment2")]),
        );
    }
    for number in 6..=8 {
        let frames = vec![
            fragment(TEXT, b"fragment1"),
            frame(PING, b"ping payload"),
            frame(0, b"fragment2"),
        ];
        let seen = vec![pong(b"ping payload"), text(b"fragment1fragment2")];
        all.push(
            case(
                format!("5.{number}"),
                "a text in two frames with a ping between them",
                frames,
            )
            .sees(seen),
        );
    }
    let nothing_to_continue = |number: usize, continuation: Vec<u8>, sends: &str| {
        case(
            format!("5.{number}"),
            sends,
            vec![continuation, frame(TEXT, HELLO)],
        )
        .fails()
        .without_echo()
    };
    for number in 9..=11 {
        all.push(nothing_to_continue(
            number,
            frame(0, b"x"),
            "a last continuation of nothing, and a text",
        ));
    }
    for number in 12..=14 {
        all.push(nothing_to_continue(
            number,
            fragment(0, b"x"),
            "a continuation of nothing, and a text",
        ));
    }
    all.extend(fragments_out_of_order(&two));
    all.extend(fragments_with_pings());
    all
}

fn fragments_out_of_order(two: &dyn Fn() -> Vec<Vec<u8>>) -> Vec<Case> {
    let behind = [two(), vec![fragment(0, b"fragment3"), frame(TEXT, b"fragment4")]].concat();
    let twice = |continuation: Vec<u8>| {
        let once = vec![continuation, fragment(TEXT, b"fragment2"), frame(0, b"fragment3")];
        [once.clone(), once].concat()
    };
    vec![
        case(
            "5.15",
            "a text in two frames, a continuation of nothing, a text",
            behind,
        )
        .sees(vec![text(b"fragment1fragment2")])
        .fails(),
        case(
            "5.16",
            "twice: a continuation of nothing, a text in two frames",
            twice(fragment(0, b"fragment1")),
        )
        .fails()
        .without_echo(),
        case(
            "5.17",
            "twice: a last continuation of nothing, a text in two frames",
            twice(frame(0, b"fragment1")),
        )
        .fails()
        .without_echo(),
        case(
            "5.18",
            "a text in two frames that both begin one",
            vec![fragment(TEXT, b"fragment1"), frame(TEXT, b"fragment2")],
        )
        .fails(),
    ]
}

fn fragments_with_pings() -> Vec<Case> {
    let of = |id: &str| {
        let part = |number: usize| format!("fragment{number}").into_bytes();
        let mut case = case(
            id,
            "a text in five frames, with two pings between them",
            Vec::new(),
        );
        case.steps = vec![
            Step::Send(fragment(TEXT, &part(1))),
            Step::Send(fragment(0, &part(2))),
            Step::Send(frame(PING, b"pongme 1!")),
            Step::Await(1),
            Step::Send(fragment(0, &part(3))),
            Step::Send(fragment(0, &part(4))),
            Step::Send(frame(PING, b"pongme 2!")),
            Step::Send(frame(0, &part(5))),
        ];
        let whole: Vec<u8> = (1..=5).flat_map(part).collect();
        case.sees(vec![pong(b"pongme 1!"), pong(b"pongme 2!"), text(&whole)])
    };
    vec![of("5.19"), of("5.20")]
}

pub(super) fn many_fragments() -> Vec<Case> {
    let payload = vec![b'*'; 65_536];
    let parts: Vec<&[u8]> = payload.chunks(1_300).collect();
    let last = parts.len() - 1;
    let frames = parts.iter().enumerate().map(|(place, part)| match place {
        0 => fragment(TEXT, part),
        _ if place == last => frame(0, part),
        _ => fragment(0, part),
    });
    vec![
        case(
            "10.1.1",
            "a text of 65,536 bytes in frames of 1,300",
            frames.collect(),
        )
        .sees(vec![text(&payload)]),
    ]
}
