//! The way into a running callback service, for the node. Sends nothing itself.

use std::fmt;
use std::sync::Arc;

use crossbeam_channel::{Sender, bounded};
use tokio::sync::mpsc;

use crate::base::ids::{PartitionId, UserId};
use crate::base::receipt::Receipt;
use crate::services::callback::event::PumpEvent;
use crate::services::callback::metrics::CallbackMetrics;
use crate::services::callback::settings::CallbackSettings;
use crate::services::callback::store::CallbackStore;
use crate::services::registry::archive::{Position, ReadError};

/// The way into a running callback service.
#[derive(Clone)]
pub struct CallbackHandle {
    pub(super) events: Sender<PumpEvent>,
    pub(super) settings: mpsc::UnboundedSender<(Arc<CallbackSettings>, Receipt)>,
    pub(super) metrics: Arc<CallbackMetrics>,
}

impl fmt::Debug for CallbackHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackHandle")
    }
}

impl CallbackHandle {
    /// Other settings, from the next attempt on. The receipt is dropped when they count for all that leaves; without a
    /// receiver, when nothing is under way any more either.
    pub fn update(&self, settings: CallbackSettings, receipt: Receipt) {
        let settings = Arc::new(settings);
        // Who posts knows them before who has something to post. Neither listens after its end.
        let _ = self.settings.send((Arc::clone(&settings), receipt.clone()));
        let _ = self.events.send(PumpEvent::CallbackSettings(settings, receipt));
    }

    /// Has these dead letters of these users sent again, marked as replayed: those of one user one after the other, the
    /// oldest first, and not beside another callback of this user. Each stays a dead letter until it is delivered; if one
    /// fails, the user's later ones are not sent.
    pub fn replay(&self, dead_letters: Vec<(UserId, Position)>) {
        let _ = self.events.send(PumpEvent::Replay(dead_letters));
    }

    /// Forgets late callbacks, of one user or of all, and gives how many there were. It blocks.
    ///
    /// # Errors
    /// If the store cannot be written, or the service stops.
    pub fn drop_late(&self, user: Option<UserId>) -> Result<u64, ReadError> {
        let (answer, answered) = bounded(1);
        let _ = self.events.send(PumpEvent::DropLate(user, answer));
        let stopped = || ReadError::Store("the callback service stops".to_owned());
        answered.recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// This partition's callbacks are told from here from now on, of this store.
    pub fn gain(&self, partition: PartitionId, store: Arc<dyn CallbackStore>) {
        let _ = self.events.send(PumpEvent::LaneGained(partition, store));
    }

    /// They are not any more.
    pub fn lose(&self, partition: PartitionId) {
        let _ = self.events.send(PumpEvent::LaneLost(partition));
    }

    /// How callbacks go.
    #[must_use]
    pub fn metrics(&self) -> Arc<CallbackMetrics> {
        Arc::clone(&self.metrics)
    }
}
