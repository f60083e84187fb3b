//! The registry's own side of an embedded store: all changes of a batch are one write, which is durable before any of their
//! replies leaves, as the settings say. Reads and writes no file itself.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use fjall::{OwnedWriteBatch, PersistMode};
use hashbrown::{HashMap, HashSet};
use tokio::sync::watch;

use crate::base::ids::UserId;
use crate::base::time::{Timestamp, millis};
use crate::logic::delivery::{AccountsRequest, Delivery, RegistryError, ToHttp, ToRegistry, ToShard};
use crate::logic::record::{Commit, UserRecord};
use crate::logic::user_status::UserStatus;
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::codec::{self, ChainedChange, StoredRecord};
use crate::services::registry::embedded::errors::WriteError;
use crate::services::registry::embedded::files::key;
use crate::services::registry::embedded::reader::StoreReader;
use crate::services::registry::embedded::settings::{Durability, EmbeddedSettings};
use crate::services::registry::health::{RegistryHealth, WELL_AFTER_MS};
use crate::services::registry::store::{ENDED_KEPT, Store};

/// The registry's own side of an embedded store: the only writer of records and changes.
#[derive(Debug)]
pub struct EmbeddedStore {
    pub(super) settings: EmbeddedSettings,
    pub(super) reader: Arc<StoreReader>,
    pub(super) health: RegistryHealth,
    /// The place of the last change that was written.
    pub(super) last: Position,
    /// What a refused batch may have left behind.
    pub(super) unsure: Option<UnsureBatch>,
    /// With [`Durability::Relaxed`]: something was written since the last sync.
    pub(super) unsynced: bool,
    /// How far the search for accounts that were deleted long ago is.
    pub(super) pass: ForgetPass,
    /// When all tables were looked at for damage.
    pub(super) looked_at: Option<Timestamp>,
    /// Users whose damaged record was told.
    pub(super) told: Mutex<HashSet<String>>,
}

/// A batch whose fate is unknown.
#[derive(Debug)]
pub(super) struct UnsureBatch {
    pub(super) failed_at: Timestamp,
    /// The last place before it.
    pub(super) last: Position,
    /// The last place of the batch.
    pub(super) end: Position,
    /// What was on record of everyone whom it touched.
    pub(super) before: HashMap<UserId, Option<StoredRecord>>,
}

/// How far a pass over all users is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ForgetPass {
    /// It goes on behind this key; empty: at the first.
    pub(super) after: Vec<u8>,
    /// Not before this time.
    pub(super) due_at: Timestamp,
}

/// A batch that is being put together.
#[derive(Debug, Default)]
struct BatchDraft {
    users: HashMap<UserId, StoredRecord>,
    before: HashMap<UserId, Option<StoredRecord>>,
    changes: Vec<ChainedChange>,
    commits: u64,
}

impl EmbeddedStore {
    /// The readers' side, for any thread that may block.
    #[must_use]
    pub fn reader(&self) -> Arc<StoreReader> {
        Arc::clone(&self.reader)
    }

