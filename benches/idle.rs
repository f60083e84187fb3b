//! What an idle connection costs: user bytes as a slope of resident memory, kernel bytes from the slab, after one
//! heartbeat on each of 15,000 connections.

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

use common::report::Report;
use common::terminals::Terminals;
use common::{metric, rss_bytes, slab};
use serde_json::json;
use support::gateway::Gateway;

const CONNECTIONS: usize = 15_000;
const FIRST: usize = CONNECTIONS / 10;

/// What the records in memory take is not the connections'.
const REGISTRY_BYTES: &str = "holdfast_registry_bytes_now";

fn main() {
    // Huge pages would hide a slope of 2 MiB in steps of 2 MiB, and the table that the registry's map left behind when
    // it grew would be counted beside the one that it has.
    let environment = [("MIMALLOC_ALLOW_THP", "0"), ("MIMALLOC_PURGE_DELAY", "0")];
    let gateway = Gateway::start_in(
        env!("CARGO_BIN_EXE_holdfast"),
        &[("shards.count", "2"), ("registry.store", "\"memory\"")],
        &environment,
    );
    // One connection first, so that what the first one brings up is not counted.
    Terminals::log_in(gateway.terminals, "warm", 1).leave();
    let slab_before = slab::bytes().expect("/proc/slabinfo, which root may read");
    let mut first = Terminals::log_in(gateway.terminals, "first", FIRST);
    first.beat_all();
    let (rss_first, registry_first) = (rss_bytes(gateway.id()), metric(&gateway, REGISTRY_BYTES));
    let mut rest = Terminals::log_in(gateway.terminals, "rest", CONNECTIONS - FIRST);
    rest.beat_all();
    let (rss_all, registry_all) = (rss_bytes(gateway.id()), metric(&gateway, REGISTRY_BYTES));
    let pair =
        (slab::bytes().expect("/proc/slabinfo, which root may read") - slab_before) / CONNECTIONS as f64;

    let each = |first: u64, all: u64| all.saturating_sub(first) as f64 / (CONNECTIONS - FIRST) as f64;
    let (all_bytes, record_bytes) = (each(rss_first, rss_all), each(registry_first, registry_all));
    let user_bytes = all_bytes - record_bytes;
    let port = slab::port_bytes().expect("/sys/kernel/slab");
    let ports = slab::ports_bytes(port, CONNECTIONS as f64) / CONNECTIONS as f64;
    // Both ends are direct descriptors with an armed poll; only the terminals' ends have ports of their own.
    let kernel_bytes = (pair - ports) / 2.0;
    let mut report = Report::new("idle", "What an idle authenticated connection costs");
    report.line(&format!(
        "{CONNECTIONS} connections on 2 shards, one heartbeat on each, then idle; without huge pages, and with freed memory given back at once (MIMALLOC_ALLOW_THP=0 MIMALLOC_PURGE_DELAY=0).\n"
    ));
    report.line(&format!(
        "- user bytes per connection, (RSS at {CONNECTIONS} − RSS at {FIRST}) ÷ {}: {user_bytes:.0}",
        CONNECTIONS - FIRST
    ));
    report.line(&format!("- slab bytes per connection, both ends: {pair:.0}"));
    report.line(&format!("- of it the port of the terminal's end: {ports:.0}"));
    report.line(&format!(
        "- kernel bytes per connection on the gateway's side: {kernel_bytes:.0}\n"
    ));
    report.data(
        json!({ "rss_bytes": all_bytes, "record_bytes": record_bytes, "user_bytes": user_bytes, "pair_slab_bytes": pair, "port_slab_bytes": ports,
        "rss_first": rss_first, "rss_all": rss_all }),
    );
    report.claim("user bytes per idle connection", user_bytes);
    report.claim("kernel bytes per idle connection", kernel_bytes);
    report.write();
}
