//! The callback service in the node: its settings by the configuration, and the operator's way to what was given up.

use crate::node::config::Config;
use crate::services::callback::{Handle, Settings};
use crate::services::http::{CallbackStanding, DeadLetters, Which};
use crate::services::registry::archive::{Position, ReadError};

/// Dead letters that are read at once.
const READ_AT_ONCE: usize = 1_000;

/// What the callback service goes by.
pub(super) fn settings(config: &Config) -> Settings {
    let callback = &config.callback;
    Settings {
        sdk_app_id: config.logic.sdk_app_id,
        url: callback.url.clone(),
        token: callback.token.clone(),
        // An attempt has a connection of its own.
        parallel: callback.parallel.min(callback.connections_max),
        timeout: callback.timeout,
        give_up: callback.give_up,
        ca_file: callback.ca_file.clone(),
    }
}

/// The dead letters of a running callback service.
pub(super) struct Letters(pub(super) Handle);

impl Letters {
    fn places(&self, which: &Which) -> Result<Vec<Position>, ReadError> {
        let source = self.0.source();
        let mut places = Vec::new();
        match which {
            Which::These(named) => {
                for place in named {
                    let there = source.dead(Position(place.0.saturating_sub(1)), 1)?;
                    places.extend(
                        there
                            .iter()
                            .map(|dead| dead.placed.position)
                            .filter(|found| found == place),
                    );
                }
            }
            Which::All => loop {
                let after = places.last().copied().unwrap_or_default();
                let page = source.dead(after, READ_AT_ONCE)?;
                if page.is_empty() {
                    break;
                }
                places.extend(page.iter().map(|dead| dead.placed.position));
            },
        }
        Ok(places)
    }
}

impl DeadLetters for Letters {
    fn standing(&self) -> Result<CallbackStanding, ReadError> {
        let source = self.0.source();
        Ok(CallbackStanding {
            done: source.cursor()?,
            last: source.last(),
            late: source.late_count(),
            dead: source.dead_count(),
        })
    }

    fn dead(
        &self,
        after: Position,
        count_max: usize,
    ) -> Result<Vec<crate::services::registry::outbox::Dead>, ReadError> {
        self.0.source().dead(after, count_max)
    }

    fn replay(&self, which: &Which) -> Result<u64, ReadError> {
        let places = self.places(which)?;
        let count = places.len() as u64;
        self.0.replay(places);
        Ok(count)
    }

    fn forget(&self, which: &Which) -> Result<u64, ReadError> {
        let places = self.places(which)?;
        for some in places.chunks(READ_AT_ONCE) {
            self.0.forget(some)?;
        }
        Ok(places.len() as u64)
    }
}
