//! Server CPU per heartbeat (saturated, and paced at 5,000 a second) and per login, beside a plain epoll server that
//! speaks the same protocol, in alternating runs.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "nothing here is part of the library"
)]

mod common;
#[path = "peers/epoll.rs"]
mod epoll;
#[path = "../tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use common::crowd::{Crowd, Pace, Signer, user};
use common::report::Report;
use common::{EpollPeer, Spread, cpu_ns};
use holdfast::node::config::DEVELOPMENT_SECRET;
use serde_json::json;
use support::gateway::{Gateway, SDK_APP_ID};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 8_000;
/// One shard, or thread, on a core of its own; the crowd has the other one.
const THREADS: usize = 1;
const SERVER_CORE: usize = 0;
const CROWD_CORE: usize = 1;
const LOGINS: usize = 8_000;
const DURATION: Duration = Duration::from_secs(3);

/// One figure of both servers: µs of server CPU per operation, a round each.
struct Figure {
    name: &'static str,
    ours: Vec<f64>,
    epoll: Vec<f64>,
    ratio_max: Option<f64>,
}

struct Server {
    process: u32,
    address: SocketAddr,
}

fn main() {
    if let Some((address, threads)) = common::epoll_arguments() {
        return epoll::serve(address, threads, SDK_APP_ID, DEVELOPMENT_SECRET);
    }
    // What is started from here on inherits the core.
    common::run_on(SERVER_CORE);
    let threads = THREADS.to_string();
    let gateway = Gateway::start(
        env!("CARGO_BIN_EXE_holdfast"),
        &[("shards.count", &threads), ("registry.store", "\"memory\"")],
    );
    let peer = EpollPeer::start(THREADS);
    let ours = Server {
        process: gateway.id(),
        address: gateway.terminals,
    };
    let epoll = Server {
        process: peer.id(),
        address: peer.address,
    };

    common::run_on(CROWD_CORE);
    let mut signer = Signer::new(SDK_APP_ID, DEVELOPMENT_SECRET);
    let logins: Vec<Vec<u8>> = (0..CONNECTIONS)
        .map(|number| signer.login(&user(number)))
        .collect();
    let mut figures = [
        figure("heartbeat, saturated (256 at once)", Some(1.0)),
        figure("heartbeat, paced at 5,000/s", Some(0.5)),
        figure("login (connect, UserSig, answer)", None),
    ];
    for round in 0..ROUNDS {
        println!("round {} of {ROUNDS}", round + 1);
        let both = if round % 2 == 0 {
            [&ours, &epoll]
        } else {
            [&epoll, &ours]
        };
        for server in both {
            let measured = measure(server, &mut signer, &logins, round);
            for (figure, value) in figures.iter_mut().zip(measured) {
                let is_ours = server.process == ours.process;
                if is_ours {
                    figure.ours.push(value)
                } else {
                    figure.epoll.push(value)
                }
            }
        }
    }
    report(&figures);
}

fn figure(name: &'static str, ratio_max: Option<f64>) -> Figure {
    Figure {
        name,
        ours: Vec::new(),
        epoll: Vec::new(),
        ratio_max,
    }
}

/// The three figures of one server in one round.
fn measure(server: &Server, signer: &mut Signer, logins: &[Vec<u8>], round: usize) -> [f64; 3] {
    let mut crowd = Crowd::log_in(server.address, logins);
    crowd.beat_all();
    let saturated = per_operation(server, || crowd.beat(Pace::AtOnce(256), DURATION));
    let paced = per_operation(server, || crowd.beat(Pace::PerSecond(5_000), DURATION));
    crowd.leave();
    let first = (round + 1) * 1_000_000;
    let fresh: Vec<Vec<u8>> = (first..first + LOGINS)
        .map(|number| signer.login(&user(number)))
        .collect();
    let mut newcomers = None;
    let login = per_operation(server, || {
        newcomers = Some(Crowd::log_in(server.address, &fresh));
        LOGINS as u64
    });
    newcomers.expect("they logged in").leave();
    [saturated, paced, login]
}

/// Microseconds of the server's CPU per operation.
fn per_operation(server: &Server, work: impl FnOnce() -> u64) -> f64 {
    let before = cpu_ns(server.process);
    let operations = work();
    (cpu_ns(server.process) - before) as f64 / operations as f64 / 1_000.0
}

fn report(figures: &[Figure]) {
    let mut report = Report::new(
        "cost",
        "Server CPU per heartbeat and per login, beside a plain epoll server",
    );
    report.line(&format!(
        "{CONNECTIONS} connections, {THREADS} shard or thread on core {SERVER_CORE}, the crowd on core {CROWD_CORE}; {ROUNDS} alternating rounds of {DURATION:?}; median (smallest to largest).\n"
    ));
    report.line("| operation | Holdfast, µs | epoll, µs | ratio of each round |\n| --- | --- | --- | --- |");
    let mut claims = Vec::new();
    for figure in figures {
        let ratios: Vec<f64> = figure
            .ours
            .iter()
            .zip(&figure.epoll)
            .map(|(ours, epoll)| ours / epoll)
            .collect();
        let ratio = Spread::of(&ratios);
        report.line(&format!(
            "| {} | {} | {} | {ratio} |",
            figure.name,
            Spread::of(&figure.ours),
            Spread::of(&figure.epoll)
        ));
        report.data(json!({ "operation": figure.name, "ours_us": figure.ours, "epoll_us": figure.epoll }));
        claims.extend(
            figure
                .ratio_max
                .map(|at_most| (figure.name, ratio.median, at_most)),
        );
    }
    report.line("");
    for (name, ratio, at_most) in claims {
        report.claim(&format!("{name}: ratio to epoll"), ratio, at_most);
    }
    report.write();
}
