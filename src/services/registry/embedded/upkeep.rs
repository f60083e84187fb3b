//! What the store does beside its batches: it comes back from a failed write, makes durable what was answered before it
//! was, and lets go of old changes. What it cannot read is never a reason to refuse what it can write.

use std::sync::atomic::Ordering;

use fjall::PersistMode;
use hashbrown::HashMap;

use crate::base::time::Timestamp;
use crate::services::registry::archive::{self, Position, ReadError};
use crate::services::registry::codec;
use crate::services::registry::embedded::check::TableCheck;
use crate::services::registry::embedded::errors::{Poisoned, WriteError, unread};
use crate::services::registry::embedded::files::{self, Files, PRUNED_KEY, RECOVERED_KEY, key};
use crate::services::registry::embedded::writer::{EmbeddedStore, UnsureBatch};

/// How long the store waits after a failed write before it opens its files again.
pub(super) const REOPEN_AFTER_MS: u64 = 500;

/// How long the registry, once it looked for damage in all tables, does not look again: to read them all may take seconds.
const LOOK_AGAIN_AFTER_MS: u64 = 60_000;

/// Changes that are pruned at once, so that no commit waits for it.
const PRUNED_AT_ONCE: usize = 1_000;

impl EmbeddedStore {
    pub(super) fn fail(&self, now: Timestamp, error: &impl std::fmt::Display) {
        self.health.fail(now, error);
    }

    /// After a failed write: opens the files anew and puts back what was refused. Gives whether writes can be tried.
    pub(super) fn recover(&mut self, now: Timestamp) -> bool {
        let Some(unsure) = &mut self.unsure else {
            return true;
        };
        if now.0 < unsure.failed_at.0 + REOPEN_AFTER_MS {
            return false;
        }
        unsure.failed_at = now;
        let look = self.look(now);
        let unsure = self.unsure.as_ref().expect("it was just seen");
        match self.reader.reopen(look, |files| put_back(files, unsure)) {
            Ok(()) => {
                self.unsure = None;
                self.health.recover();
                true
            }
            Err(error) => {
                self.fail(now, &error);
                false
            }
        }
    }

    /// How the tables are looked at when they are opened now.
    fn look(&mut self, now: Timestamp) -> TableCheck {
        let lately = self
            .looked_at
            .is_some_and(|at| now.0 < at.0 + LOOK_AGAIN_AFTER_MS);
        if lately || !self.reader.damaged.swap(false, Ordering::AcqRel) {
            return TableCheck::AtTheirEnds;
        }
        self.looked_at = Some(now);
        TableCheck::AtAll
    }

    /// When something was read that is not what was written: has the damaged tables found and replaced.
    pub(super) fn look_for_damage(&mut self, now: Timestamp) {
        if self.look(now) == TableCheck::AtTheirEnds {
            return;
        }
        if let Err(error) = self.reader.reopen(TableCheck::AtAll, |_| Ok(())) {
            self.suspect(now, &error);
        }
    }

    /// Makes durable what was answered before it was.
    pub(super) fn sync(&mut self, now: Timestamp) {
        let persisted = self.reader.with(|files| {
            let persisted = files.database.persist(PersistMode::SyncData);
            Ok(persisted.map_err(WriteError::of_database))
        });
        match persisted.map_err(WriteError::of).flatten() {
            Ok(()) => {
                self.unsynced = false;
                self.reader.publish(self.last);
            }
            Err(error) => self.suspect(now, &error),
        }
    }

    /// A write failed that no answer waits for: the files must be opened again all the same.
    pub(super) fn suspect(&mut self, now: Timestamp, error: &WriteError) {
        self.note_write(now, error);
        let (last, before) = (self.last, HashMap::new());
        let nothing = UnsureBatch {
            failed_at: now,
            last,
            end: last,
            before,
        };
        self.unsure.get_or_insert(nothing);
    }

    /// A write failed. If a thread of the database met an error, it may have been damage.
    pub(super) fn note_write(&self, now: Timestamp, error: &WriteError) {
        self.fail(now, error);
        if error.poisoned == Poisoned::Yes {
            self.reader.damaged.store(true, Ordering::Release);
        }
    }

