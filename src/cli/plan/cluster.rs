//! The plan of a cluster, in words and in JSON. It reckons nothing.

use std::fmt::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{ClusterArguments, PlanArguments, constants_json, made_of, sysctls};
use crate::cli::numbers::{bytes, grouped};
use crate::cli::outcome::{CommandFault, print};
use crate::cli::sizing::cluster::{self, ClusterNeed, ClusterWanted, StoreNeed, TypedCluster};
use crate::cli::sizing::{self, Constant, Wanted};
use crate::node::config::Config;

/// Prints it.
pub(in crate::cli) fn plan(config: &Config, arguments: &PlanArguments) -> anyhow::Result<ExitCode> {
    let all = Wanted::new(config, arguments.connections, arguments.heartbeat);
    let ClusterArguments {
        users,
        logins,
        statuses,
        node_connections,
    } = arguments.of_cluster;
    let typed = TypedCluster {
        users,
        logins_per_second: logins,
        statuses_per_second: statuses,
        node_connections_max: node_connections,
    };
    let wanted = ClusterWanted::new(config, all, &typed);
    let Some(need) = cluster::need(&wanted) else {
        let text = "a cluster has up to 256 nodes: let each have more connections (--node-connections)";
        return Err(CommandFault::Usage(text.to_owned()).into());
    };
    print(&if arguments.json {
        format!("{:#}\n", in_json(&wanted, &need))
    } else {
        in_words(&wanted, &need)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Everything that the plan is made of.
fn constants() -> Vec<&'static Constant> {
    sizing::CONSTANTS.iter().chain(cluster::CONSTANTS).collect()
}

/// How many of the constants no run has yet.
fn awaited() -> usize {
    let awaited = |constant: &&&Constant| constant.source.starts_with("NOT MEASURED");
    constants().iter().filter(awaited).count()
}

fn in_words(wanted: &ClusterWanted, need: &ClusterNeed) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("a string takes every text");
    line(format!(
        "A cluster for {} connections that beat every {}, and {} accounts; in a busy second {:.0} logins and {:.0} statuses. One node may be lost.\n",
        grouped(wanted.all.connections),
        humantime::format_duration(wanted.all.heartbeat),
        grouped(wanted.users),
        wanted.logins_per_second,
        wanted.statuses_per_second
    ));
    if awaited() > 0 {
        line(format!(
            "NOT ALL OF IT IS MEASURED: for {} numbers something stands in, as the list below says.\n",
            awaited()
        ));
    }
    nodes(&mut line, need);
    store(&mut line, wanted, &need.store);
    line(made_of(&constants()));
    line("Not in it: the servers' disks, callbacks, and what else runs on the hosts. All nodes and servers are on hosts of their own.".to_owned());
    out
}

fn nodes(line: &mut dyn FnMut(String), need: &ClusterNeed) {
    let (node, busy) = (&need.node, need.busy);
    line(format!(
        "  nodes        {}, with {} partitions: holdfast cluster create --partitions {}",
        need.nodes, need.partitions, need.partitions
    ));
    line(format!(
        "               {} connections each, and {} when one is lost; each has room for the latter:",
        grouped(need.held),
        grouped(need.held_after_loss)
    ));
    line(format!(
        "    memory       {}; `holdfast plan --connections {}` says what for, but for {} that a node's connections take more",
        bytes(need.node_bytes),
        need.held_after_loss,
        bytes(need.node_bytes - node.host_bytes)
    ));
    line(format!(
        "    cores        {}: heartbeats keep {:.2} busy, logins and their ends {:.2}, redirects {:.2}, queries {:.2}",
        node.cores, busy.heartbeats, busy.changes, busy.redirects, busy.statuses
    ));
    line(format!(
        "    a lost node  its {} users are back {:.1} s after it is found dead, with what cores are left",
        grouped(need.held),
        need.return_seconds
    ));
    line(format!(
        "    network      {}/s of heartbeats and logins, both ways together",
        bytes(whole(need.node_bytes_per_second))
    ));
    line(format!(
        "    shards       {} with tables of {}: --set shards.count={} --set shards.connections_max={}",
        node.shards,
        grouped(node.slots),
        node.shards,
        node.slots
    ));
    line(format!(
        "    descriptors  LimitNOFILE={} in the systemd unit, or ulimit -n {}",
        node.descriptors, node.descriptors
    ));
    line("    sysctls      where the kernel has less:".to_owned());
    for (name, value) in sysctls(node) {
        line(format!("                 {name} = {value}"));
    }
}

fn store(line: &mut dyn FnMut(String), wanted: &ClusterWanted, store: &StoreNeed) {
    line(format!(
        "\n  shared store {} masters and {} replicas of Redis or Valkey, which record {:.0} changes in a busy second; each:",
        store.masters, store.replicas, store.changes_per_second
    ));
    line(format!(
        "    memory       {} for its data, as maxmemory; the host has more",
        bytes(store.server_bytes)
    ));
    line(format!(
        "    cores        2: a master keeps {:.2} busy, a replica {:.2}; what they write to disk needs the other",
        store.master_busy, store.replica_busy
    ));
    line(format!(
        "    network      {}/s at a master, in and out to its replicas",
        bytes(whole(store.master_bytes_per_second))
    ));
    line(format!(
        "               the data of all masters: {} of accounts, and {} of changes, which are kept for {} days (changes.keep_days): {} a day\n",
        bytes(store.user_bytes),
        bytes(store.change_bytes),
        wanted.changes_kept.as_secs() / 86_400,
        bytes(store.change_bytes_per_day)
    ));
    if wanted.copies == 0 {
        line("               registry.redis.copies = 0: what a lost master had last is lost, and nobody takes its place\n".to_owned());
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are positive, and far below 2^53"
)]
fn whole(rate: f64) -> u64 {
    rate.ceil() as u64
}

fn in_json(wanted: &ClusterWanted, need: &ClusterNeed) -> Value {
    let (node, busy, store) = (&need.node, need.busy, &need.store);
    let sysctls: serde_json::Map<String, Value> = sysctls(node)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    json!({
        "connections": wanted.all.connections,
        "heartbeat_seconds": wanted.all.heartbeat.as_secs_f64(),
        "users": wanted.users,
        "logins_per_second": wanted.logins_per_second,
        "statuses_per_second": wanted.statuses_per_second,
        "nodes": {
            "count": need.nodes, "partitions": need.partitions,
            "connections": need.held, "connections_after_a_loss": need.held_after_loss,
            "memory_bytes": need.node_bytes, "cores": node.cores,
            "cores_busy": { "heartbeats": busy.heartbeats, "changes": busy.changes, "redirects": busy.redirects, "statuses": busy.statuses },
            "return_seconds": need.return_seconds, "network_bytes_per_second": need.node_bytes_per_second,
            "shards": { "count": node.shards, "connections_max": node.slots },
            "descriptors": node.descriptors, "sysctls": sysctls,
        },
        "shared_store": {
            "masters": store.masters, "replicas": store.replicas, "changes_per_second": store.changes_per_second,
            "data_bytes": { "accounts": store.user_bytes, "changes": store.change_bytes, "changes_a_day": store.change_bytes_per_day },
            "memory_bytes": store.server_bytes,
            "master_cores_busy": store.master_busy, "replica_cores_busy": store.replica_busy,
            "master_network_bytes_per_second": store.master_bytes_per_second,
        },
        "not_measured_yet": awaited(),
        "constants": constants_json(&constants()),
    })
}
