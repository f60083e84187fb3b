//! The shared store on Redis or Valkey: each call as a script or a command, and what its answer means. Decides nothing.

use redis::Value;

use crate::base::ids::{PartitionId, UserId};
use crate::services::shared_store::calls::{
    Batch, Beaten, Claim, Claimed, Founding, IfSeen, LoadedRecords, NodeBeat, NodeEntry, Opaque, OwnerMap,
    PartitionSeen, RecordHash, Scanned, SharedStore, Snapshot,
};
use crate::services::shared_store::decoding::{self, fence, number, text, worded};
use crate::services::shared_store::keys::{PartitionKey, SharedKeys, Tags};
use crate::services::shared_store::outbox::{
    KeptBatches, KeptTurns, LateMember, OutboxCounts, StepGroup, StepsTaken,
};
use crate::services::shared_store::outbox_requests;
use crate::services::shared_store::outcome::{Confirmation, Fence, Outcome, SharedStoreError, Vouched};
use crate::services::shared_store::packing::StoreRequest;
use crate::services::shared_store::requests;
use crate::services::shared_store::rounds::StoreServers;
use crate::services::shared_store::scripts;
use crate::services::shared_store::settings::RedisSettings;

/// A client of the shared store, with connections of its own. A thread that must not wait for another's calls has its own client.
pub struct RedisStore {
    servers: StoreServers,
    tags: Tags,
    shared: SharedKeys,
}

impl RedisStore {
    /// A client for the cluster of this name, with so many partitions. Connects with the first call.
    ///
    /// # Panics
    /// If `partitions` is no power of two up to [`PARTITIONS_MAX`](crate::services::shared_store::keys::PARTITIONS_MAX).
    #[must_use]
    pub fn new(settings: RedisSettings, name: &str, partitions: u16) -> Self {
        Self {
            servers: StoreServers::new(settings),
            tags: Tags::new(partitions),
            shared: SharedKeys::new(name),
        }
    }

    /// The server that is taken for a partition's master. Partitions of one master share their rounds, and their troubles.
    #[must_use]
    pub fn master(&self, partition: PartitionId) -> Option<String> {
        self.servers
            .master(self.tags.slot(partition))
            .map(ToString::to_string)
    }

    /// A vouched call whose answer is read by `read`.
    fn write<T>(
        &mut self,
        request: StoreRequest,
        read: impl FnOnce(&Value) -> Outcome<Option<T>>,
    ) -> Outcome<Vouched<T>> {
        let Vouched { answer, copies } = self.servers.run_one(request, Confirmation::Wanted)?;
        let answer = read(&answer)?.ok_or_else(|| not_understood(&answer))?;
        Ok(Vouched { answer, copies })
    }

    /// Reads what a partition is, and what is read of it by `read`.
    fn snapshot<T>(
        &mut self,
        request: StoreRequest,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Outcome<Snapshot<T>> {
        let answer = self.read_one(request)?;
        let parts = |answer: &Value| {
            let [meta, value] = decoding::list(answer)? else {
                return None;
            };
            Some(Snapshot {
                seen: decoding::seen(meta)?,
                value: read(value)?,
            })
        };
        understood(&answer, parts(&answer))
    }

    fn read_one(&mut self, request: StoreRequest) -> Outcome<Value> {
        Ok(self.servers.run_one(request, Confirmation::Needless)?.answer)
    }

    fn shared_command(&self, name: &'static str, key: &[u8]) -> StoreRequest {
        StoreRequest::command(name, self.shared.slot, key)
    }

    fn command(&self, name: &'static str, partition: PartitionId, kept: PartitionKey) -> StoreRequest {
        StoreRequest::command(name, self.tags.slot(partition), &self.tags.key(partition, kept))
    }
}

/// What a script says whose call was fenced: OK with a number, or why not.
fn fenced(answer: &Value) -> Outcome<Option<u64>> {
    fenced_by(answer, |rest| match rest {
        [last] => number(last),
        _ => None,
    })
}

/// The same, if OK comes with something else.
fn fenced_by<T>(answer: &Value, done: impl FnOnce(&[Value]) -> Option<T>) -> Outcome<Option<T>> {
    let Some((word, rest)) = worded(answer) else {
        return Ok(None);
    };
    match (word.as_str(), rest) {
        ("OK", rest) => Ok(done(rest)),
        ("FENCED", owner) => fence(owner).map_or(Ok(None), |fence| Err(SharedStoreError::Fenced(fence))),
        ("BEHIND", [place]) => number(place).map_or(Ok(None), |place| Err(SharedStoreError::Behind(place))),
        _ => Ok(None),
    }
}

/// What a script says that looks at a node's row: OK with something, or what else is there.
fn if_seen<T>(answer: &Value, done: impl FnOnce(&[Value]) -> Option<T>) -> Option<IfSeen<T>> {
    let (word, rest) = worded(answer)?;
    match (word.as_str(), rest) {
        ("OK", rest) => done(rest).map(IfSeen::Done),
        ("CHANGED", [row]) => other_row(row).map(IfSeen::Changed),
        _ => None,
    }
}

/// A row, or nothing.
fn other_row(row: &Value) -> Option<Option<NodeEntry>> {
    match decoding::bytes(row)? {
        b"" => Some(None),
        row => decoding::node_row(row).map(Some),
    }
}

fn claimed(answer: &Value) -> Option<Claimed> {
    let (word, rest) = worded(answer)?;
    match (word.as_str(), rest) {
        ("OK", places) => decoding::places(places).map(Claimed::Granted),
        ("TAKEN", owner) => fence(owner).map(Claimed::Taken),
        ("FOREIGN", [format]) => text(format).map(Claimed::Foreign),
        _ => None,
    }
}

fn beaten(answer: &Value) -> Option<Beaten> {
    let (word, rest) = worded(answer)?;
    match (word.as_str(), rest) {
        ("OK", [map, nodes]) => Some(Beaten::Alive {
            nodes: decoding::nodes(nodes)?,
            map: number(map)?,
        }),
        ("DEAD", [row]) => other_row(row).map(Beaten::Dead),
        _ => None,
    }
}

fn founding(answer: &Value) -> Option<Founding> {
    let [format, partitions, hash, store] = decoding::list(answer)? else {
        return None;
    };
    Some(Founding {
        format: u32::try_from(number(format)?).ok()?,
        partitions: u16::try_from(number(partitions)?).ok()?,
        hash: u32::try_from(number(hash)?).ok()?,
        store: text(store)?,
    })
}

fn not_understood(answer: &Value) -> SharedStoreError {
    SharedStoreError::Unknown(format!("the answer {answer:?} means nothing to this version"))
}

fn understood<T>(answer: &Value, read: Option<T>) -> Outcome<T> {
    read.ok_or_else(|| not_understood(answer))
}

impl SharedStore for RedisStore {
    fn create(&mut self, wanted: &Founding) -> Outcome<Vouched<Founding>> {
        self.write(requests::create(&self.shared, wanted), |answer| {
            Ok(founding(answer))
        })
    }

