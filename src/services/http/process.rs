//! What the system says of this process: memory and CPU time, for metrics. Decides nothing by it.

use std::fs;

/// What was there when the front began, to compare with.
#[derive(Debug)]
pub(super) struct Process {
    /// Resident bytes before the first terminal could connect, with all users that came back from the records.
    resident_at_start: u64,
}

impl Process {
    /// To be made when everything runs and no terminal has connected.
    pub(super) fn new() -> Self {
        Self {
            resident_at_start: resident_bytes().unwrap_or(0),
        }
    }

    /// By how much resident memory has grown since the start, beyond what the registry's records or caches take now.
    pub(super) fn grown_bytes(&self, registry_bytes: u64) -> u64 {
        let now = resident_bytes().unwrap_or(0);
        now.saturating_sub(self.resident_at_start)
            .saturating_sub(registry_bytes)
    }
}

/// Resident memory of this process; `None` if the system does not say.
pub(super) fn resident_bytes() -> Option<u64> {
    resident_of(&fs::read_to_string("/proc/self/statm").ok()?)
}

fn resident_of(statm: &str) -> Option<u64> {
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// CPU time that this process has used, in seconds; `None` if the system does not say.
pub(super) fn cpu_seconds() -> Option<f64> {
    cpu_of(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// The 14th and 15th field, user and system time in ticks. The name in parentheses may hold anything, so it is passed over.
#[expect(clippy::cast_precision_loss, reason = "ticks of a process")]
fn cpu_of(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_are_read() {
        let page = rustix::param::page_size() as u64;
        assert_eq!(resident_of("900 25 7 1 0 60 0\n"), Some(25 * page));
        assert_eq!(resident_of("900"), None);
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 300 100 0 0 20 0 5 0 1 2 3";
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(cpu_of(stat), Some(400.0 / ticks));
        assert_eq!(cpu_of("7 (a"), None);
        assert!(resident_bytes().is_some() && cpu_seconds().is_some());
    }
}
