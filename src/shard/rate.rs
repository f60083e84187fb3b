//! How fast new connections are taken. Counts; accepts nothing itself.

use crate::base::time::Instant;

/// The allowance is given anew every second.
const WINDOW_MS: u64 = 1_000;

/// Counts the connections of the present second against a limit.
#[derive(Debug)]
pub(super) struct Rate {
    /// 0: no limit.
    per_second_max: u32,
    window_began: Instant,
    taken: u32,
}

impl Rate {
    pub(super) fn new(per_second_max: u32, now: Instant) -> Self {
        Self {
            per_second_max,
            window_began: now,
            taken: 0,
        }
    }

    /// One more was taken.
    pub(super) fn take(&mut self) {
        self.taken = self.taken.saturating_add(1);
    }

    /// How many more may be taken now.
    pub(super) fn left(&mut self, now: Instant) -> u32 {
        if now >= self.resumes_at() {
            (self.window_began, self.taken) = (now, 0);
        }
        match self.per_second_max {
            0 => u32::MAX,
            most => most.saturating_sub(self.taken),
        }
    }

    /// When the allowance is given anew.
    pub(super) fn resumes_at(&self) -> Instant {
        Instant(self.window_began.0 + WINDOW_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_so_many_a_second() {
        let mut rate = Rate::new(3, Instant(500));
        assert_eq!(rate.left(Instant(600)), 3);
        (0..3).for_each(|_| rate.take());
        assert_eq!(rate.left(Instant(1_499)), 0);
        assert_eq!(rate.resumes_at(), Instant(1_500));
        assert_eq!(rate.left(Instant(1_500)), 3);
    }

    #[test]
    fn zero_is_no_limit() {
        let mut rate = Rate::new(0, Instant(0));
        (0..9).for_each(|_| rate.take());
        assert_eq!(rate.left(Instant(1)), u32::MAX);
    }
}
