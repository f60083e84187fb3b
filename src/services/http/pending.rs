//! Requests to the shards and the registry that are under way: which one waits for how many replies. An open one
//! counts until its last reply came, even when its client is no longer waited for: that is what bounds every inbox.

use std::cell::{Cell, RefCell};

use hashbrown::HashMap;
use tokio::sync::oneshot;

use crate::base::ids::{NodeId, RequestId, UserId};
use crate::base::time::Instant;
use crate::logic::delivery::{AccountsRequest, Delivery, RegistryError, Router, ToHttp, ToPeer, ToRegistry};
use crate::services::http::homes::{ClusterView, HomesNow, UserHome, UserHomes};
use crate::services::http::limits::Limits;
use crate::services::http::user_request::UserRequest;

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

/// What a request waits for.
type Replies = oneshot::Receiver<Vec<ToHttp>>;

struct OpenRequest {
    purpose: RequestPurpose,
    missing: usize,
    replies: Vec<ToHttp>,
    waiter: oneshot::Sender<Vec<ToHttp>>,
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
    homes: UserHomes,
    pub(super) counts: RequestCounts,
    limits: Limits,
    router: Router,
    latest: Cell<u64>,
    open: RefCell<HashMap<RequestId, OpenRequest>>,
    /// Those of them that wait for changes.
    changes_open: Cell<usize>,
}

impl PendingRequests {
    pub(super) fn new(homes: UserHomes, limits: Limits, router: Router) -> Self {
        Self {
            homes,
            limits,
            router,
            counts: RequestCounts::default(),
            latest: Cell::new(0),
            open: RefCell::default(),
            changes_open: Cell::new(0),
        }
    }

    /// The homes of all users, as they are now.
    pub(super) fn homes(&self) -> HomesNow {
        self.homes.now()
    }

    /// What is known of the cluster, if there is one.
    pub(super) fn cluster(&self) -> Option<&ClusterView> {
        self.homes.cluster()
    }

    /// Whether the node's lease holds, if it is one of a cluster.
    pub(super) fn has_lease(&self) -> bool {
        self.homes.has_lease()
    }

    /// How many requests are open.
    pub(super) fn open_now(&self) -> usize {
        self.open.borrow().len()
    }

    /// Sends the parts of one request, at least one and at most one to a shard, and waits for the reply to each.
    pub(super) async fn ask<P>(
        &self,
        purpose: RequestPurpose,
        parts: impl FnOnce(RequestId) -> P,
    ) -> Result<Vec<ToHttp>, NoReply>
    where
        P: IntoIterator<Item = Delivery, IntoIter: ExactSizeIterator>,
    {
        self.check_room(purpose, 1)?;
        let asked_at = self.homes.clock();
        let replies = self.open(purpose, parts);
        self.wait(asked_at, vec![replies]).await
    }

    /// Asks a user's home, and waits for its reply.
    pub(super) async fn ask_home(
        &self,
        purpose: RequestPurpose,
        user: UserId,
        ask: UserRequest,
    ) -> Result<ToHttp, NoReply> {
        let home = self.homes().of(&user);
        let mut replies = self.ask(purpose, |request| [ask.to(home, request, user)]).await?;
        Ok(replies.pop().expect("one request has one reply"))
    }

    /// Asks the home of each user for a change, each a request of its own, and waits for all replies. They come in the
    /// order of the users. There is room for all of them or none is sent.
    pub(super) async fn ask_each(&self, users: &[UserId], ask: UserRequest) -> Result<Vec<ToHttp>, NoReply> {
        self.check_room(RequestPurpose::Change, users.len())?;
        let asked_at = self.homes.clock();
        let homes = self.homes();
        let open = |user: &UserId| {
            let home = homes.of(user);
            self.open(RequestPurpose::Change, |request| [ask.to(home, request, *user)])
        };
        self.wait(asked_at, users.iter().map(open).collect()).await
    }

