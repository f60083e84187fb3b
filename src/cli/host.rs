//! What a host allows: limits of the process and of the kernel, read and compared with what is needed. Changes nothing.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::numbers::{bytes, grouped};
use super::plan::{tcp_mem, tcp_pages};
use super::sizing::{DESCRIPTORS_MIN, Need, shards_for, slots_for};
use crate::engine::setup::SetupError;
use crate::node::config::shards::{ShardPlan, ShardsWanted};
use crate::node::shards::LOCKED_BYTES_PER_SHARD;

/// What was found. `None`: this kernel does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) cores: usize,
    /// The soft and the hard limit of descriptors.
    pub(super) nofile: (u64, u64),
    /// Bytes that the process may lock: the hard limit, which the gateway raises its soft one to.
    pub(super) memlock: u64,
    pub(super) nr_open: Option<u64>,
    pub(super) file_max: Option<u64>,
    pub(super) somaxconn: Option<u64>,
    pub(super) syn_backlog: Option<u64>,
    pub(super) ports: Option<(u64, u64)>,
    /// Pages from which on TCP saves memory.
    pub(super) tcp_pressure_pages: Option<u64>,
    pub(super) memory_available: Option<u64>,
    /// What the control group leaves.
    pub(super) memory_of_group: Option<u64>,
    pub(super) io_uring_disabled: Option<u64>,
    /// Connections that the packet filter remembers, if it does.
    pub(super) conntrack: Option<u64>,
}

/// How one thing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) name: &'static str,
    pub(super) outcome: Result<String, String>,
}

