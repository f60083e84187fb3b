//! Secrets, UserSigs, tokens and the REST query string never reach what the gateway prints or shows.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use holdfast::protocol::native::proto::{self, Platform};

use crate::support::gateway::Gateway;
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login, usersig};

const SECRET: &str = "0123456789abcdef-a-secret-of-a-test-0123456789abcdef";
const TOKEN: &str = "an-admin-token-of-a-test";
const CALLBACK_TOKEN: &str = "a-callback-token-of-a-test";

#[test]
fn the_configuration_hides_them() {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args([
            "--set",
            &format!("usersig.keys=[{{secret=\"{SECRET}\"}}]"),
            "--set",
            &format!("admin.token=\"{TOKEN}\""),
            "--set",
            &format!("callback.token=\"{CALLBACK_TOKEN}\""),
        ])
        .arg("config")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("[presence]") || text.contains("presence."),
        "the configuration is there: {text}"
    );
    for secret in [SECRET, TOKEN, CALLBACK_TOKEN] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn errors_and_metrics_hide_them() {
    let folder = tempfile::TempDir::new().unwrap();
    let log = folder.path().join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.stderr(Stdio::from(std::fs::File::create(&log).unwrap()));
    // Nobody takes callbacks there, so that each attempt has something to complain of.
    let callback_token = format!("{CALLBACK_TOKEN:?}");
    let gateway = Gateway::start_by(
        command,
        &[
            ("log.level", "\"trace\""),
            ("callback.url", "\"http://127.0.0.1:1/callback\""),
            ("callback.token", &callback_token),
            ("registry.path", &format!("{:?}", folder.path().join("store"))),
        ],
    );
    let http = Http::default();
    let sig = usersig("alice");
    let bad = proto::Login {
        user_id: "bob".to_owned(),
        ..login("alice", Platform::Iphone, 1)
    };
    let (_, answer) = Terminal::log_in(gateway.terminals, bad);
    assert!(!answer.verdict.unwrap().text.contains(&sig));
    let path = format!("/v4/openim/nonsense?sdkappid=1&identifier=administrator&usersig={sig}");
    for address in [gateway.http, gateway.admin] {
        assert!(!http.get(address, &path).1.contains(&sig));
    }
    assert!(!http.get(gateway.admin, "/metrics").1.contains("usersig="));
    let (alice, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    drop(alice);
    http.await_status(gateway.http, "alice", "PushOnline");
    let failed = "\nholdfast_callbacks_failed_total 0\n";
    while http.get(gateway.admin, "/metrics").1.contains(failed) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(gateway.stop());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("a callback failed"), "the log is there: {log}");
    let secret = holdfast::node::config::DEVELOPMENT_SECRET;
    for hidden in [&sig, secret, CALLBACK_TOKEN, "usersig=", "Sign=", "identifier="] {
        assert!(!log.contains(hidden), "{hidden} in {log}");
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Everything below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let deeper = |path: PathBuf| {
        let inner = if path.is_dir() { below(&path) } else { Vec::new() };
        std::iter::once(path).chain(inner)
    };
    entries.flat_map(deeper).collect()
}

/// The program with a umask as some systems have it.
fn with_generous_umask() -> Command {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        r#"umask 000; exec "$0" "$@""#,
        env!("CARGO_BIN_EXE_holdfast"),
    ]);
    command
}

/// Something is in the folder, and all of it is for nobody else.
fn expect_private(folder: &Path) {
    let written = below(folder);
    assert!(!written.is_empty());
    for path in written {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn a_salvaged_store_is_for_nobody_else() {
    let folder = tempfile::TempDir::new().unwrap();
    let (store, new) = (folder.path().join("store"), folder.path().join("new"));
    let program = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let gateway = Gateway::start_by(program, &[("registry.path", &format!("{store:?}"))]);
    let (_alice, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    assert!(gateway.stop());
    std::fs::create_dir(&new).unwrap();
    let mut salvage = with_generous_umask();
    salvage.args(["store", "salvage", "--path"]).arg(&store);
    // Exit code 6 says that something was not there, such as how far callbacks are, if they never began.
    let code = salvage.arg("--to").arg(&new).status().unwrap().code();
    assert!(matches!(code, Some(0 | 6)), "{code:?}");
    expect_private(&new);
}

#[test]
fn what_is_written_is_for_nobody_else_and_an_open_folder_is_told() {
    let folder = tempfile::TempDir::new().unwrap();
    let (store, log) = (folder.path().join("store"), folder.path().join("log"));
    std::fs::create_dir(&store).unwrap();
    std::fs::set_permissions(&store, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = with_generous_umask();
    command.stderr(Stdio::from(std::fs::File::create(&log).unwrap()));
    let gateway = Gateway::start_by(command, &[("registry.path", &format!("{store:?}"))]);
    let (_alice, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    assert!(gateway.stop());
    expect_private(&store);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("mode=755"), "{log}");
}

#[test]
fn what_is_no_text_is_refused_before_anything_is_kept() {
    let folder = tempfile::TempDir::new().unwrap();
    let run = |command: &mut Command| {
        let output = command.current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(below(folder.path()).is_empty(), "no store was made");
        String::from_utf8(output.stderr).unwrap()
    };
    let no_text = OsStr::from_bytes(b"sing\xffle");
    let program = || Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let told = run(program().env("HOLDFAST_PRESENCE_POLICY", no_text));
    assert!(
        told.contains("HOLDFAST_PRESENCE_POLICY: found a text that is not UTF-8"),
        "{told}"
    );
    let argument = OsStr::from_bytes(b"registry.path=/srv/\xff");
    let told = run(program().arg("--set").arg(argument));
    assert!(
        told.contains("--set: found bytes that are not UTF-8, for registry.path"),
        "{told}"
    );
}
