//! What the rules leave open and the simulation therefore has to be told: who is first among those whose alarms rang
//! together. Exists in tests only, and changes nothing.

use crate::base::ids::{DeviceId, UserId};
use crate::logic::queue::Event;
use crate::logic::state::ShardState;

impl ShardState {
    /// The users that wait for room with the registry, first the one that is next.
    pub(crate) fn starving(&self) -> Vec<UserId> {
        let starved = self.starved.iter();
        starved.map(|user| self.users.users[*user].id).collect()
    }

    /// The devices of a user whose alarms rang and wait for their turn, in this order.
    pub(crate) fn alarms_waiting(&self, user: &UserId) -> Vec<DeviceId> {
        let user = self.users.find(user).map(|user| &self.users.users[user]);
        let waiting = user.and_then(|user| user.waiting.get());
        let events = waiting
            .into_iter()
            .flat_map(|waiting| &self.waiting[waiting].events);
        let device = |event: &Event| match event {
            Event::Look(device) => Some(*device),
            Event::Login(_) | Event::Logout(..) | Event::LinkEnd(..) => None,
            Event::Kick(..) | Event::Inspect(_) => None,
        };
        events.filter_map(device).collect()
    }
}
