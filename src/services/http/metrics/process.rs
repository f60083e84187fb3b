//! What the system says of this process, for metrics: named, typed and described as the official Prometheus clients do, so that
//! dashboards and alerts for any process fit this one. What the system does not say is left out. Decides nothing by it.

use std::fs;

use procfs::process::{Process, Stat};
use procfs::{boot_time_secs, page_size, ticks_per_second};
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
        let booted_at = boot_time_secs().ok();
        let started_at = booted_at.zip(stat());
        Self {
            resident_at_start: resident_bytes().unwrap_or(0),
            started_at_seconds: started_at.map(|(boot, stat)| number(boot) + seconds(stat.starttime)),
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
        let stat = stat();
        let of_stat = |figure: fn(&Stat) -> f64| stat.as_ref().map(figure);
        let help = "Total user and system CPU time spent in seconds.";
        put(
            "process_cpu_seconds_total",
            Counter,
            help,
            of_stat(|stat| seconds(stat.utime + stat.stime)),
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
            of_stat(|stat| number(stat.vsize)),
        );
        let help = "Resident memory size in bytes.";
        put(
            "process_resident_memory_bytes",
            Gauge,
            help,
            resident_bytes().map(number),
        );
        let help = "Number of OS threads in the process.";
        put(
            "process_threads",
            Gauge,
            help,
            of_stat(|stat| number(stat.num_threads.unsigned_abs())),
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "the format has floating numbers only")]
fn number(amount: u64) -> f64 {
    amount as f64
}

/// Resident memory of this process; `None` if the system does not say.
fn resident_bytes() -> Option<u64> {
    let pages = Process::myself().ok()?.statm().ok()?.resident;
    Some(pages * page_size())
}

/// Descriptors of the process, without the one that lists them. Terminals have none: their sockets are in the tables of the
/// rings alone. The library would count its own, too.
fn open_descriptors() -> Option<u64> {
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(listed).ok()?.checked_sub(1)
}

fn stat() -> Option<Stat> {
    Process::myself().ok()?.stat().ok()
}

/// Of a time in the system's ticks.
fn seconds(ticks: u64) -> f64 {
    number(ticks) / number(ticks_per_second())
}
