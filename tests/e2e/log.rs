//! The log is what the gateway says, and never what it waits for: a reader that is stuck or gone changes nothing but the log.

use std::io::{ErrorKind, PipeReader, PipeWriter, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use holdfast::protocol::native::proto::{self, Platform};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::json;
use tempfile::TempDir;

use crate::support::gateway::{Gateway, free_addresses};
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login, usersig};

const PROGRAM: &str = env!("CARGO_BIN_EXE_holdfast");

/// A pipe that is full, for as long as its reader is kept.
struct Full {
    writer: PipeWriter,
    _reader: PipeReader,
}

impl Full {
    fn empty() -> Self {
        let (_reader, writer) = std::io::pipe().unwrap();
        Self { writer, _reader }
    }

    fn end(&self) -> Stdio {
        Stdio::from(OwnedFd::from(self.writer.try_clone().unwrap()))
    }

    fn fill(&self) {
        let flags = fcntl_getfl(&self.writer).unwrap();
        fcntl_setfl(&self.writer, flags | OFlags::NONBLOCK).unwrap();
        for size in [4_096, 1] {
            loop {
                match (&self.writer).write(&vec![b'x'; size]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        fcntl_setfl(&self.writer, flags).unwrap();
    }
}

/// A gateway that says much, to a standard error that is full and that nobody reads.
fn unheard(settings: &[(&str, &str)]) -> (Gateway, Full) {
    let pipe = Full::empty();
    let mut command = Command::new(PROGRAM);
    command.stderr(pipe.end());
    let mut all = vec![("shards.count", "1"), ("log.level", "debug")];
    all.extend_from_slice(settings);
    let gateway = Gateway::start_by(command, &all);
    pipe.fill();
    (gateway, pipe)
}

/// A login that a registry works on for a minute: a stop waits for it.
fn log_in_slowly(gateway: &Gateway) -> Terminal {
    let mut terminal = Terminal::connect(gateway.terminals);
    terminal.send(proto::request::Packet::Login(login("slow", Platform::Mac, 1)));
    let http = Http::default();
    while !http
        .get(gateway.admin, "/metrics")
        .1
        .contains("\nholdfast_users_now 1\n")
    {}
    terminal
}

const SLOW: (&str, &str) = ("testing.registry_delay_ms", "60000");

#[test]
fn a_stop_does_not_wait_for_whoever_reads_the_log() {
    let (gateway, _pipe) = unheard(&[]);
    for instance in 1..20 {
        let alice = login("alice", Platform::Iphone, instance);
        Terminal::logged_in(gateway.terminals, alice).0.beat();
    }
    gateway.hang_up();
    gateway.ask_to_stop();
    assert_eq!(gateway.ended(), Some(0));
}

#[test]
fn a_stop_that_waits_for_others_ends_by_its_deadline() {
    let (gateway, _pipe) = unheard(&[SLOW, ("node.stop_deadline_s", "1")]);
    let _slow = log_in_slowly(&gateway);
    gateway.ask_to_stop();
    assert_eq!(gateway.ended(), Some(1));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (gateway, _pipe) = unheard(&[SLOW, ("node.stop_deadline_s", "300")]);
    let _slow = log_in_slowly(&gateway);
    gateway.ask_to_stop();
    // Signals that come before the first one was taken are one.
    while TcpStream::connect(gateway.admin).is_ok() {}
    gateway.ask_to_stop();
    assert_eq!(gateway.ended(), Some(130));
}

#[test]
fn a_greeting_that_nobody_reads_keeps_nobody_waiting() {
    let pipe = Full::empty();
    pipe.fill();
    let mut command = Command::new(PROGRAM);
    command.stdout(pipe.end());
    let gateway = Gateway::spawn(free_addresses(), command, &[("shards.count", "1")]);
    while TcpStream::connect(gateway.admin).is_err() {
        std::thread::yield_now();
    }
    Http::default().await_readyz(gateway.admin, 200);
    Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1))
        .0
        .beat();
    gateway.ask_to_stop();
    assert_eq!(gateway.ended(), Some(0));
}

#[test]
fn a_reader_that_has_gone_ends_nothing() {
    let pipe = Full::empty();
    let mut command = Command::new(PROGRAM);
    command.stderr(pipe.end());
    let gateway = Gateway::start_by(command, &[("shards.count", "1"), ("log.level", "debug")]);
    drop(pipe);
    Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1))
        .0
        .beat();
    gateway.hang_up();
    gateway.ask_to_stop();
    assert_eq!(gateway.ended(), Some(0));
}

