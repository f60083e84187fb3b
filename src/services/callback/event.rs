//! What the pump's thread is told, by the posting thread and by the node.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::base::ids::{PartitionId, UserId};
use crate::base::receipt::Receipt;
use crate::services::callback::attempt::{Attempt, AttemptOutcome};
use crate::services::callback::settings::CallbackSettings;
use crate::services::callback::store::CallbackStore;
use crate::services::registry::archive::{Position, ReadError};

/// What the pump is told.
pub(crate) enum PumpEvent {
    /// There may be new changes.
    News,
    /// This partition's callbacks are told from here from now on. It may be there already, with another store.
    LaneGained(PartitionId, Arc<dyn CallbackStore>),
    /// They are not any more: whatever is under way of them ends without a word to the store.
    LaneLost(PartitionId),
    /// An attempt ended.
    Ended(Box<Attempt>, AttemptOutcome, Duration),
    /// These dead letters of these users are to be sent again.
    Replay(Vec<(UserId, Position)>),
    /// Late callbacks of one user, or of all, are to be forgotten; the answer says how many there were.
    DropLate(Option<UserId>, Sender<Result<u64, ReadError>>),
    /// From the next attempt on. The receipt is dropped when they count: without a receiver, when nothing is under way any more.
    CallbackSettings(Arc<CallbackSettings>, Receipt),
    /// Nothing new is sent; what is under way may end until then.
    Stop(Duration),
}
