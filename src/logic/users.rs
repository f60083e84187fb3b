//! The users and devices that one shard holds, as small as they can be: they are what a million idle connections
//! pay for. Keeps them and finds them; decides nothing.

use std::hash::BuildHasher;
use std::num::NonZeroU32;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;

use crate::base::arena::Arena;
use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, SessionId, UserId};
use crate::base::packed::Packed;
use crate::base::time::{Instant, Timestamp};
use crate::logic::letter::DeviceStatus;
use crate::logic::presence::Standing;
use crate::logic::record::Status;

/// A key of an [`Arena`], or none, in 4 bytes; never 0, so that what holds it has a spare value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link(NonZeroU32);

impl Link {
    pub(super) const NONE: Self = Self(NonZeroU32::MAX);

    pub(super) fn to(key: u32) -> Self {
        Self(NonZeroU32::new(key + 1).expect("one more than a key is not 0"))
    }

    pub(super) fn get(self) -> Option<u32> {
        (self != Self::NONE).then_some(self.0.get() - 1)
    }
}

/// The first device of a user, and the user's status, in 4 bytes: a status query reads no more than the user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Devices(u32);

/// Of [`Devices`]: the bits of the link. Above them is the status.
const LINK_BITS: u32 = 30;
const LINK_MASK: u32 = (1 << LINK_BITS) - 1;

impl Devices {
    const NONE: Self = Self(0);

    /// The first one.
    pub(super) fn first(self) -> Link {
        (self.0 & LINK_MASK).checked_sub(1).map_or(Link::NONE, Link::to)
    }

    /// The highest status of all.
    pub(super) fn status(self) -> Status {
        match self.0 >> LINK_BITS {
            0 => Status::Offline,
            1 => Status::PushOnline,
            _ => Status::Online,
        }
    }

    fn set_first(&mut self, first: Link) {
        let link = first.get().map_or(0, |key| key + 1);
        assert!(link <= LINK_MASK, "a shard has fewer than 2^30 devices");
        self.0 = self.0 & !LINK_MASK | link;
    }

    fn set_status(&mut self, status: Status) {
        let status = match status {
            Status::Offline => 0,
            Status::PushOnline => 1,
            Status::Online => 2,
        };
        self.0 = self.0 & LINK_MASK | status << LINK_BITS;
    }
}

/// A user with a device that is not Offline, or with something waiting.
#[derive(Debug)]
pub(super) struct User {
    pub(super) id: UserId,
    pub(super) change: ChangeNumber,
    pub(super) devices: Devices,
    /// What waits for this user, in the shard's table of such.
    pub(super) waiting: Link,
}

/// A device that is not Offline.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) user: u32,
    /// The user's next device.
    pub(super) next: Link,
    pub(super) instance: InstanceId,
    /// The slot of its connection; of one without, of the last it had. Whether the slot is still the device's, the connection
    /// there says.
    pub(super) slot: u32,
    /// How many changes before the session the fresh login was, at most this many: of one further back, the last ones count.
    fresh_back: u16,
    /// Of each user 2^40 changes are told apart.
    session: Packed<SessionId, 5>,
    /// Up to the year 10889.
    pub(super) login_at: Packed<Timestamp, 6>,
    /// Online: when the last frame came. PushOnline: since when. Up to 33 years after the start.
    pub(super) moment: Packed<Instant, 5>,
    pub(super) platform: Platform,
    marks: Marks,
}

/// The slot of a device that has had no connection: no ring has so many.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// What a device is in a few bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks(u8);

impl Marks {
    /// Where it stands, by its number.
    const STANDING: u8 = 0b11;
    /// The app is in the background.
    const BACKGROUND: u8 = 0b100;
    /// Its alarm rang, and a look at it waits among the user's events.
    const LOOK: u8 = 0b1000;

    fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    fn set(&mut self, mark: u8, to: bool) {
        self.0 = if to { self.0 | mark } else { self.0 & !mark };
    }
}

// The budget of an idle connection: user + device + connection + alarm (8) + index (about 8).
const _: () = assert!(size_of::<Option<User>>() == 48);
const _: () = assert!(size_of::<Option<Device>>() == 40);

impl Device {
    pub(super) fn id(&self) -> DeviceId {
        DeviceId {
            platform: self.platform,
            instance: self.instance,
        }
    }

