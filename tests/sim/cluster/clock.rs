//! A node's clock in the world's time: it runs at a rate of its own, which changes. It goes on while its process stands still, so that
//! to the process it jumps.

use super::group::Ms;
use crate::base::time::Instant;

/// A clock is at most so many millionths too fast or too slow.
pub(in crate::sim) const DRIFT_PPM_MAX: i64 = 30_000;

#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct DriftingClock {
    at: Ms,
    reading: u64,
    drift_ppm: i64,
}

impl DriftingClock {
    pub(in crate::sim) fn some(random: &mut fastrand::Rng) -> Self {
        Self {
            at: 0,
            reading: random.u64(1_000_000..1_000_000_000),
            drift_ppm: random.i64(-DRIFT_PPM_MAX..=DRIFT_PPM_MAX),
        }
    }

    pub(in crate::sim) fn read(&self, now: Ms) -> Instant {
        let elapsed = i64::try_from(now - self.at).expect("a run is short");
        let elapsed = elapsed + elapsed * self.drift_ppm / 1_000_000;
        Instant(self.reading + u64::try_from(elapsed).expect("no clock runs backwards"))
    }

    pub(in crate::sim) fn change_rate(&mut self, now: Ms, random: &mut fastrand::Rng) {
        self.reading = self.read(now).0;
        self.at = now;
        self.drift_ppm = random.i64(-DRIFT_PPM_MAX..=DRIFT_PPM_MAX);
    }
}
