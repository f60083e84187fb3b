//! Where and of what a measurement was made: the day, the commit, the machine. It only asks.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

/// The build profile of a process's program, by the folder that cargo built it into. A bench's own profile is told as
/// `release`, whose folder it shares; so is that of a gateway which `cargo bench` has built there. `unknown` is one that lies
/// elsewhere.
#[must_use]
pub(crate) fn profile(process: u32) -> String {
    let program = std::fs::read_link(format!("/proc/{process}/exe"));
    program.map_or_else(|_| UNKNOWN.to_owned(), |program| profile_at(&program))
}

fn profile_at(program: &Path) -> String {
    // Examples and benches lie one folder deeper. Cargo locks the folder of a profile by a file in it.
    let folder = program
        .ancestors()
        .skip(1)
        .take(2)
        .find(|folder| folder.join(".cargo-lock").exists());
    match folder
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy())
        .as_deref()
    {
        None => UNKNOWN.to_owned(),
        Some("debug") => "dev".to_owned(),
        Some(name) => name.to_owned(),
    }
}

/// How long this program has run, as `83 s`; nothing if the system does not tell.
#[must_use]
pub(crate) fn ran() -> Option<String> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime_s: f64 = uptime.split(' ').next()?.parse().ok()?;
    let ticks_per_s = rustix::param::clock_ticks_per_second() as f64;
    Some(format!("{:.0} s", uptime_s - started_ticks(&stat)? / ticks_per_s))
}

/// When a process began, in clock ticks since the host did. Its name may have spaces and brackets in it.
fn started_ticks(stat: &str) -> Option<f64> {
    let (_, behind) = stat.rsplit_once(") ")?;
    // The 22nd field; the state is the third.
    behind.split(' ').nth(19)?.parse().ok()
}

/// What is said of a program or a commit of which nothing is known.
pub(crate) const UNKNOWN: &str = "unknown";

/// What a commit's name ends with if the sources are not quite its own.
pub(crate) const WITH_CHANGES: &str = " with changes";

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
        none if none.is_empty() => UNKNOWN.to_owned(),
        commit if output("git", &status).is_empty() => commit,
        commit => commit + WITH_CHANGES,
    };
    json!({
        "date": output("date", &["-u", "+%F"]),
        "commit": commit,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "processor": model.trim_start_matches([' ', '\t', ':']),
        "cores": std::thread::available_parallelism().map_or(0, usize::from).to_string(),
        "profile": profile(std::process::id()),
        "memory": memory.lines().next().unwrap_or_default().replace("MemTotal:", "").trim(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_began_when_its_22nd_field_says() {
        let fields: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
        let stat = format!("7 (a) b (c)) S {}", fields.join(" "));
        assert_eq!(started_ticks(&stat), Some(22.0));
        assert_eq!(started_ticks("7 (a) S 1"), None);
        assert!(ran().unwrap().ends_with(" s"));
    }

    #[test]
    fn a_profile_is_that_of_the_folder_that_cargo_built_into() {
        let target = tempfile::TempDir::new().unwrap();
        for name in ["debug", "dist"] {
            std::fs::create_dir(target.path().join(name)).unwrap();
            std::fs::write(target.path().join(name).join(".cargo-lock"), "").unwrap();
        }
        let check = |program: &str, expected: &str| {
            assert_eq!(profile_at(&target.path().join(program)), expected, "{program}");
        };
        check("dist/holdfast", "dist");
        check("dist/deps/cost-0123", "dist");
        check("debug/holdfast", "dev");
        check("bin/holdfast", "unknown");
        check("holdfast", "unknown");
    }
}
