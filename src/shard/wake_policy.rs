//! How a shard waits between two turns, so that one wake serves several heartbeats, or several newcomers. Reads no clock.
//!
//! The longest timed waits of all shards end at the same moments of the clock that they share: where many shards have few cores, they
//! wake one after the other.

use std::time::Duration;

use crate::base::limits::{
    BATCHING_WAIT_US, EVENTS_PER_BATCHING_WAIT_MIN, HEARTBEATS_PER_TIMED_WAIT, HEARTBEATS_PER_TIMED_WAIT_MIN,
    WAKE_POLICY_WINDOW_MS,
};
use crate::base::time::{Instant, millis};

/// How a shard waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShardWait {
    /// Until something comes.
    InRing,
    /// Until another thread wakes the shard, or this time has passed: terminals wait for that.
    Timed(Duration),
    /// Until this time has passed: everyone waits for that.
    Batching(Duration),
}

/// Counts what comes, and says by it how to wait.
#[derive(Debug)]
pub(super) struct WakePolicy {
    timed_wait_max: Duration,
    looked_at: Instant,
    /// What came lately, and in how long; what is longer ago counts less.
    heartbeats: u64,
    events: u64,
    passed_ms: u64,
    hurry: bool,
}

impl WakePolicy {
    /// Timed waits are at most `timed_wait_max` long.
    pub(super) fn new(timed_wait_max: Duration, now: Instant) -> Self {
        Self {
            timed_wait_max,
            looked_at: now,
            heartbeats: 0,
            events: 0,
            passed_ms: WAKE_POLICY_WINDOW_MS,
            hurry: false,
        }
    }

    /// A terminal that is at home sent something.
    pub(super) fn heartbeat(&mut self) {
        self.heartbeats += 1;
    }

    /// A word of another thread, a newcomer, or a newcomer's word: this turn ends without a timed wait.
    pub(super) fn event(&mut self) {
        self.events += 1;
        self.hurry = true;
    }

    /// Something is under way that ends soon: this turn ends without a timed wait.
    pub(super) fn hurry(&mut self) {
        self.hurry = true;
    }

    /// How to wait at the end of this turn.
    pub(super) fn wait(&mut self, now: Instant) -> ShardWait {
        self.passed_ms += millis(now.since(self.looked_at));
        self.looked_at = now;
        while self.passed_ms > WAKE_POLICY_WINDOW_MS {
            self.passed_ms /= 2;
            self.heartbeats /= 2;
            self.events /= 2;
        }
        let hurry = std::mem::take(&mut self.hurry);
        if self.events * BATCHING_WAIT_US >= EVENTS_PER_BATCHING_WAIT_MIN * self.passed_ms * 1_000 {
            return ShardWait::Batching(Duration::from_micros(BATCHING_WAIT_US));
        }
        let passed = Duration::from_millis(self.passed_ms);
        match timed_wait_for(self.heartbeats, passed, self.timed_wait_max) {
            Some(wait) if !hurry => ShardWait::Timed(wait.min(until_all_wake(now, self.timed_wait_max))),
            Some(_) | None => ShardWait::InRing,
        }
    }
}

/// How long it is to the next multiple of `timed_wait_max`.
fn until_all_wake(now: Instant, timed_wait_max: Duration) -> Duration {
    let wait_ms = millis(timed_wait_max).max(1);
    Duration::from_millis(wait_ms - now.0 % wait_ms)
}

