//! The restart grace: how long after its partition is open a device that was Online may return as if nothing had happened. Knows
//! no device.

use crate::base::ids::Class;
use crate::base::limits::GRACE_PAUSES_MAX;
use crate::base::time::{Instant, millis};
use crate::logic::settings::Settings;

/// For how long the grace stands still when a login was refused as busy: another refusal within it continues the pause.
const BUSY_MS: u64 = 1_000;

/// The restart grace of one partition, at one shard.
#[derive(Debug, Default)]
pub(super) struct Grace {
    began: Instant,
    ends: Instant,
    /// Until then logins count as being refused.
    busy_until: Instant,
    /// For so long it may still stand still.
    pauses_left_ms: u64,
}

impl Grace {
    pub(super) fn begin(now: Instant, settings: &Settings) -> Self {
        Self {
            began: now,
            ends: now.after(settings.restart_grace),
            busy_until: now,
            pauses_left_ms: millis(settings.restart_grace) * u64::from(GRACE_PAUSES_MAX),
        }
    }

    /// A login found no room with the registry, or at this shard: whoever wants to come back may not be able to, so the grace
    /// stands still. Nothing that one user is refused for has a say in it, and a registry that fails has none: who was Online
    /// comes back without it.
    pub(super) fn wait(&mut self, now: Instant) {
        if now < self.ends {
            let until = Instant(now.0 + BUSY_MS);
            let pause_ms = (until.0 - self.busy_until.max(now).0).min(self.pauses_left_ms);
            self.pauses_left_ms -= pause_ms;
            self.ends.0 += pause_ms;
            self.busy_until = until;
        }
    }

    /// When a device that did not come back is given up. A web page has its time-out at least, counted from the start.
    pub(super) fn due(&self, class: Class, settings: &Settings) -> Instant {
        match class {
            Class::Mobile | Class::Desktop => self.ends,
            Class::Web => self.ends.max(self.began.after(settings.timeout_of(class))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn grace() -> (Grace, Settings) {
        let settings = Settings::default();
        (Grace::begin(Instant(5_000), &settings), settings)
    }

    #[test]
    fn it_ends_after_the_setting_and_for_the_web_after_its_time_out() {
        let (grace, settings) = grace();
        assert_eq!(grace.due(Class::Mobile, &settings), Instant(65_000));
        assert_eq!(grace.due(Class::Desktop, &settings), Instant(65_000));
        assert_eq!(grace.due(Class::Web, &settings), Instant(405_000));
        let longer = Settings {
            restart_grace: Duration::from_secs(900),
            ..settings
        };
        let grace = Grace::begin(Instant(5_000), &longer);
        assert_eq!(grace.due(Class::Web, &longer), Instant(905_000));
    }

    #[test]
    fn it_stands_still_while_logins_are_refused() {
        let (mut grace, settings) = grace();
        for (busy_at, ends) in [
            (10_000, 66_000),
            (10_400, 66_400),
            (10_400, 66_400),
            (30_000, 67_400),
            (67_400, 67_400),
        ] {
            grace.wait(Instant(busy_at));
            assert_eq!(grace.due(Class::Mobile, &settings), Instant(ends), "{busy_at}");
        }
    }

    #[test]
    fn all_pauses_together_are_three_times_the_grace_at_most() {
        let (mut grace, settings) = grace();
        (5_000..900_000)
            .step_by(100)
            .for_each(|busy_at| grace.wait(Instant(busy_at)));
        assert_eq!(grace.due(Class::Desktop, &settings), Instant(5_000 + 4 * 60_000));
    }
}
