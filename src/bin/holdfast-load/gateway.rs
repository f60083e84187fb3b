//! The gateway that the terminals go to: a process of its own, started here with a store in a folder of its own, or one
//! that runs already. It is told nothing but settings and signals.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Signal, kill_process};

use crate::arguments::Common;
use crate::certificate::Trusted;
use crate::ending::{Started, TempFolder, tell};
use crate::generator::dialect::TerminalDialect;
use crate::generator::target::GeneratorTarget;
use crate::generator::transport::TerminalTransport;

/// Connections of one shard when many are needed. A ring has 20,000 slots where that is the limit of descriptors; users
/// are not spread quite evenly, and a shard keeps 1,024 slots for those that others hand over.
pub(crate) const CONNECTIONS_PER_SHARD: u32 = 17_500;

/// The folder of its store.
const STORE: &str = "store";

/// A gateway.
pub(crate) struct Gateway {
    pub(crate) terminals: SocketAddrV4,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) process: u32,
    /// What terminals speak with it.
    pub(crate) transport: TerminalTransport,
    own: Option<OwnGateway>,
}

/// A gateway that was started here.
struct OwnGateway {
    child: Started,
    folder: TempFolder,
    command: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
    program: PathBuf,
    /// The log outlives this: it may say what went wrong.
    keeps_log: bool,
}

/// As many shards as `connections` need, and at least one a core.
pub(crate) fn shards_for(connections: u32) -> u32 {
    connections.div_ceil(CONNECTIONS_PER_SHARD).max(cores())
}

/// The cores that this thread may use, and with it all that it starts.
pub(crate) fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

impl Gateway {
    /// The one that the arguments name, or else one with these settings. Those of the arguments come last, and count.
    pub(crate) fn find(
        common: &Common,
        settings: &[(&str, String)],
        environment: &[(&'static str, &'static str)],
    ) -> anyhow::Result<Self> {
        if let Some(running) = common.running()? {
            return Ok(Self {
                terminals: running.terminals,
                http: running.http,
                admin: running.admin,
                process: running.process,
                transport: common.wrapping.transport(Trusted::Any)?,
                own: None,
            });
        }
        Self::start(common, free_addresses()?, settings, environment)
    }

    /// One with these settings, which takes terminals, the backend and the operator at these addresses.
    pub(crate) fn start(
        common: &Common,
        [terminals, http, admin]: [SocketAddrV4; 3],
        settings: &[(&str, String)],
        environment: &[(&'static str, &'static str)],
    ) -> anyhow::Result<Self> {
        let folder = TempFolder::new().with_context(|| {
            let parent = std::env::temp_dir();
            format!(
                "no folder for the gateway's store in {} (TMPDIR)",
                parent.display()
            )
        })?;
        let mut command = common.wrapping.settings(terminals, folder.path())?;
        command.extend([
            format!("http.listen=[\"{http}\"]"),
            format!("admin.listen=[\"{admin}\"]"),
            format!("registry.path={:?}", folder.path().join(STORE)),
            // The terminals come and go more often than people do.
            "limits.logins_per_user_max=1000000".to_owned(),
        ]);
        command.extend(settings.iter().map(|(key, value)| format!("{key}={value}")));
        command.extend(common.set.iter().cloned());
        let program = common.program()?;
        let mut own = OwnGateway {
            child: spawn(&program, &command, environment, folder.path())?,
            folder,
            command,
            environment: environment.to_vec(),
            program,
            keeps_log: true,
        };
        own.wait_until_ready()?;
        Ok(Self {
            terminals,
            http: http.into(),
            admin: admin.into(),
            process: own.child.id(),
            transport: common.wrapping.transport(Trusted::Own)?,
            own: Some(own),
        })
    }

    /// Where its terminals go, and how.
    pub(crate) fn target(&self) -> GeneratorTarget {
        GeneratorTarget {
            address: self.terminals,
            dialect: TerminalDialect::Gateway,
            transport: self.transport.clone(),
        }
    }

    /// Kills it, so that it has no time for anything.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        let own = self.own()?;
        own.child.kill().context("killing the gateway")?;
        Ok(())
    }

    /// Starts it again after a kill, at the same addresses and with the same store.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        let own = self.own()?;
        own.child = spawn(&own.program, &own.command, &own.environment, own.folder.path())?;
        own.wait_until_ready()?;
        self.process = self.own()?.child.id();
        Ok(())
    }

    /// Asks it to stop, and waits. Says whether it ended well. If it did, and `all_is_well`, its log is not kept.
    pub(crate) fn stop(mut self, all_is_well: bool) -> anyhow::Result<bool> {
        kill_process(self.own()?.child.pid(), Signal::INT).context("stopping the gateway")?;
        self.wait_until_ended(all_is_well)
    }

    /// Waits for one that ends by itself. For the rest as [`Self::stop`].
    pub(crate) fn wait_until_ended(mut self, all_is_well: bool) -> anyhow::Result<bool> {
        let own = self.own()?;
        let status = own.child.wait().context("waiting for the gateway")?;
        own.keeps_log = !(all_is_well && status.success());
        Ok(status.success())
    }

    /// Drops one that was killed. If `all_is_well`, its log is not kept.
    pub(crate) fn discard(mut self, all_is_well: bool) -> anyhow::Result<()> {
        self.own()?.keeps_log = !all_is_well;
        Ok(())
    }

    fn own(&mut self) -> anyhow::Result<&mut OwnGateway> {
        self.own
            .as_mut()
            .context("this scenario ends the gateway: leave --gateway away, so that it is one of its own")
    }
}

impl OwnGateway {
    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let out = self.child.take_output().context("its output is piped")?;
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        if lines.any(|line| line.contains("is ready")) {
            // What it says more must not fill the pipe.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(());
        }
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        bail!("the gateway ended before it was ready:\n{}", last.join("\n"));
    }
}

impl Drop for OwnGateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        if self.keeps_log {
            self.folder.keep();
            tell(&format!("the gateway's log: {}", self.log().display()));
            // Nobody misses it.
            let _ = std::fs::remove_dir_all(self.folder.path().join(STORE));
        }
    }
}

fn spawn(
    program: &Path,
    settings: &[String],
    environment: &[(&'static str, &'static str)],
    folder: &Path,
) -> anyhow::Result<Started> {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .context("the gateway's log cannot be written")?;
    let mut command = Command::new(program);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    Started::spawn(&mut command).with_context(|| format!("cannot start {}", program.display()))
}

/// An address that nobody listens at now.
pub(crate) fn free_address() -> anyhow::Result<SocketAddrV4> {
    Ok(free_addresses::<1>()?[0])
}

/// Different addresses that nobody listens at now.
pub(crate) fn free_addresses<const N: usize>() -> anyhow::Result<[SocketAddrV4; N]> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners: Vec<TcpListener> = (0..N).map(bind).collect::<Result<_, _>>()?;
    let mut addresses = [SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0); N];
    for (address, listener) in addresses.iter_mut().zip(&listeners) {
        address.set_port(listener.local_addr()?.port());
    }
    Ok(addresses)
}
