//! What waits to be recorded, and what is promised to whoever asked. Records nothing.

use crate::base::ids::{ShardId, UserId};
use crate::base::time::Timestamp;
use crate::logic::delivery::{RegistryError, UserKey};
use crate::logic::record::{AccountStep, Commit, UserRecord};
use crate::services::registry::shared::gathering::{GatheringId, PartAnswer};
use crate::services::registry::shared::output::DeskCommon;
use crate::services::registry::shared::ownership::ForgetCandidates;

/// Something to be recorded of one partition.
#[derive(Debug)]
pub(super) enum QueuedWrite {
    /// A shard's.
    Commit(ShardId, UserKey, Box<Commit>),
    /// Nothing: a shard wants to know that this node still owns the user.
    Vouch(ShardId, UserKey),
    /// Accounts that exist from now on.
    Import(GatheringId, Vec<UserId>),
    /// Records that may go.
    Forget(ForgetCandidates),
}

/// What is answered when a batch is confirmed.
#[derive(Debug)]
pub(super) enum Promise {
    Committed(ShardId, UserKey, Timestamp),
    /// With the records before it.
    Imported(GatheringId, Vec<(UserId, Option<UserRecord>)>),
    /// So many accounts are forgotten: nobody waits for it.
    Forgotten(u64),
}

impl QueuedWrite {
    pub(super) fn of_commit(shard: ShardId, key: UserKey, commit: Box<Commit>) -> Self {
        let is_empty = commit.changes.is_empty() && commit.kicked_at_s.is_none();
        if is_empty && commit.account == AccountStep::Keep {
            Self::Vouch(shard, key)
        } else {
            Self::Commit(shard, key, commit)
        }
    }

    /// Whose records it needs.
    pub(super) fn users(&self) -> &[UserId] {
        match self {
            Self::Commit(_, _, commit) => std::slice::from_ref(&commit.user),
            Self::Vouch(..) => &[],
            Self::Import(_, users) => users,
            Self::Forget(candidates) => &candidates.users,
        }
    }

    pub(super) fn changes(&self) -> usize {
        match self {
            Self::Commit(_, _, commit) => commit.changes.len(),
            Self::Vouch(..) | Self::Import(..) | Self::Forget(_) => 0,
        }
    }

    pub(super) fn refuse(self, common: &mut DeskCommon, error: RegistryError) {
        match self {
            Self::Commit(shard, key, _) | Self::Vouch(shard, key) => common.committed(shard, key, Err(error)),
            Self::Import(id, _) => common.parts.push((id, PartAnswer::Unavailable)),
            Self::Forget(_) => {}
        }
    }
}

impl Promise {
    pub(super) fn keep(self, common: &mut DeskCommon) {
        match self {
            Self::Committed(shard, key, at) => common.committed(shard, key, Ok(at)),
            Self::Imported(id, before) => common.parts.push((id, PartAnswer::Records(before))),
            Self::Forgotten(count) => common.health.forgot(count),
        }
    }

    pub(super) fn refuse(self, common: &mut DeskCommon, error: RegistryError) {
        match self {
            Self::Committed(shard, key, _) => common.committed(shard, key, Err(error)),
            Self::Imported(id, _) => common.parts.push((id, PartAnswer::Unavailable)),
            Self::Forgotten(_) => {}
        }
    }
}
