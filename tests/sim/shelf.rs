//! The store as the callback service sees it, in memory: all changes in the order of their commits, and the outbox, of
//! which a crash takes back what was not durable yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::base::ids::{ChangeNumber, UserId};
use crate::base::time::{Timestamp, millis};
use crate::logic::record::{RecordedChange, UserRecord};
use crate::services::registry::archive::{Archive, Placed, Position, ReadError};
use crate::services::registry::outbox::{Dead, LATE_WAIT_MAX, Late, LateUser, Outbox, OutboxStep};

#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// In the order of their places, which begin with 1.
    changes: Vec<Placed>,
    slips: Slips,
    /// What a crash leaves of the slips.
    durable: Slips,
    /// All that was ever given up.
    buried: BTreeMap<Position, Dead>,
    fails: bool,
}

/// What the outbox knows beside the changes.
#[derive(Debug, Clone, Default)]
struct Slips {
    cursor: Position,
    late: BTreeMap<UserId, BTreeSet<Position>>,
    schedule: BTreeMap<UserId, LateUser>,
    dead: BTreeMap<Position, Dead>,
}

impl Shelf {
    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        work(&mut self.0.lock().expect("nobody panics with it"))
    }

    /// Changes were committed, and with them everything that was taken before is durable.
    pub(crate) fn commit(&self, recorded: &[RecordedChange]) {
        self.with(|kept| {
            for recorded in recorded {
                let position = Position(kept.changes.len() as u64 + 1);
                let recorded = recorded.clone();
                kept.changes.push(Placed { position, recorded });
            }
        });
        self.sync();
    }

    pub(crate) fn sync(&self) {
        self.with(|kept| kept.durable = kept.slips.clone());
    }

    pub(crate) fn crash(&self) {
        self.with(|kept| kept.slips = kept.durable.clone());
    }

    /// From now on, can it be written?
    pub(crate) fn set_failing(&self, fails: bool) {
        self.with(|kept| kept.fails = fails);
    }

    pub(crate) fn all(&self) -> Vec<Placed> {
        self.with(|kept| kept.changes.clone())
    }

    /// Dead letters that were there once.
    pub(crate) fn buried(&self) -> BTreeMap<Position, Dead> {
        self.with(|kept| kept.buried.clone())
    }

    /// Whether this callback is yet to be sent, or waits.
    pub(crate) fn owes(&self, placed: &Placed) -> bool {
        self.with(|kept| {
            let late = kept.slips.late.get(&placed.recorded.user);
            placed.position > kept.slips.cursor || late.is_some_and(|late| late.contains(&placed.position))
        })
    }

    /// Whether everything was dealt with.
    pub(crate) fn is_done(&self) -> bool {
        self.with(|kept| kept.slips.cursor.0 == kept.changes.len() as u64 && kept.slips.late.is_empty())
    }
}

impl Slips {
    fn take(&mut self, step: &OutboxStep) {
        match step {
            OutboxStep::Cursor(place) => self.cursor = *place,
            OutboxStep::Late(user, place) => _ = self.late.entry(*user).or_default().insert(*place),
            OutboxStep::Schedule(late) => _ = self.schedule.insert(late.user, late.clone()),
            OutboxStep::LateDone(user, place) => {
                let late = self.late.entry(*user).or_default();
                late.remove(place);
                if late.is_empty() {
                    self.late.remove(user);
                }
            }
            OutboxStep::Unschedule(user) => _ = self.schedule.remove(user),
            OutboxStep::Bury(dead) => _ = self.dead.insert(dead.placed.position, dead.clone()),
            OutboxStep::Unbury(place) => _ = self.dead.remove(place),
        }
    }
}

impl Archive for Shelf {
    fn store_id(&self) -> u64 {
        1
    }

    fn last(&self) -> Position {
        self.with(|kept| Position(kept.changes.len() as u64))
    }

    fn changes(&self, after: Position, count_max: usize) -> Result<Vec<Placed>, ReadError> {
        let behind = |placed: &Placed| placed.position > after;
        Ok(self.with(|kept| {
            kept.changes
                .iter()
                .filter(|placed| behind(placed))
                .take(count_max)
                .cloned()
                .collect()
        }))
    }

