//! A batch that is being put together from what waits: records as they will be, changes with their places and dates, and what is
//! promised for it. Nothing of it counts before it is confirmed.

use std::collections::BTreeMap;

use crate::base::ids::{PartitionId, UserId};
use crate::base::time::{Timestamp, millis};
use crate::logic::record::{Callbacks, Commit, UserRecord};
use crate::services::registry::archive::Position;
use crate::services::registry::codec::{self, ChainedChange, StoredRecord};
use crate::services::registry::deleted_accounts::{Fate, fate};
use crate::services::registry::shared::batch_codec::encode_batch;
use crate::services::registry::shared::writes::{Promise, QueuedWrite};
use crate::services::registry::store::ENDED_KEPT;
use crate::services::shared_store::calls::{BATCH_CHANGES_MAX, Batch};
use crate::services::shared_store::outcome::Fence;

/// Most users of a batch, unless one import alone has more: a batch must not hold the store up for long.
const BATCH_USERS_MAX: usize = 64;

/// A batch in the making.
#[derive(Debug)]
pub(super) struct Draft {
    /// The place of the last change before it: all up to there is confirmed.
    last: u64,
    /// The latest date of a change of the partition.
    latest: Timestamp,
    callbacks: Callbacks,
    users: BTreeMap<UserId, StoredRecord>,
    changes: Vec<ChainedChange>,
    /// Whose records go. Nothing is taken in behind them: it would be of whoever has none any more.
    gone: Vec<UserId>,
    promises: Vec<Promise>,
    commits: u64,
}

/// A batch with what is promised for it.
#[derive(Debug)]
pub(super) struct DraftedBatch {
    pub(super) batch: Batch,
    pub(super) promises: Vec<Promise>,
    pub(super) commits: u64,
}

/// A commit does not go on where the record ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotNext;

impl Draft {
    pub(super) fn new(last: u64, latest: Timestamp, callbacks: Callbacks) -> Self {
        Self {
            last,
            latest,
            callbacks,
            users: BTreeMap::new(),
            changes: Vec::new(),
            gone: Vec::new(),
            promises: Vec::new(),
            commits: 0,
        }
    }

    pub(super) fn knows(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// Whether a write fits beside the others.
    pub(super) fn has_room(&self, write: &QueuedWrite) -> bool {
        let users = self.users.len() + write.users().len();
        let fits = users <= BATCH_USERS_MAX && self.changes.len() + write.changes() <= CHANGES_MAX;
        let fits = fits || (self.users.is_empty() && write.changes() <= CHANGES_MAX);
        fits && self.gone.is_empty()
    }

    /// Somebody is answered when the batch is confirmed.
    pub(super) fn promise(&mut self, promise: Promise) {
        self.promises.push(promise);
    }

    /// Takes a commit in, of a user whose record is `known` unless it is in the draft. Gives the date that its changes have.
    pub(super) fn commit(
        &mut self,
        now: Timestamp,
        mut commit: Commit,
        known: impl FnOnce() -> StoredRecord,
    ) -> Result<Timestamp, NotNext> {
        let mut stored = self.users.get(&commit.user).cloned().unwrap_or_else(known);
        stored.record.go_on_numbering(&commit);
        let numbers = commit.changes.iter().map(|change| change.number.0);
        if !numbers.eq((stored.record.change.0 + 1..).take(commit.changes.len())) {
            return Err(NotNext);
        }
        for change in &mut commit.changes {
            change.at = change.at.max(self.latest);
        }
        let user = commit.user;
        for recorded in stored.record.record(commit, self.callbacks) {
            self.latest = self.latest.max(recorded.change.at);
            let place = Position(self.last + 1 + self.changes.len() as u64);
            let before = std::mem::replace(&mut stored.last, place);
            self.changes.push(ChainedChange { recorded, before });
        }
        forget_old_ends(&mut stored.record, now);
        stored.deleted_by = Timestamp::default();
        let at = stored.record.changed_at;
        self.users.insert(user, stored);
        self.commits += 1;
        Ok(at)
    }

    /// Registers an account. Gives the record before it.
    pub(super) fn import(
        &mut self,
        user: UserId,
        known: impl FnOnce() -> Option<StoredRecord>,
    ) -> Option<UserRecord> {
        let before = self.users.get(&user).cloned().or_else(known);
        let mut stored = before.clone().unwrap_or_default();
        stored.record.registered = true;
        stored.deleted_by = Timestamp::default();
        self.users.insert(user, stored);
        before.map(|stored| stored.record)
    }

    /// Has a deleted account be forgotten, if it is kept no longer. One whose record does not tell its age begins to have one.
    pub(super) fn forget(
        &mut self,
        user: UserId,
        mut known: StoredRecord,
        (now, kept_ms): (Timestamp, u64),
        pruned: Position,
    ) -> Fate {
        let fate = fate(&known, (now, kept_ms), pruned);
        match fate {
            Fate::Stays => {}
            Fate::Goes => self.gone.push(user),
            Fate::Ages => {
                known.deleted_by = now;
                self.users.insert(user, known);
            }
        }
        fate
    }

    /// The batch, if anything is promised.
    pub(super) fn finish(self, partition: PartitionId, fence: Fence) -> Option<DraftedBatch> {
        if self.promises.is_empty() {
            return None;
        }
        let records = self.users.iter();
        let records = records.map(|(user, stored)| (*user, codec::encode_user(stored)));
        let is_resident = |user: &UserId| !self.users[user].record.devices.is_empty();
        let (residents, others) = records.partition(|(user, _)| is_resident(user));
        let batch = Batch {
            partition,
            fence,
            first: self.last + 1,
            count: u32::try_from(self.changes.len()).expect("at most as many as a batch has"),
            durable: self.last,
            latest: self.latest.0,
            changes: encode_batch(&self.changes),
            residents,
            others,
            gone: self.gone,
        };
        Some(DraftedBatch {
            batch,
            promises: self.promises,
            commits: self.commits,
        })
    }
}

/// Most changes of a commit, since its changes are in one batch.
pub(super) const CHANGES_MAX: usize = BATCH_CHANGES_MAX as usize;

pub(super) fn forget_old_ends(record: &mut UserRecord, now: Timestamp) {
    let kept_ms = millis(ENDED_KEPT);
    let is_kept = |at: Timestamp| at.0.saturating_add(kept_ms) > now.0;
    record.ended.retain(|ended| is_kept(ended.at));
}

/// The place of the last change that is there when a batch is.
pub(super) fn end_of(batch: &Batch) -> u64 {
    batch.first + u64::from(batch.count) - 1
}
