//! Whether the receiver takes callbacks, as far as the attempts have shown, and how long one waits after a failure. Knows no
//! users.

use std::time::Duration;

use crate::base::time::{Timestamp, millis};

/// Failures in a row, without a success in between, after which a receiver counts as down.
pub(crate) const FAILURES_MAX: u32 = 32;
/// The first wait of a late user, and of a receiver that is down; doubled with each failure.
const WAIT_MIN: Duration = Duration::from_millis(500);
/// The longest wait between two attempts at a receiver that is down.
const DOWN_WAIT_MAX: Duration = Duration::from_secs(5);

/// Whether the receiver takes callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReceiverState {
    Up { failures: u32 },
    Down { failures: u32, next_at: Timestamp },
}

impl ReceiverState {
    /// What it counts as after one more attempt that failed.
    pub(super) fn failed(self, now: Timestamp, random: &mut fastrand::Rng) -> Self {
        match self {
            Self::Up { failures } if failures + 1 < FAILURES_MAX => Self::Up {
                failures: failures + 1,
            },
            Self::Up { .. } => Self::Down {
                failures: 1,
                next_at: Timestamp(now.0 + millis(WAIT_MIN)),
            },
            Self::Down { failures, .. } => Self::Down {
                failures: failures.saturating_add(1),
                next_at: Timestamp(now.0 + wait_ms(failures, DOWN_WAIT_MAX, random)),
            },
        }
    }
}

/// Doubles with each failure, and is spread so that many do not come back as one.
pub(super) fn wait_ms(failures: u32, longest: Duration, random: &mut fastrand::Rng) -> u64 {
    let doubled = millis(WAIT_MIN) << failures.min(20);
    let wait_ms = doubled.min(millis(longest));
    random.u64(wait_ms / 2..=wait_ms)
}
