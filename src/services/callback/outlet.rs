//! What all lanes send by: the way to the thread that posts, the target that they share, and what is told of them. Knows no user's
//! turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::services::callback::attempt::Attempt;
use crate::services::callback::log::CallbackLog;
use crate::services::callback::metrics::CallbackMetrics;
use crate::services::callback::receiver::ReceiverUrl;
use crate::services::callback::settings::CallbackSettings;
use crate::services::callback::target::CallbackTarget;
use crate::services::registry::archive::{Placed, Position};
use crate::services::registry::outbox::{Dead, OutboxStep};

/// What all lanes send by.
pub(crate) struct CallbackOutlet {
    pub(crate) target: CallbackTarget,
    attempts: mpsc::UnboundedSender<Attempt>,
    pub(super) metrics: Arc<CallbackMetrics>,
    pub(super) log: CallbackLog,
    /// Where callbacks go. `None`: there is no receiver.
    url: Option<ReceiverUrl>,
    /// How long dead letters are kept.
    pub(super) dead_kept: Duration,
}

impl CallbackOutlet {
    /// `seed` is that of the waits.
    pub(super) fn new(
        settings: &CallbackSettings,
        attempts: mpsc::UnboundedSender<Attempt>,
        seed: u64,
    ) -> Self {
        Self {
            target: CallbackTarget::new(settings.parallel, settings.give_up, seed),
            attempts,
            metrics: Arc::default(),
            log: CallbackLog::new(settings.url.as_ref()),
            url: settings.url.clone(),
            dead_kept: settings.dead_kept,
        }
    }

    pub(super) fn follow(&mut self, settings: &CallbackSettings) {
        if self.url != settings.url {
            self.url.clone_from(&settings.url);
            self.log.follow(settings.url.as_ref());
            self.target.follow_receiver();
        }
        self.target.set_bounds(settings.parallel, settings.give_up);
        self.dead_kept = settings.dead_kept;
    }

    /// There is no receiver.
    pub(super) fn is_paused(&self) -> bool {
        self.url.is_none()
    }

    /// An attempt of this lane leaves.
    pub(super) fn send(&self, lane: u64, attempt: Attempt) {
        // The poster ends after this thread; if it has failed the node notices.
        let _ = self.attempts.send(Attempt { lane, ..attempt });
    }

    /// Nobody is told of a change that is gone.
    pub(super) fn lose(&self, user: UserId, place: Position) {
        tracing::error!(%user, position = place.0, "a callback is lost: its change is gone from the store");
        self.metrics.lost();
    }

    /// A callback is given up.
    pub(super) fn bury(
        &mut self,
        now: Timestamp,
        placed: Placed,
        (attempts, fault): (u32, &str),
    ) -> OutboxStep {
        let dead = Dead {
            placed,
            attempts,
            at: now,
            fault: fault.to_owned(),
        };
        self.log.buried(&dead);
        OutboxStep::Bury(dead)
    }
}
