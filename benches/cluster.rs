//! What a node of a cluster costs beside a gateway by itself, in pairs: a login that is recorded before it is answered, a heartbeat
//! and an idle connection. And what a status costs all nodes in queries of 500 accounts, whose users are at home at three nodes.
//! Needs redis-server.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "nothing here is part of the library"
)]

use holdfast::base;
use holdfast::engine;
use holdfast::services::shared_store;

mod common;
#[path = "../tests/nodes/node.rs"]
mod node;
#[path = "../tests/shared_store/servers.rs"]
mod servers;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use common::queries::{BATCH, QueryClient, ask, request};
use common::report::Report;
use common::terminals::{self, Pace, Terminals};
use common::{Spread, cpu_ns, metric, rss_bytes, wait_for_metric};
use node::{Cluster, Node, SERVERS};
use serde_json::json;
use servers::Pair;
use support::gateway::Gateway;
use tempfile::TempDir;

const ROUNDS: usize = 5;
const SHARDS: &str = "2";
/// As `holdfast cluster create` makes by itself.
const CLUSTER_PARTITIONS: usize = 256;

/// Threads that log terminals in, each with up to this many at once, and the logins of a round.
const GENERATORS: usize = 2;
const LOGINS_AT_ONCE: u32 = 256;
const LOGINS: usize = 16_000;

/// Terminals that beat, and how long they do.
const BEATING: usize = 8_000;
const DURATION: Duration = Duration::from_secs(3);

/// Idle connections, and those of them from which on memory is measured.
const IDLE: usize = 15_000;
const IDLE_FIRST: usize = IDLE / 10;
/// What is kept of records is not the connections'.
const REGISTRY_BYTES: &str = "holdfast_registry_bytes_now";
/// Huge pages would hide a slope of 2 MiB, and memory that is kept for later would be counted.
const SMALL_STEPS: [(&str, &str); 2] = [("MIMALLOC_ALLOW_THP", "0"), ("MIMALLOC_PURGE_DELAY", "0")];

/// Queries of a round, the backend's connections to each node, and the users who are asked for.
const QUERIES: usize = 1_200;
const CLIENTS: usize = 3;
const USERS: usize = 96_000;
const LOGGED_IN_AT_ONCE: usize = 8_000;
const NODES: u16 = 3;

/// What is measured of a gateway in a round, in this order. The last one has no aim.
const OPERATIONS: [&str; 4] = [
    "login, recorded",
    "heartbeat, saturated (256 at once)",
    "heartbeat, paced at 5,000/s",
    "a second in which nobody says anything",
];
/// The claims of the others.
const RATIOS: [&str; 3] = [
    "CPU of a login ÷ that at a gateway by itself",
    "CPU of a saturated heartbeat ÷ that at a gateway by itself",
    "CPU of a paced heartbeat ÷ that at a gateway by itself",
];
const IDLE_RATIO: &str = "bytes of an idle connection ÷ those at a gateway by itself";
const QUERY: &str = "µs of CPU of all nodes per user state";

fn main() {
    let mut report = Report::new(
        "cluster",
        "What a node of a cluster costs, beside a gateway by itself",
    );
    report.line(&format!(
        "A gateway with its store on disk, and a node with a master of Redis and its replica (`registry.redis.copies = 1`, {CLUSTER_PARTITIONS} partitions), {SHARDS} shards each. {ROUNDS} rounds in turn; median (smallest to largest). A figure is the CPU time of all threads of the gateway's process, user and system, without that of the servers of Redis. All share the cores.\n"
    ));
    idle(&mut report);
    side_by_side(&mut report);
    queries(&mut report);
    report.write();
}

/// Settings of all gateways here.
fn settings() -> [(&'static str, &'static str); 2] {
    [
        ("shards.count", SHARDS),
        ("limits.logins_per_user_max", "1000000"),
    ]
}

/// A gateway by itself; its store is in the folder.
fn by_itself(environment: &[(&str, &str)]) -> (Gateway, TempDir) {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let path = format!("{:?}", folder.path());
    let all = [&settings()[..], &[("registry.path", &path)]].concat();
    let gateway = Gateway::start_in(env!("CARGO_BIN_EXE_holdfast"), &all, environment);
    (gateway, folder)
}

/// So many nodes, which have all partitions. Their store is to end after them.
fn nodes(count: u16, environment: &[(&str, &str)]) -> (Cluster, Vec<Node>) {
    let copies = ["--min-replicas-to-write", "1"];
    let Pair { master, replica } = Pair::start(&[&SERVERS[..], &copies].concat());
    let cluster = Cluster::found_in(
        vec![master, replica],
        CLUSTER_PARTITIONS,
        &[&settings()[..], &[("registry.redis.copies", "1")]].concat(),
        environment,
    );
    let nodes: Vec<Node> = (1..=count).map(|number| cluster.start(number)).collect();
    cluster.wait_whole(&nodes.iter().collect::<Vec<_>>());
    (cluster, nodes)
}

fn idle(report: &mut Report) {
    let (gateway, _folder) = by_itself(&SMALL_STEPS);
    let alone = idle_bytes(&gateway);
    drop(gateway);
    let (_cluster, nodes) = nodes(1, &SMALL_STEPS);
    let node = idle_bytes(&nodes[0].gateway);
    report.line(&format!(
        "- user bytes of an idle connection, of {IDLE}: {alone:.0} at a gateway by itself, {node:.0} at a node"
    ));
    report.data(json!({ "idle": "bytes", "alone_bytes": alone, "node_bytes": node }));
    report.claim(IDLE_RATIO, node / alone);
}

