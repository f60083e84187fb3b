//! What a member and its helpers tell the shards, in one order for each shard. Decides nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::base::ids::ShardId;
use crate::logic::delivery::ToShard;

/// The way into all shards. It never blocks: what finds no room comes back. A shard that has ended takes nothing.
pub type ShardInboxes = Arc<dyn Fn(ShardId, ToShard) -> Result<(), ToShard> + Send + Sync>;

/// Notices for all shards, from several threads. What is told first reaches a shard first, whoever tells it. Never waits: for a
/// shard whose inbox is full, notices wait in their order.
#[derive(Clone)]
pub(super) struct ShardNotices {
    inboxes: ShardInboxes,
    waiting: Arc<[Mutex<VecDeque<ToShard>>]>,
}

impl ShardNotices {
    /// For so many shards.
    pub(super) fn new(inboxes: ShardInboxes, shards: u16) -> Self {
        let waiting = (0..shards).map(|_| Mutex::default()).collect();
        Self { inboxes, waiting }
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> u16 {
        u16::try_from(self.waiting.len()).expect("they are counted in a u16")
    }

    /// Tells all shards.
    pub(super) fn tell(&self, notice: &ToShard) {
        for shard in (0..self.shards()).map(ShardId) {
            let mut waiting = self.queue(shard);
            waiting.push_back(notice.clone());
            self.send_waiting(shard, &mut waiting);
        }
    }

    /// Tells one shard.
    ///
    /// # Errors
    /// The notice, if there is no room for it behind what waits.
    pub(super) fn try_tell(&self, shard: ShardId, notice: ToShard) -> Result<(), ToShard> {
        let mut waiting = self.queue(shard);
        self.send_waiting(shard, &mut waiting);
        if waiting.is_empty() {
            (self.inboxes)(shard, notice)
        } else {
            Err(notice)
        }
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn go_on(&self) {
        for shard in (0..self.shards()).map(ShardId) {
            self.send_waiting(shard, &mut self.queue(shard));
        }
    }

    fn queue(&self, shard: ShardId) -> MutexGuard<'_, VecDeque<ToShard>> {
        let queue = self.waiting[usize::from(shard.0)].lock();
        queue.expect("nobody panics while telling")
    }

    fn send_waiting(&self, shard: ShardId, waiting: &mut VecDeque<ToShard>) {
        while let Some(notice) = waiting.pop_front() {
            if let Err(unsent) = (self.inboxes)(shard, notice) {
                return waiting.push_front(unsent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::base::ids::PartitionId;

    /// How often the first of two shards still refuses a notice; and what both took.
    type TestShards = Arc<Mutex<(usize, Vec<(ShardId, ToShard)>)>>;

    fn two_shards(refusals: usize) -> (ShardNotices, TestShards) {
        let shards: TestShards = Arc::new(Mutex::new((refusals, Vec::new())));
        let inbox = Arc::clone(&shards);
        let inboxes: ShardInboxes = Arc::new(move |shard, notice| {
            let (refusals, taken) = &mut *inbox.lock().unwrap();
            if shard == ShardId(0) && *refusals > 0 {
                *refusals -= 1;
                return Err(notice);
            }
            taken.push((shard, notice));
            Ok(())
        });
        (ShardNotices::new(inboxes, 2), shards)
    }

    fn taken_by(shards: &TestShards, shard: u16) -> Vec<ToShard> {
        let shards = shards.lock().unwrap();
        let own = shards.1.iter().filter(|(to, _)| *to == ShardId(shard));
        own.map(|(_, notice)| notice.clone()).collect()
    }

    fn open(partition: u16) -> ToShard {
        ToShard::Open(PartitionId(partition))
    }

    #[test]
    fn what_finds_no_room_waits_in_its_order_and_holds_up_no_other_shard() {
        let (notices, shards) = two_shards(2);
        notices.tell(&open(1));
        notices.tell(&open(2));
        assert_eq!(taken_by(&shards, 0), []);
        notices.tell(&open(3));
        assert_eq!(taken_by(&shards, 0), [open(1), open(2), open(3)]);
        assert_eq!(taken_by(&shards, 1), [open(1), open(2), open(3)]);
    }

    #[test]
    fn a_notice_for_one_shard_overtakes_nothing_that_waits() {
        let (notices, shards) = two_shards(3);
        notices.tell(&open(1));
        notices.tell(&open(2));
        // The shard has room again right behind its third refusal.
        assert_eq!(notices.try_tell(ShardId(0), open(3)), Err(open(3)));
        assert_eq!(notices.clone().try_tell(ShardId(0), open(3)), Ok(()));
        assert_eq!(taken_by(&shards, 0), [open(1), open(2), open(3)]);
        assert_eq!(notices.try_tell(ShardId(1), open(3)), Ok(()));
        assert_eq!(taken_by(&shards, 1), [open(1), open(2), open(3)]);
    }
}
