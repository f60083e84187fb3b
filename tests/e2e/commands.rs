//! What a person or a script at a command line is told: what went wrong and what would do, once, with an exit code that
//! says the same.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::gateway;
use crate::support::command::{Running, Said, piped, run};
use crate::support::gateway::Gateway;
use crate::support::http::Http;
use crate::support::screen::Screen;

const HOLDFAST: &str = env!("CARGO_BIN_EXE_holdfast");

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";

/// The exit codes of `holdfast connect --help`.
const DONE: Option<i32> = Some(0);
const USAGE: Option<i32> = Some(2);
const REFUSED: Option<i32> = Some(3);
const UNREACHED: Option<i32> = Some(4);

fn connect(address: &str, more: &[&str], input: &[u8]) -> Said {
    let mut arguments = vec![
        "connect",
        "--user",
        "alice",
        "--platform",
        "iPhone",
        "--address",
        address,
    ];
    arguments.extend(more);
    run(HOLDFAST, &arguments, input)
}

fn kinds(gateway: &Gateway) -> Vec<String> {
    let http = Http::default();
    let (_, text) = http.get(gateway.admin, "/v1/users/alice/changes");
    let change = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    text.lines()
        .map(|line| change(line)["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn lines_of_a_script_wait_for_the_login_and_for_each_other() {
    let gateway = gateway(&[]);
    let said = connect(&gateway.terminals.to_string(), &[], b"/logout\n/quit\n");
    assert_eq!(said.code, DONE, "{said:?}");
    assert!(
        said.out.contains("logged in") && said.out.contains("logged out"),
        "{said:?}"
    );
    assert_eq!(kinds(&gateway), ["login", "logout"]);
}

#[test]
fn the_end_of_a_script_is_quit_and_all_before_it_is_done() {
    let gateway = gateway(&[]);
    let said = connect(&gateway.terminals.to_string(), &[], b"/background on\n/logout");
    assert_eq!(said.code, DONE, "{said:?}");
    assert!(said.out.contains("logged out"), "{said:?}");
    assert_eq!(kinds(&gateway), ["login", "logout"]);
}

#[test]
fn a_line_that_is_no_command_is_told_and_the_rest_of_the_script_runs() {
    let gateway = gateway(&[]);
    for (line, told) in [
        (&b"\xff\xfe\n"[..], "UTF-8"),
        (b"/foo\n", "\"/foo\""),
        (b"/background\n", "\"/background\""),
    ] {
        for script in [[line, b"/logout\n/quit\n"], [b"/LOGOUT\n", line]] {
            let said = connect(&gateway.terminals.to_string(), &[], &script.concat());
            assert_eq!(said.code, USAGE, "{said:?}");
            assert!(said.errors.contains(told), "{said:?}");
            assert!(said.out.contains("logged out"), "{said:?}");
        }
    }
}

#[test]
fn a_login_that_is_refused_is_told_by_the_exit_code() {
    let gateway = gateway(&[]);
    let said = connect(
        &gateway.terminals.to_string(),
        &["--usersig", "none"],
        b"/logout\n/quit\n",
    );
    assert_eq!(said.code, REFUSED, "{said:?}");
    assert!(said.errors.contains("the UserSig cannot be decoded"), "{said:?}");
    // Nobody is there who could press Enter.
    assert!(!said.out.contains("press Enter"), "{said:?}");
}

fn alice_on_her_mac(address: &str) -> [&str; 7] {
    [
        "connect",
        "--user",
        "alice",
        "--platform",
        "Mac",
        "--address",
        address,
    ]
}

#[test]
fn a_variable_in_the_place_of_an_argument_is_unset_if_empty_and_named_if_it_is_no_text() {
    let gateway = gateway(&[]);
    let with = |name: &str, value: &[u8]| {
        let address = gateway.terminals.to_string();
        let arguments = alice_on_her_mac(&address);
        let mut command = piped(HOLDFAST, &arguments);
        let mut running = Running::start(command.env(name, OsStr::from_bytes(value)));
        running.input.take().unwrap().write_all(b"/quit\n").ok();
        running.end()
    };
    for name in ["HOLDFAST_CONFIG", "HOLDFAST_USERSIG"] {
        let said = with(name, b"");
        assert_eq!(said.code, DONE, "{said:?}");
    }
    let said = with("HOLDFAST_USERSIG", b"\xff");
    assert_eq!(said.code, USAGE, "{said:?}");
    assert!(
        said.errors
            .contains("HOLDFAST_USERSIG: found a text that is not UTF-8"),
        "{said:?}"
    );
    assert_eq!(with("HOLDFAST_USERSIG", b"none").code, REFUSED);
}

#[test]
fn a_signal_ends_a_terminal_cleanly() {
    let gateway = gateway(&[]);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let address = gateway.terminals.to_string();
        let arguments = alice_on_her_mac(&address);
        let mut running = Running::start(&mut piped(HOLDFAST, &arguments));
        running.line_with("logged in");
        running.signal(signal);
        let said = running.end();
        assert_eq!(said.code, Some(code), "{said:?}");
    }
}

#[test]
fn a_terminal_without_input_stays_until_the_gateway_or_a_signal_ends_it() {
    let gateway = gateway(&[]);
    let mut command = Command::new(HOLDFAST);
    command.args([
        "connect",
        "--user",
        "alice",
        "--platform",
        "iPhone",
        "--instance",
        "7",
        "--address",
    ]);
    command.arg(gateway.terminals.to_string());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = Running::start(&mut command);
    running.line_with("logged in");
    let device = json!({ "user": "alice", "platform": "iPhone", "instance": "7" });
    let (status, _) = Http::default().post(gateway.admin, "/v1/kick", &device);
    assert_eq!(status, 200);
    let said = running.end();
    assert_eq!(said.code, REFUSED, "{said:?}");
    assert!(said.errors.contains("forced off"), "{said:?}");
}

#[test]
fn the_end_of_input_on_a_terminal_is_quit() {
    let gateway = gateway(&[]);
    let mut screen = Screen::new();
    let mut command = Command::new(HOLDFAST);
    command.args(["connect", "--user", "alice", "--platform", "iPhone", "--address"]);
    command.arg(gateway.terminals.to_string());
    command
        .stdin(screen.stream())
        .stdout(screen.stream())
        .stderr(screen.stream());
    let running = Running::start(&mut command);
    screen.wait_for("logged in");
    screen.press(b"\x04");
    let said = running.end();
    assert_eq!(said.code, DONE, "{said:?}");
}

#[test]
fn what_answers_at_a_wrong_port_is_named_once() {
    let gateway = gateway(&[]);
    for wrong in [gateway.http, gateway.admin] {
        let said = connect(&wrong.to_string(), &[], b"");
        assert_eq!(said.code, UNREACHED, "{said:?}");
        assert!(
            said.errors.contains("HTTP") && said.errors.contains("terminals.listen"),
            "{said:?}"
        );
        assert_eq!(said.errors.lines().count(), 1, "{said:?}");
    }
}

#[test]
fn a_port_that_speaks_tls_is_named_as_one() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let alert = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&[21, 3, 3, 0, 2, 2, 10]).unwrap();
    });
    let said = connect(&address.to_string(), &[], b"");
    assert_eq!(said.code, UNREACHED, "{said:?}");
    assert!(said.errors.contains("TLS"), "{said:?}");
    alert.join().unwrap();
}