    /// Removes some changes that need not be kept any more. What cannot be read does not keep anyone from writing: it is
    /// told, looked for, and out of the way of the next time.
    pub(super) fn prune(&self, now: Timestamp) -> Result<(), WriteError> {
        match self.old_changes(now) {
            Ok(Some(old)) => self.remove(old),
            Ok(None) => Ok(()),
            Err(error) => {
                self.tell_damage("old changes cannot be removed", &error);
                Ok(())
            }
        }
    }

    /// The oldest changes that need not be kept any more, up to a number of them.
    fn old_changes(&self, now: Timestamp) -> Result<Option<Old>, ReadError> {
        let oldest = Timestamp(now.0.saturating_sub(self.settings.changes_kept_ms));
        // Who else needs them is asked only when some are old: it takes longer to find out.
        let (last, times) = (self.last, (now, oldest));
        if !self.reader.with(|files| begins_before(files, last, times))? {
            return Ok(None);
        }
        let bound = self
            .reader
            .prunable()?
            .min(Position(self.last.0.saturating_sub(1)));
        self.reader.with(|files| {
            let pruned = files.pruned()?;
            let mut old = Old {
                end: pruned,
                places: Vec::new(),
            };
            for guard in files
                .changes
                .range(key(Position(pruned.0 + 1))..=key(bound))
                .take(PRUNED_AT_ONCE)
            {
                let (place, bytes) = guard.into_inner().map_err(unread)?;
                let position = files::position(&place)?;
                // What makes no sense has no age: it goes with those around it.
                if let Ok(link) = codec::decode_change(&bytes) {
                    let dated = (position, link.recorded.change.at);
                    if recorded_by(files, dated, (last, now))? >= oldest {
                        break;
                    }
                }
                old.end = position;
                old.places.push(place.to_vec());
            }
            Ok((old.end > pruned).then_some(old))
        })
    }

    fn remove(&self, old: Old) -> Result<(), WriteError> {
        let written = self.reader.with(|files| {
            let mut batch = files.database.batch();
            // First of all, so that nobody finds a hole that is not noted.
            files.put_number(&mut batch, PRUNED_KEY, old.end.0);
            for place in old.places {
                batch.remove(&files.changes, place);
            }
            Ok(batch.commit().map_err(WriteError::of_database))
        });
        written.map_err(WriteError::of).flatten()
    }
}

/// Changes that go.
struct Old {
    end: Position,
    places: Vec<Vec<u8>>,
}

/// Whether the first change that is kept is older than `oldest`.
fn begins_before(
    files: &Files,
    last: Position,
    (now, oldest): (Timestamp, Timestamp),
) -> Result<bool, ReadError> {
    let mut kept = files.changes.range(key(Position(files.pruned()?.0 + 1))..);
    let Some(first) = kept.next() else {
        return Ok(false);
    };
    let (place, bytes) = first.into_inner().map_err(unread)?;
    let Ok(link) = codec::decode_change(&bytes) else {
        return Ok(true);
    };
    let dated = (files::position(&place)?, link.recorded.change.at);
    Ok(recorded_by(files, dated, (last, now))? < oldest)
}

/// As [`archive::recorded_by`], while the files are in hand.
fn recorded_by(
    files: &Files,
    dated: (Position, Timestamp),
    known: (Position, Timestamp),
) -> Result<Timestamp, ReadError> {
    archive::recorded_by(dated, known, |place| match files.change(place) {
        Err(ReadError::Lost(_)) => Ok(None),
        change => Ok(change?.map(|link| link.recorded.change.at)),
    })
}

/// Undoes what a refused batch may have left. The sync proves that the disk takes writes again: so something is written
/// also when there is nothing to undo.
fn put_back(files: &Files, unsure: &UnsureBatch) -> Result<(), WriteError> {
    let mut batch = files.database.batch();
    for (user, known) in &unsure.before {
        match known {
            Some(known) => batch.insert(&files.users, user.as_str(), codec::encode_user(known)),
            None => batch.remove(&files.users, user.as_str()),
        }
    }
    for place in unsure.last.0 + 1..=unsure.end.0 {
        batch.remove(&files.changes, key(Position(place)));
    }
    files.put_number(&mut batch, RECOVERED_KEY, unsure.failed_at.0);
    batch.commit().map_err(WriteError::of_database)?;
    let synced = files.database.persist(PersistMode::SyncData);
    synced.map_err(WriteError::of_database)
}
