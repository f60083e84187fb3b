//! When those who were sent away come back. Each is told a random moment in a window, and the window grows with the
//! number of those who are still to come, so that a refused crowd does not come back as one. Sends nobody away itself.

use crate::base::limits::RETURN_SECONDS;
use crate::base::time::{Instant, millis};
use crate::logic::settings::Settings;

/// How many are still to come, by the second of the moment that they were told.
#[derive(Debug)]
pub(super) struct RetryCalendar {
    seconds: Box<[u32; RETURN_SECONDS]>,
    /// All of them together.
    due: u64,
    /// The second up to which they were let go.
    second: u64,
}

impl Default for RetryCalendar {
    fn default() -> Self {
        Self {
            seconds: Box::new([0; RETURN_SECONDS]),
            due: 0,
            second: 0,
        }
    }
}

impl RetryCalendar {
    /// How long one more waits, in milliseconds: from half of `retry_after` on, and about `most` at most. With nobody else the
    /// window is as wide as `retry_after`; so many as the registry takes from this shard at once make it wider by as much again.
    pub(super) fn send_away(
        &mut self,
        now: Instant,
        settings: &Settings,
        random: &mut fastrand::Rng,
        most: u64,
    ) -> u64 {
        self.let_go(now.0 / 1_000);
        let least = millis(settings.retry_after) / 2;
        let wait = random.u64(least..=least + self.window_ms(settings, most));
        // A moment beyond the calendar counts as its last second.
        let ahead = (wait / 1_000).min(RETURN_SECONDS as u64 - 1);
        self.seconds[place(self.second + ahead)] += 1;
        self.due += 1;
        wait
    }

    fn window_ms(&self, settings: &Settings, most: u64) -> u64 {
        let one = millis(settings.retry_after);
        let room = settings.capacities.registry_in_flight.max(1) as u64;
        let grown = one.saturating_add(one.saturating_mul(self.due) / room);
        // Whoever is sent away after a start must come back within the grace, even if sent away once more.
        let most = most.min(millis(settings.restart_grace) / 2);
        grown.min(most.saturating_sub(one / 2).max(one))
    }

    /// Those whose second has come are not waited for any more.
    fn let_go(&mut self, now: u64) {
        let passed = now.saturating_sub(self.second).min(RETURN_SECONDS as u64);
        for second in self.second..self.second + passed {
            let gone = std::mem::take(&mut self.seconds[place(second)]);
            self.due -= u64::from(gone);
        }
        self.second = self.second.max(now);
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % RETURN_SECONDS as u64).expect("a small number")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::limits::{HOMELESS_WINDOW_MS_MAX, RETRY_WINDOW_MS_MAX};

    fn settings(room: usize) -> Settings {
        let mut settings = Settings {
            retry_after: Duration::from_secs(2),
            restart_grace: Duration::from_secs(60),
            ..Settings::default()
        };
        settings.capacities.registry_in_flight = room;
        settings
    }

    fn waits(calendar: &mut RetryCalendar, now: u64, settings: &Settings, count: u32) -> Vec<u64> {
        let mut random = fastrand::Rng::with_seed(3);
        (0..count)
            .map(|_| calendar.send_away(Instant(now), settings, &mut random, RETRY_WINDOW_MS_MAX))
            .collect()
    }

    #[test]
    fn who_waits_for_a_home_comes_back_within_its_window_however_many_there_are() {
        let (settings, mut calendar) = (settings(10), RetryCalendar::default());
        waits(&mut calendar, 0, &settings, 5_000);
        let mut random = fastrand::Rng::with_seed(3);
        let mut wait = || calendar.send_away(Instant(0), &settings, &mut random, HOMELESS_WINDOW_MS_MAX);
        let latest = (0..500).map(|_| wait()).max();
        assert!(
            (14_000..=HOMELESS_WINDOW_MS_MAX).contains(&latest.unwrap()),
            "{latest:?}"
        );
    }

    #[test]
    fn a_few_wait_around_the_setting() {
        let waits = waits(&mut RetryCalendar::default(), 5_000, &settings(4_096), 500);
        assert!(
            waits.iter().all(|wait| (1_000..=3_300).contains(wait)),
            "{waits:?}"
        );
        assert!(waits.iter().any(|wait| *wait < 1_200) && waits.iter().any(|wait| *wait > 2_800));
    }

    #[test]
    fn a_crowd_is_spread_the_wider_the_larger_it_is() {
        let (settings, mut calendar) = (settings(100), RetryCalendar::default());
        let mut latest = |count| {
            waits(&mut calendar, 0, &settings, count)
                .into_iter()
                .max()
                .unwrap()
        };
        let (first, second, third) = (latest(100), latest(400), latest(2_000));
        assert!((2_000..=5_000).contains(&first), "{first}");
        assert!((6_000..=13_000).contains(&second), "{second}");
        // Half of the grace is the most.
        assert!((28_000..=30_000).contains(&third), "{third}");
    }

    #[test]
    fn no_second_of_a_crowd_is_much_fuller_than_the_registry_takes() {
        let (settings, mut calendar) = (settings(500), RetryCalendar::default());
        let mut seconds = [0; 31];
        for wait in waits(&mut calendar, 0, &settings, 4_000) {
            seconds[usize::try_from(wait / 1_000).unwrap()] += 1;
        }
        let fullest = seconds.iter().max().unwrap();
        assert!(*fullest < 700, "{seconds:?}");
    }

    #[test]
    fn who_has_come_back_is_not_waited_for() {
        let (settings, mut calendar) = (settings(10), RetryCalendar::default());
        waits(&mut calendar, 1_000, &settings, 5_000);
        assert_eq!(calendar.due, 5_000);
        calendar.let_go(16);
        assert!((1_000..4_500).contains(&calendar.due), "{}", calendar.due);
        calendar.let_go(32);
        assert_eq!(calendar.due, 0);
        assert!(calendar.seconds.iter().all(|count| *count == 0));
        waits(&mut calendar, 10_000_000, &settings, 3);
        calendar.let_go(1_000_000);
        assert_eq!(calendar.due, 0);
    }

    #[test]
    fn a_short_grace_or_a_long_setting_leaves_the_setting_alone() {
        let mut short = settings(1);
        short.restart_grace = Duration::from_secs(1);
        let mut all = waits(&mut RetryCalendar::default(), 0, &short, 1_000);
        short.retry_after = Duration::from_secs(60);
        all.extend(
            waits(&mut RetryCalendar::default(), 0, &short, 1_000)
                .iter()
                .map(|wait| wait / 30),
        );
        assert!(all.iter().all(|wait| (1_000..=3_000).contains(wait)));
    }
}