impl Host {
    /// Looks at this host. `root` is where its `/proc` and `/sys` are.
    pub(super) fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let number = |path: &str| first_number(&text(path)?);
        let limit = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        let nofile = getrlimit(Resource::Nofile);
        let meminfo = text("proc/meminfo");
        let ports = text("proc/sys/net/ipv4/ip_local_port_range");
        let tcp_mem = text("proc/sys/net/ipv4/tcp_mem");
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            nofile: (limit(nofile.current), limit(nofile.maximum)),
            memlock: limit(getrlimit(Resource::Memlock).maximum),
            nr_open: number("proc/sys/fs/nr_open"),
            file_max: number("proc/sys/fs/file-max"),
            somaxconn: number("proc/sys/net/core/somaxconn"),
            syn_backlog: number("proc/sys/net/ipv4/tcp_max_syn_backlog"),
            ports: ports.and_then(|text| Some((first_number(&text)?, nth_number(&text, 1)?))),
            tcp_pressure_pages: tcp_mem.and_then(|text| nth_number(&text, 1)),
            memory_available: meminfo.and_then(|text| available_of(&text)),
            // A control group of version 2, or of version 1; the word `max` is no number.
            memory_of_group: number("sys/fs/cgroup/memory.max")
                .or_else(|| number("sys/fs/cgroup/memory/memory.limit_in_bytes")),
            io_uring_disabled: number("proc/sys/kernel/io_uring_disabled"),
            conntrack: number("proc/sys/net/netfilter/nf_conntrack_max"),
        }
    }

    /// Everything that `connections` depend on, compared with what they need.
    pub(super) fn compare(&self, connections: u64, need: &Need, shards: ShardsWanted) -> Vec<Finding> {
        let descriptors = self.descriptors_needed(connections, need, shards);
        let mut findings = vec![
            self.descriptors(descriptors),
            at_least("fs.nr_open", self.nr_open, descriptors),
            at_least("fs.file-max", self.file_max, need.files),
            at_least("net.core.somaxconn", self.somaxconn, need.backlog),
            at_least("net.ipv4.tcp_max_syn_backlog", self.syn_backlog, need.backlog),
            self.tcp_memory(need),
            self.memory(connections, need),
            self.shards(connections, shards),
            self.io_uring(),
            self.ports(connections),
        ];
        findings.extend(
            self.conntrack
                .map(|found| at_least("net.netfilter.nf_conntrack_max", Some(found), need.files)),
        );
        findings
    }

    /// A ring's table has at most as many slots as the process may have descriptors.
    fn descriptors(&self, wanted: u64) -> Finding {
        let (soft, hard) = self.nofile;
        let found = format!(
            "found {} (hard {}; the gateway raises its soft limit to it), needed {} for a shard's table",
            shown(soft),
            shown(hard),
            grouped(wanted)
        );
        let remedy = format!(
            "set LimitNOFILE={wanted} in the systemd unit, or, as root, ulimit -n {wanted}; or use more shards, see below"
        );
        judge("RLIMIT_NOFILE", hard >= wanted, found, &remedy)
    }

    /// What the process needs: with the shards that there will be, if they do; else with those of the plan.
    fn descriptors_needed(&self, connections: u64, need: &Need, shards: ShardsWanted) -> u64 {
        let plan = shards.plan(self.cores, self.nofile.1).ok();
        let slots = plan.map(|plan| (slots_for(connections, u64::from(plan.count)), plan));
        match slots {
            Some((slots, plan)) if u64::from(plan.connections_max) >= slots => slots.max(DESCRIPTORS_MIN),
            Some(_) | None => need.descriptors,
        }
    }

    fn tcp_memory(&self, need: &Need) -> Finding {
        let wanted = tcp_pages(need);
        let Some(found) = self.tcp_pressure_pages else {
            return unknown("net.ipv4.tcp_mem");
        };
        let text = format!(
            "found pressure from {} pages on, needed {} ({})",
            grouped(found),
            grouped(wanted),
            bytes(need.memory.tcp_buffers)
        );
        let remedy = format!("sysctl -w net.ipv4.tcp_mem=\"{}\"", tcp_mem(wanted));
        judge("net.ipv4.tcp_mem", found >= wanted, text, &remedy)
    }

    fn memory(&self, connections: u64, need: &Need) -> Finding {
        let Some(available) = self.memory_available else {
            return unknown("memory");
        };
        let found = self
            .memory_of_group
            .map_or(available, |group| group.min(available));
        let of_group = if found < available {
            ", by the control group"
        } else {
            ""
        };
        let text = format!(
            "found {} available{of_group}, needed {}",
            bytes(found),
            bytes(need.memory.sum())
        );
        // In 128 bits: both may be large.
        let holds = u128::from(connections) * u128::from(found) / u128::from(need.memory.sum().max(1));
        let remedy = format!(
            "take a host with {} of memory, or fewer connections: this one holds about {}",
            bytes(need.host_bytes),
            grouped(u64::try_from(holds).unwrap_or(u64::MAX))
        );
        judge("memory", found >= need.memory.sum(), text, &remedy)
    }

    /// Whether the tables of the shards, as they will be, hold everyone.
    fn shards(&self, connections: u64, wanted: ShardsWanted) -> Finding {
        let name = "shards";
        let plan = match wanted.plan(self.cores, self.nofile.1) {
            Ok(plan) => plan,
            Err(problem) => {
                return Finding {
                    name,
                    outcome: Err(problem.to_string()),
                };
            }
        };
        let ShardPlan {
            count,
            connections_max,
        } = plan;
        let slots = slots_for(connections, u64::from(count));
        let found = format!(
            "found {count} with tables of {}, needed {} in each",
            grouped(u64::from(connections_max)),
            grouped(slots)
        );
        let slots_max = self.nofile.1.min(u64::from(crate::engine::token::SLOTS_MAX));
        let remedy = match shards_for(connections, slots_max) {
            Some(shards) => format!(
                "--set shards.count={} --set shards.connections_max=0, or raise RLIMIT_NOFILE",
                shards.max(u64::from(count))
            ),
            None => "raise RLIMIT_NOFILE: even 1,024 shards do not hold so many with it".to_owned(),
        };
        judge(name, u64::from(connections_max) >= slots, found, &remedy)
    }

    fn io_uring(&self) -> Finding {
        let name = "kernel.io_uring_disabled";
        match self.io_uring_disabled {
            // Kernels before 6.6 cannot switch it off.
            None => Finding {
                name,
                outcome: Ok("this kernel does not have it: io_uring is on".to_owned()),
            },
            Some(1) => Finding {
                name,
                outcome: Ok("found 1: on for the group of kernel.io_uring_group".to_owned()),
            },
            Some(found) => {
                let remedy = "sysctl -w kernel.io_uring_disabled=0";
                judge(name, found == 0, format!("found {found}, needed 0"), remedy)
            }
        }
    }

    /// Whether the rings of all shards may be made. A limit that is too small matters only to a kernel that counts rings as locked
    /// memory, and to a process without CAP_IPC_LOCK where that counts: `try_rings` shows it, with so many bytes and shards.
    pub(super) fn locked_memory(
        &self,
        shards: ShardsWanted,
        try_rings: impl FnOnce(u64, u16) -> Result<(), SetupError>,
    ) -> Finding {
        let name = "RLIMIT_MEMLOCK";
        let plan = shards.plan(self.cores, self.nofile.1);
        let count = plan.map_or(1, |plan| plan.count);
        let wanted = u64::from(count) * LOCKED_BYTES_PER_SHARD + LOCKED_BYTES_BESIDE;
        let found = format!(
            "found {}, needed {} for the rings of {count} shards",
            shown(self.memlock),
            grouped(wanted)
        );
        let good = |found| Finding {
            name,
            outcome: Ok(found),
        };
        if self.memlock >= wanted {
            return good(found);
        }
        match try_rings(wanted, count) {
            Ok(()) => good(format!("{found}; but not counted: so many rings could be made")),
            Err(error) if !error.lacks_memory() => good(format!("{found}; it could not be tried: {error}")),
            Err(_) => judge(name, false, found, LOCKED_MEMORY_REMEDY),
        }
    }

    fn ports(&self, connections: u64) -> Finding {
        let name = "net.ipv4.ip_local_port_range";
        let Some((first, last)) = self.ports else {
            return unknown(name);
        };
        let ports = last.saturating_sub(first) + 1;
        let text = format!(
            "found {first} to {last}: terminals need none. A proxy on this host has {} for each of its addresses and each of terminals.listen, so it needs {} such pairs",
            grouped(ports),
            grouped(connections.div_ceil(ports.max(1)))
        );
        Finding {
            name,
            outcome: Ok(text),
        }
    }
}

