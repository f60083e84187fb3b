//! What a member tells the shards. It never waits: for a shard whose inbox is full, notices wait in their order. Decides nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::ids::ShardId;
use crate::logic::delivery::ToShard;

/// The way into all shards. It never blocks: what finds no room comes back. A shard that has ended takes nothing.
pub type ShardInboxes = Arc<dyn Fn(ShardId, ToShard) -> Result<(), ToShard> + Send + Sync>;

/// Notices for all shards.
pub(super) struct ShardNotices {
    inboxes: ShardInboxes,
    waiting: Vec<VecDeque<ToShard>>,
}

impl ShardNotices {
    /// For so many shards.
    pub(super) fn new(inboxes: ShardInboxes, shards: u16) -> Self {
        let waiting = (0..shards).map(|_| VecDeque::new()).collect();
        Self { inboxes, waiting }
    }

    /// Tells all shards.
    pub(super) fn tell(&mut self, notice: &ToShard) {
        for waiting in &mut self.waiting {
            waiting.push_back(notice.clone());
        }
        self.go_on();
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn go_on(&mut self) {
        for (shard, waiting) in (0..).map(ShardId).zip(&mut self.waiting) {
            while let Some(notice) = waiting.pop_front() {
                if let Err(unsent) = (self.inboxes)(shard, notice) {
                    waiting.push_front(unsent);
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::base::ids::PartitionId;

    #[test]
    fn what_finds_no_room_waits_in_its_order_and_holds_up_no_other_shard() {
        let taken = Arc::new(Mutex::new((0, Vec::new())));
        let inbox = Arc::clone(&taken);
        let inboxes: ShardInboxes = Arc::new(move |shard, notice| {
            let (room_at_0, taken) = &mut *inbox.lock().unwrap();
            if shard == ShardId(0) && *room_at_0 == 0 {
                return Err(notice);
            }
            *room_at_0 -= i32::from(shard == ShardId(0));
            taken.push((shard, notice));
            Ok(())
        });
        let mut notices = ShardNotices::new(inboxes, 2);
        let open = |partition| ToShard::Open(PartitionId(partition));
        notices.tell(&open(1));
        notices.tell(&open(2));
        taken.lock().unwrap().0 = 5;
        notices.tell(&open(3));
        let of = |shard| {
            let taken = taken.lock().unwrap();
            let own = taken.1.iter().filter(|(to, _)| *to == ShardId(shard));
            own.map(|(_, notice)| notice.clone()).collect::<Vec<_>>()
        };
        assert_eq!(of(0), [open(1), open(2), open(3)]);
        assert_eq!(of(1), [open(1), open(2), open(3)]);
    }
}
