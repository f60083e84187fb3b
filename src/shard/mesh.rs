//! The ways between shards, and between a shard and the services. Carries what is sent; reads none of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::base::credits::{CreditClass, Credits};
use crate::base::limits::{
    CLUSTER_NOTICES_IN_FLIGHT_MAX, HTTP_IN_FLIGHT_MAX, MOVES_IN_FLIGHT_MAX, REGISTRY_IN_FLIGHT_MAX,
    SETTINGS_IN_FLIGHT_MAX,
};
use crate::engine::ring::RingAddress;
use crate::engine::token::MoveToken;
use crate::engine::wake::{Sleeper, Waker, pair};
use crate::logic::delivery::ToShard;
use crate::shard::moves_in::Newcomer;

/// What a shard finds in its inbox.
#[derive(Debug)]
pub(super) enum InboxEntry {
    /// From the registry, the HTTP server or the node.
    Sent(ToShard),
    /// From another shard: who it is that arrives, or has arrived, as a socket.
    Moved(MoveToken, Newcomer),
}

/// Sends to one shard, and wakes it. Clone it for everyone who writes to the shard.
#[derive(Debug, Clone)]
pub struct ShardSender {
    entries: Sender<InboxEntry>,
    waker: Waker,
    room: Arc<InboxRoom>,
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
    /// Gives it back: a request or a word on the cluster if there is no credit for it, anything else only if there is more than its
    /// senders may have on the way.
    pub fn send(&self, sent: ToShard) -> Result<(), ShardSendError> {
        let credit = ShardCredit::of(&sent);
        if credit.is_some_and(|credit| !self.room.credits.take(credit)) {
            return Err(ShardSendError::Full(sent));
        }
        let sent = self.entries.try_send(InboxEntry::Sent(sent));
        if let Some(credit) = credit.filter(|_| sent.is_err()) {
            self.room.give_back(credit);
        }
        sent.map_err(|error| match error {
            TrySendError::Full(InboxEntry::Sent(sent)) => ShardSendError::Full(sent),
            TrySendError::Disconnected(InboxEntry::Sent(sent)) => ShardSendError::Gone(sent),
            TrySendError::Full(InboxEntry::Moved(..)) | TrySendError::Disconnected(InboxEntry::Moved(..)) => {
                unreachable!("what comes back is what was given")
            }
        })?;
        self.waker.wake();
        Ok(())
    }

    /// Takes the credit for one arrival, if there is some. It must be given back, or used by [`ShardSender::announce`].
    pub(super) fn take_room_for_arrival(&self) -> bool {
        let taken = self.room.credits.take(ShardCredit::Arrival);
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

    pub(super) fn give_back(&self, credit: ShardCredit) {
        self.room.give_back(credit);
    }

    /// Tells who it is whose socket was moved. The room that was taken for it becomes the shard's.
    pub(super) fn announce(&self, token: MoveToken, newcomer: Newcomer) {
        // A shard ends only when no room of it is taken, or when it has run out of time and drops everyone.
        if self.entries.try_send(InboxEntry::Moved(token, newcomer)).is_ok() {
            self.waker.wake();
        }
    }
}

/// What comes into a shard's inbox only as far as there is credit for it. Whoever is sent a reply has asked for it, and has kept
/// room for it; notices are few.
#[derive(Debug, Clone, Copy)]
pub(super) enum ShardCredit {
    /// A connection that another shard hands over.
    Arrival,
    /// New work from a service.
    Request,
    /// A word on the cluster.
    Cluster,
}

impl ShardCredit {
    /// What something takes that is sent.
    pub(super) fn of(sent: &ToShard) -> Option<Self> {
        if sent.is_request() {
            Some(Self::Request)
        } else {
            sent.is_of_cluster().then_some(Self::Cluster)
        }
    }
}

impl CreditClass for ShardCredit {
    const ALL: &[Self] = &[Self::Arrival, Self::Request, Self::Cluster];

    fn number(self) -> usize {
        self as usize
    }

    fn limit(self) -> usize {
        match self {
            Self::Arrival => MOVES_IN_FLIGHT_MAX,
            Self::Request => HTTP_IN_FLIGHT_MAX,
            Self::Cluster => CLUSTER_NOTICES_IN_FLIGHT_MAX,
        }
    }
}

/// What those who send to a shard know of it.
#[derive(Debug)]
pub(super) struct InboxRoom {
    /// The shard's ring takes sockets. It is never unset.
    ready: AtomicBool,
    credits: Credits,
    /// How many arrivals found no credit.
    turned_away: AtomicU64,
}

impl InboxRoom {
    fn new() -> Self {
        Self {
            ready: AtomicBool::new(false),
            credits: Credits::new::<ShardCredit>(),
            turned_away: AtomicU64::new(0),
        }
    }

    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// What it was taken for has come out of the inbox.
    pub(super) fn give_back(&self, credit: ShardCredit) {
        self.credits.give_back(credit);
    }

    /// From here on sockets can be moved to the shard.
    pub(super) fn open(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Lets nobody arrive any more, unless somebody is on the way.
    pub(super) fn close(&self) -> bool {
        self.credits.close(ShardCredit::Arrival)
    }
}

/// All that may be on its way to one shard: what has credit, the registry's replies to as many requests as a shard may have open,
/// settings of logic and of transports, and one stop.
const INBOX_ENTRIES_MAX: usize = MOVES_IN_FLIGHT_MAX
    + HTTP_IN_FLIGHT_MAX
    + CLUSTER_NOTICES_IN_FLIGHT_MAX
    + REGISTRY_IN_FLIGHT_MAX
    + 2 * SETTINGS_IN_FLIGHT_MAX
    + 1;

/// The shard's side of its sender.
#[derive(Debug)]
pub(super) struct ShardInbox {
    pub(super) entries: Receiver<InboxEntry>,
    pub(super) sleeper: Sleeper,
    pub(super) room: Arc<InboxRoom>,
}

/// An inbox and its sender.
pub(super) fn inbox() -> std::io::Result<(ShardInbox, ShardSender)> {
    let (sender, entries) = bounded(INBOX_ENTRIES_MAX);
    let (sleeper, waker) = pair()?;
    let room = Arc::new(InboxRoom::new());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{RequestId, UserId};

    fn kick() -> ToShard {
        ToShard::Kick(RequestId(1), UserId::new(b"alice").unwrap())
    }

    #[test]
    fn requests_are_refused_beyond_their_credit_and_take_no_room_from_others() {
        let (inbox, sender) = inbox().unwrap();
        (0..HTTP_IN_FLIGHT_MAX).for_each(|_| sender.send(kick()).unwrap());
        assert!(matches!(sender.send(kick()), Err(ShardSendError::Full(_))));
        let others = INBOX_ENTRIES_MAX - HTTP_IN_FLIGHT_MAX;
        (0..others).for_each(|_| sender.send(ToShard::Stop).unwrap());
        inbox.entries.recv().unwrap();
        inbox.room.give_back(ShardCredit::Request);
        sender.send(kick()).unwrap();
    }

    #[test]
    fn a_shard_hears_of_who_found_no_room() {
        let (inbox, sender) = inbox().unwrap();
        let let_in = (0..MOVES_IN_FLIGHT_MAX + 3)
            .filter(|_| sender.take_room_for_arrival())
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
