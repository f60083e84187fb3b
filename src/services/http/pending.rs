//! Requests to the shards and the registry that are under way: which one waits for how many replies. An open one
//! counts until its last reply came, even when its client is no longer waited for: that is what bounds every inbox.

use std::cell::{Cell, RefCell};

use hashbrown::HashMap;
use tokio::sync::oneshot;

use crate::base::ids::{RequestId, ShardId, UserId};
use crate::logic::letter::{ToFront, ToRegistry, ToShard};
use crate::services::http::limits::Limits;

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoReply {
    /// As many requests are open as may be.
    Full,
    /// It did not come in time.
    Late,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestPurpose {
    /// It reads what is, and is answered soon.
    Read,
    /// It waits for a change to be recorded, which may take as long as the disk is full.
    Change,
}

/// One part in this many of the open requests is for changes, so that reading goes on while nothing can be recorded.
const CHANGES_PART: usize = 2;

/// How requests leave.
pub(super) struct RequestSenders {
    pub(super) shard: Box<dyn Fn(ShardId, ToShard)>,
    pub(super) registry: Box<dyn Fn(ToRegistry)>,
}

/// What a request waits for.
type Replies = oneshot::Receiver<Vec<ToFront>>;

struct OpenRequest {
    purpose: RequestPurpose,
    missing: usize,
    replies: Vec<ToFront>,
    waiter: oneshot::Sender<Vec<ToFront>>,
}

/// What is counted of them.
#[derive(Debug, Default)]
pub(super) struct RequestCounts {
    /// Requests that went to the shards.
    pub(super) asked: Cell<u64>,
    /// Requests refused because too many were open.
    pub(super) full: Cell<u64>,
    /// Requests whose replies came too late.
    pub(super) late: Cell<u64>,
}

/// All requests under way.
pub(super) struct PendingRequests {
    pub(super) shards: u16,
    pub(super) counts: RequestCounts,
    limits: Limits,
    senders: RequestSenders,
    latest: Cell<u64>,
    open: RefCell<HashMap<RequestId, OpenRequest>>,
    /// Those of them that wait for changes.
    changes_open: Cell<usize>,
}

impl PendingRequests {
    pub(super) fn new(shards: u16, limits: Limits, senders: RequestSenders) -> Self {
        Self {
            shards,
            limits,
            senders,
            counts: RequestCounts::default(),
            latest: Cell::new(0),
            open: RefCell::default(),
            changes_open: Cell::new(0),
        }
    }

    /// How many requests are open.
    pub(super) fn open_now(&self) -> usize {
        self.open.borrow().len()
    }

    /// Sends the parts of one request, at least one and at most one to a shard, and waits for the reply to each.
    pub(super) async fn ask(
        &self,
        purpose: RequestPurpose,
        parts: impl FnOnce(RequestId) -> Vec<(ShardId, ToShard)>,
    ) -> Result<Vec<ToFront>, NoReply> {
        self.check_room(purpose, 1)?;
        let replies = self.open(purpose, |request| {
            let parts = parts(request);
            let count = parts.len();
            for (shard, part) in parts {
                (self.senders.shard)(shard, part);
            }
            count
        });
        self.wait(vec![replies]).await
    }

    /// Asks the home of each user for a change, each a request of its own, and waits for all replies. They come in the
    /// order of the users. There is room for all of them or none is sent.
    pub(super) async fn ask_each(
        &self,
        users: &[UserId],
        ask: fn(RequestId, UserId) -> ToShard,
    ) -> Result<Vec<ToFront>, NoReply> {
        self.check_room(RequestPurpose::Change, users.len())?;
        let open = |user: &UserId| {
            self.open(RequestPurpose::Change, |request| {
                (self.senders.shard)(user.home(self.shards), ask(request, *user));
                1
            })
        };
        self.wait(users.iter().map(open).collect()).await
    }

    /// Asks the registry, and waits for its reply.
    pub(super) async fn ask_registry(
        &self,
        ask: impl FnOnce(RequestId) -> ToRegistry,
    ) -> Result<ToFront, NoReply> {
        self.check_room(RequestPurpose::Read, 1)?;
        let replies = self.open(RequestPurpose::Read, |request| {
            (self.senders.registry)(ask(request));
            1
        });
        let mut replies = self.wait(vec![replies]).await?;
        Ok(replies.pop().expect("one request has one reply"))
    }

    fn check_room(&self, purpose: RequestPurpose, wanted: usize) -> Result<(), NoReply> {
        let in_flight_max = self.limits.in_flight_max;
        let full = match purpose {
            RequestPurpose::Read => false,
            RequestPurpose::Change => self.changes_open.get() + wanted > in_flight_max.div_ceil(CHANGES_PART),
        };
        if full || self.open_now() + wanted > in_flight_max {
            add_one(&self.counts.full);
            return Err(NoReply::Full);
        }
        Ok(())
    }

    /// Begins a request. `send` sends its parts and gives their number; no reply is taken in before this returns.
    fn open(&self, purpose: RequestPurpose, send: impl FnOnce(RequestId) -> usize) -> Replies {
        self.latest.set(self.latest.get() + 1);
        let request = RequestId(self.latest.get());
        let missing = send(request);
        let (waiter, replies) = oneshot::channel();
        let open = OpenRequest {
            purpose,
            missing,
            replies: Vec::with_capacity(missing),
            waiter,
        };
        self.open.borrow_mut().insert(request, open);
        if purpose == RequestPurpose::Change {
            self.changes_open.set(self.changes_open.get() + 1);
        }
        add_one(&self.counts.asked);
        replies
    }

    /// All replies, in the order of the requests.
    async fn wait(&self, requests: Vec<Replies>) -> Result<Vec<ToFront>, NoReply> {
        let gather = async {
            let mut gathered = Vec::with_capacity(requests.len());
            for replies in requests {
                gathered.append(&mut replies.await.map_err(|_| NoReply::Late)?);
            }
            Ok(gathered)
        };
        let gathered = tokio::time::timeout(self.limits.answer_within, gather).await;
        let gathered = gathered.unwrap_or(Err(NoReply::Late));
        if gathered.is_err() {
            add_one(&self.counts.late);
        }
        gathered
    }

    /// Takes a reply in, and wakes the request when it was the last one.
    pub(super) fn take(&self, reply: ToFront) {
        let request = request_of(&reply);
        let mut all = self.open.borrow_mut();
        let open = all.get_mut(&request).expect("every reply was asked for");
        open.replies.push(reply);
        open.missing -= 1;
        if open.missing > 0 {
            return;
        }
        let open = all.remove(&request).expect("it was here a moment ago");
        if open.purpose == RequestPurpose::Change {
            self.changes_open.set(self.changes_open.get() - 1);
        }
        // A client that gave up needs no reply.
        let _ = open.waiter.send(open.replies);
    }
}

fn add_one(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

fn request_of(reply: &ToFront) -> RequestId {
    match reply {
        ToFront::Statuses(request, _) | ToFront::Kicked(request, _) => *request,
        ToFront::Inspected(request, _) | ToFront::Accounts(request, _) => *request,
    }
}
