//! What shards, the registry, the HTTP server and the node say to one another: requests, replies, and notices, which have no
//! reply. Each goes to the inbox that its address names. Plain values; who carries them is decided elsewhere.

use std::sync::Arc;

use crate::base::ids::{DeviceId, NodeId, PartitionId, RequestId, ShardId, UserId};
use crate::base::receipt::Receipt;
use crate::base::time::Timestamp;
use crate::logic::cluster::home::HomeMap;
use crate::logic::cluster::lease::Lease;
use crate::logic::inspection::Inspection;
use crate::logic::message::{LateOutcome, SendOrder, SendRefusal, TargetResult};
use crate::logic::record::{Commit, UserRecord};
use crate::logic::settings::Settings;
use crate::logic::user_status::{QueryDepth, UserStatus, UserStatuses};
use crate::protocol::transport::settings::ListenerTransports;

/// Something for an inbox of this process, with the address that it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// To this shard.
    Shard(ShardId, ToShard),
    /// To the registry.
    Registry(ToRegistry),
    /// To the HTTP server.
    Http(ToHttp),
    /// To another node of the cluster, which is home to the users of it.
    Peer(NodeId, ToPeer),
    /// To the HTTP server: what became at last of messages that waited for devices. It is a notice.
    Outcomes(Vec<LateOutcome>),
}

impl Delivery {
    /// What is replied to a request that found no room in its inbox.
    ///
    /// # Errors
    /// Gives back a reply or a notice: there is work behind it that was accepted, so whoever sends it keeps it until there is room.
    pub fn refuse(self) -> Result<Self, Self> {
        match self {
            Self::Shard(shard, to_shard) => to_shard.refuse().map_err(|kept| Self::Shard(shard, kept)),
            Self::Registry(request) => Ok(request.refuse()),
            kept @ (Self::Http(_) | Self::Outcomes(_)) => Err(kept),
            Self::Peer(_, asked) => Ok(asked.refuse().into()),
        }
    }
}

impl From<ToRegistry> for Delivery {
    fn from(request: ToRegistry) -> Self {
        Self::Registry(request)
    }
}

impl From<ToHttp> for Delivery {
    fn from(reply: ToHttp) -> Self {
        Self::Http(reply)
    }
}

/// Puts deliveries into their inboxes. It never waits, and panics at nothing: what finds no room comes back. What is for
/// somebody who has ended is dropped.
pub type Router = Box<dyn Fn(Delivery) -> Result<(), Delivery> + Send>;

/// A shard's name for one of its users while something of that user is with the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserKey(pub u32);

/// To a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToShard {
    /// From the registry: the answer to [`ToRegistry::Load`]; no record if there is no such account.
    Loaded(UserKey, Result<Option<Box<UserRecord>>, RegistryError>),
    /// From the registry: the answer to [`ToRegistry::Commit`], with the time that its changes have on record.
    Committed(UserKey, Result<Timestamp, RegistryError>),
    /// From the HTTP server: the statuses of some users of this shard, at most 500. Answered by [`ToHttp::Statuses`].
    Query(RequestId, QueryDepth, Vec<UserId>),
    /// From the HTTP server: end all sessions of a user of this shard. Answered by [`ToHttp::Kicked`].
    Kick(RequestId, UserId),
    /// From the HTTP server: bring a message to users of this shard. Answered by [`ToHttp::Sent`], and for each device that it
    /// waits for later on by [`Delivery::Outcomes`].
    Send(RequestId, Box<SendOrder>),
    /// From the HTTP server: all that is known of a user of this shard. Answered by [`ToHttp::Inspected`].
    Inspect(RequestId, UserId),
    /// From the HTTP server: end one device's session. Answered by [`ToHttp::Kicked`].
    KickDevice(RequestId, UserId, DeviceId),
    /// From the HTTP server: end all sessions of a user and forget the account. Answered by [`ToHttp::Kicked`].
    Delete(RequestId, UserId),
    /// Users of this shard and of this partition that the registry has on record with devices, before anything else of the
    /// partition.
    Adopt(PartitionId, Vec<(UserId, UserRecord)>),
    /// All users of this partition are adopted, and their terminals can connect from now on: its restart grace begins. One that
    /// settles goes on as it was.
    Open(PartitionId),
    /// Decide nothing more of this partition's users. The receipt is dropped when nothing of them is with the registry.
    Settle(PartitionId, Receipt),
    /// Forget this partition's users without a change. Their terminals are sent away, to the address that the last map has for
    /// them. It may be adopted again at any time. The receipt is dropped when nothing of them is with the registry: what was decided of
    /// them must not be recorded once they are adopted again.
    Drop(PartitionId, Receipt),
    /// Forget all users without a change, and send their terminals away. The receipt is dropped as that of a drop.
    SendAway(Receipt),
    /// Where users are at home, from now on. Before the first one all are here.
    Homes(Arc<HomeMap>),
    /// Until when nobody else owns this node's partitions. Before the first one that is for ever.
    Lease(Lease),
    /// From another shard: logins of this shard's users were refused as busy there, since there was no way here.
    TurnedAway,
    /// From the node: other settings, for whatever is decided from now on. The receipt is dropped when they count.
    Settings(Arc<Settings>, Receipt),
    /// What the connections that come from now on travel in, by their listeners. It is the shard's own, and not logic's.
    Transports(ListenerTransports, Receipt),
    /// From the node: say goodbye to everyone and take no more logins.
    Stop,
}

