//! Dead letters that are to be sent again: one user's one after the other, the oldest first. Does no I/O.

use std::collections::BTreeSet;

use crate::base::ids::UserId;
use crate::services::registry::archive::Position;

/// What is to be sent again, and has not left yet. It takes about 70 bytes each.
#[derive(Debug, Default)]
pub(super) struct Replays(BTreeSet<(UserId, Position)>);

impl Replays {
    /// This one of this user is to be sent again. Asking twice is asking once.
    pub(super) fn ask(&mut self, user: UserId, place: Position) {
        self.0.insert((user, place));
    }

    /// The oldest one of the first user of whom nothing is under way.
    pub(super) fn next(&self, is_under_way: impl Fn(&UserId) -> bool) -> Option<(UserId, Position)> {
        let mut oldest = *self.0.first()?;
        while is_under_way(&oldest.0) {
            let last = (oldest.0, Position(u64::MAX));
            oldest = *self.0.range(last..).next()?;
        }
        Some(oldest)
    }

    /// It has left, or is not there any more.
    pub(super) fn remove(&mut self, dead_letter: &(UserId, Position)) {
        self.0.remove(dead_letter);
    }

    /// One of this user failed. The later ones would overtake it: they stay what they are.
    pub(super) fn cancel(&mut self, user: UserId) {
        let all = (user, Position(0))..=(user, Position(u64::MAX));
        let of_user: Vec<_> = self.0.range(all).copied().collect();
        for dead_letter in of_user {
            self.0.remove(&dead_letter);
        }
    }
}
