//! Looks for deleted accounts of a lane that are kept no longer, in small steps over all users. Removes none: whether their records go is
//! decided where records are written.

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::codec;
use crate::services::registry::deleted_accounts::{Fate, PASS_AGAIN_AFTER_MS, fate};
use crate::services::registry::shared::lane::{SCAN_USERS, SharedLane};
use crate::services::registry::shared::ownership::ForgetCandidates;
use crate::services::shared_store::calls::{RecordHash, SharedStore};

/// Candidates of one order: their records are loaded and removed together.
const CANDIDATES_MAX: usize = 64;

/// When a pass goes on that could not be.
const AGAIN_AFTER_MS: u64 = 60_000;

/// Where a pass over all users of a lane stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct LaneForgetPass {
    due_at: Timestamp,
    from: u64,
}

impl LaneForgetPass {
    /// Whether there is something to look at.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.due_at
    }

    /// It goes on later: the store cannot be read.
    pub fn put_off(&mut self, now: Timestamp) {
        self.due_at = Timestamp(now.0.saturating_add(AGAIN_AFTER_MS));
    }
}

impl<S: SharedStore + Send> SharedLane<S> {
    /// Looks at some users. Gives those whose records may go.
    ///
    /// # Errors
    /// If the store cannot be read, or the lane is another node's. Then the pass goes on there.
    pub fn look_for_deleted(
        &self,
        pass: &mut LaneForgetPass,
        now: Timestamp,
        kept_ms: u64,
    ) -> Result<Vec<ForgetCandidates>, ReadError> {
        let partition = self.source().partition;
        let seen = self.read(|store| store.outbox_counts(partition))?.seen;
        let pruned = Position(seen.places.pruned);
        let part = self.call(|store| store.scan(partition, RecordHash::Others, pass.from, SCAN_USERS))?;
        let mut users: Vec<UserId> = Vec::new();
        for (user, record) in &part.users {
            let known = codec::decode_user(record)?;
            if fate(&known, (now, kept_ms), pruned) != Fate::Stays {
                users.push(*user);
            }
        }
        *pass = match part.next {
            Some(from) => LaneForgetPass { from, ..*pass },
            None => LaneForgetPass {
                due_at: Timestamp(now.0.saturating_add(PASS_AGAIN_AFTER_MS)),
                from: 0,
            },
        };
        let candidates = |users: &[UserId]| ForgetCandidates {
            users: users.to_vec(),
            kept_ms,
            pruned,
        };
        Ok(users.chunks(CANDIDATES_MAX).map(candidates).collect())
    }
}