    /// Tells the place of the last durable change whenever there is a new one.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<Position> {
        self.reader.news.subscribe()
    }

    /// How the store is.
    #[must_use]
    pub fn health(&self) -> RegistryHealth {
        self.health.clone()
    }

    /// The record as the batch in the making has it, and noted as it is on disk.
    fn open_record<'a>(
        &self,
        draft: &'a mut BatchDraft,
        user: UserId,
    ) -> Result<&'a mut StoredRecord, ReadError> {
        if !draft.users.contains_key(&user) {
            let known = self.reader.with(|files| files.user(&user))?;
            draft.before.insert(user, known.clone());
            draft.users.insert(user, known.unwrap_or_default().undated());
        }
        Ok(draft.users.get_mut(&user).expect("it was just put there"))
    }

    /// Takes a commit into the batch. Gives the time that its changes have on record.
    ///
    /// # Panics
    /// If it does not follow what is on record: a shard decided it against a state that never was.
    fn draft_commit(
        &self,
        draft: &mut BatchDraft,
        now: Timestamp,
        commit: Commit,
    ) -> Result<Timestamp, ReadError> {
        let mut last = Position(self.last.0 + draft.changes.len() as u64);
        let callbacks = *self.settings.callbacks.borrow();
        let known = self.open_record(draft, commit.user)?;
        known.record.go_on_numbering(&commit);
        let recorded = known.record.record(commit, callbacks);
        let at = known.record.changed_at;
        forget_old_ends(&mut known.record, now);
        let mut links = Vec::with_capacity(recorded.len());
        for recorded in recorded {
            last.0 += 1;
            let before = std::mem::replace(&mut known.last, last);
            links.push(ChainedChange { recorded, before });
        }
        draft.changes.extend(links);
        draft.commits += 1;
        Ok(at)
    }

    fn draft_import(&self, draft: &mut BatchDraft, users: &[UserId]) -> Result<Vec<bool>, ReadError> {
        let import = |user: &UserId| {
            let known = self.open_record(draft, *user)?;
            Ok(std::mem::replace(&mut known.record.registered, true))
        };
        users.iter().map(import).collect()
    }

    /// Answers one request, as if the batch will be written. What only reads, reads what is durable.
    fn answer(&self, now: Timestamp, request: ToRegistry, draft: &mut BatchDraft) -> Delivery {
        match request {
            ToRegistry::Load(shard, key, user) => Delivery::Shard(
                shard,
                ToShard::Loaded(key, self.noted(now, &[user], self.load(now, &user))),
            ),
            ToRegistry::Commit(shard, key, commit) => {
                let user = commit.user;
                let drafted = self.draft_commit(draft, now, *commit);
                Delivery::Shard(shard, ToShard::Committed(key, self.noted(now, &[user], drafted)))
            }
            ToRegistry::Accounts(request, AccountsRequest::Import, users) => {
                let existed = self.noted(now, &users, self.draft_import(draft, &users));
                Delivery::Http(ToHttp::Accounts(request, existed))
            }
            ToRegistry::Accounts(request, AccountsRequest::Check, users) => {
                let exist = users.iter().map(|user| Ok(self.account(user)?.is_some()));
                let exist = self.noted(now, &users, exist.collect());
                Delivery::Http(ToHttp::Accounts(request, exist))
            }
            ToRegistry::Complete(request, mut users) => {
                users.resolve(|user| self.status_of(now, user));
                Delivery::Http(ToHttp::Statuses(request, users))
            }
        }
    }

    fn load(&self, now: Timestamp, user: &UserId) -> Result<Option<Box<UserRecord>>, ReadError> {
        let known = self.reader.with(|files| files.user(user))?;
        Ok(known.map(|mut known| {
            forget_old_ends(&mut known.record, now);
            Box::new(known.record)
        }))
    }

    /// The record of a registered user.
    fn account(&self, user: &UserId) -> Result<Option<UserRecord>, ReadError> {
        let known = self.reader.with(|files| files.user(user))?;
        Ok(known.map(|known| known.record).filter(|record| record.registered))
    }

    /// What is on record of a user that its shard does not hold.
    fn status_of(&self, now: Timestamp, user: &UserId) -> UserStatus {
        match self.noted(now, &[*user], self.account(user)) {
            Ok(None) => UserStatus::UnknownAccount,
            Ok(Some(record)) => UserStatus::of_record(&record),
            Err(_) => UserStatus::Unavailable,
        }
    }

    /// Writes a batch, and makes it durable as the settings say.
    fn write(&mut self, draft: &BatchDraft) -> Result<(), WriteError> {
        let mode = match self.settings.durability {
            Durability::Commit => PersistMode::SyncData,
            Durability::Relaxed => PersistMode::Buffer,
        };
        let written = self.reader.with(|files| {
            let batch = OwnedWriteBatch::with_capacity(
                files.database.clone(),
                draft.users.len() + draft.changes.len(),
            );
            let mut batch = batch.durability(Some(mode));
            for (user, known) in &draft.users {
                batch.insert(&files.users, user.as_str(), codec::encode_user(known));
            }
            for (link, place) in draft.changes.iter().zip(self.last.0 + 1..) {
                batch.insert(&files.changes, key(Position(place)), codec::encode_change(link));
            }
            Ok(batch.commit().map_err(WriteError::of_database))
        });
        written.map_err(WriteError::of).flatten()
    }

    /// Ends a batch: gives whether it was written.
    fn finish(&mut self, now: Timestamp, draft: BatchDraft) -> bool {
        if draft.users.is_empty() {
            return true;
        }
        let end = Position(self.last.0 + draft.changes.len() as u64);
        match self.write(&draft) {
            Ok(()) => {
                if let Some(place) = last_owing(self.last, &draft.changes) {
                    self.reader.owes(place);
                }
                self.last = end;
                draft
                    .users
                    .values()
                    .for_each(|known| self.health.note_time(known.record.changed_at));
                self.health.wrote(draft.commits);
                self.health.recover();
                match self.settings.durability {
                    Durability::Commit => self.reader.publish(end),
                    Durability::Relaxed => self.unsynced = true,
                }
                true
            }
            Err(error) => {
                self.note_write(now, &error);
                self.unsure = Some(UnsureBatch {
                    failed_at: now,
                    last: self.last,
                    end,
                    before: draft.before,
                });
                false
            }
        }
    }
}

