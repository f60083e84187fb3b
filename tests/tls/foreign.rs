//! Foreign programs as terminals: OpenSSL's s_client, curl, Python and Node, each with what it does that others do not. A
//! program that is missing fails its test; `.ci/run` installs them.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

use super::echo::{Answering, Server};
use super::world::*;
use crate::protocol::transport::ending::{TransportEnd, TransportMistake};
use crate::protocol::transport::tls::connection::{HTTP_ANSWER, Resumed, TlsKept};
use crate::protocol::transport::tls::server::{TlsServer, TlsServerSettings, TlsVersion};

const SUITES: [&str; 3] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

/// A folder for what programs read and write.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), &host_certificate().chain).unwrap();
    folder
}

fn path(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

/// `openssl s_client`, which a test talks with line by line.
struct Openssl {
    child: Child,
    lines: BufReader<ChildStdout>,
    notes: BufReader<ChildStderr>,
}

impl Openssl {
    fn new(server: &Server, folder: &tempfile::TempDir, arguments: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args([
                "s_client",
                "-servername",
                "localhost",
                "-verify_return_error",
                "-connect",
            ])
            .arg(format!("127.0.0.1:{}", server.port))
            .arg("-CAfile")
            .arg(path(folder, "ca.pem"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl is installed");
        let lines = BufReader::new(child.stdout.take().unwrap());
        let notes = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines, notes }
    }

    /// In one write: of a letter that is a command it passes a line end on, if that comes behind it.
    fn says(&mut self, text: &str) {
        let line = format!("{text}\n");
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(line.as_bytes()).unwrap();
    }

    /// It makes a key update. What it is told together with that gets lost.
    fn updates_keys(&mut self, letter: &str) {
        self.says(letter);
        until(&mut self.notes, "KEYUPDATE");
    }

    fn hears(&mut self, text: &str) {
        until(&mut self.lines, text);
    }

    /// Its standard input ends, and it does.
    fn leaves(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// Reads until a line has a text in it.
fn until(lines: &mut impl BufRead, text: &str) {
    let mut all = String::new();
    loop {
        let begin = all.len();
        assert!(lines.read_line(&mut all).unwrap() > 0, "no {text:?} in {all}");
        if all[begin..].contains(text) {
            return;
        }
    }
}

#[test]
fn openssl_speaks_each_suite_and_updates_keys() {
    let (server, folder) = (Server::new(server(), Answering::Echo), folder());
    for suite in SUITES {
        let mut openssl = Openssl::new(&server, &folder, &["-tls1_3", "-ciphersuites", suite]);
        openssl.hears(&format!("New, TLSv1.3, Cipher is {suite}"));
        openssl.hears("Verify return code: 0 (ok)");
        for round in 0..5 {
            // A key update of the client alone, then one of both ends.
            openssl.updates_keys(if round % 2 == 0 { "k" } else { "K" });
            let text = format!("text {round}");
            openssl.says(&text);
            openssl.hears(&text);
        }
        openssl.leaves();
        let served = server.served();
        assert_eq!(
            (served.end, served.bytes, served.steps),
            (Some(TransportEnd::InOrder), 35, 1)
        );
    }
}

#[test]
fn openssl_comes_back_by_its_ticket() {
    let (server, folder) = (Server::new(server(), Answering::Echo), folder());
    let session = path(&folder, "session");
    let session = session.to_str().unwrap();
    for (option, kind, resumed) in [
        ("-sess_out", "New, TLSv1.3", Resumed::No),
        ("-sess_in", "Reused, TLSv1.3", Resumed::Yes),
    ] {
        let mut openssl = Openssl::new(&server, &folder, &[option, session]);
        openssl.hears(kind);
        openssl.says("text");
        openssl.hears("text");
        openssl.leaves();
        assert_eq!(server.served().shaken.unwrap().resumed, resumed);
    }
}

/// It guesses a group that the gateway does not have, and is asked for another hello, which waits as the first one does.
#[test]
fn openssl_is_asked_again() {
    let (server, folder) = (Server::new(server(), Answering::Echo), folder());
    let mut openssl = Openssl::new(&server, &folder, &["-groups", "P-521:X25519"]);
    openssl.hears("Server Temp Key: X25519");
    openssl.says("text");
    openssl.hears("text");
    openssl.leaves();
    assert_eq!(server.served().steps, 2);
}

#[test]
fn openssl_speaks_tls_1_2_where_it_is_allowed() {
    let settings = TlsServerSettings {
        version_min: TlsVersion::Tls12,
        ..settings()
    };
    let (server, folder) = (
        Server::new(TlsServer::new(&settings).unwrap(), Answering::Echo),
        folder(),
    );
    let mut openssl = Openssl::new(&server, &folder, &["-tls1_2"]);
    openssl.hears("New, TLSv1.2");
    openssl.says("text");
    openssl.hears("text");
    openssl.leaves();
    let served = server.served();
    assert_eq!(served.shaken.unwrap().kept, TlsKept::Rustls);
    assert_eq!(served.end, Some(TransportEnd::InOrder));
}

#[test]
fn openssl_without_a_certificate_is_told() {
    let own = signed(&["a terminal"]);
    let settings = TlsServerSettings {
        client_ca: Some(own.chain.as_bytes()),
        ..settings()
    };
    let (server, folder) = (
        Server::new(TlsServer::new(&settings).unwrap(), Answering::Echo),
        folder(),
    );
    let (chain, key) = (path(&folder, "chain"), path(&folder, "key"));
    std::fs::write(&chain, &own.chain).unwrap();
    std::fs::write(&key, &own.key).unwrap();
    let with = ["-cert", chain.to_str().unwrap(), "-key", key.to_str().unwrap()];
    let mut openssl = Openssl::new(&server, &folder, &with);
    openssl.says("text");
    openssl.hears("text");
    openssl.leaves();
    assert_eq!(server.served().end, Some(TransportEnd::InOrder));
    let mut openssl = Openssl::new(&server, &folder, &[]);
    let end = server.served().end;
    assert_eq!(end, Some(TransportEnd::Mistake(TransportMistake::TlsHandshake)));
    until(&mut openssl.notes, "alert certificate required");
    assert!(!openssl.child.wait().unwrap().success());
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program} is installed: {error}"))
}

fn text(output: &[u8]) -> &str {
    std::str::from_utf8(output).unwrap()
}

#[test]
fn curl_gets_its_page_and_is_told_of_tls() {
    let (server, folder) = (Server::new(server().with_http(), Answering::Http), folder());
    let ca = path(&folder, "ca.pem");
    let host = format!("{HOST}:{}", server.port);
    let connects = format!("{host}:127.0.0.1:{}", server.port);
    let curl = |scheme: &str| {
        let url = format!("{scheme}://{host}/");
        let ca = ca.to_str().unwrap();
        run(
            "curl",
            &[
                "-sS",
                "--max-time",
                "20",
                "--cacert",
                ca,
                "--connect-to",
                &connects,
                &url,
            ],
        )
    };
    let output = curl("https");
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("hi\n", ""));
    let output = curl("http");
    assert!(
        HTTP_ANSWER.ends_with(&output.stdout) && !output.stdout.is_empty(),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn python_sends_large_and_tiny_records_and_half_closes() {
    let (server, folder) = (Server::new(server(), Answering::Echo), folder());
    let output = run(
        "python3",
        &[
            "-c",
            PYTHON,
            &server.port.to_string(),
            path(&folder, "ca.pem").to_str().unwrap(),
        ],
    );
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        ("False\nTrue\n", "")
    );
    for resumed in [Resumed::No, Resumed::Yes] {
        let served = server.served();
        assert_eq!(served.shaken.unwrap().resumed, resumed);
        assert_eq!(
            (served.end, served.bytes),
            (Some(TransportEnd::InOrder), 200 + 300_000 + 8)
        );
    }
}

/// Tiny records, large ones, and a close that is answered behind all that was sent.
const PYTHON: &str = r#"
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.minimum_version = ssl.TLSVersion.TLSv1_3
session = None
for _ in range(2):
    plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20)
    s = context.wrap_socket(plain, server_hostname="localhost", session=session)
    def all(length):
        got = b""
        while len(got) < length:
            got += s.recv(length - len(got))
        return got
    for byte in range(200):
        s.sendall(bytes([byte]))
        assert all(1) == bytes([byte])
    large = bytes(range(250)) * 1200
    s.sendall(large)
    assert all(len(large)) == large
    s.sendall(b"the last")
    assert all(8) == b"the last"
    print(s.session_reused)
    session = s.session
    s.unwrap()
"#;

#[test]
fn node_half_closes_and_comes_back() {
    let (server, folder) = (Server::new(server(), Answering::Echo), folder());
    let output = run(
        "node",
        &[
            "-e",
            NODE,
            &server.port.to_string(),
            path(&folder, "ca.pem").to_str().unwrap(),
        ],
    );
    let expected = "TLS_AES_128_GCM_SHA256 false 100000\nTLS_AES_128_GCM_SHA256 true 100000\n";
    assert_eq!((text(&output.stdout), text(&output.stderr)), (expected, ""));
    for resumed in [Resumed::No, Resumed::Yes] {
        let served = server.served();
        assert_eq!((served.shaken.unwrap().resumed, served.bytes), (resumed, 100_000));
        assert_eq!(served.end, Some(TransportEnd::InOrder));
    }
}

/// It ends its side right behind what it sends, and reads on.
const NODE: &str = r#"
const tls = require('tls'), fs = require('fs');
let kept;
const connect = (session, then) => {
    const s = tls.connect({ port: +process.argv[1], host: '127.0.0.1', servername: 'localhost', session,
        ca: fs.readFileSync(process.argv[2]), minVersion: 'TLSv1.3', ALPNProtocols: ['x'] });
    let length = 0;
    s.on('session', ticket => { kept = ticket; });
    s.on('secureConnect', () => s.end(Buffer.alloc(100000, 7)));
    s.on('data', data => { length += data.length; });
    s.on('end', () => { console.log(s.getCipher().name, s.isSessionReused(), length); then(); });
};
connect(undefined, () => connect(kept, () => {}));
"#;

/// For tools that are run by hand: see README.md.
#[test]
#[ignore = "serves other tools until it is ended"]
fn other_tools_are_served() {
    let file = |variable| std::fs::read_to_string(std::env::var(variable).expect(variable)).unwrap();
    let own = Signed {
        chain: file("HOLDFAST_TLS_CHAIN"),
        key: file("HOLDFAST_TLS_KEY"),
    };
    let settings = TlsServerSettings {
        certificates: certificates(&[&own]),
        ..settings()
    };
    let server = Server::new(TlsServer::new(&settings).unwrap(), Answering::Http);
    println!("port {}", server.port);
    loop {
        println!("{:?}", server.served());
    }
}
