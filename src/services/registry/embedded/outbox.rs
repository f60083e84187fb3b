//! Late and dead callbacks, in the store's keyspace `outbox`. Its keys begin with a letter:
//!
//! | key | value |
//! | --- | --- |
//! | `c` UserID, place | nothing: a late callback |
//! | `p` place | the UserID: the same, in the order of the places. Earlier versions wrote nothing there |
//! | `u` UserID | when the user's are tried next, and how often the oldest was |
//! | `s` time, UserID | nothing: whose turn comes when |
//! | `d` place | a dead letter |
//!
//! UserIDs are padded to their full length, so that no key is the beginning of another.

use std::sync::atomic::Ordering;

use fjall::{OwnedWriteBatch, PersistMode};
use hashbrown::HashMap;

use crate::base::ids::UserId;
use crate::base::time::{Timestamp, millis};
use crate::services::registry::archive::{Archive, Placed, Position, ReadError, ResumeAfter};
use crate::services::registry::codec::ChainedChange;
use crate::services::registry::embedded::errors::{undecodable, unread};
use crate::services::registry::embedded::files::{CURSOR_KEY, Files, key, position};
use crate::services::registry::embedded::keys::{
    dead_key, late_key, place_key, schedule_key, turn_key, unpadded,
};
use crate::services::registry::embedded::late::{late_user, turns_from};
use crate::services::registry::embedded::reader::StoreReader;
use crate::services::registry::outbox::{
    Dead, LATE_WAIT_MAX, LOOKED_AT_PER_DUE, Late, LateUser, Outbox, OutboxStep, first_due,
};
use crate::services::registry::outbox_codec;

/// The change of a late callback. One that is lost by damage is gone like any other.
fn late_change(files: &Files, place: Position) -> Result<Option<ChainedChange>, ReadError> {
    match files.change(place) {
        Err(ReadError::Lost(_)) => Ok(None),
        change => change,
    }
}

/// Whose late callback this is. Only an earlier version did not note it, and only its change says it elsewhere, which is gone.
fn user_of_lost(files: &Files, place: Position) -> Result<UserId, ReadError> {
    let suffix = key(place);
    for guard in files.outbox.prefix(b"c") {
        let late = guard.key().map_err(unread)?;
        if let Some(user) = late[1..].strip_suffix(&suffix[..]) {
            return unpadded(user);
        }
    }
    Err(undecodable(format!("a late callback at {} is nobody's", place.0)))
}

impl StoreReader {
    /// Puts a step into the batch.
    fn put(
        files: &Files,
        batch: &mut OwnedWriteBatch,
        step: &OutboxStep,
        draft: &mut OutboxDraft,
    ) -> Result<(), ReadError> {
        let outbox = &files.outbox;
        match step {
            OutboxStep::Cursor(place) => files.put_number(batch, CURSOR_KEY, place.0),
            OutboxStep::Late(user, place) => {
                batch.insert(outbox, late_key(user, *place), []);
                batch.insert(outbox, place_key(*place), user.as_str());
                let first = draft.first_late.get_or_insert(*place);
                *first = (*first).min(*place);
                draft.set(files, place_key(*place), true)?;
            }
            OutboxStep::Schedule(late) => {
                if let Some(old) = draft.turn_before(files, &late.user, Some(late))? {
                    batch.remove(outbox, schedule_key(old.next_at, &late.user));
                }
                let earliest = draft.scheduled.get_or_insert(late.next_at);
                *earliest = late.next_at.min(*earliest);
                batch.insert(outbox, turn_key(&late.user), outbox_codec::encode_turn(late));
                batch.insert(outbox, schedule_key(late.next_at, &late.user), []);
            }
            OutboxStep::LateDone(user, place) => {
                batch.remove(outbox, late_key(user, *place));
                batch.remove(outbox, place_key(*place));
                draft.set(files, place_key(*place), false)?;
            }
            OutboxStep::Unschedule(user) => {
                if let Some(old) = draft.turn_before(files, user, None)? {
                    batch.remove(outbox, schedule_key(old.next_at, user));
                }
                batch.remove(outbox, turn_key(user));
            }
            OutboxStep::Bury(dead) => {
                let key = dead_key(dead.placed.position);
                batch.insert(outbox, key.clone(), outbox_codec::encode_dead(dead));
                draft.set(files, key, true)?;
            }
            OutboxStep::Unbury(place) => {
                batch.remove(outbox, dead_key(*place));
                draft.set(files, dead_key(*place), false)?;
            }
        }
        Ok(())
    }

