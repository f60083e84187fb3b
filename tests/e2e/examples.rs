//! The programs in `tests/examples`, run against the gateway as a person runs them.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use holdfast::protocol::native::encode;
use holdfast::protocol::native::proto::{
    LoginAnswer, Message, MessageAck, Platform, Response, request, response,
};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::gateway;
use crate::support::command::{Running, Said, piped};
use crate::support::gateway::{Gateway, SDK_APP_ID, free_addresses};
use crate::support::http::Http;
use crate::support::terminal::{Terminal, frame, login, usersig};

const HOLDFAST: &str = env!("CARGO_BIN_EXE_holdfast");
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/examples/");
/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";
const TOKEN: &str = "a-token-of-gateway-and-receiver";

/// Fails, and says what to do, where a program is not installed.
fn need(program: &str) {
    let found = Command::new(program).arg("--version").output();
    let found = found.is_ok_and(|output| output.status.success());
    assert!(found, "the examples need {program}: apt-get install {program}");
}

fn python(example: &str, arguments: &[&str]) -> Running {
    need("python3");
    let path = format!("{FOLDER}{example}");
    let mut command = piped("python3", &[&[path.as_str()], arguments].concat());
    Running::start(command.env("PYTHONDONTWRITEBYTECODE", "1"))
}

fn terminal(gateway: SocketAddr, user: &str) -> Running {
    python(
        "terminal.py",
        &["--address", &gateway.to_string(), "--user", user],
    )
}

/// Runs `query.sh`, where a proxy is set that is none: it is for the way to the internet, and not to the gateway.
fn query_sh(arguments: &[&str]) -> Said {
    need("curl");
    let mut command = piped(&format!("{FOLDER}query.sh"), arguments);
    command.env("LC_ALL", "C").env("http_proxy", "http://127.0.0.1:1");
    Running::start(&mut command).end()
}

fn query_at(address: SocketAddr, user: &str) -> Said {
    query_sh(&["--address", &address.to_string(), "--holdfast", HOLDFAST, user])
}

/// The status of a user, by `query.sh`.
fn query(gateway: &Gateway, user: &str) -> String {
    let said = query_at(gateway.http, user);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.out);
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    answer["QueryResult"][0]["Status"]
        .as_str()
        .expect(&said.out)
        .to_owned()
}

#[test]
fn the_terminal_outlives_kill_9_of_the_gateway_and_logs_out_at_ctrl_c() {
    let (addresses, folder) = (free_addresses(), TempDir::new().unwrap());
    let path = format!("{:?}", folder.path());
    let settings = [
        ("registry.path", path.as_str()),
        ("presence.heartbeat_interval_s", "1"),
    ];
    let start = || Gateway::start_at(addresses, Command::new(HOLDFAST), &settings);
    let first = start();
    let mut alice = terminal(first.terminals, "alice");
    alice.line_with("logged in: session 1, a heartbeat every 1 s");
    alice.line_with("heartbeat answered");
    assert_eq!(query(&first, "alice"), "Online");

    first.kill();
    first.ended();
    alice.line_with("coming back in");
    let second = start();
    alice.line_with("logged in: session 1,");
    assert_eq!(query(&second, "alice"), "Online");

    alice.signal(Signal::INT);
    let said = alice.end();
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.out);
    assert!(said.out.ends_with("logged out\n"), "{}", said.out);
    assert_eq!(query(&second, "alice"), "Offline");
}

#[test]
fn the_terminal_that_is_killed_leaves_its_session_to_the_next() {
    let gateway = gateway(&[]);
    let mut alice = terminal(gateway.terminals, "alice");
    let greeting = alice.line_with("instance ");
    let instance = greeting.trim().rsplit(' ').next().unwrap();
    alice.line_with("logged in: session 1,");
    drop(alice);
    Http::default().await_status(gateway.http, "alice", "PushOnline");
    assert_eq!(query(&gateway, "alice"), "PushOnline");
    let address = gateway.terminals.to_string();
    let resume = [
        "--address",
        &address,
        "--user",
        "alice",
        "--session",
        "1",
        "--instance",
        instance,
    ];
    // Change 2 was the end of its link.
    python("terminal.py", &resume).line_with("logged in: session 3,");
    python("terminal.py", &[&resume[..6], &["--instance", "7"]].concat()).line_with("(code 301)");
}

