//! A drive: what some terminals of one ring are to do, and how fast. It says when the next may begin; it begins none.

use super::orders::{DriveId, Outcome, Pick, Spec};

/// One drive's part in a ring.
pub(super) struct Drive {
    pub(super) id: DriveId,
    pub(super) spec: Spec,
    pub(super) outcome: Outcome,
    pub(super) in_flight: u32,
    /// The next slot to look at.
    pub(super) cursor: u32,
    /// Times that came, used or not.
    issued: u64,
    began_us: u64,
    /// Nothing more begins.
    pub(super) over: bool,
}

impl Drive {
    pub(super) fn new(id: DriveId, spec: Spec, now_us: u64) -> Self {
        Self {
            id,
            spec,
            outcome: Outcome::default(),
            in_flight: 0,
            cursor: spec.range.0,
            issued: 0,
            began_us: now_us,
            over: spec.range.0 >= spec.range.1,
        }
    }

    /// Whether one more may begin now.
    pub(super) fn may_begin(&self, now_us: u64) -> bool {
        !self.over && self.in_flight < self.spec.window && self.next_us().is_none_or(|due| due <= now_us)
    }

    /// When the next is due; `None` if it is now, or not a matter of time.
    pub(super) fn next_us(&self) -> Option<u64> {
        let per_second = self.spec.per_second?;
        let after = (self.issued as f64 + self.spec.first_after) * 1_000_000.0 / per_second;
        Some(self.began_us + after as u64)
    }

    /// When to look again, for a drive that waits for nothing but time.
    pub(super) fn wakes_at_us(&self) -> Option<u64> {
        let waits_for_time = !self.over && self.in_flight < self.spec.window;
        self.next_us().filter(|_| waits_for_time)
    }

    /// The time of one has passed.
    pub(super) fn take_time(&mut self) {
        self.issued += 1;
    }

    /// The next slot in turn; after the last one a walk is over and a round begins anew.
    pub(super) fn advance(&mut self) {
        self.cursor += 1;
        if self.cursor >= self.spec.range.1 {
            self.cursor = self.spec.range.0;
            self.over |= self.spec.pick == Pick::Once;
        }
    }

    pub(super) fn length(&self) -> u32 {
        self.spec.range.1 - self.spec.range.0
    }

    pub(super) fn has_ended(&self) -> bool {
        self.over && self.in_flight == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::orders::Op;

    fn spec(pick: Pick, per_second: Option<f64>) -> Spec {
        Spec {
            op: Op::Beat,
            pick,
            range: (3, 5),
            window: 2,
            per_second,
            first_after: 1.0,
        }
    }

    #[test]
    fn a_walk_is_over_after_its_last_slot_and_a_round_is_not() {
        for (pick, over) in [(Pick::Once, true), (Pick::Round, false), (Pick::Times, false)] {
            let mut drive = Drive::new(1, spec(pick, None), 0);
            assert!(drive.may_begin(0));
            drive.advance();
            assert_eq!((drive.cursor, drive.over), (4, false));
            drive.advance();
            assert_eq!((drive.cursor, drive.over), (3, over));
        }
    }

    #[test]
    fn times_are_evenly_spread_and_the_window_holds() {
        let mut drive = Drive::new(1, spec(Pick::Times, Some(1_000.0)), 500);
        assert!(!drive.may_begin(1_499));
        assert!(drive.may_begin(1_500));
        drive.take_time();
        assert_eq!(drive.wakes_at_us(), Some(2_500));
        drive.in_flight = 2;
        assert!(!drive.may_begin(9_000));
        assert_eq!(drive.wakes_at_us(), None);
    }

    #[test]
    fn two_rings_take_turns() {
        let mut spec = spec(Pick::Times, Some(1_000.0));
        spec.first_after = 0.5;
        let mut drive = Drive::new(1, spec, 500);
        let times = [(); 3].map(|()| {
            let next = drive.next_us();
            drive.take_time();
            next
        });
        assert_eq!(times, [Some(1_000), Some(2_000), Some(3_000)]);
    }
}
