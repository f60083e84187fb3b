//! What was read of the stream and is neither delivered nor late: of each user a queue, of which the first is sent. It holds
//! [`WINDOW_MAX`] callbacks, and [`USER_SHARE_MAX`] of one user. Does no I/O, and knows no receiver.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::services::registry::archive::{Placed, Position};

/// Changes that are read and not delivered: what the service holds in memory at most, about 200 bytes each.
pub(crate) const WINDOW_MAX: usize = 1_024;
/// Of these, one user's at most. They leave one by one, so more of them would only keep others out. It is enough for what a
/// user with several devices does at once; what is more is set aside, in the store, which costs a few writes each.
pub(crate) const USER_SHARE_MAX: usize = 16;

/// What is read.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// All their places.
    open: BTreeSet<Position>,
    queues: BTreeMap<UserId, Queue>,
    /// Users whose first callback can be sent.
    ready: VecDeque<UserId>,
}

#[derive(Debug, Default)]
struct Queue {
    phase: QueuePhase,
    placed: VecDeque<Placed>,
}

/// How a queue's first callback stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum QueuePhase {
    /// Something else of the user is under way.
    #[default]
    Waits,
    Ready,
    Sent,
}

/// What was in the window of a user who has no place in it any more.
#[derive(Debug)]
pub(super) struct TakenOut {
    /// Up to here nothing of the user was in the window.
    pub(super) after: Position,
    pub(super) placed: VecDeque<Placed>,
}

impl Window {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// The place of the oldest.
    pub(super) fn first(&self) -> Option<Position> {
        self.open.first().copied()
    }

    pub(super) fn has(&self, user: &UserId) -> bool {
        self.queues.contains_key(user)
    }

    /// When the change of the oldest was recorded.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let first = self.first()?;
        let mut queued = self.queues.values().flat_map(|queue| &queue.placed);
        let oldest = queued.find(|placed| placed.position == first)?;
        Some(oldest.recorded.change.at)
    }

    /// Behind the user's others. It is not sent before [`Window::make_ready`].
    pub(super) fn push(&mut self, placed: Placed) {
        self.open.insert(placed.position);
        let queue = self.queues.entry(placed.recorded.user).or_default();
        queue.placed.push_back(placed);
    }

    /// Nothing else of the user is under way.
    pub(super) fn make_ready(&mut self, user: UserId) {
        if let Some(queue) = self
            .queues
            .get_mut(&user)
            .filter(|queue| queue.phase == QueuePhase::Waits)
        {
            queue.phase = QueuePhase::Ready;
            self.ready.push_back(user);
        }
    }

    /// The next one to be sent.
    pub(super) fn send(&mut self) -> Option<Placed> {
        let user = self.ready.pop_front()?;
        let queue = self.queues.get_mut(&user).expect("a ready user has a queue");
        queue.phase = QueuePhase::Sent;
        Some(queue.placed.front().expect("a queue is not empty").clone())
    }

    /// What was sent of this user is dealt with.
    pub(super) fn sent_is_done(&mut self, user: UserId) {
        let queue = self.queues.get_mut(&user).expect("what was sent is queued");
        let done = queue.placed.pop_front().expect("what was sent is queued");
        self.open.remove(&done.position);
        queue.phase = QueuePhase::Waits;
        if queue.placed.is_empty() {
            self.queues.remove(&user);
        } else {
            self.make_ready(user);
        }
    }

    /// What was sent of this user did not leave: it is the next one.
    pub(super) fn sent_is_back(&mut self, user: UserId) {
        let queue = self.queues.get_mut(&user).expect("what was sent is queued");
        queue.phase = QueuePhase::Ready;
        self.ready.push_front(user);
    }

    /// All that is there of a user, the one that was sent too.
    pub(super) fn remove(&mut self, user: &UserId) -> TakenOut {
        let queue = self.queues.remove(user).expect("what was sent is queued");
        if queue.phase == QueuePhase::Ready {
            self.ready.retain(|ready| ready != user);
        }
        self.taken(queue.placed)
    }

    /// If the user has more than its share: all that was not sent.
    pub(super) fn surplus(&mut self, user: &UserId) -> Option<TakenOut> {
        let queue = self.queues.get_mut(user)?;
        if queue.placed.len() <= USER_SHARE_MAX {
            return None;
        }
        if queue.phase != QueuePhase::Sent {
            return Some(self.remove(user));
        }
        let after = before(queue.placed.front());
        let rest = queue.placed.split_off(1);
        Some(TakenOut {
            after,
            ..self.taken(rest)
        })
    }

    /// Of each user the first ones for which this holds, but for what was sent.
    pub(super) fn remove_oldest(&mut self, is_old: impl Fn(&Placed) -> bool) -> Vec<Placed> {
        let mut old = Vec::new();
        for queue in self
            .queues
            .values_mut()
            .filter(|queue| queue.phase != QueuePhase::Sent)
        {
            while queue.placed.front().is_some_and(&is_old) {
                old.extend(queue.placed.pop_front());
            }
        }
        self.queues.retain(|_, queue| !queue.placed.is_empty());
        self.ready.retain(|user| self.queues.contains_key(user));
        for placed in &old {
            self.open.remove(&placed.position);
        }
        old
    }

    fn taken(&mut self, placed: VecDeque<Placed>) -> TakenOut {
        for placed in &placed {
            self.open.remove(&placed.position);
        }
        let after = before(placed.front());
        TakenOut { after, placed }
    }
}

/// The place before this one.
fn before(placed: Option<&Placed>) -> Position {
    Position(placed.map_or(0, |placed| placed.position.0 - 1))
}
