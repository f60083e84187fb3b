//! Where and of what a measurement was made: the day, the commit, the machine. It only asks.

use std::process::Command;

use serde_json::{Value, json};

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

/// The date in UTC, as `2026-11-24`.
#[must_use]
pub(crate) fn today() -> String {
    output("date", &["-u", "+%F"])
}

/// What every report says of its origin: texts by name. The commit is that of the folder that this runs in.
#[must_use]
pub(crate) fn facts() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let memory = read("/proc/meminfo");
    let sources = ["src", "proto", "benches", "Cargo.toml", "Cargo.lock"];
    let status = [&["status", "--porcelain", "--"], sources.as_slice()].concat();
    let commit = match output("git", &["rev-parse", "--short", "HEAD"]) {
        none if none.is_empty() => "unknown".to_owned(),
        commit if output("git", &status).is_empty() => commit,
        commit => commit + " with changes",
    };
    json!({
        "date": today(),
        "commit": commit,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "processor": model.trim_start_matches([' ', '\t', ':']),
        "cores": std::thread::available_parallelism().map_or(0, usize::from).to_string(),
        "memory": memory.lines().next().unwrap_or_default().replace("MemTotal:", "").trim(),
    })
}
