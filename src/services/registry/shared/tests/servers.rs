//! Servers of a store that fail at random.

use super::model::ModelStore;
use super::*;
use crate::services::shared_store::calls::SharedStore;

/// Servers that fail.
pub(super) struct Servers {
    pub(super) random: fastrand::Rng,
    pub(super) master: ModelStore,
    pub(super) replica: ModelStore,
    /// Was master before, and may still be asked.
    pub(super) former: ModelStore,
    /// The store as it was, oldest first.
    pub(super) past: Vec<ModelStore>,
    /// Requests that may be executed late.
    pub(super) late: Vec<Batch>,
    pub(super) peace: bool,
}

impl Servers {
    pub(super) fn commit(&mut self, batch: &Batch) -> Outcome<Vouched<u64>> {
        let chance = if self.peace { 99 } else { self.random.u8(0..100) };
        match chance {
            0..8 => return not_executed(),
            8..14 => {
                self.late.push(batch.clone());
                return unknown();
            }
            14..20 => {
                // A former master executes it, but no replica has it.
                let outcome = self.former.commit(std::slice::from_ref(batch)).remove(0);
                outcome?;
                return unknown();
            }
            _ => {}
        }
        let Vouched { answer, .. } = self.master.commit(std::slice::from_ref(batch)).remove(0)?;
        match chance {
            20..28 => return unknown(),
            28..36 => return in_one_copy(answer),
            36..42 => self.late.push(batch.clone()),
            _ => {}
        }
        self.replica = self.master.clone();
        self.past.push(self.master.clone());
        recorded(answer)
    }

    /// Something happens by itself.
    pub(super) fn trouble(&mut self) {
        if self.peace {
            return;
        }
        match self.random.u8(0..40) {
            0 => {
                self.former = std::mem::replace(&mut self.master, self.replica.clone());
            }
            1 => {
                // One that lacks what was confirmed.
                let lost = self.random.usize(1..6);
                if let Some(place) = self.past.len().checked_sub(lost) {
                    self.former = std::mem::replace(&mut self.master, self.past[place].clone());
                    self.replica = self.master.clone();
                    self.past.truncate(place + 1);
                }
            }
            2..6 if !self.late.is_empty() => {
                let place = self.random.usize(0..self.late.len());
                let batch = self.late.swap_remove(place);
                let _ = self.master.commit(&[batch]);
            }
            _ => {}
        }
    }
}
