//! What terminals do by themselves.

use super::process::LinkEvent;
use super::terminal::LinkPhase;
use super::world::{Happening, World};
use crate::protocol::native::proto::{self, request};
use crate::protocol::native::terminal::request;

impl World {
    /// A terminal does something by itself.
    pub(super) fn whim(&mut self) {
        if self.is_quiet {
            return;
        }
        let wait = self.random.u64(60..260);
        self.after(wait, Happening::Whim);
        let terminal = self.random.usize(0..self.terminals.len());
        let now = self.now;
        let known = &mut self.terminals[terminal];
        if !known.wants {
            if known.link.is_none() && known.away_until <= now {
                known.wants = true;
                self.try_later(terminal, 0);
            }
            return;
        }
        let Some(link) = known.link.as_mut().filter(|link| link.phase == LinkPhase::Live) else {
            return;
        };
        let number = link.number;
        match self.random.u8(..24) {
            0 => {
                link.phase = LinkPhase::LoggingOut;
                known.wants = false;
                let logout = request(request::Packet::Logout(proto::Logout {}));
                self.send_up(number, LinkEvent::Bytes(logout));
            }
            // It goes, with or without a word.
            1 | 2 => {
                known.wants = false;
                known.away_until = now + self.random.u64(500..60_000);
                self.leave_link(terminal);
            }
            // It comes by another link.
            3 | 4 => {
                self.leave_link(terminal);
                self.try_later(terminal, 1);
            }
            _ => {}
        }
    }
}
