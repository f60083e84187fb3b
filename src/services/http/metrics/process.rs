//! What the system says of this process, for metrics: named, typed and described as the official Prometheus clients do, so that
//! dashboards and alerts for any process fit this one. What the system does not say is left out. Decides nothing by it.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use crate::services::http::metrics::exposition::{Exposition, MetricKind};

/// What was there when the HTTP server began.
#[derive(Debug)]
pub(super) struct ProcessFigures {
    /// Resident bytes before the first terminal could connect, with all users that came back from the records.
    resident_at_start: u64,
    /// When the process began, as a Unix time. Fixed, although the system reckons it anew whenever its clock is set.
    started_at_seconds: Option<f64>,
}

impl ProcessFigures {
    /// To be made when everything runs and no terminal has connected.
    pub(super) fn new() -> Self {
        let stat = ProcessStat::read();
        Self {
            resident_at_start: resident_bytes().unwrap_or(0),
            started_at_seconds: stat.and_then(|stat| Some(booted_at()? + stat.began_seconds)),
        }
    }

    /// By how much resident memory has grown since the start, beyond what the registry's records or caches take now.
    pub(super) fn grown_bytes(&self, registry_bytes: u64) -> u64 {
        let now = resident_bytes().unwrap_or(0);
        now.saturating_sub(self.resident_at_start)
            .saturating_sub(registry_bytes)
    }

    /// The metrics that any process has.
    pub(super) fn put(&self, out: &mut Exposition) {
        use MetricKind::{Counter, Gauge};
        let mut put = |name: &str, kind, help: &str, value: Option<f64>| {
            if let Some(value) = value {
                out.one(name, kind, help, value);
            }
        };
        let stat = ProcessStat::read();
        let of_stat = |figure: fn(&ProcessStat) -> f64| stat.as_ref().map(figure);
        let help = "Total user and system CPU time spent in seconds.";
        put(
            "process_cpu_seconds_total",
            Counter,
            help,
            of_stat(|stat| stat.cpu_seconds),
        );
        let help = "Start time of the process since unix epoch in seconds.";
        put("process_start_time_seconds", Gauge, help, self.started_at_seconds);
        let help = "Number of open file descriptors.";
        put("process_open_fds", Gauge, help, open_descriptors().map(number));
        let help = "Maximum number of open file descriptors.";
        let descriptors_max = getrlimit(Resource::Nofile).current;
        put("process_max_fds", Gauge, help, descriptors_max.map(number));
        let help = "Virtual memory size in bytes.";
        put(
            "process_virtual_memory_bytes",
            Gauge,
            help,
            of_stat(|stat| stat.virtual_bytes),
        );
        let help = "Resident memory size in bytes.";
        put(
            "process_resident_memory_bytes",
            Gauge,
            help,
            resident_bytes().map(number),
        );
        let help = "Number of OS threads in the process.";
        put("process_threads", Gauge, help, of_stat(|stat| stat.threads));
    }
}

#[expect(clippy::cast_precision_loss, reason = "the format has floating numbers only")]
fn number(amount: u64) -> f64 {
    amount as f64
}

/// Resident memory of this process; `None` if the system does not say.
pub(super) fn resident_bytes() -> Option<u64> {
    resident_of(&fs::read_to_string("/proc/self/statm").ok()?)
}

fn resident_of(statm: &str) -> Option<u64> {
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

/// Descriptors of the process, without the one that lists them. Terminals have none: their sockets are in the tables of the
/// rings alone.
fn open_descriptors() -> Option<u64> {
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(listed).ok()?.checked_sub(1)
}

/// When the system was started, as a Unix time.
fn booted_at() -> Option<f64> {
    booted_of(&fs::read_to_string("/proc/stat").ok()?)
}

fn booted_of(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok().map(number)
}

/// What is read of `/proc/self/stat` (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct ProcessStat {
    /// User and system time.
    cpu_seconds: f64,
    threads: f64,
    /// Since the system was started.
    began_seconds: f64,
    virtual_bytes: f64,
}

impl ProcessStat {
    fn read() -> Option<Self> {
        Self::of(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// The name in parentheses may hold anything, so it is passed over. The page numbers the fields from 1, and the one behind the
    /// name is the third.
    fn of(stat: &str) -> Option<Self> {
        let (_, behind_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let field = |place: usize| -> Option<f64> { fields.get(place - 3)?.parse().ok().map(number) };
        let ticks = number(clock_ticks_per_second());
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            began_seconds: field(22)? / ticks,
            virtual_bytes: field(23)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_are_read() {
        let page = page_size() as u64;
        assert_eq!(resident_of("900 25 7 1 0 60 0\n"), Some(25 * page));
        assert_eq!(resident_of("900"), None);
        let stat =
            "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 300 100 0 0 20 0 5 0 900 8192 3 18446744073709551615";
        let ticks = number(clock_ticks_per_second());
        let expected = ProcessStat {
            cpu_seconds: 400.0 / ticks,
            threads: 5.0,
            began_seconds: 900.0 / ticks,
            virtual_bytes: 8_192.0,
        };
        assert_eq!(ProcessStat::of(stat), Some(expected));
        assert_eq!(ProcessStat::of("7 (a"), None);
        assert_eq!(ProcessStat::of("7 (a) S 1 7"), None);
        assert_eq!(
            booted_of("cpu 1 2\nbtime 1700000000\nprocesses 3\n"),
            Some(1_700_000_000.0)
        );
        assert_eq!(booted_of("cpu 1 2\n"), None);
    }
}
