//! What terminals do: connect, send bytes, go. Turns bytes into packets and packets into logins, heartbeats and
//! goodbyes; what these mean for a user is decided elsewhere.

use std::net::Ipv6Addr;

use crate::base::ids::{ConnKey, DeviceId};
use crate::base::limits::{FRAME_BYTES_MAX_AFTER_LOGIN, FRAME_BYTES_MAX_BEFORE_LOGIN};
use crate::base::time::Now;
use crate::logic::addresses::AtAddress;
use crate::logic::behind::Behind;
use crate::logic::note::What;
use crate::logic::queue::{Event, Goodbye};
use crate::logic::session::{Meaning, Mistake, Phase, Pieces, Session, Stand, meaning};
use crate::logic::state::{Running, ShardState};
use crate::logic::versions::VersionId;
use crate::logic::{Arrival, Effect, LinkLoss, Peer};
use crate::protocol::packet::{GatewayPacket, NextPacket, TerminalPacket};
use crate::protocol::stack::ProtocolStack;
use crate::protocol::transport::Kept;
use crate::protocol::verdict::{Code, Verdict};

impl ShardState {
    pub(super) fn opened(&mut self, now: Now, key: ConnKey, peer: Peer, out: &mut Vec<Effect>) {
        self.counters.connections_opened += 1;
        self.take_in(key, peer, Phase::Greeting);
        if self.running == Running::Stopping {
            return self.say_goodbye(now, key, out);
        }
        if !self.enter_address(now, key) {
            return self.refuse(key, Code::AddressLimit, out);
        }
        self.login_deadlines
            .push_back((now.instant.after(self.settings.login_deadline), key));
    }

    pub(super) fn arrived(&mut self, now: Now, key: ConnKey, arrival: Arrival, out: &mut Vec<Effect>) {
        self.counters.connections_arrived += 1;
        self.take_in(key, arrival.peer, Phase::Greeting);
        if self.running == Running::Stopping {
            return self.say_goodbye(now, key, out);
        }
        if !self.enter_address(now, key) {
            return self.refuse_address(key, out);
        }
        self.knock(now, key, arrival, out);
    }

    fn take_in(&mut self, key: ConnKey, peer: Peer, phase: Phase) {
        self.counters.connections_now += 1;
        let session = Session {
            stand: Stand::of(phase),
            generation: key.generation,
            peer,
            sdk_version: VersionId::EMPTY,
            app_version: VersionId::EMPTY,
            pieces: Pieces::None,
            live: None,
            at_address: AtAddress::No,
        };
        self.sessions.put(key, session);
    }

    /// The connection could not be handed to its home.
    pub(super) fn stayed(&mut self, now: Now, key: ConnKey, out: &mut Vec<Effect>) {
        if self.sessions.phase(key) == Phase::Moving {
            self.counters.connections_now += 1;
            self.counters.moves_refused += 1;
            self.counters.logins_busy += 1;
            self.refuse_for_now(now, key, Code::Busy, out);
        }
    }

    pub(super) fn closed(&mut self, key: ConnKey, loss: LinkLoss) {
        if loss == LinkLoss::SlowReader {
            self.counters.slow_readers += 1;
        }
        let what = match loss {
            LinkLoss::Peer => What::LinkEnded,
            LinkLoss::SlowReader => What::ReaderTooSlow,
        };
        self.note_connection(what, key, None);
        self.lose_link(key);
        self.forget(key);
    }

    /// The connection is gone, or about to be: its device, if it has one, has to know.
    pub(super) fn lose_link(&mut self, key: ConnKey) {
        match self.sessions.phase(key) {
            Phase::Free | Phase::Greeting | Phase::Moving | Phase::Leaving { .. } => {}
            Phase::Live { device } => {
                let Device { user, id } = self.device_of(device);
                self.enqueue(user, Event::LinkEnd(key, id, self.address_of(key)));
            }
            Phase::Waiting { user } => {
                if self.take_down(user, key) == Behind::Logout {
                    return;
                }
                if let Some(id) = self.confirming(user, key) {
                    self.enqueue(user, Event::LinkEnd(key, id, self.address_of(key)));
                }
            }
        }
    }

