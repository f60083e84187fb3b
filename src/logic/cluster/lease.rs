//! The lease: until when this node knows, by its own clock, that nobody else owns its partitions. Commits need none, since the
//! store refuses those of a former owner; answers from memory do.

use std::time::Duration;

use crate::base::time::Instant;

/// A node's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Nobody else could own anything: the store has one node.
    Forever,
    /// There was none yet.
    Never,
    /// It holds until then, exclusively.
    Until {
        /// By this node's clock.
        until: Instant,
        /// Since then it has held without a lapse.
        since: Instant,
        /// Counts the stretches of time without a lapse.
        stretch: u32,
    },
}

impl Lease {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(self, now: Instant) -> bool {
        match self {
            Self::Forever => true,
            Self::Never => false,
            Self::Until { until, .. } => now < until,
        }
    }

    /// Whether it has held from `from` until `now`: what was true then is true now, as far as others could have changed it.
    #[must_use]
    pub fn covers(self, from: Instant, now: Instant) -> bool {
        match self {
            Self::Forever => true,
            Self::Never => false,
            Self::Until { until, since, .. } => since <= from && now < until,
        }
    }

    /// The stretch that `now` is in, if the lease holds.
    #[must_use]
    pub fn stretch(self, now: Instant) -> Option<u32> {
        match self {
            Self::Forever => Some(0),
            Self::Never => None,
            Self::Until { until, stretch, .. } => (now < until).then_some(stretch),
        }
    }

    /// A beat that was sent at `sent` has succeeded, as is known at `now`. It holds for `length` from the sending on: whoever waits
    /// for this node's death begins to wait after it.
    #[must_use]
    pub fn renewed(self, sent: Instant, now: Instant, length: Duration) -> Self {
        let renewed = sent.after(length);
        match self {
            Self::Forever => self,
            Self::Never => Self::Until {
                until: renewed,
                since: now,
                stretch: 0,
            },
            Self::Until {
                until,
                since,
                stretch,
            } => {
                let (since, stretch) = if now < until {
                    (since, stretch)
                } else {
                    (now, stretch + 1)
                };
                Self::Until {
                    until: until.max(renewed),
                    since,
                    stretch,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(6);

    #[test]
    fn it_holds_from_the_sending_of_a_beat_on_whenever_the_answer_comes() {
        let lease = Lease::Never.renewed(Instant(1_000), Instant(6_900), LENGTH);
        assert!(lease.holds(Instant(6_999)));
        assert!(!lease.holds(Instant(7_000)));
        assert!(!Lease::Never.holds(Instant(0)));
        assert!(Lease::Forever.holds(Instant(u64::MAX)));
    }

    #[test]
    fn a_lapse_begins_another_stretch() {
        let first = Lease::Never.renewed(Instant(0), Instant(10), LENGTH);
        let second = first.renewed(Instant(1_000), Instant(5_999), LENGTH);
        let third = second.renewed(Instant(2_000), Instant(7_000), LENGTH);
        let stretches = [(first, 10), (second, 6_000), (third, 7_500)];
        let stretches = stretches.map(|(lease, at)| lease.stretch(Instant(at)));
        assert_eq!(stretches, [Some(0), Some(0), Some(1)]);
        assert_eq!(second.stretch(Instant(7_000)), None);
        let covers = |lease: Lease, from, now| lease.covers(Instant(from), Instant(now));
        assert!(covers(second, 10, 6_999) && !covers(second, 9, 6_999) && !covers(second, 10, 7_000));
        assert!(
            covers(third, 7_000, 7_999),
            "what was known before the lapse may have changed in it"
        );
        assert!(!covers(third, 6_999, 7_999));
        assert!(covers(Lease::Forever, 0, 9) && !covers(Lease::Never, 0, 9));
    }
}
