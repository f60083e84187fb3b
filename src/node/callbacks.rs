//! The callback service in the node: its settings by the configuration, and the operator's way to what was given up.

use std::sync::Arc;

use tokio::sync::watch;

use super::store;
use crate::base::ids::UserId;
use crate::base::receipt::Receipt;
use crate::logic::record::Callbacks;
use crate::node::config::Config;
use crate::services::callback::{CallbackHandle, CallbackSettings, CallbackStore};
use crate::services::http::{CallbackStatus, DeadLetters, DeadSelection};
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::outbox::Dead;
use crate::services::trust::Trust;

/// Dead letters that are read at once.
const READ_AT_ONCE: usize = 1_000;

/// What the callback service goes by, with the certificates of `callback.ca_file`.
pub(super) fn settings(config: &Config, trust: Trust) -> CallbackSettings {
    let callback = &config.callback;
    CallbackSettings {
        sdk_app_id: config.logic.sdk_app_id,
        url: callback.url.clone(),
        token: callback.token.clone(),
        // An attempt has a connection of its own.
        parallel: callback.parallel.min(callback.connections_max),
        timeout: callback.timeout,
        give_up: callback.give_up,
        dead_kept: callback.dead_kept,
        trust,
    }
}

/// Who has to know which changes are told, and how.
pub struct CallbackUpdates {
    owed: watch::Sender<Callbacks>,
    service: Option<CallbackHandle>,
}

impl CallbackUpdates {
    /// The registry, which goes by `owed` from the next commit on, and the callback service, if there is a store to tell from.
    #[must_use]
    pub fn new(owed: watch::Sender<Callbacks>, service: Option<CallbackHandle>) -> Self {
        Self { owed, service }
    }

    /// Tells both of a changed configuration. What the registry is told counts at once.
    pub fn tell(&self, config: &Config, trust: Trust, receipt: Receipt) {
        self.owed.send_replace(store::callbacks(config));
        if let Some(service) = &self.service {
            service.update(settings(config, trust), receipt);
        }
    }
}

/// The dead letters of a running callback service.
pub(super) struct DeadLetterAccess {
    handle: CallbackHandle,
    store: Arc<dyn CallbackStore>,
}

impl DeadLetterAccess {
    /// That of a service whose store is one for ever; `None` of any other.
    pub(super) fn of(handle: CallbackHandle) -> Option<Self> {
        let store = handle.store()?;
        Some(Self { handle, store })
    }

    fn named(&self, which: &DeadSelection) -> Result<Vec<(UserId, Position)>, ReadError> {
        let store = &self.store;
        let name = |dead: &Dead| (dead.placed.recorded.user, dead.placed.position);
        let mut named = Vec::new();
        match which {
            DeadSelection::These(places) => {
                for place in places {
                    let there = store.dead(Position(place.0.saturating_sub(1)), 1)?;
                    named.extend(there.iter().map(name).filter(|(_, found)| found == place));
                }
            }
            DeadSelection::All => loop {
                let after = named.last().map_or(Position(0), |(_, place)| *place);
                let page = store.dead(after, READ_AT_ONCE)?;
                if page.is_empty() {
                    break;
                }
                named.extend(page.iter().map(name));
            },
        }
        Ok(named)
    }
}

impl DeadLetters for DeadLetterAccess {
    fn status(&self) -> Result<CallbackStatus, ReadError> {
        let store = &self.store;
        Ok(CallbackStatus {
            done: store.cursor()?,
            last: store.last(),
            late: store.late_count(),
            dead: store.dead_count(),
        })
    }

    fn dead(&self, after: Position, count_max: usize) -> Result<Vec<Dead>, ReadError> {
        self.store.dead(after, count_max)
    }

    fn replay(&self, which: &DeadSelection) -> Result<u64, ReadError> {
        let letters = self.named(which)?;
        let count = letters.len() as u64;
        self.handle.replay(letters);
        Ok(count)
    }

    fn drop_late(&self, user: Option<UserId>) -> Result<u64, ReadError> {
        self.handle.drop_late(user)
    }

    fn forget(&self, which: &DeadSelection) -> Result<u64, ReadError> {
        let letters = self.named(which)?;
        let places: Vec<Position> = letters.into_iter().map(|(_, place)| place).collect();
        for some in places.chunks(READ_AT_ONCE) {
            self.handle.forget(some)?;
        }
        Ok(places.len() as u64)
    }
}