impl Store for EmbeddedStore {
    fn work_off(&mut self, now: Timestamp, batch: &mut Vec<ToRegistry>, answers: &mut Vec<Delivery>) {
        let writable = self.recover(now);
        let mut draft = BatchDraft::default();
        let mut writers = Vec::new();
        for request in batch.drain(..) {
            let writes = is_write(&request);
            answers.push(if writes && !writable {
                request.refuse()
            } else {
                self.answer(now, request, &mut draft)
            });
            if writes {
                writers.push(answers.len() - 1);
            }
        }
        if !self.finish(now, draft) {
            for place in writers {
                refuse(&mut answers[place]);
            }
        }
        self.health.set_memory(self.reader.memory_bytes());
    }

    fn rests(&self) -> bool {
        true
    }

    fn close(&mut self, now: Timestamp) {
        if let Some(unsure) = &mut self.unsure {
            // There is no later time to wait for.
            unsure.failed_at = Timestamp(0);
        }
        if self.recover(now) {
            self.sync(now);
        }
        self.health.tell_if_well(Timestamp(now.0 + WELL_AFTER_MS));
    }

    fn rest(&mut self, now: Timestamp) {
        if self.reader.failed.swap(false, Ordering::AcqRel) {
            self.suspect(now, &WriteError::of("a write of the callbacks' state failed"));
        }
        if !self.recover(now) {
            return;
        }
        if self.unsynced {
            self.sync(now);
        }
        if self.unsure.is_none() {
            self.look_for_damage(now);
        }
        self.health.tell_if_well(now);
        if let Err(error) = self.prune(now).and_then(|()| self.forget(now)) {
            self.suspect(now, &error);
        }
    }
}

fn forget_old_ends(record: &mut UserRecord, now: Timestamp) {
    let kept_ms = millis(ENDED_KEPT);
    record
        .ended
        .retain(|ended| ended.at.0.saturating_add(kept_ms) > now.0);
}

/// Of changes that follow this place: the last that owes a callback.
fn last_owing(after: Position, changes: &[ChainedChange]) -> Option<Position> {
    let place = changes
        .iter()
        .rposition(|link| link.recorded.previous.is_some())?;
    Some(Position(after.0 + 1 + place as u64))
}

fn is_write(request: &ToRegistry) -> bool {
    match request {
        ToRegistry::Commit(..) | ToRegistry::Accounts(_, AccountsRequest::Import, _) => true,
        ToRegistry::Load(..)
        | ToRegistry::Complete(..)
        | ToRegistry::Accounts(_, AccountsRequest::Check, _) => false,
    }
}

/// The batch was not written: what it promised is taken back.
fn refuse(answer: &mut Delivery) {
    match answer {
        Delivery::Shard(_, ToShard::Committed(_, outcome)) => *outcome = Err(RegistryError::Unavailable),
        Delivery::Http(ToHttp::Accounts(_, outcome)) => *outcome = Err(RegistryError::Unavailable),
        Delivery::Shard(..)
        | Delivery::Http(_)
        | Delivery::Registry(_)
        | Delivery::Peer(..)
        | Delivery::Outcomes(_) => {
            unreachable!("only what writes is refused")
        }
    }
}
