//! What the callback service keeps: calls as requests, and what is read as values. The scripts say what they take and give.

use redis::Value;

use crate::base::ids::{PartitionId, UserId};
use crate::base::limits::USER_ID_BYTES_MAX;
use crate::services::shared_store::decoding::{bytes, list, number, pairs, text};
use crate::services::shared_store::keys::{PartitionKey, Tags};
use crate::services::shared_store::outbox::{
    KeptStep, KeptTurns, LateMember, OutboxCounts, StepGroup, StepsTaken,
};
use crate::services::shared_store::packing::StoreRequest;
use crate::services::shared_store::requests::{fenced, of_partition};
use crate::services::shared_store::scripts;
use crate::services::shared_store::seen::Opaque;

/// As both scripts take them.
const KEYS: [PartitionKey; 6] = [
    PartitionKey::Meta,
    PartitionKey::Schedules,
    PartitionKey::Turns,
    PartitionKey::LateByPlace,
    PartitionKey::LateByUser,
    PartitionKey::Dead,
];

pub(crate) fn steps(tags: &Tags, group: &StepGroup) -> StoreRequest {
    let mut request = fenced(&scripts::STEPS, tags, group.partition, &group.fence, &KEYS);
    request.number(group.number);
    group.steps.iter().for_each(|step| add_step(&mut request, step));
    request
}

fn add_step(request: &mut StoreRequest, step: &KeptStep) {
    match step {
        KeptStep::Cursor(place) => {
            request.bytes(b"cursor");
            request.number(*place);
        }
        KeptStep::Late(late) => {
            request.bytes(b"late");
            request.number(late.place);
            request.bytes(&by_place(late));
            request.bytes(&by_user(&late.user, late.place));
        }
        KeptStep::Done(late) => {
            request.bytes(b"done");
            request.bytes(&by_place(late));
            request.bytes(&by_user(&late.user, late.place));
        }
        KeptStep::Schedule(user, at, record) => {
            request.bytes(b"schedule");
            request.bytes(user.as_bytes());
            request.number(*at);
            request.bytes(record);
        }
        KeptStep::Unschedule(user) => {
            request.bytes(b"unschedule");
            request.bytes(user.as_bytes());
        }
        KeptStep::Bury(place, record) => {
            request.bytes(b"bury");
            request.number(*place);
            request.bytes(record);
        }
        KeptStep::Unbury(place) => {
            request.bytes(b"unbury");
            request.number(*place);
        }
    }
}

/// A late callback in the order of places: sorted by its score, and told apart by its place.
fn by_place(late: &LateMember) -> Vec<u8> {
    [&late.place.to_be_bytes()[..], late.user.as_bytes()].concat()
}

/// A late callback in the order of users: all have one score, and members are sorted by their bytes.
fn by_user(user: &UserId, place: u64) -> Vec<u8> {
    let mut member = user.as_bytes().to_vec();
    member.resize(USER_ID_BYTES_MAX, 0);
    member.extend_from_slice(&place.to_be_bytes());
    member
}

/// What is to be read.
fn read(tags: &Tags, partition: PartitionId, what: &str) -> StoreRequest {
    let mut request = of_partition(&scripts::OUTBOX, tags, partition, &KEYS);
    request.bytes(what.as_bytes());
    request
}

pub(crate) fn turns(tags: &Tags, partition: PartitionId, due: u64, far: u64, count: u32) -> StoreRequest {
    let mut request = read(tags, partition, "turns");
    request.number(due);
    request.number(far);
    request.number(u64::from(count));
    request
}

pub(crate) fn turn(tags: &Tags, partition: PartitionId, user: &UserId) -> StoreRequest {
    let mut request = read(tags, partition, "turn");
    request.bytes(user.as_bytes());
    request
}

pub(crate) fn late(tags: &Tags, partition: PartitionId, after: u64, count: u32) -> StoreRequest {
    behind(read(tags, partition, "late"), after, count)
}

pub(crate) fn dead(tags: &Tags, partition: PartitionId, after: u64, count: u32) -> StoreRequest {
    behind(read(tags, partition, "dead"), after, count)
}

fn behind(mut request: StoreRequest, after: u64, count: u32) -> StoreRequest {
    request.number(after);
    request.number(u64::from(count));
    request
}

pub(crate) fn late_of(
    tags: &Tags,
    partition: PartitionId,
    user: &UserId,
    after: u64,
    count: u32,
) -> StoreRequest {
    let mut request = read(tags, partition, "late-of");
    request.bytes(&by_user(user, after.saturating_add(1)));
    request.bytes(&by_user(user, u64::MAX));
    request.number(u64::from(count));
    request
}

pub(crate) fn counts(tags: &Tags, partition: PartitionId) -> StoreRequest {
    read(tags, partition, "counts")
}

/// What became of steps: the number of the last group, and the counts.
pub(crate) fn read_taken(values: &[Value]) -> Option<StepsTaken> {
    let (group, counts) = values.split_first()?;
    Some(StepsTaken {
        number: number(group)?,
        counts: counts_of(counts)?,
    })
}

pub(crate) fn read_counts(value: &Value) -> Option<OutboxCounts> {
    counts_of(list(value)?)
}

fn counts_of(values: &[Value]) -> Option<OutboxCounts> {
    let [late, dead] = values else {
        return None;
    };
    Some(OutboxCounts {
        late: number(late)?,
        dead: number(dead)?,
    })
}

pub(crate) fn read_turns(value: &Value) -> Option<KeptTurns> {
    let [first, last, ..] = list(value)? else {
        return None;
    };
    let span = match (bytes(first)?, bytes(last)?) {
        (b"", b"") => None,
        _ => Some((score(first)?, score(last)?)),
    };
    let users = pairs(value)?.into_iter().skip(1);
    let read = |(user, record): (&[u8], &[u8])| Some((UserId::new(user).ok()?, record.to_vec()));
    Some(KeptTurns {
        span,
        users: users.map(read).collect::<Option<_>>()?,
    })
}

/// A score is printed as a floating-point number; those of places and times are whole ones below 2^53.
fn score(value: &Value) -> Option<u64> {
    let score: f64 = text(value)?.parse().ok()?;
    (score >= 0.0).then_some(score as u64)
}

pub(crate) fn read_turn(value: &Value) -> Option<Option<Opaque>> {
    let [record] = list(value)? else {
        return None;
    };
    let record = bytes(record)?;
    Some((!record.is_empty()).then(|| record.to_vec()))
}

pub(crate) fn read_late(value: &Value) -> Option<Vec<LateMember>> {
    let read = |member: &Value| {
        let (place, user) = bytes(member)?.split_first_chunk()?;
        Some(LateMember {
            place: u64::from_be_bytes(*place),
            user: UserId::new(user).ok()?,
        })
    };
    list(value)?.iter().map(read).collect()
}

pub(crate) fn read_late_of(value: &Value) -> Option<Vec<u64>> {
    let read = |member: &Value| {
        let (_, place) = bytes(member)?.split_last_chunk()?;
        Some(u64::from_be_bytes(*place))
    };
    list(value)?.iter().map(read).collect()
}

pub(crate) fn read_dead(value: &Value) -> Option<Vec<(u64, Opaque)>> {
    let read = |letter: &[Value]| {
        let [record, place] = letter else {
            return None;
        };
        Some((score(place)?, bytes(record)?.to_vec()))
    };
    list(value)?.chunks(2).map(read).collect()
}