/// To the registry. Each has one reply, to the shard that it came from or (`Complete`, `Accounts`) to the HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToRegistry {
    /// What is on record of a user?
    Load(ShardId, UserKey, UserId),
    /// Record these changes, durably.
    Commit(ShardId, UserKey, Box<Commit>),
    /// Fill in those users that are still unresolved, and pass them on to the HTTP server.
    Complete(RequestId, UserStatuses),
    /// From the HTTP server: look at accounts, or register them. Answered by [`ToHttp::Accounts`].
    Accounts(RequestId, AccountsRequest, Vec<UserId>),
}

impl ToShard {
    /// See [`Delivery::refuse`].
    fn refuse(self) -> Result<Delivery, Self> {
        let reply = match self {
            Self::Query(request, depth, users) => unavailable(request, depth, users),
            Self::Kick(request, _) | Self::KickDevice(request, ..) | Self::Delete(request, _) => {
                ToHttp::Kicked(request, Err(KickError::Busy))
            }
            Self::Send(request, order) => ToHttp::Sent(request, order.refused(SendRefusal::Busy)),
            Self::Inspect(request, _) => ToHttp::Inspected(request, Err(RegistryError::Unavailable)),
            reply @ (Self::Loaded(..) | Self::Committed(..)) => return Err(reply),
            notice @ (Self::Adopt(..)
            | Self::Open(_)
            | Self::Settle(..)
            | Self::Drop(..)
            | Self::SendAway(_)
            | Self::Homes(_)
            | Self::Lease(_)
            | Self::TurnedAway
            | Self::Settings(..)
            | Self::Transports(..)
            | Self::Stop) => {
                return Err(notice);
            }
        };
        Ok(reply.into())
    }

    /// Whether it is a word on the cluster: whoever sends it keeps what is not taken.
    #[must_use]
    pub fn is_of_cluster(&self) -> bool {
        match self {
            Self::Adopt(..) | Self::Open(_) | Self::Settle(..) | Self::Drop(..) | Self::SendAway(_) => true,
            Self::Homes(_) | Self::Lease(_) => true,
            Self::Query(..) | Self::Inspect(..) | Self::Send(..) => false,
            Self::Kick(..) | Self::KickDevice(..) | Self::Delete(..) => false,
            Self::Loaded(..) | Self::Committed(..) => false,
            Self::TurnedAway | Self::Settings(..) | Self::Transports(..) | Self::Stop => false,
        }
    }

    /// Whether it is a request: new work, which may be refused.
    #[must_use]
    pub fn is_request(&self) -> bool {
        match self {
            Self::Query(..) | Self::Inspect(..) | Self::Send(..) => true,
            Self::Kick(..) | Self::KickDevice(..) | Self::Delete(..) => true,
            Self::Loaded(..) | Self::Committed(..) => false,
            Self::Adopt(..) | Self::Open(_) | Self::Settle(..) | Self::Drop(..) | Self::SendAway(_) => false,
            Self::Homes(_) | Self::Lease(_) => false,
            Self::TurnedAway | Self::Settings(..) | Self::Transports(..) | Self::Stop => false,
        }
    }
}