    fn count(&self, draft: &OutboxDraft) {
        // A sum that wraps around takes away.
        let [late, dead] = [b'p', b'd'].map(|prefix| draft.grown_by(prefix).cast_unsigned());
        self.late_count.fetch_add(late, Ordering::AcqRel);
        self.dead_count.fetch_add(dead, Ordering::AcqRel);
    }
}

/// What the earlier steps of a batch have set.
#[derive(Default)]
struct OutboxDraft {
    turns: HashMap<UserId, Option<LateUser>>,
    /// Of keys that are counted: whether they were there, and whether they are.
    there: HashMap<Vec<u8>, (bool, bool)>,
    /// The earliest turn that was scheduled.
    scheduled: Option<Timestamp>,
    /// The first place that became late.
    first_late: Option<Position>,
}

impl OutboxDraft {
    fn turn_before(
        &mut self,
        files: &Files,
        user: &UserId,
        now: Option<&LateUser>,
    ) -> Result<Option<LateUser>, ReadError> {
        match self.turns.insert(*user, now.cloned()) {
            Some(earlier) => Ok(earlier),
            None => late_user(files, user),
        }
    }

    /// Repeating a step after a crash is allowed: it counts once.
    fn set(&mut self, files: &Files, key: Vec<u8>, is: bool) -> Result<(), ReadError> {
        let was = files.outbox.contains_key(&key).map_err(unread)?;
        self.there.entry(key).or_insert((was, is)).1 = is;
        Ok(())
    }

    /// By how many keys with this first letter there are more.
    fn grown_by(&self, prefix: u8) -> i64 {
        let changed = self.there.iter().filter(|(key, _)| key[0] == prefix);
        changed
            .map(|(_, (was, is))| i64::from(*is) - i64::from(*was))
            .sum()
    }
}

impl Outbox for StoreReader {
    fn cursor(&self) -> Result<Position, ReadError> {
        self.with(|files| Ok(Position(files.number(CURSOR_KEY)?.unwrap_or(0))))
    }

    fn due(&self, after: Position, count_max: usize) -> Result<(Vec<Placed>, Position), ReadError> {
        let last = self.last();
        if after >= last {
            return Ok((Vec::new(), after));
        }
        if !self.may_owe_behind(after) {
            return Ok((Vec::new(), last));
        }
        self.with(|files| {
            let after = after.max(files.pruned()?);
            if after >= last {
                return Ok((Vec::new(), after));
            }
            match files.changes_behind(after, last, count_max * LOOKED_AT_PER_DUE) {
                Ok(changes) => Ok(first_due(changes, after, count_max)),
                // Whoever waits for them cannot be helped. Everyone behind them can.
                Err(ReadError::Hole(ResumeAfter::Position(behind))) => {
                    self.lost(after, behind);
                    Ok((Vec::new(), behind))
                }
                Err(error) => Err(error),
            }
        })
    }

    fn take(&self, steps: &[OutboxStep]) -> Result<(), ReadError> {
        let _alone = self.taking.lock().expect("nobody panics while taking");
        self.with(|files| {
            let mut batch = files.database.batch().durability(Some(PersistMode::Buffer));
            let mut draft = OutboxDraft::default();
            steps
                .iter()
                .try_for_each(|step| Self::put(files, &mut batch, step, &mut draft))?;
            let committed = batch.commit().map_err(unread);
            committed.inspect_err(|_| self.failed.store(true, Ordering::Release))?;
            self.count(&draft);
            let earliest = draft.scheduled.unwrap_or(Timestamp(u64::MAX));
            self.schedule_from.fetch_min(earliest.0, Ordering::AcqRel);
            let first = draft.first_late.unwrap_or(Position(u64::MAX));
            self.late_from.fetch_min(first.0, Ordering::AcqRel);
            Ok(())
        })
    }

