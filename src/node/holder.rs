//! Who has a TCP address of this machine, as far as /proc shows it. Changes nothing, and never fails: who cannot be seen is
//! another process.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The kernel's tables of sockets.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// The state of a listener there.
const LISTENS: &str = "0A";

/// Of sockets that do not listen so many are looked for: they belong to one process, or to the few that share a listener. A
/// gateway that was killed has left a million.
const OTHERS_MAX: usize = 16;

/// What a gateway's process is called.
const GATEWAY: &str = "holdfast";

/// Who has `address`, for people. It reads the kernel's tables, which takes seconds with millions of connections.
pub(super) fn holder(address: SocketAddr) -> String {
    let mut sockets = Sockets::at(address);
    for table in TABLES {
        // A table that cannot be read shows nobody.
        let _ = each_line(table, |line| sockets.look(line));
    }
    let inodes = sockets.inodes();
    let found = processes().find(|id| has_socket(*id, &inodes));
    match found {
        Some(id) if id == std::process::id() => "another listener of this gateway has it".to_owned(),
        Some(id) => format!("process {id} ({}) has it", name_of(id)),
        None => unseen(processes().find(|id| is_closed(&name_of(*id), &descriptors(*id)))),
    }
}

/// What is said if no process shows the socket; perhaps it is that of this gateway's process.
fn unseen(gateway: Option<u32>) -> String {
    match gateway {
        Some(id) => format!("perhaps process {id} ({GATEWAY}) has it, which only root can look into"),
        None => "another process has it: one that cannot be looked into, or one that ended a moment ago"
            .to_owned(),
    }
}

/// Whether a process is a gateway whose descriptors are not shown, as without `node.core_dumps` to all but root.
fn is_closed(name: &str, descriptors: &io::Result<fs::ReadDir>) -> bool {
    let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    name == GATEWAY && descriptors.as_ref().err().is_some_and(denied)
}

/// Reads line by line: the whole may be hundreds of megabytes.
fn each_line(path: &str, mut look: impl FnMut(&str)) -> io::Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut line = String::new();
    while file.read_line(&mut line)? > 0 {
        look(&line);
        line.clear();
    }
    Ok(())
}

/// The sockets that overlap with an address, as `/proc` names them.
struct Sockets {
    address: SocketAddr,
    /// How a line's address ends if it has this port.
    port: String,
    listening: Vec<String>,
    others: Vec<String>,
}

impl Sockets {
    fn at(address: SocketAddr) -> Self {
        Self {
            address,
            port: format!(":{:04X}", address.port()),
            listening: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Looks at a line of a table.
    fn look(&mut self, line: &str) {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let Some(local) = fields.next().filter(|local| local.ends_with(&self.port)) else {
            return;
        };
        let (state, inode) = (fields.nth(1), fields.nth(5));
        let (Some(state), Some(inode)) = (state, inode) else {
            return;
        };
        if !read_address(local).is_some_and(|local| overlap(local, self.address)) {
            return;
        }
        if state == LISTENS {
            self.listening.push(format!("socket:[{inode}]"));
        } else if self.others.len() < OTHERS_MAX {
            self.others.push(format!("socket:[{inode}]"));
        }
    }

    /// Those that listen, or else some others.
    fn inodes(self) -> Vec<String> {
        if self.listening.is_empty() {
            self.others
        } else {
            self.listening
        }
    }
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
    let entries = descriptors(id).into_iter().flatten().flatten();
    let mut links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.any(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
}

fn descriptors(id: u32) -> io::Result<fs::ReadDir> {
    fs::read_dir(format!("/proc/{id}/fd"))
}

fn name_of(id: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const LINES: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2329 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:2329 0100007F:8000 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0
   2: 0100007F:8001 0100007F:2329 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0
   0: 00000000000000000000000000000000:232A 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0 100 0 0 10 0
   1: 00000000000000000000000001000000:232B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 15 1 0 100 0 0 10 0
";

    fn check(address: &str, expected: &[&str]) {
        let sockets: Vec<String> = expected.iter().map(|inode| format!("socket:[{inode}]")).collect();
        let mut seen = Sockets::at(address.parse().unwrap());
        LINES.lines().for_each(|line| seen.look(line));
        assert_eq!(seen.inodes(), sockets, "{address}");
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
    fn of_a_million_connections_a_few_are_looked_for() {
        let mut seen = Sockets::at("127.0.0.1:9001".parse().unwrap());
        let connection = LINES.lines().nth(2).unwrap();
        (0..1_000).for_each(|_| seen.look(connection));
        assert_eq!(seen.inodes().len(), OTHERS_MAX);
    }

    #[test]
    fn a_gateway_that_only_root_can_look_into_is_named() {
        let denied = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let gone = Err(io::Error::from(io::ErrorKind::NotFound));
        assert!(is_closed("holdfast", &denied()));
        assert!(!is_closed("sshd", &denied()) && !is_closed("holdfast", &gone));
        assert!(!is_closed("holdfast", &descriptors(std::process::id())));
        assert!(unseen(Some(7)).starts_with("perhaps process 7 (holdfast)"));
    }

    #[test]
    fn who_listens_is_found_by_its_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(holder(address), "another listener of this gateway has it");
        drop(listener);
        let nobody = holder(address);
        assert!(
            nobody.starts_with("another process") || nobody.starts_with("perhaps process"),
            "{nobody}"
        );
    }
}
