//! What a change costs the servers, by hand: `cargo test --test shared_store -- --ignored --nocapture what_a_change`.

use super::base::ids::PartitionId;
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
