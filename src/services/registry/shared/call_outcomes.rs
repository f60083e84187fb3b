//! What becomes of a partition when the outcome of its call is known. The table is in `shared`.

use std::collections::VecDeque;

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::logic::delivery::RegistryError;
use crate::services::registry::archive::Position;
use crate::services::registry::codec::{self, StoredRecord};
use crate::services::registry::shared::draft::end_of;
use crate::services::registry::shared::output::DeskCommon;
use crate::services::registry::shared::partition::{
    PartitionCall, PartitionDesk, RepairCursor, answer_reader,
};
use crate::services::registry::shared::verdict::{BatchVerdict, are_enough, judge};
use crate::services::registry::shared::writes::QueuedWrite;
use crate::services::shared_store::calls::LoadedRecords;
use crate::services::shared_store::outcome::{Outcome, Vouched};

impl PartitionDesk {
    /// What came of a load.
    pub(super) fn loaded(
        &mut self,
        common: &mut DeskCommon,
        (of, users): (u64, Vec<UserId>),
        outcome: Outcome<Vouched<LoadedRecords>>,
    ) {
        let fence = match self.call.take() {
            Some(PartitionCall::Load { ticket, fence }) if ticket == of => fence,
            other => {
                self.call = other;
                return;
            }
        };
        let loaded = match outcome {
            Ok(Vouched { answer, copies }) if are_enough(copies, &common.settings) => answer,
            Ok(Vouched { copies, .. }) => {
                return self.refuse_waiting(common, &format!("what was read is in {copies} copies"));
            }
            Err(error) => return self.refuse_waiting(common, &error.to_string()),
        };
        if fence != self.fence {
            return;
        }
        // Nothing is under way: what was read is what was confirmed, or it does not count.
        if loaded.fence != fence {
            return self.fenced(common, fence);
        }
        if loaded.seq != self.last {
            common.figures.behind += 1;
            return self.begin_repair(common, loaded.seq);
        }
        self.failures = 0;
        common.figures.loads += users.len() as u64;
        for (user, record) in users.into_iter().zip(loaded.records) {
            let bytes = record.map(|(_, bytes)| bytes).unwrap_or_default();
            let known = (!bytes.is_empty())
                .then(|| codec::decode_user(&bytes))
                .transpose();
            match known {
                Ok(known) => {
                    if self.readers.iter().any(|(_, _, reader)| *reader == user) {
                        common.cache.put(self.partition, user, &bytes);
                        self.answer_readers(common, &user, &Ok(known.clone()));
                    }
                    self.loaded.insert(user, known);
                }
                Err(damage) => {
                    tracing::error!(%user, %damage, "a record in the shared store is refused");
                    common.health.met_damage();
                    self.refuse_user(common, &user);
                }
            }
        }
    }

    fn answer_readers(
        &mut self,
        common: &mut DeskCommon,
        user: &UserId,
        answer: &Result<Option<StoredRecord>, RegistryError>,
    ) {
        for (shard, key, _) in self.readers.extract_if(.., |(_, _, reader)| reader == user) {
            answer_reader(common, (shard, key), answer.clone());
        }
    }

    fn refuse_user(&mut self, common: &mut DeskCommon, user: &UserId) {
        self.answer_readers(common, user, &Err(RegistryError::Unavailable));
        let (refused, kept) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|write| write.users().contains(user));
        self.queue = kept;
        let refused: VecDeque<QueuedWrite> = refused;
        refused
            .into_iter()
            .for_each(|write| write.refuse(common, RegistryError::Unavailable));
    }

    /// What came of a batch.
    pub(super) fn recorded(&mut self, common: &mut DeskCommon, of: u64, outcome: Outcome<Vouched<u64>>) {
        let (fence, end, count) = match self.call.take() {
            Some(PartitionCall::Batch {
                ticket,
                fence,
                end,
                count,
            }) if ticket == of => (fence, end, count),
            other => {
                self.call = other;
                return;
            }
        };
        match judge(outcome, &common.settings, &mut common.figures) {
            BatchVerdict::Confirmed(place) if self.repair.is_some() => {
                common.figures.repaired += 1;
                self.go_on_repairing(place, end, count);
            }
            BatchVerdict::Confirmed(place) if place == end => self.confirm(common),
            BatchVerdict::Confirmed(place) => self.stop(common, place),
            BatchVerdict::Doubtful(why) => {
                common.health.fail(common.now.wall, &why);
                if self.repair.is_none() {
                    self.doubt();
                }
                self.pause(common);
            }
            BatchVerdict::Refused(_, why) => {
                if self.is_doubtful() {
                    common.health.fail(common.now.wall, &why);
                    self.pause(common);
                } else {
                    self.refuse_waiting(common, &why);
                }
            }
            BatchVerdict::Behind(place) => self.begin_repair(common, place),
            BatchVerdict::Fenced if fence != self.fence => {}
            BatchVerdict::Fenced => self.fenced(common, fence),
        }
    }

    /// The store has the batch under way, in as many copies as wanted.
    fn confirm(&mut self, common: &mut DeskCommon) {
        let batch = self.under_way.take().expect("it was sent").drafted;
        self.failures = 0;
        self.last = end_of(&batch.batch);
        self.latest = Timestamp(batch.batch.latest);
        for (user, record) in batch.batch.residents.iter().chain(&batch.batch.others) {
            common.cache.put(self.partition, *user, record);
        }
        for user in &batch.batch.gone {
            common.cache.put(self.partition, *user, &[]);
        }
        common.unpublished.push((self.partition, Position(self.last)));
        common.figures.batches += 1;
        common.figures.changes += u64::from(batch.batch.count);
        common.health.wrote(batch.commits);
        common.health.recover();
        common.health.note_time(self.latest);
        if !batch.batch.residents.is_empty() || !batch.batch.others.is_empty() {
            common.tails.push(common.now.instant, batch.batch);
        }
        batch
            .promises
            .into_iter()
            .for_each(|promise| promise.keep(common));
    }

    /// The store has a batch of the tail again, which ends there; and what it had is up to `place`.
    fn go_on_repairing(&mut self, place: u64, end: u64, count: u32) {
        let cursor = self.repair.as_mut().expect("it is being repaired");
        let is_further = count > 0 || place > end;
        if is_further {
            *cursor = RepairCursor {
                place: place.max(end),
                passed: 0,
            };
        } else {
            cursor.passed += 1;
        }
    }

    /// The store has changes up to `place` alone. What is behind it was confirmed, and is written again from the tail.
    fn begin_repair(&mut self, common: &mut DeskCommon, place: u64) {
        let next = common.tails.behind(self.partition, place, 0);
        let has_all = place < self.last && next.is_some_and(|batch| batch.first == place + 1);
        if has_all {
            tracing::warn!(
                partition = self.partition.0,
                place,
                last = self.last,
                "the store lost changes: they are written again"
            );
            self.repair = Some(RepairCursor { place, passed: 0 });
            self.pause(common);
        } else {
            self.stop(common, place);
        }
    }
}