impl ToRegistry {
    /// What is replied to a request that the registry cannot take now.
    #[must_use]
    pub fn refuse(self) -> Delivery {
        match self {
            Self::Load(shard, user, _) => {
                Delivery::Shard(shard, ToShard::Loaded(user, Err(RegistryError::Unavailable)))
            }
            Self::Commit(shard, user, _) => {
                Delivery::Shard(shard, ToShard::Committed(user, Err(RegistryError::Unavailable)))
            }
            Self::Accounts(request, ..) => ToHttp::Accounts(request, Err(RegistryError::Unavailable)).into(),
            Self::Complete(request, mut users) => {
                users.resolve(|_| UserStatus::Unavailable);
                ToHttp::Statuses(request, users).into()
            }
        }
    }
}

/// From the HTTP server to the home of users at another node. Each is answered as the same request to a shard or the registry of this
/// node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToPeer {
    /// See [`ToShard::Query`]. The users may be of several shards there.
    Query(RequestId, QueryDepth, Vec<UserId>),
    /// See [`ToShard::Kick`].
    Kick(RequestId, UserId),
    /// See [`ToShard::KickDevice`].
    KickDevice(RequestId, UserId, DeviceId),
    /// See [`ToShard::Delete`].
    Delete(RequestId, UserId),
    /// See [`ToShard::Inspect`].
    Inspect(RequestId, UserId),
    /// See [`ToRegistry::Accounts`].
    Accounts(RequestId, AccountsRequest, Vec<UserId>),
    /// See [`ToShard::Send`]. The users may be of several shards there.
    Send(RequestId, Box<SendOrder>),
}

impl ToPeer {
    /// What is replied to one that cannot be brought there, or whose answer is lost.
    #[must_use]
    pub fn refuse(self) -> ToHttp {
        match self {
            Self::Query(request, depth, users) => unavailable(request, depth, users),
            Self::Kick(request, _) | Self::KickDevice(request, ..) | Self::Delete(request, _) => {
                ToHttp::Kicked(request, Err(KickError::Busy))
            }
            Self::Inspect(request, _) => ToHttp::Inspected(request, Err(RegistryError::Unavailable)),
            Self::Accounts(request, ..) => ToHttp::Accounts(request, Err(RegistryError::Unavailable)),
            Self::Send(request, order) => ToHttp::Sent(request, order.refused(SendRefusal::Unavailable)),
        }
    }
}

/// Nothing can be said of these users.
fn unavailable(request: RequestId, depth: QueryDepth, users: Vec<UserId>) -> ToHttp {
    let mut statuses = UserStatuses::unresolved(depth, users);
    statuses.resolve(|_| UserStatus::Unavailable);
    ToHttp::Statuses(request, statuses)
}

/// What is asked of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountsRequest {
    /// Whether they exist.
    Check,
    /// That they exist from now on. It is no change.
    Import,
}

/// To the HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToHttp {
    /// One shard's answer to a query: its share of the users.
    Statuses(RequestId, UserStatuses),
    /// The answer to a kick.
    Kicked(RequestId, Result<(), KickError>),
    /// The answer to an inspection; `None` if there is no such account.
    Inspected(RequestId, Result<Option<Box<Inspection>>, RegistryError>),
    /// Which of the accounts existed before, in their order.
    Accounts(RequestId, Result<Vec<bool>, RegistryError>),
    /// What became of a message at first, at each of the users whom it was for, in their order.
    Sent(RequestId, Vec<TargetResult>),
}

/// Why the registry did not do it. Nothing of it was recorded on behalf of who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It cannot now.
    #[error("the registry cannot be asked now")]
    Unavailable,
    /// Another node owns the user: what is held of the user here does not count any more.
    #[error("the user belongs to another node")]
    Superseded,
}

/// Why a kick was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KickError {
    /// There is no such account.
    UnknownAccount,
    /// The device has no session.
    UnknownDevice,
    /// Too much waits for this user, or the registry cannot be asked.
    Busy,
}
