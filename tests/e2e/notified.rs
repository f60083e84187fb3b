//! The service manager: what a gateway tells it over a real NOTIFY_SOCKET, and when.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use tempfile::TempDir;

use crate::support::command::{Running, wait_readable};
use crate::support::gateway::{Gateway, free_addresses};
use crate::support::http::Http;

const PROGRAM: &str = env!("CARGO_BIN_EXE_holdfast");

/// A service manager that listens as systemd does.
struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Self { folder, socket }
    }

    /// What has a gateway know of it.
    fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command
    }

    /// The lines of the next message.
    fn next(&self) -> Vec<String> {
        wait_readable(&self.socket);
        let mut bytes = [0; 1_024];
        let length = self.socket.recv(&mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Whether nothing was told.
    fn is_quiet(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let nothing = self.socket.recv(&mut [0; 1]).is_err();
        self.socket.set_nonblocking(false).unwrap();
        nothing
    }
}

fn monotonic() -> Duration {
    clock_gettime(ClockId::Monotonic).try_into().unwrap()
}

/// Reads the message that a reload begins with; it was begun after `asked`.
fn expect_reload(manager: &Manager, asked: Duration) {
    let lines = manager.next();
    assert_eq!((lines.len(), lines[0].as_str()), (2, "RELOADING=1"), "{lines:?}");
    let since = lines[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    let since = Duration::from_micros(since.parse().unwrap());
    // The message has whole microseconds.
    assert!(
        asked <= since + Duration::from_micros(1) && since <= monotonic(),
        "{asked:?}, {since:?}"
    );
    assert_eq!(manager.next(), ["READY=1"]);
}

#[test]
fn a_service_manager_hears_of_the_start_of_reloads_and_of_the_stop() {
    let manager = Manager::new();
    let settings = [("shards.count", "2"), ("node.stop_deadline_s", "20")];
    let gateway = Gateway::start_by(manager.command(), &settings);
    assert_eq!(manager.next(), ["READY=1", "STATUS=0 connections on 2 shards"]);

    let before = monotonic();
    gateway.hang_up();
    expect_reload(&manager, before);
    let http = Http::default();
    let tried = http.post(gateway.admin, "/v1/reload", &json!({"dry_run": true}));
    assert_eq!(tried.0, 200, "{}", tried.1);
    let before = monotonic();
    assert_eq!(http.post(gateway.admin, "/v1/reload", &json!({})).0, 200);
    // It is the first message since: who only tries out reloads nothing.
    expect_reload(&manager, before);

    let connection = TcpStream::connect(gateway.terminals).unwrap();
    assert_eq!(manager.next(), ["STATUS=1 connections on 2 shards"]);
    gateway.ask_to_stop();
    let told = ["STOPPING=1", "EXTEND_TIMEOUT_USEC=21000000", "STATUS=stopping"];
    assert_eq!(manager.next(), told);
    assert_eq!(gateway.ended(), Some(0));
    assert!(manager.is_quiet(), "it has stopped");
    drop(connection);
}

/// Starts a gateway that waits for `taken`, once it has said so.
fn waiting_for(taken: SocketAddr, manager: &Manager) -> (Running, SocketAddr) {
    let [_, http, admin] = free_addresses();
    let mut command = manager.command();
    for (name, address) in [("terminals", taken), ("http", http), ("admin", admin)] {
        command.args(["--set", &format!("{name}.listen=[\"{address}\"]")]);
    }
    command.args([
        "--set",
        "registry.store=memory",
        "--set",
        "node.start_patience_s=300",
    ]);
    let streams = command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut running = Running::start(streams.stderr(Stdio::piped()));
    running.error_with("the address is taken");
    (running, admin)
}

#[test]
fn a_gateway_is_ready_for_its_service_manager_when_readyz_says_so_and_not_before() {
    let (manager, holder) = (Manager::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (_gateway, admin) = waiting_for(holder.local_addr().unwrap(), &manager);
    assert!(manager.is_quiet(), "it waits for an address");
    drop(holder);
    assert_eq!(manager.next()[0], "READY=1");
    assert_eq!(Http::default().get(admin, "/readyz").0, 200);
}
