//! How connections end: by a mistake, by a limit, by the stop of the gateway. A user whose link it was is told. Never decides
//! what that means for the user.

use crate::base::ids::ConnKey;
use crate::base::limits::RETRY_WINDOW_MS_MAX;
use crate::base::time::millis;
use crate::logic::between_wings::{DeviceLink, UserSignal};
use crate::logic::connections::Connections;
use crate::logic::connections::meaning::Mistake;
use crate::logic::connections::session::{Buffered, SessionPhase};
use crate::logic::context::{Context, trace};
use crate::logic::contract::Effect;
use crate::logic::counting::live_counter;
use crate::logic::trace::{Subject, TraceKind};
use crate::protocol::outgoing::Outgoing;
use crate::protocol::packet::GatewayPacket;
use crate::protocol::transport::ending::CloseReason;
use crate::protocol::transport::other_protocol::OtherProtocol;
use crate::protocol::verdict::{Code, Verdict};

impl Connections {
    /// Says goodbye to everyone.
    pub(in crate::logic) fn stop(&mut self, context: &mut Context) {
        for key in self.sessions.keys() {
            if self.sessions.phase(key) != SessionPhase::Moving {
                self.say_goodbye(context, key);
            }
        }
    }

    /// Tells a terminal that the gateway stops, and closes. Its device stays what it is; but what it said behind its login is
    /// accepted work, and a stop ends none of that.
    pub(super) fn say_goodbye(&mut self, context: &mut Context, key: ConnKey) {
        if let SessionPhase::Waiting { .. } = self.sessions.phase(key) {
            self.lose_link(context, key);
        }
        let verdict = Verdict::of(Code::Stopping).after_ms(self.return_after_ms(context));
        self.go_away(context, key, verdict, None);
    }

    /// Sends a terminal away, and closes.
    pub(super) fn go_away(
        &mut self,
        context: &mut Context,
        key: ConnKey,
        verdict: Verdict,
        address: Option<Box<str>>,
    ) {
        self.send(context, key, &GatewayPacket::GoAway(verdict, address));
        self.close(context, key, CloseReason::GoingAway);
    }

    /// The connection is gone, or about to be: its device or its login, if it has one, has to know.
    pub(super) fn lose_link(&mut self, context: &mut Context, key: ConnKey) {
        match self.sessions.phase(key) {
            SessionPhase::Free | SessionPhase::Greeting | SessionPhase::Moving => {}
            SessionPhase::Leaving { .. } => {}
            SessionPhase::Live { device } => {
                let origin = self.origin_of(key).expect("a connection that is live");
                let link = DeviceLink {
                    device,
                    slot: key.slot,
                };
                context.signals.push_back(UserSignal::LinkEnd(link, origin));
            }
            SessionPhase::Waiting { user } => {
                let pipelined = self.pipelined(key);
                let signal = UserSignal::LoginLinkEnd(user, key, pipelined);
                context.signals.push_back(signal);
            }
        }
    }

    /// The terminal made a mistake: it is told, and loses its link.
    pub(super) fn mistake(&mut self, context: &mut Context, key: ConnKey, mistake: Mistake) {
        let counters = &mut context.counters;
        let (counter, code) = match mistake {
            Mistake::FrameTooLarge => (&mut counters.frames_too_large, Code::FrameTooLarge),
            Mistake::Malformed => (&mut counters.frames_malformed, Code::Malformed),
            Mistake::LoginFirst => (&mut counters.packets_before_login, Code::LoginFirst),
            Mistake::AlreadyLoggedIn => (&mut counters.second_logins, Code::AlreadyLoggedIn),
            Mistake::TooEager => (&mut counters.eager_senders, Code::TooEager),
            Mistake::AckInvalid => (&mut counters.acks_invalid, Code::AckInvalid),
        };
        *counter += 1;
        self.refuse(context, key, code);
    }

    /// If the first bytes of a connection are of another protocol, its peer is told so in that, and loses its link. Says
    /// whether it was so.
    pub(super) fn go_elsewhere(&mut self, context: &mut Context, key: ConnKey, bytes: &[u8]) -> bool {
        let session = self.sessions.get(key);
        let greeting = session.filter(|session| session.phase.get() == SessionPhase::Greeting);
        let other = greeting.and_then(|session| OtherProtocol::at(session.peer.stack.transport, bytes));
        let Some(other) = other else {
            return false;
        };
        context.counters.frames_malformed += 1;
        let (kind, subject) = (TraceKind::ConnectionEnded, self.subject_of(key));
        trace(context, kind, self.origin_of(key), subject, Some(Code::Malformed));
        let answer = Outgoing::Bytes(other.answer().to_vec());
        context.out.push(Effect::Send(key, answer));
        self.close(context, key, CloseReason::Mistake(other.mistake()));
        true
    }

