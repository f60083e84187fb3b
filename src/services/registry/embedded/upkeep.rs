//! What the store does beside its batches: it comes back from a failed write, makes durable what was answered before it
//! was, and lets go of old changes.

use fjall::PersistMode;
use hashbrown::HashMap;

use super::codec::{self, Known};
use super::store::{self, Files, PRUNED_KEY, key};
use super::{Embedded, Position, ReadError};
use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::services::registry::archive;

/// How long the store waits after a failed write before it opens its files again.
pub(super) const REOPEN_AFTER_MS: u64 = 500;

/// Changes that are pruned at once, so that no commit waits for it.
const PRUNED_AT_ONCE: usize = 1_000;

/// A batch whose fate is unknown.
#[derive(Debug)]
pub(super) struct Unsure {
    pub(super) failed_at: Timestamp,
    /// The last place before it.
    pub(super) last: Position,
    /// The last place of the batch.
    pub(super) end: Position,
    /// What was on record of everyone whom it touched.
    pub(super) before: HashMap<UserId, Option<Known>>,
}

impl Embedded {
    pub(super) fn fail(&self, now: Timestamp, error: &ReadError) {
        if self.vitals.fail(now) {
            tracing::error!(%error, "the registry cannot write; it tries again until it can");
        }
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
        let unsure = &*unsure;
        match self.reading.reopen(|files| put_back(files, unsure)) {
            Ok(()) => {
                self.unsure = None;
                self.vitals.recover();
                tracing::info!("the registry writes again");
                true
            }
            Err(error) => {
                self.fail(now, &error);
                false
            }
        }
    }

    /// Makes durable what was answered before it was.
    pub(super) fn sync(&mut self, now: Timestamp) {
        let persisted = self.reading.with(|files| {
            files
                .database
                .persist(PersistMode::SyncData)
                .map_err(store::unreadable)
        });
        match persisted {
            Ok(()) => {
                self.unsynced = false;
                self.reading.publish(self.last);
            }
            Err(error) => self.suspect(now, &error),
        }
    }

    /// A write failed that no answer waits for: the files must be opened again all the same.
    pub(super) fn suspect(&mut self, now: Timestamp, error: &ReadError) {
        self.fail(now, error);
        let (last, before) = (self.last, HashMap::new());
        let nothing = Unsure {
            failed_at: now,
            last,
            end: last,
            before,
        };
        self.unsure.get_or_insert(nothing);
    }

    /// Removes some changes that need not be kept any more.
    pub(super) fn prune(&self, now: Timestamp) -> Result<(), ReadError> {
        let oldest = Timestamp(now.0.saturating_sub(self.rules.changes_kept_ms));
        // Who else needs them is asked only when some are old: it takes longer to find out.
        let (last, times) = (self.last, (now, oldest));
        if !self.reading.with(|files| begins_before(files, last, times))? {
            return Ok(());
        }
        let bound = self
            .reading
            .prunable()?
            .min(Position(self.last.0.saturating_sub(1)));
        self.reading.with(|files| {
            let pruned = files.pruned()?;
            let mut end = pruned;
            let mut places = Vec::new();
            for guard in files
                .changes
                .range(key(Position(pruned.0 + 1))..=key(bound))
                .take(PRUNED_AT_ONCE)
            {
                let (place, bytes) = guard.into_inner().map_err(store::unreadable)?;
                let at = codec::decode_change(&bytes)?.recorded.change.at;
                let position = store::position(&place)?;
                if recorded_by(files, (position, at), (last, now))? >= oldest {
                    break;
                }
                end = position;
                places.push(place);
            }
            if end == pruned {
                return Ok(());
            }
            let mut batch = files.database.batch();
            // First of all, so that nobody finds a hole that is not noted.
            files.put_number(&mut batch, PRUNED_KEY, end.0);
            for place in places {
                batch.remove(&files.changes, place);
            }
            batch.commit().map_err(store::unreadable)
        })
    }
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
    let (place, bytes) = first.into_inner().map_err(store::unreadable)?;
    let dated = (
        store::position(&place)?,
        codec::decode_change(&bytes)?.recorded.change.at,
    );
    Ok(recorded_by(files, dated, (last, now))? < oldest)
}

/// As [`archive::recorded_by`], while the files are in hand.
fn recorded_by(
    files: &Files,
    dated: (Position, Timestamp),
    known: (Position, Timestamp),
) -> Result<Timestamp, ReadError> {
    let date_of = |place| Ok(files.change(place)?.map(|link| link.recorded.change.at));
    archive::recorded_by(dated, known, date_of)
}

/// Undoes what a refused batch may have left. The sync proves that the disk takes writes again, also when there is nothing
/// to undo.
fn put_back(files: &Files, unsure: &Unsure) -> Result<(), ReadError> {
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
    batch.commit().map_err(store::unreadable)?;
    let synced = files.database.persist(PersistMode::SyncData);
    synced.map_err(store::unreadable)
}
