//! Conformance of the WebSocket transport: the cases of the Autobahn testsuite for servers, against an endpoint on the gateway's
//! codec that takes texts and sends every message back, and against the gateway. Foreign clients and servers beside it.
//!
//! ```text
//! cargo test --test websocket                              the cases
//! cargo test --test websocket -- --ignored the_table       the same, into bench-results/websocket
//! cargo test --test websocket -- --ignored a_terminal_on   foreign clients, once `.ci/run` has installed them
//! ```

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::wildcard_enum_match_arm,
    reason = "nothing here is part of the library"
)]
#[path = "../support/mod.rs"]
mod support;

mod case;
mod cases;
mod clients;
mod echo;
mod foreign;
mod gateway;
mod report;
mod run;
mod utf8;
mod wire;

use case::Case;
use run::{Cut, Endpoint, InMemory, OverTcp};

const CUTS: &[Cut] = &[
    Cut::Whole,
    Cut::Frames,
    Cut::Bytes(1),
    Cut::Bytes(997),
    Cut::Random(1),
    Cut::Random(2),
    Cut::Random(3),
];
const CUTS_OVER_TCP: &[Cut] = &[Cut::Whole, Cut::Bytes(997)];

/// All cases must pass.
fn check(
    cases: impl IntoIterator<Item = Case>,
    cuts: &[Cut],
    mut endpoint: impl FnMut() -> Box<dyn Endpoint>,
) {
    let mut failed = Vec::new();
    for case in cases {
        let named = |fault| format!("{} ({}) {fault}", case.id, case.sends);
        failed.extend(run::faults(&case, cuts, &mut endpoint).map(named));
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn the_codec_passes_all_cases_wherever_bytes_are_cut() {
    check(cases::all(), CUTS, || Box::new(InMemory::open()));
}

#[test]
fn the_codec_passes_all_cases_over_tcp() {
    let address = run::serve();
    check(cases::all(), CUTS_OVER_TCP, || Box::new(OverTcp::open(address)));
}

#[test]
fn the_cases_are_all_of_their_groups() {
    let count = |group: &str| {
        let cases = cases::all();
        cases.iter().filter(|case| case.id.starts_with(group)).count()
    };
    let groups = ["1.", "2.", "3.", "4.", "5.", "6.", "7.", "10."];
    assert_eq!(groups.map(count), [16, 11, 7, 10, 20, 145, 37, 1]);
}

#[test]
#[ignore = "writes bench-results/websocket"]
fn the_table() {
    assert_eq!(report::write(), 0, "cases failed");
}
