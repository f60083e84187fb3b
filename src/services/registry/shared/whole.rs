//! The lane of a claimed partition as a whole, for who moves all its records: read from its first record to its last, or filled.

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::codec::{self, ChainedChange, StoredRecord};
use crate::services::registry::moved_lane::{MovedLane, TakeUser};
use crate::services::registry::shared::batch_codec::encode_batch;
use crate::services::registry::shared::lane::{SharedLane, links};
use crate::services::shared_store::calls::{Batch, RecordHash, SharedStore};

/// The first batch of a read may lie before what is wanted, as a whole.
const BATCHES_MIN: u32 = 2;

impl<S: SharedStore + Send> MovedLane for SharedLane<S> {
    fn pruned(&self) -> Result<Position, ReadError> {
        let partition = self.source().partition;
        let seen = self.read(|store| store.outbox_counts(partition))?.seen;
        Ok(Position(seen.places.pruned))
    }

    fn page(&self, after: Position, batches: u32) -> Result<Vec<(Position, ChainedChange)>, ReadError> {
        let (partition, count) = (self.source().partition, batches.max(BATCHES_MIN));
        let part = self.read(|store| store.stream(partition, after.0, count))?;
        let placed = links(part.value)?.into_iter();
        let placed = placed.map(|(place, link)| (Position(place), link));
        Ok(placed.filter(|(place, _)| *place > after).collect())
    }

    fn all_users(&self, take: TakeUser<'_>) -> Result<(), ReadError> {
        let (mut taken, mut flow) = (HashSet::new(), ControlFlow::Continue(()));
        for hash in [RecordHash::Residents, RecordHash::Others] {
            self.scan(hash, |user, record| {
                if flow.is_continue() && taken.insert(user) {
                    flow = take(user, codec::decode_user(record)?);
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl<S: SharedStore> SharedLane<S> {
    /// A batch of changes from this place on.
    pub(in crate::services::registry) fn batch_of(
        &self,
        first: Position,
        changes: &[ChainedChange],
        latest: Timestamp,
    ) -> Batch {
        Batch {
            partition: self.source().partition,
            fence: self.fence(),
            first: first.0,
            count: u32::try_from(changes.len()).expect("at most as many as a batch has"),
            durable: first.0 - 1,
            latest: latest.0,
            changes: encode_batch(changes),
            residents: Vec::new(),
            others: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// A batch of records behind the last change.
    pub(in crate::services::registry) fn records_of(
        &self,
        last: Position,
        users: &[(UserId, StoredRecord)],
        latest: Timestamp,
    ) -> Batch {
        let is_resident = |known: &StoredRecord| !known.record.devices.is_empty();
        let (residents, others): (Vec<_>, Vec<_>) = users.iter().partition(|(_, known)| is_resident(known));
        let encoded = |(user, known): &(UserId, StoredRecord)| (*user, codec::encode_user(known));
        Batch {
            residents: residents.into_iter().map(encoded).collect(),
            others: others.into_iter().map(encoded).collect(),
            ..self.batch_of(Position(last.0 + 1), &[], latest)
        }
    }
}
