//! One connection, as the shard's decisions see it: small, since a million may idle; and the table of all, each in the slot that
//! the engine gave it. Decides nothing.

use std::fmt;

use crate::base::ids::{Class, ConnKey};
use crate::logic::connections::addresses::AtAddress;
use crate::logic::connections::versions::VersionId;
use crate::logic::contract::Peer;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionPhase {
    /// No connection.
    Free,
    /// Its login has not come.
    Greeting,
    /// On its way to its home shard.
    Moving,
    /// Its login waits for this user's turn, or for the registry.
    Waiting { user: u32 },
    /// Logged in as this device.
    Live { device: u32 },
    /// The logout of this device waits.
    Leaving { device: u32 },
}

/// A [`SessionPhase`] in 4 bytes: two bits say whose key the others are, if it has one.
#[derive(Clone, Copy)]
pub(super) struct PackedPhase(u32);

const KEY_BITS: u32 = 30;
const OF_USER: u32 = 1;
const OF_DEVICE: u32 = 2;
const OF_DEVICE_THAT_LEAVES: u32 = 3;

impl PackedPhase {
    pub(super) fn of(phase: SessionPhase) -> Self {
        let (whose, key) = match phase {
            SessionPhase::Free => (0, 0),
            SessionPhase::Greeting => (0, 1),
            SessionPhase::Moving => (0, 2),
            SessionPhase::Waiting { user } => (OF_USER, user),
            SessionPhase::Live { device } => (OF_DEVICE, device),
            SessionPhase::Leaving { device } => (OF_DEVICE_THAT_LEAVES, device),
        };
        assert!(
            key < 1 << KEY_BITS,
            "a shard has fewer than 2^30 users and devices"
        );
        Self(whose << KEY_BITS | key)
    }

    pub(super) fn get(self) -> SessionPhase {
        let key = self.0 & ((1 << KEY_BITS) - 1);
        match (self.0 >> KEY_BITS, key) {
            (OF_USER, user) => SessionPhase::Waiting { user },
            (OF_DEVICE, device) => SessionPhase::Live { device },
            (OF_DEVICE_THAT_LEAVES, device) => SessionPhase::Leaving { device },
            (_, 1) => SessionPhase::Greeting,
            (_, 2) => SessionPhase::Moving,
            (_, _) => SessionPhase::Free,
        }
    }
}

impl fmt::Debug for PackedPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// One connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    pub(super) phase: PackedPhase,
    pub(super) generation: u32,
    pub(super) peer: Peer,
    pub(super) sdk_version: VersionId,
    pub(super) app_version: VersionId,
    pub(super) buffered: Buffered,
    /// The class that it counts as logged in by.
    pub(super) live: Option<Class>,
    pub(super) at_address: AtAddress,
}

/// Whether bytes of this connection are buffered: the first part of a frame, or what came behind a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Buffered {
    Nothing,
    Some,
}

// The budget of an idle connection.
const _: () = assert!(size_of::<Option<Session>>() == 32);

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

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::protocol::stack::ProtocolStack;

    #[test]
    fn a_phase_is_kept_whole() {
        let last = (1 << KEY_BITS) - 1;
        let plain = [SessionPhase::Free, SessionPhase::Greeting, SessionPhase::Moving];
        let keyed = [0, 1, last].map(|key| {
            let (user, device) = (key, key);
            [
                SessionPhase::Waiting { user },
                SessionPhase::Live { device },
                SessionPhase::Leaving { device },
            ]
        });
        for phase in plain.into_iter().chain(keyed.into_iter().flatten()) {
            assert_eq!(PackedPhase::of(phase).get(), phase);
        }
    }

    #[test]
    fn a_connection_shows_two_versions_as_long_as_it_is_there() {
        let mut sessions = Sessions::new(4);
        let keys = [0, 3].map(|slot| ConnKey { slot, generation: 1 });
        for key in keys {
            let session = Session {
                phase: PackedPhase::of(SessionPhase::Greeting),
                generation: key.generation,
                peer: Peer {
                    address: Ipv6Addr::LOCALHOST,
                    stack: ProtocolStack::NATIVE_TCP,
                },
                sdk_version: VersionId::EMPTY,
                app_version: VersionId::EMPTY,
                buffered: Buffered::Nothing,
                live: None,
                at_address: AtAddress::No,
            };
            sessions.put(key, session);
        }
        assert_eq!(sessions.versions().count(), 4);
        sessions.take(keys[0]);
        assert_eq!(sessions.versions().count(), 2);
    }
}