    pub(super) fn status(&self) -> DeviceStatus {
        DeviceStatus {
            device: self.id(),
            status: self.standing().status(),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        match self.marks.0 & Marks::STANDING {
            0 => Standing::Offline,
            1 => Standing::Linked,
            2 => Standing::Unlinked,
            _ => Standing::PushOnline,
        }
    }

    fn set_standing(&mut self, standing: Standing) {
        let number = match standing {
            Standing::Offline => 0,
            Standing::Linked => 1,
            Standing::Unlinked => 2,
            Standing::PushOnline => 3,
        };
        self.marks.0 = self.marks.0 & !Marks::STANDING | number;
    }

    /// Whether the app is in the background.
    pub(super) fn is_in_background(&self) -> bool {
        self.marks.has(Marks::BACKGROUND)
    }

    pub(super) fn set_background(&mut self, is_in_background: bool) {
        self.marks.set(Marks::BACKGROUND, is_in_background);
    }

    /// Whether a look at it waits.
    pub(super) fn look_waits(&self) -> bool {
        self.marks.has(Marks::LOOK)
    }

    pub(super) fn set_look_waits(&mut self, waits: bool) {
        self.marks.set(Marks::LOOK, waits);
    }

    /// The change of the fresh login that the session goes back to.
    pub(super) fn fresh(&self) -> ChangeNumber {
        ChangeNumber(self.session().0 - u64::from(self.fresh_back))
    }

    pub(super) fn session(&self) -> SessionId {
        self.session.get()
    }

    /// Takes a session of the login `fresh`.
    pub(super) fn set_session(&mut self, session: SessionId, fresh: ChangeNumber) {
        self.session.set(session);
        self.fresh_back = u16::try_from(session.0 - fresh.0).unwrap_or(u16::MAX);
    }
}

/// The users and devices of one shard.
#[derive(Debug)]
pub(super) struct Users {
    pub(super) users: Arena<User>,
    pub(super) devices: Arena<Device>,
    index: HashTable<u32>,
    hasher: SeedableRandomState,
}

impl Users {
    pub(super) fn new(seed: u64) -> Self {
        let hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        Self {
            users: Arena::default(),
            devices: Arena::default(),
            index: HashTable::new(),
            hasher,
        }
    }

    pub(super) fn find(&self, id: &UserId) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        self.index.find(hash, |key| self.users[*key].id == *id).copied()
    }

    /// Several users, in their order. Works in passes whose cache misses do not depend on one another, so that they
    /// overlap: a query over a million users is made of little else.
    pub(super) fn find_all(&self, ids: &[UserId]) -> Vec<Option<&User>> {
        let hashes: Vec<u64> = ids.iter().map(|id| self.hasher.hash_one(id)).collect();
        let likely = hashes.iter().map(|hash| self.index.iter_hash(*hash).next());
        let likely: Vec<Option<u32>> = likely.map(Option::<&u32>::copied).collect();
        let looked_up = ids.iter().zip(hashes).zip(likely);
        looked_up
            .map(|((id, hash), likely)| {
                let key = likely.filter(|key| self.users[*key].id == *id);
                let key = key.or_else(|| self.index.find(hash, |key| self.users[*key].id == *id).copied())?;
                Some(&self.users[key])
            })
            .collect()
    }

    /// Puts a user without devices into the table.
    pub(super) fn add(&mut self, id: UserId) -> u32 {
        let user = User {
            id,
            change: ChangeNumber(0),
            devices: Devices::NONE,
            waiting: Link::NONE,
        };
        let key = self.users.insert(user);
        let (hasher, users) = (&self.hasher, &self.users);
        self.index
            .insert_unique(hasher.hash_one(id), key, |key| hasher.hash_one(users[*key].id));
        key
    }

    /// Forgets a user that has no devices.
    pub(super) fn remove(&mut self, key: u32) {
        let user = self.users.remove(key);
        assert!(user.devices.first() == Link::NONE, "a user with devices is kept");
        let found = self
            .index
            .find_entry(self.hasher.hash_one(user.id), |known| *known == key);
        found.expect("every user is in the index").remove();
    }

    /// The user's devices with their keys.
    pub(super) fn devices_of(&self, user: u32) -> impl Iterator<Item = (u32, &Device)> {
        self.devices_from(self.users[user].devices.first())
    }