    /// Asks the registries of the accounts' homes, each with its share of them, at least one, and gives whether each existed, in
    /// their order. What one of them has done stays done if another one cannot.
    pub(super) async fn ask_accounts(
        &self,
        ask: AccountsRequest,
        users: &[UserId],
    ) -> Result<Result<Vec<bool>, RegistryError>, NoReply> {
        let homes = self.homes();
        let mut shares: Vec<(Option<NodeId>, Vec<usize>)> = Vec::new();
        for (place, user) in users.iter().enumerate() {
            let node = match homes.of(user) {
                UserHome::Shard(_) => None,
                UserHome::Peer(node) => Some(node),
                UserHome::Nobody => return Ok(Err(RegistryError::Unavailable)),
            };
            match shares.iter_mut().find(|(known, _)| *known == node) {
                Some((_, places)) => places.push(place),
                None => shares.push((node, vec![place])),
            }
        }
        self.check_room(RequestPurpose::Read, shares.len())?;
        let asked_at = self.homes.clock();
        let open = |(node, places): &(Option<NodeId>, Vec<usize>)| {
            let share: Vec<UserId> = places.iter().map(|place| users[*place]).collect();
            self.open(RequestPurpose::Read, |request| {
                [match node {
                    None => ToRegistry::Accounts(request, ask, share).into(),
                    Some(node) => Delivery::Peer(*node, ToPeer::Accounts(request, ask, share)),
                }]
            })
        };
        let replies = self.wait(asked_at, shares.iter().map(open).collect()).await?;
        let mut existed = vec![false; users.len()];
        for (reply, (_, places)) in replies.into_iter().zip(&shares) {
            let ToHttp::Accounts(_, share) = reply else {
                unreachable!("accounts are answered by accounts")
            };
            let share = match share {
                Ok(share) => share,
                Err(error) => return Ok(Err(error)),
            };
            places
                .iter()
                .zip(share)
                .for_each(|(place, it)| existed[*place] = it);
        }
        Ok(Ok(existed))
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

    /// Begins a request: sends its parts. One that finds no room is refused here.
    fn open<P>(&self, purpose: RequestPurpose, parts: impl FnOnce(RequestId) -> P) -> Replies
    where
        P: IntoIterator<Item = Delivery, IntoIter: ExactSizeIterator>,
    {
        self.latest.set(self.latest.get() + 1);
        let request = RequestId(self.latest.get());
        let parts = parts(request).into_iter();
        let (waiter, replies) = oneshot::channel();
        let open = OpenRequest {
            purpose,
            missing: parts.len(),
            replies: Vec::with_capacity(parts.len()),
            waiter,
        };
        self.open.borrow_mut().insert(request, open);
        if purpose == RequestPurpose::Change {
            self.changes_open.set(self.changes_open.get() + 1);
        }
        add_one(&self.counts.asked);
        for part in parts {
            match part {
                Delivery::Http(refusal) => self.take(refusal),
                part @ (Delivery::Shard(..)
                | Delivery::Registry(_)
                | Delivery::Peer(..)
                | Delivery::Outcomes(_)) => {
                    if let Err(unsent) = (self.router)(part) {
                        self.take_refusal(unsent);
                    }
                }
            }
        }
        replies
    }

    fn take_refusal(&self, unsent: Delivery) {
        match unsent.refuse() {
            Ok(Delivery::Http(refusal)) => self.take(refusal),
            other @ (Ok(_) | Err(_)) => unreachable!("requests of this server are answered here: {other:?}"),
        }
    }

    /// All replies, in the order of the requests. The clock said `asked_at` before these were sent.
    async fn wait(&self, asked_at: Instant, requests: Vec<Replies>) -> Result<Vec<ToHttp>, NoReply> {
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
        let mut gathered = gathered?;
        if !self.homes.may_leave(asked_at) {
            gathered.iter_mut().for_each(withdraw);
        }
        Ok(gathered)
    }

    /// Takes a reply in, and wakes the request when it was the last one.
    pub(super) fn take(&self, reply: ToHttp) {
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

/// What was read from memory may not be true any more: nothing is known. What was recorded is.
fn withdraw(reply: &mut ToHttp) {
    match reply {
        ToHttp::Statuses(_, statuses) => statuses.withdraw(),
        ToHttp::Inspected(_, known) => *known = Err(RegistryError::Unavailable),
        ToHttp::Kicked(..) | ToHttp::Accounts(..) | ToHttp::Sent(..) => {}
    }
}

fn add_one(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

fn request_of(reply: &ToHttp) -> RequestId {
    match reply {
        ToHttp::Statuses(request, _) | ToHttp::Kicked(request, _) => *request,
        ToHttp::Inspected(request, _) | ToHttp::Accounts(request, _) | ToHttp::Sent(request, _) => *request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ShardId;
    use crate::base::time::Clock;
    use crate::logic::delivery::{KickError, ToShard};

    #[tokio::test]
    async fn a_request_that_finds_no_room_is_refused_at_once() {
        let pending = PendingRequests::new(
            UserHomes::new(1, None, Clock::start()),
            Limits::default(),
            Box::new(Err),
        );
        let alice = UserId::new(b"alice").unwrap();
        let kicked = pending.ask_each(&[alice], UserRequest::Kick).await.unwrap();
        assert_eq!(kicked, [ToHttp::Kicked(RequestId(1), Err(KickError::Busy))]);
        let inspected = pending
            .ask(RequestPurpose::Read, |request| {
                [Delivery::Shard(ShardId(0), ToShard::Inspect(request, alice))]
            })
            .await;
        assert_eq!(
            inspected.unwrap(),
            [ToHttp::Inspected(RequestId(2), Err(RegistryError::Unavailable))]
        );
        assert_eq!(pending.open_now(), 0);
    }
}
