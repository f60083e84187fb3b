//! Tells the service manager, such as systemd, how the node is doing, by the protocol of sd_notify: ready, reloading,
//! stopping, and a line for people. Without NOTIFY_SOCKET in the environment nobody is told anything. It never waits for the manager.

use std::ffi::OsStr;
use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;

/// The line for people is told at each so-many-th look: it changes all the time, and each telling goes to all who watch the unit.
const LOOKS_A_STATUS: u32 = 5;

/// The service manager, for everyone who has something to tell it.
#[derive(Debug, Clone, Default)]
pub struct ServiceManager(Option<Arc<Mutex<ManagerConnection>>>);

#[derive(Debug)]
struct ManagerConnection {
    socket: UnixDatagram,
    address: SocketAddr,
    phase: NodePhase,
    /// What the manager had no room for. Something newer takes its place: only the latest state counts.
    owed: Option<String>,
    /// The line for people that it was told last.
    status: String,
    looks: u32,
    /// Whether it was said in the log that the manager cannot be told anything.
    warned: Warned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NodePhase {
    Starting,
    Serving {
        /// Reloads under way. Ready again after the last.
        reloads: u32,
    },
    Stopping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Warned {
    No,
    Yes,
}

/// A reload that is under way. The service is ready again when it is dropped.
#[derive(Debug)]
pub(super) struct Reloading(ServiceManager);

impl ServiceManager {
    /// The one that NOTIFY_SOCKET names. One that cannot be told anything does not keep the node from serving.
    pub(super) fn from_environment() -> Self {
        let named = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let Some(name) = named else { return Self::default() };
        Self::at(&name).unwrap_or_else(|error| {
            tracing::warn!(?name, %error, "NOTIFY_SOCKET is no address of a service manager: it is told nothing");
            Self::default()
        })
    }

    pub(super) fn at(name: &OsStr) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // It may be slow, or stopped: nobody here waits for it.
        socket.set_nonblocking(true)?;
        let connection = ManagerConnection {
            socket,
            address: address(name)?,
            phase: NodePhase::Starting,
            owed: None,
            status: String::new(),
            looks: 0,
            warned: Warned::No,
        };
        Ok(Self(Some(Arc::new(Mutex::new(connection)))))
    }

    /// The node serves: `/readyz` says so, too.
    pub(super) fn ready(&self, status: &str) {
        self.with(|connection| {
            connection.phase = NodePhase::Serving { reloads: 0 };
            status.clone_into(&mut connection.status);
            connection.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
        });
    }

    /// To be called once a second. Tells the line that people see, now and then and if it is another one than the last, and tries
    /// again what could not be told before.
    pub(super) fn look(&self, status: impl FnOnce() -> String) {
        self.with(|connection| {
            if connection.owed.is_some() {
                return connection.send_owed();
            }
            connection.looks += 1;
            if connection.looks.is_multiple_of(LOOKS_A_STATUS) {
                connection.tell_status(status());
            }
        });
    }

    /// Tries again what could not be told before.
    pub(super) fn tell_owed(&self) {
        self.with(ManagerConnection::send_owed);
    }

    /// A reload begins, and goes on until what this gives is dropped.
    pub(super) fn reloading(&self) -> Reloading {
        self.with(|connection| {
            if let NodePhase::Serving { reloads } = &mut connection.phase {
                *reloads += 1;
                // systemd compares that time with when it asked for a reload.
                let since = NotifyState::monotonic_usec_now().ok();
                let states: Vec<_> = std::iter::once(NotifyState::Reloading).chain(since).collect();
                connection.tell(&states);
            }
        });
        Reloading(self.clone())
    }

    /// The node stops, which takes no longer than `within`.
    pub(super) fn stopping(&self, within: Duration) {
        self.with(|connection| {
            connection.phase = NodePhase::Stopping;
            let micros = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
            let states = [
                NotifyState::Stopping,
                NotifyState::ExtendTimeoutUsec(micros),
                NotifyState::Status("stopping"),
            ];
            connection.tell(&states);
        });
    }

    fn with(&self, act: impl FnOnce(&mut ManagerConnection)) {
        if let Some(connection) = &self.0 {
            let mut connection: MutexGuard<'_, ManagerConnection> =
                connection.lock().unwrap_or_else(PoisonError::into_inner);
            act(&mut connection);
        }
    }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        self.0.with(|connection| {
            if let NodePhase::Serving { reloads } = &mut connection.phase {
                *reloads = reloads.saturating_sub(1);
                if *reloads == 0 {
                    connection.tell(&[NotifyState::Ready]);
                }
            }
        });
    }
}