#[test]
fn the_terminal_obeys_when_it_is_forced_off() {
    let gateway = gateway(&[]);
    let mut alice = terminal(gateway.terminals, "alice");
    alice.line_with("logged in");
    let (_mac, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Mac, 1));
    alice.line_with("(code 302)");
    let said = alice.end();
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(1), ""),
        "it does not come back"
    );
}

#[test]
fn the_terminal_gets_a_new_usersig_where_it_can() {
    let gateway = gateway(&[]);
    let address = gateway.terminals.to_string();
    let common = ["--user", "alice", "--address", &address];
    let mut forging = python("terminal.py", &[&common[..], &["--secret", "guessed"]].concat());
    for _ in 0..2 {
        forging.line_with("(code 70009)");
        forging.line_with("with a new UserSig: coming back in");
    }
    let given = ["--usersig", "broken", "--session", "5"];
    let said = python("terminal.py", &[&common[..], &given].concat()).end();
    assert_eq!(said.code, Some(1));
    assert!(said.errors.contains("a new --usersig is needed"), "{said:?}");
    assert!(said.errors.ends_with("--session 5\n"), "{said:?}");
}

#[test]
fn the_terminal_comes_back_after_bytes_that_are_no_packet() {
    let answer = LoginAnswer {
        session: 5,
        heartbeat_interval_ms: 120_000,
        ..LoginAnswer::default()
    };
    let packet = Some(response::Packet::LoginAnswer(answer));
    let answer = encode(&Response { packet });
    for bad in [
        // A length of more than five bytes; the last one is not waited for.
        &[0xff; 5][..],
        // A number where a message has to be: the packet, and the verdict in it.
        &[2, 0x08, 1],
        &[4, 0x0a, 2, 0x08, 0],
        // An answer to the login without a session.
        &[2, 0x0a, 0],
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut alice = terminal(listener.local_addr().unwrap(), "alice");
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&answer).unwrap();
        alice.line_with("logged in: session 5,");
        stream.write_all(bad).unwrap();
        let line = alice.line_with("no connection: ");
        assert!(
            line.contains("this is not the protocol of terminals"),
            "{bad:?}: {line}"
        );
        alice.line_with("coming back in");
        listener.accept().unwrap();
    }
}

#[test]
fn the_terminal_takes_a_text_as_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut alice = terminal(listener.local_addr().unwrap(), "alice");
    let (mut stream, _) = listener.accept().unwrap();
    // An Error with a verdict: code 204, a text that is not UTF-8, and RETRY.
    stream
        .write_all(&[12, 0x32, 10, 0x0a, 8, 0x08, 0xcc, 1, 0x12, 1, 0xff, 0x20, 1])
        .unwrap();
    alice.line_with("\u{fffd} (code 204)");
    alice.line_with("coming back in");
}

#[test]
fn the_terminal_shows_messages_and_acknowledges_them() {
    let gateway = gateway(&[]);
    let mut alice = terminal(gateway.terminals, "alice");
    alice.line_with("logged in");
    let sig = usersig("administrator");
    let path = format!("/v1/send?sdkappid={SDK_APP_ID}&identifier=administrator&usersig={sig}");
    let message = json!({
        "to": [{ "user": "alice" }],
        "from": "shop",
        "kind": "order",
        "text": "Grüße\u{1b}",
        "wait_ms": 2_500,
    });
    let (status, answer) = Http::default().post(gateway.http, &path, &message);
    assert_eq!(
        (status, &answer["results"][0]["outcome"]),
        (200, &json!("acked")),
        "{answer}"
    );
    alice.line_with("message from shop, order: Grüße\\x1b\n");
}