#[test]
fn nobody_who_listens_is_told_once() {
    let said = connect(NOBODY, &[], b"/quit\n");
    assert_eq!(said.code, UNREACHED, "{said:?}");
    assert!(said.errors.contains("is the gateway running?"), "{said:?}");
    assert_eq!(said.errors.lines().count(), 1, "{said:?}");
}

#[test]
fn an_address_may_be_a_name_and_is_refused_with_what_would_do() {
    let gateway = gateway(&[]);
    let said = connect(
        &format!("localhost:{}", gateway.terminals.port()),
        &[],
        b"/quit\n",
    );
    assert_eq!(said.code, DONE, "{said:?}");
    assert!(said.out.contains("logged in"), "{said:?}");
    for (address, part) in [
        ("localhost", "HOST:PORT"),
        ("::1:9001", "[::1]:9001"),
        ("127.0.0.1:99999", "1 to 65535"),
        ("http://127.0.0.1:9001", "HOST:PORT"),
    ] {
        let said = connect(address, &[], b"");
        assert_eq!(said.code, USAGE, "{said:?}");
        assert!(said.errors.contains(part), "{said:?}");
    }
    let said = connect("no-such-host.invalid:9001", &[], b"");
    assert_eq!(said.code, UNREACHED, "{said:?}");
    assert!(said.errors.contains("no-such-host.invalid"), "{said:?}");
}

