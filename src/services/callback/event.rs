//! What the pump's thread is told, by the posting thread and by the node.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::base::ids::UserId;
use crate::base::receipt::Receipt;
use crate::services::callback::attempt::{Attempt, AttemptOutcome};
use crate::services::callback::settings::CallbackSettings;
use crate::services::registry::archive::{Position, ReadError};

/// What the pump is told.
#[derive(Debug)]
pub(crate) enum PumpEvent {
    /// There may be new changes.
    News,
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