    fn late_user(&self, user: &UserId) -> Result<Option<LateUser>, ReadError> {
        self.with(|files| late_user(files, user))
    }

    fn late_users(&self, now: Timestamp, count_max: usize) -> Result<Vec<LateUser>, ReadError> {
        let from = self.schedule_from.load(Ordering::Acquire);
        self.with(|files| {
            let (mut late, mut first) = (Vec::new(), u64::MAX);
            for turn in turns_from(files, from) {
                let (at, user) = turn?;
                first = first.min(at);
                if at > now.0 || late.len() == count_max {
                    break;
                }
                late.extend(late_user(files, &user)?);
            }
            self.schedule_from.store(first, Ordering::Release);
            let nobody_waits_till = now.0.saturating_add(millis(LATE_WAIT_MAX) + 1);
            let turns = turns_from(files, nobody_waits_till.max(first));
            for turn in turns.take(count_max - late.len()) {
                late.extend(late_user(files, &turn?.1)?);
            }
            Ok(late)
        })
    }

    fn late_of(&self, user: &UserId, after: Position, count_max: usize) -> Result<Vec<Late>, ReadError> {
        let first = late_key(user, Position(after.0 + 1));
        let place_at = first.len() - key(after).len();
        self.with(|files| {
            let range = files.outbox.range(first..=late_key(user, Position(u64::MAX)));
            let late = |guard: fjall::Guard| {
                let place = position(&guard.key().map_err(unread)?[place_at..])?;
                let change = late_change(files, place)?;
                Ok(change.map_or(Late::Lost(place), |link| Late::There(link.placed(place))))
            };
            range.take(count_max).map(late).collect()
        })
    }

    fn late(&self, after: Position, count_max: usize) -> Result<Vec<(UserId, Late)>, ReadError> {
        let from = self
            .late_from
            .load(Ordering::Acquire)
            .max(after.0.saturating_add(1));
        self.with(|files| {
            let range = files
                .outbox
                .range(place_key(Position(from))..=place_key(Position(u64::MAX)));
            let late = |guard: fjall::Guard| {
                let (key, user) = guard.into_inner().map_err(unread)?;
                let place = position(&key[1..])?;
                let change = late_change(files, place)?;
                let user = match (&user[..], &change) {
                    (b"", Some(link)) => link.recorded.user,
                    (b"", None) => user_of_lost(files, place)?,
                    (name, _) => UserId::new(name).map_err(undecodable)?,
                };
                Ok((
                    user,
                    change.map_or(Late::Lost(place), |link| Late::There(link.placed(place))),
                ))
            };
            range.take(count_max).map(late).collect()
        })
    }

    fn oldest_late(&self) -> Result<Option<Timestamp>, ReadError> {
        let from = place_key(Position(self.late_from.load(Ordering::Acquire)));
        self.with(|files| {
            let (mut first, mut oldest) = (u64::MAX, None);
            for guard in files.outbox.range(from..=place_key(Position(u64::MAX))) {
                let place = position(&guard.key().map_err(unread)?[1..])?;
                first = first.min(place.0);
                // One whose change is gone is dealt with in its turn.
                oldest = late_change(files, place)?.map(|link| link.recorded.change.at);
                if oldest.is_some() {
                    break;
                }
            }
            self.late_from.store(first, Ordering::Release);
            Ok(oldest)
        })
    }

    fn late_count(&self) -> u64 {
        self.late_count.load(Ordering::Acquire)
    }

    fn dead(&self, after: Position, count_max: usize) -> Result<Vec<Dead>, ReadError> {
        self.with(|files| {
            let range = files
                .outbox
                .range(dead_key(Position(after.0.saturating_add(1)))..=dead_key(Position(u64::MAX)));
            let dead = |guard: fjall::Guard| {
                let (place, bytes) = guard.into_inner().map_err(unread)?;
                Ok(outbox_codec::decode_dead(position(&place[1..])?, &bytes)?)
            };
            range.take(count_max).map(dead).collect()
        })
    }

    fn dead_count(&self) -> u64 {
        self.dead_count.load(Ordering::Acquire)
    }
}
