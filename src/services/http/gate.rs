//! Letters to the shards and back: which request waits for how many answers. An open request keeps its place until
//! its last answer came, even when its client is no longer waited for: that is what bounds every inbox.

use std::cell::{Cell, RefCell};

use hashbrown::HashMap;
use tokio::sync::oneshot;

use super::Limits;
use crate::base::ids::{RequestId, ShardId};
use crate::logic::letter::{ToFront, ToShard};

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// As many requests are open as may be.
    Full,
    /// It did not come in time.
    Late,
}

struct Open {
    missing: usize,
    answers: Vec<ToFront>,
    waiter: oneshot::Sender<Vec<ToFront>>,
}

/// What the front counts itself.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Requests that went to the shards.
    pub(super) asked: Cell<u64>,
    /// Requests refused because too many were open.
    pub(super) full: Cell<u64>,
    /// Requests whose answers came too late.
    pub(super) late: Cell<u64>,
}

pub(super) struct Gate {
    pub(super) shards: u16,
    pub(super) counts: Counts,
    limits: Limits,
    door: Box<dyn Fn(ShardId, ToShard)>,
    latest: Cell<u64>,
    open: RefCell<HashMap<RequestId, Open>>,
}

impl Gate {
    pub(super) fn new(shards: u16, limits: Limits, door: Box<dyn Fn(ShardId, ToShard)>) -> Self {
        Self {
            shards,
            limits,
            door,
            counts: Counts::default(),
            latest: Cell::new(0),
            open: RefCell::default(),
        }
    }

    /// How many requests are open.
    pub(super) fn open_now(&self) -> usize {
        self.open.borrow().len()
    }

    /// Sends the letters of one request, at least one, and waits for an answer to each.
    pub(super) async fn ask(
        &self,
        letters: impl FnOnce(RequestId) -> Vec<(ShardId, ToShard)>,
    ) -> Result<Vec<ToFront>, NoAnswer> {
        if self.open_now() >= self.limits.in_flight_max {
            add_one(&self.counts.full);
            return Err(NoAnswer::Full);
        }
        let answers = self.send(letters);
        add_one(&self.counts.asked);
        match tokio::time::timeout(self.limits.answer_within, answers).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(_)) | Err(_) => {
                add_one(&self.counts.late);
                Err(NoAnswer::Late)
            }
        }
    }

    fn send(
        &self,
        letters: impl FnOnce(RequestId) -> Vec<(ShardId, ToShard)>,
    ) -> oneshot::Receiver<Vec<ToFront>> {
        self.latest.set(self.latest.get() + 1);
        let request = RequestId(self.latest.get());
        let letters = letters(request);
        let (waiter, answers) = oneshot::channel();
        let open = Open {
            missing: letters.len(),
            answers: Vec::with_capacity(letters.len()),
            waiter,
        };
        self.open.borrow_mut().insert(request, open);
        for (shard, letter) in letters {
            (self.door)(shard, letter);
        }
        answers
    }

    /// Takes an answer in, and wakes the request when it was the last one.
    pub(super) fn take(&self, letter: ToFront) {
        let request = request_of(&letter);
        let mut all = self.open.borrow_mut();
        let open = all.get_mut(&request).expect("every answer was asked for");
        open.answers.push(letter);
        open.missing -= 1;
        if open.missing > 0 {
            return;
        }
        let open = all.remove(&request).expect("it was here a moment ago");
        // A client that gave up needs no answer.
        let _ = open.waiter.send(open.answers);
    }
}

fn add_one(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

fn request_of(letter: &ToFront) -> RequestId {
    match letter {
        ToFront::Statuses(request, _) | ToFront::Kicked(request, _) => *request,
        ToFront::Inspected(request, _) | ToFront::Accounts(request, _) => *request,
    }
}
