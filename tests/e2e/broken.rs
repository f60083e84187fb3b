//! Broken peers: the gateway tells them, closes them, counts them, and serves on; descriptors, slots and memory return
//! to where they were.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use holdfast::protocol::native::proto::{self, Code, Platform, request};

use crate::gateway;
use crate::support::gateway::Gateway;
use crate::support::http::Http;
use crate::support::terminal::{Terminal, frame, login};

/// A gauge or counter of the admin listener's metrics, summed over the shards.
fn metric(gateway: &Gateway, http: &Http, name: &str) -> u64 {
    let (status, text) = http.get(gateway.admin, "/metrics");
    assert_eq!(status, 200);
    let lines = text.lines().filter(|line| {
        line.strip_prefix("holdfast_")
            .and_then(|line| line.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
    });
    let values: Vec<u64> = lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
        .collect();
    assert!(!values.is_empty(), "no metric {name} in\n{text}");
    values.iter().sum()
}

fn await_metric(gateway: &Gateway, http: &Http, name: &str, expected: u64) {
    let mut last = 0;
    for _ in 0..3_000 {
        last = metric(gateway, http, name);
        if last == expected {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{name} is {last}, not {expected}");
}

fn still_serves(gateway: &Gateway, user: &str) {
    let (mut terminal, _) = Terminal::logged_in(gateway.terminals, login(user, Platform::Windows, 1));
    terminal.beat();
    terminal.log_out();
}

/// Of a gateway with `node.core_dumps`: into any other root alone may look.
fn descriptors(gateway: &Gateway) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", gateway.id()))
        .unwrap()
        .count()
}

#[test]
fn mistakes_get_one_error_and_a_close() {
    let gateway = gateway(&[]);
    let http = Http::default();
    let heartbeat = frame(request::Packet::Heartbeat(proto::Heartbeat {}));
    let cases: [(&[u8], Code, &str); 4] = [
        (&heartbeat, Code::LoginFirst, "packets_before_login_total"),
        (&[0x81, 0x20], Code::FrameTooLarge, "frames_too_large_total"),
        (&[0xff; 5], Code::Malformed, "frames_malformed_total"),
        (&[3, 0x0a, 0xff, 0xff], Code::Malformed, "frames_malformed_total"),
    ];
    for (bytes, code, counter) in cases {
        let before = metric(&gateway, &http, counter);
        let mut terminal = Terminal::connect(gateway.terminals);
        terminal.send_bytes(bytes);
        assert_eq!(terminal.expect_error(), code);
        await_metric(&gateway, &http, counter, before + 1);
    }
    let (mut terminal, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    terminal.send(request::Packet::Login(login("alice", Platform::Iphone, 1)));
    assert_eq!(terminal.expect_error(), Code::AlreadyLoggedIn);
    http.await_status(gateway.http, "alice", "PushOnline");
    await_metric(&gateway, &http, "slots_taken_now", 0);
}

#[test]
fn a_login_that_is_not_good_is_refused_with_its_code() {
    let gateway = gateway(&[]);
    let good = login("alice", Platform::Iphone, 1);
    let cases = [
        (
            proto::Login {
                protocol: 9,
                ..good.clone()
            },
            Code::ProtocolUnsupported,
        ),
        (
            proto::Login {
                user_id: "x".repeat(33),
                ..good.clone()
            },
            Code::FieldInvalid,
        ),
        (
            proto::Login {
                instance: 0,
                ..good.clone()
            },
            Code::FieldInvalid,
        ),
        (
            proto::Login {
                platform: 99,
                ..good.clone()
            },
            Code::FieldInvalid,
        ),
        (
            proto::Login {
                sdk_version: "x".repeat(33),
                ..good.clone()
            },
            Code::FieldInvalid,
        ),
        (
            proto::Login {
                user_sig: String::new(),
                ..good.clone()
            },
            Code::UsersigEmpty,
        ),
        (
            proto::Login {
                user_sig: "rubbish".to_owned(),
                ..good.clone()
            },
            Code::UsersigUnreadable,
        ),
        (
            proto::Login {
                user_id: "bob".to_owned(),
                ..good.clone()
            },
            Code::UsersigWrongUser,
        ),
        (
            proto::Login {
                session: 5,
                ..good.clone()
            },
            Code::SessionUnknown,
        ),
    ];
    for (login, code) in cases {
        let (mut terminal, answer) = Terminal::log_in(gateway.terminals, login);
        assert_eq!(answer.verdict.unwrap().code(), code);
        if code == Code::ProtocolUnsupported {
            assert_eq!((answer.protocol_min, answer.protocol_max), (1, 1));
        }
        assert_eq!(terminal.read(), None, "closed after it");
    }
    still_serves(&gateway, "alice");
}

#[test]
fn a_login_byte_by_byte_is_assembled() {
    let gateway = gateway(&[]);
    let mut terminal = Terminal::connect(gateway.terminals);
    for byte in frame(request::Packet::Login(login("alice", Platform::Iphone, 1))) {
        terminal.send_bytes(&[byte]);
    }
    let answer = terminal.read();
    assert!(
        matches!(answer, Some(proto::response::Packet::LoginAnswer(_))),
        "{answer:?}"
    );
    for byte in frame(request::Packet::Heartbeat(proto::Heartbeat {})) {
        terminal.send_bytes(&[byte]);
    }
    assert!(matches!(
        terminal.read(),
        Some(proto::response::Packet::HeartbeatAnswer(_))
    ));
}

#[test]
fn garbage_of_every_length_harms_nobody() {
    let gateway = gateway(&[]);
    let http = Http::default();
    let (mut bystander, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    let mut random = fastrand::Rng::with_seed(5);
    for length in 1..=600 {
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
        let mut stream = TcpStream::connect(gateway.terminals).unwrap();
        // The gateway may have closed already.
        let _ = stream.write_all(&bytes);
    }
    bystander.beat();
    still_serves(&gateway, "bob");
    await_metric(&gateway, &http, "slots_taken_now", 1);
}

#[test]
fn half_open_ends_and_resets_are_link_ends() {
    let gateway = gateway(&[]);
    let http = Http::default();
    let (half, _) = Terminal::logged_in(gateway.terminals, login("half", Platform::Iphone, 1));
    half.stream.shutdown(Shutdown::Write).unwrap();
    http.await_status(gateway.http, "half", "PushOnline");
    let (reset, _) = Terminal::logged_in(gateway.terminals, login("reset", Platform::Linux, 1));
    rustix::net::sockopt::set_socket_linger(&reset.stream, Some(Duration::ZERO)).unwrap();
    drop(reset);
    http.await_status(gateway.http, "reset", "Offline");
    await_metric(&gateway, &http, "slots_taken_now", 0);
}

#[test]
fn a_reader_that_does_not_read_is_closed() {
    let gateway = gateway(&[]);
    let http = Http::default();
    let (mut slow, _) = Terminal::logged_in(gateway.terminals, login("slow", Platform::Iphone, 1));
    let beats = frame(request::Packet::Heartbeat(proto::Heartbeat {})).repeat(10_000);
    // Never reads: the answers fill every buffer on the way, and the gateway gives up.
    while slow.stream.write_all(&beats).is_ok() {}
    http.await_status(gateway.http, "slow", "PushOnline");
    await_metric(&gateway, &http, "slow_readers_total", 1);
    still_serves(&gateway, "bob");
}

/// Sockets of the gateway's terminals that the kernel still has: established, or closed by the peer alone.
fn sockets(gateway: &Gateway) -> usize {
    let port = format!(":{:04X}", gateway.terminals.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table
        .lines()
        .skip(1)
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[1].ends_with(&port) && ["01", "08"].contains(&row[3]))
        .count()
}

/// Resident memory, KiB.
fn memory_kib(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn ten_thousand_silent_connections_come_and_go() {
    let gateway = gateway(&[("terminals.login_deadline_s", "2"), ("node.core_dumps", "true")]);
    let http = Http::default();
    still_serves(&gateway, "warm");
    await_metric(&gateway, &http, "slots_taken_now", 0);
    let before = descriptors(&gateway);
    let mut memory = Vec::new();
    for wave in 1..=6 {
        let silent: Vec<TcpStream> = (0..10_000)
            .map(|_| TcpStream::connect(gateway.terminals).unwrap())
            .collect();
        still_serves(&gateway, "alice");
        await_metric(&gateway, &http, "login_deadlines_total", wave * 10_000);
        await_metric(&gateway, &http, "slots_taken_now", 0);
        assert_eq!(sockets(&gateway), 0, "sockets return");
        assert!(descriptors(&gateway) <= before + 4, "descriptors return");
        memory.push(memory_kib(&gateway));
        drop(silent);
    }
    // The first waves find out how much is needed, by how many end in one turn; the later ones need no more. The allocator keeps
    // some for later. What 210 B of each of these 30,000 connections would be is more than that.
    let needed = memory[..3].iter().max().expect("three waves");
    assert!(memory[5] < needed + 6 * 1_024, "memory returns: {memory:?} KiB");
    still_serves(&gateway, "bob");
}

#[test]
fn a_full_table_pauses_accepting_and_harms_nobody() {
    let gateway = gateway(&[("shards.count", "1"), ("shards.connections_max", "256")]);
    let http = Http::default();
    let (mut bystander, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    let crowd: Vec<TcpStream> = (0..600)
        .map(|_| TcpStream::connect(gateway.terminals).unwrap())
        .collect();
    bystander.beat();
    await_metric(&gateway, &http, "slots_taken_now", 256);
    assert!(metric(&gateway, &http, "connections_now") <= 256);
    assert!(metric(&gateway, &http, "accept_pauses_total") >= 1);
    bystander.beat();
    drop(crowd);
    still_serves(&gateway, "bob");
    bystander.beat();
    await_metric(&gateway, &http, "slots_taken_now", 1);
}

#[test]
fn a_peer_that_connects_too_fast_waits_and_harms_nobody() {
    let gateway = gateway(&[("shards.count", "1"), ("terminals.accepts_per_second_max", "50")]);
    let http = Http::default();
    let (mut bystander, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    let crowd: Vec<TcpStream> = (0..120)
        .map(|_| TcpStream::connect(gateway.terminals).unwrap())
        .collect();
    bystander.beat();
    await_metric(&gateway, &http, "connections_opened_total", 121);
    assert!(
        metric(&gateway, &http, "accepts_paced_total") >= 2,
        "it took more than two seconds' allowance"
    );
    bystander.beat();
    drop(crowd);
    await_metric(&gateway, &http, "slots_taken_now", 1);
}
