//! After a start: users come back from the registry's records, and devices that were Online have a grace to return in.
//! Decides nothing: when a device's grace ends, its alarm rings like any other.

use crate::base::ids::{Class, UserId};
use crate::base::limits::GRACE_PAUSES_MAX;
use crate::base::time::{Instant, Now, millis};
use crate::logic::presence::Standing;
use crate::logic::record::{DeviceRecord, Status, UserRecord};
use crate::logic::settings::Settings;
use crate::logic::state::{Running, ShardState};

/// For how long the grace stands still when a login was refused as busy: another refusal within it continues the pause.
pub(super) const BUSY_MS: u64 = 1_000;

/// The restart grace of a shard.
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
    fn begin(now: Instant, settings: &Settings) -> Self {
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

impl ShardState {
    /// Takes in users that are on record with devices.
    pub(super) fn restore(&mut self, now: Now, users: Vec<(UserId, UserRecord)>) {
        self.running = Running::Restoring;
        for (id, record) in users {
            let user = self.users.add(id);
            self.counters.users_now += 1;
            self.users.users[user].change = record.change;
            if record.kicked_at_s > 0 {
                self.kicked_at_s.insert(user, record.kicked_at_s);
            }
            for known in &record.devices {
                self.restore_device(now, user, known);
            }
        }
    }

    fn restore_device(&mut self, now: Now, user: u32, known: &DeviceRecord) {
        self.counters.devices_restored += 1;
        let device = self.users.add_device(user, known.device);
        self.set_standing(
            device,
            match known.status {
                Status::Online => Standing::Unlinked,
                Status::PushOnline => Standing::PushOnline,
                Status::Offline => unreachable!("devices on record are not Offline"),
            },
        );
        let restored = &mut self.users.devices[device];
        restored.set_session(known.session, known.fresh);
        restored.login_at.set(known.login_at);
        restored.moment.set(now.instant_of(known.since));
        // The grace begins later than this; the alarm finds that out when it rings.
        let due = match known.status {
            Status::Online => now.instant.after(self.settings.restart_grace),
            Status::PushOnline | Status::Offline => self.due(device),
        };
        self.wheel.arm(device, due);
    }

    /// Terminals can connect from now on.
    pub(super) fn open(&mut self, now: Now) {
        self.running = Running::Yes;
        self.grace = Grace::begin(now.instant, &self.settings);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, ShardId};
    use crate::base::time::{BEFORE_START_MS, Timestamp};
    use crate::logic::state::Place;

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
    fn push_online_since_a_time_that_lies_ahead_ends_by_the_setting_from_the_start_on() {
        let now = Now {
            instant: Instant(BEFORE_START_MS),
            wall: Timestamp(1_700_000_000_000),
        };
        let due_after = |since: u64| {
            let place = Place {
                shard: ShardId(0),
                shards: 1,
                connections_max: 1,
            };
            let settings = Arc::new(Settings::default());
            let mut state = ShardState::new(now, 1, place, settings);
            let mut record = UserRecord::default();
            let device = DeviceId {
                platform: Platform::Android,
                instance: InstanceId::MIN,
            };
            record.devices.push(DeviceRecord {
                device,
                status: Status::PushOnline,
                session: ChangeNumber(1),
                fresh: ChangeNumber(1),
                login_at: Timestamp(since),
                since: Timestamp(since),
                address: None,
            });
            state.restore(now, vec![(UserId::new(b"alice").unwrap(), record)]);
            let (device, _) = state.users.devices_of(0).next().unwrap();
            state.due(device).since(now.instant)
        };
        const DAY_MS: u64 = 86_400_000;
        let days = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(due_after(now.wall.0 - 2 * DAY_MS), days(5));
        assert_eq!(due_after(now.wall.0 + 3_650 * DAY_MS), days(7));
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
