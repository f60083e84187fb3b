//! After a start: users come back from the registry's records, partition by partition, and devices that were Online have a grace
//! to return in, which begins when their partition is open. Decides nothing: when a device's grace ends, its alarm rings like any other.

use crate::base::ids::{PartitionId, UserId};
use crate::base::receipt::Receipt;
use crate::base::time::Instant;
use crate::logic::context::Context;
use crate::logic::record::{DeviceRecord, Status, UserRecord};
use crate::logic::users::Users;
use crate::logic::users::device::{OptionalKey, PackedSession};
use crate::logic::users::partitions::PartitionStage;
use crate::logic::users::presence::DeviceState;

impl Users {
    /// Takes in users of this partition that are on record with devices.
    pub(in crate::logic) fn adopt(
        &mut self,
        context: &mut Context,
        partition: PartitionId,
        users: Vec<(UserId, UserRecord)>,
    ) {
        self.partitions.get_mut(partition).adopt();
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

    /// Terminals of this partition's users can connect from now on. One that settles goes on, with what has waited meanwhile.
    pub(in crate::logic) fn open(&mut self, context: &Context, partition: PartitionId) {
        let now = context.now.instant;
        let opening = self.partitions.get_mut(partition);
        let opened = opening.open(now, context.lease, &context.settings);
        if opened.before == PartitionStage::Settling {
            self.wake(partition);
        }
        // A device may have gone meanwhile.
        let rang = opened.rang.into_iter();
        rang.filter(|device| self.table.get_device(*device).is_some())
            .for_each(|device| self.wheel.arm(device, now));
    }

    /// Has the users of a partition decide what waits for them.
    fn wake(&mut self, partition: PartitionId) {
        let users = self
            .table
            .listed()
            .filter(|(_, user)| user.waiting != OptionalKey::NONE);
        let users = users.filter(|(_, user)| self.partitions.id_of(&user.id) == partition);
        users.for_each(|(user, _)| self.queue.set_ready(user));
    }

    /// Nothing more of this partition's users is decided.
    pub(in crate::logic) fn settle_partition(&mut self, partition: PartitionId, receipt: Receipt) {
        self.partitions.get_mut(partition).settle(receipt);
    }

    /// Whether all that is known of this user is known here.
    pub(super) fn is_held(&self, user: &UserId) -> bool {
        matches!(
            self.partitions.of(user).stage(),
            PartitionStage::Open | PartitionStage::Settling
        )
    }

    /// Whether a user's requests are taken here: as long as nothing is known of a cluster all are.
    pub(super) fn is_open(&self, context: &Context, user: &UserId) -> bool {
        context.homes.is_none() || self.partitions.of(user).stage() == PartitionStage::Open
    }

    /// A login was refused for want of room, here or on its way here. The room is the whole shard's, so whoever wants to come
    /// back may be next.
    pub(in crate::logic) fn pause_graces(&mut self, now: Instant) {
        let partitions = self.partitions.iter_mut();
        partitions.for_each(|partition| partition.pause_grace(now));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, ShardId};
    use crate::base::time::{BEFORE_START_MS, Now, Timestamp, millis};
    use crate::logic::context::ShardPosition;
    use crate::logic::settings::Settings;

    const NOW: Now = Now {
        instant: Instant(BEFORE_START_MS),
        wall: Timestamp(1_700_000_000_000),
    };

    const DEVICE: DeviceId = DeviceId {
        platform: Platform::Android,
        instance: InstanceId::MIN,
    };

    fn shard(partitions: u16) -> (Context, Users) {
        let position = ShardPosition {
            shard: ShardId(0),
            shards: 1,
            partitions,
            connections_max: 1,
        };
        let context = Context::new(NOW, 1, position, Arc::new(Settings::default()));
        (context, Users::new(NOW.instant, 1, partitions))
    }

    /// A user with one device, which has this status since then.
    fn known(user: &str, status: Status, since: Timestamp) -> (UserId, UserRecord) {
        let mut record = UserRecord::default();
        record.devices.push(DeviceRecord {
            device: DEVICE,
            status,
            session: ChangeNumber(1),
            fresh: ChangeNumber(1),
            login_at: since,
            since,
            address: None,
        });
        (UserId::new(user.as_bytes()).unwrap(), record)
    }

    #[test]
    fn push_online_since_a_time_that_lies_ahead_ends_by_the_setting_from_the_start_on() {
        let due_after = |since: u64| {
            let (mut context, mut users) = shard(1);
            let alice = known("alice", Status::PushOnline, Timestamp(since));
            users.adopt(&mut context, PartitionId::SOLE, vec![alice]);
            let (device, _) = users.table.devices_of(0).next().unwrap();
            users.due(&context.settings, device).since(NOW.instant)
        };
        const DAY_MS: u64 = 86_400_000;
        let days = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(due_after(NOW.wall.0 - 2 * DAY_MS), days(5));
        assert_eq!(due_after(NOW.wall.0 + 3_650 * DAY_MS), days(7));
    }

    #[test]
    fn each_partition_has_its_own_grace_and_its_alarms_wait_until_it_is_open() {
        let (mut context, mut users) = shard(4);
        let [first, second] = ["user-1", "user-2"].map(|name| known(name, Status::Online, NOW.wall));
        let (ids, partitions) = ([first.0, second.0], [PartitionId(3), PartitionId(1)]);
        assert_eq!(ids.map(|id| id.partition(4)), partitions);
        users.adopt(&mut context, partitions[0], vec![first]);
        users.adopt(&mut context, partitions[1], vec![second]);
        let grace_ms = millis(context.settings.restart_grace);
        let mut rang_after = |graces: u64, opens: Option<PartitionId>| {
            context.now.instant = Instant(NOW.instant.0 + graces * grace_ms);
            if let Some(partition) = opens {
                users.open(&context, partition);
            }
            users.expire(&mut context);
            ids.map(|id| !users.alarms_waiting(&id).is_empty())
        };
        assert_eq!(rang_after(0, Some(partitions[0])), [false, false]);
        assert_eq!(rang_after(2, None), [true, false], "one is not open");
        assert_eq!(rang_after(3, Some(partitions[1])), [true, false]);
        assert_eq!(rang_after(5, None), [true, true]);
    }

    #[test]
    fn as_long_as_all_users_are_adopted_there_is_nothing_to_wait_for() {
        let (mut context, mut users) = shard(1);
        let alice = known("alice", Status::PushOnline, Timestamp(1));
        users.adopt(&mut context, PartitionId::SOLE, vec![alice]);
        assert_eq!(users.next_deadline(&context), None);
        users.open(&context, PartitionId::SOLE);
        assert!(users.next_deadline(&context).is_some());
    }

    #[test]
    fn an_alarm_that_rang_before_its_partition_was_open_rings_then() {
        let (mut context, mut users) = shard(4);
        // Her 7 days are over, and his partition is there already.
        let alice = known("user-1", Status::PushOnline, Timestamp(1));
        users.adopt(&mut context, PartitionId(3), vec![alice]);
        let rang = |users: &mut Users, context: &mut Context| {
            context.now.instant = context.now.instant.after(Duration::from_secs(2));
            users.expire(context);
            !users.alarms_waiting(&UserId::new(b"user-1").unwrap()).is_empty()
        };
        assert!(!rang(&mut users, &mut context));
        users.open(&context, PartitionId(3));
        assert!(rang(&mut users, &mut context));
    }

    #[test]
    fn the_graces_of_all_partitions_stand_still_together() {
        let (mut context, mut users) = shard(4);
        for (name, partition) in [("user-1", PartitionId(3)), ("user-2", PartitionId(1))] {
            users.adopt(
                &mut context,
                partition,
                vec![known(name, Status::Online, NOW.wall)],
            );
            users.open(&context, partition);
        }
        users.pause_graces(Instant(NOW.instant.0 + 1));
        let grace = context.settings.restart_grace + Duration::from_secs(1);
        for user in 0..2 {
            let (device, _) = users.table.devices_of(user).next().unwrap();
            assert_eq!(users.due(&context.settings, device).since(NOW.instant), grace);
        }
    }
}
