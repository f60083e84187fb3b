//! What users want of connections, carried out: logins are answered, terminals are told why they have to go. Decides nothing.

use crate::base::ids::{ConnKey, Platform};
use crate::base::time::{Instant, millis};
use crate::logic::between_wings::{
    ConnectionCommand, DeviceLink, LinkView, LoginGrant, LoginRefusal, LoginRetry, MessageToSend, WantsAck,
};
use crate::logic::connections::Connections;
use crate::logic::connections::endings::retry_after_ms;
use crate::logic::connections::session::SessionPhase;
use crate::logic::context::{Context, trace};
use crate::logic::contract::MessageSupport;
use crate::logic::counting::{live_counter, login_counter};
use crate::logic::trace::{Subject, TraceKind};
use crate::protocol::packet::{FEATURE_ACKS, FEATURE_MESSAGES, GatewayPacket, LoginAnswer, SessionTerms};
use crate::protocol::transport::ending::CloseReason;
use crate::protocol::verdict::{Code, Verdict};

impl Connections {
    /// Carries out one command. Gives the connection that may be read on by it: its login was answered.
    pub(in crate::logic) fn carry_out(
        &mut self,
        context: &mut Context,
        command: ConnectionCommand,
    ) -> Option<ConnKey> {
        match command {
            ConnectionCommand::Wait(key, user) => self.set_phase(key, SessionPhase::Waiting { user }),
            ConnectionCommand::Refuse(key, refusal) => self.refuse_login_by(context, key, refusal),
            ConnectionCommand::TurnAway(key, user, redirects) => {
                self.turn_away(context, key, &user, redirects)
            }
            ConnectionCommand::SendAway(link, subject, user) => self.send_away(context, link, subject, &user),
            ConnectionCommand::GoLive(key, grant) => {
                self.go_live(context, key, grant);
                return Some(key);
            }
            ConnectionCommand::ForceOffline(link, subject, winner) => {
                self.force_offline(context, link, subject, winner);
            }
            ConnectionCommand::EndSilent(link, subject) => self.end_silent(context, link, subject),
            ConnectionCommand::Close(link) => {
                if let Some(key) = self.key_of(link) {
                    self.close(context, key, CloseReason::Policy);
                }
            }
            ConnectionCommand::AnswerLogout(key) => {
                if let SessionPhase::Leaving { .. } = self.sessions.phase(key) {
                    self.send(context, key, &GatewayPacket::LogoutAnswer);
                    self.close(context, key, CloseReason::Normal);
                }
            }
            ConnectionCommand::SendMessage(link, message) => {
                // One whose terminal has logged out waits for the answer to that.
                if let Some(key) = self.key_of(link).filter(|_| self.is_live(link)) {
                    self.send_message(context, key, message);
                }
            }
        }
        None
    }

    pub(super) fn refuse_login_by(&mut self, context: &mut Context, key: ConnKey, refusal: LoginRefusal) {
        let wait_ms = match refusal.retry {
            LoginRetry::Unsaid => 0,
            LoginRetry::AfterMs(wait_ms) => {
                retry_after_ms(context).max(u32::try_from(wait_ms).unwrap_or(u32::MAX))
            }
            // Who has gone is told nothing, and is not waited for.
            LoginRetry::Spread if self.sessions.get(key).is_none() => 0,
            LoginRetry::Spread => self.return_after_ms(context),
        };
        let answer = LoginAnswer {
            winner: refusal.winner,
            ..LoginAnswer::refused(Verdict::of(refusal.code).after_ms(wait_ms))
        };
        self.refuse_login(context, key, answer);
    }

    /// Answers a login that is not let in, and closes.
    pub(super) fn refuse_login(&mut self, context: &mut Context, key: ConnKey, answer: LoginAnswer) {
        context.counters.logins_refused += 1;
        let code = answer.verdict.code;
        *login_counter(&mut context.counters, code) += 1;
        let (origin, subject) = (self.origin_of(key), self.subject_of(key));
        trace(context, TraceKind::LoginRefused, origin, subject, Some(code));
        if self.sessions.get(key).is_some() {
            self.send(context, key, &GatewayPacket::LoginAnswer(Box::new(answer)));
            self.close(context, key, CloseReason::Policy);
        }
    }

