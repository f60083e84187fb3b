//! What the callback service counts, for everyone. Decides nothing by it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::time::Timestamp;
use crate::services::callback::attempt::AttemptOutcome;

/// How callbacks go.
#[derive(Debug, Default)]
pub struct CallbackMetrics {
    pub(super) delivered: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) took_us: AtomicU64,
    pub(super) in_flight: AtomicU64,
    pub(super) behind: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) dead: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) down: AtomicU64,
    pub(super) oldest_ms: AtomicU64,
}

impl CallbackMetrics {
    /// Name, meaning and value of each; those named `…_now` are present amounts.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &'static str, u64); 8] {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        [
            (
                "callbacks_delivered",
                "Callbacks that the receiver took.",
                load(&self.delivered),
            ),
            ("callbacks_failed", "Attempts that failed.", load(&self.failed)),
            (
                "callbacks_in_flight_now",
                "Attempts under way.",
                load(&self.in_flight),
            ),
            (
                "callbacks_behind_now",
                "Changes that were not looked at for callbacks.",
                load(&self.behind),
            ),
            (
                "callbacks_late_now",
                "Callbacks that failed, or wait behind one that did.",
                load(&self.late),
            ),
            (
                "callbacks_dead_now",
                "Callbacks that were given up.",
                load(&self.dead),
            ),
            (
                "callbacks_lost",
                "Callbacks that nobody is told, because their change is gone from the store; each is named in the log.",
                load(&self.lost),
            ),
            (
                "callback_receiver_down_now",
                "1 while the receiver counts as down.",
                load(&self.down),
            ),
        ]
    }

    /// How long all attempts took together.
    #[must_use]
    pub fn took(&self) -> Duration {
        Duration::from_micros(self.took_us.load(Ordering::Relaxed))
    }

    /// Of the changes whose callbacks were neither taken nor given up, be they under way, late, or waiting for a receiver,
    /// when the oldest was recorded; `None` if there are none.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        let oldest = self.oldest_ms.load(Ordering::Relaxed);
        (oldest != 0).then_some(Timestamp(oldest))
    }

    pub(super) fn ended(&self, outcome: &AttemptOutcome, took: Duration) {
        let count = match outcome {
            AttemptOutcome::Delivered => &self.delivered,
            AttemptOutcome::Refused(_) | AttemptOutcome::Unreachable(_) => &self.failed,
            AttemptOutcome::Unsent => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.took_us.fetch_add(took_us, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_amounts(&self, values: [u64; 4]) {
        let amounts = [&self.in_flight, &self.behind, &self.late, &self.dead];
        amounts
            .iter()
            .zip(values)
            .for_each(|(amount, value)| amount.store(value, Ordering::Relaxed));
    }

    pub(super) fn set_down(&self, down: bool) {
        self.down.store(u64::from(down), Ordering::Relaxed);
    }

    pub(super) fn set_oldest(&self, at: Option<Timestamp>) {
        self.oldest_ms.store(at.map_or(0, |at| at.0), Ordering::Relaxed);
    }
}