const LOCKED_MEMORY_REMEDY: &str = "set LimitMEMLOCK=infinity in the systemd unit, --ulimit memlock=-1:-1 for a container, or, as root, ulimit -l unlimited";

/// What rings take besides those of the shards: the HTTP server's, those of a check, and those of a gateway that has just ended.
const LOCKED_BYTES_BESIDE: u64 = 1 << 20;

/// A kernel parameter that must not be smaller.
fn at_least(name: &'static str, found: Option<u64>, wanted: u64) -> Finding {
    let Some(found) = found else {
        return unknown(name);
    };
    let text = format!("found {}, needed {}", shown(found), grouped(wanted));
    judge(name, found >= wanted, text, &format!("sysctl -w {name}={wanted}"))
}

fn judge(name: &'static str, good: bool, text: String, remedy: &str) -> Finding {
    let outcome = if good {
        Ok(text)
    } else {
        Err(format!("{text}; do: {remedy}"))
    };
    Finding { name, outcome }
}

fn unknown(name: &'static str) -> Finding {
    let text = "this kernel does not show it, or not here: not compared".to_owned();
    Finding {
        name,
        outcome: Ok(text),
    }
}

/// What nobody can reach is no limit.
fn shown(limit: u64) -> String {
    if limit >= i64::MAX.unsigned_abs() {
        "no limit".to_owned()
    } else {
        grouped(limit)
    }
}

fn first_number(text: &str) -> Option<u64> {
    nth_number(text, 0)
}

fn nth_number(text: &str, place: usize) -> Option<u64> {
    text.split_whitespace().nth(place)?.parse().ok()
}

