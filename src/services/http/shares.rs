//! What is asked of several users at once is shared out among their homes. Asks nothing.

use crate::base::ids::{NodeId, ShardId};
use crate::services::http::homes::UserHome;

/// The shares: one for each shard, one for each other node that is home to any of the users, and one of those who are at home
/// nowhere, which is the last.
pub(super) struct Shares {
    shards: u16,
    peers: Vec<NodeId>,
}

impl Shares {
    /// Of users with these homes.
    pub(super) fn of(shards: u16, homes: &[UserHome]) -> Self {
        let mut peers = Vec::new();
        for home in homes {
            if let UserHome::Peer(node) = home
                && !peers.contains(node)
            {
                peers.push(*node);
            }
        }
        Self { shards, peers }
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.shards) + self.peers.len() + 1
    }

    /// The place of a home's share.
    pub(super) fn index(&self, home: UserHome) -> usize {
        match home {
            UserHome::Shard(shard) => usize::from(shard.0),
            UserHome::Peer(node) => {
                let place = self.peers.iter().position(|peer| *peer == node);
                usize::from(self.shards) + place.expect("all homes were looked through")
            }
            UserHome::Nobody => self.count() - 1,
        }
    }
    /// The homes in the order of their shares, but for the last one.
    pub(super) fn homes(&self) -> impl Iterator<Item = UserHome> {
        let shards = (0..self.shards).map(|shard| UserHome::Shard(ShardId(shard)));
        shards.chain(self.peers.iter().map(|node| UserHome::Peer(*node)))
    }
}
