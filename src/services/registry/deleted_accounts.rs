//! Which records of deleted accounts are forgotten, and when. Removes none.

use crate::base::time::Timestamp;
use crate::services::registry::archive::Position;
use crate::services::registry::codec::StoredRecord;

/// How long after a pass over all users the next one begins. Ages are counted in days, and a pass reads all records.
pub(super) const PASS_AGAIN_AFTER_MS: u64 = 86_400_000;

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Goes,
    /// It stays, and its age counts from now.
    Ages,
}

/// A user's last change is pruned only after its callback was dealt with, so nobody is owed anything about who goes.
pub(super) fn fate(known: &StoredRecord, (now, kept_ms): (Timestamp, u64), pruned: Position) -> Fate {
    if known.record.registered || !known.record.devices.is_empty() || known.last > pruned {
        return Fate::Stays;
    }
    match deleted_by(known, now) {
        None => Fate::Ages,
        Some(at) if at.0.saturating_add(kept_ms) <= now.0 => Fate::Goes,
        Some(_) => Fate::Stays,
    }
}

/// When the account was deleted, at the latest: the time of its last change or kick, or when a pass first found that these say
/// nothing. A date that lies ahead was given by a wrong clock; none is in records of earlier versions.
fn deleted_by(known: &StoredRecord, now: Timestamp) -> Option<Timestamp> {
    let record = &known.record;
    let kicked_at = Timestamp(record.kicked_at_s.saturating_mul(1_000));
    [known.deleted_by, record.changed_at.max(kicked_at)]
        .into_iter()
        .filter(|at| (Timestamp(1)..=now).contains(at))
        .min()
}
