//! How long a shard naps before it looks at its ring, so that one wake serves several heartbeats. Reads no clock.

use std::time::Duration;

use crate::base::limits::{HEARTBEATS_PER_NAP, HEARTBEATS_PER_NAP_MIN, PACE_PERIOD_MS};
use crate::base::time::Instant;

/// Counts what comes, and sets the nap by it.
#[derive(Debug)]
pub(super) struct Pace {
    nap_max: Duration,
    period_began: Instant,
    heartbeats: u64,
    nap: Option<Duration>,
    hurry: bool,
}

impl Pace {
    /// Naps are at most `nap_max` long.
    pub(super) fn new(nap_max: Duration, now: Instant) -> Self {
        Self {
            nap_max,
            period_began: now,
            heartbeats: 0,
            nap: None,
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
        let passed = now.since(self.period_began);
        if passed >= Duration::from_millis(PACE_PERIOD_MS) {
            self.nap = nap_for(self.heartbeats, passed, self.nap_max);
            self.period_began = now;
            self.heartbeats = 0;
        }
        let hurry = std::mem::take(&mut self.hurry);
        self.nap.filter(|_| !hurry)
    }
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
        check(1_000, 50, Some(1_600));
        check(1_000, 5_000, None);
    }

    #[test]
    fn naps_begin_with_heartbeats_and_end_with_them_and_with_all_else() {
        let mut pace = Pace::new(LONGEST, Instant(0));
        (0..200).for_each(|_| pace.heartbeat());
        assert_eq!(pace.nap(Instant(PACE_PERIOD_MS - 1)), None);
        assert!(pace.nap(Instant(PACE_PERIOD_MS)).is_some());
        pace.hurry();
        assert_eq!(pace.nap(Instant(PACE_PERIOD_MS)), None);
        assert!(pace.nap(Instant(PACE_PERIOD_MS)).is_some());
        assert_eq!(pace.nap(Instant(2 * PACE_PERIOD_MS)), None);
    }
}
