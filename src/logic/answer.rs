//! Answers to the HTTP front, from confirmed state. Changes nothing.

use crate::base::ids::{RequestId, UserId};
use crate::base::time::Now;
use crate::logic::Effect;
use crate::logic::letter::{DeviceStatuses, Standing, ToFront, ToRegistry, UserStatus};
use crate::logic::queue::{Event, Known};
use crate::logic::state::ShardState;
use crate::logic::users::{Found, FoundDevices};

impl ShardState {
    /// The statuses of some users of this shard. Those it does not hold are the registry's to answer.
    pub(super) fn query(&mut self, request: RequestId, users: Vec<UserId>, out: &mut Vec<Effect>) {
        self.counters.queries += 1;
        let found = self.users.find_all(&users);
        let statuses = users.into_iter().zip(found);
        let statuses: Vec<UserStatus> = statuses
            .map(|(user, found)| UserStatus {
                user,
                standing: self.standing_of(found),
            })
            .collect();
        let unresolved = statuses
            .iter()
            .any(|status| status.standing == Standing::Unresolved);
        out.push(if unresolved {
            Effect::Ask(ToRegistry::Complete(request, statuses))
        } else {
            Effect::Reply(ToFront::Statuses(request, statuses))
        });
    }

    fn standing_of(&self, found: Option<Found>) -> Standing {
        let Some(found) = found.filter(|found| self.is_resident(found.user)) else {
            return Standing::Unresolved;
        };
        let devices = match found.devices {
            FoundDevices::None => DeviceStatuses::None,
            FoundDevices::One(device) => DeviceStatuses::One(device),
            FoundDevices::Many => self
                .users
                .devices_of(found.user)
                .map(|(_, device)| device.status())
                .collect(),
        };
        Standing::Known {
            change: found.change,
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
