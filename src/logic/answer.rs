//! Answers to the HTTP front, from confirmed state. Changes nothing.

use crate::base::ids::{RequestId, UserId};
use crate::base::time::Now;
use crate::logic::Effect;
use crate::logic::letter::{DeviceStatuses, Standing, ToFront, ToRegistry, UserStatuses};
use crate::logic::queue::{Event, Known};
use crate::logic::state::ShardState;
use crate::logic::users::{Link, User};

impl ShardState {
    /// The statuses of some users of this shard. Those it does not hold are the registry's to answer.
    pub(super) fn query(&mut self, request: RequestId, users: Vec<UserId>, out: &mut Vec<Effect>) {
        self.counters.queries += 1;
        let mut resolved = true;
        let found = self.users.find_all(&users).into_iter();
        let standings = found.map(|found| {
            let found = found.filter(|(key, _)| self.is_resident(*key));
            resolved &= found.is_some();
            found.map_or(Standing::Unresolved, |(_, user)| self.standing_of(user))
        });
        let standings = standings.collect();
        let statuses = UserStatuses { users, standings };
        out.push(if resolved {
            Effect::Reply(ToFront::Statuses(request, statuses))
        } else {
            Effect::Ask(ToRegistry::Complete(request, statuses))
        });
    }

    /// Nearly every user has at most one device.
    fn standing_of(&self, user: &User) -> Standing {
        let first = user.devices.get().map(|device| &self.users.devices[device]);
        let devices = match first {
            None => DeviceStatuses::None,
            Some(only) if only.next == Link::NONE => DeviceStatuses::One(only.status()),
            Some(_) => {
                let devices = self.users.devices_from(user.devices);
                devices.map(|(_, device)| device.status()).collect()
            }
        };
        Standing::Known {
            change: user.change,
            devices,
        }
    }

    fn is_resident(&self, user: u32) -> bool {
        let waiting = self.users.users[user].waiting.get();
        waiting.is_none_or(|waiting| self.waiting[waiting].known == Known::Resident)
    }

    /// All that is known of a user of this shard.
    pub(super) fn inspect(&mut self, now: Now, request: RequestId, user: UserId, out: &mut Vec<Effect>) {
        match self.users.find(&user).filter(|key| self.is_resident(*key)) {
            Some(key) => {
                let inspection = Some(Box::new(self.inspection(now, key)));
                out.push(Effect::Reply(ToFront::Inspected(request, Ok(inspection))));
            }
            None => {
                let user = self.user_of(&user);
                self.enqueue(user, Event::Inspect(request));
            }
        }
    }
}