/// The timed wait for `heartbeats` that came while `passed` passed.
fn timed_wait_for(heartbeats: u64, passed: Duration, timed_wait_max: Duration) -> Option<Duration> {
    let in_longest = u128::from(heartbeats) * timed_wait_max.as_micros() / passed.as_micros().max(1);
    if in_longest < u128::from(HEARTBEATS_PER_TIMED_WAIT_MIN) {
        return None;
    }
    let enough = passed.as_micros() * u128::from(HEARTBEATS_PER_TIMED_WAIT) / u128::from(heartbeats);
    let enough = Duration::from_micros(u64::try_from(enough).unwrap_or(u64::MAX));
    Some(enough.min(timed_wait_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(5);

    fn check(heartbeats: u64, passed_ms: u64, expected_us: Option<u64>) {
        let wait = timed_wait_for(heartbeats, Duration::from_millis(passed_ms), LONGEST);
        assert_eq!(wait, expected_us.map(Duration::from_micros));
    }

    #[test]
    fn a_timed_wait_gathers_what_is_worth_it() {
        check(0, 50, None);
        check(5, 50, None);
        check(20, 50, Some(5_000));
        check(125, 50, Some(5_000));
        check(1_000, 50, Some(1_600));
        check(1_000, 5_000, None);
    }

    fn is_timed(policy: &mut WakePolicy, now: Instant) -> bool {
        matches!(policy.wait(now), ShardWait::Timed(_))
    }

    #[test]
    fn timed_waits_begin_with_heartbeats_and_end_with_them_and_with_all_else() {
        let mut policy = WakePolicy::new(LONGEST, Instant(0));
        assert_eq!(policy.wait(Instant(0)), ShardWait::InRing);
        (0..200).for_each(|_| policy.heartbeat());
        assert!(is_timed(&mut policy, Instant(1)));
        policy.event();
        assert_eq!(policy.wait(Instant(2)), ShardWait::InRing);
        assert!(is_timed(&mut policy, Instant(2)));
        policy.hurry();
        assert_eq!(policy.wait(Instant(2)), ShardWait::InRing);
        assert_eq!(
            policy.wait(Instant(10 * WAKE_POLICY_WINDOW_MS)),
            ShardWait::InRing
        );
    }

    #[test]
    fn a_few_heartbeats_by_chance_do_not_end_timed_waits() {
        let mut policy = WakePolicy::new(LONGEST, Instant(0));
        for ms in 0..10 * WAKE_POLICY_WINDOW_MS {
            // Three in five milliseconds, in bunches.
            if ms % 20 == 0 {
                (0..12).for_each(|_| policy.heartbeat());
            }
            let is_timed = is_timed(&mut policy, Instant(ms));
            assert!(
                is_timed || ms < 3 * WAKE_POLICY_WINDOW_MS,
                "no timed wait after {ms} ms"
            );
        }
    }

    #[test]
    fn the_longest_timed_waits_of_all_shards_end_together() {
        for (ms, left_ms) in [(100, 5), (101, 4), (104, 1), (105, 5)] {
            let mut policy = WakePolicy::new(LONGEST, Instant(ms));
            (0..200).for_each(|_| policy.heartbeat());
            let wait = ShardWait::Timed(Duration::from_millis(left_ms));
            assert_eq!(policy.wait(Instant(ms)), wait, "at {ms} ms");
        }
    }

    #[test]
    fn a_shard_waits_to_batch_while_many_come() {
        let mut policy = WakePolicy::new(LONGEST, Instant(0));
        let per_ms = EVENTS_PER_BATCHING_WAIT_MIN * 1_000 / BATCHING_WAIT_US;
        for ms in 0..10 * WAKE_POLICY_WINDOW_MS {
            assert_eq!(
                policy.wait(Instant(ms)),
                ShardWait::InRing,
                "too few after {ms} ms"
            );
            (1..per_ms).for_each(|_| policy.event());
        }
        let batches = |ms| {
            (0..2 * per_ms).for_each(|_| policy.event());
            matches!(
                policy.wait(Instant(10 * WAKE_POLICY_WINDOW_MS + ms)),
                ShardWait::Batching(_)
            )
        };
        assert!((0..WAKE_POLICY_WINDOW_MS).any(batches));
        assert_eq!(
            policy.wait(Instant(20 * WAKE_POLICY_WINDOW_MS)),
            ShardWait::InRing
        );
    }
}