#[test]
fn an_ipv6_address_is_taken_in_brackets() {
    let Ok(free) = std::net::TcpListener::bind("[::1]:0") else {
        println!("skipped: this host has no IPv6");
        return;
    };
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let _gateway = Gateway::start(HOLDFAST, &[("terminals.listen", &format!("[\"{address}\"]"))]);
    let said = connect(&address, &[], b"/quit\n");
    assert_eq!(said.code, DONE, "{said:?}");
}

/// Runs a command whose listener `setting` is at this address.
fn ask(words: &str, setting: &str, address: SocketAddr) -> Said {
    let set = format!("{setting}=[\"{address}\"]");
    let mut arguments: Vec<&str> = words.split(' ').collect();
    arguments.extend(["--set", &set]);
    run(HOLDFAST, &arguments, b"")
}

/// A server of something else, which gives its first client this answer.
fn foreign_server(status: &str, body: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // An answer to nothing is none.
        let head = BufReader::new(&stream).lines().map(Result::unwrap);
        head.take_while(|line| !line.is_empty()).for_each(drop);
        stream.write_all(answer.as_bytes()).unwrap();
        // To the client's end: what it sent and nobody read would reset the connection.
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    });
    address
}

#[test]
fn of_a_foreign_servers_page_one_line_is_shown() {
    let page = format!("Not implemented\n<html>{}</html>", "x".repeat(10_000));
    let said = ask(
        "top --once --interval 100ms",
        "admin.listen",
        foreign_server("501 Not Implemented", &page),
    );
    assert!(said.errors.contains("501: Not implemented"), "{said:?}");
    assert!(!said.errors.contains("html"), "{said:?}");
}

/// What asks the admin listener.
const OPERATOR: [&str; 6] = [
    "top --once --interval 100ms",
    "reload",
    "reload --dry-run",
    "callbacks status",
    "callbacks list",
    "callbacks drop --all",
];

#[test]
fn each_command_at_a_wrong_listener_says_so() {
    let gateway = gateway(&[]);
    let check = |words: &str, setting: &str, address, part: &str| {
        let said = ask(words, setting, address);
        assert_eq!(said.code, UNREACHED, "{words}: {said:?}");
        assert_eq!(said.out, "", "{words}");
        assert!(said.errors.contains(part), "{words}: {said:?}");
        assert!(said.errors.contains(setting), "{words}: {said:?}");
        assert!(!said.errors.contains("null"), "{words}: {said:?}");
    };
    check("status alice", "http.listen", gateway.admin, "admin.listen");
    check(
        "status alice",
        "http.listen",
        gateway.terminals,
        "terminals.listen",
    );
    let nothing = r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}"#;
    let foreign = foreign_server("200 OK", nothing);
    check("status alice", "http.listen", foreign, "says nothing of alice");
    for words in OPERATOR {
        check(words, "admin.listen", gateway.http, "http.listen");
        check(
            words,
            "admin.listen",
            NOBODY.parse().unwrap(),
            "is the gateway running?",
        );
    }
}

#[test]
fn each_command_without_the_right_secret_is_refused_and_told_what_would_do() {
    let gateway = gateway(&[("admin.token", "\"0123456789abcdef\"")]);
    for words in OPERATOR {
        let said = ask(words, "admin.listen", gateway.admin);
        assert_ne!(said.code, DONE, "{words}: {said:?}");
        assert!(said.errors.contains("admin.token"), "{words}: {said:?}");
    }
    for (key, value) in [
        ("usersig.keys", "[{secret=\"0123456789abcdef\"}]"),
        ("app.sdk_app_id", "1400000002"),
    ] {
        let words = format!("status alice --set {key}={value}");
        let said = ask(&words, "http.listen", gateway.http);
        assert_eq!(said.code, REFUSED, "{said:?}");
        assert!(
            said.errors.contains(key) && said.errors.contains("--config"),
            "{said:?}"
        );
    }
}

#[test]
fn output_that_nobody_reads_ends_a_command_quietly() {
    for words in ["config", "plan --connections 10k", "--help", "--version"] {
        let arguments: Vec<&str> = words.split(' ').collect();
        let mut command = piped(HOLDFAST, &arguments);
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer);
        drop(reader);
        let mut running = Running::start(&mut command);
        drop(running.input.take());
        drop(command);
        let said = running.end();
        assert_eq!((said.code, said.errors.as_str()), (DONE, ""), "{words}");
    }
}
