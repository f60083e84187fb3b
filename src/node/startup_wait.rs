//! Waiting at a start for what an earlier gateway still has: an address, or the store. After kill -9 its process is gone before
//! the kernel has closed the sockets of its rings: some 5 µs a connection later. Waits for nothing that another try cannot mend.

use std::time::Duration;

use crate::base::time::Stopwatch;

/// How often it is tried again: a fraction of what a supervisor takes to start a process, and no load.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// How long a start waits for each thing that is taken.
#[derive(Debug, Clone, Copy)]
pub struct StartupWait(pub Duration);

impl StartupWait {
    /// Tries until it succeeds, fails for another reason than that something `is_taken`, or the time is up. Says once that
    /// it waits, by `tell`.
    pub(super) fn wait_for<T, E>(
        self,
        mut attempt: impl FnMut() -> Result<T, E>,
        is_taken: impl Fn(&E) -> bool,
        tell: impl FnOnce(&E),
    ) -> Result<T, E> {
        let began = Stopwatch::start();
        let mut tell = Some(tell);
        loop {
            match attempt() {
                Err(error) if is_taken(&error) && began.elapsed() < self.0 => {
                    if let Some(tell) = tell.take() {
                        tell(&error);
                    }
                    std::thread::sleep(RETRY_INTERVAL);
                }
                outcome => return outcome,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries that find it taken so often; gives what came of it, how many tries there were, and how often it was told.
    fn try_out(
        wait: Duration,
        taken: u32,
        last: Result<(), &'static str>,
    ) -> (Result<(), &'static str>, u32, u32) {
        let (mut tries, mut told) = (0, 0);
        let outcome = StartupWait(wait).wait_for(
            || {
                tries += 1;
                if tries <= taken { Err("taken") } else { last }
            },
            |error| *error == "taken",
            |_| told += 1,
        );
        (outcome, tries, told)
    }

    #[test]
    fn what_becomes_free_is_waited_for_and_told_once() {
        let long = Duration::from_secs(3_600);
        assert_eq!(try_out(long, 0, Ok(())), (Ok(()), 1, 0));
        assert_eq!(try_out(long, 3, Ok(())), (Ok(()), 4, 1));
    }

    #[test]
    fn other_errors_are_not_waited_for_and_no_wait_means_one_try() {
        let long = Duration::from_secs(3_600);
        assert_eq!(try_out(long, 1, Err("denied")), (Err("denied"), 2, 1));
        assert_eq!(try_out(Duration::ZERO, 9, Ok(())), (Err("taken"), 1, 0));
    }
}