#[test]
fn the_terminal_knows_a_message_again_and_acknowledges_it_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut alice = terminal(listener.local_addr().unwrap(), "alice");
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let login = LoginAnswer {
        session: 5,
        heartbeat_interval_ms: 120_000,
        ..LoginAnswer::default()
    };
    let message = Message {
        id: u64::MAX - 1,
        kind: "order".to_owned(),
        body: vec![0xff],
        wants_ack: true,
        ..Message::default()
    };
    let mut send = |packet| stream.write_all(&encode(&Response { packet: Some(packet) }));
    send(response::Packet::LoginAnswer(login)).unwrap();
    for end in ["", " (again)"] {
        send(response::Packet::Message(message.clone())).unwrap();
        alice.line_with(&format!("message, order: 1 bytes{end}\n"));
    }
    let quiet = Message {
        id: 7,
        wants_ack: false,
        ..message.clone()
    };
    send(response::Packet::Message(quiet)).unwrap();
    alice.line_with("message, order: 1 bytes\n");
    drop(alice);
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    let ack = MessageAck {
        id: vec![message.id],
        ..MessageAck::default()
    };
    let ack = frame(request::Packet::MessageAck(ack));
    assert!(said.ends_with(&[&ack[..], &ack].concat()), "{said:?}");
}

#[test]
fn the_terminal_comes_back_no_sooner_than_it_was_told() {
    let gateway = gateway(&[("terminals.retry_after_ms", "60000")]);
    let mut alice = terminal(gateway.terminals, "alice");
    alice.line_with("logged in");
    assert!(gateway.stop());
    alice.line_with("(code 203)");
    let wait = alice.line_with("coming back in");
    let seconds: f64 = wait.split(' ').nth(3).unwrap().parse().unwrap();
    assert!(seconds >= 30.0, "half of the setting at least: {wait}");
}

#[test]
fn the_terminal_says_what_it_cannot_do() {
    let gateway = gateway(&[]);
    let address = gateway.http.to_string();
    let said = python("terminal.py", &["--user", "alice", "--address", &address]).end();
    assert_eq!(said.errors, "this is not the protocol of terminals\n");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let alice = terminal(listener.local_addr().unwrap(), "alice");
    let (mut stream, _) = listener.accept().unwrap();
    // The answer to a heartbeat, and none to the login.
    stream.write_all(&[2, 0x12, 0]).unwrap();
    assert_eq!(alice.end().errors, "this is not the protocol of terminals\n");
    for bad in [
        ["--instance", "-1"],
        ["--session", "x"],
        ["--address", "nowhere"],
        ["--platform", "Amiga"],
    ] {
        let said = python("terminal.py", &["--user", "alice", bad[0], bad[1]]).end();
        assert!(
            said.code == Some(2) && said.errors.contains(bad[0]),
            "{bad:?}: {said:?}"
        );
    }
    assert!(python("terminal.py", &["--help"]).end().out.contains("--usersig"));
}

/// A receiver whose database is in this folder, and its URL.
fn receiver(folder: &TempDir) -> (Running, String) {
    let (database, token) = (folder.path().join("changes.db"), folder.path().join("token"));
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let arguments = [
        "--token-file",
        token.to_str().unwrap(),
        "--port",
        "0",
        "--database",
        database.to_str().unwrap(),
    ];
    let mut receiver = python("receiver.py", &arguments);
    let line = receiver.line_with("listening at ");
    let url = line.trim().rsplit(' ').next().unwrap().to_owned();
    (receiver, url)
}

