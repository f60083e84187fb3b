//! What a registry records in a second through one server of Redis that has a replica, beside what `redis-benchmark` gets out of
//! the same server; and what a change costs the server, in batches of some sizes. There are no terminals: the registry is driven
//! directly, and so is the client of the shared store. Needs redis-server, redis-benchmark and two cores.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::result_large_err,
    unused_imports,
    reason = "nothing here is part of the library"
)]

use holdfast::base;
use holdfast::engine;
use holdfast::services::shared_store;

mod common;
#[path = "../tests/shared_store/driven.rs"]
mod driven;
#[path = "../tests/shared_store/samples.rs"]
mod samples;
#[path = "../tests/shared_store/servers.rs"]
mod servers;
#[path = "../tests/support/mod.rs"]
mod support;

use std::process::Command;
use std::time::Instant;

use common::report::Report;
use common::{Spread, cpu_ns};
use driven::{TestDesk, step};
use holdfast::base::ids::PartitionId;
use holdfast::services::shared_store::calls::SharedStore;
use holdfast::services::shared_store::client::RedisStore;
use samples::{batch, own, user};
use serde_json::json;
use servers::{Pair, RedisServer, settings};

const ROUNDS: usize = 5;
/// As `holdfast cluster create` makes by itself.
const CLUSTER_PARTITIONS: u16 = 256;
/// As one keeps the servers of a cluster.
const SERVERS: [&str; 4] = ["--appendonly", "yes", "--maxmemory-policy", "noeviction"];
const COPIES: u16 = 1;

/// Changes of a round through the registry, and how many of them are under way.
const CHANGES: u64 = 128_000;
const UNDER_WAY: [u32; 4] = [64, 512, 4_096, 16_384];
/// Of those the number that the claim is of.
const CLAIMED_UNDER_WAY: u32 = 16_384;

/// Changes of a round by batches, how many are in one, and how long a record and a change are.
const BATCHED: u32 = 32_768;
const BATCHES_OF: [u32; 4] = [1, 4, 16, 64];
const RECORD_BYTES: usize = 72;
const CHANGE_BYTES: usize = 90;

/// Writes of a round by redis-benchmark: as many bytes as a change, by as many clients as a gateway with eight cores has
/// workers, each with so many under way.
const WRITES: u32 = 500_000;
const CLIENTS: u32 = 8;
const PIPELINED: u32 = 16;

fn main() {
    let mut report = Report::new("shared-store", "What a change costs a shared store of Redis");
    report.line(&format!(
        "{}; a master with a replica, `appendonly yes`, `appendfsync everysec`; {CLUSTER_PARTITIONS} partitions; a change counts when the replica has it (WAIT {COPIES}). {ROUNDS} rounds; median (smallest to largest). The registry, both servers and redis-benchmark share the cores.\n",
        version()
    ));
    let pair = Pair::start(&SERVERS);
    through_a_registry(&pair, &mut report);
    in_batches(&pair, &mut report);
    report.write();
}

fn version() -> String {
    let said = Command::new("redis-server").arg("--version").output();
    let said = String::from_utf8(said.expect("redis-server is installed").stdout).expect("text");
    let version = said.split_whitespace().find_map(|word| word.strip_prefix("v="));
    format!("Redis {}", version.expect("it tells its version"))
}

/// CPU of the master and of the replica so far, ns.
fn cpu_of(pair: &Pair) -> [u64; 2] {
    [&pair.master, &pair.replica].map(|server| cpu_ns(server.id()))
}

/// CPU of both since, µs for each of so many.
fn cpu_since(pair: &Pair, before: [u64; 2], count: f64) -> [f64; 2] {
    let now = cpu_of(pair);
    [0, 1].map(|server| (now[server] - before[server]) as f64 / 1_000.0 / count)
}

/// What came of the rounds of one number of changes under way.
#[derive(Default)]
struct Recorded {
    per_second: Vec<f64>,
    a_batch: Vec<f64>,
    master_us: Vec<f64>,
    replica_us: Vec<f64>,
}

fn through_a_registry(pair: &Pair, report: &mut Report) {
    let mut writes = Vec::new();
    let mut all: Vec<Recorded> = UNDER_WAY.iter().map(|_| Recorded::default()).collect();
    for round in 1..=ROUNDS {
        println!("round {round} of {ROUNDS}, through a registry");
        writes.push(redis_benchmark(pair));
        for (recorded, under_way) in all.iter_mut().zip(UNDER_WAY) {
            measure_registry(pair, under_way, recorded);
        }
    }
    report.line("| changes under way | changes a second | in a batch | µs of the master's CPU | µs of the replica's CPU |\n| ---: | ---: | ---: | ---: | ---: |");
    for (recorded, under_way) in all.iter().zip(UNDER_WAY) {
        let [per_second, a_batch, master, replica] = [
            &recorded.per_second,
            &recorded.a_batch,
            &recorded.master_us,
            &recorded.replica_us,
        ]
        .map(|rounds| Spread::of(rounds));
        report.line(&format!(
            "| {under_way} | {per_second} | {a_batch} | {master} | {replica} |"
        ));
        report.data(
            json!({ "under way": under_way.to_string(), "per_second": recorded.per_second, "a_batch": recorded.a_batch,
            "master_us": recorded.master_us, "replica_us": recorded.replica_us }),
        );
    }
    report.line(&format!(
        "\nredis-benchmark, SET of {CHANGE_BYTES} bytes without WAIT, {CLIENTS} clients with {PIPELINED} under way each: {} a second.\n",
        Spread::of(&writes)
    ));
    report.data(json!({ "records": "redis-benchmark", "per_second": writes }));
    let place = UNDER_WAY.iter().position(|number| *number == CLAIMED_UNDER_WAY);
    let claimed = &all[place.expect("it is one of them")];
    report.claim(
        "changes a second through a registry",
        Spread::of(&claimed.per_second).median,
    );
}

