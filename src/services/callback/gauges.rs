//! What the metrics show of callbacks now: amounts, and the age of the oldest. Changes nothing.

use crate::base::time::Timestamp;
use crate::services::callback::pump::Pump;
use crate::services::callback::store::behind;

impl Pump {
    /// When the oldest change was recorded whose callback was neither taken nor given up.
    fn oldest(&mut self) -> Option<Timestamp> {
        if !self.ages.late_is_known
            && let Ok(late) = self.store.oldest_late()
        {
            self.ages.late = late;
            self.ages.late_is_known = true;
        }
        let oldest = [self.dispatch.oldest(), self.ages.late, self.ages.paused];
        oldest.into_iter().flatten().min()
    }

    /// Publishes the amounts of now.
    pub(crate) fn count(&mut self) {
        let behind = behind(&*self.store);
        let (late, dead) = (self.store.late_count(), self.store.dead_count());
        self.metrics
            .set_amounts([self.dispatch.in_flight() as u64, behind, late, dead]);
        self.metrics.set_down(self.dispatch.is_down());
        let oldest = self.oldest();
        self.metrics.set_oldest(oldest);
    }
}
