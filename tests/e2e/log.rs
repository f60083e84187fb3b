//! The log is what the gateway says, and never what it waits for: a reader that is stuck or gone changes nothing but the log.

use std::io::{ErrorKind, PipeReader, PipeWriter, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use holdfast::logic::wire::proto::{self, Platform};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::support::gateway::{Gateway, free_addresses};
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login};

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
    while Http::default().get(gateway.admin, "/readyz").0 != 200 {}
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
