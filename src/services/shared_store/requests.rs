//! Calls as requests: which script, with which keys and arguments. The scripts say what they take. Knows nothing of answers.

use crate::base::ids::{PartitionId, UserId};
use crate::services::shared_store::calls::{
    BATCH_CHANGES_MAX, Batch, Claim, Founding, LOAD_USERS_MAX, NodeBeat, NodeEntry, PLACES_MAX, RecordHash,
};
use crate::services::shared_store::decoding::state_word;
use crate::services::shared_store::keys::{PartitionKey, SharedKeys, Tags};
use crate::services::shared_store::outcome::Fence;
use crate::services::shared_store::packing::StoreRequest;
use crate::services::shared_store::scripts::{self, ServerScript};

impl From<RecordHash> for PartitionKey {
    fn from(hash: RecordHash) -> Self {
        match hash {
            RecordHash::Residents => Self::Residents,
            RecordHash::Others => Self::Others,
        }
    }
}

/// A script on some of what is kept of a partition.
pub(crate) fn of_partition(
    script: &'static ServerScript,
    tags: &Tags,
    partition: PartitionId,
    kept: &[PartitionKey],
) -> StoreRequest {
    let keys: Vec<Vec<u8>> = kept.iter().map(|kept| tags.key(partition, *kept)).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    StoreRequest::script(script, tags.slot(partition), &keys)
}

/// The same, on behalf of who owns the partition.
pub(crate) fn fenced(
    script: &'static ServerScript,
    tags: &Tags,
    partition: PartitionId,
    fence: &Fence,
    kept: &[PartitionKey],
) -> StoreRequest {
    let mut request = of_partition(script, tags, partition, kept);
    request.bytes(fence.owner.as_bytes());
    request.number(fence.epoch);
    request
}

pub(crate) fn commit(tags: &Tags, batch: &Batch) -> StoreRequest {
    assert!(
        batch.count <= BATCH_CHANGES_MAX,
        "readers of the stream count on it"
    );
    let kept = [
        PartitionKey::Meta,
        PartitionKey::Residents,
        PartitionKey::Others,
        PartitionKey::Stream,
    ];
    let mut request = fenced(&scripts::COMMIT, tags, batch.partition, &batch.fence, &kept);
    request.number(batch.first);
    request.number(u64::from(batch.count));
    request.number(batch.durable);
    request.number(batch.latest);
    request.bytes(&batch.changes);
    request.number(batch.residents.len() as u64);
    request.number(batch.others.len() as u64);
    for (user, record) in batch.residents.iter().chain(&batch.others) {
        request.bytes(user.as_bytes());
        request.bytes(record);
    }
    batch.gone.iter().for_each(|user| request.bytes(user.as_bytes()));
    request
}

pub(crate) fn claim(tags: &Tags, claim: &Claim) -> StoreRequest {
    let mut request = of_partition(&scripts::CLAIM, tags, claim.partition, &[PartitionKey::Meta]);
    request.bytes(claim.fence.owner.as_bytes());
    request.bytes(claim.seen.owner.as_bytes());
    request.number(claim.seen.epoch);
    request.number(claim.fence.epoch);
    request.bytes(claim.format.as_bytes());
    request
}

pub(crate) fn release(tags: &Tags, partition: PartitionId, fence: &Fence, next: &str) -> StoreRequest {
    let mut request = fenced(&scripts::RELEASE, tags, partition, fence, &[PartitionKey::Meta]);
    request.bytes(next.as_bytes());
    request
}

pub(crate) fn prune(tags: &Tags, partition: PartitionId, fence: &Fence, keep_from: u64) -> StoreRequest {
    let mut request = fenced(
        &scripts::PRUNE,
        tags,
        partition,
        fence,
        &[PartitionKey::Meta, PartitionKey::Stream],
    );
    request.number(keep_from);
    request
}

pub(crate) fn accept(tags: &Tags, partition: PartitionId, fence: &Fence, last: u64) -> StoreRequest {
    let mut request = fenced(&scripts::ACCEPT, tags, partition, fence, &[PartitionKey::Meta]);
    request.number(last);
    request
}

