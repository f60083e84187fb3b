//! Records of users as they were confirmed last, as many as there is room for. What was not asked for since the last round of the
//! clock goes first. Never asks the store.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::base::ids::{PartitionId, UserId};
use crate::services::registry::codec::{self, StoredRecord};

/// What an entry takes beside the bytes of its record: its place in the table and in the order, and what the allocator adds.
const ENTRY_BYTES: usize = 128;

/// The cache of a desk.
#[derive(Debug)]
pub(super) struct RecordCache {
    entries: HashMap<UserId, CachedRecord>,
    /// Hand of the clock at the front. A user who was dropped and came back may stand here twice.
    order: VecDeque<UserId>,
    bytes: usize,
    bytes_max: usize,
}

/// Encoded, since decoding costs less than the room that a decoded one takes.
#[derive(Debug)]
struct CachedRecord {
    partition: PartitionId,
    /// Empty if there is no record.
    record: Box<[u8]>,
    asked: Asked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Lately,
    Not,
}

impl RecordCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// What is confirmed of a user: `Some(None)` that there is no record; `None` if that is not known here.
    pub(super) fn get(&mut self, user: &UserId) -> Option<Option<StoredRecord>> {
        let entry = self.entries.get_mut(user)?;
        entry.asked = Asked::Lately;
        if entry.record.is_empty() {
            return Some(None);
        }
        Some(Some(
            codec::decode_user(&entry.record).expect("it was encoded here"),
        ))
    }

    pub(super) fn knows(&self, user: &UserId) -> bool {
        self.entries.contains_key(user)
    }

    /// The record of a user of this partition is confirmed; no bytes if there is none.
    pub(super) fn put(&mut self, partition: PartitionId, user: UserId, record: &[u8]) {
        self.bytes += ENTRY_BYTES + record.len();
        let entry = CachedRecord {
            partition,
            record: record.into(),
            asked: Asked::Not,
        };
        match self.entries.insert(user, entry) {
            Some(was) => self.bytes -= ENTRY_BYTES + was.record.len(),
            None => self.order.push_back(user),
        }
        self.shrink();
    }

    pub(super) fn forget(&mut self, user: &UserId) {
        if let Some(was) = self.entries.remove(user) {
            self.bytes -= ENTRY_BYTES + was.record.len();
        }
    }

    pub(super) fn forget_partition(&mut self, partition: PartitionId) {
        self.entries.retain(|_, entry| entry.partition != partition);
        self.order.retain(|user| self.entries.contains_key(user));
        let sizes = self
            .entries
            .values()
            .map(|entry| ENTRY_BYTES + entry.record.len());
        self.bytes = sizes.sum();
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn shrink(&mut self) {
        while self.bytes > self.bytes_max {
            let Some(user) = self.order.pop_front() else {
                return;
            };
            match self.entries.get_mut(&user) {
                None => {}
                Some(entry) if entry.asked == Asked::Lately => {
                    entry.asked = Asked::Not;
                    self.order.push_back(user);
                }
                Some(_) => self.forget(&user),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: PartitionId = PartitionId(0);
    const SECOND: PartitionId = PartitionId(1);

    fn user(number: usize) -> UserId {
        UserId::new(format!("user-{number}").as_bytes()).unwrap()
    }

    fn record(number: usize) -> Vec<u8> {
        let mut known = StoredRecord::default();
        known.record.registered = true;
        known.record.kicked_at_s = number as u64 + 1;
        codec::encode_user(&known)
    }

    #[test]
    fn what_was_not_asked_for_goes_first() {
        let room = 10 * (ENTRY_BYTES + record(0).len());
        let mut cache = RecordCache::new(room);
        for number in 0..100 {
            cache.put(FIRST, user(number), &record(number));
            assert!(cache.get(&user(0)).is_some(), "asked for all the time");
            assert!(cache.bytes() <= room);
        }
        assert_eq!(cache.entries.len(), 10);
        let known = cache.get(&user(99)).flatten().expect("the last one");
        assert_eq!(known.record.kicked_at_s, 100);
        assert_eq!(cache.get(&user(1)), None);
    }

    #[test]
    fn of_a_partition_that_went_nothing_is_left() {
        let mut cache = RecordCache::new(1 << 20);
        cache.put(FIRST, user(1), &record(1));
        cache.put(FIRST, user(2), &record(2));
        cache.put(SECOND, user(3), &[]);
        cache.put(FIRST, user(2), &[]);
        cache.forget_partition(FIRST);
        assert_eq!((cache.knows(&user(1)), cache.knows(&user(2))), (false, false));
        assert_eq!(cache.get(&user(3)), Some(None));
        assert_eq!((cache.bytes(), cache.order.len()), (ENTRY_BYTES, 1));
        cache.forget(&user(3));
        assert_eq!(cache.bytes(), 0);
    }
}
