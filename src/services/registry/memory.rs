//! Records in memory: for a gateway without a store, and for tests. Keeps nothing beyond the process, so that records of
//! deleted accounts need no age: no process lives as long.

use hashbrown::HashMap;

use crate::base::ids::UserId;
use crate::base::time::{Timestamp, millis};
use crate::logic::delivery::{AccountsRequest, Delivery, ToHttp, ToRegistry, ToShard};
use crate::logic::record::{Commit, DeviceRecord, EndedRecord, UserRecord};
use crate::logic::user_status::UserStatus;
use crate::services::registry::health::RegistryHealth;
use crate::services::registry::store::{ENDED_KEPT, Store};

/// The records of all accounts since the start.
#[derive(Debug, Default)]
pub struct MemoryStore {
    records: HashMap<UserId, UserRecord>,
    /// Bytes of the lists that the records own.
    lists_bytes: usize,
    health: RegistryHealth,
}

impl Store for MemoryStore {
    fn work_off(&mut self, now: Timestamp, batch: &mut Vec<ToRegistry>, answers: &mut Vec<Delivery>) {
        answers.extend(batch.drain(..).map(|request| self.answer(now, request)));
        self.health
            .set_memory((self.records.allocation_size() + self.lists_bytes) as u64);
    }
}

impl MemoryStore {
    /// How it is, while it works.
    #[must_use]
    pub fn health(&self) -> RegistryHealth {
        self.health.clone()
    }

    fn answer(&mut self, now: Timestamp, request: ToRegistry) -> Delivery {
        match request {
            ToRegistry::Load(shard, key, user) => {
                Delivery::Shard(shard, ToShard::Loaded(key, Ok(self.load(now, &user))))
            }
            ToRegistry::Commit(shard, key, commit) => {
                let at = self.commit(now, &commit);
                Delivery::Shard(shard, ToShard::Committed(key, Ok(at)))
            }
            ToRegistry::Accounts(request, ask, users) => {
                let existed = users.iter().map(|user| self.account(*user, ask)).collect();
                Delivery::Http(ToHttp::Accounts(request, Ok(existed)))
            }
            ToRegistry::Complete(request, mut users) => {
                users.resolve(|user| self.status_of(user));
                Delivery::Http(ToHttp::Statuses(request, users))
            }
        }
    }

    /// Whether the account exists.
    fn account(&mut self, user: UserId, ask: AccountsRequest) -> bool {
        let existed = self.records.get(&user).is_some_and(|record| record.registered);
        match ask {
            AccountsRequest::Check => {}
            AccountsRequest::Import => self.records.entry(user).or_default().registered = true,
        }
        existed
    }

    fn load(&mut self, now: Timestamp, user: &UserId) -> Option<Box<UserRecord>> {
        let record = self.records.get_mut(user)?;
        let before = lists_bytes(record);
        forget_old_ends(record, now);
        self.lists_bytes = self.lists_bytes + lists_bytes(record) - before;
        Some(Box::new(record.clone()))
    }

    /// Records a commit that follows what is on record. Gives the time that its changes have there.
    ///
    /// # Panics
    /// If it does not follow: a shard decided it against a state that never was.
    fn commit(&mut self, now: Timestamp, commit: &Commit) -> Timestamp {
        let record = self.records.entry(commit.user).or_default();
        let before = lists_bytes(record);
        let mut number = record.change;
        for change in &commit.changes {
            number = number.next();
            assert_eq!(change.number, number, "a commit follows what is on record");
        }
        record.apply(commit);
        forget_old_ends(record, now);
        self.lists_bytes = self.lists_bytes + lists_bytes(record) - before;
        self.health.note_time(record.changed_at);
        record.changed_at
    }

    /// What is on record of a user that its shard does not hold. A commit may have arrived between the shard's answer and now:
    /// what is told is the record as it is, with the number of its last change.
    fn status_of(&self, user: &UserId) -> UserStatus {
        let record = self.records.get(user).filter(|record| record.registered);
        record.map_or(UserStatus::UnknownAccount, UserStatus::of_record)
    }
}

fn forget_old_ends(record: &mut UserRecord, now: Timestamp) {
    record
        .ended
        .retain(|ended| ended.at.0.saturating_add(millis(ENDED_KEPT)) > now.0);
    // A list of one device has room for four otherwise, and nearly every user has one device.
    record.devices.shrink_to_fit();
    record.ended.shrink_to_fit();
}

