//! `holdfast connect` by each way that a listener may want, and what it says where there is none.

use std::net::SocketAddr;

use crate::gateway;
use crate::support::certificate::TestCertificate;
use crate::support::command::{Said, run};
use crate::support::gateway::{Gateway, free_addresses};

/// The exit codes of `holdfast connect --help`.
const DONE: Option<i32> = Some(0);
const USAGE: Option<i32> = Some(2);
const UNREACHED: Option<i32> = Some(4);

fn connect(words: &[&str]) -> Said {
    let arguments = [&["connect", "--user", "alice", "--platform", "iPhone"], words].concat();
    run(env!("CARGO_BIN_EXE_holdfast"), &arguments, b"/logout\n/quit\n")
}

/// A gateway with listeners for TLS, for WebSocket at /gate, and for both, whose certificate is for localhost.
fn all_ways(certificate: &TestCertificate) -> (Gateway, [SocketAddr; 3]) {
    let addresses = free_addresses();
    let [tls, web, both] = addresses;
    let listeners = format!(
        "[{{address=\"{tls}\", tls=true}}, {{address=\"{web}\", transport=\"websocket\", path=\"/gate\"}}, \
         {{address=\"{both}\", transport=\"websocket\", path=\"/gate\", tls=true}}]"
    );
    let certificates = certificate.setting();
    let settings = [
        ("terminals.listener", &*listeners),
        ("terminals.tls.certificates", &*certificates),
    ];
    (gateway(&settings), addresses)
}

fn local(address: SocketAddr) -> String {
    format!("localhost:{}", address.port())
}

#[test]
fn a_terminal_comes_by_each_way() {
    let certificate = TestCertificate::new(&["localhost"]);
    let (_gateway, [tls, web, both]) = all_ways(&certificate);
    let ca = certificate.chain();
    let ca = ca.to_str().unwrap();
    let (url, secure_url) = (format!("ws://{web}/gate"), format!("wss://{}/gate", local(both)));
    let (tls, web, both) = (local(tls), web.to_string(), local(both));
    for words in [
        &["--address", &tls, "--tls", "--ca", ca][..],
        &["--address", &tls, "--tls", "--insecure"],
        &["--address", &web, "--websocket", "--path", "/gate"],
        &[
            "--address",
            &both,
            "--tls",
            "--websocket",
            "--path",
            "/gate",
            "--ca",
            ca,
        ],
        &[&url],
        &[&secure_url, "--ca", ca],
    ] {
        let said = connect(words);
        assert_eq!(said.code, DONE, "{words:?}: {said:?}");
        assert!(
            said.out.contains("logged in") && said.out.contains("logged out"),
            "{said:?}"
        );
    }
}

#[test]
fn whoever_comes_by_another_way_is_told_which_would_do() {
    let certificate = TestCertificate::new(&["localhost"]);
    let (gateway, [tls, web, both]) = all_ways(&certificate);
    let ca = certificate.chain();
    let ca = ca.to_str().unwrap();
    let check = |words: &[&str], expected: &str| {
        let said = connect(words);
        assert_eq!(said.code, UNREACHED, "{words:?}: {said:?}");
        assert!(said.errors.contains(expected), "{words:?}: {said:?}");
    };
    let elsewhere = format!("ws://{web}/");
    let (by_number, plain) = (format!("wss://{both}/gate"), gateway.terminals.to_string());
    let (tls, web) = (local(tls), web.to_string());
    check(&["--address", &tls, "--tls"], "name who did with --ca FILE");
    check(
        &[&by_number, "--ca", ca],
        "its certificate is not for 127.0.0.1 but for ",
    );
    check(&["--address", &tls], "it speaks TLS: give --tls");
    check(&["--address", &tls, "--websocket"], "This port speaks TLS.");
    check(&["--address", &plain, "--tls", "--insecure"], "leave --tls out");
    check(
        &["--address", &plain, "--websocket"],
        "no WebSocket, but 400 Bad Request: This port is for terminals.",
    );
    check(
        &["--address", &tls, "--tls", "--insecure", "--websocket"],
        "no WebSocket, but 400 Bad Request: This port is for terminals.",
    );
    check(
        &["--address", &web],
        "it speaks HTTP, as http.listen, admin.listen and listeners for --websocket do",
    );
    check(
        &[&elsewhere],
        "404 Not Found: There is no WebSocket at this path.",
    );
    let said = connect(&["--address", &web, "--ca", ca]);
    assert_eq!(said.code, USAGE, "{said:?}");
}
