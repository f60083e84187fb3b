//! Foreign clients against the gateway: Python's `websockets` and npm's `ws`, which `.ci/run` installs into `target/tools`.

use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast::protocol::native::proto::response;
use holdfast::protocol::native::proto::{Platform, request};
use holdfast::protocol::native::terminal::{NextResponse, next};
use serde_json::{Value, json};

use crate::gateway;
use crate::support::terminal::{frame, login};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn tools() -> PathBuf {
    root().join("target/tools")
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap().as_bytes();
    let bytes = hex.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    bytes.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// Runs a client, which must do all that a terminal needs.
fn check(user: &str, command: &mut Command) {
    let (_gateway, address) = gateway::start();
    let login = frame(request::Packet::Login(login(user, Platform::Web, 1)));
    let login: String = login.iter().map(|byte| format!("{byte:02x}")).collect();
    let output = command.arg(format!("ws://{address}/")).arg(login).output();
    let output = output.expect("the client runs: .ci/run installs it");
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut told: Value = serde_json::from_slice(&output.stdout).expect(&errors);
    let answer = bytes(&told["login"].take());
    let NextResponse::Packet(Some(response::Packet::LoginAnswer(answer)), []) = next(&answer, 4_096) else {
        panic!("no answer to the login: {answer:?}");
    };
    assert_eq!(answer.verdict.unwrap_or_default().code, 0);
    let beat = "021200";
    let expected = json!({
        "subprotocol": "holdfast.v1",
        "extensions": 0,
        "login": null,
        "heartbeat": beat,
        "more heartbeats": [beat, beat, beat],
        "ping": "answered",
        "text": 1003,
        "close": 4000,
        "elsewhere": 404,
    });
    assert_eq!(told, expected);
}

#[test]
#[ignore = "needs Python's websockets, which .ci/run installs"]
fn a_terminal_on_pythons_websockets() {
    let client = root().join("tests/websocket/clients/client.py");
    check("bob", Command::new(tools().join("bin/python")).arg(client));
}

#[test]
#[ignore = "needs npm's ws, which .ci/run installs"]
fn a_terminal_on_npms_ws() {
    let client = root().join("tests/websocket/clients/client.js");
    let modules = tools().join("node_modules");
    check(
        "carol",
        Command::new("node").env("NODE_PATH", modules).arg(client),
    );
}
