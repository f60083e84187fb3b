//! A service manager, and certificates, for tests of the node.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;

use tempfile::TempDir;

use super::service_manager::ServiceManager;

#[path = "../../tests/support/certificate.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests outside")]
pub(super) mod certificate;

/// A service manager that listens, and what a node knows of it.
pub(super) fn manager() -> (TempDir, UnixDatagram, ServiceManager) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let known = ServiceManager::at(path.as_os_str()).unwrap();
    (folder, socket, known)
}

/// The lines of the next message, without the time in it; none if there is none.
pub(super) fn next(socket: &UnixDatagram) -> Vec<String> {
    let mut bytes = [0; 512];
    let length = socket.recv(&mut bytes).unwrap_or(0);
    let text = std::str::from_utf8(&bytes[..length]).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("MONOTONIC_USEC="));
    lines.map(str::to_owned).collect()
}

/// Writes to it until it has no room.
pub(super) fn fill(socket: &UnixDatagram) {
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let refused = loop {
        if let Err(error) = other.send_to_addr(b"of others", &address) {
            break error;
        }
    };
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
}