    fn founding(&mut self) -> Outcome<Option<Founding>> {
        let mut request = self.shared_command("HMGET", &self.shared.founding);
        for field in ["format", "partitions", "hash", "store"] {
            request.bytes(field.as_bytes());
        }
        let answer = self.read_one(request)?;
        if decoding::list(&answer).is_some_and(|fields| fields.iter().all(|field| *field == Value::Nil)) {
            return Ok(None);
        }
        understood(&answer, founding(&answer).map(Some))
    }

    fn join(&mut self, node: &str, seen: Option<&NodeEntry>, says: &[u8]) -> Outcome<Vouched<IfSeen<u64>>> {
        self.write(requests::join(&self.shared, node, seen, says), |answer| {
            Ok(if_seen(answer, |rest| number(rest.first()?)))
        })
    }

    fn beat(&mut self, beat: &NodeBeat) -> Outcome<Vouched<Beaten>> {
        self.write(requests::beat(&self.shared, beat), |answer| Ok(beaten(answer)))
    }

    fn bury(&mut self, node: &str, seen: &NodeEntry) -> Outcome<Vouched<IfSeen<()>>> {
        self.write(requests::bury(&self.shared, node, seen), |answer| {
            Ok(if_seen(answer, |_| Some(())))
        })
    }

    fn leave(&mut self, node: &str, incarnation: u64) -> Outcome<Vouched<IfSeen<()>>> {
        self.write(requests::leave(&self.shared, node, incarnation), |answer| {
            Ok(if_seen(answer, |_| Some(())))
        })
    }

    fn nodes(&mut self) -> Outcome<Vec<(String, NodeEntry)>> {
        let answer = self.read_one(self.shared_command("HGETALL", &self.shared.nodes))?;
        understood(&answer, decoding::nodes(&answer))
    }

    fn publish(&mut self, partition: PartitionId, fence: &Fence) -> Outcome<Vouched<u64>> {
        let request = requests::publish(&self.shared, partition, fence);
        self.write(request, |answer| Ok(number(answer)))
    }

    fn map(&mut self) -> Outcome<OwnerMap> {
        let answer = self.read_one(self.shared_command("HGETALL", &self.shared.map))?;
        understood(&answer, decoding::owner_map(&answer))
    }

    fn claim(&mut self, claim: &Claim) -> Outcome<Vouched<Claimed>> {
        self.write(requests::claim(&self.tags, claim), |answer| Ok(claimed(answer)))
    }

    fn release(&mut self, partition: PartitionId, fence: &Fence, next: &str) -> Outcome<Vouched<u64>> {
        self.write(requests::release(&self.tags, partition, fence, next), fenced)
    }

    fn look(&mut self, partition: PartitionId) -> Outcome<Vouched<PartitionSeen>> {
        let request = requests::of_partition(&scripts::LOOK, &self.tags, partition, &[PartitionKey::Meta]);
        self.write(request, |answer| Ok(decoding::seen(answer)))
    }

