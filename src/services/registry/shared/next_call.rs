//! What a partition's desk wants of the store next: first what the store lost, then the batch under way, then records, then a new
//! batch. Makes no call.

use std::collections::BTreeSet;

use crate::base::ids::UserId;
use crate::logic::delivery::RegistryError;
use crate::services::registry::codec::StoredRecord;
use crate::services::registry::deleted_accounts::Fate;
use crate::services::registry::shared::draft::{Draft, DraftedBatch, end_of};
use crate::services::registry::shared::output::DeskCommon;
use crate::services::registry::shared::ownership::ForgetCandidates;
use crate::services::registry::shared::partition::{
    DoubtableBatch, PartitionCall, PartitionDesk, RepairCursor, Sent, WantedCall,
};
use crate::services::registry::shared::writes::{Promise, QueuedWrite};
use crate::services::shared_store::calls::{Batch, LOAD_USERS_MAX};

/// How many of the writes that wait have their records loaded together.
const LOAD_AHEAD: usize = 128;

impl PartitionDesk {
    /// The next call, if one is to be made now.
    pub(super) fn next_call(&mut self, common: &mut DeskCommon) -> Option<WantedCall> {
        if self.call.is_some() || !self.is_deciding() || common.now.instant < self.not_before {
            return None;
        }
        if let Some(RepairCursor { place, passed }) = self.repair {
            if let Some(batch) = common.tails.behind(self.partition, place, passed) {
                let batch = batch.clone();
                return Some(self.send(common, batch));
            }
            self.repair = None;
        }
        if self.under_way.is_none() {
            let wanted = self.records_wanted(common);
            if !wanted.is_empty() {
                let ticket = common.ticket();
                let fence = self.fence.clone();
                self.call = Some(PartitionCall::Load { ticket, fence });
                return Some(WantedCall::Load(ticket, wanted));
            }
            let drafted = self.draft(common)?;
            let sent = Sent::InVain;
            self.under_way = Some(DoubtableBatch { drafted, sent });
        }
        let batch = self.under_way.as_ref()?.drafted.batch.clone();
        Some(self.send(common, batch))
    }

    fn send(&mut self, common: &mut DeskCommon, batch: Batch) -> WantedCall {
        let fence = self.fence.clone();
        if self.failures > 0 {
            common.figures.retried += 1;
        }
        let ticket = common.ticket();
        self.call = Some(PartitionCall::Batch {
            ticket,
            fence: fence.clone(),
            end: end_of(&batch),
            count: batch.count,
        });
        WantedCall::Batch(ticket, Batch { fence, ..batch })
    }

    /// Whose records are to be loaded before anything else.
    fn records_wanted(&self, common: &DeskCommon) -> Vec<UserId> {
        let writers = self.queue.iter().take(LOAD_AHEAD).flat_map(QueuedWrite::users);
        let writers = writers.filter(|user| !self.loaded.contains_key(*user) && !common.cache.knows(user));
        let readers = self.readers.iter().take(LOAD_AHEAD).map(|(_, _, user)| user);
        let users: BTreeSet<UserId> = writers.chain(readers).copied().collect();
        users.into_iter().take(LOAD_USERS_MAX).collect()
    }

    /// Puts a batch together from what waits and whose records are known.
    fn draft(&mut self, common: &mut DeskCommon) -> Option<DraftedBatch> {
        let callbacks = *common.settings.callbacks.borrow();
        let mut draft = Draft::new(self.last, self.latest, callbacks);
        while let Some(write) = self.queue.front() {
            let is_known = |user: &UserId| {
                draft.knows(user) || self.loaded.contains_key(user) || common.cache.knows(user)
            };
            if !draft.has_room(write) || !write.users().iter().all(is_known) {
                break;
            }
            let write = self.queue.pop_front().expect("it is the first");
            self.take_in(common, &mut draft, write);
        }
        if self.queue.is_empty() {
            self.loaded.clear();
        }
        draft.finish(self.partition, self.fence.clone())
    }

    fn take_in(&mut self, common: &mut DeskCommon, draft: &mut Draft, write: QueuedWrite) {
        let now = common.now.wall;
        match write {
            QueuedWrite::Vouch(shard, key) => draft.promise(Promise::Committed(shard, key, now)),
            QueuedWrite::Import(id, users) => {
                let records = users.into_iter().map(|user| {
                    let known = || self.record_of(common, &user);
                    (user, draft.import(user, known))
                });
                let records = records.collect();
                draft.promise(Promise::Imported(id, records));
            }
            QueuedWrite::Forget(candidates) => self.forget(common, draft, candidates),
            QueuedWrite::Commit(shard, key, commit) => {
                let user = commit.user;
                let known = || self.record_of(common, &user).unwrap_or_default();
                match draft.commit(now, *commit, known) {
                    Ok(at) => draft.promise(Promise::Committed(shard, key, at)),
                    Err(_) => {
                        // The record was read of a former master, or the store lost what the shard knows. Whoever asks again
                        // has it read again.
                        tracing::warn!(%user, "a commit does not follow the record: it is read again");
                        common.figures.mismatched += 1;
                        common.cache.forget(&user);
                        common.committed(shard, key, Err(RegistryError::Unavailable));
                    }
                }
            }
        }
    }

    fn forget(&mut self, common: &mut DeskCommon, draft: &mut Draft, candidates: ForgetCandidates) {
        let ForgetCandidates {
            users,
            kept_ms,
            pruned,
        } = candidates;
        let now = common.now.wall;
        let mut fates = Vec::new();
        for user in users {
            // Whoever does something just now stays.
            if draft.knows(&user) {
                continue;
            }
            if let Some(known) = self.record_of(common, &user) {
                fates.push(draft.forget(user, known, (now, kept_ms), pruned));
            }
        }
        if fates.iter().any(|fate| *fate != Fate::Stays) {
            let count = fates.iter().filter(|fate| **fate == Fate::Goes).count();
            draft.promise(Promise::Forgotten(count as u64));
        }
    }

    /// The confirmed record of a user, which is known.
    fn record_of(&mut self, common: &mut DeskCommon, user: &UserId) -> Option<StoredRecord> {
        match self.loaded.remove(user) {
            Some(record) => record,
            None => common.cache.get(user).expect("it was seen to be known"),
        }
    }
}
