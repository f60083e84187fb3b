//! How callbacks stand, for metrics: amounts, and the age of the oldest. Changes nothing.

use super::pump::{Pump, Source};
use crate::base::time::Timestamp;

/// When the oldest changes were recorded whose callbacks wait, beside those that are under way.
#[derive(Debug, Default)]
pub(super) struct Ages {
    late: Option<Timestamp>,
    /// What is late is as it was when it was looked at last.
    pub(super) late_is_known: bool,
    /// The first that waits for a receiver.
    pub(super) paused: Option<Timestamp>,
}

impl Pump {
    /// Whether the receiver counts as down.
    #[cfg(test)]
    pub(crate) fn is_receiver_down(&self) -> bool {
        self.dispatch.is_down()
    }

    /// When the oldest change was recorded whose callback was neither taken nor given up.
    fn oldest(&mut self) -> Option<Timestamp> {
        if !self.ages.late_is_known
            && let Ok(late) = self.source.oldest_late()
        {
            self.ages.late = late;
            self.ages.late_is_known = true;
        }
        let oldest = [self.dispatch.oldest(), self.ages.late, self.ages.paused];
        oldest.into_iter().flatten().min()
    }

    /// Says how callbacks stand.
    pub(crate) fn count(&mut self) {
        let behind = behind(&*self.source);
        let (late, dead) = (self.source.late_count(), self.source.dead_count());
        self.numbers
            .stand([self.dispatch.in_flight() as u64, behind, late, dead]);
        self.numbers.set_down(self.dispatch.is_down());
        let oldest = self.oldest();
        self.numbers.set_oldest(oldest);
    }
}

/// Changes that were not looked at for callbacks.
pub(super) fn behind(source: &dyn Source) -> u64 {
    let done = source.cursor().unwrap_or_default();
    source.last().0.saturating_sub(done.0)
}
