//! What is asked of one user's home, wherever that is.

use crate::base::ids::{DeviceId, RequestId, UserId};
use crate::logic::delivery::{Delivery, ToPeer, ToShard};
use crate::services::http::homes::UserHome;

/// What is asked of one user's home.
#[derive(Debug, Clone, Copy)]
pub(super) enum UserRequest {
    /// End all sessions.
    Kick,
    /// End one device's session.
    KickDevice(DeviceId),
    /// End all sessions, and forget the account.
    Delete,
    /// All that is known.
    Inspect,
}

impl UserRequest {
    /// Carried to a home. Where there is none, it is its own refusal.
    pub(super) fn to(self, home: UserHome, request: RequestId, user: UserId) -> Delivery {
        match home {
            UserHome::Shard(shard) => Delivery::Shard(shard, self.to_shard(request, user)),
            UserHome::Peer(node) => Delivery::Peer(node, self.to_peer(request, user)),
            UserHome::Nobody => self.to_peer(request, user).refuse().into(),
        }
    }

    fn to_shard(self, request: RequestId, user: UserId) -> ToShard {
        match self {
            Self::Kick => ToShard::Kick(request, user),
            Self::KickDevice(device) => ToShard::KickDevice(request, user, device),
            Self::Delete => ToShard::Delete(request, user),
            Self::Inspect => ToShard::Inspect(request, user),
        }
    }

    fn to_peer(self, request: RequestId, user: UserId) -> ToPeer {
        match self {
            Self::Kick => ToPeer::Kick(request, user),
            Self::KickDevice(device) => ToPeer::KickDevice(request, user, device),
            Self::Delete => ToPeer::Delete(request, user),
            Self::Inspect => ToPeer::Inspect(request, user),
        }
    }
}
