//! Notices that the host's clock was set, or is behind what is on record: UserSigs and times on record are then off. Only
//! tells.

use std::time::Duration;

use crate::base::time::{Clock, Now, millis};

/// Clocks are corrected by less all the time.
const STEP_MS: i64 = 5_000;

/// Says at a start that the clock is behind what is on record, if that is more than clocks are off.
pub(super) fn compare(behind: Duration) {
    if is_behind(behind) {
        let by_s = behind.as_secs();
        tracing::warn!(
            by_s,
            "the host's clock is behind what is on record: changes of users whose last change lies ahead of it keep that time until the clock has caught up"
        );
    }
}

fn is_behind(behind: Duration) -> bool {
    millis(behind) >= STEP_MS.unsigned_abs()
}

/// Compares the clock that is set with the one that is not.
#[derive(Debug)]
pub(super) struct Timekeeper {
    clock: Clock,
    ahead_ms: i64,
}

impl Timekeeper {
    pub(super) fn start() -> Self {
        let mut clock = Clock::start();
        let ahead_ms = ahead_ms(clock.now());
        Self { clock, ahead_ms }
    }

    /// Says once of each step that there was one.
    pub(super) fn look(&mut self) {
        let now = self.clock.now();
        if let Some(step_ms) = self.step_ms(now) {
            let by_s = step_ms / 1_000;
            tracing::warn!(
                by_s,
                "the host's clock was set: changes of users whose last change lies ahead of it keep that time, and ages are counted by the clock of the start until the next one"
            );
        }
    }

    /// By how much the clock was set since the last look, if it was.
    fn step_ms(&mut self, now: Now) -> Option<i64> {
        let before = std::mem::replace(&mut self.ahead_ms, ahead_ms(now));
        let step_ms = self.ahead_ms - before;
        (step_ms.abs() >= STEP_MS).then_some(step_ms)
    }
}

fn ahead_ms(now: Now) -> i64 {
    now.wall.0.cast_signed() - now.instant.0.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{Instant, Timestamp};

    #[test]
    fn a_clock_counts_as_behind_by_more_than_a_correction() {
        assert!(!is_behind(Duration::from_millis(4_999)) && is_behind(Duration::from_secs(5)));
    }

    #[test]
    fn a_step_is_told_once_and_drift_never() {
        let mut keeper = Timekeeper {
            clock: Clock::start(),
            ahead_ms: 0,
        };
        let mut check = |instant, wall, expected| {
            let now = Now {
                instant: Instant(instant),
                wall: Timestamp(wall),
            };
            assert_eq!(keeper.step_ms(now), expected, "{now:?}");
        };
        check(1_000, 1_000, None);
        check(60_000, 61_000, None);
        check(61_000, 67_000, Some(5_000));
        check(62_000, 68_000, None);
        check(63_000, 9_000, Some(-60_000));
        check(64_000, 10_000, None);
    }
}
