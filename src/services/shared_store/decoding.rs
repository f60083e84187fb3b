//! Values of answers as what they mean. Anything that is not as expected is none.

use redis::Value;

use crate::base::ids::{PartitionId, UserId};
use crate::services::shared_store::calls::{
    LoadedRecords, NodeEntry, NodeState, Opaque, OwnerMap, PartitionSeen, Places, RecordHash, Scanned,
};
use crate::services::shared_store::outcome::Fence;

/// The elements of a list.
pub(crate) fn list(value: &Value) -> Option<&[Value]> {
    if let Value::Array(elements) = value {
        Some(elements)
    } else {
        None
    }
}

/// The bytes of a text.
pub(crate) fn bytes(value: &Value) -> Option<&[u8]> {
    if let Value::BulkString(bytes) = value {
        Some(bytes)
    } else {
        None
    }
}

/// A text.
pub(crate) fn text(value: &Value) -> Option<String> {
    String::from_utf8(bytes(value)?.to_vec()).ok()
}

/// A number, or the digits of one.
pub(crate) fn number(value: &Value) -> Option<u64> {
    if let Value::Int(number) = value {
        return u64::try_from(*number).ok();
    }
    std::str::from_utf8(bytes(value)?).ok()?.parse().ok()
}

/// An answer that begins with a word: the word, and what follows.
pub(crate) fn worded(value: &Value) -> Option<(String, &[Value])> {
    let (word, rest) = list(value)?.split_first()?;
    Some((text(word)?, rest))
}

/// A list of names with values.
pub(crate) fn pairs(value: &Value) -> Option<Vec<(&[u8], &[u8])>> {
    let elements = list(value)?;
    let pairs = elements.chunks(2).map(|pair| match pair {
        [name, value] => Some((bytes(name)?, bytes(value)?)),
        _ => None,
    });
    pairs.collect()
}

/// A fence as owner and epoch.
pub(crate) fn fence(values: &[Value]) -> Option<Fence> {
    let [owner, epoch] = values else {
        return None;
    };
    Some(Fence {
        owner: text(owner)?.into(),
        epoch: number(epoch)?,
    })
}

/// Places in the order of `claim.lua`.
pub(crate) fn places(values: &[Value]) -> Option<Places> {
    let numbers = values.iter().map(number).collect::<Option<Vec<_>>>()?;
    let [seq, durable, pruned, cursor, latest, steps] = numbers[..] else {
        return None;
    };
    Some(Places {
        seq,
        durable,
        pruned,
        cursor,
        latest,
        steps,
    })
}

/// A partition's meta.
pub(crate) fn seen(value: &Value) -> Option<PartitionSeen> {
    let mut seen = PartitionSeen {
        fence: Fence::none(),
        places: Places::default(),
    };
    for (name, value) in pairs(value)? {
        let value = std::str::from_utf8(value).ok()?;
        let places = &mut seen.places;
        let field = match name {
            b"owner" => {
                seen.fence.owner = value.into();
                continue;
            }
            b"epoch" => &mut seen.fence.epoch,
            b"seq" => &mut places.seq,
            b"durable" => &mut places.durable,
            b"pruned" => &mut places.pruned,
            b"cursor" => &mut places.cursor,
            b"latest" => &mut places.latest,
            b"steps" => &mut places.steps,
            _ => continue,
        };
        *field = value.parse().ok()?;
    }
    Some(seen)
}

/// A state, by its word.
fn state(word: &[u8]) -> Option<NodeState> {
    match word {
        b"up" => Some(NodeState::Up),
        b"isolated" => Some(NodeState::Isolated),
        b"draining" => Some(NodeState::Draining),
        b"left" => Some(NodeState::Left),
        b"restarting" => Some(NodeState::Restarting),
        b"dead" => Some(NodeState::Dead),
        _ => None,
    }
}

/// The word of a state.
pub(crate) fn state_word(state: NodeState) -> &'static str {
    match state {
        NodeState::Up => "up",
        NodeState::Isolated => "isolated",
        NodeState::Draining => "draining",
        NodeState::Left => "left",
        NodeState::Restarting => "restarting",
        NodeState::Dead => "dead",
    }
}

