//! Starts: at addresses that another process has, or had a moment ago.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use tempfile::TempDir;

use crate::support::gateway::{Gateway, free_addresses};
use crate::support::http::Http;

const PROGRAM: &str = env!("CARGO_BIN_EXE_holdfast");

/// Few enough for the descriptors of a test, and enough that the kernel takes its time to close them.
const LINKS: usize = 400;

#[test]
fn a_start_right_after_a_kill_gets_its_addresses_and_its_store() {
    let folder = TempDir::new().unwrap();
    let path = format!("{:?}", folder.path());
    let settings = [("shards.count", "2"), ("registry.path", path.as_str())];
    let addresses = free_addresses();
    let start = || Gateway::start_at(addresses, Command::new(PROGRAM), &settings);
    let mut running = start();
    for _ in 0..6 {
        let links: Vec<TcpStream> = (0..LINKS)
            .map(|_| TcpStream::connect(running.terminals).unwrap())
            .collect();
        running.kill();
        // Nobody waits for the end of the process.
        let next = start();
        drop(links);
        running = next;
    }
    assert_eq!(Http::default().get(running.admin, "/readyz").0, 200);
    assert!(running.stop());
}

/// A gateway whose start waits for `taken` to be free, once it has said so.
fn waiting(taken: &str, addresses: [SocketAddr; 3], store: &TempDir) -> Gateway {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = Command::new(PROGRAM);
    command.stderr(writer);
    let path = format!("{:?}", store.path());
    let settings = [("registry.path", path.as_str()), ("node.start_patience_s", "300")];
    let gateway = Gateway::spawn(addresses, command, &settings);
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(taken)), "it does not wait");
    gateway
}

#[test]
fn a_start_that_waits_ends_at_the_first_signal() {
    let (here, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = format!("{:?}", here.path());
    let addresses = free_addresses();
    let first = Gateway::start_at(
        addresses,
        Command::new(PROGRAM),
        &[("registry.path", path.as_str())],
    );
    let at_an_address = waiting("the address is taken", addresses, &elsewhere);
    at_an_address.ask_to_stop();
    assert_eq!(
        at_an_address.ended(),
        None,
        "nothing has begun that could end in order"
    );
    let at_a_store = waiting("the store is taken", free_addresses(), &here);
    at_a_store.ask_to_stop();
    assert_eq!(at_a_store.ended(), Some(0));
    assert!(first.stop());
}

/// What a gateway says that finds `taken` taken and does not wait for it.
fn refused(name: &str, taken: SocketAddr) -> String {
    let mut command = Command::new(PROGRAM);
    for (known, free) in ["terminals", "http", "admin"].into_iter().zip(free_addresses()) {
        let address = if known == name { taken } else { free };
        command.args(["--set", &format!("{known}.listen=[\"{address}\"]")]);
    }
    command.args([
        "--set",
        "registry.store=memory",
        "--set",
        "node.start_patience_s=0",
    ]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn who_has_an_address_is_named() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    for name in ["terminals", "http", "admin"] {
        let text = refused(name, taken);
        let by = format!(
            "{name}.listen: cannot listen at {taken}: process {} (",
            std::process::id()
        );
        assert!(text.contains(&by), "{text}");
    }
}
