//! One connection, as the shard's decisions see it: the picture, the enum and the table. Never decides about users.
//!
//! ```text
//!  Opened ─▶ Greeting ──login──▶ Moving ──▶ (another shard)
//!               │                  │ no room there: refused, closed
//!               └──login──┐
//!  Arrived ───────────────┴──▶ Waiting ──answered──▶ Live ──logout──▶ Leaving ──answered──▶ closed
//!                                 └──refused──▶ closed    └──mistake, silence, forced off──▶ closed
//! ```
//! Waiting is both loading (the user is not resident) and confirming (the registry has the change): the user's own
//! queue knows which.

use std::fmt;

use crate::base::ids::{Class, ConnKey};
use crate::logic::Peer;
use crate::logic::addresses::AtAddress;
use crate::logic::versions::VersionId;
use crate::protocol::packet::TerminalPacket;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
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

/// A [`Phase`] in 4 bytes: two bits say whose key the others are, if it has one.
#[derive(Clone, Copy)]
pub(super) struct Stand(u32);

const KEY_BITS: u32 = 30;
const OF_USER: u32 = 1;
const OF_DEVICE: u32 = 2;
const OF_DEVICE_THAT_LEAVES: u32 = 3;

impl Stand {
    pub(super) fn of(phase: Phase) -> Self {
        let (whose, key) = match phase {
            Phase::Free => (0, 0),
            Phase::Greeting => (0, 1),
            Phase::Moving => (0, 2),
            Phase::Waiting { user } => (OF_USER, user),
            Phase::Live { device } => (OF_DEVICE, device),
            Phase::Leaving { device } => (OF_DEVICE_THAT_LEAVES, device),
        };
        assert!(
            key < 1 << KEY_BITS,
            "a shard has fewer than 2^30 users and devices"
        );
        Self(whose << KEY_BITS | key)
    }

    pub(super) fn phase(self) -> Phase {
        let key = self.0 & ((1 << KEY_BITS) - 1);
        match (self.0 >> KEY_BITS, key) {
            (OF_USER, user) => Phase::Waiting { user },
            (OF_DEVICE, device) => Phase::Live { device },
            (OF_DEVICE_THAT_LEAVES, device) => Phase::Leaving { device },
            (_, 1) => Phase::Greeting,
            (_, 2) => Phase::Moving,
            (_, _) => Phase::Free,
        }
    }
}

impl fmt::Debug for Stand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.phase().fmt(f)
    }
}

/// One connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    pub(super) stand: Stand,
    pub(super) generation: u32,
    pub(super) peer: Peer,
    pub(super) sdk_version: VersionId,
    pub(super) app_version: VersionId,
    pub(super) pieces: Pieces,
    /// The class that it counts as logged in by.
    pub(super) live: Option<Class>,
    pub(super) at_address: AtAddress,
}

/// Whether bytes of this connection are kept: the first part of a frame, or what came behind a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    None,
    Kept,
}

// The budget of an idle connection.
const _: () = assert!(size_of::<Option<Session>>() == 32);

/// What a packet means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The login.
    LogIn,
    /// Answered at once.
    Beat,
    /// Ends the session.
    LogOut,
    /// Sets the background flag.
    Note,
    /// Nothing; counted.
    Ignore,
    /// Waits for the login's answer.
    Hold,
    /// A mistake: one error packet, then the close.
    Refuse(Mistake),
}

/// What a terminal can do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    FrameTooLarge,
    Malformed,
    LoginFirst,
    AlreadyLoggedIn,
    TooEager,
}

/// The table.
pub(super) fn meaning(phase: Phase, packet: &TerminalPacket) -> Meaning {
    match (phase, packet) {
        (Phase::Greeting, TerminalPacket::Login(_)) => Meaning::LogIn,
        (
            Phase::Greeting,
            TerminalPacket::Heartbeat
            | TerminalPacket::Logout
            | TerminalPacket::Background(_)
            | TerminalPacket::Unknown,
        ) => Meaning::Refuse(Mistake::LoginFirst),
        (Phase::Waiting { .. }, _) => Meaning::Hold,
        (Phase::Live { .. }, TerminalPacket::Login(_)) => Meaning::Refuse(Mistake::AlreadyLoggedIn),
        (Phase::Live { .. }, TerminalPacket::Heartbeat) => Meaning::Beat,
        (Phase::Live { .. }, TerminalPacket::Logout) => Meaning::LogOut,
        (Phase::Live { .. }, TerminalPacket::Background(_)) => Meaning::Note,
        (Phase::Live { .. }, TerminalPacket::Unknown) => Meaning::Ignore,
        (Phase::Free | Phase::Moving | Phase::Leaving { .. }, _) => Meaning::Ignore,
    }
}

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

    /// The phase of a connection; [`Phase::Free`] if it is gone.
    pub(super) fn phase(&self, key: ConnKey) -> Phase {
        self.get(key).map_or(Phase::Free, |session| session.stand.phase())
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
    use std::fmt::Write;

    use super::*;

    #[test]
    fn a_phase_is_kept_whole() {
        let last = (1 << KEY_BITS) - 1;
        let plain = [Phase::Free, Phase::Greeting, Phase::Moving];
        let keyed = [0, 1, last].map(|key| {
            let (user, device) = (key, key);
            [
                Phase::Waiting { user },
                Phase::Live { device },
                Phase::Leaving { device },
            ]
        });
        for phase in plain.into_iter().chain(keyed.into_iter().flatten()) {
            assert_eq!(Stand::of(phase).phase(), phase);
        }
    }

    #[test]
    fn the_whole_table() {
        let phases = [
            Phase::Free,
            Phase::Greeting,
            Phase::Moving,
            Phase::Waiting { user: 0 },
            Phase::Live { device: 0 },
            Phase::Leaving { device: 0 },
        ];
        let packets = [
            TerminalPacket::Login(Box::default()),
            TerminalPacket::Heartbeat,
            TerminalPacket::Logout,
            TerminalPacket::Background(true),
            TerminalPacket::Unknown,
        ];
        let mut table = String::new();
        for phase in phases {
            for packet in &packets {
                let name = format!("{packet:?}");
                let name = name.split('(').next().unwrap();
                let phase_name = format!("{phase:?}");
                writeln!(table, "{phase_name:<22} {name:<11} {:?}", meaning(phase, packet)).unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }
}
