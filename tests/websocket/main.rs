//! Conformance of the WebSocket transport: the cases of the Autobahn testsuite for servers, against an endpoint on the gateway's
//! codec that takes texts and sends every message back.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod case;
mod cases;
mod echo;
mod foreign;
mod run;
mod utf8;
mod wire;

use run::{Cut, InMemory, OverTcp};

/// All cases must pass.
fn check(cuts: &[Cut], mut endpoint: impl FnMut() -> Box<dyn run::Endpoint>) {
    let mut failed = Vec::new();
    for case in cases::all() {
        for cut in cuts {
            if let Err(fault) = run::run(&case, *cut, &mut *endpoint()) {
                failed.push(format!(
                    "{} ({}), cut by {cut:?}: {fault:.200}",
                    case.id, case.sends
                ));
            }
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn the_codec_passes_all_cases_wherever_bytes_are_cut() {
    let random = (1..=3).map(Cut::Random);
    let cuts: Vec<Cut> = [Cut::Whole, Cut::Frames, Cut::Bytes(1), Cut::Bytes(997)]
        .into_iter()
        .chain(random)
        .collect();
    check(&cuts, || Box::new(InMemory::open()));
}

#[test]
fn the_codec_passes_all_cases_over_tcp() {
    let address = run::serve();
    check(&[Cut::Whole, Cut::Bytes(997)], || {
        Box::new(OverTcp::open(address))
    });
}

#[test]
fn the_cases_are_all_of_their_groups() {
    let count = |group: &str| {
        cases::all()
            .iter()
            .filter(|case| case.id.starts_with(group))
            .count()
    };
    let groups = ["1.", "2.", "3.", "4.", "5.", "6.", "7.", "10."];
    assert_eq!(groups.map(count), [16, 11, 7, 10, 20, 145, 37, 1]);
}
