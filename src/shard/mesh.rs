//! The ways between shards, and between a shard and the services. Carries what is sent; reads none of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::base::limits::{
    HTTP_IN_FLIGHT_MAX, INBOX_ENTRIES_MAX, MOVES_IN_FLIGHT_MAX, REGISTRY_IN_FLIGHT_MAX,
    SETTINGS_IN_FLIGHT_MAX,
};
use crate::engine::ring::RingAddress;
use crate::engine::token::MoveToken;
use crate::engine::wake::{Sleeper, Waker, pair};
use crate::logic::Arrival;
use crate::logic::letter::{ToFront, ToRegistry, ToShard};

/// What a shard finds in its inbox.
#[derive(Debug)]
pub(super) enum InboxEntry {
    /// From the registry, the HTTP server or the node.
    Sent(ToShard),
    /// From another shard: who it is that arrives, or has arrived, as a socket.
    Moved(MoveToken, Box<Arrival>),
}

/// Sends to one shard, and wakes it. Clone it for everyone who writes to the shard.
#[derive(Debug, Clone)]
pub struct ShardSender {
    entries: Sender<InboxEntry>,
    waker: Waker,
    room: Arc<ArrivalRoom>,
}

/// What was not taken comes back.
#[derive(Debug, thiserror::Error)]
pub enum ShardSendError {
    /// More is on its way than the limits allow.
    #[error("the shard's inbox is full")]
    Full(ToShard),
    /// The shard has ended.
    #[error("the shard has ended")]
    Gone(ToShard),
}

impl ShardSender {
    /// Puts something into the inbox.
    ///
    /// # Errors
    /// Gives it back. Senders that keep to the limits find the inbox never full.
    pub fn send(&self, sent: ToShard) -> Result<(), ShardSendError> {
        self.entries
            .try_send(InboxEntry::Sent(sent))
            .map_err(|error| match error {
                TrySendError::Full(InboxEntry::Sent(sent)) => ShardSendError::Full(sent),
                TrySendError::Disconnected(InboxEntry::Sent(sent)) => ShardSendError::Gone(sent),
                TrySendError::Full(InboxEntry::Moved(..))
                | TrySendError::Disconnected(InboxEntry::Moved(..)) => {
                    unreachable!("what comes back is what was given")
                }
            })?;
        self.waker.wake();
        Ok(())
    }

    /// Takes room for one arrival, if there is some. It must be given back, or used by [`ShardSender::announce`].
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
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    pub(super) fn give_room_back(&self) {
        self.room.give_back();
    }

    /// Tells who it is whose socket was moved. The room that was taken for it becomes the shard's.
    pub(super) fn announce(&self, token: MoveToken, arrival: Box<Arrival>) {
        // A shard ends only when no room of it is taken, or when it has run out of time and drops everyone.
        if self.entries.try_send(InboxEntry::Moved(token, arrival)).is_ok() {
            self.waker.wake();
        }
    }
}

/// Counts arrivals that are on their way to one shard, so that each finds room in the inbox.
#[derive(Debug, Default)]
pub(super) struct ArrivalRoom {
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

/// Senders that keep to their bounds find the inbox never full. Each counts what is on its way to one shard: the registry's
/// answers, arrivals, requests of the HTTP server, settings, and one stop.
const _: () = assert!(
    INBOX_ENTRIES_MAX
        == REGISTRY_IN_FLIGHT_MAX + ARRIVALS_MAX as usize + HTTP_IN_FLIGHT_MAX + SETTINGS_IN_FLIGHT_MAX + 1
);
const _: () = assert!(ARRIVALS_MAX < CLOSED, "a closed room is told from a full one");

impl ArrivalRoom {
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

/// The shard's side of its sender.
#[derive(Debug)]
pub(super) struct ShardInbox {
    pub(super) entries: Receiver<InboxEntry>,
    pub(super) sleeper: Sleeper,
    pub(super) room: Arc<ArrivalRoom>,
}

/// An inbox and its sender.
pub(super) fn inbox() -> std::io::Result<(ShardInbox, ShardSender)> {
    let (sender, entries) = bounded(INBOX_ENTRIES_MAX);
    let (sleeper, waker) = pair()?;
    let room = Arc::new(ArrivalRoom::default());
    let sender = ShardSender {
        entries: sender,
        waker,
        room: Arc::clone(&room),
    };
    let inbox = ShardInbox {
        entries,
        sleeper,
        room,
    };
    Ok((inbox, sender))
}

/// What one shard knows of another: where it is sent to, and where it takes sockets.
#[derive(Debug, Clone)]
pub struct Neighbour {
    pub(super) sender: ShardSender,
    pub(super) ring: RingAddress,
}

/// Takes all of a list.
pub type Taker<T> = Box<dyn FnMut(&mut Vec<T>) + Send>;

/// Where a shard's requests and replies go. Each is called at most once a turn, with everything that the turn
/// had to say, and takes it out. It must not block.
pub struct Services {
    /// To the registry.
    pub registry: Taker<ToRegistry>,
    /// To the HTTP server.
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
        let room = ArrivalRoom::default();
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
        let (inbox, sender) = inbox().unwrap();
        let let_in = (0..MOVES_IN_FLIGHT_MAX + 3)
            .filter(|_| sender.take_room())
            .count();
        assert_eq!((let_in, inbox.room.turned_away()), (MOVES_IN_FLIGHT_MAX, 3));
        sender.turn_away();
        assert_eq!(inbox.room.turned_away(), 4);
    }

    #[test]
    fn what_is_sent_comes_back_from_a_full_inbox_and_from_one_that_is_gone() {
        let (inbox, sender) = inbox().unwrap();
        (0..INBOX_ENTRIES_MAX).for_each(|_| sender.send(ToShard::Stop).unwrap());
        assert!(matches!(
            sender.send(ToShard::Stop),
            Err(ShardSendError::Full(ToShard::Stop))
        ));
        drop(inbox);
        assert!(matches!(
            sender.send(ToShard::Stop),
            Err(ShardSendError::Gone(ToShard::Stop))
        ));
    }
}
