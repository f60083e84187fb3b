//! A shared store in memory, told a second time: what each call means, without scripts, servers or copies.

use std::collections::BTreeMap;

use super::base::ids::{PartitionId, UserId};
use super::shared_store::calls::*;
use super::shared_store::outbox::*;
use super::shared_store::outcome::{Confirmation, Fence, Outcome, SharedStoreError, Vouched};

/// What is kept of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelPartition {
    pub owner: String,
    pub epoch: u64,
    pub format: Option<String>,
    pub places: Places,
    pub users: BTreeMap<UserId, (Kind, Opaque)>,
    pub stream: BTreeMap<u64, Opaque>,
    pub schedules: BTreeMap<UserId, (u64, Opaque)>,
    pub late: BTreeMap<LateMember, ()>,
    pub dead: BTreeMap<u64, Opaque>,
}

/// As [`RecordHash`], and in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Resident,
    Other,
}

/// A shared store that fails only as it is told.
#[derive(Debug, Clone, Default)]
pub struct ModelStore {
    pub partitions: BTreeMap<PartitionId, ModelPartition>,
    founding: Option<Founding>,
    incarnation: u64,
    nodes: BTreeMap<String, NodeEntry>,
    map: BTreeMap<PartitionId, Fence>,
    map_version: u64,
    /// Of so many of the next groups of steps nobody is told what became of them.
    pub lost_answers: usize,
}

fn done<T>(answer: T) -> Outcome<Vouched<T>> {
    Ok(Vouched { answer, copies: 0 })
}

impl ModelStore {
    fn of(&mut self, partition: PartitionId) -> &mut ModelPartition {
        self.partitions.entry(partition).or_default()
    }

    fn owned(&mut self, partition: PartitionId, fence: &Fence) -> Outcome<&mut ModelPartition> {
        let kept = self.of(partition);
        if kept.fence() == *fence && kept.format.is_some() {
            Ok(kept)
        } else {
            Err(SharedStoreError::Fenced(kept.fence()))
        }
    }

    fn snapshot<T>(
        &mut self,
        partition: PartitionId,
        read: impl FnOnce(&ModelPartition) -> T,
    ) -> Outcome<Snapshot<T>> {
        let kept = self.of(partition);
        Ok(Snapshot {
            seen: PartitionSeen {
                fence: kept.fence(),
                places: kept.places,
            },
            value: read(kept),
        })
    }

    fn record(&mut self, batch: &Batch) -> Outcome<Vouched<u64>> {
        let kept = self.owned(batch.partition, &batch.fence)?;
        let (seq, last) = (kept.places.seq, batch.first + u64::from(batch.count) - 1);
        match batch.count {
            0 if seq < last => return Err(SharedStoreError::Behind(seq)),
            0 if seq >= batch.first => return done(seq),
            0 => {}
            _ if last <= seq => return done(seq),
            _ if batch.first != seq + 1 => return Err(SharedStoreError::Behind(seq)),
            _ => drop(kept.stream.insert(batch.first, batch.changes.clone())),
        }
        for (users, kind) in [(&batch.residents, Kind::Resident), (&batch.others, Kind::Other)] {
            for (user, record) in users {
                kept.users.insert(*user, (kind, record.clone()));
            }
        }
        batch.gone.iter().for_each(|user| drop(kept.users.remove(user)));
        kept.places.seq = seq.max(last);
        kept.places.durable = batch.durable;
        kept.places.latest = batch.latest;
        done(kept.places.seq)
    }
}

impl ModelPartition {
    pub fn fence(&self) -> Fence {
        Fence {
            owner: self.owner.as_str().into(),
            epoch: self.epoch,
        }
    }

    fn counts(&self) -> OutboxCounts {
        OutboxCounts {
            late: self.late.len() as u64,
            dead: self.dead.len() as u64,
        }
    }

    fn taken(&self) -> StepsTaken {
        StepsTaken {
            number: self.places.steps,
            counts: self.counts(),
        }
    }

    fn step(&mut self, step: &KeptStep) {
        match step {
            KeptStep::Cursor(place) => self.places.cursor = *place,
            KeptStep::Late(late) => drop(self.late.insert(late.clone(), ())),
            KeptStep::Done(late) => drop(self.late.remove(late)),
            KeptStep::Schedule(user, at, record) => {
                self.schedules.insert(*user, (*at, record.clone()));
            }
            KeptStep::Unschedule(user) => drop(self.schedules.remove(user)),
            KeptStep::Bury(place, record) => drop(self.dead.insert(*place, record.clone())),
            KeptStep::Unbury(place) => drop(self.dead.remove(place)),
        }
    }
}

impl SharedStore for ModelStore {
    fn create(&mut self, founding: &Founding) -> Outcome<Vouched<Founding>> {
        done(self.founding.get_or_insert_with(|| founding.clone()).clone())
    }

    fn founding(&mut self) -> Outcome<Option<Founding>> {
        Ok(self.founding.clone())
    }

