//! What is on record outlives the process: after a restart devices have a grace to come back in; a store belongs to one
//! gateway; and a disk that is full takes nothing away.

use std::path::Path;
use std::process::{Command, Stdio};

use holdfast::protocol::native::proto::{self, Code, Platform};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use tempfile::TempDir;

use crate::gateway;
use crate::support::gateway::{Gateway, free_addresses};
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login};

fn start(folder: &TempDir, grace_s: &str) -> Gateway {
    gateway(&[
        ("shards.count", "2"),
        ("registry.path", &format!("{:?}", folder.path())),
        ("presence.restart_grace_s", grace_s),
    ])
}

/// All changes, `user change kind` each, waiting for more until there are this many.
fn changes(http: &Http, gateway: &Gateway, count: usize) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), String::new());
    while all.len() < count {
        let (status, page) = http.get(gateway.admin, &format!("/v1/changes?wait_s=10{after}"));
        assert_eq!(status, 200, "{page}");
        for line in page.lines() {
            let change: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| change[name].as_str().unwrap().to_owned();
            all.push(format!("{} {} {}", text("user"), change["change"], text("kind")));
            after = format!("&after={}", text("cursor"));
        }
        assert!(!page.is_empty(), "only {all:?}");
    }
    all
}

#[test]
fn who_comes_back_in_the_grace_was_never_gone() {
    let folder = TempDir::new().unwrap();
    let people = [
        ("stays", Platform::Iphone),
        ("phone", Platform::Android),
        ("desk", Platform::Windows),
    ];
    let first = start(&folder, "60");
    let links: Vec<(Terminal, u64)> = people
        .iter()
        .map(|(user, platform)| Terminal::logged_in(first.terminals, login(user, *platform, 1)))
        .collect();
    first.kill();
    drop(first);

    let second = start(&folder, "2");
    let http = Http::default();
    for (user, _) in people {
        assert_eq!(
            http.status(second.http, user).as_deref(),
            Some("Online"),
            "{user}"
        );
    }
    let resume = proto::Login {
        session: links[0].1,
        ..login("stays", Platform::Iphone, 1)
    };
    let (mut stays, session) = Terminal::logged_in(second.terminals, resume);
    assert_eq!(session, links[0].1, "the session goes on");

    let mut seen = changes(&http, &second, 5);
    seen.sort_unstable();
    let expected = [
        "desk 1 login",
        "desk 2 link-end",
        "phone 1 login",
        "phone 2 link-end",
        "stays 1 login",
    ];
    assert_eq!(seen, expected);
    http.await_status(second.http, "desk", "Offline");
    http.await_status(second.http, "phone", "PushOnline");
    assert_eq!(http.status(second.http, "stays").as_deref(), Some("Online"));
    stays.beat();
    assert!(second.stop());

    let third = start(&folder, "60");
    assert_eq!(http.status(third.http, "desk").as_deref(), Some("Offline"));
    assert_eq!(http.status(third.http, "phone").as_deref(), Some("PushOnline"));
    assert_eq!(http.status(third.http, "nobody"), None);
    assert!(third.stop());
}

#[test]
fn a_store_serves_one_gateway() {
    let folder = TempDir::new().unwrap();
    let first = start(&folder, "60");
    let mut second = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    for (name, address) in ["terminals", "http", "admin"].into_iter().zip(free_addresses()) {
        second.args(["--set", &format!("{name}.listen=[\"{address}\"]")]);
    }
    second.args(["--set", &format!("registry.path={:?}", folder.path())]);
    let second = second.output().unwrap();
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success());
    assert!(text.contains("is in use by another process"), "{text}");
    let (mut alice, _) = Terminal::logged_in(first.terminals, login("alice", Platform::Android, 1));
    alice.beat();
}

/// A gateway with its log in a file.
fn start_with_log(log: &Path, settings: &[(&str, &str)]) -> Gateway {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.stderr(Stdio::from(std::fs::File::create(log).unwrap()));
    Gateway::start_by(command, settings)
}

/// From now on no file of the process can grow beyond this size.
fn limit_files(gateway: &Gateway, bytes_max: Option<u64>) {
    let limit = Rlimit {
        current: bytes_max,
        maximum: None,
    };
    let id = Pid::from_raw(gateway.id().cast_signed()).unwrap();
    prlimit(Some(id), Resource::Fsize, limit).unwrap();
}

#[test]
fn a_full_disk_takes_nothing_away() {
    let folder = TempDir::new().unwrap();
    let path = format!("{:?}", folder.path().join("store"));
    let log = folder.path().join("log");
    let gateway = start_with_log(&log, &[("shards.count", "2"), ("registry.path", &path)]);
    let http = Http::default();
    let (mut alice, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Android, 1));
    let (phone, _) = Terminal::logged_in(gateway.terminals, login("carol", Platform::Android, 1));
    limit_files(&gateway, Some(0));

    let (_, answer) = Terminal::log_in(gateway.terminals, login("bob", Platform::Android, 1));
    assert_eq!(answer.verdict.unwrap().code(), Code::NotRecorded);
    let (status, text) = http.get(gateway.admin, "/readyz");
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("can record nothing since"), "{text}");
    let (_, metrics) = http.get(gateway.admin, "/metrics");
    assert!(
        metrics.contains("\nholdfast_registry_failing_now 1\n"),
        "{metrics}"
    );
    alice.beat();
    assert_eq!(http.status(gateway.http, "alice").as_deref(), Some("Online"));
    assert_eq!(http.status(gateway.http, "bob"), None);
    // What ends meanwhile is not forgotten.
    drop(phone);

    limit_files(&gateway, None);
    // The store tries its files again after a while: a status may be answered earlier, a login may not be taken.
    http.await_readyz(gateway.admin, 200);
    http.await_status(gateway.http, "carol", "PushOnline");
    Terminal::logged_in(gateway.terminals, login("bob", Platform::Android, 1));
    alice.beat();
    assert!(gateway.stop());
    let log = std::fs::read_to_string(log).unwrap();
    // Lines of the time between found no room either: the log is a file, too.
    let again = log.matches("the registry is well again").count();
    assert_eq!(again, 1, "{log}");
}