impl ManagerConnection {
    fn tell_status(&mut self, text: String) {
        if text != self.status && self.phase != NodePhase::Stopping {
            self.tell(&[NotifyState::Status(&text)]);
            self.status = text;
        }
    }

    /// Tells it, now or as soon as there is room.
    fn tell(&mut self, states: &[NotifyState<'_>]) {
        let mut text = String::new();
        for state in states {
            writeln!(text, "{state}").expect("a string takes all text");
        }
        self.owed = Some(text);
        self.send_owed();
    }

    fn send_owed(&mut self) {
        let Some(text) = &self.owed else { return };
        match self.socket.send_to_addr(text.as_bytes(), &self.address) {
            Ok(_) => self.owed = None,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => {
                if self.warned == Warned::No {
                    self.warned = Warned::Yes;
                    tracing::warn!(%error, "the service manager at NOTIFY_SOCKET cannot be told anything; it is tried again");
                }
            }
        }
    }
}

/// A path, or with an `@` in front a name that is no file's.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(
            ErrorKind::InvalidInput,
            "it begins with neither / nor @",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tests::{fill, manager, next};

    /// Looks as often as it takes for a line.
    fn look(known: &ServiceManager, line: &str) {
        (0..LOOKS_A_STATUS).for_each(|_| known.look(|| line.to_owned()));
    }

    #[test]
    fn nobody_is_told_where_nobody_listens() {
        let nobody = ServiceManager::default();
        nobody.ready("serving");
        (0..LOOKS_A_STATUS).for_each(|_| nobody.look(|| unreachable!("nobody would see it")));
        drop(nobody.reloading());
        nobody.stopping(Duration::ZERO);
    }

    #[test]
    fn a_line_is_told_when_it_differs_from_the_last() {
        let (_folder, socket, known) = manager();
        known.ready("one");
        assert_eq!(next(&socket), ["READY=1", "STATUS=one"]);
        look(&known, "one");
        assert_eq!(next(&socket), [""; 0]);
        look(&known, "two");
        assert_eq!(next(&socket), ["STATUS=two"]);
    }

    #[test]
    fn it_is_ready_again_after_the_last_of_several_reloads() {
        let (_folder, socket, known) = manager();
        known.ready("");
        next(&socket);
        let (one, other) = (known.reloading(), known.reloading());
        assert_eq!([next(&socket), next(&socket)], [["RELOADING=1"], ["RELOADING=1"]]);
        drop(one);
        assert_eq!(next(&socket), [""; 0], "one is still under way");
        drop(other);
        assert_eq!(next(&socket), ["READY=1"]);
    }

    #[test]
    fn a_node_that_stops_is_not_ready_any_more() {
        let (_folder, socket, known) = manager();
        known.ready("");
        next(&socket);
        let reloading = known.reloading();
        next(&socket);
        known.stopping(Duration::from_secs(11));
        let told = ["STOPPING=1", "EXTEND_TIMEOUT_USEC=11000000", "STATUS=stopping"];
        assert_eq!(next(&socket), told);
        drop(reloading);
        look(&known, "serving");
        assert_eq!(next(&socket), [""; 0]);
    }

    #[test]
    fn a_reload_before_the_node_serves_does_not_make_it_ready() {
        let (_folder, socket, known) = manager();
        drop(known.reloading());
        assert_eq!(next(&socket), [""; 0]);
    }

    #[test]
    fn what_a_manager_had_no_room_for_is_told_later_and_only_the_latest() {
        let (_folder, socket, known) = manager();
        fill(&socket);
        known.ready("serving");
        drop(known.reloading());
        while next(&socket) != [""; 0] {}
        known.look(|| unreachable!("what is owed comes first"));
        assert_eq!(next(&socket), ["READY=1"]);
        fill(&socket);
        known.stopping(Duration::ZERO);
        while next(&socket) != [""; 0] {}
        known.tell_owed();
        assert_eq!(next(&socket)[0], "STOPPING=1");
        known.tell_owed();
        assert_eq!(next(&socket), [""; 0]);
    }

    #[test]
    fn a_manager_that_is_gone_harms_nobody() {
        let (folder, socket, known) = manager();
        drop((folder, socket));
        known.ready("");
        known.stopping(Duration::ZERO);
    }

    #[test]
    fn both_kinds_of_addresses_are_known() {
        assert!(
            address(OsStr::new("/run/systemd/notify"))
                .unwrap()
                .as_pathname()
                .is_some()
        );
        let named = address(OsStr::new("@manager")).unwrap();
        assert_eq!(named.as_abstract_name(), Some(&b"manager"[..]));
        assert!(address(OsStr::new("vsock:2:1")).is_err());
    }
}
