//! Deleted accounts: their records are kept for the numbering and the kick second, and forgotten by their age, in small steps
//! over all users. Never touches a user who is registered or has a device, nor one of whom changes are kept.

use std::ops::Bound;

use hashbrown::HashMap;

use crate::base::time::Timestamp;
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::codec::{self, StoredRecord};
use crate::services::registry::deleted_accounts::{Fate, PASS_AGAIN_AFTER_MS, fate};
use crate::services::registry::embedded::errors::{WriteError, unread};
use crate::services::registry::embedded::files::Files;
use crate::services::registry::embedded::writer::{EmbeddedStore, ForgetPass};

/// Records that are looked at in one rest, so that no commit waits for more: about a millisecond.
pub(super) const LOOKED_AT_ONCE: usize = 1_000;

/// What one step found.
#[derive(Debug, Default)]
struct ForgetStep {
    /// The last key that was looked at.
    after: Vec<u8>,
    looked_at: usize,
    forgotten: Vec<Vec<u8>>,
    /// Records that do not tell their age, with the time from which it counts.
    dated: HashMap<Vec<u8>, StoredRecord>,
}

impl EmbeddedStore {
    /// Forgets some accounts that were deleted long ago, if a pass is due. What cannot be read ends the pass, and keeps nobody
    /// from writing.
    pub(super) fn forget(&mut self, now: Timestamp) -> Result<(), WriteError> {
        if now < self.pass.due_at {
            return Ok(());
        }
        match self.next_step(now) {
            Ok(step) => {
                self.take_step(&step)?;
                self.health.forgot(step.forgotten.len() as u64);
                self.pass.after = step.after;
                if step.looked_at < LOOKED_AT_ONCE {
                    self.pass = ForgetPass::after_one(now);
                }
            }
            Err(error) => {
                self.tell_damage("deleted accounts cannot be looked for", &error);
                self.pass = ForgetPass::after_one(now);
            }
        }
        Ok(())
    }

    fn next_step(&self, now: Timestamp) -> Result<ForgetStep, ReadError> {
        let start = match &self.pass.after[..] {
            [] => Bound::Unbounded,
            after => Bound::Excluded(after.to_vec()),
        };
        self.reader.with(|files| {
            let (mut step, pruned) = (ForgetStep::default(), files.pruned()?);
            let users = files.users.range((start, Bound::<Vec<u8>>::Unbounded));
            for guard in users.take(LOOKED_AT_ONCE) {
                let (name, bytes) = guard.into_inner().map_err(unread)?;
                step.looked_at += 1;
                step.after = name.to_vec();
                match newest(files, &name, &bytes) {
                    Ok(known) => step.decide(known, (now, self.settings.deleted_kept_ms), pruned),
                    // What may not be the newest record, or makes no sense, stays as it is.
                    Err(ReadError::Lost(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(step)
        })
    }

    fn take_step(&self, step: &ForgetStep) -> Result<(), WriteError> {
        if step.forgotten.is_empty() && step.dated.is_empty() {
            return Ok(());
        }
        let written = self.reader.with(|files| {
            let mut batch = files.database.batch();
            for name in &step.forgotten {
                batch.remove(&files.users, name.clone());
            }
            for (name, known) in &step.dated {
                batch.insert(&files.users, name.clone(), codec::encode_user(known));
            }
            Ok(batch.commit().map_err(WriteError::of_database))
        });
        written.map_err(WriteError::of).flatten()
    }
}

impl StoredRecord {
    /// Whatever is recorded now has its own date.
    pub(super) fn undated(self) -> Self {
        let deleted_by = Timestamp::default();
        Self { deleted_by, ..self }
    }
}

impl ForgetPass {
    fn after_one(now: Timestamp) -> Self {
        Self {
            after: Vec::new(),
            due_at: Timestamp(now.0.saturating_add(PASS_AGAIN_AFTER_MS)),
        }
    }
}

impl ForgetStep {
    /// Decides on the record that was looked at last.
    fn decide(&mut self, mut known: StoredRecord, (now, kept_ms): (Timestamp, u64), pruned: Position) {
        let name = self.after.clone();
        match fate(&known, (now, kept_ms), pruned) {
            Fate::Stays => {}
            Fate::Goes => self.forgotten.push(name),
            Fate::Ages => {
                known.deleted_by = now;
                self.dated.insert(name, known);
            }
        }
    }
}

fn newest(files: &Files, name: &[u8], bytes: &[u8]) -> Result<StoredRecord, ReadError> {
    files.trust(&files.users, name)?;
    Ok(codec::decode_user(bytes)?)
}
