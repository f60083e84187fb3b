//! Addresses that the gateway listens at: which can be, opening them, and what is said when they are taken. Keeps nothing.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};

use anyhow::Context;

use super::config::Config;
use super::holder::holder;
use super::startup_wait::StartupWait;
use crate::engine::socket::{expect_free, listener, sole_listener};

/// Who is served at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerRole {
    /// Terminals, by every shard.
    Terminals,
    /// The app's backend.
    Backend,
    /// The operator.
    Admin,
    /// Browsers.
    Web,
}

impl ListenerRole {
    /// Its addresses.
    #[must_use]
    pub fn of(self, config: &Config) -> &[SocketAddr] {
        match self {
            Self::Terminals => &config.terminals,
            Self::Backend => &config.http,
            Self::Admin => &config.admin,
            Self::Web => &config.web,
        }
    }

    /// The setting that names them.
    #[must_use]
    pub fn setting(self) -> &'static str {
        match self {
            Self::Terminals => "terminals.listen",
            Self::Backend => "http.listen",
            Self::Admin => "admin.listen",
            Self::Web => "web.listen",
        }
    }
}

/// The addresses without `[::1]`, if this machine has no IPv6 and there is another.
#[must_use]
pub fn usable(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let has_ipv6 = TcpListener::bind((loopback, 0)).is_ok();
    let usable = addresses
        .iter()
        .filter(|address| has_ipv6 || address.ip() != loopback);
    let usable: Vec<_> = usable.copied().collect();
    if usable.is_empty() {
        addresses.to_vec()
    } else {
        usable
    }
}

/// Opens each of a listener's usable addresses, as a start does: no address of terminals is opened before all were found free, as they
/// are shared by shards and may overlap, `0.0.0.0` and `127.0.0.1` at one port.
pub fn open_each(
    role: ListenerRole,
    config: &Config,
    wait: StartupWait,
) -> Vec<(SocketAddr, anyhow::Result<TcpListener>)> {
    let free = |address: SocketAddr| match role {
        ListenerRole::Terminals => await_free(&[address], wait),
        ListenerRole::Backend | ListenerRole::Admin | ListenerRole::Web => Ok(()),
    };
    let addresses = usable(role.of(config)).into_iter();
    let found: Vec<_> = addresses.map(|address| (address, free(address))).collect();
    let opened = found.into_iter().map(|(address, free)| {
        let opened = free.and_then(|()| open(role, address, wait));
        (address, opened)
    });
    opened.collect()
}

/// Listens at an address. That of terminals is shared by all shards, each with a listener of its own: this is one more, which
/// shows that the shards can have theirs. It is tried for as long as `wait` says.
///
/// # Errors
/// What the system says, and if the address is taken, by whom.
pub fn open(role: ListenerRole, address: SocketAddr, wait: StartupWait) -> anyhow::Result<TcpListener> {
    let attempt = || match role {
        ListenerRole::Terminals => listener(address),
        ListenerRole::Backend | ListenerRole::Admin | ListenerRole::Web => sole_listener(address),
    };
    let opened = wait_for(role, address, wait, attempt)?;
    Ok(TcpListener::from(opened))
}

/// Waits until nobody else listens for terminals at these addresses.
pub(super) fn await_free(addresses: &[SocketAddr], wait: StartupWait) -> anyhow::Result<()> {
    let free =
        |address: &SocketAddr| wait_for(ListenerRole::Terminals, *address, wait, || expect_free(*address));
    addresses.iter().try_for_each(free)
}

/// Listens on all of them that are usable.
pub(super) fn listen(
    role: ListenerRole,
    config: &Config,
    wait: StartupWait,
) -> anyhow::Result<Vec<TcpListener>> {
    let addresses = usable(role.of(config)).into_iter();
    addresses.map(|address| open(role, address, wait)).collect()
}

fn wait_for<T>(
    role: ListenerRole,
    address: SocketAddr,
    wait: StartupWait,
    attempt: impl FnMut() -> io::Result<T>,
) -> anyhow::Result<T> {
    let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    let tell = |_: &io::Error| {
        let (setting, within_s) = (role.setting(), wait.0.as_secs());
        tracing::warn!(setting, %address, within_s, "the address is taken: waiting for it");
    };
    let outcome = wait.wait_for(attempt, is_taken, tell);
    outcome
        .map_err(|error| {
            let holder = is_taken(&error).then(|| holder(address));
            let error = anyhow::Error::from(error);
            match holder {
                Some(holder) => error.context(holder),
                None => error,
            }
        })
        .with_context(|| format!("{}: cannot listen at {address}", role.setting()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: StartupWait = StartupWait(std::time::Duration::ZERO);

    #[test]
    fn a_taken_address_is_named_with_its_setting_and_its_holder() {
        let first = open(ListenerRole::Admin, "127.0.0.1:0".parse().unwrap(), NONE).unwrap();
        let address = first.local_addr().unwrap();
        for (role, setting) in [
            (ListenerRole::Terminals, "terminals.listen"),
            (ListenerRole::Backend, "http.listen"),
            (ListenerRole::Admin, "admin.listen"),
            (ListenerRole::Web, "web.listen"),
        ] {
            let text = format!("{:#}", open(role, address, NONE).unwrap_err());
            let expected =
                format!("{setting}: cannot listen at {address}: another listener of this gateway has it: ");
            assert!(text.starts_with(&expected), "{text}");
        }
    }

    #[test]
    fn both_families_at_one_port_are_two_addresses_for_everyone() {
        for role in [
            ListenerRole::Terminals,
            ListenerRole::Backend,
            ListenerRole::Admin,
            ListenerRole::Web,
        ] {
            let six = open(role, "[::]:0".parse().unwrap(), NONE).unwrap();
            let four = SocketAddr::from(([0, 0, 0, 0], six.local_addr().unwrap().port()));
            open(role, four, NONE).unwrap();
        }
    }
}
