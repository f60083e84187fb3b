//! The ways between shards, and between a shard and the services. Carries letters; reads none.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::base::limits::{INBOX_LETTERS_MAX, MOVES_IN_FLIGHT_MAX};
use crate::engine::ring::RingAddress;
use crate::engine::token::MoveToken;
use crate::engine::wake::{Sleeper, Waker, pair};
use crate::logic::Arrival;
use crate::logic::letter::{ToFront, ToRegistry, ToShard};

/// What a shard finds in its inbox.
#[derive(Debug)]
pub(super) enum Mail {
    /// From the registry, the front or the node.
    Letter(ToShard),
    /// From another shard: who it is that arrives, or has arrived, as a socket.
    Moved(MoveToken, Box<Arrival>),
}

/// Takes letters for one shard and wakes it. Clone it for everyone who writes to the shard.
#[derive(Debug, Clone)]
pub struct ShardDoor {
    mail: Sender<Mail>,
    waker: Waker,
    room: Arc<Room>,
}

/// A letter that was not taken; it comes back.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// More letters are on their way than the limits allow. Say busy.
    #[error("the shard's inbox is full")]
    Full(ToShard),
    /// The shard has ended.
    #[error("the shard has ended")]
    Gone(ToShard),
}

impl ShardDoor {
    /// Puts a letter into the inbox.
    ///
    /// # Errors
    /// Gives the letter back. Senders that keep to the limits find the inbox never full.
    pub fn send(&self, letter: ToShard) -> Result<(), Refused> {
        self.mail
            .try_send(Mail::Letter(letter))
            .map_err(|error| match error {
                TrySendError::Full(Mail::Letter(letter)) => Refused::Full(letter),
                TrySendError::Disconnected(Mail::Letter(letter)) => Refused::Gone(letter),
                TrySendError::Full(Mail::Moved(..)) | TrySendError::Disconnected(Mail::Moved(..)) => {
                    unreachable!("what comes back is what was given")
                }
            })?;
        self.waker.wake();
        Ok(())
    }

    /// Takes room for one arrival, if there is some. It must be given back, or used by [`ShardDoor::announce`].
    pub(super) fn take_room(&self) -> bool {
        let taken = self.room.take();
        if !taken {
            self.turn_away();
        }
        taken
    }

    /// One that wanted to arrive cannot. The shard hears of it in its next turn: who has no room has turns.
    pub(super) fn turn_away(&self) {
        self.room.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the shard's ring takes sockets.
    pub(super) fn is_ready(&self) -> bool {
        self.room.ready.load(Ordering::Acquire)
    }

    /// Has the shard look around.
    pub(super) fn knock(&self) {
        self.waker.wake();
    }

    pub(super) fn give_room_back(&self) {
        self.room.give_back();
    }

    /// Tells who it is whose socket was moved. The room that was taken for it becomes the shard's.
    pub(super) fn announce(&self, token: MoveToken, arrival: Box<Arrival>) {
        // A shard ends only when no room of it is taken, or when it has run out of time and drops everyone.
        if self.mail.try_send(Mail::Moved(token, arrival)).is_ok() {
            self.waker.wake();
        }
    }
}

/// Counts arrivals that are on their way to one shard, so that each finds room in the inbox.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// The shard's ring takes sockets. It is never unset.
    ready: AtomicBool,
    taken: AtomicU32,
    /// How many found none.
    turned_away: AtomicU64,
}

/// The shard has ended and has no room any more.
const CLOSED: u32 = u32::MAX;

#[expect(clippy::cast_possible_truncation, reason = "a small number")]
const ARRIVALS_MAX: u32 = MOVES_IN_FLIGHT_MAX as u32;

impl Room {
    fn take(&self) -> bool {
        let more = |taken| (taken < ARRIVALS_MAX).then(|| taken + 1);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, more)
            .is_ok()
    }

    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    pub(super) fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }

    /// From here on sockets can be moved to the shard.
    pub(super) fn open(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Lets nobody in any more, unless somebody is on the way.
    pub(super) fn close(&self) -> bool {
        let closed = self
            .taken
            .compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Relaxed);
        closed.is_ok()
    }
}

/// The shard's side of its door.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) mail: Receiver<Mail>,
    pub(super) sleeper: Sleeper,
    pub(super) room: Arc<Room>,
}

/// An inbox and its door.
pub(super) fn inbox() -> std::io::Result<(Inbox, ShardDoor)> {
    let (sender, mail) = bounded(INBOX_LETTERS_MAX);
    let (sleeper, waker) = pair()?;
    let room = Arc::new(Room::default());
    let door = ShardDoor {
        mail: sender,
        waker,
        room: Arc::clone(&room),
    };
    Ok((Inbox { mail, sleeper, room }, door))
}

/// What one shard knows of another: where it takes letters, and where it takes sockets.
#[derive(Debug, Clone)]
pub struct Neighbour {
    pub(super) door: ShardDoor,
    pub(super) ring: RingAddress,
}

/// Takes letters out of a list, all of them.
pub type Taker<T> = Box<dyn FnMut(&mut Vec<T>) + Send>;

/// Where a shard's questions and answers go. Each is called at most once a turn, with everything that the turn
/// had to say, and takes it out. It must not block.
pub struct Services {
    /// To the registry.
    pub registry: Taker<ToRegistry>,
    /// To the HTTP front.
    pub front: Taker<ToFront>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Services")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_has_a_bound_and_closes_only_when_nobody_is_on_the_way() {
        let room = Room::default();
        let taken = (0..2 * MOVES_IN_FLIGHT_MAX).filter(|_| room.take()).count();
        assert_eq!(taken, MOVES_IN_FLIGHT_MAX);
        (1..taken).for_each(|_| room.give_back());
        assert!(!room.close());
        room.give_back();
        assert!(room.close());
        assert!(!room.take());
    }

    #[test]
    fn a_shard_hears_of_who_found_no_room() {
        let (inbox, door) = inbox().unwrap();
        let let_in = (0..MOVES_IN_FLIGHT_MAX + 3).filter(|_| door.take_room()).count();
        assert_eq!((let_in, inbox.room.turned_away()), (MOVES_IN_FLIGHT_MAX, 3));
        door.turn_away();
        assert_eq!(inbox.room.turned_away(), 4);
    }

    #[test]
    fn a_letter_comes_back_from_a_full_inbox_and_from_one_that_is_gone() {
        let (inbox, door) = inbox().unwrap();
        (0..INBOX_LETTERS_MAX).for_each(|_| door.send(ToShard::Stop).unwrap());
        assert!(matches!(
            door.send(ToShard::Stop),
            Err(Refused::Full(ToShard::Stop))
        ));
        drop(inbox);
        assert!(matches!(
            door.send(ToShard::Stop),
            Err(Refused::Gone(ToShard::Stop))
        ));
    }
}
