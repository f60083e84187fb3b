//! What the benches share: servers as processes, their CPU time, medians, and the report.

#![allow(dead_code, reason = "each bench uses its own part")]

pub mod queries;
pub mod report;
pub mod terminals;

// What `holdfast-load` does and measures in the same way.
#[allow(unused_imports, reason = "its tests run with `holdfast-load`")]
#[path = "../../src/bin/holdfast-load/apart.rs"]
pub mod apart;
#[allow(unused_imports, reason = "its tests run with `holdfast-load`")]
#[path = "../../src/bin/holdfast-load/generator/mod.rs"]
mod generator;
#[allow(unused_imports, reason = "its tests run with `holdfast-load`")]
#[path = "../../src/bin/holdfast-load/machine.rs"]
mod machine;
#[path = "../../src/bin/holdfast-load/process.rs"]
mod process;
#[allow(
    unused_imports,
    reason = "a bench draws nothing, and makes no page but its own"
)]
#[path = "../../src/bin/holdfast-load/results/mod.rs"]
pub mod results;
#[path = "../../src/bin/holdfast-load/slab.rs"]
pub mod slab;

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::gateway::Gateway;
use crate::support::http::Http;

/// CPU time of all threads of a process so far, in nanoseconds.
pub fn cpu_ns(process: u32) -> u64 {
    process::cpu_ns(process).expect("the process runs")
}

/// Keeps this thread, and all processes and threads that it starts from here on, on one core.
pub fn run_on(core: usize) {
    apart::Cores(vec![core]).keep().expect("a host with two cores");
}

/// Resident memory of a process, bytes.
pub fn rss_bytes(process: u32) -> u64 {
    process::rss_bytes(process).expect("the process runs")
}

/// The most that it ever was.
pub fn peak_rss_bytes(process: u32) -> u64 {
    process::peak_rss_bytes(process).expect("the process runs")
}

/// One number of `GET /metrics`.
pub fn metric(gateway: &Gateway, name: &str) -> u64 {
    let (_, text) = Http::default().get(gateway.admin, "/metrics");
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.expect("the metric").parse().expect("a number")
}

/// How long a number of `GET /metrics` may take to become one that fits. The longest of these waits is for the end of a
/// grace of 20 s.
const METRIC_WITHIN: Duration = Duration::from_secs(120);

/// Waits until a number of `GET /metrics` is one that fits. Nothing tells of it, so it is asked for.
///
/// # Panics
/// If none fits within `METRIC_WITHIN`.
pub fn wait_for_metric(gateway: &Gateway, name: &str, fits: impl Fn(u64) -> bool) {
    let start = Instant::now();
    loop {
        let value = metric(gateway, name);
        if fits(value) {
            return;
        }
        assert!(
            start.elapsed() < METRIC_WITHIN,
            "{name} is {value} after {METRIC_WITHIN:?}, and does not fit"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process is still when its CPU time grows by less than a hundredth of this.
const STILL_FOR: Duration = Duration::from_millis(200);
/// How long it may take to become still.
const STILL_WITHIN: Duration = Duration::from_secs(30);

/// Waits until a process does no more than its idle work.
///
/// # Panics
/// If it is not still within `STILL_WITHIN`.
pub fn wait_until_still(process: u32) {
    let start = Instant::now();
    let mut before = cpu_ns(process);
    loop {
        std::thread::sleep(STILL_FOR);
        let now = cpu_ns(process);
        // A thread that has ended takes its time with it.
        let grown = Duration::from_nanos(now.saturating_sub(before));
        if grown < STILL_FOR / 100 {
            return;
        }
        assert!(
            start.elapsed() < STILL_WITHIN,
            "process {process} is still busy after {STILL_WITHIN:?}: {grown:?} of CPU in {STILL_FOR:?}"
        );
        before = now;
    }
}

/// The middle of some figures, with their smallest and largest.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub smallest: f64,
    pub median: f64,
    pub largest: f64,
}

impl Spread {
    pub fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            smallest: sorted[0],
            median: sorted[sorted.len() / 2],
            largest: sorted[sorted.len() - 1],
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.2} ({:.2} to {:.2})",
            self.median, self.smallest, self.largest
        )
    }
}

/// The epoll server of `peers`, as a process of its own: this very bench, started with other arguments.
pub struct EpollPeer {
    child: Child,
    pub address: SocketAddr,
}

/// The argument that makes a bench be the epoll server.
pub const BE_EPOLL: &str = "--be-epoll";

impl EpollPeer {
    pub fn start(threads: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        drop(listener);
        let program = std::env::current_exe().expect("this bench");
        let mut command = Command::new(program);
        command
            .arg(BE_EPOLL)
            .arg(address.to_string())
            .arg(threads.to_string());
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("this bench starts again");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("it says that it is ready");
        assert_eq!(line.trim(), "ready");
        Self { child, address }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for EpollPeer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The arguments of this process if it is to be the epoll server: its address and its threads.
pub fn epoll_arguments() -> Option<(SocketAddr, usize)> {
    let arguments: Vec<String> = std::env::args().collect();
    let place = arguments.iter().position(|argument| argument == BE_EPOLL)?;
    let address = arguments[place + 1].parse().expect("an address");
    Some((
        address,
        arguments[place + 2].parse().expect("a number of threads"),
    ))
}
