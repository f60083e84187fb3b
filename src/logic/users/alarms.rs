//! The devices' alarms: when each is due, and what is to be checked once it rings. Decides nothing of it.

use crate::base::limits::ALARMS_PER_TURN_MAX;
use crate::base::time::Instant;
use crate::logic::context::{Context, ShardMode};
use crate::logic::settings::Settings;
use crate::logic::users::Users;
use crate::logic::users::device::NO_SLOT;
use crate::logic::users::events::{QueueState, UserEvent};
use crate::logic::users::presence::DeviceState;

impl Users {
    /// Time passed: what is due is tried again, or checked; at most [`ALARMS_PER_TURN_MAX`] alarms a call.
    pub(in crate::logic) fn expire(&mut self, context: &mut Context) {
        while let Some(user) = self.queue.next_retry(context.now.instant) {
            self.waiting_mut(user).state = QueueState::Free;
            self.queue.set_ready(user);
        }
        if context.mode == ShardMode::Open && self.partitions.any_decides() {
            self.ring_alarms(context);
        }
        self.expire_messages(context);
        self.login_rates.expire(context);
    }

    fn ring_alarms(&mut self, context: &Context) {
        let now = context.now.instant;
        for _ in 0..ALARMS_PER_TURN_MAX {
            if self.alarms_wait(context) {
                break;
            }
            let Some(device) = self.wheel.pop(now) else {
                break;
            };
            let due = self.due(&context.settings, device);
            if due > now {
                self.wheel.arm(device, due);
            } else {
                self.ring(device);
            }
        }
    }

    /// An alarm of a partition of which nothing may be decided rings when it is open.
    fn ring(&mut self, device: u32) {
        let user = self.table.device(device).user;
        let partition = self.partitions.of_mut(&self.table.user(user).id);
        if !partition.holds_alarm(device) {
            self.check(device);
        }
    }

    /// Alarms that ring together ask for changes together: they take at most half of the room with the registry, so that
    /// logins find some. The others wait in the wheel, where they cost nothing.
    fn alarms_wait(&self, context: &Context) -> bool {
        let checks_max = (context.settings.capacities.registry_in_flight / 2).max(1);
        self.queue.alarm_checks() >= checks_max
    }

    /// A device's alarm rang.
    fn check(&mut self, device: u32) {
        let known = self.table.device_mut(device);
        if !known.marks.check_waits() {
            known.marks.set_check_waits(true);
            let (user, id) = (known.user, known.id());
            self.queue.alarm_rang();
            self.enqueue(user, UserEvent::AlarmCheck(id));
        }
    }

    /// Sets the device's alarm anew.
    pub(super) fn arm(&mut self, settings: &Settings, device: u32) {
        self.wheel.arm(device, self.due(settings, device));
    }

    /// When the device's alarm is due: its time-out, or the end of its PushOnline.
    pub(super) fn due(&self, settings: &Settings, device: u32) -> Instant {
        let device = self.table.device(device);
        let after = match device.state() {
            DeviceState::PushOnline => settings.push_online,
            DeviceState::Unlinked if device.slot == NO_SLOT => {
                return self
                    .partition_of(device.user)
                    .grace()
                    .due(device.platform.class(), settings);
            }
            DeviceState::Offline | DeviceState::Linked | DeviceState::Unlinked => {
                settings.timeout_of(device.platform.class())
            }
        };
        device.moment.get().after(after)
    }

    /// When [`Users::expire`] has something to do next.
    pub(in crate::logic) fn next_deadline(&self, context: &Context) -> Option<Instant> {
        let retry = self.queue.next_deadline();
        let may_ring = self.partitions.any_decides() && !self.alarms_wait(context);
        let alarm = self.wheel.next_deadline().filter(|_| may_ring);
        let sweep = self.login_rates.next_deadline();
        [retry, alarm, sweep, self.held.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}
