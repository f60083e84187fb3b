//! What terminals do: connect, send bytes, go. Turns bytes into packets and packets into logins, heartbeats and
//! goodbyes; what these mean for a user is decided elsewhere.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use crate::base::ids::ConnKey;
use crate::base::limits::{FRAME_BYTES_MAX_AFTER_LOGIN, FRAME_BYTES_MAX_BEFORE_LOGIN};
use crate::logic::between_wings::{DeviceLink, LinkOrigin, LoginRefusal, LoginRetry, UserSignal};
use crate::logic::connections::Connections;
use crate::logic::connections::addresses::AtAddress;
use crate::logic::connections::meaning::{Mistake, PacketMeaning, meaning};
use crate::logic::connections::session::{Buffered, PackedPhase, Session, SessionPhase};
use crate::logic::connections::versions::VersionId;
use crate::logic::context::{Context, ShardMode, trace};
use crate::logic::contract::{Arrival, Effect, LinkLoss, Peer};
use crate::logic::trace::{Subject, TraceKind};
use crate::protocol::dialect::Dialect;
use crate::protocol::packet::{GatewayPacket, NextPacket, TerminalPacket};
use crate::protocol::verdict::Code;

impl Connections {
    /// A terminal connected.
    pub(in crate::logic) fn opened(&mut self, context: &mut Context, key: ConnKey, peer: Peer) {
        self.begins(context, (key, peer), Self::enter_address);
    }

    /// A proxy connected. It has its client's deadline, and none of its limits.
    pub(in crate::logic) fn proxy_opened(&mut self, context: &mut Context, key: ConnKey, peer: Peer) {
        self.begins(context, (key, peer), |_, _, _| true);
    }

    fn begins(
        &mut self,
        context: &mut Context,
        (key, peer): (ConnKey, Peer),
        may_stay: fn(&mut Self, &mut Context, ConnKey) -> bool,
    ) {
        context.counters.connections_opened += 1;
        self.take_in(context, key, peer);
        if context.mode == ShardMode::Stopping {
            return self.say_goodbye(context, key);
        }
        if !may_stay(self, context, key) {
            return self.refuse(context, key, Code::AddressLimit);
        }
        let due = context.now.instant.after(context.settings.login_deadline);
        self.login_deadlines.push_back((due, key));
    }

