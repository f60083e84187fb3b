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

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use common::crowd::{Crowd, Signer, user};
use common::report::Report;
use common::{metric, rss_bytes, slab};
use holdfast::node::config::DEVELOPMENT_SECRET;
use serde_json::json;
use support::gateway::{Gateway, SDK_APP_ID};

const CONNECTIONS: usize = 15_000;
const FIRST: usize = CONNECTIONS / 10;
/// Connections of the bare pairs that tell what the far end costs.
const BARE: usize = 4_000;

/// What the records in memory take is not the connections'.
const REGISTRY_BYTES: &str = "holdfast_registry_bytes_now";

fn main() {
    let far_end = bytes_of_a_client_end();
    // Huge pages would hide a slope of 2 MiB in steps of 2 MiB, and the table that the registry's map left behind when
    // it grew would be counted beside the one that it has.
    let environment = [("MIMALLOC_ALLOW_THP", "0"), ("MIMALLOC_PURGE_DELAY", "0")];
    let gateway = Gateway::start_in(
        env!("CARGO_BIN_EXE_holdfast"),
        &[("shards.count", "2"), ("registry.store", "\"memory\"")],
        &environment,
    );
    let mut signer = Signer::new(SDK_APP_ID, DEVELOPMENT_SECRET);
    let logins: Vec<Vec<u8>> = (0..CONNECTIONS)
        .map(|number| signer.login(&user(number)))
        .collect();

    // One connection first, so that what the first one brings up is not counted.
    Crowd::log_in(gateway.terminals, &[signer.login("warm")]).leave();
    let slab_before = slab::bytes().expect("/proc/slabinfo, which root may read");
    let mut first = Crowd::log_in(gateway.terminals, &logins[..FIRST]);
    first.beat_all();
    let (rss_first, registry_first) = (rss_bytes(gateway.id()), metric(&gateway, REGISTRY_BYTES));
    let mut rest = Crowd::log_in(gateway.terminals, &logins[FIRST..]);
    rest.beat_all();
    let (rss_all, registry_all) = (rss_bytes(gateway.id()), metric(&gateway, REGISTRY_BYTES));
    let pair =
        (slab::bytes().expect("/proc/slabinfo, which root may read") - slab_before) / CONNECTIONS as f64;

    let each = |first: u64, all: u64| all.saturating_sub(first) as f64 / (CONNECTIONS - FIRST) as f64;
    let (all_bytes, record_bytes) = (each(rss_first, rss_all), each(registry_first, registry_all));
    let user_bytes = all_bytes - record_bytes;
    let kernel_bytes = pair - far_end;
    let mut report = Report::new("idle", "What an idle authenticated connection costs");
    report.line(&format!(
        "{CONNECTIONS} connections on 2 shards, one heartbeat on each, then idle; without huge pages, and with freed memory given back at once (MIMALLOC_ALLOW_THP=0 MIMALLOC_PURGE_DELAY=0).\n"
    ));
    report.line(&format!(
        "- user bytes per connection, (RSS at {CONNECTIONS} − RSS at {FIRST}) ÷ {}: {user_bytes:.0}",
        CONNECTIONS - FIRST
    ));
    report.line(&format!("- slab bytes per connection, both ends: {pair:.0}"));
    report.line(&format!(
        "- slab bytes of the client's end (half of {BARE} bare pairs, plus its share of {CONNECTIONS} ports): {far_end:.0}"
    ));
    report.line(&format!(
        "- kernel bytes per connection on the gateway's side: {kernel_bytes:.0}\n"
    ));
    report.data(
        json!({ "rss_bytes": all_bytes, "record_bytes": record_bytes, "user_bytes": user_bytes, "pair_slab_bytes": pair, "bare_end_slab_bytes": far_end,
        "rss_first": rss_first, "rss_all": rss_all }),
    );
    report.claim("user bytes per idle connection", user_bytes);
    report.claim("kernel bytes per idle connection", kernel_bytes);
    report.write();
}

/// Slab memory of the client's end of a plain connection. Both ends are the same but for the port that only the
/// client's takes: half of a pair without its port, and a share of the load generator's ports. The pairs have one address, so each
/// takes a port of its own; the load generator has many addresses, which share ports.
fn bytes_of_a_client_end() -> f64 {
    let port = slab::port_bytes().expect("/sys/kernel/slab");
    let connections = CONNECTIONS as f64;
    (bytes_of_a_bare_pair() - port.first) / 2.0 + slab::ports_bytes(port, connections) / connections
}

fn bytes_of_a_bare_pair() -> f64 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let before = slab::bytes().expect("/proc/slabinfo, which root may read");
    let pairs: Vec<(TcpStream, TcpStream)> = (0..BARE)
        .map(|_| {
            let near = TcpStream::connect(address).expect("connected");
            (near, listener.accept().expect("accepted").0)
        })
        .collect();
    let after = slab::bytes().expect("/proc/slabinfo, which root may read");
    drop(pairs);
    (after - before) / BARE as f64
}
