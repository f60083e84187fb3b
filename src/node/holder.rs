//! Who has a TCP address of this machine, as far as /proc shows it. Changes nothing, and never fails: who cannot be seen is
//! another process.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a listener in the kernel's table.
const LISTENS: &str = "0A";

/// Who has `address`, for people.
pub(super) fn holder(address: SocketAddr) -> String {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let inodes = inodes(&tables.concat(), address);
    let found = processes().find(|id| has_socket(*id, &inodes));
    match found {
        Some(id) if id == std::process::id() => "another listener of this gateway has it".to_owned(),
        Some(id) => format!("process {id} ({}) has it", name_of(id)),
        None => "another process has it: one that cannot be looked into, or one that ended a moment ago"
            .to_owned(),
    }
}

/// The sockets that overlap with `address`: those that listen, or else all others.
fn inodes(tables: &str, address: SocketAddr) -> Vec<String> {
    let mut listening = Vec::new();
    let mut others = Vec::new();
    for line in tables.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else {
            continue;
        };
        if read_address(local).is_some_and(|local| overlap(local, address)) {
            let list = if state == LISTENS {
                &mut listening
            } else {
                &mut others
            };
            list.push(format!("socket:[{inode}]"));
        }
    }
    if listening.is_empty() { others } else { listening }
}

fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port() && (ip == other_ip || ip.is_unspecified() || other_ip.is_unspecified())
}

/// An address as the kernel prints it: each four bytes as a number of the host, then the port.
fn read_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for word in ip.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let four = <[u8; 4]>::try_from(&*bytes).map(|bytes| IpAddr::from(Ipv4Addr::from(bytes)));
    let ip = four.or_else(|_| <[u8; 16]>::try_from(&*bytes).map(|bytes| IpAddr::from(Ipv6Addr::from(bytes))));
    Some(SocketAddr::from((ip.ok()?, port)))
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn has_socket(id: u32, inodes: &[String]) -> bool {
    let entries = fs::read_dir(format!("/proc/{id}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let mut links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.any(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
}

fn name_of(id: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TABLES: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2329 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:2329 0100007F:8000 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0
   2: 0100007F:8001 0100007F:2329 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0
   0: 00000000000000000000000000000000:232A 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0 100 0 0 10 0
   1: 00000000000000000000000001000000:232B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 15 1 0 100 0 0 10 0
";

    fn check(address: &str, expected: &[&str]) {
        let sockets: Vec<String> = expected.iter().map(|inode| format!("socket:[{inode}]")).collect();
        assert_eq!(inodes(TABLES, address.parse().unwrap()), sockets, "{address}");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_table_says_which_sockets_have_an_address() {
        check("127.0.0.1:9001", &["11"]);
        check("0.0.0.0:9001", &["11"]);
        check("10.0.0.1:9001", &[]);
        check("127.0.0.1:32769", &["13"]);
        check("10.0.0.1:9002", &["14"]);
        check("[::1]:9003", &["15"]);
        check("127.0.0.1:9004", &[]);
    }

    #[test]
    fn who_listens_is_found_by_its_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(holder(address), "another listener of this gateway has it");
        drop(listener);
        assert!(holder(address).starts_with("another process"));
    }
}
