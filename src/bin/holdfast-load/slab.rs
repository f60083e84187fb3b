//! What the kernel's caches hold for connections, by its own books: slab pages. It opens nothing.

use std::io;

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

/// Slab memory of a taken port, by the sizes of the two caches that it takes an object from. They share pages with other
/// caches, so that what they grow by cannot be seen on its own.
///
/// # Errors
/// If `/sys/kernel/slab` does not tell.
pub(crate) fn port_bytes() -> io::Result<PortBytes> {
    let again = object_bytes("tcp_bind2_bucket")?;
    Ok(PortBytes {
        first: object_bytes("tcp_bind_bucket")? + again,
        again,
    })
}

/// What one object of a cache takes of its pages.
fn object_bytes(cache: &str) -> io::Result<f64> {
    let number = |name: &str| {
        let text = std::fs::read_to_string(format!("/sys/kernel/slab/{cache}/{name}"))?;
        let number = text.trim().parse::<u32>();
        number.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    };
    let pages = f64::from(1_u32 << number("order")?.min(20));
    Ok(pages * rustix::param::page_size() as f64 / f64::from(number("objs_per_slab")?.max(1)))
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
    // As long as it finds a free one, the kernel takes ports of one parity: even for a connect, odd for a bind.
    let ports = ((high - low + 1.0) / 2.0).max(1.0);
    let different = ports * (1.0 - (1.0 - 1.0 / ports).powf(connections));
    different * each.first + (connections - different) * each.again
}