    fn commit(&mut self, round: &[Batch]) -> Vec<Outcome<Vouched<u64>>> {
        let requests = round.iter().map(|batch| requests::commit(&self.tags, batch));
        let requests: Vec<_> = requests.collect();
        let outcomes = self.servers.run(&requests, Confirmation::Wanted).into_iter();
        let read = |outcome: Outcome<Vouched<Value>>| {
            let Vouched { answer, copies } = outcome?;
            let answer = understood(&answer, fenced(&answer)?)?;
            Ok(Vouched { answer, copies })
        };
        outcomes.map(read).collect()
    }

    fn steps(&mut self, group: &StepGroup, copies: Confirmation) -> Outcome<Vouched<StepsTaken>> {
        let request = outbox_requests::steps(&self.tags, group);
        let Vouched { answer, copies } = self.servers.run_one(request, copies)?;
        let read = |rest: &[Value]| outbox_requests::read_taken(rest);
        let answer = understood(&answer, fenced_by(&answer, read)?)?;
        Ok(Vouched { answer, copies })
    }

    fn prune(&mut self, partition: PartitionId, fence: &Fence, keep_from: u64) -> Outcome<Vouched<u64>> {
        self.write(requests::prune(&self.tags, partition, fence, keep_from), fenced)
    }

    fn accept_loss(&mut self, partition: PartitionId, fence: &Fence, last: u64) -> Outcome<Vouched<u64>> {
        self.write(requests::accept(&self.tags, partition, fence, last), fenced)
    }

    fn load(&mut self, wanted: &[(PartitionId, Vec<UserId>)]) -> Vec<Outcome<Vouched<LoadedRecords>>> {
        let requests = wanted.iter();
        let requests = requests.map(|(partition, users)| requests::load(&self.tags, *partition, users));
        let requests: Vec<_> = requests.collect();
        let outcomes = self.servers.run(&requests, Confirmation::Wanted).into_iter();
        let read = |(outcome, (_, users)): (Outcome<Vouched<Value>>, &(PartitionId, Vec<UserId>))| {
            let Vouched { answer, copies } = outcome?;
            let answer = understood(&answer, decoding::loaded(&answer, users.len()))?;
            Ok(Vouched { answer, copies })
        };
        outcomes.zip(wanted).map(read).collect()
    }

    fn scan(&mut self, partition: PartitionId, hash: RecordHash, from: u64, count: u32) -> Outcome<Scanned> {
        let mut request = self.command("HSCAN", partition, hash.into());
        request.number(from);
        request.bytes(b"COUNT");
        request.number(u64::from(count));
        let answer = self.read_one(request)?;
        understood(&answer, decoding::scanned(&answer))
    }

    fn stream(
        &mut self,
        partition: PartitionId,
        after: u64,
        batches_max: u32,
    ) -> Outcome<Snapshot<KeptBatches>> {
        let request = requests::stream(&self.tags, partition, after, batches_max);
        self.snapshot(request, decoding::batches)
    }

    fn batches(&mut self, partition: PartitionId, places: &[u64]) -> Outcome<Snapshot<KeptBatches>> {
        let request = requests::batches(&self.tags, partition, places);
        self.snapshot(request, decoding::batches)
    }

    fn turns(
        &mut self,
        partition: PartitionId,
        due: u64,
        far: u64,
        count: u32,
    ) -> Outcome<Snapshot<KeptTurns>> {
        let request = outbox_requests::turns(&self.tags, partition, due, far, count);
        self.snapshot(request, outbox_requests::read_turns)
    }

    fn turn(&mut self, partition: PartitionId, user: &UserId) -> Outcome<Snapshot<Option<Opaque>>> {
        let request = outbox_requests::turn(&self.tags, partition, user);
        self.snapshot(request, outbox_requests::read_turn)
    }

    fn late(&mut self, partition: PartitionId, after: u64, count: u32) -> Outcome<Snapshot<Vec<LateMember>>> {
        let request = outbox_requests::late(&self.tags, partition, after, count);
        self.snapshot(request, outbox_requests::read_late)
    }

    fn late_of(
        &mut self,
        partition: PartitionId,
        user: &UserId,
        after: u64,
        count: u32,
    ) -> Outcome<Snapshot<Vec<u64>>> {
        let request = outbox_requests::late_of(&self.tags, partition, user, after, count);
        self.snapshot(request, outbox_requests::read_late_of)
    }

    fn dead(
        &mut self,
        partition: PartitionId,
        after: u64,
        count: u32,
    ) -> Outcome<Snapshot<Vec<(u64, Opaque)>>> {
        let request = outbox_requests::dead(&self.tags, partition, after, count);
        self.snapshot(request, outbox_requests::read_dead)
    }

    fn outbox_counts(&mut self, partition: PartitionId) -> Outcome<Snapshot<OutboxCounts>> {
        let request = outbox_requests::counts(&self.tags, partition);
        self.snapshot(request, outbox_requests::read_counts)
    }
}
