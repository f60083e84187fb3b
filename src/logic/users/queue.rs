//! Whose turn it is: what happens to a user waits in the order it came, and is decided only when what came before it has been
//! recorded. Never decides itself.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};

use crate::base::arena::Arena;
use crate::base::time::Instant;
use crate::logic::users::events::{UserEvent, Waiting};

/// What waits for the users of a shard. Few users have anything waiting: each of those has an entry.
#[derive(Debug, Default)]
pub(super) struct UserQueue {
    entries: Arena<Waiting>,
    /// The user whose events are being decided.
    deciding: Option<u32>,
    /// Users with something to decide in this turn.
    ready: VecDeque<u32>,
    /// Users whose turn came when the registry had no room, in this order.
    without_room: VecDeque<u32>,
    /// Users whose change failed, by when it is tried again.
    retries: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Users whose answers wait for the end of the turn.
    gathered: Vec<u32>,
    /// Asked of the registry and not answered.
    in_flight: usize,
    /// Checks of devices whose alarms rang that are not decided yet.
    alarm_checks: usize,
}

impl UserQueue {
    /// A new entry, of a user for whom nothing waited.
    pub(super) fn insert(&mut self, waiting: Waiting) -> u32 {
        self.entries.insert(waiting)
    }

    /// Nothing waits any more.
    pub(super) fn remove(&mut self, entry: u32) {
        self.entries.remove(entry);
    }

    pub(super) fn get(&self, entry: u32) -> &Waiting {
        &self.entries[entry]
    }

    pub(super) fn get_mut(&mut self, entry: u32) -> &mut Waiting {
        &mut self.entries[entry]
    }

    /// The user has something to decide.
    pub(super) fn set_ready(&mut self, user: u32) {
        self.ready.push_back(user);
    }

    /// The user has to wait until the registry has room.
    pub(super) fn wait_for_room(&mut self, user: u32) {
        self.without_room.push_back(user);
    }

    /// The user's change is tried again then.
    pub(super) fn retry_at(&mut self, due: Instant, user: u32) {
        self.retries.push(Reverse((due, user)));
    }

    /// The next user whose wait after a failed change is over.
    pub(super) fn next_retry(&mut self, now: Instant) -> Option<u32> {
        let Reverse((due, user)) = *self.retries.peek()?;
        if due > now {
            return None;
        }
        self.retries.pop();
        Some(user)
    }

    /// When [`UserQueue::next_retry`] has one.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.retries.peek().map(|Reverse((due, _))| *due)
    }

    /// The user that found no room with the registry first, if there is room again.
    pub(super) fn next_with_room(&mut self, in_flight_max: usize) -> Option<u32> {
        if self.has_room(in_flight_max) {
            self.without_room.pop_front()
        } else {
            None
        }
    }

    /// The user whose turn it is to decide.
    pub(super) fn next_ready(&mut self) -> Option<u32> {
        self.ready.pop_front()
    }

    /// The user that decides, as long as nothing keeps it from going on.
    pub(super) fn deciding(&self) -> Option<u32> {
        self.deciding
    }

    pub(super) fn set_deciding(&mut self, user: Option<u32>) {
        self.deciding = user;
    }

    /// Whether the registry can be asked.
    pub(super) fn has_room(&self, in_flight_max: usize) -> bool {
        self.in_flight < in_flight_max
    }

    /// The registry is asked.
    pub(super) fn asked(&mut self) {
        self.in_flight += 1;
    }

    /// The registry has answered: the user may go on.
    pub(super) fn answered(&mut self, user: u32) {
        self.in_flight -= 1;
        self.ready.push_back(user);
    }

    /// The user's answer waits for the end of the turn.
    pub(super) fn gather(&mut self, user: u32) {
        self.gathered.push(user);
    }

    /// Whether answers wait for the end of the turn.
    pub(super) fn has_gathered(&self) -> bool {
        !self.gathered.is_empty()
    }

    /// Whose answers have waited for the end of the turn. Some may have gone meanwhile.
    pub(super) fn take_gathered(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.gathered)
    }

    /// These users do not wait for room or a moment any more.
    pub(super) fn forget(&mut self, users: &HashSet<u32>) {
        self.without_room.retain(|user| !users.contains(user));
        self.retries.retain(|Reverse((_, user))| !users.contains(user));
    }

    /// How many users have something that is not recorded yet.
    pub(super) fn unrecorded(&self) -> usize {
        self.in_flight + self.without_room.len() + self.retries.len()
    }

    /// How many alarm checks wait.
    pub(super) fn alarm_checks(&self) -> usize {
        self.alarm_checks
    }

    /// One more alarm check waits.
    pub(super) fn alarm_rang(&mut self) {
        self.alarm_checks += 1;
    }

    /// An event of this entry was decided for good. Says whether it had been tried before in vain.
    pub(super) fn finish(&mut self, entry: u32, event: &UserEvent) -> bool {
        let waiting = &mut self.entries[entry];
        match event {
            UserEvent::Login(_) => waiting.logins -= 1,
            UserEvent::Kick(..) => waiting.kicks -= 1,
            UserEvent::AlarmCheck(_) => self.alarm_checks -= 1,
            UserEvent::Send(_) => waiting.sends -= 1,
            UserEvent::Logout(_) | UserEvent::LinkEnd(..) | UserEvent::Inspect(_) => {}
        }
        std::mem::take(&mut waiting.retries) > 0
    }
}

/// What the rules leave open and the simulation therefore has to be told.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{DeviceId, UserId};
    use crate::logic::users::Users;
    use crate::logic::users::events::Residency;

    impl Users {
        pub(in crate::logic) fn without_room(&self) -> Vec<UserId> {
            let users = self.queue.without_room.iter();
            users.map(|user| self.table.user(*user).id).collect()
        }

        pub(in crate::logic) fn alarms_waiting(&self, user: &UserId) -> Vec<DeviceId> {
            let user = self.table.find(user).map(|user| self.table.user(user));
            let entry = user.and_then(|user| user.waiting.get());
            let events = entry.into_iter().flat_map(|entry| &self.queue.get(entry).events);
            let device = |event: &UserEvent| match event {
                UserEvent::AlarmCheck(device) => Some(*device),
                UserEvent::Login(_) | UserEvent::Logout(_) | UserEvent::LinkEnd(..) => None,
                UserEvent::Kick(..) | UserEvent::Inspect(_) | UserEvent::Send(_) => None,
            };
            events.filter_map(device).collect()
        }
    }

    #[test]
    fn what_is_not_recorded_is_under_way_without_room_or_to_be_tried_again() {
        let mut queue = UserQueue::default();
        queue.asked();
        (0..2).for_each(|user| queue.wait_for_room(user));
        (0..4).for_each(|user| queue.retry_at(Instant(9), user));
        assert_eq!((queue.unrecorded(), queue.next_deadline()), (7, Some(Instant(9))));
    }

    #[test]
    fn the_room_of_an_entry_that_is_removed_is_used_again() {
        let mut queue = UserQueue::default();
        let entry = queue.insert(Waiting::new(Residency::Resident));
        queue.remove(entry);
        assert_eq!(queue.insert(Waiting::new(Residency::Resident)), entry);
    }
}
