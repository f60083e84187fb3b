//! What a packet means in each phase of a connection: the picture, the enum and the table. Never decides about users.
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

use crate::logic::connections::session::SessionPhase;
use crate::protocol::packet::TerminalPacket;

/// What a packet means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PacketMeaning {
    /// The login.
    LogIn,
    /// Answered at once.
    Beat,
    /// Ends the session.
    LogOut,
    /// Sets the background flag.
    SetBackground,
    /// Nothing; counted.
    Ignore,
    /// Waits for the login's answer.
    Buffer,
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
pub(super) fn meaning(phase: SessionPhase, packet: &TerminalPacket) -> PacketMeaning {
    match (phase, packet) {
        (SessionPhase::Greeting, TerminalPacket::Login(_)) => PacketMeaning::LogIn,
        (
            SessionPhase::Greeting,
            TerminalPacket::Heartbeat
            | TerminalPacket::Logout
            | TerminalPacket::Background(_)
            | TerminalPacket::Unknown,
        ) => PacketMeaning::Refuse(Mistake::LoginFirst),
        (SessionPhase::Waiting { .. }, _) => PacketMeaning::Buffer,
        (SessionPhase::Live { .. }, TerminalPacket::Login(_)) => {
            PacketMeaning::Refuse(Mistake::AlreadyLoggedIn)
        }
        (SessionPhase::Live { .. }, TerminalPacket::Heartbeat) => PacketMeaning::Beat,
        (SessionPhase::Live { .. }, TerminalPacket::Logout) => PacketMeaning::LogOut,
        (SessionPhase::Live { .. }, TerminalPacket::Background(_)) => PacketMeaning::SetBackground,
        (SessionPhase::Live { .. }, TerminalPacket::Unknown) => PacketMeaning::Ignore,
        (SessionPhase::Free | SessionPhase::Moving | SessionPhase::Leaving { .. }, _) => {
            PacketMeaning::Ignore
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn the_whole_table() {
        let phases = [
            SessionPhase::Free,
            SessionPhase::Greeting,
            SessionPhase::Moving,
            SessionPhase::Waiting { user: 0 },
            SessionPhase::Live { device: 0 },
            SessionPhase::Leaving { device: 0 },
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
