//! `holdfast plan`: what a host for so many connections needs, or a cluster, from what was measured. Looks at no host: `holdfast
//! check --connections` does.

pub(super) mod cluster;

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::numbers;
use super::numbers::{bytes, grouped};
use super::outcome::print;
use super::sizing::{self, CONSTANTS, Constant, Need, Wanted};
use crate::node::config::Config;

/// What is planned.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PlanArguments {
    /// Connections at the same time: 250000, 250k, 10M.
    #[arg(long, value_parser = numbers::count)]
    connections: u64,
    /// How often each of them beats, as 120s or 2m; `presence.heartbeat_interval_s` if not given.
    #[arg(long, value_parser = heartbeat)]
    heartbeat: Option<Duration>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Plans a cluster that goes on when one of its nodes is lost, and its shared store.
    #[arg(long)]
    pub(super) cluster: bool,
    #[command(flatten)]
    of_cluster: ClusterArguments,
}

/// What a cluster is planned for.
#[derive(Debug, Clone, clap::Args)]
struct ClusterArguments {
    /// Accounts on record; three for each connection if not given.
    #[arg(long, requires = "cluster", value_parser = numbers::count)]
    users: Option<u64>,
    /// Logins in a busy second; ten a day for each connection if not given, five times as many as on the average.
    #[arg(long, requires = "cluster", value_parser = numbers::count)]
    logins: Option<u64>,
    /// Statuses that the backend asks for in a busy second; one for each ten connections if not given.
    #[arg(long, requires = "cluster", value_parser = numbers::count)]
    statuses: Option<u64>,
    /// Connections that a node may have when another one is lost. Fewer make more nodes.
    #[arg(long, requires = "cluster", default_value = "5M", value_parser = numbers::count)]
    node_connections: u64,
}

fn heartbeat(text: &str) -> Result<Duration, String> {
    let fault = "take a time from 1s to 1h, such as 120s or 2m";
    let parsed = humantime::parse_duration(text).map_err(|_| fault.to_owned())?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3_600);
    if bounds.contains(&parsed) {
        Ok(parsed)
    } else {
        Err(fault.to_owned())
    }
}

