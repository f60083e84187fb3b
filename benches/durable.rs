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

use common::crowd::{Crowd, Signer, user};
use common::report::Report;
use common::{Spread, cpu_ns, metric, wait_for_metric};
use holdfast::node::config::DEVELOPMENT_SECRET;
use serde_json::json;
use support::gateway::{Gateway, SDK_APP_ID};
use tempfile::TempDir;

const ROUNDS: usize = 5;
/// Threads that log terminals in, each with up to this many at once.
const GENERATORS: usize = 2;
const LOGINS_AT_ONCE: usize = 256;
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
    let mut signer = Signer::new(SDK_APP_ID, DEVELOPMENT_SECRET);
    for round in 0..ROUNDS {
        println!("round {} of {ROUNDS}", round + 1);
        let first = round * LOGINS;
        let logins: Vec<Vec<u8>> = (first..first + LOGINS)
            .map(|number| signer.login(&user(number)))
            .collect();
        for way in &mut ways {
            measure(way, &logins);
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

fn measure(way: &mut Way, logins: &[Vec<u8>]) {
    let gateway = &way.gateway;
    let (before, start) = (cpu_ns(gateway.id()), Instant::now());
    let crowds: Vec<Crowd> = std::thread::scope(|scope| {
        let crowd =
            |logins| scope.spawn(move || Crowd::log_in_many(gateway.terminals, logins, LOGINS_AT_ONCE));
        let crowds: Vec<_> = logins.chunks(LOGINS / GENERATORS).map(crowd).collect();
        let crowds = crowds
            .into_iter()
            .map(|crowd| crowd.join().expect("it logged in"));
        crowds.collect()
    });
    let took = start.elapsed();
    let cpu_us = (cpu_ns(gateway.id()) - before) as f64 / logins.len() as f64 / 1_000.0;
    way.cpu_us.push(cpu_us);
    way.per_second.push(logins.len() as f64 / took.as_secs_f64());
    crowds.into_iter().for_each(Crowd::leave);
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
