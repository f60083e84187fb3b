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
    /// Other nodes of the cluster.
    Peers,
}

/// An address of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// Who is served there.
    pub role: ListenerRole,
    /// The setting that names it.
    pub setting: String,
    /// Where.
    pub address: SocketAddr,
}

impl ListenAddress {
    /// All that are usable for one role.
    #[must_use]
    pub fn all(role: ListenerRole, config: &Config) -> Vec<Self> {
        let of = |setting: &str, address: SocketAddr| Self {
            role,
            setting: setting.to_owned(),
            address,
        };
        let of_http = |setting, addresses: &[SocketAddr]| {
            let usable = usable(addresses, |address| *address).into_iter();
            usable.map(|address| of(setting, address)).collect()
        };
        match role {
            ListenerRole::Terminals => {
                let usable = usable(&config.terminals, |listener| listener.address).into_iter();
                usable
                    .map(|listener| of(&listener.setting, listener.address))
                    .collect()
            }
            ListenerRole::Backend => of_http("http.listen", &config.http),
            ListenerRole::Admin => of_http("admin.listen", &config.admin),
            ListenerRole::Web => of_http("web.listen", &config.web),
            ListenerRole::Peers => of_http("cluster.listen", &config.cluster.listen),
        }
    }
}

/// The listeners without those at `[::1]`, if this machine has no IPv6 and there is another.
#[must_use]
pub fn usable<T: Clone>(listeners: &[T], address: impl Fn(&T) -> SocketAddr) -> Vec<T> {
    let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let has_ipv6 = TcpListener::bind((loopback, 0)).is_ok();
    let usable = listeners
        .iter()
        .filter(|one| has_ipv6 || address(one).ip() != loopback);
    let usable: Vec<_> = usable.cloned().collect();
    if usable.is_empty() {
        listeners.to_vec()
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
    let free = |at: &ListenAddress| match role {
        ListenerRole::Terminals => await_free(at, wait),
        ListenerRole::Backend | ListenerRole::Admin | ListenerRole::Web | ListenerRole::Peers => Ok(()),
    };
    let all = ListenAddress::all(role, config).into_iter();
    let found: Vec<_> = all.map(|at| (free(&at), at)).collect();
    let opened = found.into_iter().map(|(free, at)| {
        let opened = free.and_then(|()| open(&at, wait));
        (at.address, opened)
    });
    opened.collect()
}

/// Listens at an address. That of terminals is shared by all shards, each with a listener of its own: this is one more, which
/// shows that the shards can have theirs. It is tried for as long as `wait` says.
///
/// # Errors
/// What the system says, and if the address is taken, by whom.
fn open(at: &ListenAddress, wait: StartupWait) -> anyhow::Result<TcpListener> {
    let attempt = || match at.role {
        ListenerRole::Terminals => listener(at.address),
        ListenerRole::Backend | ListenerRole::Admin | ListenerRole::Web | ListenerRole::Peers => {
            sole_listener(at.address)
        }
    };
    let opened = wait_for(at, wait, attempt)?;
    Ok(TcpListener::from(opened))
}

/// Waits until nobody else listens there.
pub(super) fn await_free(at: &ListenAddress, wait: StartupWait) -> anyhow::Result<()> {
    wait_for(at, wait, || expect_free(at.address))
}

/// Listens on all of them that are usable.
pub(super) fn listen(
    role: ListenerRole,
    config: &Config,
    wait: StartupWait,
) -> anyhow::Result<Vec<TcpListener>> {
    let all = ListenAddress::all(role, config);
    all.iter().map(|at| open(at, wait)).collect()
}

fn wait_for<T>(
    ListenAddress { setting, address, .. }: &ListenAddress,
    wait: StartupWait,
    attempt: impl FnMut() -> io::Result<T>,
) -> anyhow::Result<T> {
    let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    let tell = |_: &io::Error| {
        let within_s = wait.0.as_secs();
        tracing::warn!(setting, %address, within_s, "the address is taken: waiting for it");
    };
    let outcome = wait.wait_for(attempt, is_taken, tell);
    outcome
        .map_err(|error| {
            let holder = is_taken(&error).then(|| holder(*address));
            let error = anyhow::Error::from(error);
            match holder {
                Some(holder) => error.context(holder),
                None => error,
            }
        })
        .with_context(|| format!("{setting}: cannot listen at {address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: StartupWait = StartupWait(std::time::Duration::ZERO);

    fn at(role: ListenerRole, setting: &str, address: SocketAddr) -> ListenAddress {
        let setting = setting.to_owned();
        ListenAddress {
            role,
            setting,
            address,
        }
    }

    #[test]
    fn a_taken_address_is_named_with_its_setting_and_its_holder() {
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let first = open(&at(ListenerRole::Admin, "admin.listen", anywhere), NONE).unwrap();
        let address = first.local_addr().unwrap();
        for (role, setting) in [
            (ListenerRole::Terminals, "terminals.listen"),
            (ListenerRole::Terminals, "terminals.listener[1]"),
            (ListenerRole::Backend, "http.listen"),
            (ListenerRole::Admin, "admin.listen"),
            (ListenerRole::Web, "web.listen"),
        ] {
            let text = format!("{:#}", open(&at(role, setting, address), NONE).unwrap_err());
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
            let six = open(&at(role, "", "[::]:0".parse().unwrap()), NONE).unwrap();
            let four = SocketAddr::from(([0, 0, 0, 0], six.local_addr().unwrap().port()));
            open(&at(role, "", four), NONE).unwrap();
        }
    }
}
