//! The durable registry: records, changes and the callback outbox in one embedded store ([fjall], a log-structured merge
//! tree with one journal). All changes of a batch are one write, made durable before any of their answers leaves, or,
//! if the operator prefers, within [`SYNC_WITHIN_MS`].
//!
//! # When a write fails
//! Everything of the batch is refused, and what was decided is tried again by whoever decided it. Whether a refused batch
//! reached the disk nobody knows, and the database takes no more writes. So the store is closed and opened again, at most
//! once in [`REOPEN_AFTER_MS`](upkeep::REOPEN_AFTER_MS), and first of all every record that the refused batch touched is put back to what it was:
//! what was refused did not happen. Only if the process dies in between can a refused change turn out to be on record; it
//! is then a change like any other, as if the process had died before it could answer.
//!
//! # When something is damaged
//! What was recorded in the past must not stop the present. A read that finds damage concerns whoever it was for; then all
//! tables are looked at, and a damaged one is replaced by what is intact in it ([`mend`]). Until then and beyond,
//! everything else is read and written. Only what nothing works without keeps a store from being opened, and is named.
//!
//! [fjall]: https://docs.rs/fjall

mod check;
mod codec;
mod errors;
mod forget;
mod keys;
mod late;
mod mend;
mod opening;
mod outbox;
mod raw;
mod reading;
mod rebuild;
mod salvage;
mod sound;
mod store;
mod tidy;
mod upkeep;
mod verify;
#[cfg(test)]
mod cuts;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod flips;
#[cfg(test)]
mod forgotten;
#[cfg(test)]
mod salvaged;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trouble;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use fjall::{OwnedWriteBatch, PersistMode};
use hashbrown::{HashMap, HashSet};
use tokio::sync::watch;

use super::archive::{Position, ReadError};
use super::{Answer, ENDED_KEPT, REST_MS, Store, Vitals, WELL_AFTER_MS, refusal};
use crate::base::ids::UserId;
use crate::base::time::{Timestamp, millis};
use crate::logic::letter::{AccountsAsk, RegistryError, Standing, ToFront, ToRegistry, ToShard};
use crate::logic::record::{Callbacks, Commit, UserRecord};
use codec::{Known, Link};
pub use errors::OpenError;
use errors::WriteError;
pub use raw::Fault;
pub use reading::Reading;
pub use salvage::{SalvageError, Salvaged, salvage};
pub use store::Place;
use store::key;
use upkeep::Unsure;
pub use verify::{DamagedTable, Report, verify};

/// How long a change that was answered may not be durable with [`Durability::Relaxed`].
pub const SYNC_WITHIN_MS: u64 = REST_MS;

/// Users whose damaged record is named in the log: once each, and no more of them, since each try of theirs would be a line.
const USERS_TOLD_MAX: usize = 1_000;

/// When an answered change is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before the answer leaves.
    Commit,
    /// Within [`SYNC_WITHIN_MS`]. A crash of the process alone loses nothing.
    Relaxed,
}

/// What an embedded store goes by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// When an answered change is durable.
    pub durability: Durability,
    /// Which changes owe a callback, from the next commit on.
    pub callbacks: watch::Receiver<Callbacks>,
    /// How long changes are kept, in milliseconds.
    pub changes_kept_ms: u64,
    /// How long records of deleted accounts are kept, in milliseconds. They outlive the accounts' changes in any case.
    pub deleted_kept_ms: u64,
}

/// The registry's own side of an embedded store: the only writer of records and changes.
#[derive(Debug)]
pub struct Embedded {
    rules: Rules,
    reading: Arc<Reading>,
    vitals: Vitals,
    /// The place of the last change that was written.
    last: Position,
    /// What a refused batch may have left behind.
    unsure: Option<Unsure>,
    /// With [`Durability::Relaxed`]: something was written since the last sync.
    unsynced: bool,
    /// How far the search for accounts that were deleted long ago is.
    pass: forget::Pass,
    /// When all tables were looked at for damage.
    looked_at: Option<Timestamp>,
    /// Users whose damaged record was told.
    told: Mutex<HashSet<String>>,
}

/// A batch that is being put together.
#[derive(Debug, Default)]
struct Draft {
    users: HashMap<UserId, Known>,
    before: HashMap<UserId, Option<Known>>,
    changes: Vec<Link>,
    commits: u64,
}

impl Embedded {
    /// The reading side, for any thread that may block.
    #[must_use]
    pub fn reading(&self) -> Arc<Reading> {
        Arc::clone(&self.reading)
    }

