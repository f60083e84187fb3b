//! Brings what the callback service keeps from one lane to others: late callbacks with when they are tried next, and dead letters.

use std::collections::BTreeMap;

use hashbrown::HashSet;

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::services::registry::archive::{Placed, Position};
use crate::services::registry::moved_lane::MovedLane;
use crate::services::registry::moving::fault::MoveError;
use crate::services::registry::outbox::{Dead, Late, LateUser, Outbox, OutboxStep};

/// What is read at once.
const PAGE: usize = 500;

/// Steps that are taken together.
const STEPS_AT_ONCE: usize = 200;

/// Hands over all late callbacks in their order. One whose change is lost by damage is left out: nobody can be told of it.
pub(super) fn every_late(
    lane: &dyn MovedLane,
    take: &mut dyn FnMut(UserId, Position) -> Result<(), MoveError>,
) -> Result<(), MoveError> {
    let mut after = Position(0);
    loop {
        let page = lane.late(after, PAGE)?;
        let Some((_, last)) = page.last() else {
            return Ok(());
        };
        after = last.place();
        for (user, late) in &page {
            if let Late::There(placed) = late {
                take(*user, placed.position)?;
            }
        }
    }
}

/// Hands over all dead letters in their order.
pub(super) fn every_dead(
    lane: &dyn MovedLane,
    take: &mut dyn FnMut(Dead) -> Result<(), MoveError>,
) -> Result<(), MoveError> {
    let mut after = Position(0);
    loop {
        let page = lane.dead(after, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = last.placed.position;
        page.into_iter().try_for_each(&mut *take)?;
    }
}

/// Steps for some lanes, which are known by their numbers.
pub(super) struct StepQueue<'a> {
    lanes: Vec<&'a dyn Outbox>,
    steps: BTreeMap<usize, Vec<OutboxStep>>,
    scheduled: HashSet<UserId>,
}

impl<'a> StepQueue<'a> {
    pub(super) fn to(lanes: Vec<&'a dyn Outbox>) -> Self {
        Self {
            lanes,
            steps: BTreeMap::new(),
            scheduled: HashSet::new(),
        }
    }

    pub(super) fn push(&mut self, lane: usize, step: OutboxStep) -> Result<(), MoveError> {
        let steps = self.steps.entry(lane).or_default();
        steps.push(step);
        if steps.len() >= STEPS_AT_ONCE {
            self.lanes[lane].take(&std::mem::take(steps))?;
        }
        Ok(())
    }

    /// A callback is late, whose place is now this one. Its user is tried next as `from` has it, or at once.
    pub(super) fn push_late(
        &mut self,
        (lane, place): (usize, Position),
        user: UserId,
        from: &dyn Outbox,
    ) -> Result<(), MoveError> {
        self.push(lane, OutboxStep::Late(user, place))?;
        if !self.scheduled.insert(user) {
            return Ok(());
        }
        let known = from.late_user(&user)?;
        let (attempts, next_at) = known.map_or((0, Timestamp(0)), |known| (known.attempts, known.next_at));
        let late = LateUser {
            user,
            attempts,
            next_at,
            after: Position(0),
        };
        self.push(lane, OutboxStep::Schedule(late))
    }

    /// A dead letter, which has this place now.
    pub(super) fn push_dead(
        &mut self,
        (lane, place): (usize, Position),
        dead: Dead,
    ) -> Result<(), MoveError> {
        let placed = Placed {
            position: place,
            ..dead.placed
        };
        self.push(lane, OutboxStep::Bury(Dead { placed, ..dead }))
    }

    /// Takes what is left.
    pub(super) fn finish(self) -> Result<(), MoveError> {
        for (lane, steps) in self.steps {
            if !steps.is_empty() {
                self.lanes[lane].take(&steps)?;
            }
        }
        Ok(())
    }
}
