//! A backend that does not take callbacks: 100,000 changes while its receiver is down, beside the same changes without
//! callbacks. Then the receiver comes, and must get all of them in order.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "nothing here is part of the library"
)]

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Instant;

use common::report::Report;
use common::terminals::Terminals;
use common::{rss_bytes, wait_for_metric};
use serde_json::json;
use support::gateway::Gateway;
use support::receiver::{Order, Receiver};

const USERS: usize = 5_000;
/// Each user logs in and goes so often: two changes.
const ROUNDS: usize = 10;
const CHANGES: usize = 2 * USERS * ROUNDS;

fn main() {
    let without = start(None);
    let without_bytes = run(&without);
    drop(without);
    let address = free_address();
    let gateway = start(Some(address));
    let down_bytes = run(&gateway);
    assert_eq!(common::metric(&gateway, "holdfast_callbacks_delivered_total"), 0);

    let start = Instant::now();
    let receiver = Receiver::start_at(address, 0);
    let told = receiver.wait_for(|told| told.len() >= CHANGES);
    let took = start.elapsed();
    Order::default().check(&told);
    let most_bytes = common::peak_rss_bytes(gateway.id());

    let mut report = Report::new("receiver", "100,000 changes while the callback receiver is down");
    report.line(&format!(
        "{USERS} users log in and go {ROUNDS} times: {CHANGES} changes; 2 shards, everything on the same 2 cores.\n"
    ));
    report.line("| changes | resident memory without callbacks, MiB | with the receiver down, MiB |\n| --- | --- | --- |");
    for (round, (without, down)) in without_bytes.iter().zip(&down_bytes).enumerate() {
        let changes = (round + 1) * 2 * USERS;
        report.line(&format!(
            "| {changes} | {:.1} | {:.1} |",
            mib(*without),
            mib(*down)
        ));
    }
    report.line(&format!(
        "\n- all {CHANGES} callbacks were taken in their order {:.1} s after the receiver came: {:.0} per second\n- the gateway's resident memory was never over {:.1} MiB",
        took.as_secs_f64(),
        CHANGES as f64 / took.as_secs_f64(),
        mib(most_bytes),
    ));
    report.data(
        json!({ "without_bytes": without_bytes, "down_bytes": down_bytes, "took_s": took.as_secs_f64(),
        "told": told.len(), "most_bytes": most_bytes }),
    );
    let most = |bytes: &[u64]| *bytes.iter().max().expect("some rounds") as f64;
    report.claim(
        "most memory with the receiver down, over most memory without callbacks",
        most(&down_bytes) / most(&without_bytes),
    );
    report.write();
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn start(receiver: Option<SocketAddr>) -> Gateway {
    let url = receiver.map_or(String::new(), |address| format!("http://{address}/callback"));
    let settings = [
        ("shards.count", "2"),
        ("callback.url", &format!("{url:?}")),
        ("log.level", "\"error\""),
        ("limits.logins_per_user_max", "1000000"),
    ];
    Gateway::start(env!("CARGO_BIN_EXE_holdfast"), &settings)
}

/// Everybody logs in and goes, again and again. Gives the resident memory after each time.
fn run(gateway: &Gateway) -> Vec<u64> {
    let round = |round: usize| {
        Terminals::log_in(gateway.terminals, "user", USERS).leave();
        let changes = (2 * USERS * (round + 1)) as u64;
        wait_for_metric(gateway, "holdfast_changes_total", |confirmed| {
            confirmed >= changes
        });
        rss_bytes(gateway.id())
    };
    (0..ROUNDS).map(round).collect()
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound address")
}