    fn changes_of(&self, _: &UserId, _: ChangeNumber, _: usize) -> Result<Vec<Placed>, ReadError> {
        unreachable!("the callback service does not ask for it")
    }

    fn users(&self, _: Option<&UserId>, _: usize) -> Result<Vec<(UserId, UserRecord)>, ReadError> {
        unreachable!("the callback service does not ask for it")
    }

    fn residents(&self, _: &mut dyn FnMut(UserId, UserRecord)) -> Result<(), ReadError> {
        unreachable!("the callback service does not ask for it")
    }
}

impl Outbox for Shelf {
    fn cursor(&self) -> Result<Position, ReadError> {
        Ok(self.with(|kept| kept.slips.cursor))
    }

    fn due(&self, after: Position, count_max: usize) -> Result<(Vec<Placed>, Position), ReadError> {
        let mut due = self.changes(after, count_max)?;
        let looked_at = due.last().map_or(after, |placed| placed.position);
        due.retain(|placed| placed.recorded.previous.is_some());
        Ok((due, looked_at))
    }

    fn take(&self, steps: &[OutboxStep]) -> Result<(), ReadError> {
        self.with(|kept| {
            if kept.fails {
                return Err(ReadError::Store("it fails for a while".to_owned()));
            }
            for step in steps {
                kept.slips.take(step);
                if let OutboxStep::Bury(dead) = step {
                    kept.buried.insert(dead.placed.position, dead.clone());
                }
            }
            Ok(())
        })
    }

    fn late_user(&self, user: &UserId) -> Result<Option<LateUser>, ReadError> {
        Ok(self.with(|kept| kept.slips.schedule.get(user).cloned()))
    }

    fn late_users(&self, now: Timestamp, count_max: usize) -> Result<Vec<LateUser>, ReadError> {
        let mut late: Vec<LateUser> = self.with(|kept| kept.slips.schedule.values().cloned().collect());
        let nobody_waits_till = now.0.saturating_add(millis(LATE_WAIT_MAX));
        late.retain(|late| late.next_at <= now || late.next_at.0 > nobody_waits_till);
        late.sort_by_key(|late| (late.next_at, late.user));
        late.truncate(count_max);
        Ok(late)
    }

    fn late_of(&self, user: &UserId, after: Position, count_max: usize) -> Result<Vec<Late>, ReadError> {
        let there = |kept: &mut Kept| {
            let late = kept.slips.late.get(user).into_iter().flatten();
            let late = late.filter(|place| **place > after).take(count_max);
            late.map(|place| Late::There(kept.changes[place.0 as usize - 1].clone()))
                .collect()
        };
        Ok(self.with(there))
    }

    fn late(&self, after: Position, count_max: usize) -> Result<Vec<(UserId, Late)>, ReadError> {
        let all = |kept: &mut Kept| {
            let late = kept.slips.late.iter();
            let late = late.flat_map(|(user, places)| places.iter().map(|place| (*place, *user)));
            let late: BTreeMap<Position, UserId> = late.filter(|(place, _)| *place > after).collect();
            let late = late.into_iter().take(count_max);
            late.map(|(place, user)| (user, Late::There(kept.changes[place.0 as usize - 1].clone())))
                .collect()
        };
        Ok(self.with(all))
    }

    fn oldest_late(&self) -> Result<Option<Timestamp>, ReadError> {
        let oldest = |kept: &mut Kept| {
            let first = kept.slips.late.values().flatten().min();
            first.map(|place| kept.changes[place.0 as usize - 1].recorded.change.at)
        };
        Ok(self.with(oldest))
    }

    fn late_count(&self) -> u64 {
        self.with(|kept| kept.slips.late.values().map(|late| late.len() as u64).sum())
    }

    fn dead(&self, after: Position, count_max: usize) -> Result<Vec<Dead>, ReadError> {
        let behind = |(place, _): &(&Position, &Dead)| **place > after;
        let dead = |kept: &mut Kept| {
            let dead = kept.slips.dead.iter().filter(behind).take(count_max);
            dead.map(|(_, dead)| dead.clone()).collect()
        };
        Ok(self.with(dead))
    }

    fn dead_count(&self) -> u64 {
        self.with(|kept| kept.slips.dead.len() as u64)
    }
}
