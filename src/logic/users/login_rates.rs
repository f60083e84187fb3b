//! How often one user logs in. Each login that is not the resume of a session that goes on takes a token; a user has as many
//! as it may use in a minute, and gets them back evenly. Remembered only of users who have not all of theirs. Knows no device.

use std::collections::HashMap;

use crate::base::ids::UserId;
use crate::base::limits::{LOGIN_RATE_WINDOW_MS, LOGIN_RATES_MAX, LOGIN_RATES_SWEEP_MS};
use crate::base::time::Instant;
use crate::logic::context::Context;

/// A moment in microseconds: a user may have a million logins in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Micros(u64);

impl Micros {
    fn of(instant: Instant) -> Self {
        Self(instant.0 * 1_000)
    }
}

/// In which time one token comes back.
fn interval_us(per_minute: u32) -> u64 {
    LOGIN_RATE_WINDOW_MS * 1_000 / u64::from(per_minute)
}

/// The users who logged in so recently that they have not all tokens, each with the moment when it will.
#[derive(Debug, Default)]
pub(super) struct LoginRates {
    full_at: HashMap<UserId, Micros>,
    /// When those who have all tokens are thrown out next.
    sweep_at: Instant,
}

impl LoginRates {
    /// How long a user has to wait for a token, in milliseconds; 0 if it has one.
    fn wait_ms(&self, now: Instant, user: &UserId, per_minute: u32) -> u64 {
        let Some(full_at) = self.full_at.get(user) else {
            return 0;
        };
        let without = full_at.0.saturating_sub(Micros::of(now).0);
        let with_one = interval_us(per_minute) * u64::from(per_minute - 1);
        without.saturating_sub(with_one).div_ceil(1_000)
    }

    /// Takes one token. Says whether there was room to remember that.
    fn take(&mut self, now: Instant, user: UserId, per_minute: u32) -> Remembered {
        if self.full_at.is_empty() {
            self.sweep_at = Instant(now.0 + LOGIN_RATES_SWEEP_MS);
        }
        if self.full_at.len() >= LOGIN_RATES_MAX && !self.full_at.contains_key(&user) {
            return Remembered::No;
        }
        let now = Micros::of(now);
        let full_at = self.full_at.entry(user).or_insert(now);
        *full_at = Micros((*full_at).max(now).0 + interval_us(per_minute));
        Remembered::Yes
    }

    /// Forgets those who have all tokens, and gives their memory back: nothing is left behind of a storm of logins.
    fn sweep(&mut self, now: Instant) {
        self.sweep_at = Instant(now.0 + LOGIN_RATES_SWEEP_MS);
        self.full_at.retain(|_, full_at| *full_at > Micros::of(now));
        if self.full_at.is_empty() || self.full_at.len() < self.full_at.capacity() / 4 {
            self.full_at.shrink_to_fit();
        }
    }

    /// When [`LoginRates::sweep`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        (!self.full_at.is_empty()).then_some(self.sweep_at)
    }
}

/// Whether something is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remembered {
    Yes,
    No,
}

/// What the shard asks, with its settings.
impl LoginRates {
    /// How long a user has to wait until it may log in, in milliseconds; 0 if it may.
    pub(super) fn login_wait_ms(&self, context: &Context, user: &UserId) -> u64 {
        match context.settings.logins_per_user_max {
            0 => 0,
            per_minute => self.wait_ms(context.now.instant, user, per_minute),
        }
    }

    /// A login of this user was recorded, or refused for what it asked for.
    pub(super) fn count_login(&mut self, context: &mut Context, user: UserId) {
        let per_minute = context.settings.logins_per_user_max;
        if per_minute == 0 {
            return;
        }
        if self.take(context.now.instant, user, per_minute) == Remembered::No {
            context.counters.login_rates_full += 1;
        }
        context.counters.login_rates_now = self.full_at.len() as u64;
    }

