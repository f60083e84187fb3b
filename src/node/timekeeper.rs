//! Notices that somebody set the host's clock: UserSigs and times on record are then off. Only tells.

use crate::base::time::{Clock, Now};

/// Clocks are corrected by less all the time.
const STEP_MS: i64 = 5_000;

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
                "the host's clock was set: a time on record stands still until the clock has caught up with it"
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
    now.signing.0.cast_signed() - now.instant.0.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{Instant, Timestamp};

    #[test]
    fn a_step_is_told_once_and_drift_never() {
        let mut keeper = Timekeeper {
            clock: Clock::start(),
            ahead_ms: 0,
        };
        let mut check = |instant, signing, expected| {
            let now = Now {
                instant: Instant(instant),
                wall: Timestamp(0),
                signing: Timestamp(signing),
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
