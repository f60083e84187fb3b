//! The gateway crashes and starts again, often with another number of shards: what was with the registry was recorded or
//! not, everything else is gone.

use std::collections::BTreeMap;

use crate::base::ids::{PartitionId, ShardId, UserId};
use crate::logic::delivery::ToShard;
use crate::logic::record::UserRecord;
use crate::sim::checks::{self, Failure, ensure};
use crate::sim::crowd::Crowd;
use crate::sim::watched::ShardEvent;
use crate::sim::wire::TransportCounts;
use crate::sim::world::World;

impl World {
    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        if self.random.u8(..4) == 0 {
            self.check_end()?;
        } else if self.random.bool() {
            self.check_rest()?;
        }
        self.check_transport_counts()?;
        self.counted = TransportCounts::default();
        self.past = self.counts();
        let recorded = self.end_asks()?;
        let shards = self.random.u16(1..=4);
        self.note(|| format!("a crash; {shards} shards from now on; recorded: {recorded:?}"));
        self.post.crash(&mut self.random)?;
        self.terminals.clear();
        self.messages_are_forgotten();
        self.known = vec![BTreeMap::new(); usize::from(shards)];
        self.turned_away = vec![false; usize::from(shards)];
        self.crowds = (0..shards).map(|_| Crowd::default()).collect();
        self.kernel.borrow_mut().crash(self.size.rings(shards));
        let seed = self.random.u64(..);
        let users: Vec<UserId> = self.pools.iter().map(|(user, _)| *user).collect();
        self.shards = self
            .size
            .shards((self.now, seed), &self.kernel, &self.settings, &users);
        self.model.crashed(self.now, shards, &recorded);
        self.restore()?;
        for shard in 0..shards {
            self.tell(ShardId(shard), ToShard::Open(PartitionId::SOLE))?;
        }
        self.model.opened_doors(self.now);
        for (user, record) in &self.registry.records {
            checks::compare_record(*user, Some(record), &self.model)?;
        }
        Ok(())
    }

    /// Nobody will hear the answers. Gives the users whose changes were recorded all the same.
    fn end_asks(&mut self) -> Result<Vec<UserId>, Failure> {
        let mut recorded = Vec::new();
        for ask in std::mem::take(&mut self.registry.asks) {
            if let Some(commit) = ask.commit.filter(|_| self.random.bool()) {
                self.registry.record(&commit, &self.settings)?;
                recorded.push(ask.user);
            }
        }
        Ok(recorded)
    }

    /// Records come in any order, in batches of any size.
    fn restore(&mut self) -> Result<(), Failure> {
        let known = self.registry.records.iter();
        let known = known.filter(|(_, record)| !record.devices.is_empty());
        let mut known: Vec<(UserId, UserRecord)> =
            known.map(|(user, record)| (*user, record.clone())).collect();
        self.random.shuffle(&mut known);
        while !known.is_empty() {
            let count = self.random.usize(1..=known.len());
            let batch: Vec<_> = known.drain(..count).collect();
            for shard in 0..self.shard_count() {
                let here = batch
                    .iter()
                    .filter(|(user, _)| user.home(self.shard_count()).0 == shard);
                let here = here.cloned().collect();
                self.tell(ShardId(shard), ToShard::Adopt(PartitionId::SOLE, here))?;
            }
        }
        Ok(())
    }

    /// A letter that leads to nothing that shows.
    fn tell(&mut self, shard: ShardId, letter: ToShard) -> Result<(), Failure> {
        let steps = self.shard(shard, ShardEvent::Delivered(letter));
        let is_quiet = steps.iter().all(|step| step.effects.is_empty());
        ensure("restart", is_quiet, || format!("at the start: {steps:?}"))
    }
}
