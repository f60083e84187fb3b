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

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use common::report::Report;
use common::terminals::{self, Terminals};
use common::{Spread, cpu_ns};
use serde_json::json;
use support::gateway::{Gateway, SDK_APP_ID};

const USERS: usize = 1_000_000;
const BATCH: usize = 500;
/// What an account's status looks like: once for the account, and with details once more for its only device.
const ANSWERED: &[u8] = b"\"Status\":\"PushOnline\"";
/// How much of a wrong answer is shown.
const SHOWN_BYTES_MAX: usize = 300;
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
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(gateway.http)).collect();
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
                let requests: Vec<Vec<u8>> =
                    (0..QUERIES).map(|_| request(&sig, detail, &mut random)).collect();
                let before = cpu_ns(gateway.id());
                for batch in requests.chunks(CLIENTS) {
                    for (client, request) in clients.iter_mut().zip(batch) {
                        client.send(request);
                    }
                    for (client, _) in clients.iter_mut().zip(batch) {
                        client.read_answer(BATCH * usize::from(1 + detail));
                    }
                }
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

/// One query's bytes, for accounts drawn by chance.
fn request(sig: &str, detail: u8, random: &mut fastrand::Rng) -> Vec<u8> {
    let users: Vec<String> = (0..BATCH).map(|_| user(random.usize(..USERS))).collect();
    let body = json!({ "To_Account": users, "IsNeedDetail": detail }).to_string();
    let path = "/v4/openim/query_online_status";
    let head = format!(
        "POST {path}?sdkappid={SDK_APP_ID}&identifier=administrator&usersig={sig}&random=7&contenttype=json HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// One kept-alive HTTP connection.
struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the gateway listens");
        stream.set_nodelay(true).expect("no delay");
        Self {
            stream,
            received: vec![0; 1 << 20],
        }
    }

    fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).expect("the gateway reads");
    }

    /// Reads a whole answer; checks that it holds so many statuses, so that every account was answered.
    fn read_answer(&mut self, expected: usize) {
        let mut length = 0;
        loop {
            let count = self
                .stream
                .read(&mut self.received[length..])
                .expect("the gateway answers");
            assert!(count > 0, "the gateway closed the connection");
            length += count;
            let received = &self.received[..length];
            let Some(head) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                continue;
            };
            let text = std::str::from_utf8(&received[..head])
                .expect("a head is text")
                .to_lowercase();
            let body_length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let body_length: usize = body_length.expect("a length").parse().expect("a number");
            if length < head + 4 + body_length {
                continue;
            }
            let body = &received[head + 4..];
            let statuses = body.windows(ANSWERED.len());
            let answered = statuses.filter(|bytes| *bytes == ANSWERED).count();
            let shown = &body[..body.len().min(SHOWN_BYTES_MAX)];
            assert_eq!(
                answered,
                expected,
                "statuses in the answer to {BATCH} accounts: {}",
                String::from_utf8_lossy(shown)
            );
            return;
        }
    }
}