pub(crate) fn load(tags: &Tags, partition: PartitionId, users: &[UserId]) -> StoreRequest {
    assert!(users.len() <= LOAD_USERS_MAX, "a script takes no more");
    let mut request = of_partition(
        &scripts::LOAD,
        tags,
        partition,
        &[PartitionKey::Meta, PartitionKey::Residents, PartitionKey::Others],
    );
    users.iter().for_each(|user| request.bytes(user.as_bytes()));
    request
}

/// Of a stream, what lies behind a place.
pub(crate) fn stream(tags: &Tags, partition: PartitionId, after: u64, batches_max: u32) -> StoreRequest {
    let mut request = of_partition(
        &scripts::STREAM,
        tags,
        partition,
        &[PartitionKey::Meta, PartitionKey::Stream],
    );
    request.number(after.saturating_add(1));
    request.number(u64::from(batches_max));
    request
}

pub(crate) fn batches(tags: &Tags, partition: PartitionId, places: &[u64]) -> StoreRequest {
    assert!(places.len() <= PLACES_MAX, "a script takes no more");
    let mut request = of_partition(
        &scripts::BATCHES,
        tags,
        partition,
        &[PartitionKey::Meta, PartitionKey::Stream],
    );
    places.iter().for_each(|place| request.number(*place));
    request
}

pub(crate) fn create(shared: &SharedKeys, founding: &Founding) -> StoreRequest {
    let mut request = StoreRequest::script(&scripts::CREATE, shared.slot, &[&shared.founding]);
    request.number(u64::from(founding.format));
    request.number(u64::from(founding.partitions));
    request.number(u64::from(founding.hash));
    request.bytes(founding.store.as_bytes());
    request
}

pub(crate) fn join(shared: &SharedKeys, node: &str, seen: Option<&NodeEntry>, says: &[u8]) -> StoreRequest {
    let keys: [&[u8]; 2] = [&shared.nodes, &shared.incarnation];
    let mut request = StoreRequest::script(&scripts::JOIN, shared.slot, &keys);
    request.bytes(node.as_bytes());
    let digits = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    request.bytes(digits(seen.map(|row| row.incarnation)).as_bytes());
    request.bytes(digits(seen.map(|row| row.beat)).as_bytes());
    request.bytes(says);
    request
}

pub(crate) fn beat(shared: &SharedKeys, beat: &NodeBeat) -> StoreRequest {
    let keys: [&[u8]; 2] = [&shared.nodes, &shared.map];
    let mut request = StoreRequest::script(&scripts::BEAT, shared.slot, &keys);
    request.bytes(beat.node.as_bytes());
    request.number(beat.row.incarnation);
    request.number(beat.row.beat);
    request.bytes(state_word(beat.row.state).as_bytes());
    request.bytes(&beat.row.says);
    request
}

pub(crate) fn bury(shared: &SharedKeys, node: &str, seen: &NodeEntry) -> StoreRequest {
    let mut request = StoreRequest::script(&scripts::BURY, shared.slot, &[&shared.nodes]);
    request.bytes(node.as_bytes());
    request.number(seen.incarnation);
    request.number(seen.beat);
    request
}

pub(crate) fn leave(shared: &SharedKeys, node: &str, incarnation: u64) -> StoreRequest {
    let keys: [&[u8]; 2] = [&shared.nodes, &shared.incarnation];
    let mut request = StoreRequest::script(&scripts::LEAVE, shared.slot, &keys);
    request.bytes(node.as_bytes());
    request.number(incarnation);
    request
}

pub(crate) fn publish(shared: &SharedKeys, partition: PartitionId, fence: &Fence) -> StoreRequest {
    let mut request = StoreRequest::script(&scripts::PUBLISH, shared.slot, &[&shared.map]);
    request.number(u64::from(partition.0));
    request.number(fence.epoch);
    request.bytes(fence.owner.as_bytes());
    request
}
