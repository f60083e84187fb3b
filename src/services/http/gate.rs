//! Letters to the shards and the registry, and back: which request waits for how many answers. An open request keeps its place until
//! its last answer came, even when its client is no longer waited for: that is what bounds every inbox.

use std::cell::{Cell, RefCell};

use hashbrown::HashMap;
use tokio::sync::oneshot;

use super::Limits;
use crate::base::ids::{RequestId, ShardId, UserId};
use crate::logic::letter::{ToFront, ToRegistry, ToShard};

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// As many requests are open as may be.
    Full,
    /// It did not come in time.
    Late,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It looks at what is, and is answered soon.
    Look,
    /// It waits for a change to be recorded, which may take as long as the disk is full.
    Change,
}

/// One part in this many of the places is for changes, so that looking goes on while nothing can be recorded.
const CHANGES_PART: usize = 2;

/// The ways out.
pub(super) struct Ways {
    pub(super) shard: Box<dyn Fn(ShardId, ToShard)>,
    pub(super) registry: Box<dyn Fn(ToRegistry)>,
}

/// What a request waits for.
type Answers = oneshot::Receiver<Vec<ToFront>>;

struct Open {
    purpose: Purpose,
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
    ways: Ways,
    latest: Cell<u64>,
    open: RefCell<HashMap<RequestId, Open>>,
    /// Those of them that wait for changes.
    changes_open: Cell<usize>,
}

impl Gate {
    pub(super) fn new(shards: u16, limits: Limits, ways: Ways) -> Self {
        Self {
            shards,
            limits,
            ways,
            counts: Counts::default(),
            latest: Cell::new(0),
            open: RefCell::default(),
            changes_open: Cell::new(0),
        }
    }

    /// How many requests are open.
    pub(super) fn open_now(&self) -> usize {
        self.open.borrow().len()
    }

    /// Sends the letters of one request, at least one and at most one to a shard, and waits for an answer to each.
    pub(super) async fn ask(
        &self,
        purpose: Purpose,
        letters: impl FnOnce(RequestId) -> Vec<(ShardId, ToShard)>,
    ) -> Result<Vec<ToFront>, NoAnswer> {
        self.check_room(purpose, 1)?;
        let answers = self.open(purpose, |request| {
            let letters = letters(request);
            let count = letters.len();
            for (shard, letter) in letters {
                (self.ways.shard)(shard, letter);
            }
            count
        });
        self.wait(vec![answers]).await
    }

    /// Sends one letter, of a change, to the home of each user, each a request of its own, and waits for all answers. They come in the
    /// order of the users. There is room for all of them or none is sent.
    pub(super) async fn ask_each(
        &self,
        users: &[UserId],
        letter: fn(RequestId, UserId) -> ToShard,
    ) -> Result<Vec<ToFront>, NoAnswer> {
        self.check_room(Purpose::Change, users.len())?;
        let ask = |user: &UserId| {
            self.open(Purpose::Change, |request| {
                (self.ways.shard)(user.home(self.shards), letter(request, *user));
                1
            })
        };
        self.wait(users.iter().map(ask).collect()).await
    }

    /// Sends one letter to the registry, and waits for its answer.
    pub(super) async fn ask_registry(
        &self,
        letter: impl FnOnce(RequestId) -> ToRegistry,
    ) -> Result<ToFront, NoAnswer> {
        self.check_room(Purpose::Look, 1)?;
        let answers = self.open(Purpose::Look, |request| {
            (self.ways.registry)(letter(request));
            1
        });
        let mut answers = self.wait(vec![answers]).await?;
        Ok(answers.pop().expect("one letter has one answer"))
    }

    fn check_room(&self, purpose: Purpose, wanted: usize) -> Result<(), NoAnswer> {
        let in_flight_max = self.limits.in_flight_max;
        let full = match purpose {
            Purpose::Look => false,
            Purpose::Change => self.changes_open.get() + wanted > in_flight_max.div_ceil(CHANGES_PART),
        };
        if full || self.open_now() + wanted > in_flight_max {
            add_one(&self.counts.full);
            return Err(NoAnswer::Full);
        }
        Ok(())
    }

    /// Begins a request. `send` sends its letters and gives their number; no answer is taken in before this returns.
    fn open(&self, purpose: Purpose, send: impl FnOnce(RequestId) -> usize) -> Answers {
        self.latest.set(self.latest.get() + 1);
        let request = RequestId(self.latest.get());
        let missing = send(request);
        let (waiter, answers) = oneshot::channel();
        let open = Open {
            purpose,
            missing,
            answers: Vec::with_capacity(missing),
            waiter,
        };
        self.open.borrow_mut().insert(request, open);
        if purpose == Purpose::Change {
            self.changes_open.set(self.changes_open.get() + 1);
        }
        add_one(&self.counts.asked);
        answers
    }

    /// All answers, in the order of the requests.
    async fn wait(&self, requests: Vec<Answers>) -> Result<Vec<ToFront>, NoAnswer> {
        let gather = async {
            let mut gathered = Vec::with_capacity(requests.len());
            for answers in requests {
                gathered.append(&mut answers.await.map_err(|_| NoAnswer::Late)?);
            }
            Ok(gathered)
        };
        let gathered = tokio::time::timeout(self.limits.answer_within, gather).await;
        let gathered = gathered.unwrap_or(Err(NoAnswer::Late));
        if gathered.is_err() {
            add_one(&self.counts.late);
        }
        gathered
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
        if open.purpose == Purpose::Change {
            self.changes_open.set(self.changes_open.get() - 1);
        }
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
