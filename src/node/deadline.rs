//! The one deadline of a clean stop. It is taken when the stop begins, and each part of the node gets what is left of it.
//! Waits for nothing itself.

use std::time::Duration;

use crate::base::time::Instant;

/// Who shares the deadline, in the order in which they end. Each keeps some of it for those behind: what it did not end
/// by itself is dropped, and that takes a moment, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StopStage {
    /// Requests and terminals. They are others' to end, so they may well take all that they are given.
    Clients,
    /// Callbacks that are under way, when the registry has recorded the last change.
    Callbacks,
    /// Everything.
    Whole,
}

impl StopStage {
    /// When its time is up, counted from the beginning of a stop that may take this long.
    pub(super) fn of(self, stop_within: Duration) -> Duration {
        match self {
            Self::Clients => stop_within * 3 / 4,
            Self::Callbacks => stop_within * 7 / 8,
            Self::Whole => stop_within,
        }
    }
}

/// When a stop must be over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    began: Instant,
    stop_within: Duration,
}

impl Deadline {
    /// The deadline of a stop that begins now.
    pub(super) fn new(now: Instant, stop_within: Duration) -> Self {
        Self {
            began: now,
            stop_within,
        }
    }

    /// What this stage has left.
    pub(super) fn left(&self, now: Instant, stage: StopStage) -> Duration {
        self.began.after(stage.of(self.stop_within)).since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_gets_what_is_left_and_nothing_of_its_own() {
        let deadline = Deadline::new(Instant(5_000), Duration::from_secs(8));
        let left_at = |after_ms: u64| {
            let now = Instant(5_000 + after_ms);
            [StopStage::Clients, StopStage::Callbacks, StopStage::Whole]
                .map(|stage| deadline.left(now, stage).as_millis())
        };
        for (after_ms, left) in [
            (0, [6_000, 7_000, 8_000]),
            (2_000, [4_000, 5_000, 6_000]),
            (6_500, [0, 500, 1_500]),
            (7_999, [0, 0, 1]),
            (60_000, [0, 0, 0]),
        ] {
            assert_eq!(left_at(after_ms), left, "after {after_ms} ms");
        }
    }
}
