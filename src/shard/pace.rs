//! How a shard sleeps between two turns, so that one wake serves several heartbeats, or several newcomers. Reads no clock.
//!
//! The longest naps of all shards end at the same moments of the clock that they share: where many shards have few cores, they
//! wake one after the other.

use std::time::Duration;

use crate::base::limits::{
    DOZE_US, EVENTS_PER_DOZE_MIN, HEARTBEATS_PER_NAP, HEARTBEATS_PER_NAP_MIN, PACE_WINDOW_MS,
};
use crate::base::time::{Instant, millis};

/// How a shard sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sleep {
    /// Until something comes.
    InRing,
    /// Until a letter comes, or this time has passed: terminals wait.
    Nap(Duration),
    /// Until this time has passed: everyone waits.
    Doze(Duration),
}

/// Counts what comes, and says by it how to sleep.
#[derive(Debug)]
pub(super) struct Pace {
    nap_max: Duration,
    looked_at: Instant,
    /// What came lately, and in how long; what is longer ago counts less.
    heartbeats: u64,
    events: u64,
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
            events: 0,
            passed_ms: PACE_WINDOW_MS,
            hurry: false,
        }
    }

    /// A terminal that is at home sent something.
    pub(super) fn heartbeat(&mut self) {
        self.heartbeats += 1;
    }

    /// A letter, a newcomer, or a newcomer's word: this turn ends without a nap.
    pub(super) fn event(&mut self) {
        self.events += 1;
        self.hurry = true;
    }

    /// Something is under way that ends soon: this turn ends without a nap.
    pub(super) fn hurry(&mut self) {
        self.hurry = true;
    }

    /// How to sleep at the end of this turn.
    pub(super) fn sleep(&mut self, now: Instant) -> Sleep {
        self.passed_ms += millis(now.since(self.looked_at));
        self.looked_at = now;
        while self.passed_ms > PACE_WINDOW_MS {
            self.passed_ms /= 2;
            self.heartbeats /= 2;
            self.events /= 2;
        }
        let hurry = std::mem::take(&mut self.hurry);
        if self.events * DOZE_US >= EVENTS_PER_DOZE_MIN * self.passed_ms * 1_000 {
            return Sleep::Doze(Duration::from_micros(DOZE_US));
        }
        let passed = Duration::from_millis(self.passed_ms);
        match nap_for(self.heartbeats, passed, self.nap_max) {
            Some(nap) if !hurry => Sleep::Nap(nap.min(until_all_wake(now, self.nap_max))),
            Some(_) | None => Sleep::InRing,
        }
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
        check(1_000, 50, Some(1_600));
        check(1_000, 5_000, None);
    }

    fn naps(pace: &mut Pace, now: Instant) -> bool {
        matches!(pace.sleep(now), Sleep::Nap(_))
    }

    #[test]
    fn naps_begin_with_heartbeats_and_end_with_them_and_with_all_else() {
        let mut pace = Pace::new(LONGEST, Instant(0));
        assert_eq!(pace.sleep(Instant(0)), Sleep::InRing);
        (0..200).for_each(|_| pace.heartbeat());
        assert!(naps(&mut pace, Instant(1)));
        pace.event();
        assert_eq!(pace.sleep(Instant(2)), Sleep::InRing);
        assert!(naps(&mut pace, Instant(2)));
        pace.hurry();
        assert_eq!(pace.sleep(Instant(2)), Sleep::InRing);
        assert_eq!(pace.sleep(Instant(10 * PACE_WINDOW_MS)), Sleep::InRing);
    }

    #[test]
    fn a_few_heartbeats_by_chance_do_not_end_naps() {
        let mut pace = Pace::new(LONGEST, Instant(0));
        for ms in 0..10 * PACE_WINDOW_MS {
            // Three in five milliseconds, in bunches.
            if ms % 20 == 0 {
                (0..12).for_each(|_| pace.heartbeat());
            }
            let naps = naps(&mut pace, Instant(ms));
            assert!(naps || ms < 3 * PACE_WINDOW_MS, "no nap after {ms} ms");
        }
    }

    #[test]
    fn the_longest_naps_of_all_shards_end_together() {
        for (ms, left_ms) in [(100, 5), (101, 4), (104, 1), (105, 5)] {
            let mut pace = Pace::new(LONGEST, Instant(ms));
            (0..200).for_each(|_| pace.heartbeat());
            let nap = Sleep::Nap(Duration::from_millis(left_ms));
            assert_eq!(pace.sleep(Instant(ms)), nap, "at {ms} ms");
        }
    }

    #[test]
    fn a_shard_dozes_while_many_come() {
        let mut pace = Pace::new(LONGEST, Instant(0));
        let per_ms = EVENTS_PER_DOZE_MIN * 1_000 / DOZE_US;
        for ms in 0..10 * PACE_WINDOW_MS {
            assert_eq!(pace.sleep(Instant(ms)), Sleep::InRing, "too few after {ms} ms");
            (1..per_ms).for_each(|_| pace.event());
        }
        let dozes = |ms| {
            (0..2 * per_ms).for_each(|_| pace.event());
            matches!(pace.sleep(Instant(10 * PACE_WINDOW_MS + ms)), Sleep::Doze(_))
        };
        assert!((0..PACE_WINDOW_MS).any(dozes));
        assert_eq!(pace.sleep(Instant(20 * PACE_WINDOW_MS)), Sleep::InRing);
    }
}
