//! How a store is opened, and who hears of damage. What can be done without is no reason not to open it.

use std::sync::{Arc, Mutex};

use super::check::Look;
use super::errors::OpenError;
use super::forget::Pass;
use super::reading::Reading;
use super::store::{Files, Place};
use super::{Embedded, Rules, USERS_TOLD_MAX, tidy};
use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::logic::letter::RegistryError;
use crate::services::registry::archive::ReadError;

impl Embedded {
    /// Opens a store, or makes one.
    ///
    /// # Errors
    /// Says what is wrong with it, and changes nothing.
    pub fn open(place: Place, rules: Rules) -> Result<Self, OpenError> {
        let opened = Self::open_with(&place, &rules, Look::AtTheirEnds);
        let Err(OpenError::Unreadable { .. }) = opened else {
            return opened;
        };
        // What was read to open it is damaged: it is looked for, and tried once more with the rest.
        Self::open_with(&place, &rules, Look::AtAll)
    }

    fn open_with(place: &Place, rules: &Rules, look: Look) -> Result<Self, OpenError> {
        let files = Files::open(place, look)?;
        let unreadable = |error: ReadError| OpenError::Unreadable {
            path: place.path.clone(),
            text: error.to_string(),
        };
        tidy::tidy(&files).map_err(unreadable)?;
        let last = files.last().map_err(unreadable)?;
        let reading = Reading::new(place.clone(), files, last).map_err(unreadable)?;
        Ok(Self {
            rules: rules.clone(),
            vitals: reading.vitals.clone(),
            reading: Arc::new(reading),
            last,
            unsure: None,
            unsynced: false,
            pass: Pass::default(),
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
            RegistryError
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
