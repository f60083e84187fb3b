//! The plain server on tokio that the gateway is measured beside, as a process of its own. It speaks to terminals only.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};

use crate::arguments::Common;

/// A running one. It ends with this.
pub(crate) struct Peer {
    child: Child,
    pub(crate) terminals: SocketAddrV4,
}

impl Peer {
    /// Starts it with this many threads.
    pub(crate) fn start(
        common: &Common,
        threads: u32,
        environment: &[(&'static str, &'static str)],
    ) -> anyhow::Result<Self> {
        let (program, app) = common.peer()?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let SocketAddr::V4(terminals) = free else {
            bail!("loopback has an IPv4 address");
        };
        let mut command = Command::new(program);
        command
            .arg(terminals.to_string())
            .arg(threads.to_string())
            .args(app);
        command.envs(environment.iter().copied()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the server on tokio")?;
        let out = child.stdout.take().context("its output is piped")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let peer = Self { child, terminals };
        if !line.contains("is ready") {
            bail!("the server on tokio ended before it was ready");
        }
        Ok(peer)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
