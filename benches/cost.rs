//! Server CPU per heartbeat (saturated, and paced at 5,000 a second) and per login, beside a plain epoll server that
//! speaks the same protocol, in alternating runs: over plain loopback, and then apart, where the terminals' half of TCP is
//! not charged to the server.

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
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use common::apart::{self, APART, Cores};
use common::report::Report;
use common::terminals::{Pace, Terminals};
use common::{EpollPeer, Spread, cpu_ns, wait_until_still};
use holdfast::node::config::DEVELOPMENT_SECRET;
use serde::{Deserialize, Serialize};
use serde_json::json;
use support::gateway::{Gateway, SDK_APP_ID};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 8_000;
/// One shard, or thread, on a core of its own; the load generator has the other one.
const THREADS: usize = 1;
const SERVER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;
const LOGINS: usize = 8_000;
const DURATION: Duration = Duration::from_secs(3);

/// What is measured, in this order.
const OPERATIONS: [&str; 3] = [
    "heartbeat, saturated (256 at once)",
    "heartbeat, paced at 5,000/s",
    "login (connect, UserSig, answer)",
];
/// The first so many have an aim: their ratio to epoll.
const AIMED: usize = 2;

/// How a figure over plain loopback is to be read.
const LOOPBACK: &str = "Over plain loopback: the kernel does the receiver's half of TCP within the sender's system call, and so charges the server for the terminals' half of each answer, which on a network is another host's.";

/// One figure of both servers: µs of server CPU per operation, a round each.
#[derive(Default, Serialize, Deserialize)]
struct Figure {
    ours_us: Vec<f64>,
    epoll_us: Vec<f64>,
}

/// By their places in `OPERATIONS`.
type Figures = [Figure; OPERATIONS.len()];

struct Server {
    process: u32,
    address: SocketAddr,
}

fn main() {
    if let Some((address, threads)) = common::epoll_arguments() {
        return epoll::serve(address, threads, SDK_APP_ID, DEVELOPMENT_SECRET);
    }
    let cores = Cores(vec![GENERATOR_CORE]);
    if apart::is_apart(&cores).expect("loopback is steered to the load generator") {
        // Nothing else goes there: whoever started this reads it.
        println!("{}", json!(figures("apart")));
        return;
    }
    let mut report = Report::new(
        "cost",
        "Server CPU per heartbeat and per login, beside a plain epoll server",
    );
    let loopback = figures("loopback");
    let apart = figures_apart(&cores);
    report.line(&format!(
        "{CONNECTIONS} connections, {THREADS} shard or thread on core {SERVER_CORE}, the load generator on core {GENERATOR_CORE}; {ROUNDS} alternating rounds of {DURATION:?}; median (smallest to largest). A figure is the CPU time of all threads of the server's process, user and system. All of it is measured in two arrangements.\n"
    ));
    report.line(&format!("## Loopback\n\n{LOOPBACK}\n"));
    tell(&mut report, "loopback", &loopback);
    report.line("\n## Apart\n");
    match apart {
        Ok(figures) => {
            report.line(&format!("{APART}\n"));
            tell(&mut report, "apart", &figures);
        }
        Err(error) => report.line(&format!("**Not measured**: {error:#}.")),
    }
    report.write();
}

/// The figures of another run of this bench, apart.
fn figures_apart(cores: &Cores) -> anyhow::Result<Figures> {
    let run = apart::again(cores)?.stderr(Stdio::inherit()).output()?;
    ensure!(run.status.success(), "the run apart has ended by {}", run.status);
    serde_json::from_slice(&run.stdout).context("the run apart gave no figures")
}

/// All rounds with both servers.
fn figures(arrangement: &str) -> Figures {
    // What is started from here on inherits the core.
    common::run_on(SERVER_CORE);
    let threads = THREADS.to_string();
    let gateway = Gateway::start(
        env!("CARGO_BIN_EXE_holdfast"),
        &[
            ("shards.count", &threads),
            ("registry.store", "\"memory\""),
            ("limits.logins_per_user_max", "1000000"),
        ],
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

    common::run_on(GENERATOR_CORE);
    let mut figures = Figures::default();
    for round in 0..ROUNDS {
        eprintln!("{arrangement}: round {} of {ROUNDS}", round + 1);
        let both = if round % 2 == 0 {
            [&ours, &epoll]
        } else {
            [&epoll, &ours]
        };
        for server in both {
            let measured = measure(server, round);
            for (figure, value) in figures.iter_mut().zip(measured) {
                let is_ours = server.process == ours.process;
                if is_ours {
                    figure.ours_us.push(value)
                } else {
                    figure.epoll_us.push(value)
                }
            }
        }
    }
    figures
}

/// The three figures of one server in one round.
fn measure(server: &Server, round: usize) -> [f64; 3] {
    let mut terminals = Terminals::log_in(server.address, "user", CONNECTIONS);
    terminals.beat_all();
    let saturated = per_operation(server, || terminals.beat(Pace::AtOnce(256), DURATION));
    let paced = per_operation(server, || terminals.beat(Pace::PerSecond(5_000.0), DURATION));
    terminals.leave();
    // What their going costs is not the logins'.
    wait_until_still(server.process);
    let mut newcomers = None;
    let login = per_operation(server, || {
        newcomers = Some(Terminals::log_in(
            server.address,
            &format!("fresh{round}"),
            LOGINS,
        ));
        LOGINS as u64
    });
    newcomers.expect("they logged in").leave();
    // Nor is it the next turn's.
    wait_until_still(server.process);
    [saturated, paced, login]
}

/// Microseconds of the server's CPU per operation.
fn per_operation(server: &Server, work: impl FnOnce() -> u64) -> f64 {
    let before = cpu_ns(server.process);
    let operations = work();
    (cpu_ns(server.process) - before) as f64 / operations as f64 / 1_000.0
}

/// The table of one arrangement, and whether its aims hold.
fn tell(report: &mut Report, arrangement: &str, figures: &Figures) {
    report.line("| operation | Holdfast, µs | epoll, µs | ratio of each round |\n| --- | --- | --- | --- |");
    let mut claims = Vec::new();
    for (operation, figure) in OPERATIONS.iter().zip(figures) {
        let ratios: Vec<f64> = figure
            .ours_us
            .iter()
            .zip(&figure.epoll_us)
            .map(|(ours, epoll)| ours / epoll)
            .collect();
        let ratio = Spread::of(&ratios);
        report.line(&format!(
            "| {operation} | {} | {} | {ratio} |",
            Spread::of(&figure.ours_us),
            Spread::of(&figure.epoll_us)
        ));
        report.data(json!({
            "arrangement": arrangement, "operation": operation, "ours_us": figure.ours_us, "epoll_us": figure.epoll_us,
        }));
        claims.push((operation, ratio.median));
    }
    report.line("");
    for (operation, ratio) in claims.into_iter().take(AIMED) {
        report.claim(&format!("{arrangement}: {operation}: ratio to epoll"), ratio);
    }
}
