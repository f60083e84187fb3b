//! Terminals that a gateway sends to another one: the example in Python, and `holdfast connect`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use holdfast::protocol::native::encode;
use holdfast::protocol::native::proto::{Code, LoginAnswer, Response, Verdict, WhatNext, response};

use crate::gateway;
use crate::support::command::{Running, piped};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/examples/terminal.py");

/// Who is sent on.
#[derive(Debug, Clone, Copy)]
enum Program {
    Example,
    Connect,
}

/// One as alice, at this address.
fn terminal(program: Program, address: &str) -> Running {
    let arguments = ["--user", "alice", "--platform", "iPhone", "--address", address];
    let mut command = match program {
        Program::Example => piped("python3", &[&[EXAMPLE], &arguments[..]].concat()),
        Program::Connect => piped(
            env!("CARGO_BIN_EXE_holdfast"),
            &[&["connect"], &arguments[..]].concat(),
        ),
    };
    Running::start(command.env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// Takes one connection with its login, and says that the user is there.
fn send_on(listener: &TcpListener, address: &str) {
    let (mut stream, _) = listener.accept().unwrap();
    assert!(stream.read(&mut [0; 4_096]).unwrap() > 0, "a login");
    let verdict = Verdict {
        code: Code::Elsewhere.into(),
        text: "elsewhere".to_owned(),
        retry_after_ms: 0,
        what_next: WhatNext::Retry.into(),
    };
    let answer = LoginAnswer {
        verdict: Some(verdict),
        address: address.to_owned(),
        ..LoginAnswer::default()
    };
    let packet = Some(response::Packet::LoginAnswer(answer));
    stream.write_all(&encode(&Response { packet })).unwrap();
}

#[test]
fn a_terminal_goes_to_its_users_node_and_back_when_that_is_gone() {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = first.local_addr().unwrap().to_string();
    for program in [Program::Example, Program::Connect] {
        let node = gateway(&[]);
        let mut terminal = terminal(program, &address);
        send_on(&first, &node.terminals.to_string());
        terminal.line_with("going to");
        terminal.line_with("logged in: session 1,");
        node.kill();
        node.ended();
        terminal.line_with("coming back in");
        // Nobody is there: it begins anew.
        let (mut stream, _) = first.accept().unwrap();
        assert!(stream.read(&mut [0; 4_096]).unwrap() > 0, "a login");
    }
}

#[test]
fn a_terminal_is_not_sent_in_circles() {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = first.local_addr().unwrap().to_string();
    for program in [Program::Example, Program::Connect] {
        let mut terminal = terminal(program, &address);
        (0..4).for_each(|_| send_on(&first, &address));
        terminal.line_with("coming back in");
    }
}
