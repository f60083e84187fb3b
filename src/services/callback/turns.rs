//! Whose turn it is where few attempts can be made: the stream's, late users', or replays'. Knows no users and no receiver.

use super::attempt::Origin;

/// Who had an attempt longest ago comes first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turns([Origin; 3]);

impl Turns {
    /// Nobody had one: late callbacks are the oldest.
    pub(super) fn new() -> Self {
        Self([Origin::Late, Origin::Dead, Origin::Stream])
    }

    /// All three, in their order.
    pub(super) fn all(self) -> [Origin; 3] {
        self.0
    }

    /// The same order, but for this one, which comes last.
    pub(super) fn with_last(self, origin: Origin) -> Self {
        let mut turns = self.0;
        turns.sort_by_key(|turn| *turn == origin);
        Self(turns)
    }
}
