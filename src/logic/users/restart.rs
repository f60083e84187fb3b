//! After a start: users come back from the registry's records, and devices that were Online have a grace to return in.
//! Decides nothing: when a device's grace ends, its alarm rings like any other.

use crate::base::ids::UserId;
use crate::logic::context::{Context, ShardMode};
use crate::logic::record::{DeviceRecord, Status, UserRecord};
use crate::logic::users::Users;
use crate::logic::users::device::PackedSession;
use crate::logic::users::grace::Grace;
use crate::logic::users::presence::DeviceState;

impl Users {
    /// Takes in users that are on record with devices.
    pub(in crate::logic) fn restore(&mut self, context: &mut Context, users: Vec<(UserId, UserRecord)>) {
        context.mode = ShardMode::Restoring;
        for (id, record) in users {
            let user = self.table.add(id);
            context.counters.users_now += 1;
            self.table.user_mut(user).change = record.change;
            if record.kicked_at_s > 0 {
                self.kicked_at_s.insert(user, record.kicked_at_s);
            }
            for known in &record.devices {
                self.restore_device(context, user, known);
            }
        }
    }

    fn restore_device(&mut self, context: &mut Context, user: u32, known: &DeviceRecord) {
        context.counters.devices_restored += 1;
        let device = self.table.add_device(user, known.device);
        self.set_state(context, device, DeviceState::without_link(known.status));
        let restored = self.table.device_mut(device);
        restored.session = PackedSession::of(known.session, known.fresh);
        restored.login_at.set(known.login_at);
        restored.moment.set(context.now.instant_of(known.since));
        // The grace begins later than this; the alarm finds that out when it rings.
        let due = match known.status {
            Status::Online => context.now.instant.after(context.settings.restart_grace),
            Status::PushOnline | Status::Offline => self.due(&context.settings, device),
        };
        self.wheel.arm(device, due);
    }

    /// Terminals can connect from now on.
    pub(in crate::logic) fn open(&mut self, context: &mut Context) {
        context.mode = ShardMode::Open;
        self.grace = Grace::begin(context.now.instant, &context.settings);
    }

    /// A login was refused for want of room at another shard.
    pub(in crate::logic) fn turned_away(&mut self, context: &Context) {
        self.grace.wait(context.now.instant);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, ShardId};
    use crate::base::time::{BEFORE_START_MS, Instant, Now, Timestamp};
    use crate::logic::context::ShardPosition;
    use crate::logic::settings::Settings;

    #[test]
    fn push_online_since_a_time_that_lies_ahead_ends_by_the_setting_from_the_start_on() {
        let now = Now {
            instant: Instant(BEFORE_START_MS),
            wall: Timestamp(1_700_000_000_000),
        };
        let due_after = |since: u64| {
            let position = ShardPosition {
                shard: ShardId(0),
                shards: 1,
                connections_max: 1,
            };
            let settings = Arc::new(Settings::default());
            let mut context = Context::new(now, 1, position, settings);
            let mut users = Users::new(now.instant, 1);
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
            users.restore(&mut context, vec![(UserId::new(b"alice").unwrap(), record)]);
            let (device, _) = users.table.devices_of(0).next().unwrap();
            users.due(&context.settings, device).since(now.instant)
        };
        const DAY_MS: u64 = 86_400_000;
        let days = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(due_after(now.wall.0 - 2 * DAY_MS), days(5));
        assert_eq!(due_after(now.wall.0 + 3_650 * DAY_MS), days(7));
    }
}