fn sign(token: &str, time_s: u64) -> String {
    let digest = Sha256::digest(format!("{token}{time_s}"));
    digest.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn now_s() -> u64 {
    holdfast::base::time::Clock::start().now().wall.seconds()
}

/// Posts alice's change, signed like this. Gives the HTTP status and the ErrorCode.
fn post(url: &str, (sign, time_s): (String, u64), (change, previous): (u64, u64)) -> (u16, Value) {
    let body = r#"{"CallbackCommand":"State.StateChange","Info":{"Action":"Login","To_Account":"alice","Reason":"Register"}}"#;
    let request = Request::post(format!(
        "{url}?CallbackCommand=State.StateChange&Sign={sign}&RequestTime={time_s}"
    ))
    .header("Holdfast-Change", change)
    .header("Holdfast-Previous", previous)
    .body(Full::new(Bytes::from(body)));
    let (status, text) = Http::default().request(request.unwrap());
    let answer: Value = serde_json::from_str(&text).unwrap();
    (status, answer["ErrorCode"].clone())
}

fn good() -> (String, u64) {
    let now_s = now_s();
    (sign(TOKEN, now_s), now_s)
}

#[test]
fn the_receiver_takes_each_change_once_and_says_what_is_missing() {
    let folder = TempDir::new().unwrap();
    let (mut taking, url) = receiver(&folder);
    let gateway = gateway(&[
        ("callback.url", &format!("{url:?}")),
        ("callback.token", &format!("{TOKEN:?}")),
    ]);
    let (alice, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Mac, 1));
    taking.line_with("alice 1 Login/Register taken\n");
    alice.log_out();
    taking.line_with("alice 2 Logout/Unregister taken\n");
    assert_eq!(
        post(&url, good(), (2, 1)),
        (200, 0.into()),
        "a repeat is taken for delivered"
    );
    taking.line_with("alice 2 Login/Register dropped");

    // Killed and started again, it knows what it has taken.
    drop(taking);
    let (mut taking, url) = receiver(&folder);
    assert_eq!(post(&url, good(), (1, 0)), (200, 0.into()));
    taking.line_with("alice 1 Login/Register dropped");
    assert_eq!(post(&url, good(), (9, 7)), (200, 0.into()));
    taking.line_with("alice 9 Login/Register taken; missing: changes after 2 up to 7\n");
}

#[test]
fn the_receiver_refuses_what_the_gateway_has_not_just_signed() {
    let folder = TempDir::new().unwrap();
    let (mut taking, url) = receiver(&folder);
    let now_s = now_s();
    let refused = (403, 1.into());
    assert_eq!(post(&url, (sign("another token", now_s), now_s), (1, 0)), refused);
    taking.line_with("refused: the signature is wrong");
    assert_eq!(post(&url, (sign(TOKEN, now_s), now_s + 1), (1, 0)), refused);
    taking.line_with("refused: the signature is wrong");
    let hour_ago = now_s - 3_600;
    assert_eq!(post(&url, (sign(TOKEN, hour_ago), hour_ago), (1, 0)), refused);
    taking.line_with("refused: the signature is too old");
    assert_eq!(post(&url, good(), (1 << 63, 0)), (400, 1.into()));
    assert_eq!(post(&url, good(), (1, 0)), (200, 0.into()));
    taking.line_with("alice 1 Login/Register taken\n");
}

/// The first line of the answer to a POST whose body is said to be so long, and never comes.
fn announce(url: &str, length: &str) -> String {
    let address = url.trim_start_matches("http://").split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("an answer, and the end of the connection");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_receiver_reads_no_body_whose_length_is_wrong() {
    let folder = TempDir::new().unwrap();
    let (_taking, url) = receiver(&folder);
    for (length, status) in [("-1", "400 "), ("many", "400 "), ("65537", "413 ")] {
        let line = announce(&url, length);
        assert!(line.contains(status), "{length}: {line}");
    }
}

#[test]
fn the_receiver_does_not_start_without_a_token() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "\n").unwrap();
    let said = python("receiver.py", &["--token-file", path.to_str().unwrap()]).end();
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.errors.contains("is empty"), "{said:?}");
}

#[test]
fn the_query_says_what_is_wrong() {
    let said = query_sh(&[]);
    assert!(
        said.code == Some(2) && said.errors.starts_with("usage: query.sh"),
        "{said:?}"
    );
    assert!(query_sh(&["--help"]).out.starts_with("usage: query.sh"));
    let said = query_at(gateway(&[]).http, "nobody");
    assert!(
        said.code == Some(1) && said.out.contains("70107"),
        "refused with HTTP 200: {said:?}"
    );
    let said = query_at(NOBODY.parse().unwrap(), "alice");
    assert!(
        said.code == Some(7) && said.errors.contains("curl: (7)"),
        "{said:?}"
    );
}
