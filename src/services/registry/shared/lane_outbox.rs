//! The callback service's side of a lane in the shared store. Decides nothing about callbacks.

use std::sync::atomic::Ordering;

use crate::base::ids::UserId;
use crate::base::time::{Timestamp, millis};
use crate::services::registry::archive::{Placed, Position, ReadError};
use crate::services::registry::codec::{ChainedChange, Damage};
use crate::services::registry::outbox::{
    Dead, LATE_WAIT_MAX, LOOKED_AT_PER_DUE, Late, LateUser, Outbox, OutboxStep, first_due,
};
use crate::services::registry::outbox_codec;
use crate::services::registry::shared::lane::{LaneOutbox, SharedLane};
use crate::services::shared_store::calls::SharedStore;
use crate::services::shared_store::outbox::{KeptStep, LateMember};

/// Late callbacks of one look for the oldest whose change is there.
const LOOKED_AT_ONCE: usize = 64;

impl<S: SharedStore + Send> Outbox for SharedLane<S> {
    fn cursor(&self) -> Result<Position, ReadError> {
        Ok(self.outbox().cursor)
    }

    fn due(&self, after: Position, count_max: usize) -> Result<(Vec<Placed>, Position), ReadError> {
        let last = self.confirmed();
        if after >= last || count_max == 0 {
            return Ok((Vec::new(), after));
        }
        match self.stretch(after, count_max * LOOKED_AT_PER_DUE) {
            Ok(changes) => Ok(first_due(changes, after, count_max)),
            // Whoever waits for them cannot be helped. Everyone behind them can.
            Err(ReadError::Pruned(pruned)) => Ok((Vec::new(), pruned.min(last))),
            Err(error) => Err(error),
        }
    }

    fn take(&self, steps: &[OutboxStep]) -> Result<(), ReadError> {
        let mut outbox = self.outbox();
        let fence = self.fence();
        let kept = steps.iter().map(kept_step).collect();
        let mut store = self.source().store.lock().expect("a call does not panic");
        let counts = outbox.line.take(&mut *store, &fence, kept);
        drop(store);
        self.count(counts.map_err(|fault| ReadError::Store(fault.to_string()))?);
        steps.iter().for_each(|step| outbox.note(step));
        Ok(())
    }

    fn late_user(&self, user: &UserId) -> Result<Option<LateUser>, ReadError> {
        let turn = self
            .read(|store| store.turn(self.source().partition, user))?
            .value;
        let decoded = turn.map(|record| outbox_codec::decode_turn(user, &record));
        Ok(decoded.transpose()?)
    }

    fn late_users(&self, now: Timestamp, count_max: usize) -> Result<Vec<LateUser>, ReadError> {
        let mut outbox = self.outbox();
        let far = now.0.saturating_add(millis(LATE_WAIT_MAX) + 1);
        if outbox
            .turns
            .is_none_or(|(first, last)| first > now.0 && last < far)
        {
            return Ok(Vec::new());
        }
        let (partition, count) = (self.source().partition, count_of(count_max));
        let turns = self
            .read(|store| store.turns(partition, now.0, far, count))?
            .value;
        outbox.turns = turns.span;
        let decode = |(user, record): (UserId, Vec<u8>)| outbox_codec::decode_turn(&user, &record);
        Ok(turns.users.into_iter().map(decode).collect::<Result<_, _>>()?)
    }

    fn late_of(&self, user: &UserId, after: Position, count_max: usize) -> Result<Vec<Late>, ReadError> {
        let (partition, count) = (self.source().partition, count_of(count_max));
        let places = self
            .read(|store| store.late_of(partition, user, after.0, count))?
            .value;
        let changes = self.changes_at(&places)?;
        Ok(places.iter().zip(changes).map(late).collect())
    }

    fn late(&self, after: Position, count_max: usize) -> Result<Vec<(UserId, Late)>, ReadError> {
        let (partition, count) = (self.source().partition, count_of(count_max));
        let members = self.read(|store| store.late(partition, after.0, count))?.value;
        let places: Vec<u64> = members.iter().map(|member| member.place).collect();
        let changes = self.changes_at(&places)?;
        let lates = places.iter().zip(changes).map(late);
        Ok(members.iter().map(|member| member.user).zip(lates).collect())
    }

    fn oldest_late(&self) -> Result<Option<Timestamp>, ReadError> {
        let mut after = Position(0);
        while self.late_count() > 0 {
            let page = self.late(after, LOOKED_AT_ONCE)?;
            // One whose change is gone is dealt with in its turn.
            let oldest = page.iter().find_map(|(_, late)| match late {
                Late::There(placed) => Some(placed.recorded.change.at),
                Late::Lost(_) => None,
            });
            match page.last() {
                Some((_, last)) if oldest.is_none() => after = last.place(),
                _ => return Ok(oldest),
            }
        }
        Ok(None)
    }

    fn late_count(&self) -> u64 {
        self.late_count.load(Ordering::Acquire)
    }

    fn dead(&self, after: Position, count_max: usize) -> Result<Vec<Dead>, ReadError> {
        let (partition, count) = (self.source().partition, count_of(count_max));
        let dead = self.read(|store| store.dead(partition, after.0, count))?.value;
        let decode = |(place, record): (u64, Vec<u8>)| {
            let record = record
                .strip_prefix(&place.to_be_bytes())
                .ok_or(Damage("dead letter"))?;
            outbox_codec::decode_dead(Position(place), record)
        };
        Ok(dead.into_iter().map(decode).collect::<Result<_, _>>()?)
    }

    fn dead_count(&self) -> u64 {
        self.dead_count.load(Ordering::Acquire)
    }
}

impl LaneOutbox {
    /// A step was taken.
    fn note(&mut self, step: &OutboxStep) {
        match step {
            OutboxStep::Cursor(place) => self.cursor = *place,
            OutboxStep::Schedule(late) => {
                let at = late.next_at.0;
                let (first, last) = self.turns.unwrap_or((at, at));
                self.turns = Some((first.min(at), last.max(at)));
            }
            OutboxStep::Late(..) | OutboxStep::LateDone(..) | OutboxStep::Unschedule(_) => {}
            OutboxStep::Bury(_) | OutboxStep::Unbury(_) => {}
        }
    }
}

fn kept_step(step: &OutboxStep) -> KeptStep {
    let member = |user: &UserId, place: &Position| LateMember {
        place: place.0,
        user: *user,
    };
    match step {
        OutboxStep::Cursor(place) => KeptStep::Cursor(place.0),
        OutboxStep::Late(user, place) => KeptStep::Late(member(user, place)),
        OutboxStep::LateDone(user, place) => KeptStep::Done(member(user, place)),
        OutboxStep::Schedule(late) => {
            KeptStep::Schedule(late.user, late.next_at.0, outbox_codec::encode_turn(late))
        }
        OutboxStep::Unschedule(user) => KeptStep::Unschedule(*user),
        OutboxStep::Bury(dead) => {
            let place = dead.placed.position.0;
            // Members of a sorted set are told apart by their bytes.
            let record = [&place.to_be_bytes()[..], &outbox_codec::encode_dead(dead)].concat();
            KeptStep::Bury(place, record)
        }
        OutboxStep::Unbury(place) => KeptStep::Unbury(place.0),
    }
}

/// A late callback at a place, whose change is there or gone.
fn late((place, link): (&u64, Option<ChainedChange>)) -> Late {
    let place = Position(*place);
    link.map_or(Late::Lost(place), |link| Late::There(link.placed(place)))
}

fn count_of(count_max: usize) -> u32 {
    u32::try_from(count_max).unwrap_or(u32::MAX)
}
