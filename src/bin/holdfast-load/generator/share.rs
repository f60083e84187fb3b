//! A worker's share of a workload: what its terminals are to do, and how fast. It says when the next may begin; it begins
//! none.

use super::workload::{Pick, ShareSpec, WorkloadId, WorkloadOutcome};

/// One worker's share of a workload.
pub(super) struct Share {
    pub(super) id: WorkloadId,
    pub(super) spec: ShareSpec,
    pub(super) outcome: WorkloadOutcome,
    pub(super) in_flight: u32,
    /// The next slot to look at.
    pub(super) cursor: u32,
    /// Times that came, used or not.
    issued: u64,
    began_us: u64,
    /// Nothing more begins.
    pub(super) over: bool,
}

impl Share {
    pub(super) fn new(id: WorkloadId, spec: ShareSpec, now_us: u64) -> Self {
        Self {
            id,
            spec,
            outcome: WorkloadOutcome::default(),
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

    /// When to look again, for a share that waits for nothing but time.
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
    use super::super::workload::Op;
    use super::*;

    fn spec(pick: Pick, per_second: Option<f64>) -> ShareSpec {
        ShareSpec {
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
            let mut share = Share::new(1, spec(pick, None), 0);
            assert!(share.may_begin(0));
            share.advance();
            assert_eq!((share.cursor, share.over), (4, false));
            share.advance();
            assert_eq!((share.cursor, share.over), (3, over));
        }
    }

    #[test]
    fn times_are_evenly_spread_and_the_window_holds() {
        let mut share = Share::new(1, spec(Pick::Times, Some(1_000.0)), 500);
        assert!(!share.may_begin(1_499));
        assert!(share.may_begin(1_500));
        share.take_time();
        assert_eq!(share.wakes_at_us(), Some(2_500));
        share.in_flight = 2;
        assert!(!share.may_begin(9_000));
        assert_eq!(share.wakes_at_us(), None);
    }

    #[test]
    fn two_workers_take_turns() {
        let mut spec = spec(Pick::Times, Some(1_000.0));
        spec.first_after = 0.5;
        let mut share = Share::new(1, spec, 500);
        let times = [(); 3].map(|()| {
            let next = share.next_us();
            share.take_time();
            next
        });
        assert_eq!(times, [Some(1_000), Some(2_000), Some(3_000)]);
    }
}
