//! How long a shard naps before it looks at its ring, so that one wake serves several heartbeats. Reads no clock.
//!
//! The longest naps of all shards end at the same moments of the clock that they share: where many shards have few cores, the
//! first one to wake warms the caches for the others.

use std::time::Duration;

use crate::base::limits::{HEARTBEATS_PER_NAP, HEARTBEATS_PER_NAP_MIN, PACE_WINDOW_MS};
use crate::base::time::{Instant, millis};

/// Counts what comes, and sets the nap by it.
#[derive(Debug)]
pub(super) struct Pace {
    nap_max: Duration,
    looked_at: Instant,
    /// What came lately, and in how long; what is longer ago counts less.
    heartbeats: u64,
    passed_ms: u64,
    hurry: bool,
}

impl Pace {
    /// Naps are at most `nap_max` long.
    pub(super) fn new(nap_max: Duration, now: Instant) -> Self {
        Self {
            nap_max,
            looked_at: now,
            heartbeats: 0,
            passed_ms: PACE_WINDOW_MS,
            hurry: false,
        }
    }

    /// A terminal that is at home sent something.
    pub(super) fn heartbeat(&mut self) {
        self.heartbeats += 1;
    }

    /// Something happened that others wait for: this turn ends without a nap.
    pub(super) fn hurry(&mut self) {
        self.hurry = true;
    }

    /// How long to nap at the end of this turn, if at all.
    pub(super) fn nap(&mut self, now: Instant) -> Option<Duration> {
        self.passed_ms += millis(now.since(self.looked_at));
        self.looked_at = now;
        while self.passed_ms > PACE_WINDOW_MS {
            self.passed_ms /= 2;
            self.heartbeats /= 2;
        }
        if std::mem::take(&mut self.hurry) {
            return None;
        }
        let nap = nap_for(
            self.heartbeats,
            Duration::from_millis(self.passed_ms),
            self.nap_max,
        )?;
        Some(nap.min(until_all_wake(now, self.nap_max)))
    }
}

/// How long it is to the next multiple of `nap_max`.
fn until_all_wake(now: Instant, nap_max: Duration) -> Duration {
    let nap_ms = millis(nap_max).max(1);
    Duration::from_millis(nap_ms - now.0 % nap_ms)
}

/// The nap for `heartbeats` that came while `passed` passed.
fn nap_for(heartbeats: u64, passed: Duration, nap_max: Duration) -> Option<Duration> {
    let in_longest = u128::from(heartbeats) * nap_max.as_micros() / passed.as_micros().max(1);
    if in_longest < u128::from(HEARTBEATS_PER_NAP_MIN) {
        return None;
    }
    let enough = passed.as_micros() * u128::from(HEARTBEATS_PER_NAP) / u128::from(heartbeats);
    let enough = Duration::from_micros(u64::try_from(enough).unwrap_or(u64::MAX));
    Some(enough.min(nap_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(5);

    fn check(heartbeats: u64, passed_ms: u64, expected_us: Option<u64>) {
        let nap = nap_for(heartbeats, Duration::from_millis(passed_ms), LONGEST);
        assert_eq!(nap, expected_us.map(Duration::from_micros));
    }

    #[test]
    fn a_nap_gathers_what_is_worth_it() {
        check(0, 50, None);
        check(5, 50, None);
        check(20, 50, Some(5_000));
        check(125, 50, Some(5_000));
        check(1_000, 50, Some(3_200));
        check(1_000, 5_000, None);
    }

    #[test]
    fn naps_begin_with_heartbeats_and_end_with_them_and_with_all_else() {
        let mut pace = Pace::new(LONGEST, Instant(0));
        assert_eq!(pace.nap(Instant(0)), None);
        (0..200).for_each(|_| pace.heartbeat());
        assert!(pace.nap(Instant(1)).is_some());
        pace.hurry();
        assert_eq!(pace.nap(Instant(2)), None);
        assert!(pace.nap(Instant(2)).is_some());
        assert_eq!(pace.nap(Instant(10 * PACE_WINDOW_MS)), None);
    }

    #[test]
    fn a_few_heartbeats_by_chance_do_not_end_naps() {
        let mut pace = Pace::new(LONGEST, Instant(0));
        for ms in 0..10 * PACE_WINDOW_MS {
            // Three in five milliseconds, in bunches.
            if ms % 20 == 0 {
                (0..12).for_each(|_| pace.heartbeat());
            }
            let nap = pace.nap(Instant(ms));
            assert!(nap.is_some() || ms < 3 * PACE_WINDOW_MS, "no nap after {ms} ms");
        }
    }

    #[test]
    fn the_longest_naps_of_all_shards_end_together() {
        for (ms, left_ms) in [(100, 5), (101, 4), (104, 1), (105, 5)] {
            let mut pace = Pace::new(LONGEST, Instant(ms));
            (0..200).for_each(|_| pace.heartbeat());
            assert_eq!(
                pace.nap(Instant(ms)),
                Some(Duration::from_millis(left_ms)),
                "at {ms} ms"
            );
        }
    }
}