    /// A proxy has said for whom it connected.
    pub(in crate::logic) fn client_known(&mut self, context: &mut Context, key: ConnKey, address: Ipv6Addr) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        session.peer.address = address;
        if !self.enter_address(context, key) {
            self.refuse(context, key, Code::AddressLimit);
        }
    }

    /// A connection came from another shard with its login. Gives what was kept of it.
    pub(in crate::logic) fn arrived(
        &mut self,
        context: &mut Context,
        key: ConnKey,
        arrival: Arrival,
    ) -> Vec<u8> {
        context.counters.connections_arrived += 1;
        self.take_in(context, key, arrival.peer);
        if context.mode == ShardMode::Stopping {
            self.say_goodbye(context, key);
        } else if self.enter_address(context, key) {
            self.come_home(context, key, arrival.login);
        } else {
            self.refuse_address(context, key);
        }
        arrival.kept
    }

    fn take_in(&mut self, context: &mut Context, key: ConnKey, peer: Peer) {
        context.counters.connections_now += 1;
        let session = Session {
            phase: PackedPhase::of(SessionPhase::Greeting),
            generation: key.generation,
            peer,
            sdk_version: VersionId::EMPTY,
            app_version: VersionId::EMPTY,
            buffered: Buffered::Nothing,
            live: None,
            at_address: AtAddress::No,
        };
        self.sessions.put(key, session);
    }

    /// Counts a new connection for its address. Says whether it may stay.
    fn enter_address(&mut self, context: &mut Context, key: ConnKey) -> bool {
        let session = self.sessions.get_mut(key).expect("a connection that came");
        let at_address = self.addresses.enter(context, session.peer.address);
        session.at_address = at_address.unwrap_or(AtAddress::No);
        at_address.is_some()
    }

    /// The connection could not be handed to its home.
    pub(in crate::logic) fn stayed(&mut self, context: &mut Context, key: ConnKey) {
        if self.sessions.phase(key) == SessionPhase::Moving {
            context.counters.connections_now += 1;
            context.counters.moves_refused += 1;
            context.counters.logins_busy += 1;
            let refusal = LoginRefusal::until(Code::Busy, LoginRetry::Spread);
            self.refuse_login_by(context, key, refusal);
        }
    }

    /// The link ended.
    pub(in crate::logic) fn closed(&mut self, context: &mut Context, key: ConnKey, loss: LinkLoss) {
        let kind = match loss {
            LinkLoss::Peer => TraceKind::LinkEnded,
            LinkLoss::SlowReader => {
                context.counters.slow_readers += 1;
                TraceKind::ReaderTooSlow
            }
            LinkLoss::Mistake => TraceKind::ConnectionEnded,
        };
        trace(context, kind, self.origin_of(key), self.subject_of(key), None);
        self.lose_link(context, key);
        self.forget(context, key);
    }

    /// The device whose heartbeat these bytes are and nothing else: the common case, answered at once.
    pub(in crate::logic) fn heartbeat(
        &self,
        context: &mut Context,
        key: ConnKey,
        bytes: &[u8],
    ) -> Option<u32> {
        let session = self.sessions.get(key)?;
        match (session.phase.get(), session.buffered) {
            (SessionPhase::Live { device }, Buffered::Nothing)
                if session.peer.stack.dialect.heartbeat() == bytes =>
            {
                beat(context, key, session.peer.stack.dialect);
                Some(device)
            }
            _ => None,
        }
    }

    /// A sign of life that has no bytes.
    pub(in crate::logic) fn alive(&self, context: &mut Context, key: ConnKey) {
        hear(context, self.sessions.phase(key));
    }

    /// New bytes, as they are to be read: behind what is kept of the connection, if that can be read on with them.
    pub(in crate::logic) fn behind_kept<'a>(&mut self, key: ConnKey, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let session = self.sessions.get(key);
        match session.map(|session| (session.phase.get(), session.buffered)) {
            Some((SessionPhase::Greeting | SessionPhase::Live { .. }, Buffered::Some)) => {
                let mut unread = self.take_kept(key);
                unread.extend_from_slice(bytes);
                Cow::Owned(unread)
            }
            _ => Cow::Borrowed(bytes),
        }
    }

    /// Reads one packet. Gives the bytes behind it; `None` if there is nothing more to read now.
    pub(in crate::logic) fn read<'a>(
        &mut self,
        context: &mut Context,
        key: ConnKey,
        bytes: &'a [u8],
    ) -> Option<&'a [u8]> {
        let session = self.sessions.get(key)?;
        let (phase, dialect) = (session.phase.get(), session.peer.stack.dialect);
        let limit = match phase {
            SessionPhase::Greeting => FRAME_BYTES_MAX_BEFORE_LOGIN,
            SessionPhase::Live { .. } => FRAME_BYTES_MAX_AFTER_LOGIN,
            SessionPhase::Waiting { .. } => {
                self.buffer_pipelined(context, key, bytes);
                return None;
            }
            SessionPhase::Free | SessionPhase::Moving | SessionPhase::Leaving { .. } => return None,
        };
        match dialect.next(bytes, limit) {
            NextPacket::Packet {
                packet,
                unknown_fields,
                rest,
            } => {
                hear(context, phase);
                context.counters.unknown_fields += unknown_fields;
                self.packet(context, key, packet, rest);
                return Some(rest);
            }
            NextPacket::Unreadable | NextPacket::Incomplete if self.go_elsewhere(context, key, bytes) => {}
            NextPacket::Unreadable => {
                hear(context, phase);
                self.mistake(context, key, Mistake::Malformed);
            }
            NextPacket::Incomplete => self.keep(key, bytes),
            NextPacket::TooLarge => self.mistake(context, key, Mistake::FrameTooLarge),
            NextPacket::Malformed => self.mistake(context, key, Mistake::Malformed),
        }
        None
    }

    fn packet(&mut self, context: &mut Context, key: ConnKey, packet: TerminalPacket, behind: &[u8]) {
        let session = self.sessions.get(key).expect("the connection that sent it");
        let (phase, dialect) = (session.phase.get(), session.peer.stack.dialect);
        match (meaning(phase, &packet), packet, phase) {
            (PacketMeaning::LogIn, TerminalPacket::Login(login), _) => {
                self.log_in(context, key, *login, behind);
            }
            (PacketMeaning::Beat, ..) => beat(context, key, dialect),
            (PacketMeaning::LogOut, _, SessionPhase::Live { device }) => self.log_out(context, key, device),
            (PacketMeaning::SetBackground, TerminalPacket::Background(to), SessionPhase::Live { device }) => {
                context.signals.push_back(UserSignal::Background(device, to));
            }
            (PacketMeaning::Acknowledge, TerminalPacket::MessageAck(ack), SessionPhase::Live { device }) => {
                context.signals.push_back(UserSignal::Acked(device, ack));
            }
            (PacketMeaning::Refuse(mistake), ..) => self.mistake(context, key, mistake),
            (PacketMeaning::Ignore, ..) => context.counters.unknown_packets += 1,
            (
                PacketMeaning::Buffer
                | PacketMeaning::LogIn
                | PacketMeaning::LogOut
                | PacketMeaning::SetBackground
                | PacketMeaning::Acknowledge,
                ..,
            ) => unreachable!("the table gives these to others"),
        }
    }

    fn log_out(&mut self, context: &mut Context, key: ConnKey, device: u32) {
        self.set_phase(key, SessionPhase::Leaving { device });
        let origin = self.origin_of(key).expect("the connection that said it");
        let link = DeviceLink {
            device,
            slot: key.slot,
        };
        context.signals.push_back(UserSignal::Logout(link, origin));
    }

    /// Keeps the first part of a packet.
    fn keep(&mut self, key: ConnKey, unread: &[u8]) {
        if let Some(session) = self.sessions.get_mut(key).filter(|_| !unread.is_empty()) {
            session.buffered = Buffered::Some;
            self.buffered.insert(key.slot, unread.to_vec());
        }
    }

    /// What is kept of a connection; from now on it is nothing.
    pub(in crate::logic) fn take_kept(&mut self, key: ConnKey) -> Vec<u8> {
        if let Some(session) = self.sessions.get_mut(key) {
            session.buffered = Buffered::Nothing;
            return self.buffered.remove(&key.slot).unwrap_or_default();
        }
        Vec::new()
    }

    /// Where a connection comes from, if it is here.
    pub(super) fn origin_of(&self, key: ConnKey) -> Option<LinkOrigin> {
        let address = self.sessions.get(key)?.peer.address;
        Some(LinkOrigin { key, address })
    }

    /// Whom what happens to a connection is about.
    pub(super) fn subject_of(&self, key: ConnKey) -> Subject {
        match self.sessions.phase(key) {
            SessionPhase::Waiting { user } => Subject::User(user),
            SessionPhase::Live { device } | SessionPhase::Leaving { device } => Subject::Device {
                device,
                slot: key.slot,
            },
            SessionPhase::Free | SessionPhase::Greeting | SessionPhase::Moving => Subject::NOBODY,
        }
    }

    pub(super) fn set_phase(&mut self, key: ConnKey, phase: SessionPhase) {
        let session = self.sessions.get_mut(key).expect("a connection that is there");
        session.phase = PackedPhase::of(phase);
    }
}

/// As many bytes as a packet has prove that the terminal lives; the first part of one does not.
fn hear(context: &mut Context, phase: SessionPhase) {
    if let SessionPhase::Live { device } = phase {
        context.signals.push_back(UserSignal::Heard(device));
    }
}

fn beat(context: &mut Context, key: ConnKey, dialect: Dialect) {
    context.counters.heartbeats += 1;
    let answer = dialect.write(&GatewayPacket::HeartbeatAnswer);
    context.out.push(Effect::Send(key, answer));
}