    fn join(&mut self, node: &str, seen: Option<&NodeEntry>, says: &[u8]) -> Outcome<Vouched<IfSeen<u64>>> {
        let row = self.nodes.get(node);
        let start = |row: &NodeEntry| (row.incarnation, row.beat);
        if row.map(start) != seen.map(start) {
            return done(IfSeen::Changed(row.cloned()));
        }
        self.incarnation += 1;
        let new = NodeEntry {
            incarnation: self.incarnation,
            beat: 0,
            state: NodeState::Up,
            says: says.to_vec(),
        };
        self.nodes.insert(node.to_owned(), new);
        done(IfSeen::Done(self.incarnation))
    }

    fn beat(&mut self, beat: &NodeBeat) -> Outcome<Vouched<Beaten>> {
        let row = self.nodes.get_mut(&*beat.node);
        match row {
            Some(row) if row.incarnation == beat.row.incarnation && row.state != NodeState::Dead => {
                if beat.row.beat > row.beat {
                    *row = beat.row.clone();
                }
                let nodes = self.nodes.iter().map(|(name, row)| (name.clone(), row.clone()));
                done(Beaten::Alive {
                    nodes: nodes.collect(),
                    map: self.map_version,
                })
            }
            other => done(Beaten::Dead(other.cloned())),
        }
    }

    fn bury(&mut self, node: &str, seen: &NodeEntry) -> Outcome<Vouched<IfSeen<()>>> {
        match self.nodes.get_mut(node) {
            Some(row) if (row.incarnation, row.beat) == (seen.incarnation, seen.beat) => {
                row.state = NodeState::Dead;
                done(IfSeen::Done(()))
            }
            other => done(IfSeen::Changed(other.cloned())),
        }
    }

    fn leave(&mut self, node: &str, incarnation: u64) -> Outcome<Vouched<IfSeen<()>>> {
        match self.nodes.get(node) {
            Some(row) if row.incarnation != incarnation => done(IfSeen::Changed(Some(row.clone()))),
            _ => {
                self.nodes.remove(node);
                done(IfSeen::Done(()))
            }
        }
    }

    fn nodes(&mut self) -> Outcome<Vec<(String, NodeEntry)>> {
        Ok(self.nodes.clone().into_iter().collect())
    }

    fn publish(&mut self, partition: PartitionId, fence: &Fence) -> Outcome<Vouched<u64>> {
        if self
            .map
            .get(&partition)
            .is_none_or(|known| known.epoch <= fence.epoch)
        {
            self.map.insert(partition, fence.clone());
            self.map_version += 1;
        }
        done(self.map_version)
    }

    fn map(&mut self) -> Outcome<OwnerMap> {
        Ok(OwnerMap {
            version: self.map_version,
            owners: self.map.clone().into_iter().collect(),
        })
    }

    fn claim(&mut self, claim: &Claim) -> Outcome<Vouched<Claimed>> {
        let kept = self.of(claim.partition);
        if kept.format.as_ref().is_some_and(|format| *format != claim.format) {
            return done(Claimed::Foreign(kept.format.clone().unwrap()));
        }
        let is = kept.fence();
        if is != claim.fence && (is != claim.seen || claim.fence.epoch <= is.epoch) {
            return done(Claimed::Taken(is));
        }
        kept.owner = claim.fence.owner.to_string();
        kept.epoch = claim.fence.epoch;
        kept.format = Some(claim.format.clone());
        done(Claimed::Granted(kept.places))
    }

    fn release(&mut self, partition: PartitionId, fence: &Fence, next: &str) -> Outcome<Vouched<u64>> {
        let kept = self.of(partition);
        if kept.owner == next && kept.epoch == fence.epoch + 1 {
            return done(kept.epoch);
        }
        let kept = self.owned(partition, fence)?;
        kept.owner = next.to_owned();
        kept.epoch += 1;
        done(kept.epoch)
    }

    fn look(&mut self, partition: PartitionId) -> Outcome<Vouched<PartitionSeen>> {
        let kept = self.of(partition);
        done(PartitionSeen {
            fence: kept.fence(),
            places: kept.places,
        })
    }

    fn commit(&mut self, round: &[Batch]) -> Vec<Outcome<Vouched<u64>>> {
        round.iter().map(|batch| self.record(batch)).collect()
    }

    fn steps(&mut self, group: &StepGroup, _: Confirmation) -> Outcome<Vouched<StepsTaken>> {
        let kept = self.owned(group.partition, &group.fence)?;
        let taken = kept.places.steps;
        if taken >= group.number {
            return done(kept.taken());
        }
        if taken + 1 != group.number {
            return Err(SharedStoreError::Behind(taken));
        }
        group.steps.iter().for_each(|step| kept.step(step));
        kept.places.steps = group.number;
        let taken = kept.taken();
        if self.lost_answers > 0 {
            self.lost_answers -= 1;
            return Err(SharedStoreError::Unknown("the answer is lost".to_owned()));
        }
        done(taken)
    }

    fn prune(&mut self, partition: PartitionId, fence: &Fence, keep_from: u64) -> Outcome<Vouched<u64>> {
        let kept = self.owned(partition, fence)?;
        if let Some((first, _)) = kept.stream.range(..=keep_from).next_back() {
            let first = *first;
            kept.stream = kept.stream.split_off(&first);
            kept.places.pruned = kept.places.pruned.max(first - 1);
        }
        done(kept.places.pruned)
    }

