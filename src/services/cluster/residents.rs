//! Brings the users of a partition that are on record with devices from the shared store to their home shards. Opens nothing.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::ids::{PartitionId, ShardId, UserId};
use crate::base::receipt::Receipt;
use crate::logic::delivery::ToShard;
use crate::logic::record::UserRecord;
use crate::services::cluster::notices::ShardNotices;
use crate::services::registry::codec;
use crate::services::shared_store::calls::{RecordHash, SharedStore};
use crate::services::shared_store::outcome::SharedStoreError;

/// Users that are read at once: a server is held up by each part for less than a millisecond.
const SCANNED_AT_ONCE: u32 = 1_000;
/// Users that a shard takes in at once.
const ADOPTED_AT_ONCE: usize = 256;
/// How long somebody waits who has users for a full inbox. A shard empties its own in each turn.
const AGAIN: Duration = Duration::from_millis(1);

/// Why the residents of a partition are not all with their shards.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResidentsError {
    #[error("nobody wants them any more")]
    Off,
    #[error(transparent)]
    Store(#[from] SharedStoreError),
}

/// Users with their records, as a shard takes them in.
type UserBatch = Vec<(UserId, UserRecord)>;

/// Users who have arrived, by their homes.
struct Arrivals {
    /// While a hash grows or shrinks, a scan may give a user twice.
    seen: HashSet<UserId>,
    batches: Vec<UserBatch>,
}

impl Arrivals {
    fn new(shards: u16) -> Self {
        Self {
            seen: HashSet::new(),
            batches: vec![Vec::new(); usize::from(shards)],
        }
    }

    /// One more; gives a batch that is full.
    fn take(&mut self, user: UserId, bytes: &[u8]) -> Option<(ShardId, UserBatch)> {
        if !self.seen.insert(user) {
            return None;
        }
        let known = codec::decode_user(bytes).inspect_err(|damage| {
            tracing::error!(%user, ?damage, "the user's record is damaged: its devices are not known");
        });
        let shards = u16::try_from(self.batches.len()).expect("they are counted in a u16");
        let home = user.home(shards);
        let batch = &mut self.batches[usize::from(home.0)];
        batch.push((user, known.ok()?.record));
        (batch.len() == ADOPTED_AT_ONCE).then(|| (home, std::mem::take(batch)))
    }
}

/// The way of residents to their shards.
#[derive(Clone)]
pub(super) struct Residents {
    shards: ShardNotices,
}

impl Residents {
    /// To all shards.
    pub(super) fn new(shards: ShardNotices) -> Self {
        Self { shards }
    }

    /// Brings all of them. What was brought before is dropped first, and at the end if it is off.
    pub(super) fn bring(
        &self,
        store: &mut dyn SharedStore,
        partition: PartitionId,
        is_off: &AtomicBool,
    ) -> Result<(), ResidentsError> {
        self.drop_all(partition);
        let brought = self.scan(store, partition, is_off);
        let off = is_off.load(Ordering::SeqCst);
        if off {
            self.drop_all(partition);
            return Err(ResidentsError::Off);
        }
        brought
    }

    fn scan(
        &self,
        store: &mut dyn SharedStore,
        partition: PartitionId,
        is_off: &AtomicBool,
    ) -> Result<(), ResidentsError> {
        let mut arrivals = Arrivals::new(self.shards.shards());
        let mut from = Some(0);
        while let Some(place) = from {
            let part = store.scan(partition, RecordHash::Residents, place, SCANNED_AT_ONCE)?;
            from = part.next;
            for (user, bytes) in part.users {
                if let Some((home, batch)) = arrivals.take(user, &bytes) {
                    self.send(home, ToShard::Adopt(partition, batch), is_off)?;
                }
            }
        }
        for (shard, batch) in (0..).map(ShardId).zip(arrivals.batches) {
            self.send(shard, ToShard::Adopt(partition, batch), is_off)?;
        }
        Ok(())
    }

    fn drop_all(&self, partition: PartitionId) {
        let never = AtomicBool::new(false);
        for shard in (0..self.shards.shards()).map(ShardId) {
            let _ = self.send(shard, ToShard::Drop(partition, Receipt::none()), &never);
        }
    }

    /// Waits while there is no room. It overtakes nothing that the member has told: a partition that is lost and gained again is
    /// dropped first.
    fn send(&self, shard: ShardId, notice: ToShard, is_off: &AtomicBool) -> Result<(), ResidentsError> {
        let mut unsent = self.shards.try_tell(shard, notice);
        while let Err(notice) = unsent {
            if is_off.load(Ordering::SeqCst) {
                return Err(ResidentsError::Off);
            }
            std::thread::sleep(AGAIN);
            unsent = self.shards.try_tell(shard, notice);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;
    use crate::services::registry::archive::Position;
    use crate::services::registry::codec::StoredRecord;

    #[test]
    fn users_arrive_once_at_their_homes_and_a_damaged_record_keeps_no_other() {
        let bytes = codec::encode_user(&StoredRecord {
            record: UserRecord::default(),
            last: Position(1),
            deleted_by: Timestamp(0),
        });
        let user = |number: usize| UserId::new(format!("user-{number}").as_bytes()).unwrap();
        let mut arrivals = Arrivals::new(2);
        let mut brought = Vec::new();
        for number in (0..2_000).chain(500..1_500) {
            brought.extend(arrivals.take(user(number), &bytes));
            assert_eq!(arrivals.take(user(number), &bytes), None);
        }
        assert_eq!(arrivals.take(user(9_999), b"\xff"), None);
        assert!(brought.iter().all(|(_, batch)| batch.len() == ADOPTED_AT_ONCE));
        brought.extend((0..).map(ShardId).zip(arrivals.batches));
        assert!(
            brought
                .iter()
                .all(|(home, batch)| batch.iter().all(|(user, _)| user.home(2) == *home))
        );
        let mut users: Vec<UserId> = brought
            .into_iter()
            .flat_map(|(_, batch)| batch)
            .map(|(user, _)| user)
            .collect();
        users.sort();
        let mut expected: Vec<UserId> = (0..2_000).map(user).collect();
        expected.sort();
        assert_eq!(users, expected);
    }
}