/// Prints the plan of a host.
pub(super) fn plan(config: &Config, arguments: &PlanArguments) -> anyhow::Result<ExitCode> {
    let wanted = Wanted::new(config, arguments.connections, arguments.heartbeat);
    let need = sizing::need(&wanted);
    print(&if arguments.json {
        format!("{:#}\n", in_json(&wanted, &need))
    } else {
        in_words(&wanted, &need)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Kernel parameters, and what each is to be at least.
pub(super) fn sysctls(need: &Need) -> [(&'static str, String); 5] {
    let pages = tcp_pages(need);
    [
        ("fs.file-max", need.files.to_string()),
        ("fs.nr_open", need.descriptors.to_string()),
        ("net.core.somaxconn", need.backlog.to_string()),
        ("net.ipv4.tcp_max_syn_backlog", need.backlog.to_string()),
        ("net.ipv4.tcp_mem", tcp_mem(pages)),
    ]
}

/// Pages that TCP's buffers take in a busy moment.
pub(super) fn tcp_pages(need: &Need) -> u64 {
    need.memory
        .tcp_buffers
        .div_ceil(rustix::param::page_size() as u64)
}

/// `low pressure high`: the kernel saves memory from `pressure` on, and refuses it at `high`.
pub(super) fn tcp_mem(pages: u64) -> String {
    format!("{} {pages} {}", pages * 3 / 4, pages * 3 / 2)
}

fn in_words(wanted: &Wanted, need: &Need) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("a string takes every text");
    line(format!(
        "A host for {} connections that beat every {}:\n",
        grouped(wanted.connections),
        humantime::format_duration(wanted.heartbeat)
    ));
    line(format!("  memory       {} in all", bytes(need.host_bytes)));
    for (what, part) in need.memory.parts() {
        line(format!("    {:>10}   {what}", bytes(part)));
    }
    line(format!(
        "    {:>10}   all of that; the host has more, by MEMORY_SHARE",
        bytes(need.memory.sum())
    ));
    line(format!(
        "  cores        {}: {:.0} heartbeats/s keep {:.2} busy, and logins and queries come on top",
        need.cores, need.heartbeats_per_second, need.cores_busy
    ));
    line(format!(
        "  all back     {:.0} s at the least, if all log in again on {} cores at once",
        need.all_back_seconds, need.cores
    ));
    line(format!(
        "  shards       {} with tables of {}: --set shards.count={} --set shards.connections_max={}",
        need.shards,
        grouped(need.slots),
        need.shards,
        need.slots
    ));
    line(format!(
        "  descriptors  LimitNOFILE={} in the systemd unit, or ulimit -n {}",
        need.descriptors, need.descriptors
    ));
    line("  sysctls      where the kernel has less:".to_owned());
    for (name, value) in sysctls(need) {
        line(format!("               {name} = {value}"));
    }
    line(format!("\n{}", made_of(&CONSTANTS.each_ref())));
    line("Not in it: the disk of the store, and what else runs on the host. `holdfast check --connections N` compares a host with it.".to_owned());
    out
}

/// All these numbers, and where they come from.
fn made_of(constants: &[&Constant]) -> String {
    let mut out = "It is made of:\n\n".to_owned();
    for Constant {
        name,
        value,
        unit,
        source,
    } in constants
    {
        let value = format!("{value} {unit}");
        writeln!(out, "  {name:<38} {:>13}  {source}", value.trim()).expect("a string takes every text");
    }
    out
}

/// The same for programs.
fn constants_json(constants: &[&Constant]) -> Vec<Value> {
    let one = |constant: &&Constant| json!({ "name": constant.name, "value": constant.value, "unit": constant.unit, "source": constant.source });
    constants.iter().map(one).collect()
}

fn in_json(wanted: &Wanted, need: &Need) -> Value {
    let sysctls: serde_json::Map<String, Value> = sysctls(need)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    let memory = &need.memory;
    json!({
        "connections": wanted.connections,
        "heartbeat_seconds": wanted.heartbeat.as_secs_f64(),
        "heartbeats_per_second": need.heartbeats_per_second,
        "memory_bytes": {
            "host": need.host_bytes, "sum": memory.sum(), "kernel": memory.kernel, "user": memory.user,
            "tls": memory.tls, "tcp_buffers": memory.tcp_buffers, "rings": memory.rings,
            "registry": memory.registry, "process": memory.process,
        },
        "cores": { "count": need.cores, "busy_with_heartbeats": need.cores_busy, "all_back_seconds": need.all_back_seconds },
        "shards": { "count": need.shards, "connections_max": need.slots },
        "descriptors": need.descriptors,
        "sysctls": sysctls,
        "constants": constants_json(&CONSTANTS.each_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::measured::million_run;

    const WANTED: Wanted = Wanted {
        connections: 10_000_000,
        by_tls: 0,
        heartbeat: Duration::from_secs(120),
        registry_bytes: 64 << 20,
    };

    #[test]
    fn people_read_what_to_buy_and_to_set() {
        let need = sizing::need(&WANTED);
        let text = in_words(&WANTED, &need);
        let busy = format!(
            "  cores        {}: 83333 heartbeats/s keep {:.2} busy",
            need.cores, need.cores_busy
        );
        for part in [
            "A host for 10,000,000 connections that beat every 2m:",
            &busy,
            "--set shards.count=10 ",
            "fs.file-max = 10065536",
            "KERNEL_BYTES_PER_CONNECTION",
            concat!("measured: ", million_run!()),
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn programs_read_the_same() {
        let need = sizing::need(&WANTED);
        let plan = in_json(&WANTED, &need);
        assert_eq!(plan["memory_bytes"]["kernel"], need.memory.kernel);
        assert_eq!(plan["sysctls"]["net.core.somaxconn"], "4096");
        assert_eq!(plan["constants"].as_array().unwrap().len(), CONSTANTS.len());
    }

    #[test]
    fn heartbeats_have_bounds() {
        assert_eq!(heartbeat("2m"), Ok(Duration::from_secs(120)));
        for bad in ["0s", "120", "2h", "soon", "500ms"] {
            assert!(heartbeat(bad).is_err(), "{bad}");
        }
    }
}
