//! What a login costs that is durable before it is answered: CPU of all the gateway's threads per login with the store
//! included, and how many there are in a second when the load generator shares the cores; beside the records in memory, and the
//! relaxed durability.

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

use std::time::Instant;

use common::report::Report;
use common::terminals::Terminals;
use common::{Spread, cpu_ns, metric, wait_for_metric};
use serde_json::json;
use support::gateway::Gateway;
use tempfile::TempDir;

const ROUNDS: usize = 5;
/// Threads that log terminals in, each with up to this many at once.
const GENERATORS: usize = 2;
const LOGINS_AT_ONCE: u32 = 256;
/// Logins of a round.
const LOGINS: usize = 16_000;

/// One way to keep records, and what its logins cost in each round.
struct Way {
    name: &'static str,
    gateway: Gateway,
    cpu_us: Vec<f64>,
    per_second: Vec<f64>,
}

fn main() {
    let folders = [(); 2].map(|()| TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder"));
    let path = |place: usize| format!("{:?}", folders[place].path());
    let mut ways = [
        start("durable (commit)", &[("registry.path", &path(0))]),
        start(
            "relaxed",
            &[
                ("registry.path", &path(1)),
                ("registry.durability", "\"relaxed\""),
            ],
        ),
        start("in memory", &[("registry.store", "\"memory\"")]),
    ];
    for round in 0..ROUNDS {
        println!("round {} of {ROUNDS}", round + 1);
        for way in &mut ways {
            measure(way, round);
        }
    }
    report(&ways);
}

fn start(name: &'static str, settings: &[(&str, &str)]) -> Way {
    let more = [("shards.count", "2"), ("limits.logins_per_user_max", "1000000")];
    let settings = [settings, &more].concat();
    Way {
        name,
        gateway: Gateway::start(env!("CARGO_BIN_EXE_holdfast"), &settings),
        cpu_us: Vec::new(),
        per_second: Vec::new(),
    }
}

fn measure(way: &mut Way, round: usize) {
    let gateway = &way.gateway;
    let (before, start) = (cpu_ns(gateway.id()), Instant::now());
    let generators = Terminals::log_in_by_threads(
        gateway.terminals,
        &format!("user{round}"),
        (GENERATORS, LOGINS / GENERATORS),
        LOGINS_AT_ONCE,
    );
    let took = start.elapsed();
    let cpu_us = (cpu_ns(gateway.id()) - before) as f64 / LOGINS as f64 / 1_000.0;
    way.cpu_us.push(cpu_us);
    way.per_second.push(LOGINS as f64 / took.as_secs_f64());
    generators.into_iter().for_each(Terminals::leave);
    // What their going costs is not the next round's.
    wait_for_metric(gateway, "holdfast_devices_online_now", |online| online == 0);
}

fn report(ways: &[Way]) {
    let mut report = Report::new("durable", "What a durable login costs");
    report.line(&format!(
        "{LOGINS} first logins of users a round, {ROUNDS} rounds, {GENERATORS} load generators with {LOGINS_AT_ONCE} logins at once each, 2 shards; the load generators and the gateway share the cores. CPU of all threads of the gateway; median (smallest to largest).\n"
    ));
    report.line("| records | µs of CPU per login | logins per second | commits per write |\n| --- | --- | --- | --- |");
    for way in ways {
        let commits = metric(&way.gateway, "holdfast_registry_commits_total") as f64;
        let batches = metric(&way.gateway, "holdfast_registry_batches_total") as f64;
        let each = if batches > 0.0 {
            format!("{:.1}", commits / batches)
        } else {
            "no writes".to_owned()
        };
        report.line(&format!(
            "| {} | {} | {} | {each} |",
            way.name,
            Spread::of(&way.cpu_us),
            Spread::of(&way.per_second),
        ));
        report.data(
            json!({ "records": way.name, "cpu_us": way.cpu_us, "per_second": way.per_second,
            "commits": commits, "writes": batches }),
        );
    }
    report.line("");
    let durable = &ways[0];
    report.claim("µs of CPU per durable login", Spread::of(&durable.cpu_us).median);
    report.claim(
        "durable logins per second",
        Spread::of(&durable.per_second).median,
    );
    report.write();
}