fn lists_bytes(record: &UserRecord) -> usize {
    record.devices.capacity() * size_of::<DeviceRecord>() + record.ended.capacity() * size_of::<EndedRecord>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, RequestId, ShardId};
    use crate::logic::delivery::UserKey;
    use crate::logic::record::{AccountStep, Change, ChangeKind, Status};
    use crate::logic::user_status::{DeviceStatus, DeviceStatuses, StatusList, UserStatuses};

    const DAY_MS: u64 = 86_400_000;

    fn user() -> UserId {
        UserId::new(b"alice").unwrap()
    }

    fn device(platform: Platform) -> DeviceId {
        DeviceId {
            platform,
            instance: InstanceId::MIN,
        }
    }

    fn change(number: u64, at: u64, kind: ChangeKind) -> ToRegistry {
        let change = Change {
            number: ChangeNumber(number),
            at: Timestamp(at),
            device: device(Platform::Web),
            kind,
            address: None,
        };
        let commit = Commit {
            user: user(),
            changes: vec![change],
            kicked_at_s: None,
            account: AccountStep::Keep,
        };
        ToRegistry::Commit(ShardId(0), UserKey(7), Box::new(commit))
    }

    fn login(number: u64, at: u64) -> ToRegistry {
        let kind = ChangeKind::Login {
            fresh: ChangeNumber(number),
            forced_off: Vec::new(),
        };
        change(number, at, kind)
    }

    fn one(memory: &mut MemoryStore, now: u64, request: ToRegistry) -> Delivery {
        let mut answers = Vec::new();
        memory.work_off(Timestamp(now), &mut vec![request], &mut answers);
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    fn load(memory: &mut MemoryStore, now: u64) -> Option<Box<UserRecord>> {
        match one(memory, now, ToRegistry::Load(ShardId(0), UserKey(7), user())) {
            Delivery::Shard(ShardId(0), ToShard::Loaded(UserKey(7), Ok(record))) => record,
            other @ (Delivery::Shard(..)
            | Delivery::Registry(_)
            | Delivery::Http(_)
            | Delivery::Peer(..)
            | Delivery::Outcomes(_)) => {
                panic!("{other:?}")
            }
        }
    }

    fn complete(memory: &mut MemoryStore) -> UserStatus {
        let users = UserStatuses {
            users: vec![user()],
            statuses: StatusList::Devices(vec![UserStatus::Unresolved]),
        };
        match one(memory, 0, ToRegistry::Complete(RequestId(1), users)) {
            Delivery::Http(ToHttp::Statuses(RequestId(1), users)) => match users.statuses {
                StatusList::Devices(mut all) => all.remove(0),
                StatusList::Status(all) => panic!("{all:?}"),
            },
            other @ (Delivery::Shard(..)
            | Delivery::Registry(_)
            | Delivery::Http(_)
            | Delivery::Peer(..)
            | Delivery::Outcomes(_)) => {
                panic!("{other:?}")
            }
        }
    }

    #[test]
    fn an_account_exists_from_its_first_record_on() {
        let mut memory = MemoryStore::default();
        assert_eq!(load(&mut memory, 0), None);
        assert_eq!(complete(&mut memory), UserStatus::UnknownAccount);
        let committed = Delivery::Shard(ShardId(0), ToShard::Committed(UserKey(7), Ok(Timestamp(5))));
        assert_eq!(one(&mut memory, 0, login(1, 5)), committed);
        assert_eq!(load(&mut memory, 0).unwrap().status(), Status::Online);
        one(&mut memory, 0, change(2, 6, ChangeKind::Logout));
        let offline = UserStatus::Known {
            change: ChangeNumber(2),
            devices: DeviceStatuses::None,
        };
        assert_eq!(complete(&mut memory), offline);
    }

    #[test]
    fn a_completion_is_the_fold_up_to_its_change() {
        let mut memory = MemoryStore::default();
        one(&mut memory, 0, login(1, 5));
        let online = DeviceStatus {
            device: device(Platform::Web),
            status: Status::Online,
        };
        let expected = UserStatus::Known {
            change: ChangeNumber(1),
            devices: DeviceStatuses::One(online),
        };
        assert_eq!(complete(&mut memory), expected);
    }

    #[test]
    fn ends_are_forgotten_after_seven_days() {
        let mut memory = MemoryStore::default();
        one(&mut memory, 0, login(1, 0));
        one(&mut memory, 0, change(2, DAY_MS, ChangeKind::Logout));
        assert_eq!(load(&mut memory, 8 * DAY_MS - 1).unwrap().ended.len(), 1);
        assert_eq!(load(&mut memory, 8 * DAY_MS).unwrap().ended.len(), 0);
        assert_eq!(load(&mut memory, 8 * DAY_MS).unwrap().change, ChangeNumber(2));
    }

    #[test]
    #[should_panic(expected = "a commit follows what is on record")]
    fn a_gap_is_a_defect() {
        let mut memory = MemoryStore::default();
        one(&mut memory, 0, login(2, 0));
    }
}
