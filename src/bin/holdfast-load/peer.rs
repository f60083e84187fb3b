//! The server that the gateway is measured beside, as a process of its own. It speaks to terminals only.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Resource, Rlimit, prlimit};

use crate::arguments::Common;
use crate::certificate::OwnCertificate;
use crate::ending::{Started, TempFolder};
use crate::mosquitto::Mosquitto;
use crate::peer_kind::PeerKind;

/// Descriptors of a server beside its connections.
const DESCRIPTORS_SPARE: u64 = 100;

/// A running one. It ends with this.
pub(crate) struct PeerServer {
    child: Started,
    pub(crate) terminals: SocketAddrV4,
    /// Its certificate, where it speaks TLS.
    _folder: Option<TempFolder>,
    /// Under which it runs, for the report.
    pub(crate) condition: String,
}

impl PeerServer {
    /// Starts it with room for `connections`, and with this many threads if it has a choice.
    pub(crate) fn start(
        common: &Common,
        kind: PeerKind,
        (connections, threads): (u32, u32),
        environment: &[(&'static str, &'static str)],
    ) -> anyhow::Result<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let SocketAddr::V4(terminals) = free else {
            bail!("loopback has an IPv4 address");
        };
        if common.wrapping.websocket || common.wrapping.tls && kind != PeerKind::Tokio {
            bail!("the server on tokio speaks TLS, and no other one does; none speaks WebSocket");
        }
        let count = match threads {
            1 => "1 thread".to_owned(),
            _ => format!("{threads} threads"),
        };
        let ((program, app), condition) = match kind {
            PeerKind::Tokio => (
                common.peer("holdfast-peer-tokio")?,
                match common.wrapping.tls {
                    false => format!("The server on tokio has {count}."),
                    true => format!(
                        "The server on tokio has {count}. Each of its connections is one of tokio-rustls, with the gateway's certificate."
                    ),
                },
            ),
            PeerKind::Echo => (
                (common.peer("holdfast-peer-echo")?.0, Vec::new()),
                format!(
                    "The echo loop has {count}, each with a ring. It knows no login and no presence: a login is a connect and a first echo, a logout is a close, and neither is compared."
                ),
            ),
            PeerKind::Mosquitto => return Self::start_mosquitto(terminals, connections),
        };
        let mut command = Command::new(program);
        command
            .arg(terminals.to_string())
            .arg(threads.to_string())
            .args(app);
        command.envs(environment.iter().copied()).stdout(Stdio::piped());
        let folder = common.wrapping.tls.then(TempFolder::new).transpose()?;
        if let Some(folder) = &folder {
            let files = OwnCertificate::get()?.write(folder.path())?;
            command.arg(files.chain).arg(files.key);
        }
        let name = kind.word();
        let child = Started::spawn(&mut command).with_context(|| format!("cannot start {name}"))?;
        let mut peer = Self {
            child,
            terminals,
            _folder: folder,
            condition,
        };
        peer.give_descriptors(connections)?;
        let out = peer.child.take_output().context("its output is piped")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        if !line.contains("is ready") {
            bail!("{name} ended before it was ready");
        }
        Ok(peer)
    }

    fn start_mosquitto(terminals: SocketAddrV4, connections: u32) -> anyhow::Result<Self> {
        let mosquitto = Mosquitto::find()?;
        let condition = format!(
            "{} has one thread: it cannot have more, so its rate is one core's. It lets everyone in and checks no password (`allow_anonymous true`), which is kind to it: the gateway checks a UserSig. Its terminals speak MQTT 3.1.1 with a clean session, and wait for no answer to a DISCONNECT, but for its close. Its settings: `{}`",
            mosquitto.version(),
            Mosquitto::settings(terminals).join("; ")
        );
        let mut peer = Self {
            child: mosquitto.spawn(terminals)?,
            terminals,
            _folder: None,
            condition,
        };
        peer.give_descriptors(connections)?;
        Mosquitto::wait_until_it_answers(&mut peer.child, terminals)?;
        Ok(peer)
    }

    /// Raises its soft limit of descriptors to the hard one, which has to be enough.
    fn give_descriptors(&self, connections: u32) -> anyhow::Result<()> {
        let process = Some(self.child.pid());
        let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
        let needed = u64::from(connections) + DESCRIPTORS_SPARE;
        if maximum.is_some_and(|maximum| maximum < needed) {
            bail!(
                "{connections} connections need {needed} descriptors in one process, and RLIMIT_NOFILE lets it have {}",
                maximum.unwrap_or_default()
            );
        }
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        prlimit(process, Resource::Nofile, raised).context("raising the peer's limit of descriptors")?;
        Ok(())
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }
}