    pub(super) fn address_of(&self, key: ConnKey) -> Ipv6Addr {
        let session = self.sessions.get(key).expect("a connection that is here");
        session.peer.address
    }

    fn device_of(&self, device: u32) -> Device {
        let device = &self.users.devices[device];
        Device {
            user: device.user,
            id: device.id(),
        }
    }

    pub(super) fn received(&mut self, now: Now, key: ConnKey, bytes: &[u8], out: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        let stack = session.peer.stack;
        match (session.stand.phase(), session.pieces) {
            (Phase::Free | Phase::Moving | Phase::Leaving { .. }, _) => {}
            (Phase::Waiting { .. }, _) => self.hold(key, bytes, out),
            (Phase::Live { device }, Pieces::None) if stack.is_heartbeat(bytes) => {
                self.users.devices[device].moment.set(now.instant);
                self.beat(key, stack, out);
            }
            (Phase::Greeting | Phase::Live { .. }, pieces) => {
                let kept = (pieces == Pieces::Kept).then(|| self.take_pieces(key));
                self.work_off(now, key, &stack.unwrap(kept, bytes), out);
            }
        }
    }

    /// Works off bytes of the dialect; what is left of them is kept.
    pub(super) fn work_off(&mut self, now: Now, key: ConnKey, bytes: &[u8], out: &mut Vec<Effect>) {
        let left = self.packets(now, key, bytes, out);
        self.keep(key, &bytes[bytes.len() - left..]);
    }

    fn beat(&mut self, key: ConnKey, stack: ProtocolStack, out: &mut Vec<Effect>) {
        self.counters.heartbeats += 1;
        out.push(Effect::Send(key, stack.write(&GatewayPacket::HeartbeatAnswer)));
    }

    /// Works off the packets in `bytes`. Gives how many bytes at the end are the first part of another.
    fn packets(&mut self, now: Now, key: ConnKey, bytes: &[u8], out: &mut Vec<Effect>) -> usize {
        let Some(stack) = self.sessions.get(key).map(|session| session.peer.stack) else {
            return 0;
        };
        let mut rest = bytes;
        loop {
            let limit = match self.sessions.phase(key) {
                Phase::Greeting => FRAME_BYTES_MAX_BEFORE_LOGIN,
                Phase::Live { .. } => FRAME_BYTES_MAX_AFTER_LOGIN,
                Phase::Waiting { .. } => {
                    self.hold(key, rest, out);
                    return 0;
                }
                Phase::Free | Phase::Moving | Phase::Leaving { .. } => return 0,
            };
            match stack.next(rest, limit) {
                NextPacket::Packet {
                    packet,
                    unknown_fields,
                    rest: behind,
                } => {
                    self.hear(now, key);
                    self.counters.unknown_fields += unknown_fields;
                    self.packet((now, stack), key, packet, behind, out);
                    rest = behind;
                }
                NextPacket::Unreadable => {
                    self.hear(now, key);
                    self.mistake(key, Mistake::Malformed, out);
                }
                NextPacket::Incomplete => return rest.len(),
                NextPacket::TooLarge => self.mistake(key, Mistake::FrameTooLarge, out),
                NextPacket::Malformed => self.mistake(key, Mistake::Malformed, out),
            }
        }
    }

    /// As many bytes as a packet has prove that the terminal lives; the first part of one does not.
    fn hear(&mut self, now: Now, key: ConnKey) {
        if let Phase::Live { device } = self.sessions.phase(key) {
            self.users.devices[device].moment.set(now.instant);
        }
    }

