//! What a change costs the servers, and how many a registry records, by hand:
//! `cargo test --test shared_store -- --ignored --nocapture cost::`.

use super::base::ids::PartitionId;
use super::desk::{TestDesk, step};
use super::samples::*;
use super::servers::*;
use super::shared_store::calls::SharedStore;

/// A record and a change have about these lengths.
const RECORD_BYTES: usize = 72;
const CHANGE_BYTES: usize = 90;
const CHANGES: u64 = 32_000;

fn cpu_us(server: &RedisServer) -> f64 {
    let of = |name| server.info(name).parse::<f64>().unwrap();
    (of("used_cpu_user") + of("used_cpu_sys")) * 1e6
}

/// Commits of so many changes each, one of each of the partitions in a round.
fn measure(pair: Option<&Pair>, single: &RedisServer, count: u32) {
    let master = pair.map_or(single, |pair| &pair.master);
    let () = master.ask(&["FLUSHALL"]);
    let copies = u16::from(pair.is_some());
    let mut store = store(&[master.url()], copies);
    let fences: Vec<_> = (0..PARTITIONS)
        .map(|p| own(&mut store, PartitionId(p), "a.1"))
        .collect();
    let rounds = CHANGES / u64::from(count) / u64::from(PARTITIONS);
    let before = (cpu_us(master), pair.map(|pair| cpu_us(&pair.replica)), wall_ms());
    let mut few = 0;
    for round in 0..rounds {
        let batches = (0..PARTITIONS).zip(&fences).map(|(p, mine)| {
            let first = round * u64::from(count) + 1;
            let mut new = batch(PartitionId(p), mine, first, count);
            new.changes = vec![b'x'; CHANGE_BYTES * count as usize];
            let resident = |number: u64| {
                (
                    user(&format!("user{:012}", (first + number) % 5_000)),
                    vec![b'r'; RECORD_BYTES],
                )
            };
            new.residents = (0..u64::from(count)).map(resident).collect();
            new
        });
        for outcome in store.commit(&batches.collect::<Vec<_>>()) {
            few += u32::from(outcome.unwrap().copies < copies);
        }
    }
    let changes = (rounds * u64::from(count) * u64::from(PARTITIONS)) as f64;
    let replica = pair.map(|pair| (cpu_us(&pair.replica) - before.1.unwrap()) / changes);
    println!(
        "batch {count:2}, {copies} copies: master {:.1} µs a change, replica {:.1}, {:.0} changes/s, {few} without a copy",
        (cpu_us(master) - before.0) / changes,
        replica.unwrap_or_default(),
        changes * 1e3 / (wall_ms() - before.2) as f64,
    );
}

/// Changes through a registry, of which so many are under way: each user waits for the last change before the next.
fn measure_desk(pair: &Pair, under_way: u32) {
    let () = pair.master.ask(&["FLUSHALL"]);
    let desk = TestDesk::start(&[pair.master.url()], 1);
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
    let before = (cpu_us(&pair.master), cpu_us(&pair.replica), wall_ms());
    let batches_before = desk.figure("batches");
    let changes = (u64::from(under_way) * 500).clamp(2_000, CHANGES);
    run(changes);
    let took_ms = (wall_ms() - before.2) as f64;
    let of = |server: &RedisServer, before: f64| (cpu_us(server) - before) / changes as f64;
    let (master, replica) = (of(&pair.master, before.0), of(&pair.replica, before.1));
    desk.registry.finish();
    let batches = TestDesk::figure_of(&desk.figures, "batches") - batches_before;
    println!(
        "{under_way:5} under way: {:.0} changes/s, {:.1} a batch, {:.1} ms each; master {master:.1} µs a change, replica {replica:.1}",
        changes as f64 * 1e3 / took_ms,
        changes as f64 / batches as f64,
        took_ms * f64::from(under_way) / changes as f64,
    );
}

#[test]
#[ignore = "a measurement"]
fn what_a_registry_records_in_a_second() {
    let pair = Pair::start(&["--appendonly", "yes"]);
    for under_way in [1, 16, 64, 256, 1_024, 4_000] {
        measure_desk(&pair, under_way);
    }
}

#[test]
#[ignore = "a measurement"]
fn what_a_change_costs() {
    let everysec = ["--appendonly", "yes"];
    let single = RedisServer::start(&[]);
    for count in [1, 4, 16, 64] {
        measure(None, &single, count);
    }
    let pair = Pair::start(&everysec);
    for count in [1, 4, 16, 64] {
        measure(Some(&pair), &single, count);
    }
}
