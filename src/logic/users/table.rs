//! The users and devices that one shard holds. Keeps them and finds them; decides nothing.

use std::hash::BuildHasher;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;

use crate::base::arena::Arena;
use crate::base::ids::{ChangeNumber, DeviceId, UserId};
use crate::logic::between_wings::DeviceLink;
use crate::logic::record::Status;
use crate::logic::users::device::{Device, DeviceList, OptionalKey, User};
use crate::logic::users::presence::DeviceState;

/// The users and devices of one shard.
#[derive(Debug)]
pub(super) struct UserTable {
    users: Arena<User>,
    devices: Arena<Device>,
    index: HashTable<u32>,
    hasher: SeedableRandomState,
}

impl UserTable {
    pub(super) fn new(seed: u64) -> Self {
        let hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        Self {
            users: Arena::default(),
            devices: Arena::default(),
            index: HashTable::new(),
            hasher,
        }
    }

    /// The user of a key in use.
    pub(super) fn user(&self, key: u32) -> &User {
        &self.users[key]
    }

    /// The user of a key in use.
    pub(super) fn user_mut(&mut self, key: u32) -> &mut User {
        &mut self.users[key]
    }

    /// The user of this key, if it is in use.
    pub(super) fn get(&self, key: u32) -> Option<&User> {
        self.users.get(key)
    }

    /// The device of a key in use.
    pub(super) fn device(&self, key: u32) -> &Device {
        &self.devices[key]
    }

    /// The device of a key in use.
    pub(super) fn device_mut(&mut self, key: u32) -> &mut Device {
        &mut self.devices[key]
    }

    /// Where the device of a key in use has its connection.
    pub(super) fn link_of(&self, key: u32) -> DeviceLink {
        DeviceLink {
            device: key,
            slot: self.devices[key].slot,
        }
    }

    /// The device of this key, if it is in use.
    pub(super) fn get_device(&self, key: u32) -> Option<&Device> {
        self.devices.get(key)
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
            devices: DeviceList::NONE,
            waiting: OptionalKey::NONE,
        };
        let key = self.users.insert(user);
        let (hasher, users) = (&self.hasher, &self.users);
        self.index
            .insert_unique(hasher.hash_one(id), key, |key| hasher.hash_one(users[*key].id));
        key
    }

    /// Forgets a user that has no devices.
    pub(super) fn remove(&mut self, key: u32) {
        self.unlist(key);
        self.remove_unlisted(key);
    }

    /// From now on nobody finds the user any more, nor another one of the same name instead.
    pub(super) fn unlist(&mut self, key: u32) {
        let hash = self.hasher.hash_one(self.users[key].id);
        let found = self.index.find_entry(hash, |known| *known == key);
        found.expect("the user is in the index").remove();
    }

    /// Forgets a user that has no devices and is not found any more.
    pub(super) fn remove_unlisted(&mut self, key: u32) {
        let user = self.users.remove(key);
        assert!(
            user.devices.first() == OptionalKey::NONE,
            "a user with devices is kept"
        );
    }

    /// All users that can be found.
    pub(super) fn listed(&self) -> impl Iterator<Item = (u32, &User)> {
        self.index.iter().map(|key| (*key, &self.users[*key]))
    }

    /// The user's devices with their keys.
    pub(super) fn devices_of(&self, user: u32) -> impl Iterator<Item = (u32, &Device)> {
        self.devices_from(self.users[user].devices.first())
    }

    /// The devices of a user from this one on, with their keys.
    pub(super) fn devices_from(&self, first: OptionalKey) -> impl Iterator<Item = (u32, &Device)> {
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
        let key = self.devices.insert(Device::new(user, next, id));
        self.users[user].devices.set_first(OptionalKey::to(key));
        key
    }

    /// Gives a device another state, and says which it had.
    pub(super) fn set_state(&mut self, key: u32, state: DeviceState) -> DeviceState {
        let device = &mut self.devices[key];
        let before = device.state();
        device.marks.set_state(state);
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
        let statuses = self.devices_of(user).map(|(_, device)| device.state().status());
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
        if first == OptionalKey::to(key) {
            return None;
        }
        let mut place = first.get().expect("the list leads to the device");
        while self.devices[place].next != OptionalKey::to(key) {
            place = self.devices[place]
                .next
                .get()
                .expect("the list leads to the device");
        }
        Some(place)
    }
}
