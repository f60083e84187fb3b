//! Answers to the HTTP front, from confirmed state. Changes nothing.

use crate::base::ids::{RequestId, UserId};
use crate::base::time::Now;
use crate::logic::Effect;
use crate::logic::letter::{
    Brief, Depth, DeviceStatuses, Standing, Standings, ToFront, ToRegistry, UserStatuses,
};
use crate::logic::queue::{Event, Known};
use crate::logic::state::ShardState;
use crate::logic::users::{Link, User};

impl ShardState {
    /// The statuses of some users of this shard. Those it does not hold are the registry's to answer.
    pub(super) fn query(
        &mut self,
        request: RequestId,
        depth: Depth,
        users: Vec<UserId>,
        out: &mut Vec<Effect>,
    ) {
        self.counters.queries += 1;
        let found = self.users.find_all(&users).into_iter();
        let found = found.map(|user| user.filter(|user| self.is_resident(user)));
        let standings = match depth {
            Depth::Status => {
                let brief = |user: &User| Brief::Known(user.devices.status());
                let brief = found.map(|user| user.map_or(Brief::Unresolved, brief));
                Standings::Status(brief.collect())
            }
            Depth::Devices => {
                let whole =
                    found.map(|user| user.map_or(Standing::Unresolved, |user| self.standing_of(user)));
                Standings::Devices(whole.collect())
            }
        };
        let statuses = UserStatuses { users, standings };
        out.push(if statuses.is_resolved() {
            Effect::Reply(ToFront::Statuses(request, statuses))
        } else {
            Effect::Ask(ToRegistry::Complete(request, statuses))
        });
    }

    /// Nearly every user has at most one device.
    fn standing_of(&self, user: &User) -> Standing {
        let first = user.devices.first();
        let only = first.get().map(|device| &self.users.devices[device]);
        let devices = match only {
            None => DeviceStatuses::None,
            Some(only) if only.next == Link::NONE => DeviceStatuses::One(only.status()),
            Some(_) => {
                let devices = self.users.devices_from(first);
                devices.map(|(_, device)| device.status()).collect()
            }
        };
        Standing::Known {
            change: user.change,
            devices,
        }
    }

    fn is_resident(&self, user: &User) -> bool {
        let waiting = user.waiting.get();
        waiting.is_none_or(|waiting| self.waiting[waiting].known == Known::Resident)
    }

    /// All that is known of a user of this shard.
    pub(super) fn inspect(&mut self, now: Now, request: RequestId, user: UserId, out: &mut Vec<Effect>) {
        let resident = |key: &u32| self.is_resident(&self.users.users[*key]);
        match self.users.find(&user).filter(resident) {
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
