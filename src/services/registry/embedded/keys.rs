//! The keys of the keyspace `outbox`: the table stands in [`outbox`](super::outbox). Reads and writes nothing.

use crate::base::ids::UserId;
use crate::base::limits::USER_ID_BYTES_MAX;
use crate::base::time::Timestamp;
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::embedded::errors::undecodable;
use crate::services::registry::embedded::files::key;

fn padded(user: &UserId) -> [u8; USER_ID_BYTES_MAX] {
    let mut padded = [0; USER_ID_BYTES_MAX];
    let name = user.as_str().as_bytes();
    padded[..name.len()].copy_from_slice(name);
    padded
}

pub(super) fn unpadded(bytes: &[u8]) -> Result<UserId, ReadError> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    UserId::new(&bytes[..end]).map_err(undecodable)
}

pub(super) fn late_key(user: &UserId, place: Position) -> Vec<u8> {
    [b"c", &padded(user)[..], &key(place)].concat()
}

pub(super) fn place_key(place: Position) -> Vec<u8> {
    [b"p", &key(place)[..]].concat()
}

pub(super) fn turn_key(user: &UserId) -> Vec<u8> {
    [b"u", &padded(user)[..]].concat()
}

pub(super) fn schedule_key(at: Timestamp, user: &UserId) -> Vec<u8> {
    [b"s", &at.0.to_be_bytes()[..], &padded(user)].concat()
}

pub(super) fn dead_key(place: Position) -> Vec<u8> {
    [b"d", &key(place)[..]].concat()
}
