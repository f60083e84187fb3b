//! The thread that posts: takes attempts from the pump, makes them side by side, and tells what became of each. Decides nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;

use crate::base::receipt::Receipt;
use crate::base::time::{Clock, millis};
use crate::services::callback::attempt::Attempt;
use crate::services::callback::event::PumpEvent;
use crate::services::callback::post::Poster;
use crate::services::callback::resolver::Resolver;
use crate::services::callback::settings::CallbackSettings;
use crate::services::registry::archive::Position;

/// The posting thread.
pub(super) struct PostingLoop {
    pub(super) resolver: Resolver,
    pub(super) events: Sender<PumpEvent>,
    pub(super) settings: Arc<CallbackSettings>,
    pub(super) changed: mpsc::UnboundedReceiver<(Arc<CallbackSettings>, Receipt)>,
    pub(super) store_id: u64,
    pub(super) clock: Clock,
}

impl PostingLoop {
    /// Until the pump is gone.
    pub(super) async fn run(
        mut self,
        mut due: mpsc::UnboundedReceiver<Attempt>,
        mut news: watch::Receiver<Position>,
    ) -> io::Result<()> {
        let mut poster = self.poster();
        loop {
            tokio::select! {
                biased;
                Some((settings, _receipt)) = self.changed.recv() => {
                    self.settings = settings;
                    poster = self.poster();
                }
                attempt = due.recv() => match attempt {
                    Some(attempt) => self.post(&poster, attempt),
                    None => return Ok(()),
                },
                Ok(()) = news.changed(), if self.has_receiver() => {
                    let _ = self.events.send(PumpEvent::News);
                }
            }
        }
    }

    /// Without one, changes wait, or are passed by when the pump looks up: nothing of that is in a hurry.
    fn has_receiver(&self) -> bool {
        self.settings.url.is_some()
    }

    fn poster(&self) -> Arc<Poster> {
        Arc::new(Poster::new(
            Arc::clone(&self.settings),
            self.store_id,
            self.resolver.clone(),
        ))
    }

    fn post(&mut self, poster: &Arc<Poster>, attempt: Attempt) {
        let (poster, events, mut clock) = (Arc::clone(poster), self.events.clone(), self.clock.clone());
        spawn_local(async move {
            let began = clock.now();
            let outcome = poster.post(&attempt, began.wall.seconds()).await;
            let took_ms = millis(clock.now().instant.since(began.instant));
            // After its end the pump does not listen any more.
            let _ = events.send(PumpEvent::Ended(
                Box::new(attempt),
                outcome,
                Duration::from_millis(took_ms),
            ));
        });
    }
}