    fn go_live(&mut self, context: &mut Context, key: ConnKey, grant: LoginGrant) {
        context.counters.login_ok += 1;
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if session.live.replace(grant.class).is_none() {
            *live_counter(&mut context.counters, grant.class, session.peer.stack.transport) += 1;
        }
        let device = grant.device;
        self.set_phase(key, SessionPhase::Live { device });
        let (answer, held) = login_answer(context, grant);
        self.send(context, key, &GatewayPacket::LoginAnswer(Box::new(answer)));
        for message in held {
            self.send_message(context, key, message);
        }
    }

    fn force_offline(
        &mut self,
        context: &mut Context,
        link: DeviceLink,
        subject: Subject,
        winner: Option<Platform>,
    ) {
        let (kind, code) = match winner {
            Some(_) => (TraceKind::ForcedOff, Code::SessionForcedOff),
            None => (TraceKind::Kicked, Code::SessionKicked),
        };
        let key = self.key_of(link);
        let origin = key.and_then(|key| self.origin_of(key));
        trace(context, kind, origin, subject, Some(code));
        if let Some(key) = key {
            let packet = GatewayPacket::ForceOffline(Verdict::of(code), winner);
            self.send(context, key, &packet);
            self.close(context, key, CloseReason::Policy);
        }
    }

    fn send_message(&self, context: &mut Context, key: ConnKey, message: MessageToSend) {
        context.counters.message_frames += 1;
        let packet = GatewayPacket::Message {
            content: message.content,
            ttl_ms: message.ttl_ms,
            wants_ack: message.wants_ack == WantsAck::Yes,
        };
        self.send(context, key, &packet);
    }

    /// One whose terminal has logged out waits for that answer.
    fn end_silent(&mut self, context: &mut Context, link: DeviceLink, subject: Subject) {
        let key = self.key_of(link);
        let origin = key.and_then(|key| self.origin_of(key));
        trace(context, TraceKind::TimedOut, origin, subject, None);
        let device = link.device;
        let is_live = |key: &ConnKey| self.sessions.phase(*key) == SessionPhase::Live { device };
        if let Some(key) = key.filter(is_live) {
            self.end(context, key, subject, Code::Silent);
        }
    }

    /// The connection that a device has, logged out or not.
    pub(super) fn key_of(&self, link: DeviceLink) -> Option<ConnKey> {
        let key = self.sessions.at(link.slot)?;
        let (phase, device) = (self.sessions.phase(key), link.device);
        (phase == SessionPhase::Live { device } || phase == SessionPhase::Leaving { device }).then_some(key)
    }

    /// Whether a device has a connection that can be sent something.
    pub(in crate::logic) fn is_live(&self, link: DeviceLink) -> bool {
        let device = link.device;
        let key = self.sessions.at(link.slot);
        key.is_some_and(|key| self.sessions.phase(key) == SessionPhase::Live { device })
    }

    /// The connection that a device has, for whoever wants to know more of it.
    pub(in crate::logic) fn view(&self, link: DeviceLink) -> Option<LinkView<'_>> {
        let session = self.sessions.get(self.key_of(link)?)?;
        Some(LinkView {
            peer: session.peer,
            sdk_version: self.versions.text(session.sdk_version),
            app_version: self.versions.text(session.app_version),
        })
    }

    /// When [`Connections::expire`] has something to do next.
    pub(in crate::logic) fn next_deadline(&self) -> Option<Instant> {
        self.login_deadlines.front().map(|(due, _)| *due)
    }
}

/// The answer, and what is sent behind it.
fn login_answer(context: &Context, grant: LoginGrant) -> (LoginAnswer, Vec<MessageToSend>) {
    let settings = &context.settings;
    let timeout = settings.timeout_of(grant.class);
    let terms = SessionTerms {
        session: grant.session.0,
        heartbeat_interval_ms: u32::try_from(millis(settings.heartbeat_interval)).unwrap_or(u32::MAX),
        heartbeat_timeout_ms: u32::try_from(millis(timeout)).unwrap_or(u32::MAX),
        server_time_ms: context.now.wall.0,
        forced_off: grant.forced_off,
        features: match grant.messages {
            MessageSupport::None => 0,
            MessageSupport::Taken => FEATURE_MESSAGES,
            MessageSupport::Acked => FEATURE_MESSAGES | FEATURE_ACKS,
        },
    };
    let answer = LoginAnswer {
        verdict: Verdict::of(Code::Ok),
        winner: None,
        address: None,
        session: Some(terms),
    };
    (answer, grant.held)
}