fn available_of(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(first_number(line)? * 1_024)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::sizing::{Wanted, need};

    const SHARDS: ShardsWanted = ShardsWanted {
        count: 0,
        connections_max: 0,
    };

    fn need_of(connections: u64) -> Need {
        need(&Wanted {
            connections,
            by_tls: 0,
            heartbeat: Duration::from_secs(120),
            registry_bytes: 64 << 20,
        })
    }

    fn large() -> Host {
        Host {
            cores: 16,
            nofile: (1_024, 2_000_000),
            memlock: 8 << 20,
            nr_open: Some(2_000_000),
            file_max: Some(u64::MAX >> 1),
            somaxconn: Some(4_096),
            syn_backlog: Some(4_096),
            ports: Some((32_768, 60_999)),
            tcp_pressure_pages: Some(1_000_000),
            memory_available: Some(128 << 30),
            memory_of_group: None,
            io_uring_disabled: Some(0),
            conntrack: None,
        }
    }

    /// The names of what is not good.
    fn faults(host: &Host, connections: u64) -> Vec<&'static str> {
        let findings = host.compare(connections, &need_of(connections), SHARDS);
        let bad = findings.iter().filter(|finding| finding.outcome.is_err());
        bad.map(|finding| finding.name).collect()
    }

    #[test]
    fn a_large_host_holds_ten_million() {
        assert_eq!(faults(&large(), 10_000_000), [""; 0]);
    }

    #[test]
    fn each_limit_is_found() {
        let check = |change: fn(&mut Host), expected: &[&str]| {
            let mut host = large();
            change(&mut host);
            assert_eq!(faults(&host, 10_000_000), expected);
        };
        check(|host| host.nofile.1 = 20_000, &["RLIMIT_NOFILE", "shards"]);
        check(|host| host.nr_open = Some(1_024), &["fs.nr_open"]);
        check(|host| host.file_max = Some(10_000_000), &["fs.file-max"]);
        check(|host| host.somaxconn = Some(128), &["net.core.somaxconn"]);
        check(
            |host| host.syn_backlog = Some(1_024),
            &["net.ipv4.tcp_max_syn_backlog"],
        );
        check(
            |host| host.tcp_pressure_pages = Some(9_000),
            &["net.ipv4.tcp_mem"],
        );
        check(|host| host.memory_available = Some(24 << 30), &["memory"]);
        check(|host| host.memory_of_group = Some(8 << 30), &["memory"]);
        check(
            |host| host.io_uring_disabled = Some(2),
            &["kernel.io_uring_disabled"],
        );
        check(|host| host.io_uring_disabled = Some(1), &[]);
        check(
            |host| host.conntrack = Some(65_536),
            &["net.netfilter.nf_conntrack_max"],
        );
        check(|host| host.cores = 4, &["shards"]);
        check(
            |host| (host.nr_open, host.ports, host.io_uring_disabled) = (None, None, None),
            &[],
        );
    }

    /// What is said of locked memory, without the remedy, where a try of the rings ends with this error of the system.
    fn locked(memlock: u64, tried: Option<i32>) -> Result<String, String> {
        let host = Host { memlock, ..large() };
        let wanted = ShardsWanted {
            count: 30,
            connections_max: 0,
        };
        let finding = host.locked_memory(wanted, |bytes, shards| {
            assert_eq!((bytes, shards), (8_052_736, 30));
            let refused = |errno| SetupError {
                step: "setup",
                error: std::io::Error::from_raw_os_error(errno),
            };
            tried.map_or(Ok(()), |errno| Err(refused(errno)))
        });
        let without_remedy = |text: String| text.split("; do: ").next().unwrap().to_owned();
        finding.outcome.map_err(without_remedy)
    }

    #[test]
    fn locked_memory_has_to_hold_the_rings_of_all_shards_where_a_try_shows_it() {
        let found = |memlock: &str| format!("found {memlock}, needed 8,052,736 for the rings of 30 shards");
        let (enough, lacking) = (8_052_736, 8_052_735);
        assert_eq!(locked(enough, Some(libc::ENOMEM)), Ok(found("8,052,736")));
        assert_eq!(locked(u64::MAX, Some(libc::ENOMEM)), Ok(found("no limit")));
        assert_eq!(locked(lacking, Some(libc::ENOMEM)), Err(found("8,052,735")));
        let not_counted = format!(
            "{}; but not counted: so many rings could be made",
            found("8,052,735")
        );
        assert_eq!(locked(lacking, None), Ok(not_counted));
        let not_tried = locked(lacking, Some(libc::EMFILE)).unwrap();
        assert!(
            not_tried.contains("; it could not be tried: io_uring: setup: "),
            "{not_tried}"
        );
    }

    #[test]
    fn more_shards_do_with_fewer_descriptors() {
        let mut host = large();
        (host.nofile.1, host.nr_open) = (20_000, Some(20_000));
        let wanted = ShardsWanted {
            count: 600,
            connections_max: 0,
        };
        let findings = host.compare(10_000_000, &need_of(10_000_000), wanted);
        let bad = findings.iter().find(|finding| finding.outcome.is_err());
        assert_eq!(bad, None);
    }

    #[test]
    fn a_remedy_is_the_line_to_type() {
        let mut host = large();
        (host.somaxconn, host.tcp_pressure_pages, host.cores) = (Some(128), Some(1), 4);
        let findings = host.compare(10_000_000, &need_of(10_000_000), SHARDS);
        let told = |name| {
            let found = findings.iter().find(|finding| finding.name == name).unwrap();
            found.outcome.clone().unwrap_err()
        };
        assert_eq!(
            told("net.core.somaxconn"),
            "found 128, needed 4,096; do: sysctl -w net.core.somaxconn=4096"
        );
        assert!(
            told("net.ipv4.tcp_mem").ends_with("do: sysctl -w net.ipv4.tcp_mem=\"468750 625000 937500\"")
        );
        assert!(
            told("shards").contains("--set shards.count=10 "),
            "{}",
            told("shards")
        );
    }

    #[test]
    fn a_host_is_read_from_its_files() {
        let root = tempfile::TempDir::new().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("proc/sys/fs/nr_open", "1048576\n");
        put("proc/sys/fs/file-max", "9223372036854775807\n");
        put("proc/sys/net/ipv4/tcp_mem", "10\t20\t30\n");
        put("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
        put("proc/meminfo", "MemTotal:       9 kB\nMemAvailable:       5 kB\n");
        put("sys/fs/cgroup/memory.max", "max\n");
        let host = Host::read(root.path());
        assert_eq!((host.nr_open, host.tcp_pressure_pages), (Some(1 << 20), Some(20)));
        assert_eq!(
            (host.ports, host.memory_available),
            (Some((32_768, 60_999)), Some(5_120))
        );
        assert_eq!((host.memory_of_group, host.somaxconn), (None, None));
        assert!(host.nofile.1 >= host.nofile.0 && host.cores > 0);
    }
}
