//! One attempt to tell a callback: what is sent, and what became of it, and whom that concerns. Says nothing of what follows.

use crate::services::registry::archive::Placed;

/// Where a callback that is sent comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptOrigin {
    /// The stream.
    Stream,
    /// The late ones of its user.
    Late,
    /// The dead letters, by the operator's wish.
    Dead,
}

/// One attempt to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) placed: Placed,
    pub(crate) origin: AttemptOrigin,
    /// Which lane it is of, counted from the start: a lane that was lost and is back has another number.
    pub(crate) lane: u64,
    /// 1 for the first.
    pub(crate) number: u32,
    /// Which receiver it was meant for, counted from the start: what came of it says nothing of a later one.
    pub(crate) receiver: u64,
    /// By how much the change is dated ahead of when it was recorded, in milliseconds: set when it has ended.
    pub(crate) ahead_ms: u64,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AttemptOutcome {
    /// The receiver took the callback.
    Delivered,
    /// The receiver answered, and does not take this callback. It is up, so this is its user's affair alone.
    Refused(String),
    /// Nobody answered as a receiver does: no connection, no answer in time, or an HTTP status that is not 200. Any callback
    /// would have met that.
    Unreachable(String),
    /// It never left: there is no receiver any more.
    Unsent,
}

impl AttemptOutcome {
    /// Why it failed, if it did.
    pub(super) fn fault(&self) -> Option<&str> {
        match self {
            Self::Delivered | Self::Unsent => None,
            Self::Refused(fault) | Self::Unreachable(fault) => Some(fault),
        }
    }
}