/// A gateway with a file as its configuration and another for its log.
fn written(folder: &TempDir) -> (Gateway, PathBuf) {
    let (file, log) = (folder.path().join("holdfast.toml"), folder.path().join("log"));
    std::fs::write(&file, "").unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(&file);
    command.stderr(std::fs::File::create(&log).unwrap());
    (Gateway::start_by(command, &[("shards.count", "1")]), log)
}

#[test]
fn at_debug_each_thing_that_happens_to_a_connection_is_one_line() {
    let folder = TempDir::new().unwrap();
    let (gateway, log) = written(&folder);
    let (mut before, _) = Terminal::logged_in(gateway.terminals, login("quiet", Platform::Mac, 1));
    before.beat();
    std::fs::write(folder.path().join("holdfast.toml"), "[log]\nlevel = \"debug\"\n").unwrap();
    assert_eq!(
        Http::default().post(gateway.admin, "/v1/reload", &json!({})).0,
        200
    );

    let (mut phone, session) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 7));
    let resume = proto::Login {
        session,
        ..login("alice", Platform::Iphone, 7)
    };
    let (mut again, _) = Terminal::logged_in(gateway.terminals, resume);
    assert!(phone.read().is_none(), "its session goes on elsewhere");
    let (mut mac, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Mac, 8));
    again.read();
    mac.send(proto::request::Packet::Logout(proto::Logout {}));
    mac.read();
    let forged = proto::Login {
        user_sig: "a-forged-usersig".to_owned(),
        ..login("mallory", Platform::Web, 9)
    };
    Terminal::log_in(gateway.terminals, forged);
    let (_stays, _) = Terminal::logged_in(gateway.terminals, login("stays", Platform::Mac, 1));
    drop(before);
    Http::default().await_status(gateway.http, "quiet", "Offline");
    assert!(gateway.stop());

    let log = std::fs::read_to_string(log).unwrap();
    let alice = |device: &str| format!("address=127.0.0.1 user=alice {device}");
    for (what, who) in [
        (" logged in ", alice("platform=\"iPhone\" instance=7")),
        (" resumed ", alice("platform=\"iPhone\" instance=7")),
        (
            " forced off ",
            alice("platform=\"iPhone\" instance=7 code=\"SESSION_FORCED_OFF\""),
        ),
        (" logged in ", alice("platform=\"Mac\" instance=8")),
        (" logged out ", alice("platform=\"Mac\" instance=8")),
        (
            " login refused ",
            "user=mallory platform=\"Web\" instance=9 code=\"USERSIG_UNREADABLE\"".to_owned(),
        ),
        (
            " link ended ",
            "user=quiet platform=\"Mac\" instance=1".to_owned(),
        ),
    ] {
        let lines = log
            .lines()
            .filter(|line| line.contains(what) && line.contains(&who));
        assert_eq!(lines.count(), 1, "{what}{who} in\n{log}");
    }
    let quiet = log
        .lines()
        .filter(|line| line.contains("user=quiet") && line.contains(" logged in "));
    assert_eq!(quiet.count(), 0, "nobody asked for it then");
    for told in [
        "started version=",
        "the configuration was reloaded by=\"the admin listener\" changes=1",
        "setting=\"log.level\" before=\"\\\"info\\\"\" after=\"\\\"debug\\\"\" counts=\"at once\"",
        "stopping connections=1",
        "stopped closed=1 dropped=0",
    ] {
        assert!(log.contains(told), "{told} is missing in\n{log}");
    }
    assert!(
        !log.contains("forged") && !log.contains(&usersig("alice")[..20]),
        "{log}"
    );
}
