//! Addresses that HTTP is served on. Keeps nothing.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};

use anyhow::Context;

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

/// Listens on all of them that are usable.
pub(super) fn listen(addresses: &[SocketAddr]) -> anyhow::Result<Vec<TcpListener>> {
    let bind = |address: &SocketAddr| {
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))
    };
    usable(addresses).iter().map(bind).collect()
}