    fn accept_loss(&mut self, partition: PartitionId, fence: &Fence, last: u64) -> Outcome<Vouched<u64>> {
        let places = &mut self.owned(partition, fence)?.places;
        if last > places.seq {
            (places.seq, places.durable, places.pruned) = (last, last, last);
        }
        done(places.seq)
    }

    fn load(&mut self, wanted: &[(PartitionId, Vec<UserId>)]) -> Vec<Outcome<Vouched<LoadedRecords>>> {
        let read = |(partition, users): &(PartitionId, Vec<UserId>)| {
            let kept = self.of(*partition);
            let of = |user| {
                let (kind, record) = kept.users.get(user)?;
                Some((kind.hash(), record.clone()))
            };
            done(LoadedRecords {
                fence: kept.fence(),
                seq: kept.places.seq,
                records: users.iter().map(of).collect(),
            })
        };
        wanted.iter().map(read).collect()
    }

    fn scan(&mut self, partition: PartitionId, hash: RecordHash, _: u64, _: u32) -> Outcome<Scanned> {
        let users = self.of(partition).users.iter();
        let users = users.filter(|(_, (kind, _))| kind.hash() == hash);
        Ok(Scanned {
            users: users.map(|(user, (_, record))| (*user, record.clone())).collect(),
            next: None,
        })
    }

    fn stream(
        &mut self,
        partition: PartitionId,
        after: u64,
        batches_max: u32,
    ) -> Outcome<Snapshot<KeptBatches>> {
        self.snapshot(partition, |kept| {
            let from = kept.stream.range(..=after + 1).next_back();
            let from = from.map_or(after + 1, |(first, _)| *first);
            let batches = kept.stream.range(from..).take(batches_max as usize);
            batches
                .map(|(first, changes)| (*first, changes.clone()))
                .collect()
        })
    }

    fn batches(&mut self, partition: PartitionId, places: &[u64]) -> Outcome<Snapshot<KeptBatches>> {
        self.snapshot(partition, |kept| {
            let holding = |place: &u64| kept.stream.range(..=*place).next_back();
            let mut found: KeptBatches = places
                .iter()
                .filter_map(holding)
                .map(|(first, changes)| (*first, changes.clone()))
                .collect();
            found.dedup();
            found
        })
    }

    fn turns(
        &mut self,
        partition: PartitionId,
        due: u64,
        far: u64,
        count: u32,
    ) -> Outcome<Snapshot<KeptTurns>> {
        self.snapshot(partition, |kept| {
            let turns = kept.schedules.iter();
            let mut turns: Vec<_> = turns.map(|(user, (at, record))| (*at, *user, record)).collect();
            turns.sort();
            let times = turns.iter().map(|(at, ..)| *at);
            let is_due = |at: u64| at <= due;
            let near = turns.iter().filter(|(at, ..)| is_due(*at));
            let distant = turns.iter().filter(|(at, ..)| *at >= far);
            KeptTurns {
                span: times.clone().min().zip(times.max()),
                users: near
                    .chain(distant)
                    .take(count as usize)
                    .map(|(_, user, record)| (*user, (*record).clone()))
                    .collect(),
            }
        })
    }

    fn turn(&mut self, partition: PartitionId, user: &UserId) -> Outcome<Snapshot<Option<Opaque>>> {
        self.snapshot(partition, |kept| {
            kept.schedules.get(user).map(|(_, record)| record.clone())
        })
    }

    fn late(&mut self, partition: PartitionId, after: u64, count: u32) -> Outcome<Snapshot<Vec<LateMember>>> {
        self.snapshot(partition, |kept| {
            let behind = kept.late.keys().filter(|late| late.place > after);
            behind.take(count as usize).cloned().collect()
        })
    }

    fn late_of(
        &mut self,
        partition: PartitionId,
        user: &UserId,
        after: u64,
        count: u32,
    ) -> Outcome<Snapshot<Vec<u64>>> {
        self.snapshot(partition, |kept| {
            let behind = kept
                .late
                .keys()
                .filter(|late| late.place > after && late.user == *user);
            behind.take(count as usize).map(|late| late.place).collect()
        })
    }

    fn dead(
        &mut self,
        partition: PartitionId,
        after: u64,
        count: u32,
    ) -> Outcome<Snapshot<Vec<(u64, Opaque)>>> {
        self.snapshot(partition, |kept| {
            let behind = kept.dead.range(after + 1..).take(count as usize);
            behind.map(|(place, record)| (*place, record.clone())).collect()
        })
    }

    fn outbox_counts(&mut self, partition: PartitionId) -> Outcome<Snapshot<OutboxCounts>> {
        self.snapshot(partition, ModelPartition::counts)
    }
}

impl Kind {
    fn hash(self) -> RecordHash {
        match self {
            Self::Resident => RecordHash::Residents,
            Self::Other => RecordHash::Others,
        }
    }
}