/// SETs a second of redis-benchmark at the master, which sends them to its replica.
fn redis_benchmark(pair: &Pair) -> f64 {
    let () = pair.master.ask(&["FLUSHALL"]);
    let words = format!(
        "-p {} -t set -q --csv -r 100000 -n {WRITES} -d {CHANGE_BYTES} -c {CLIENTS} -P {PIPELINED}",
        pair.master.port
    );
    let said = Command::new("redis-benchmark").args(words.split(' ')).output();
    let said = String::from_utf8(said.expect("redis-benchmark is installed").stdout).expect("text");
    let row = said.lines().find(|line| line.starts_with("\"SET\""));
    let rate = row.and_then(|row| row.split(',').nth(1)?.trim_matches('"').parse().ok());
    rate.unwrap_or_else(|| panic!("redis-benchmark tells no rate: {said}"))
}

/// Changes through a registry, of which so many are under way: each user waits for the last change before the next.
fn measure_registry(pair: &Pair, under_way: u32, recorded: &mut Recorded) {
    let () = pair.master.ask(&["FLUSHALL"]);
    let urls = [pair.master.url()];
    let desk = TestDesk::start_with(settings(&urls, COPIES), CLUSTER_PARTITIONS);
    let users: Vec<_> = (0..under_way)
        .map(|number| user(&format!("user{number:012}")))
        .collect();
    let mut numbers = vec![0; users.len()];
    let mut send = |key: u32| {
        numbers[key as usize] += 1;
        desk.ask(step(key, users[key as usize], numbers[key as usize]));
    };
    let mut run = |changes: u64| {
        (0..under_way).for_each(&mut send);
        for _ in 0..changes - u64::from(under_way) {
            let (key, outcome) = desk.committed();
            outcome.unwrap();
            send(key);
        }
        (0..under_way).for_each(|_| {
            desk.committed().1.unwrap();
        });
    };
    run(u64::from(under_way) * 2);
    let batches_before = desk.figure("batches");
    let changes = (u64::from(under_way) * 250).min(CHANGES);
    let (before, start) = (cpu_of(pair), Instant::now());
    run(changes);
    let took_s = start.elapsed().as_secs_f64();
    let [master, replica] = cpu_since(pair, before, changes as f64);
    desk.registry.finish();
    let batches = TestDesk::figure_of(&desk.figures, "batches") - batches_before;
    recorded.per_second.push(changes as f64 / took_s);
    recorded.a_batch.push(changes as f64 / batches as f64);
    recorded.master_us.push(master);
    recorded.replica_us.push(replica);
}

fn in_batches(pair: &Pair, report: &mut Report) {
    let mut all = BATCHES_OF.map(|_| [Vec::new(), Vec::new()]);
    for round in 1..=ROUNDS {
        println!("round {round} of {ROUNDS}, in batches");
        for (of_servers, count) in all.iter_mut().zip(BATCHES_OF) {
            let cpu = measure_batches(pair, count);
            of_servers.iter_mut().zip(cpu).for_each(|(all, us)| all.push(us));
        }
    }
    report.line("\n| changes in a batch | µs of the master's CPU for a change | µs of the replica's CPU |\n| ---: | ---: | ---: |");
    for ([master, replica], count) in all.iter().zip(BATCHES_OF) {
        let (shown, shown_replica) = (Spread::of(master), Spread::of(replica));
        report.line(&format!("| {count} | {shown} | {shown_replica} |"));
        report.data(json!({ "in a batch": count.to_string(), "master_us": master, "replica_us": replica }));
    }
    report.line("");
    for (count, claim) in [
        (1, "µs of the master's CPU for a change in batches of 1"),
        (16, "µs of the master's CPU for a change in batches of 16"),
    ] {
        let place = BATCHES_OF.iter().position(|of| *of == count);
        let [master, _] = &all[place.expect("it is one of them")];
        report.claim(claim, Spread::of(master).median);
    }
}

/// Commits of so many changes each, one of each partition in a round. Gives the CPU of a change at the master and at the
/// replica, µs.
fn measure_batches(pair: &Pair, count: u32) -> [f64; 2] {
    let () = pair.master.ask(&["FLUSHALL"]);
    let mut store = RedisStore::new(settings(&[pair.master.url()], COPIES), "test", CLUSTER_PARTITIONS);
    let partitions = (0..CLUSTER_PARTITIONS).map(PartitionId);
    let fences: Vec<_> = partitions
        .clone()
        .map(|partition| own(&mut store, partition, "a.1"))
        .collect();
    let rounds = BATCHED / count / u32::from(CLUSTER_PARTITIONS);
    let before = cpu_of(pair);
    for round in 0..u64::from(rounds) {
        let batches = partitions.clone().zip(&fences).map(|(partition, mine)| {
            let first = round * u64::from(count) + 1;
            let mut new = batch(partition, mine, first, count);
            new.changes = vec![b'x'; CHANGE_BYTES * count as usize];
            let resident = |number: u64| {
                let name = format!("user{:012}", (first + number) % 5_000);
                (user(&name), vec![b'r'; RECORD_BYTES])
            };
            new.residents = (0..u64::from(count)).map(resident).collect();
            new
        });
        for outcome in store.commit(&batches.collect::<Vec<_>>()) {
            let copies = outcome.expect("the master takes it").copies;
            assert!(copies >= COPIES, "a batch without a copy");
        }
    }
    let changes = u64::from(rounds) * u64::from(count) * u64::from(CLUSTER_PARTITIONS);
    cpu_since(pair, before, changes as f64)
}
