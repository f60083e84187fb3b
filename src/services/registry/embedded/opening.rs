//! How a store is opened, and who hears of damage. What can be done without is no reason not to open it.

use std::sync::{Arc, Mutex};

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::logic::delivery::RegistryError;
use crate::services::registry::archive::ReadError;
use crate::services::registry::embedded::check::TableCheck;
use crate::services::registry::embedded::errors::OpenError;
use crate::services::registry::embedded::files::Files;
use crate::services::registry::embedded::reader::StoreReader;
use crate::services::registry::embedded::settings::{EmbeddedSettings, StoreLocation};
use crate::services::registry::embedded::tidy;
use crate::services::registry::embedded::writer::{EmbeddedStore, ForgetPass};

/// Users whose damaged record is named in the log: once each, and no more of them, since each try of theirs would be a line.
const USERS_TOLD_MAX: usize = 1_000;

impl EmbeddedStore {
    /// Opens a store, or makes one.
    ///
    /// # Errors
    /// Says what is wrong with it, and changes nothing.
    pub fn open(place: StoreLocation, settings: EmbeddedSettings) -> Result<Self, OpenError> {
        let opened = Self::open_with(&place, &settings, TableCheck::AtTheirEnds);
        let Err(OpenError::Unreadable { .. }) = opened else {
            return opened;
        };
        // What was read to open it is damaged: it is looked for, and tried once more with the rest.
        Self::open_with(&place, &settings, TableCheck::AtAll)
    }

    fn open_with(
        place: &StoreLocation,
        settings: &EmbeddedSettings,
        look: TableCheck,
    ) -> Result<Self, OpenError> {
        let files = Files::open(place, look)?;
        let unreadable = |error: ReadError| OpenError::Unreadable {
            path: place.path.clone(),
            text: error.to_string(),
        };
        tidy::tidy(&files).map_err(unreadable)?;
        let last = files.last().map_err(unreadable)?;
        let reader = StoreReader::new(place.clone(), files, last).map_err(unreadable)?;
        Ok(Self {
            settings: settings.clone(),
            health: reader.health.clone(),
            reader: Arc::new(reader),
            last,
            unsure: None,
            unsynced: false,
            pass: ForgetPass::default(),
            looked_at: None,
            told: Mutex::default(),
        })
    }

    /// The operator learns why something is refused: the store fails for all, or a part of it is lost for some.
    pub(super) fn noted<T>(
        &self,
        now: Timestamp,
        users: &[UserId],
        result: Result<T, ReadError>,
    ) -> Result<T, RegistryError> {
        result.map_err(|error| {
            if let ReadError::Store(_) = error {
                self.fail(now, &error);
            } else {
                let names: Vec<_> = users.iter().map(UserId::as_str).collect();
                self.tell_damage(&names.join(" "), &error);
            }
            RegistryError::Unavailable
        })
    }

    /// Tells damage once for each that it concerns.
    pub(super) fn tell_damage(&self, whom: &str, error: &ReadError) {
        let mut told = self.told.lock().expect("nobody panics while telling");
        if told.len() < USERS_TOLD_MAX && told.insert(whom.to_owned()) {
            tracing::warn!(whom, %error, "refused: the registry's store is damaged here; everyone else goes on");
        }
    }
}
