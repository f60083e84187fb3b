//! Listeners and their options, and pinning a thread to a core. Touches no connection: everything that a
//! connection needs is set on its listener, and inherited.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::base::limits::{LISTEN_BACKLOG_CONNECTIONS, SOCKET_RECEIVE_BYTES, SOCKET_SEND_BYTES};

/// A listener of one shard at `address`. All shards listen at the same address, and the kernel spreads connections
/// over them.
///
/// # Errors
/// What the system says: the address is in use, is not of this machine, or is not permitted.
pub fn listener(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket_for(address)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_recv_buffer_size(&socket, SOCKET_RECEIVE_BYTES)?;
    sockopt::set_socket_send_buffer_size(&socket, SOCKET_SEND_BYTES)?;
    bind(&socket, &address)?;
    listen(&socket, LISTEN_BACKLOG_CONNECTIONS)?;
    Ok(socket)
}

/// A listener at `address` that shares it with nobody.
///
/// # Errors
/// As [`listener`].
pub fn sole_listener(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket_for(address)?;
    bind(&socket, &address)?;
    listen(&socket, LISTEN_BACKLOG_CONNECTIONS)?;
    Ok(socket)
}

/// Whether nobody listens at `address`. The shards share their addresses, and so would a second gateway: half of the terminals
/// would meet it. A socket that shares with nobody finds out, and since it does not listen nobody is queued at it.
///
/// # Errors
/// As [`listener`].
pub fn expect_free(address: SocketAddr) -> io::Result<()> {
    Ok(bind(&socket_for(address)?, &address)?)
}

/// What every listener of the gateway is: an address means the same for terminals, backends and operators.
fn socket_for(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Connections of an earlier gateway that still linger do not keep its address.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // IPv4 has a listener of its own, whatever net.ipv6.bindv6only says.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

/// Where a listener listens: with the port that the system chose, if it was asked to.
///
/// # Errors
/// If it is no bound socket.
pub fn local_address(listener: &OwnedFd) -> io::Result<SocketAddr> {
    let address = SocketAddr::try_from(getsockname(listener)?);
    address.map_err(|_| io::Error::from(io::ErrorKind::Unsupported))
}

/// Keeps the calling thread on the `number`-th of the cores that this process may use, counted round and round.
///
/// # Errors
/// What the system says.
pub fn pin_thread(number: usize) -> io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .collect();
    let mut one = CpuSet::new();
    one.set(cores[number % cores.len()]);
    Ok(sched_setaffinity(None, &one)?)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn check(address: &str) {
        let one = listener(address.parse().unwrap()).unwrap();
        let bound = local_address(&one).unwrap();
        let _two = listener(bound).unwrap();
        TcpStream::connect(bound).unwrap();
        let std = TcpListener::from(one);
        assert_eq!(std.local_addr().unwrap(), bound);
    }

    #[test]
    fn two_shards_listen_at_one_address_of_both_families() {
        check("127.0.0.1:0");
        check("[::1]:0");
    }

    #[test]
    fn a_sole_listener_shares_its_address_with_nobody() {
        let sole = sole_listener("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = local_address(&sole).unwrap();
        for refused in [sole_listener(address), listener(address)] {
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        }
        drop(sole);
        let _shared = listener(address).unwrap();
        let refused = expect_free(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn any_address_of_one_family_leaves_the_other_family_free() {
        for listen in [listener, sole_listener] {
            let six = listen("[::]:0".parse().unwrap()).unwrap();
            let port = local_address(&six).unwrap().port();
            let _four = listen(SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
        }
    }

    #[test]
    fn connections_inherit_what_their_listener_has() {
        let listener = listener("127.0.0.1:0".parse().unwrap()).unwrap();
        let _client = TcpStream::connect(local_address(&listener).unwrap()).unwrap();
        let (accepted, _) = TcpListener::from(listener).accept().unwrap();
        assert!(sockopt::tcp_nodelay(&accepted).unwrap());
        // The kernel doubles what it is asked for, to have room for its own structures.
        assert_eq!(
            sockopt::socket_recv_buffer_size(&accepted).unwrap(),
            2 * SOCKET_RECEIVE_BYTES
        );
        assert_eq!(
            sockopt::socket_send_buffer_size(&accepted).unwrap(),
            2 * SOCKET_SEND_BYTES
        );
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        listener("192.0.2.1:0".parse().unwrap()).unwrap_err();
    }

    #[test]
    fn a_pinned_thread_has_one_core() {
        std::thread::spawn(|| {
            pin_thread(5).unwrap();
            assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
        })
        .join()
        .unwrap();
    }
}
