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

use crate::base::limits::{ACK_IDS_MAX, ACK_REPLY_BYTES_MAX};
use crate::logic::connections::session::SessionPhase;
use crate::protocol::packet::{MessageAck, TerminalPacket};

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
    /// Says what became of messages.
    Acknowledge,
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
    AckInvalid,
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
            | TerminalPacket::MessageAck(_)
            | TerminalPacket::Unknown,
        ) => PacketMeaning::Refuse(Mistake::LoginFirst),
        (SessionPhase::Waiting { .. }, _) => PacketMeaning::Buffer,
        (SessionPhase::Live { .. }, TerminalPacket::Login(_)) => {
            PacketMeaning::Refuse(Mistake::AlreadyLoggedIn)
        }
        (SessionPhase::Live { .. }, TerminalPacket::Heartbeat) => PacketMeaning::Beat,
        (SessionPhase::Live { .. }, TerminalPacket::Logout) => PacketMeaning::LogOut,
        (SessionPhase::Live { .. }, TerminalPacket::Background(_)) => PacketMeaning::SetBackground,
        (SessionPhase::Live { .. }, TerminalPacket::MessageAck(ack)) if is_in_bounds(ack) => {
            PacketMeaning::Acknowledge
        }
        (SessionPhase::Live { .. }, TerminalPacket::MessageAck(_)) => {
            PacketMeaning::Refuse(Mistake::AckInvalid)
        }
        (SessionPhase::Live { .. }, TerminalPacket::Unknown) => PacketMeaning::Ignore,
        (SessionPhase::Free | SessionPhase::Moving | SessionPhase::Leaving { .. }, _) => {
            PacketMeaning::Ignore
        }
    }
}

/// Whether an acknowledgement is one that a terminal may send.
fn is_in_bounds(ack: &MessageAck) -> bool {
    let answers_one = ack.reply.is_empty() || ack.ids.len() == 1;
    ack.ids.len() <= ACK_IDS_MAX && ack.reply.len() <= ACK_REPLY_BYTES_MAX && answers_one
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
            TerminalPacket::MessageAck(Box::default()),
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
    #[test]
    fn an_acknowledgement_names_no_more_than_may_wait_and_answers_one() {
        let check = |ids: usize, reply: usize, expected| {
            let ack = MessageAck {
                ids: vec![7; ids],
                reply: vec![7; reply],
                refused: false,
            };
            let packet = TerminalPacket::MessageAck(Box::new(ack));
            let live = SessionPhase::Live { device: 0 };
            assert_eq!(meaning(live, &packet), expected, "{ids} {reply}");
        };
        let invalid = PacketMeaning::Refuse(Mistake::AckInvalid);
        check(ACK_IDS_MAX, 0, PacketMeaning::Acknowledge);
        check(ACK_IDS_MAX + 1, 0, invalid);
        check(1, ACK_REPLY_BYTES_MAX, PacketMeaning::Acknowledge);
        check(1, ACK_REPLY_BYTES_MAX + 1, invalid);
        check(2, 1, invalid);
        check(0, 1, invalid);
    }
}
