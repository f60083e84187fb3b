//! What the peers that speak the gateway's protocol have in common: the frames of a stream, the check of a login, and
//! what each packet is answered with. It never reads or writes a socket, and never knows who is present.

use std::ops::ControlFlow;

use holdfast::base::ids::UserId;
use holdfast::base::time::Clock;
use holdfast::protocol::native::proto::{self, response};
use holdfast::protocol::native::{HEARTBEAT_ANSWER, LOGOUT_ANSWER, encode, next};
use holdfast::protocol::packet::{Login, NextPacket, TerminalPacket};
use holdfast::protocol::usersig::{self, Key, Verifier};

/// Of a packet, and of what one read takes.
pub(crate) const FRAME_BYTES_MAX: usize = 4_096;

/// The app whose terminals are served.
pub(crate) struct App {
    sdk_app_id: u64,
    keys: Vec<Key>,
}

impl App {
    pub(crate) fn new(sdk_app_id: u64, secret: &str) -> Self {
        let key = Key {
            secret: secret.into(),
            not_after_s: None,
        };
        Self {
            sdk_app_id,
            keys: vec![key],
        }
    }
}

/// The first bytes of a packet whose end has not come. Nothing is on the heap while there are none.
#[derive(Default)]
pub(crate) struct Partial(Vec<u8>);

impl Partial {
    /// Gives `take` each packet that is whole with what was received, until it breaks. Keeps the rest. Breaks too if the
    /// bytes are no packets.
    pub(crate) fn packets(
        &mut self,
        received: &[u8],
        mut take: impl FnMut(TerminalPacket) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut joined = std::mem::take(&mut self.0);
        let mut rest = received;
        if !joined.is_empty() {
            joined.extend_from_slice(received);
            rest = &joined;
        }
        loop {
            match next(rest, FRAME_BYTES_MAX) {
                NextPacket::Packet {
                    packet, rest: behind, ..
                } => {
                    take(packet)?;
                    rest = behind;
                }
                NextPacket::Incomplete => break,
                NextPacket::Unreadable | NextPacket::TooLarge | NextPacket::Malformed => {
                    return ControlFlow::Break(());
                }
            }
        }
        // An empty one is no allocation.
        self.0 = rest.to_vec();
        ControlFlow::Continue(())
    }
}

/// What a server has to do about a packet.
pub(crate) enum Effect {
    /// Send it.
    Send(&'static [u8]),
    /// Check it, and close the connection if it is refused.
    LogIn(Box<Login>),
    /// Send it, and close the connection.
    SendLast(&'static [u8]),
    /// Close the connection.
    Close,
}

/// What to do about a packet of a connection on which this user has logged in.
pub(crate) fn decide(user: Option<&UserId>, packet: TerminalPacket) -> Effect {
    match (packet, user) {
        (TerminalPacket::Heartbeat, Some(_)) => Effect::Send(HEARTBEAT_ANSWER),
        (TerminalPacket::Login(login), _) => Effect::LogIn(login),
        (TerminalPacket::Logout, _) => Effect::SendLast(LOGOUT_ANSWER),
        (TerminalPacket::Heartbeat, None) => Effect::Close,
        (TerminalPacket::Background(_) | TerminalPacket::MessageAck(_) | TerminalPacket::Unknown, _) => {
            Effect::Close
        }
    }
}

/// Who has logged in, and the framed answer.
pub(crate) struct Welcome {
    pub(crate) user: UserId,
    pub(crate) answer: Vec<u8>,
}

/// Checks logins. One a thread.
pub(crate) struct Checker {
    verifier: Verifier,
    clock: Clock,
}

impl Checker {
    pub(crate) fn new() -> Self {
        Self {
            verifier: Verifier::default(),
            clock: Clock::start(),
        }
    }

    /// `None`: it is refused.
    pub(crate) fn check(&mut self, app: &App, login: &Login) -> Option<Welcome> {
        let user = UserId::new(login.user_id.as_bytes()).ok()?;
        let now = self.clock.now();
        let keys = usersig::App {
            sdk_app_id: app.sdk_app_id,
            keys: &app.keys,
            ahead_max_s: 86_400,
        };
        let claims = self.verifier.verify(now.wall, keys, &user, &login.user_sig);
        claims.ok()?;
        let answer = proto::LoginAnswer {
            verdict: Some(proto::Verdict::default()),
            protocol: 1,
            session: 1,
            heartbeat_interval_ms: 120_000,
            heartbeat_timeout_ms: 400_000,
            server_time_ms: now.wall.0,
            ..Default::default()
        };
        let packet = Some(response::Packet::LoginAnswer(answer));
        Some(Welcome {
            user,
            answer: encode(&proto::Response { packet }),
        })
    }
}
