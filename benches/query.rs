//! Status queries of 500 accounts over 1,000,000 users in memory: CPU of all the gateway's threads per user state.
//!
//! The users are made as real ones are: each logs in over TCP, and goes. Their phones stay PushOnline.

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

use common::queries::{BATCH, QueryClient, ask, request};
use common::report::Report;
use common::terminals::{self, Terminals};
use common::{Spread, cpu_ns};
use serde_json::json;
use support::gateway::Gateway;

const USERS: usize = 1_000_000;
/// Connections of the backend, each with one query under way.
const CLIENTS: usize = 8;
const QUERIES: usize = 2_000;
const ROUNDS: usize = 5;
/// Users that are logged in at the same time; a part of all.
const LOGINS_AT_ONCE: usize = 8_000;

fn main() {
    let gateway = Gateway::start(
        env!("CARGO_BIN_EXE_holdfast"),
        &[("shards.count", "2"), ("registry.store", "\"memory\"")],
    );
    for batch in 0..USERS / LOGINS_AT_ONCE {
        Terminals::log_in(gateway.terminals, &prefix(batch), LOGINS_AT_ONCE).leave();
    }
    let sig = terminals::sign("administrator");
    let mut clients: Vec<QueryClient> = (0..CLIENTS).map(|_| QueryClient::connect(gateway.http)).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut report = Report::new(
        "query",
        "Status queries of 500 accounts over 1,000,000 users in memory",
    );
    report.line(&format!(
        "{QUERIES} queries a round over {CLIENTS} connections, {ROUNDS} rounds, 2 shards; CPU of all threads of the gateway.\n"
    ));
    for (name, detail, claim) in [
        ("without details", 0, "µs of CPU per user state without details"),
        ("with details", 1, "µs of CPU per user state with details"),
    ] {
        let figures: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let requests: Vec<Vec<u8>> = (0..QUERIES)
                    .map(|_| request(&sig, detail, &draw(&mut random)))
                    .collect();
                let before = cpu_ns(gateway.id());
                ask(&mut clients, &requests, BATCH * usize::from(1 + detail));
                (cpu_ns(gateway.id()) - before) as f64 / (QUERIES * BATCH) as f64 / 1_000.0
            })
            .collect();
        let spread = Spread::of(&figures);
        report.line(&format!("- µs of CPU per user state {name}: {spread}"));
        report.data(json!({ "query": name, "us_per_state": figures }));
        report.claim(claim, spread.median);
    }
    report.write();
}

/// What the users of a batch of logins are called.
fn prefix(batch: usize) -> String {
    format!("user{batch:03}")
}

fn user(number: usize) -> String {
    terminals::user(&prefix(number / LOGINS_AT_ONCE), number % LOGINS_AT_ONCE)
}

/// Accounts drawn by chance.
fn draw(random: &mut fastrand::Rng) -> Vec<String> {
    (0..BATCH).map(|_| user(random.usize(..USERS))).collect()
}
