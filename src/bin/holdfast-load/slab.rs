//! What the kernel's caches hold for connections, by its own books: slab pages. It opens sockets only to see what they
//! take.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

/// The kernel's caches that a connection can take from: sockets, files, io_uring's requests, and the general ones. The
/// caches of file systems are left out, since everything else on the machine changes them.
const CACHES: [&str; 9] = [
    "TCP",
    "tcp_",
    "sock_inode_cache",
    "dentry",
    "filp",
    "lsm_",
    "io_",
    "eventpoll_",
    "kmalloc-",
];

/// Bytes of those caches: their pages, after free ones were given back.
///
/// # Errors
/// If `/proc/slabinfo` cannot be read, which only root may.
pub(crate) fn bytes() -> io::Result<f64> {
    // Without the right to do so the figure has some slack, no more.
    for cache in std::fs::read_dir("/sys/kernel/slab")
        .into_iter()
        .flatten()
        .flatten()
    {
        let _ = std::fs::write(cache.path().join("shrink"), "1");
    }
    let table = std::fs::read_to_string("/proc/slabinfo")?;
    let rows = table
        .lines()
        .skip(2)
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    let ours = rows.filter(|row| CACHES.iter().any(|cache| row[0].starts_with(cache)));
    let number = |text: Option<&&str>| text.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let page_bytes = rustix::param::page_size() as f64;
    // Columns by name: pagesperslab is the 6th, num_slabs the 15th.
    Ok(ours
        .map(|row| number(row.get(5)) * number(row.get(14)) * page_bytes)
        .sum())
}

/// What a taken port costs the client's end, which the gateway's end has not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PortBytes {
    /// The first time that a port is taken on any address.
    pub(crate) first: f64,
    /// Each time more, on another address.
    pub(crate) again: f64,
}

/// Sockets that are bound to find out.
const BOUND: usize = 4_000;

/// Slab memory of a taken port: what sockets grow by when they are bound.
///
/// # Errors
/// If sockets cannot be made or bound.
pub(crate) fn port_bytes() -> io::Result<PortBytes> {
    let make = || (0..BOUND).map(|_| socket(AddressFamily::INET, SocketType::STREAM, None));
    let one = make().collect::<Result<Vec<OwnedFd>, _>>()?;
    let other = make().collect::<Result<Vec<OwnedFd>, _>>()?;
    let mut ports = Vec::with_capacity(BOUND);
    let before = bytes()?;
    for socket in &one {
        bind(socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 3, 1), 0)))?;
        let bound = SocketAddr::try_from(getsockname(socket)?);
        ports.push(
            bound
                .map_err(|_| io::Error::from(io::ErrorKind::Unsupported))?
                .port(),
        );
    }
    let first = bytes()?;
    for (socket, port) in other.iter().zip(ports) {
        bind(socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 3, 2), port)))?;
    }
    let again = bytes()?;
    Ok(PortBytes {
        first: (first - before) / BOUND as f64,
        again: (again - first) / BOUND as f64,
    })
}

/// Ports that a system without settings of its own takes for connections.
const PORTS_DEFAULT: (f64, f64) = (32_768.0, 60_999.0);

/// What the ports of `connections` cost in all, taken at random among those that the system has.
#[must_use]
pub(crate) fn ports_bytes(each: PortBytes, connections: f64) -> f64 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = range
        .split_whitespace()
        .filter_map(|bound| bound.parse::<f64>().ok());
    let (low, high) = bounds.next().zip(bounds.next()).unwrap_or(PORTS_DEFAULT);
    let ports = high - low + 1.0;
    let different = ports * (1.0 - (1.0 - 1.0 / ports).powf(connections));
    different * each.first + (connections - different) * each.again
}