    /// Tells the place of the last durable change whenever there is a new one.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<Position> {
        self.reading.news.subscribe()
    }

    /// How the store is.
    #[must_use]
    pub fn vitals(&self) -> Vitals {
        self.vitals.clone()
    }

    /// The record as the batch in the making has it, and noted as it is on disk.
    fn open_record<'a>(&self, draft: &'a mut Draft, user: UserId) -> Result<&'a mut Known, ReadError> {
        if !draft.users.contains_key(&user) {
            let known = self.reading.with(|files| files.user(&user))?;
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
        draft: &mut Draft,
        now: Timestamp,
        commit: Commit,
    ) -> Result<Timestamp, ReadError> {
        let mut last = Position(self.last.0 + draft.changes.len() as u64);
        let callbacks = *self.rules.callbacks.borrow();
        let known = self.open_record(draft, commit.user)?;
        known.record.go_on_numbering(&commit);
        let recorded = known.record.record(commit, callbacks);
        let at = known.record.changed_at;
        forget_old_ends(&mut known.record, now);
        let mut links = Vec::with_capacity(recorded.len());
        for recorded in recorded {
            last.0 += 1;
            let before = std::mem::replace(&mut known.last, last);
            links.push(Link { recorded, before });
        }
        draft.changes.extend(links);
        draft.commits += 1;
        Ok(at)
    }

    fn draft_import(&self, draft: &mut Draft, users: &[UserId]) -> Result<Vec<bool>, ReadError> {
        let import = |user: &UserId| {
            let known = self.open_record(draft, *user)?;
            Ok(std::mem::replace(&mut known.record.registered, true))
        };
        users.iter().map(import).collect()
    }

    /// Answers one letter, as if the batch will be written. What only reads, reads what is durable.
    fn answer(&self, now: Timestamp, letter: ToRegistry, draft: &mut Draft) -> Answer {
        match letter {
            ToRegistry::Load(shard, key, user) => Answer::Shard(
                shard,
                ToShard::Loaded(key, self.noted(now, &[user], self.load(now, &user))),
            ),
            ToRegistry::Commit(shard, key, commit) => {
                let user = commit.user;
                let drafted = self.draft_commit(draft, now, *commit);
                Answer::Shard(shard, ToShard::Committed(key, self.noted(now, &[user], drafted)))
            }
            ToRegistry::Accounts(request, AccountsAsk::Import, users) => {
                let existed = self.noted(now, &users, self.draft_import(draft, &users));
                Answer::Front(ToFront::Accounts(request, existed))
            }
            ToRegistry::Accounts(request, AccountsAsk::Check, users) => {
                let exist = users.iter().map(|user| Ok(self.account(user)?.is_some()));
                let exist = self.noted(now, &users, exist.collect());
                Answer::Front(ToFront::Accounts(request, exist))
            }
            ToRegistry::Complete(request, mut users) => {
                users.resolve(|user| self.standing(now, user));
                Answer::Front(ToFront::Statuses(request, users))
            }
        }
    }

    fn load(&self, now: Timestamp, user: &UserId) -> Result<Option<Box<UserRecord>>, ReadError> {
        let known = self.reading.with(|files| files.user(user))?;
        Ok(known.map(|mut known| {
            forget_old_ends(&mut known.record, now);
            Box::new(known.record)
        }))
    }

    /// The record of a registered user.
    fn account(&self, user: &UserId) -> Result<Option<UserRecord>, ReadError> {
        let known = self.reading.with(|files| files.user(user))?;
        Ok(known.map(|known| known.record).filter(|record| record.registered))
    }

    /// What is on record of a user that its shard does not hold.
    fn standing(&self, now: Timestamp, user: &UserId) -> Standing {
        match self.noted(now, &[*user], self.account(user)) {
            Ok(None) => Standing::UnknownAccount,
            Ok(Some(record)) => Standing::of_record(&record),
            Err(RegistryError) => Standing::Unavailable,
        }
    }

    /// Writes a batch, and makes it durable as the rules say.
    fn write(&mut self, draft: &Draft) -> Result<(), WriteError> {
        let mode = match self.rules.durability {
            Durability::Commit => PersistMode::SyncData,
            Durability::Relaxed => PersistMode::Buffer,
        };
        let written = self.reading.with(|files| {
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
    fn finish(&mut self, now: Timestamp, draft: Draft) -> bool {
        if draft.users.is_empty() {
            return true;
        }
        let end = Position(self.last.0 + draft.changes.len() as u64);
        match self.write(&draft) {
            Ok(()) => {
                if let Some(place) = last_owing(self.last, &draft.changes) {
                    self.reading.owes(place);
                }
                self.last = end;
                draft
                    .users
                    .values()
                    .for_each(|known| self.vitals.note_time(known.record.changed_at));
                self.vitals.wrote(draft.commits);
                self.vitals.recover();
                match self.rules.durability {
                    Durability::Commit => self.reading.publish(end),
                    Durability::Relaxed => self.unsynced = true,
                }
                true
            }
            Err(error) => {
                self.note_write(now, &error);
                self.unsure = Some(Unsure {
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

impl Store for Embedded {
    fn work_off(&mut self, now: Timestamp, batch: &mut Vec<ToRegistry>, answers: &mut Vec<Answer>) {
        let writable = self.recover(now);
        let mut draft = Draft::default();
        let mut writers = Vec::new();
        for letter in batch.drain(..) {
            let writes = is_write(&letter);
            answers.push(if writes && !writable {
                refusal(letter)
            } else {
                self.answer(now, letter, &mut draft)
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
        self.vitals.set_memory(self.reading.memory_bytes());
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
        self.vitals.tell_if_well(Timestamp(now.0 + WELL_AFTER_MS));
    }

    fn rest(&mut self, now: Timestamp) {
        if self.reading.failed.swap(false, Ordering::AcqRel) {
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
        self.vitals.tell_if_well(now);
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
fn last_owing(after: Position, changes: &[Link]) -> Option<Position> {
    let place = changes
        .iter()
        .rposition(|link| link.recorded.previous.is_some())?;
    Some(Position(after.0 + 1 + place as u64))
}

fn is_write(letter: &ToRegistry) -> bool {
    match letter {
        ToRegistry::Commit(..) | ToRegistry::Accounts(_, AccountsAsk::Import, _) => true,
        ToRegistry::Load(..) | ToRegistry::Complete(..) | ToRegistry::Accounts(_, AccountsAsk::Check, _) => {
            false
        }
    }
}

/// The batch was not written: what it promised is taken back.
fn refuse(answer: &mut Answer) {
    match answer {
        Answer::Shard(_, ToShard::Committed(_, outcome)) => *outcome = Err(RegistryError),
        Answer::Front(ToFront::Accounts(_, outcome)) => *outcome = Err(RegistryError),
        Answer::Shard(..) | Answer::Front(_) => unreachable!("only what writes is refused"),
    }
}