    /// The devices of a user from this one on, with their keys.
    pub(super) fn devices_from(&self, first: Link) -> impl Iterator<Item = (u32, &Device)> {
        let mut link = first;
        std::iter::from_fn(move || {
            let key = link.get()?;
            let device = &self.devices[key];
            link = device.next;
            Some((key, device))
        })
    }

    pub(super) fn find_device(&self, user: u32, id: DeviceId) -> Option<u32> {
        self.devices_of(user)
            .find(|(_, device)| device.id() == id)
            .map(|(key, _)| key)
    }

    /// Gives the user one more device.
    pub(super) fn add_device(&mut self, user: u32, id: DeviceId) -> u32 {
        let next = self.users[user].devices.first();
        let key = self.devices.insert(Device {
            user,
            next,
            instance: id.instance,
            slot: NO_SLOT,
            fresh_back: 0,
            session: Packed::of(SessionId::default()),
            login_at: Packed::of(Timestamp::default()),
            moment: Packed::of(Instant::default()),
            platform: id.platform,
            marks: Marks(0),
        });
        self.users[user].devices.set_first(Link::to(key));
        key
    }

    /// Gives a device another standing, and says which it had.
    pub(super) fn set_standing(&mut self, key: u32, standing: Standing) -> Standing {
        let device = &mut self.devices[key];
        let before = device.standing();
        device.set_standing(standing);
        self.set_status(self.devices[key].user);
        before
    }

    /// Takes a device from its user.
    pub(super) fn remove_device(&mut self, key: u32) -> Device {
        let device = self.unlink(key);
        self.set_status(device.user);
        device
    }

    fn set_status(&mut self, user: u32) {
        let statuses = self
            .devices_of(user)
            .map(|(_, device)| device.standing().status());
        let status = statuses.max().unwrap_or(Status::Offline);
        self.users[user].devices.set_status(status);
    }

    fn unlink(&mut self, key: u32) -> Device {
        let device = self.devices.remove(key);
        let before = self.devices_of_unlinking(device.user, key);
        match before {
            None => self.users[device.user].devices.set_first(device.next),
            Some(before) => self.devices[before].next = device.next,
        }
        device
    }

    /// The device before `key` in the user's list; `None` if it is the first.
    fn devices_of_unlinking(&self, user: u32, key: u32) -> Option<u32> {
        let first = self.users[user].devices.first();
        if first == Link::to(key) {
            return None;
        }
        let mut place = first.get().expect("the list leads to the device");
        while self.devices[place].next != Link::to(key) {
            place = self.devices[place]
                .next
                .get()
                .expect("the list leads to the device");
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_device() -> (Users, u32) {
        let mut users = Users::new(1);
        let user = users.add(UserId::new(b"alice").unwrap());
        let id = DeviceId {
            platform: Platform::Mac,
            instance: InstanceId::MIN,
        };
        let device = users.add_device(user, id);
        (users, device)
    }

    #[test]
    fn a_fresh_login_too_far_back_counts_as_the_farthest_that_is_kept() {
        let (mut users, key) = one_device();
        let device = &mut users.devices[key];
        let farthest = u64::from(u16::MAX);
        let check = |device: &mut Device, session, fresh, expected| {
            device.set_session(ChangeNumber(session), ChangeNumber(fresh));
            let seen = (device.session(), device.fresh());
            assert_eq!(
                seen,
                (ChangeNumber(session), ChangeNumber(expected)),
                "{session} {fresh}"
            );
        };
        check(device, 5, 5, 5);
        check(device, 5, 2, 2);
        check(device, farthest + 1, 1, 1);
        check(device, farthest + 2, 1, 2);
        check(device, 1 << 39, 1, (1 << 39) - farthest);
    }

    #[test]
    fn what_shares_a_byte_is_set_apart() {
        let (mut users, key) = one_device();
        let standings = [
            Standing::Linked,
            Standing::Unlinked,
            Standing::PushOnline,
            Standing::Offline,
        ];
        for (standing, marks) in standings.into_iter().zip(0_u8..) {
            let (background, waits) = (marks & 1 != 0, marks & 2 != 0);
            users.devices[key].set_background(background);
            users.devices[key].set_look_waits(waits);
            users.set_standing(key, standing);
            let device = &users.devices[key];
            let seen = (device.standing(), device.is_in_background(), device.look_waits());
            assert_eq!(seen, (standing, background, waits));
        }
    }
}
