//! The table of connections: each in the slot that the engine gave it. Keeps them; decides nothing.

use crate::base::ids::ConnKey;
use crate::logic::connections::session::{Session, SessionPhase};
use crate::logic::connections::versions::VersionId;

/// The connections of a shard, each in the slot that the engine gave it.
#[derive(Debug)]
pub(super) struct Sessions {
    slots: Vec<Option<Session>>,
}

impl Sessions {
    /// Room for `connections_max`; what is not used costs no memory.
    pub(super) fn new(connections_max: u32) -> Self {
        Self {
            slots: Vec::with_capacity(connections_max as usize),
        }
    }

    /// A new connection takes its slot.
    pub(super) fn put(&mut self, key: ConnKey, session: Session) {
        let slot = key.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, None);
        }
        self.slots[slot] = Some(session);
    }

    /// The connection, unless it is gone and another has its slot.
    pub(super) fn get(&self, key: ConnKey) -> Option<&Session> {
        self.slots
            .get(key.slot as usize)?
            .as_ref()
            .filter(|session| session.generation == key.generation)
    }

    /// The connection, unless it is gone and another has its slot.
    pub(super) fn get_mut(&mut self, key: ConnKey) -> Option<&mut Session> {
        self.slots
            .get_mut(key.slot as usize)?
            .as_mut()
            .filter(|session| session.generation == key.generation)
    }

    /// The connection in a slot.
    pub(super) fn at(&self, slot: u32) -> Option<ConnKey> {
        let generation = self.slots.get(slot as usize)?.as_ref()?.generation;
        Some(ConnKey { slot, generation })
    }

    /// The phase of a connection; [`SessionPhase::Free`] if it is gone.
    pub(super) fn phase(&self, key: ConnKey) -> SessionPhase {
        self.get(key)
            .map_or(SessionPhase::Free, |session| session.phase.get())
    }

    /// Forgets the connection. Gives what it was, unless it is gone already.
    pub(super) fn take(&mut self, key: ConnKey) -> Option<Session> {
        let session = *self.get(key)?;
        self.slots[key.slot as usize] = None;
        Some(session)
    }

    /// The version strings that connections show, each as often as it is shown.
    pub(super) fn versions(&self) -> impl Iterator<Item = VersionId> {
        let sessions = self.slots.iter().flatten();
        sessions.flat_map(|session| [session.sdk_version, session.app_version])
    }

    /// Every connection there is.
    pub(super) fn keys(&self) -> Vec<ConnKey> {
        let slots = (0_u32..).take(self.slots.len());
        let taken = slots.filter_map(|slot| self.at(slot));
        taken.collect()
    }
}
