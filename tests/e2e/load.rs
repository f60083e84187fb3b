//! The load generator finds the gateway as it should be, says so by its exit code, and leaves its figures.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::gateway;

/// Runs a scenario with a gateway of its own. Gives the checks that were made.
fn check(scenario: &str, words: &str) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-load"));
    command.args(words.split(' ')).arg("--results").arg(folder.path());
    let output = command.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words}\n{out}\n{errors}");
    let names = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    let name = format!("load-{scenario}");
    assert_eq!(
        names,
        ["README.md", &name],
        "the index, and one folder without a date"
    );
    let index = std::fs::read_to_string(folder.path().join("README.md")).unwrap();
    assert!(index.contains(&format!("\n## {name}\n")), "{index}");
    let results = folder.path().join(name);
    let data = std::fs::read_to_string(results.join("data.json")).unwrap();
    let data: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(data["scenario"], scenario);
    assert_eq!(data["holds"], true);
    assert!(data["machine"]["kernel"].is_string());
    // Both are built by the test run, into the same folder.
    let profile = data["machine"]["profile"].as_str();
    assert!(profile.is_some_and(|profile| profile != "unknown"), "{profile:?}");
    assert_eq!(
        data["machine"]["profile"],
        data["machine"]["profile of the gateway"]
    );
    assert!(!data["figures"].as_array().unwrap().is_empty());
    let readme = std::fs::read_to_string(results.join("README.md")).unwrap();
    let typed = format!("command: `holdfast-load {words} --results ");
    // A page breaks its lines.
    let words_of_page: Vec<&str> = readme.split_whitespace().collect();
    assert!(words_of_page.join(" ").contains(&typed), "{readme}");
    let checks = data["checks"].as_array().unwrap().iter();
    checks
        .map(|check| check["what"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn idle_connections_are_held_and_nothing_happens() {
    let words = "idle --connections 500 --hold 2s --interval 1s";
    let checks = check("idle-500", words);
    assert!(checks.iter().any(|check| check == "heartbeats without an answer"));
    assert!(checks.iter().any(|check| check == "time-outs recorded"));
}

#[test]
fn messages_arrive_as_their_outcomes_say() {
    let words = "relay --connections 500 --clients 2 --rate 50 --beats 50 --rounds 1 --duration 500ms";
    let checks = check("relay", words);
    for what in [
        "one to one",
        "one to one, acknowledged",
        "one to 500, acknowledged",
        "paced at 50/s",
    ] {
        let arrived = format!("messages, {what}: arrived, by the terminals");
        assert!(checks.contains(&arrived), "{arrived}: {checks:?}");
    }
}

#[test]
fn who_comes_and_goes_in_every_way_is_shown_as_they_are() {
    let words = "churn --connections 400 --hold 3s --rate 100";
    let checks = check("churn", words);
    assert!(
        checks
            .iter()
            .any(|check| check.contains("compared with the terminals"))
    );
}

#[test]
fn everyone_comes_back_after_a_kill_and_after_a_cut() {
    let checks = check("return", "return --connections 300");
    assert!(
        checks
            .iter()
            .any(|check| check == "changes recorded since the kill")
    );
    let checks = check("return-links", "return --connections 300 --links");
    assert!(checks.iter().any(|check| check.contains("one link end")));
}

/// The kill of a node with the shortest times that settings allow.
const NODE_LOSS: &str = "return --kill-node --connections 300 --set cluster.lease_s=3 --set cluster.hold_s=0 --set presence.restart_grace_s=30";

#[test]
fn users_of_a_node_that_is_killed_come_back_elsewhere() {
    let checks = check("return-kill-node", NODE_LOSS);
    for expected in [
        "sessions that were kept",
        "changes in the shared store since the kill",
        "callbacks since everyone had logged in",
    ] {
        assert!(checks.iter().any(|check| check == expected), "{checks:?}");
    }
}

#[test]
fn users_of_a_node_that_is_killed_and_started_again_come_back() {
    let words = format!("{NODE_LOSS} --restart-in-place");
    let checks = check("return-kill-node-in-place", &words);
    for expected in [
        "sessions that were kept",
        "terminals follow the users of the node that was drained",
        "terminals that are logged in after the drain",
        "changes in the shared store since the kill",
    ] {
        assert!(checks.iter().any(|check| check == expected), "{checks:?}");
    }
}

#[test]
fn users_who_have_changes_when_a_node_is_killed_fail_the_run() {
    let (folder, logs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-load"));
    // A run that fails keeps its logs.
    command.env("TMPDIR", logs.path());
    command.args(NODE_LOSS.split_whitespace());
    // Nobody beats while the grace passes.
    for timeout in ["heartbeat_timeout_mobile_s", "heartbeat_timeout_desktop_s"] {
        command.args(["--set", &format!("presence.{timeout}=15")]);
    }
    command.args(["--set", "presence.heartbeat_interval_s=5", "--results"]);
    let output = command.arg(folder.path()).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{out}\n{errors}");
    for what in [
        "changes in the shared store since the kill",
        "callbacks since everyone had logged in",
    ] {
        let line = out.lines().find(|line| line.starts_with(&format!("- {what}: ")));
        assert!(
            line.is_some_and(|line| line.ends_with("expected 0: **FAILED**")),
            "{out}"
        );
    }
}

#[test]
fn a_cluster_is_the_runs_own() {
    let (folder, logs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for (words, why) in [
        (
            "--gateway 127.0.0.1:1 --http 127.0.0.1:2 --admin 127.0.0.1:3 --pid 4",
            "leave --gateway away",
        ),
        ("--set registry.store=\"memory\"", "needs a shared store"),
        ("--set cluster.hold_s=60", "presence.restart_grace_s"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-load"));
        command.args(["return", "--kill-node"]).args(words.split(' '));
        command.env("TMPDIR", logs.path());
        let output = command.arg("--results").arg(folder.path()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(why), "{errors}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no results");
}

#[test]
fn logins_heartbeats_and_queries_are_counted_on_both_sides() {
    for scenario in ["login", "beat", "query"] {
        let words = format!("{scenario} --rounds 1 --duration 300ms --connections 600");
        check(scenario, &words);
    }
}

/// A few terminals in each scenario, by this way.
fn check_wrapped(typed: &str, suffix: &str) {
    let idle = format!("idle --connections 100 --hold 1s --interval 1s {typed}");
    check(&format!("idle{suffix}-100"), &idle);
    for scenario in ["login", "beat"] {
        let words = format!("{scenario} --rounds 1 --duration 200ms --connections 100 {typed}");
        check(&format!("{scenario}{suffix}"), &words);
    }
    let churn = format!("churn --connections 200 --hold 3s --rate 100 {typed}");
    check(&format!("churn{suffix}"), &churn);
    check(
        &format!("return{suffix}"),
        &format!("return --connections 100 {typed}"),
    );
}

#[test]
fn terminals_come_by_tls() {
    check_wrapped("--tls", "-tls");
}

#[test]
fn terminals_come_by_websocket() {
    check_wrapped("--websocket", "-websocket");
}

#[test]
fn terminals_come_by_websocket_within_tls_with_tickets() {
    check_wrapped("--tls --tls-resume --websocket", "-tls-resume-websocket");
}

#[test]
fn what_tls_adds_is_measured_in_turns() {
    let words = "tls-cost --connections 100 --rounds 1 --duration 200ms";
    let checks = check("tls-cost", words);
    assert!(
        checks
            .iter()
            .any(|check| check.starts_with("handshakes by a ticket, TLS, resumed"))
    );
}

#[test]
fn a_storm_of_handshakes_loses_nobody() {
    let words = "handshakes --connections 50 --storm 150 --rate 100 --before 500ms";
    let checks = check("handshakes", words);
    assert!(
        checks
            .iter()
            .any(|check| check == "terminals that were there, and still are")
    );
}

#[test]
fn who_comes_and_goes_in_a_storm_is_nobody_who_is_asked_for() {
    let words = "query --connections 600 --storm 200 --rounds 1 --duration 300ms";
    let checks = check("query-storm", words);
    assert!(checks.iter().any(|check| check == "visits in the storm"));
}

#[test]
fn each_step_of_a_growing_number_of_terminals_is_checked_at_a_gateway_of_its_own() {
    let words = "grow --steps 60,200 --window 8 --rounds 2 --duration 300ms";
    let checks = check("grow", words);
    let whats = [
        "logins answered well",
        "changes recorded",
        "the gateway stops well",
    ];
    for what in whats {
        let of_step = |step: u32| format!("{what}, {step} connections");
        for expected in [of_step(60), of_step(200)] {
            assert_eq!(
                checks.iter().filter(|check| **check == expected).count(),
                1,
                "{expected}"
            );
        }
    }
}

#[test]
fn each_size_of_a_growing_cluster_is_checked_with_a_shared_store_of_its_own() {
    let words = "grow-cluster --sizes 1x1,2x2 --connections 500 --window 32 --rounds 1 --duration 300ms";
    let checks = check("grow-cluster", words);
    for what in ["changes in the shared store", "the gateway stops well"] {
        for size in ["1 node, 1 master", "2 nodes, 2 masters"] {
            let expected = format!("{what}, {size}");
            assert_eq!(
                checks.iter().filter(|check| **check == expected).count(),
                1,
                "{expected}"
            );
        }
    }
    let expected = "terminals are sent on, 2 nodes, 2 masters";
    assert!(checks.iter().any(|check| check == expected), "{checks:?}");
}

#[test]
fn the_servers_and_the_load_generator_are_apart_where_that_may_be() {
    if !cfg!(feature = "peers") {
        println!("skipped: it needs the feature `peers`");
        return;
    }
    let may = Command::new("unshare")
        .args(["--net", "--mount", "true"])
        .output();
    if !may.is_ok_and(|may| may.status.success()) || cores() < 2 {
        println!("skipped: it takes the right to make namespaces, and two cores");
        return;
    }
    let words = "versus --peer echo --apart --connections 200 --rounds 1 --duration 300ms";
    let checks = check("versus-echo-apart", words);
    let cores = [
        "cores of the servers",
        "cores of the load generator's threads",
        "what takes what arrives at loopback",
    ];
    for expected in cores {
        assert!(checks.iter().any(|check| check == expected), "{checks:?}");
    }
}

#[test]
fn what_cannot_run_apart_says_why_and_starts_nothing() {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-load"));
    command
        .args(["versus", "--apart", "--results"])
        .arg(folder.path());
    let output = command.env("PATH", "/nowhere").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let reason = match cores() {
        1 => "need a core each",
        _ => "install util-linux",
    };
    assert!(
        errors.contains("this cannot run apart: ") && errors.contains(reason),
        "{errors}"
    );
    assert!(output.stdout.is_empty(), "nothing was run");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no results");
}

#[test]
fn a_run_that_would_replace_the_figures_of_another_command_is_refused() {
    let folder = TempDir::new().unwrap();
    let figures = folder.path().join("bench-results/load-beat");
    std::fs::create_dir_all(&figures).unwrap();
    std::fs::write(figures.join("data.json"), "{}").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-load"));
    let output = command
        .args("beat --connections 10 --rounds 1 --duration 100ms".split(' '))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("bench-results/load-beat has the figures of `holdfast-load beat`"),
        "{errors}"
    );
    assert!(output.stdout.is_empty(), "nothing was run");
    let data = std::fs::read_to_string(figures.join("data.json")).unwrap();
    assert_eq!(data, "{}", "the figures are as they were");
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn a_gateway_that_is_not_as_it_should_be_fails_the_run() {
    // It ends silent links long before the terminals beat.
    let gateway = gateway(&[
        ("presence.heartbeat_interval_s", "1"),
        ("presence.heartbeat_timeout_mobile_s", "2"),
        ("presence.heartbeat_timeout_desktop_s", "2"),
    ]);
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-load"));
    command.args("idle --connections 20 --hold 4s --interval 3600s".split(' '));
    command.arg("--gateway").arg(gateway.terminals.to_string());
    command.arg("--http").arg(gateway.http.to_string());
    command.arg("--admin").arg(gateway.admin.to_string());
    command.arg("--pid").arg(gateway.id().to_string());
    let output = command.arg("--results").arg(folder.path()).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{out}");
    assert!(
        out.contains("time-outs recorded: 20, expected 0: **FAILED**"),
        "{out}"
    );
    assert!(gateway.stop(), "it was left alone");
}