    fn packet(
        &mut self,
        (now, stack): (Now, ProtocolStack),
        key: ConnKey,
        packet: TerminalPacket,
        behind: &[u8],
        out: &mut Vec<Effect>,
    ) {
        let phase = self.sessions.phase(key);
        match (meaning(phase, &packet), packet) {
            (Meaning::LogIn, TerminalPacket::Login(login)) => self.log_in(now, key, *login, behind, out),
            (Meaning::Beat, _) => self.beat(key, stack, out),
            (Meaning::LogOut, _) => self.log_out(key),
            (Meaning::Note, TerminalPacket::Background(background)) => self.note(phase, background),
            (Meaning::Refuse(mistake), _) => self.mistake(key, mistake, out),
            (Meaning::Ignore, _) => self.counters.unknown_packets += 1,
            (Meaning::Hold | Meaning::LogIn | Meaning::Note, _) => {
                unreachable!("the table gives these to others")
            }
        }
    }

    fn log_out(&mut self, key: ConnKey) {
        let Phase::Live { device } = self.sessions.phase(key) else {
            return;
        };
        let session = self.users.devices[device].session();
        let Device { user, id } = self.device_of(device);
        let goodbye = Goodbye {
            link: key,
            device: id,
            session,
            address: self.address_of(key),
        };
        self.set_phase(key, Phase::Leaving { device });
        self.enqueue(user, Event::Logout(goodbye));
    }

    fn note(&mut self, phase: Phase, background: bool) {
        let Phase::Live { device } = phase else { return };
        self.users.devices[device].set_background(background);
    }

    /// The terminal made a mistake: it is told, and loses its link.
    pub(super) fn mistake(&mut self, key: ConnKey, mistake: Mistake, out: &mut Vec<Effect>) {
        let (counter, code) = match mistake {
            Mistake::FrameTooLarge => (&mut self.counters.frames_too_large, Code::FrameTooLarge),
            Mistake::Malformed => (&mut self.counters.frames_malformed, Code::Malformed),
            Mistake::LoginFirst => (&mut self.counters.packets_before_login, Code::LoginFirst),
            Mistake::AlreadyLoggedIn => (&mut self.counters.second_logins, Code::AlreadyLoggedIn),
            Mistake::TooEager => (&mut self.counters.eager_senders, Code::TooEager),
        };
        *counter += 1;
        self.refuse(key, code, out);
    }

    /// One error packet, then the close.
    pub(super) fn refuse(&mut self, key: ConnKey, code: Code, out: &mut Vec<Effect>) {
        self.lose_link(key);
        self.part(key, code, out);
    }

    /// Says why, and closes.
    pub(super) fn part(&mut self, key: ConnKey, code: Code, out: &mut Vec<Effect>) {
        let what = if code == Code::AddressLimit {
            What::ConnectionRefused
        } else {
            What::ConnectionEnded
        };
        self.note_connection(what, key, Some(code));
        let verdict = Verdict::ending(code, self.retry_after_ms());
        self.send(key, &GatewayPacket::Error(verdict), out);
        self.close(key, out);
    }

    fn keep(&mut self, key: ConnKey, unread: &[u8]) {
        if let Some(session) = self.sessions.get_mut(key).filter(|_| !unread.is_empty()) {
            session.pieces = Pieces::Kept;
            self.pieces.insert(key.slot, Kept::of(unread));
        }
    }

    /// What is kept of a connection; from now on it is nothing.
    pub(super) fn take_pieces(&mut self, key: ConnKey) -> Kept {
        let session = self
            .sessions
            .get_mut(key)
            .expect("bytes are kept for a connection that is there");
        session.pieces = Pieces::None;
        self.pieces.remove(&key.slot).unwrap_or_default()
    }

    pub(super) fn set_phase(&mut self, key: ConnKey, phase: Phase) {
        self.sessions
            .get_mut(key)
            .expect("a connection that is there")
            .stand = Stand::of(phase);
    }
}

/// A device and whose it is.
struct Device {
    user: u32,
    id: DeviceId,
}