    /// The login deadlines that have passed.
    pub(in crate::logic) fn expire(&mut self, context: &mut Context) {
        while let Some((due, key)) = self.login_deadlines.front().copied() {
            if self.sessions.phase(key) == SessionPhase::Greeting {
                if due > context.now.instant {
                    break;
                }
                context.counters.login_deadlines += 1;
                self.refuse(context, key, Code::LoginTooLate);
            }
            self.login_deadlines.pop_front();
        }
    }

    /// One error packet, then the close.
    pub(in crate::logic) fn refuse(&mut self, context: &mut Context, key: ConnKey, code: Code) {
        self.lose_link(context, key);
        self.end(context, key, self.subject_of(key), code);
    }

    /// Says why, and closes.
    pub(super) fn end(&mut self, context: &mut Context, key: ConnKey, subject: Subject, code: Code) {
        let kind = if code == Code::AddressLimit {
            TraceKind::ConnectionRefused
        } else {
            TraceKind::ConnectionEnded
        };
        trace(context, kind, self.origin_of(key), subject, Some(code));
        let verdict = Verdict::ending(code, retry_after_ms(context));
        self.send(context, key, &GatewayPacket::Error(verdict));
        self.close(context, key, reason_of(code));
    }

    /// Puts a packet on the way out of a connection that is there.
    pub(super) fn send(&self, context: &mut Context, key: ConnKey, packet: &GatewayPacket) {
        if let Some(session) = self.sessions.get(key) {
            let bytes = session.peer.stack.dialect.write(packet);
            context.out.push(Effect::Send(key, bytes));
        }
    }

    /// Closes a connection that logic has no more to do with.
    pub(super) fn close(&mut self, context: &mut Context, key: ConnKey, reason: CloseReason) {
        if self.forget(context, key) {
            context.out.push(Effect::Close(key, reason));
        }
    }

    /// Drops what is known of a connection. Says whether there was anything.
    pub(super) fn forget(&mut self, context: &mut Context, key: ConnKey) -> bool {
        let Some(session) = self.sessions.take(key) else {
            return false;
        };
        if session.buffered == Buffered::Some {
            self.buffered.remove(&key.slot);
        }
        if let Some(class) = session.live {
            *live_counter(&mut context.counters, class, session.peer.stack.transport) -= 1;
        }
        self.addresses
            .leave(context, session.peer.address, session.at_address);
        context.counters.connections_now -= 1;
        true
    }

    /// How long one that is sent away because something is full, or ends, is to wait: the longer the more there are.
    pub(super) fn return_after_ms(&mut self, context: &mut Context) -> u32 {
        self.return_within_ms(context, RETRY_WINDOW_MS_MAX)
    }

    /// The same, in a window that grows up to this.
    pub(super) fn return_within_ms(&mut self, context: &mut Context, most: u64) -> u32 {
        let Context {
            now,
            settings,
            random,
            ..
        } = context;
        let wait_ms = self.retry_calendar.send_away(now.instant, settings, random, most);
        u32::try_from(wait_ms).unwrap_or(u32::MAX)
    }
}

/// What the end of a link by this code is for a transport.
fn reason_of(code: Code) -> CloseReason {
    if code == Code::FrameTooLarge {
        CloseReason::TooLarge
    } else if matches!(code, Code::Malformed | Code::LoginFirst | Code::AlreadyLoggedIn) {
        CloseReason::ProtocolError
    } else {
        CloseReason::Policy
    }
}

/// A random wait around the setting, for one that met a limit of its own.
pub(super) fn retry_after_ms(context: &mut Context) -> u32 {
    let middle = millis(context.settings.retry_after);
    u32::try_from(context.random.u64(middle / 2..=middle + middle / 2)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::logic::delivery::ToShard;
    use crate::logic::settings::Settings;
    use crate::logic::tests::harness::{TestShard, context};

    #[test]
    fn a_stop_sends_away_who_is_there_and_who_comes() {
        let mut shard = TestShard::new(Settings::default());
        let there = shard.connect();
        shard.deliver(ToShard::Stop);
        let coming = shard.connect();
        for key in [there, coming] {
            let to_it: Vec<&Effect> = shard
                .out
                .iter()
                .filter(|effect| matches!(effect, Effect::Send(to, _) | Effect::Close(to, _) if *to == key))
                .collect();
            assert!(
                matches!(
                    to_it[..],
                    [Effect::Send(..), Effect::Close(_, CloseReason::GoingAway)]
                ),
                "{to_it:?}"
            );
        }
        assert_eq!(shard.out.len(), 4, "nothing is recorded: {:?}", shard.out);
    }

    #[test]
    fn who_met_a_limit_waits_around_the_setting() {
        let mut context = context(Settings {
            retry_after: Duration::from_secs(2),
            ..Settings::default()
        });
        let waits: Vec<u32> = (0..500).map(|_| retry_after_ms(&mut context)).collect();
        let (least, most) = (*waits.iter().min().unwrap(), *waits.iter().max().unwrap());
        assert!((1_000..1_100).contains(&least), "{least}");
        assert!((2_900..=3_000).contains(&most), "{most}");
    }
}
