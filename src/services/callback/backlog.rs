//! What leaves beside the stream: late callbacks of users whose turn it is, and dead letters that are sent again. Decides
//! nothing: [`dispatch`](super::dispatch) says how many may leave, and of whom.

use crate::base::time::Timestamp;
use crate::services::callback::dispatch::due_at_once;
use crate::services::callback::lane::CallbackLane;
use crate::services::callback::outlet::CallbackOutlet;
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::outbox::{Late, LateUser, OutboxStep};

/// Whether something of a late user has left.
enum Left {
    Yes,
    No,
}

/// How long a user waits whose late callbacks cannot be read.
const UNREADABLE_WAIT_MS: u64 = 60_000;

fn try_later(now: Timestamp, user: LateUser) -> OutboxStep {
    OutboxStep::Schedule(LateUser {
        next_at: Timestamp(now.0 + UNREADABLE_WAIT_MS),
        ..user
    })
}

impl CallbackLane {
    pub(super) fn replay(&mut self, outlet: &mut CallbackOutlet, now: Timestamp) -> Result<(), ReadError> {
        while outlet.target.room_aside(now) > 0
            && let Some(dead_letter) = self.replays.next(|user| self.dispatch.is_under_way(user))
        {
            let place = dead_letter.1;
            // One that cannot be read is not asked for again.
            self.replays.remove(&dead_letter);
            let dead = self.store.dead(Position(place.0.saturating_sub(1)), 1)?.pop();
            if let Some(dead) = dead.filter(|dead| dead.placed.position == place) {
                let attempt = self.dispatch.begin_dead(dead, &mut outlet.target);
                outlet.send(self.number, attempt);
            }
        }
        Ok(())
    }

    pub(super) fn work_off_late(
        &mut self,
        outlet: &mut CallbackOutlet,
        now: Timestamp,
    ) -> Result<(), ReadError> {
        let mut room = outlet.target.room_aside(now);
        if room == 0 {
            return Ok(());
        }
        // Those of whom something is under way are in the schedule, too.
        let due = outlet.target.late_due(now);
        let late = self.store.late_users(due, room + outlet.target.in_flight())?;
        let mut worked = Ok(());
        for user in late {
            if room == 0 || !self.steps.is_empty() {
                break;
            }
            if self.dispatch.is_under_way(&user.user) {
                continue;
            }
            match self.begin_late(outlet, now, &user) {
                Ok(Left::Yes) => room -= 1,
                Ok(Left::No) => {}
                Err(error) => {
                    // It comes behind the others, who may be readable.
                    self.steps.push(try_later(now, user));
                    worked = worked.and(Err(error));
                    worked = worked.and(self.keep());
                }
            }
        }
        worked
    }

    fn begin_late(
        &mut self,
        outlet: &mut CallbackOutlet,
        now: Timestamp,
        user: &LateUser,
    ) -> Result<Left, ReadError> {
        match self.store.late_of(&user.user, user.after, 1)?.pop() {
            Some(Late::There(oldest)) => {
                let attempt = self.dispatch.begin_late(user, oldest, &mut outlet.target);
                outlet.send(self.number, attempt);
                return Ok(Left::Yes);
            }
            Some(Late::Lost(place)) => {
                outlet.lose(user.user, place);
                self.steps.push(OutboxStep::LateDone(user.user, place));
                self.steps.push(due_at_once(now, user.user, place));
            }
            None => self.steps.push(OutboxStep::Unschedule(user.user)),
        }
        self.keep()?;
        Ok(Left::No)
    }
}