/// The slope of resident memory, without what is kept of records.
fn idle_bytes(gateway: &Gateway) -> f64 {
    // One connection first, so that what the first one brings up is not counted.
    Terminals::log_in(gateway.terminals, "warm", 1).leave();
    let mut first = Terminals::log_in(gateway.terminals, "first", IDLE_FIRST);
    first.beat_all();
    let grown = || rss_bytes(gateway.id()).saturating_sub(metric(gateway, REGISTRY_BYTES));
    let before = grown();
    let mut rest = Terminals::log_in(gateway.terminals, "rest", IDLE - IDLE_FIRST);
    rest.beat_all();
    let bytes = grown().saturating_sub(before) as f64 / (IDLE - IDLE_FIRST) as f64;
    first.leave();
    rest.leave();
    bytes
}

/// By their places in `OPERATIONS`.
type Measured = [Vec<f64>; OPERATIONS.len()];

fn side_by_side(report: &mut Report) {
    let (gateway, _folder) = by_itself(&[]);
    let (_cluster, nodes) = nodes(1, &[]);
    let mut all: [Measured; 2] = Default::default();
    for round in 0..ROUNDS {
        println!("round {} of {ROUNDS}", round + 1);
        let mut pair = [(0, &gateway), (1, &nodes[0].gateway)];
        if round % 2 == 1 {
            pair.reverse();
        }
        for (place, gateway) in pair {
            let measured = measure(gateway, round);
            all[place]
                .iter_mut()
                .zip(measured)
                .for_each(|(rounds, us)| rounds.push(us));
        }
    }
    report.line(
        "\n| operation | gateway by itself, µs | node, µs | ratio of each round |\n| --- | --- | --- | --- |",
    );
    let [alone, node] = &all;
    let mut claims = Vec::new();
    for (place, operation) in OPERATIONS.into_iter().enumerate() {
        let (alone, node) = (&alone[place], &node[place]);
        let ratios: Vec<f64> = node.iter().zip(alone).map(|(node, alone)| node / alone).collect();
        let ratio = Spread::of(&ratios);
        report.line(&format!(
            "| {operation} | {} | {} | {ratio} |",
            Spread::of(alone),
            Spread::of(node)
        ));
        report.data(json!({ "operation": operation, "alone_us": alone, "node_us": node }));
        claims.push(ratio.median);
    }
    report.line("");
    for (claim, ratio) in RATIOS.into_iter().zip(claims) {
        report.claim(claim, ratio);
    }
}

/// What each operation costs a gateway in a round, µs.
fn measure(gateway: &Gateway, round: usize) -> [f64; OPERATIONS.len()] {
    let each = |before: u64, count: u64| (cpu_ns(gateway.id()) - before) as f64 / 1_000.0 / count as f64;
    let before = cpu_ns(gateway.id());
    let generators = Terminals::log_in_by_threads(
        gateway.terminals,
        &format!("user{round}"),
        (GENERATORS, LOGINS / GENERATORS),
        LOGINS_AT_ONCE,
    );
    let login = each(before, LOGINS as u64);
    generators.into_iter().for_each(Terminals::leave);
    all_are_gone(gateway);
    let mut terminals = Terminals::log_in(gateway.terminals, "beats", BEATING);
    terminals.beat_all();
    // What is left to do of the logins is not the silence's.
    std::thread::sleep(DURATION);
    let before = cpu_ns(gateway.id());
    std::thread::sleep(DURATION);
    let silent = each(before, DURATION.as_secs());
    let mut beat = |pace| {
        let before = cpu_ns(gateway.id());
        let beats = terminals.beat(pace, DURATION);
        each(before, beats)
    };
    let (saturated, paced) = (beat(Pace::AtOnce(256)), beat(Pace::PerSecond(5_000.0)));
    terminals.leave();
    all_are_gone(gateway);
    [login, saturated, paced, silent]
}

/// What their going costs is not the next measurement's.
fn all_are_gone(gateway: &Gateway) {
    wait_for_metric(gateway, "holdfast_devices_online_now", |online| online == 0);
}

fn queries(report: &mut Report) {
    let (_cluster, nodes) = nodes(NODES, &[]);
    for batch in 0..USERS / LOGGED_IN_AT_ONCE {
        Terminals::log_in(nodes[0].gateway.terminals, &prefix(batch), LOGGED_IN_AT_ONCE).leave();
    }
    nodes.iter().for_each(|node| all_are_gone(&node.gateway));
    let sig = terminals::sign("administrator");
    let connect = |_| nodes.iter().map(|node| QueryClient::connect(node.gateway.http));
    let mut clients: Vec<QueryClient> = (0..CLIENTS).flat_map(connect).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let cpu = || -> u64 { nodes.iter().map(|node| cpu_ns(node.gateway.id())).sum() };
    let rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let mut draw = || {
                let users: Vec<String> = (0..BATCH).map(|_| user(random.usize(..USERS))).collect();
                request(&sig, 0, &users)
            };
            let requests: Vec<Vec<u8>> = (0..QUERIES).map(|_| draw()).collect();
            let before = cpu();
            ask(&mut clients, &requests, BATCH);
            (cpu() - before) as f64 / (QUERIES * BATCH) as f64 / 1_000.0
        })
        .collect();
    let spread = Spread::of(&rounds);
    report.line(&format!(
        "\n{QUERIES} queries of {BATCH} accounts a round, of {USERS} users who are at home at {NODES} nodes; {CLIENTS} connections to each node, with one query under way each.\n\n- {QUERY}: {spread}"
    ));
    report.data(json!({ "query": "over all nodes", "us_per_state": rounds }));
    report.claim(QUERY, spread.median);
}

/// What the users of a batch of logins are called.
fn prefix(batch: usize) -> String {
    format!("user{batch:03}")
}

fn user(number: usize) -> String {
    terminals::user(&prefix(number / LOGGED_IN_AT_ONCE), number % LOGGED_IN_AT_ONCE)
}
