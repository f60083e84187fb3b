//! What the system knows of a process: its CPU time and its memory. Reads `/proc`, and changes nothing.

use std::io;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads of a process so far, in nanoseconds (`/proc/…/schedstat`, user and system together).
///
/// # Errors
/// If there is no such process.
pub(crate) fn cpu_ns(process: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end while it is looked for; its time is then lost.
        if let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) {
            sum += number(text.split(' ').next())?;
        }
    }
    Ok(sum)
}

/// CPU time of this thread so far, in nanoseconds. `schedstat` would know it of the last tick only.
#[allow(dead_code, reason = "the benches need it not")]
pub(crate) fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// The threads of a process whose names begin with this.
///
/// # Errors
/// If there is no such process.
pub(crate) fn threads(process: u32, name: &str) -> io::Result<Vec<u32>> {
    let mut threads = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?;
        let text = std::fs::read_to_string(task.path().join("comm"));
        if text.is_ok_and(|text| text.starts_with(name)) {
            threads.extend(task.file_name().to_string_lossy().parse::<u32>());
        }
    }
    Ok(threads)
}

/// Resident memory of a process, bytes.
///
/// # Errors
/// If there is no such process.
pub(crate) fn rss_bytes(process: u32) -> io::Result<u64> {
    memory_bytes(process, "VmRSS:")
}

/// The most that it ever was.
///
/// # Errors
/// If there is no such process.
pub(crate) fn peak_rss_bytes(process: u32) -> io::Result<u64> {
    memory_bytes(process, "VmHWM:")
}

fn memory_bytes(process: u32, name: &str) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    Ok(number(line.and_then(|line| line.split_whitespace().next()))? * 1_024)
}

fn number(text: Option<&str>) -> io::Result<u64> {
    let number = text.and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}
