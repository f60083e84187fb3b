//! One connection, as the shard's decisions see it, as plain data: small, since a million may idle. Decides nothing.

use std::fmt;

use crate::base::ids::Class;
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
