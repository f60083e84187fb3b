//! How late users and dead letters are stored: protobuf messages, so that later versions can add fields and read what earlier ones
//! wrote. Decoding checks everything: a store can be damaged.

use prost::Message;

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::services::registry::archive::Position;
use crate::services::registry::codec::{self, ChainedChange, Damage};
use crate::services::registry::outbox::{Dead, LateUser};

#[derive(Clone, PartialEq, Message)]
struct StoredTurn {
    #[prost(uint32, tag = "1")]
    attempts: u32,
    #[prost(uint64, tag = "2")]
    next_at: u64,
    #[prost(uint64, tag = "3")]
    after: u64,
}

#[derive(Clone, PartialEq, Message)]
struct StoredDead {
    #[prost(bytes = "vec", tag = "1")]
    change: Vec<u8>,
    #[prost(uint32, tag = "2")]
    attempts: u32,
    #[prost(uint64, tag = "3")]
    at: u64,
    #[prost(string, tag = "4")]
    fault: String,
}

/// The bytes of a user's turn.
pub(super) fn encode_turn(late: &LateUser) -> Vec<u8> {
    let turn = StoredTurn {
        attempts: late.attempts,
        next_at: late.next_at.0,
        after: late.after.0,
    };
    turn.encode_to_vec()
}

/// Reads what [`encode_turn`] wrote of this user.
pub(super) fn decode_turn(user: &UserId, bytes: &[u8]) -> Result<LateUser, Damage> {
    let turn = StoredTurn::decode(bytes).map_err(|_| Damage("late user"))?;
    Ok(LateUser {
        user: *user,
        attempts: turn.attempts,
        next_at: Timestamp(turn.next_at),
        after: Position(turn.after),
    })
}

/// The bytes of a dead letter, without its place.
pub(super) fn encode_dead(dead: &Dead) -> Vec<u8> {
    let link = ChainedChange {
        recorded: dead.placed.recorded.clone(),
        before: Position(0),
    };
    let stored = StoredDead {
        change: codec::encode_change(&link),
        attempts: dead.attempts,
        at: dead.at.0,
        fault: dead.fault.clone(),
    };
    stored.encode_to_vec()
}

/// Reads what [`encode_dead`] wrote of this place.
pub(super) fn decode_dead(place: Position, bytes: &[u8]) -> Result<Dead, Damage> {
    let stored = StoredDead::decode(bytes).map_err(|_| Damage("dead letter"))?;
    Ok(Dead {
        placed: codec::decode_change(&stored.change)?.placed(place),
        attempts: stored.attempts,
        at: Timestamp(stored.at),
        fault: stored.fault,
    })
}
