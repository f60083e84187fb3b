//! Whose turn it is where few attempts can be made: the stream's, late users', or replays'. Knows no users and no receiver.

use crate::services::callback::attempt::AttemptOrigin;

/// Who had an attempt longest ago comes first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rotation([AttemptOrigin; 3]);

impl Rotation {
    /// Nobody had one: late callbacks are the oldest.
    pub(super) fn new() -> Self {
        Self([AttemptOrigin::Late, AttemptOrigin::Dead, AttemptOrigin::Stream])
    }

    /// All three, in their order.
    pub(super) fn all(self) -> [AttemptOrigin; 3] {
        self.0
    }

    /// The same order, but for this one, which comes last.
    pub(super) fn with_last(self, origin: AttemptOrigin) -> Self {
        let mut rotation = self.0;
        rotation.sort_by_key(|turn| *turn == origin);
        Self(rotation)
    }
}