/// A row of a node: incarnation, beat, state, and what it says.
pub(crate) fn node_row(row: &[u8]) -> Option<NodeEntry> {
    let mut parts = row.splitn(4, |byte| *byte == b' ');
    let mut digits = || std::str::from_utf8(parts.next()?).ok()?.parse().ok();
    let (incarnation, beat) = (digits()?, digits()?);
    Some(NodeEntry {
        incarnation,
        beat,
        state: state(parts.next()?)?,
        says: parts.next()?.to_vec(),
    })
}

/// Nodes with their rows.
pub(crate) fn nodes(value: &Value) -> Option<Vec<(String, NodeEntry)>> {
    let read = |(name, row): (&[u8], &[u8])| Some((String::from_utf8(name.to_vec()).ok()?, node_row(row)?));
    pairs(value)?.into_iter().map(read).collect()
}

/// The map: a version, and partitions with their owners.
pub(crate) fn owner_map(value: &Value) -> Option<OwnerMap> {
    let mut map = OwnerMap::default();
    for (name, value) in pairs(value)? {
        if name == b"version" {
            map.version = std::str::from_utf8(value).ok()?.parse().ok()?;
        } else {
            map.owners.push(owned(name, value)?);
        }
    }
    map.owners.sort_by_key(|(partition, _)| *partition);
    Some(map)
}

/// An owner as the map has it: the partition, then epoch and owner.
fn owned(partition: &[u8], owner: &[u8]) -> Option<(PartitionId, Fence)> {
    let partition = std::str::from_utf8(partition).ok()?.parse().ok()?;
    let (epoch, owner) = std::str::from_utf8(owner).ok()?.split_once(' ')?;
    let fence = Fence {
        owner: owner.into(),
        epoch: epoch.parse().ok()?,
    };
    Some((PartitionId(partition), fence))
}

/// How a partition stands, and records from both its hashes, of so many users.
pub(crate) fn loaded(value: &Value, count: usize) -> Option<LoadedRecords> {
    let [meta, residents, others] = list(value)? else {
        return None;
    };
    let [owner, epoch, seq] = list(meta)? else {
        return None;
    };
    let (residents, others) = (list(residents)?, list(others)?);
    let either = |(resident, other): (&Value, &Value)| {
        let record = |hash| move |record: &[u8]| (hash, record.to_vec());
        let resident = bytes(resident).map(record(RecordHash::Residents));
        resident.or_else(|| bytes(other).map(record(RecordHash::Others)))
    };
    let all = residents.len() == count && others.len() == count;
    all.then_some(LoadedRecords {
        fence: fence(&[owner.clone(), epoch.clone()])?,
        seq: number(seq)?,
        records: residents.iter().zip(others).map(either).collect(),
    })
}

/// A part of a hash: where to go on, and users.
pub(crate) fn scanned(value: &Value) -> Option<Scanned> {
    let [next, users] = list(value)? else {
        return None;
    };
    let read = |(user, record): (&[u8], &[u8])| Some((UserId::new(user).ok()?, record.to_vec()));
    Some(Scanned {
        users: pairs(users)?.into_iter().map(read).collect::<Option<_>>()?,
        next: number(next).map(|next| (next != 0).then_some(next))?,
    })
}

/// Entries of a stream, each with one field.
pub(crate) fn batches(value: &Value) -> Option<Vec<(u64, Opaque)>> {
    let read = |entry: &Value| {
        let [id, fields] = list(entry)? else {
            return None;
        };
        let first = text(id)?.split_once('-')?.0.parse().ok()?;
        let [(_, changes)] = pairs(fields)?[..] else {
            return None;
        };
        Some((first, changes.to_vec()))
    };
    list(value)?.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_what_nodes_are() {
        let row = node_row(b"7 12 draining a b\nc").unwrap();
        let expected = NodeEntry {
            incarnation: 7,
            beat: 12,
            state: NodeState::Draining,
            says: b"a b\nc".to_vec(),
        };
        assert_eq!(row, expected);
        assert!(node_row(b"7 12 up ").unwrap().says.is_empty());
        for bad in [&b""[..], b"7", b"7 12", b"7 12 up", b"x 12 up ", b"7 12 gone "] {
            assert_eq!(node_row(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn states_have_words() {
        for known in [
            NodeState::Up,
            NodeState::Isolated,
            NodeState::Draining,
            NodeState::Left,
            NodeState::Restarting,
            NodeState::Dead,
        ] {
            assert_eq!(state(state_word(known).as_bytes()), Some(known));
        }
    }
}