    /// Forgets users who have not logged in lately.
    pub(super) fn expire(&mut self, context: &mut Context) {
        if self.next_deadline().is_some_and(|due| due <= context.now.instant) {
            self.sweep(context.now.instant);
            context.counters.login_rates_now = self.full_at.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::settings::Settings;
    use crate::logic::tests::harness::context;

    fn user(number: usize) -> UserId {
        UserId::new(format!("user-{number}").as_bytes()).unwrap()
    }

    #[test]
    fn a_minutes_logins_may_come_at_once_and_then_one_at_a_time() {
        let (mut rates, alice, now) = (LoginRates::default(), user(0), Instant(1_000_000));
        for _ in 0..60 {
            assert_eq!(rates.wait_ms(now, &alice, 60), 0);
            rates.take(now, alice, 60);
        }
        assert_eq!(rates.wait_ms(now, &alice, 60), 1_000);
        assert_eq!(rates.wait_ms(Instant(now.0 + 300), &alice, 60), 700);
        let later = Instant(now.0 + 1_000);
        assert_eq!(rates.wait_ms(later, &alice, 60), 0);
        rates.take(later, alice, 60);
        assert_eq!(rates.wait_ms(later, &alice, 60), 1_000);
        assert_eq!(rates.wait_ms(now, &user(1), 60), 0, "others are not concerned");
    }

    #[test]
    fn a_user_who_rests_has_all_again() {
        let (mut rates, alice) = (LoginRates::default(), user(0));
        (0..7).for_each(|_| _ = rates.take(Instant(0), alice, 7));
        assert!(rates.wait_ms(Instant(0), &alice, 7) > 0);
        let rested = Instant(LOGIN_RATE_WINDOW_MS);
        (0..7).for_each(|_| {
            assert_eq!(rates.wait_ms(rested, &alice, 7), 0);
            rates.take(rested, alice, 7);
        });
        assert!(rates.wait_ms(rested, &alice, 7) > 0);
    }

    #[test]
    fn another_setting_counts_for_what_was_taken_before() {
        let (mut rates, alice) = (LoginRates::default(), user(0));
        (0..60).for_each(|_| _ = rates.take(Instant(0), alice, 60));
        assert_eq!(rates.wait_ms(Instant(0), &alice, 6_000), 10);
        assert_eq!(rates.wait_ms(Instant(0), &alice, 6), 10_000);
    }

    #[test]
    fn nobody_is_remembered_who_has_all_tokens() {
        let mut rates = LoginRates::default();
        (0..1_000).for_each(|number| _ = rates.take(Instant(0), user(number), 60));
        rates.take(Instant(0), user(7), 60);
        assert_eq!(rates.next_deadline(), Some(Instant(LOGIN_RATES_SWEEP_MS)));
        rates.sweep(Instant(1_000));
        assert_eq!(rates.full_at.len(), 1);
        assert_eq!(rates.next_deadline(), Some(Instant(1_000 + LOGIN_RATES_SWEEP_MS)));
        assert!(rates.full_at.capacity() < 100, "{}", rates.full_at.capacity());
        rates.sweep(Instant(2_000));
        assert_eq!((rates.full_at.capacity(), rates.next_deadline()), (0, None));
    }

    #[test]
    fn a_full_table_limits_no_further_user_until_somebody_is_forgotten() {
        let mut rates = LoginRates::default();
        (0..LOGIN_RATES_MAX).for_each(|number| _ = rates.take(Instant(0), user(number), 1));
        let late = user(LOGIN_RATES_MAX);
        assert_eq!(rates.take(Instant(0), late, 1), Remembered::No);
        assert_eq!(rates.wait_ms(Instant(0), &late, 1), 0);
        assert_eq!(rates.take(Instant(0), user(3), 1), Remembered::Yes);
        rates.sweep(Instant(60_000));
        assert_eq!(rates.take(Instant(60_000), late, 1), Remembered::Yes);
    }

    #[test]
    fn logins_that_find_no_room_to_be_remembered_are_counted() {
        let mut context = context(Settings {
            logins_per_user_max: 1,
            ..Settings::default()
        });
        let mut rates = LoginRates::default();
        (1..LOGIN_RATES_MAX).for_each(|number| _ = rates.take(Instant(0), user(number), 1));
        for number in 0..3 {
            rates.count_login(&mut context, user(LOGIN_RATES_MAX + number));
        }
        let counters = &context.counters;
        assert_eq!(
            (counters.login_rates_full, counters.login_rates_now),
            (2, LOGIN_RATES_MAX as u64)
        );
    }
}
