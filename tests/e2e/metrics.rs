//! What an operator sees: the metrics' form and figures, `holdfast top`, `plan` and `check`, from the real binary.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use holdfast::protocol::native::proto::{self, Code, Platform};
use serde_json::Value;

use crate::gateway;
use crate::support::exposition::{self, Family, value};
use crate::support::gateway::Gateway;
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login};

fn metrics(gateway: &Gateway, http: &Http) -> (String, BTreeMap<String, Family>) {
    let (status, text) = http.get(gateway.admin, "/metrics");
    assert_eq!(status, 200);
    let families = exposition::read(&text);
    let families = families.unwrap_or_else(|fault| panic!("{fault} in\n{text}"));
    (text, families)
}

/// A shard publishes what it has counted at the end of its turn, behind its answers: what is expected is asked for again.
fn await_metrics(
    gateway: &Gateway,
    http: &Http,
    expected: impl Fn(&BTreeMap<String, Family>) -> bool,
) -> (String, BTreeMap<String, Family>) {
    for _ in 0..2_000 {
        let (text, families) = metrics(gateway, http);
        if expected(&families) {
            return (text, families);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("what is expected does not come:\n{}", metrics(gateway, http).0);
}

/// A value that must be there.
fn figure(families: &BTreeMap<String, Family>, name: &str, labels: &[(&str, &str)]) -> f64 {
    value(families, name, labels).unwrap_or_else(|| panic!("{name} {labels:?} is missing"))
}

/// What promtool says of a text, if the machine has it.
fn promtool(text: &str) -> Option<Output> {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[test]
fn metrics_tell_what_happened() {
    let settings = [
        ("shards.count", "2"),
        ("presence.policy", "\"single\""),
        ("callback.url", "\"http://127.0.0.1:1/callback\""),
    ];
    let gateway = gateway(&settings);
    let http = Http::default();
    let (mut phone, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    let (mut web, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Web, 2));
    phone.expect_force_offline();
    web.beat();
    let (away, _) = Terminal::logged_in(gateway.terminals, login("bob", Platform::Android, 3));
    drop(away);
    http.await_status(gateway.http, "bob", "PushOnline");
    let wrong = proto::Login {
        user_sig: String::new(),
        ..login("carol", Platform::Mac, 4)
    };
    let (_, refused) = Terminal::log_in(gateway.terminals, wrong);
    assert_eq!(refused.verdict.unwrap().code(), Code::UsersigEmpty);

    let (text, families) = await_metrics(&gateway, &http, |families| {
        let changes = value(families, "holdfast_changes_total", &[]);
        let answered = families["holdfast_logins_total"].samples.iter();
        let heartbeats = value(families, "holdfast_heartbeats_total", &[]);
        let answered: f64 = answered.map(|(.., value)| value).sum();
        // The registry counts a commit behind its answer, too.
        let commits = value(families, "holdfast_registry_commit_seconds_count", &[]);
        (changes, answered, heartbeats, commits) == (Some(4.0), 4.0, Some(1.0), Some(4.0))
    });
    let figure = |name: &str, labels: &[(&str, &str)]| figure(&families, name, labels);
    let live = |class| {
        figure(
            "holdfast_connections_live_now",
            &[("class", class), ("transport", "tcp")],
        )
    };
    assert_eq!([live("mobile"), live("desktop"), live("web")], [0.0, 0.0, 1.0]);
    assert_eq!(figure("holdfast_users_online_now", &[]), 1.0);
    assert_eq!(figure("holdfast_users_push_online_now", &[]), 1.0);
    assert_eq!(figure("holdfast_devices_push_online_now", &[]), 1.0);
    assert_eq!(figure("holdfast_logins_total", &[("code", "OK")]), 3.0);
    assert_eq!(figure("holdfast_logins_total", &[("code", "USERSIG_EMPTY")]), 1.0);
    assert_eq!(
        figure("holdfast_changes_by_kind_total", &[("kind", "login")]),
        3.0
    );
    assert_eq!(
        figure("holdfast_changes_by_kind_total", &[("kind", "link-end")]),
        1.0
    );
    assert_eq!(figure("holdfast_changes_total", &[]), 4.0);
    assert_eq!(figure("holdfast_forced_off_total", &[]), 1.0);
    assert_eq!(figure("holdfast_heartbeats_total", &[]), 1.0);
    assert_eq!(figure("holdfast_registry_commits_total", &[]), 4.0);
    assert_eq!(figure("holdfast_registry_commit_seconds_count", &[]), 4.0);
    assert!(figure("holdfast_registry_commit_seconds_sum", &[]) > 0.0);
    assert!(figure("holdfast_http_query_seconds_count", &[]) >= 1.0);
    let turns: f64 = ["0", "1"]
        .iter()
        .map(|shard| figure("holdfast_shard_turn_seconds_count", &[("shard", shard)]))
        .sum();
    assert_eq!(figure("holdfast_turn_seconds_count", &[]), turns);
    assert!(turns > 0.0);
    for part in ["user", "kernel", "tls"] {
        figure("holdfast_bytes_per_connection", &[("part", part)]);
    }
    assert!(figure("process_resident_memory_bytes", &[]) > 1e6);
    // Nobody listens there: whatever is under way has an age.
    figure("holdfast_callbacks_oldest_age_seconds", &[]);
    if let Some(said) = promtool(&text) {
        assert!(said.status.success(), "{said:?}");
    }
    // What was summed is the sum of the shards.
    let family = &families["holdfast_shard_logins_total"];
    let sum: f64 = family.samples.iter().map(|(.., value)| value).sum();
    assert_eq!(sum, 4.0);
}

/// The names, types and descriptions of client_golang, and the threads of other official clients.
const OF_PROCESSES: [(&str, &str, &str); 7] = [
    (
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds.",
    ),
    (
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
    ),
    ("process_open_fds", "gauge", "Number of open file descriptors."),
    (
        "process_max_fds",
        "gauge",
        "Maximum number of open file descriptors.",
    ),
    (
        "process_virtual_memory_bytes",
        "gauge",
        "Virtual memory size in bytes.",
    ),
    (
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory size in bytes.",
    ),
    ("process_threads", "gauge", "Number of OS threads in the process."),
];

#[test]
fn the_process_is_told_as_other_clients_of_prometheus_do() {
    let before = std::time::SystemTime::now();
    let gateway = gateway(&[]);
    let (_, families) = metrics(&gateway, &Http::default());
    for (name, kind, help) in OF_PROCESSES {
        let family = &families[name];
        assert_eq!((&*family.kind, &*family.help), (kind, help), "{name}");
        assert_eq!(family.samples.len(), 1, "{name}");
    }
    let figure = |name: &str| figure(&families, name, &[]);
    let of_unix =
        |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    // The kernel tells the second in which it was started, and ticks from there.
    let second = 1.0;
    let started = figure("process_start_time_seconds");
    let now = of_unix(std::time::SystemTime::now());
    assert!(
        of_unix(before) - second <= started && started <= now + second,
        "{started} {now}"
    );
    // Of the shards, the registry, the front and the signals.
    assert!(figure("process_threads") >= 4.0);
    assert!((3.0..=figure("process_max_fds")).contains(&figure("process_open_fds")));
    let (resident, virtually) = (
        figure("process_resident_memory_bytes"),
        figure("process_virtual_memory_bytes"),
    );
    assert!(1e6 < resident && resident < virtually, "{resident} {virtually}");
    let build = &families["holdfast_build_info"].samples;
    let labels: Vec<&String> = build[0].1.keys().collect();
    assert_eq!(labels, ["commit", "profile", "version"]);
    assert_eq!(build[0].1["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_descriptors_that_are_told_are_those_that_others_see() {
    let (gateway, http) = (gateway(&[]), Http::default());
    let folder = format!("/proc/{}/fd", gateway.id());
    // The store may open a file in between.
    await_metrics(&gateway, &http, |families| {
        let seen = std::fs::read_dir(&folder).unwrap().count();
        figure(families, "process_open_fds", &[]) == seen as f64
    });
}

fn holdfast(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_holdfast");
    Command::new(program).args(arguments).output().expect("it runs")
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn top_shows_an_interval_as_lines() {
    let gateway = gateway(&[("shards.count", "2")]);
    let (mut terminal, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Mac, 1));
    terminal.beat();
    let admin = format!("admin.listen=[\"{}\"]", gateway.admin);
    let output = holdfast(&["top", "--once", "--interval", "100ms", "--set", &admin]);
    let text = said(&output);
    assert!(output.status.success(), "{output:?}");
    for part in [
        "connections  1 (logged in: mobile 0, desktop 1, web 0)",
        "registry",
        "pressure",
        "turn p50",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let firsts: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(firsts.ends_with(&["shard", "all", "0", "1"]), "{text}");
    drop(gateway);
    let output = holdfast(&["top", "--once", "--set", &admin]);
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("is the gateway running?"),
        "{output:?}"
    );
}

#[test]
fn plan_says_what_a_host_needs() {
    let output = holdfast(&["plan", "--connections", "10M", "--heartbeat", "120s", "--json"]);
    let plan: Value = serde_json::from_str(&said(&output)).unwrap();
    assert_eq!(plan["connections"], 10_000_000);
    let kernel = plan["memory_bytes"]["kernel"].as_u64().unwrap();
    assert_eq!(
        kernel,
        10_000_000 * holdfast::base::measured::IDLE_CONNECTION_KERNEL_BYTES
    );
    assert!(
        plan["constants"]
            .as_array()
            .unwrap()
            .iter()
            .all(|constant| constant["source"].is_string())
    );
    let words = said(&holdfast(&["plan", "--connections", "250k"]));
    assert!(
        words.contains("250,000 connections that beat every 2m"),
        "{words}"
    );
    for (connections, heartbeat) in [("ten", "1m"), ("0", "1m"), ("1k", "0s")] {
        let output = holdfast(&["plan", "--connections", connections, "--heartbeat", heartbeat]);
        assert_eq!(output.status.code(), Some(2), "{connections} {heartbeat}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("take a "),
            "{output:?}"
        );
    }
}

#[test]
fn plan_says_what_a_cluster_needs() {
    let words = [
        "plan",
        "--cluster",
        "--connections",
        "10M",
        "--logins",
        "6000",
        "--json",
    ];
    let plan: Value = serde_json::from_str(&said(&holdfast(&words))).unwrap();
    assert_eq!(plan["users"], 30_000_000);
    assert_eq!(plan["shared_store"]["changes_per_second"], 12_000.0);
    let nodes = plan["nodes"]["count"].as_u64().unwrap();
    let after_a_loss = plan["nodes"]["connections_after_a_loss"].as_u64().unwrap();
    assert!((nodes - 1) * after_a_loss >= 10_000_000, "{plan}");
    let constants = plan["constants"].as_array().unwrap();
    let awaited = |constant: &&Value| constant["source"].as_str().unwrap().starts_with("NOT MEASURED");
    assert_eq!(plan["not_measured_yet"], constants.iter().filter(awaited).count());
    let words = said(&holdfast(&["plan", "--cluster", "--connections", "100M"]));
    for part in [
        "100,000,000 connections",
        "holdfast cluster create --partitions 1024",
        "masters and",
    ] {
        assert!(words.contains(part), "{part} is missing in\n{words}");
    }
    for (typed, why) in [
        (&["--users", "1M"][..], "--cluster"),
        (&["--cluster", "--node-connections", "10k"], "--node-connections"),
    ] {
        let output = holdfast(&[&["plan", "--connections", "100M"], typed].concat());
        assert_eq!(output.status.code(), Some(2), "{typed:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn check_compares_the_host_with_so_many_connections() {
    // Ports that nobody listens on: what is looked at besides them depends on the host.
    let [terminals, http, admin] = crate::support::gateway::free_addresses();
    let sets = [("terminals", terminals), ("http", http), ("admin", admin)]
        .map(|(name, address)| format!("{name}.listen=[\"{address}\"]"));
    let with = |connections: &str| {
        let mut arguments = vec!["check", "--connections", connections];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        let output = holdfast(&arguments);
        (output.status.success(), said(&output))
    };
    let (good, few) = with("100");
    assert!(
        few.contains("fs.file-max: found ") && few.contains("memory: found "),
        "{few}"
    );
    assert_eq!(good, !few.contains("PROBLEM"), "{few}");
    // No host has memory for a billion.
    let (good, many) = with("1000M");
    assert!(!good && many.contains("PROBLEM  memory: found "), "{many}");
    assert!(many.contains("; do: "), "{many}");
}
