//! What the callback service goes by.

use std::time::Duration;

use crate::base::secret::Secret;
use crate::services::callback::receiver::ReceiverUrl;
use crate::services::trust::Trust;

/// What the callback service goes by.
#[derive(Debug, Clone)]
pub struct CallbackSettings {
    /// The one app that is served.
    pub sdk_app_id: u64,
    /// Where callbacks go. `None`: nothing is sent, and what is due waits.
    pub url: Option<ReceiverUrl>,
    /// Signs the URL of each attempt, if there is one.
    pub token: Option<Secret>,
    /// Attempts that are made at the same time, each on a connection of its own.
    pub parallel: usize,
    /// For the whole exchange: finding the address if none is known, connecting, asking, and the answer.
    pub timeout: Duration,
    /// Counted from the change: after this a callback that fails becomes a dead letter.
    pub give_up: Duration,
    /// After this a dead letter is dropped.
    pub dead_kept: Duration,
    /// Whose certificates vouch for the receiver.
    pub trust: Trust,
}
