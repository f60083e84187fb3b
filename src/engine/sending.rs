//! What waits behind sends in flight, and the room of those that have ended, which is kept for the next ones: so that what is
//! often sent allocates nothing. Only holds.

use super::token::MoveToken;
use crate::base::ids::ShardId;
use crate::base::limits::{SPARE_SEND_BYTES_MAX, SPARE_SENDS_MAX};

/// What waits behind a send in flight. A connection has one as long as it is being sent something.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// From where on the send in flight sends its bytes.
    pub(super) start: usize,
    /// What comes after it.
    pub(super) queue: Vec<u8>,
    /// Where the connection moves behind it.
    pub(super) then_move: Option<(ShardId, MoveToken)>,
}

/// Room for sends, all of it empty.
#[derive(Debug, Default)]
pub(super) struct SpareRoom(Vec<Vec<u8>>);

impl SpareRoom {
    /// Takes some out; if there is none, some that is still to be allocated.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    /// Keeps the room of bytes that are done with, if there is little and it is small.
    pub(super) fn put(&mut self, mut done: Vec<u8>) {
        if self.0.len() < SPARE_SENDS_MAX && done.capacity() <= SPARE_SEND_BYTES_MAX {
            done.clear();
            self.0.push(done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_used_again_as_far_as_it_is_small_and_little() {
        let mut spare = SpareRoom::default();
        spare.put(vec![7; SPARE_SEND_BYTES_MAX + 1]);
        assert_eq!(spare.take().capacity(), 0);
        spare.put(vec![7; SPARE_SEND_BYTES_MAX]);
        let room = spare.take();
        assert_eq!((room.len(), room.capacity()), (0, SPARE_SEND_BYTES_MAX));
        (0..=SPARE_SENDS_MAX).for_each(|_| spare.put(vec![7]));
        let kept = std::iter::repeat_with(|| spare.take()).take_while(|room| room.capacity() > 0);
        assert_eq!(kept.count(), SPARE_SENDS_MAX);
    }
}
