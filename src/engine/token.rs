//! What a completion is about: 64 bits that go into the kernel with an operation and come back with its end.
//! Plain numbers; it owns nothing.
//!
//! ```text
//! own operations   kind:4 | unused:8        | slot:20 | generation:32
//! moved sockets    kind:4 | shard:16        | slot:20 | generation:24 (the low bits)
//! ```

use crate::base::ids::{ConnKey, ShardId};

/// Slots of a ring's table: the kernel's ceiling of a table of direct descriptors.
pub const SLOTS_MAX: u32 = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 20;
const KIND_SHIFT: u32 = 60;
const GENERATION_BITS: u32 = 32;
const MOVE_GENERATION_BITS: u32 = 24;
const MOVE_SHARD_SHIFT: u32 = MOVE_GENERATION_BITS + SLOT_BITS;

/// What an operation was, and on which connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationToken {
    /// A pending accept, by its number among all of the ring.
    Accept(u32),
    /// A receive into a provided buffer.
    Receive(ConnKey),
    /// The poll.
    Poll(ConnKey),
    /// A send of constant bytes: it speaks only when it failed.
    SendConstant(ConnKey),
    /// A send of bytes that the ring keeps until its end.
    Send(ConnKey),
    /// A cancel, or an abort: what matters is the end of the operations it ends.
    Ignored,
    /// A close.
    Close(ConnKey),
    /// A connection's way to another ring, seen from the ring that it leaves.
    Move(ConnKey),
    /// A connection that came from another ring.
    Moved(MoveToken),
    /// The poll of the eventfd that wakes the ring.
    Wake,
    /// The steps of a connect to somewhere else.
    Connect(ConnKey),
}

/// Names a move on both sides: the shard and the connection that it began as. Of the generation only 24 bits
/// fit; a move would have to last for 16 million connections to be mistaken for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MoveToken(u64);

impl MoveToken {
    /// The move of `key` away from `shard`.
    #[must_use]
    pub fn new(shard: ShardId, key: ConnKey) -> Self {
        assert!(key.slot < SLOTS_MAX, "slots have 20 bits");
        let generation = u64::from(key.generation) & ((1 << MOVE_GENERATION_BITS) - 1);
        let slot = u64::from(key.slot) << MOVE_GENERATION_BITS;
        Self(u64::from(shard.0) << MOVE_SHARD_SHIFT | slot | generation)
    }
}

const ACCEPT: u64 = 1;
const RECEIVE: u64 = 2;
const POLL: u64 = 3;
const SEND_CONSTANT: u64 = 4;
const SEND: u64 = 5;
const IGNORED: u64 = 6;
const CLOSE: u64 = 7;
const MOVE: u64 = 8;
const MOVED: u64 = 9;
const WAKE: u64 = 10;
const CONNECT: u64 = 11;

impl OperationToken {
    /// The token as the kernel keeps it.
    #[must_use]
    pub fn pack(self) -> u64 {
        match self {
            Self::Accept(number) => ACCEPT << KIND_SHIFT | u64::from(number),
            Self::Receive(key) => of_connection(RECEIVE, key),
            Self::Poll(key) => of_connection(POLL, key),
            Self::SendConstant(key) => of_connection(SEND_CONSTANT, key),
            Self::Send(key) => of_connection(SEND, key),
            Self::Ignored => IGNORED << KIND_SHIFT,
            Self::Close(key) => of_connection(CLOSE, key),
            Self::Move(key) => of_connection(MOVE, key),
            Self::Moved(MoveToken(token)) => MOVED << KIND_SHIFT | token,
            Self::Wake => WAKE << KIND_SHIFT,
            Self::Connect(key) => of_connection(CONNECT, key),
        }
    }

    /// The token that [`OperationToken::pack`] made these bits of.
    ///
    /// # Panics
    /// If it made no such bits.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the masks leave what fits")]
    pub fn unpack(bits: u64) -> Self {
        let key = ConnKey {
            slot: (bits >> GENERATION_BITS) as u32 & (SLOTS_MAX - 1),
            generation: bits as u32,
        };
        match bits >> KIND_SHIFT {
            ACCEPT => Self::Accept(bits as u32),
            RECEIVE => Self::Receive(key),
            POLL => Self::Poll(key),
            SEND_CONSTANT => Self::SendConstant(key),
            SEND => Self::Send(key),
            IGNORED => Self::Ignored,
            CLOSE => Self::Close(key),
            MOVE => Self::Move(key),
            MOVED => Self::Moved(MoveToken(bits & ((1 << KIND_SHIFT) - 1))),
            WAKE => Self::Wake,
            CONNECT => Self::Connect(key),
            kind => panic!("no operation has kind {kind}"),
        }
    }
}

fn of_connection(kind: u64, key: ConnKey) -> u64 {
    assert!(key.slot < SLOTS_MAX, "slots have 20 bits");
    kind << KIND_SHIFT | u64::from(key.slot) << GENERATION_BITS | u64::from(key.generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: OperationToken) {
        assert_eq!(OperationToken::unpack(token.pack()), token);
    }

    #[test]
    fn tokens_come_back_as_they_went() {
        for slot in [0, 1, 77, SLOTS_MAX - 1] {
            for generation in [0, 1, 0x00ff_ffff, 0x0100_0000, u32::MAX] {
                let key = ConnKey { slot, generation };
                check(OperationToken::Receive(key));
                check(OperationToken::Poll(key));
                check(OperationToken::SendConstant(key));
                check(OperationToken::Send(key));
                check(OperationToken::Close(key));
                check(OperationToken::Move(key));
                check(OperationToken::Connect(key));
                for shard in [0, 1, u16::MAX] {
                    check(OperationToken::Moved(MoveToken::new(ShardId(shard), key)));
                }
            }
        }
        check(OperationToken::Accept(127));
        check(OperationToken::Ignored);
        check(OperationToken::Wake);
    }

    #[test]
    fn moves_differ_by_shard_slot_and_generation() {
        let key = |slot, generation| ConnKey { slot, generation };
        let one = MoveToken::new(ShardId(1), key(2, 3));
        assert_ne!(one, MoveToken::new(ShardId(0), key(2, 3)));
        assert_ne!(one, MoveToken::new(ShardId(1), key(3, 3)));
        assert_ne!(one, MoveToken::new(ShardId(1), key(2, 4)));
    }
}
