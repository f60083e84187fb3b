//! What the metrics show of callbacks now: amounts, and the age of the oldest. Changes nothing.

use crate::base::time::Timestamp;
use crate::services::callback::lane::CallbackLane;
use crate::services::callback::pump::Pump;
use crate::services::callback::store::behind;

impl CallbackLane {
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
}

impl Pump {
    /// Publishes the amounts of now.
    pub(crate) fn count(&mut self) {
        let (mut behind_all, mut late, mut dead) = (0, 0, 0);
        for lane in self.lanes.values() {
            behind_all += behind(&*lane.store);
            late += lane.store.late_count();
            dead += lane.store.dead_count();
        }
        let (metrics, target) = (&self.outlet.metrics, &self.outlet.target);
        metrics.set_amounts([target.in_flight() as u64, behind_all, late, dead]);
        metrics.set_down(target.is_down());
        metrics.set_oldest(self.lanes.values_mut().filter_map(CallbackLane::oldest).min());
    }
}
