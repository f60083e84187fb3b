//! What an operator who looks closely hears of single connections: events, as data. They are made only while the settings ask for
//! them, hold no secret, and decide nothing.

use std::net::Ipv6Addr;

use crate::base::ids::{ConnKey, DeviceId, UserId};
use crate::protocol::verdict::Code;

/// What happened, and to whom, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEvent {
    /// What happened.
    pub kind: TraceKind,
    /// The connection that it happened on.
    pub connection: Option<ConnKey>,
    /// The terminal's address; an IPv4 address is in its IPv4-mapped form.
    pub address: Option<Ipv6Addr>,
    /// Whose it is; of a login that is refused, who it said it was.
    pub user: Option<UserId>,
    /// Which device.
    pub device: Option<DeviceId>,
    /// Why, in the code that the terminal is told.
    pub code: Option<Code>,
}

/// What can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceKind {
    /// A login began a session.
    LoggedIn,
    /// A login went on with its session.
    Resumed,
    /// A login was refused.
    LoginRefused,
    /// A connection was refused: its address has as many as it may have.
    ConnectionRefused,
    /// A connection was ended for what its terminal did or did not do.
    ConnectionEnded,
    /// The terminal, or the network, ended the link.
    LinkEnded,
    /// The link was cut, since the terminal did not read.
    ReaderTooSlow,
    /// Another device's login took the device's place.
    ForcedOff,
    /// The backend or the operator ended the session.
    Kicked,
    /// The person logged out.
    LoggedOut,
    /// The device was silent for too long.
    TimedOut,
    /// The device was PushOnline for too long.
    Expired,
}

impl TraceKind {
    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LoggedIn => "logged in",
            Self::Resumed => "resumed",
            Self::LoginRefused => "login refused",
            Self::ConnectionRefused => "connection refused",
            Self::ConnectionEnded => "connection ended",
            Self::LinkEnded => "link ended",
            Self::ReaderTooSlow => "link cut: the terminal does not read",
            Self::ForcedOff => "forced off",
            Self::Kicked => "kicked",
            Self::LoggedOut => "logged out",
            Self::TimedOut => "timed out",
            Self::Expired => "expired",
        }
    }
}

/// Whom an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// As far as it is known.
    Named(Option<UserId>, Option<DeviceId>),
    /// The user of this key.
    User(u32),
    /// The device of this key, if its last connection had this slot.
    Device { device: u32, slot: u32 },
}

impl Subject {
    /// Nobody that is known.
    pub(super) const NOBODY: Self = Self::Named(None, None);
}

/// What was traced and is not handed over yet.
#[derive(Debug, Default)]
pub(super) struct Trace {
    events: Vec<TraceEvent>,
    /// Whom the last events are about, as connections know it: users have the names.
    unnamed: Vec<Subject>,
}

impl Trace {
    pub(super) fn add(&mut self, event: TraceEvent, subject: Subject) {
        self.events.push(event);
        self.unnamed.push(subject);
    }

    /// The last event is about whoever says so.
    pub(super) fn name_last(&mut self, user: Option<UserId>, device: Option<DeviceId>) {
        if let Some(subject) = self.unnamed.last_mut() {
            *subject = Subject::Named(user, device);
        }
    }

    /// Gives the events their names, while those whom they are about are known.
    pub(super) fn name(&mut self, name: impl Fn(Subject) -> (Option<UserId>, Option<DeviceId>)) {
        let first = self.events.len() - self.unnamed.len();
        for (event, subject) in self.events[first..].iter_mut().zip(self.unnamed.drain(..)) {
            (event.user, event.device) = name(subject);
        }
    }

    /// The events since the last time, all of them named.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = TraceEvent> {
        self.events.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::base::ids::{InstanceId, Platform, RequestId, ShardId};
    use crate::base::time::{BEFORE_START_MS, Clock, Instant, Now, Timestamp};
    use crate::logic::context::ShardPosition;
    use crate::logic::delivery::{Delivery, ToRegistry, ToShard};
    use crate::logic::settings::{ConnectionTrace, Settings};
    use crate::logic::state::ShardState;
    use crate::logic::{Effect, Input, LinkLoss, Peer};
    use crate::protocol::native::proto::{self, request};
    use crate::protocol::native::{HEARTBEAT, encode};
    use crate::protocol::stack::ProtocolStack;
    use crate::protocol::usersig::{self, Key};

    const KEY: ConnKey = ConnKey {
        slot: 3,
        generation: 9,
    };

    /// What is traced when a new connection does this.
    fn traced(trace: ConnectionTrace, input: Input<'_>) -> Vec<TraceEvent> {
        let settings = Settings {
            trace,
            ..Settings::default()
        };
        let position = ShardPosition {
            shard: ShardId(0),
            shards: 1,
            partitions: 1,
            connections_max: 8,
        };
        let now = Clock::start().now();
        let mut state = ShardState::new(now, 1, position, Arc::new(settings));
        let peer = Peer {
            address: Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped(),
            stack: ProtocolStack::NATIVE_TCP,
        };
        let mut out = Vec::new();
        state.handle(now, Input::Opened(KEY, peer), &mut out);
        state.handle(now, input, &mut out);
        let events = out.into_iter().filter_map(|effect| match effect {
            Effect::Trace(event) => Some(*event),
            Effect::Send(..)
            | Effect::Stay(_)
            | Effect::Move(..)
            | Effect::Close(..)
            | Effect::Deliver(_) => None,
        });
        events.collect()
    }

    fn stranger(kind: TraceKind, code: Option<Code>) -> TraceEvent {
        TraceEvent {
            kind,
            connection: Some(KEY),
            address: Some(Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped()),
            user: None,
            device: None,
            code,
        }
    }

    #[test]
    fn an_event_says_what_happened_where_and_why() {
        let early = traced(ConnectionTrace::On, Input::Received(KEY, HEARTBEAT));
        assert_eq!(
            early,
            [stranger(TraceKind::ConnectionEnded, Some(Code::LoginFirst))]
        );
        let ended = traced(ConnectionTrace::On, Input::Closed(KEY, LinkLoss::Peer));
        assert_eq!(ended, [stranger(TraceKind::LinkEnded, None)]);
    }

    fn forged_login() -> Vec<u8> {
        encode(&proto::Request {
            packet: Some(request::Packet::Login(proto::Login {
                protocol: 1,
                user_id: "alice".to_owned(),
                user_sig: "forged".to_owned(),
                platform: proto::Platform::Mac.into(),
                instance: 7,
                ..Default::default()
            })),
        })
    }

    #[test]
    fn a_refused_login_says_who_it_claimed_to_be_and_not_its_usersig() {
        let refused = traced(ConnectionTrace::On, Input::Received(KEY, &forged_login()));
        let expected = TraceEvent {
            user: UserId::new(b"alice").ok(),
            device: InstanceId::new(7).map(|instance| DeviceId {
                platform: Platform::Mac,
                instance,
            }),
            ..stranger(TraceKind::LoginRefused, Some(Code::UsersigUnreadable))
        };
        assert!(!format!("{refused:?}").contains("forged"));
        assert_eq!(refused, [expected]);
    }

    #[test]
    fn nothing_is_traced_unless_somebody_wants_it() {
        assert_eq!(
            traced(ConnectionTrace::Off, Input::Received(KEY, &forged_login())),
            []
        );
        assert_eq!(
            traced(ConnectionTrace::Off, Input::Closed(KEY, LinkLoss::Peer)),
            []
        );
    }

    const SECRET: &str = "a secret of the tests";
    const LOGOUT: &[u8] = &[2, 0x1a, 0];

    /// A shard that traces, and the time there.
    struct Tracing {
        state: ShardState,
        now: Now,
    }

    impl Tracing {
        fn new() -> Self {
            let settings = Settings {
                sdk_app_id: 1,
                keys: vec![Key {
                    secret: SECRET.into(),
                    not_after_s: None,
                }],
                trace: ConnectionTrace::On,
                ..Settings::default()
            };
            let position = ShardPosition {
                shard: ShardId(0),
                shards: 1,
                partitions: 1,
                connections_max: 8,
            };
            let now = Now {
                instant: Instant(BEFORE_START_MS),
                wall: Timestamp(1_700_000_000_000),
            };
            let state = ShardState::new(now, 1, position, Arc::new(settings));
            Self { state, now }
        }

        /// Alice is logged in.
        fn log_in(&mut self) {
            let peer = Peer {
                address: Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped(),
                stack: ProtocolStack::NATIVE_TCP,
            };
            self.handle(Input::Opened(KEY, peer));
            let login = self.login();
            let (asked, _) = self.handle(Input::Received(KEY, &login));
            let [ToRegistry::Load(_, user, _)] = asked[..] else {
                panic!("no load: {asked:?}");
            };
            let (asked, _) = self.handle(Input::Delivered(ToShard::Loaded(user, Ok(None))));
            self.handle(Input::Delivered(expect_commit(&asked)));
        }

        /// What is asked of the registry, and traced, when this happens.
        fn handle(&mut self, input: Input<'_>) -> (Vec<ToRegistry>, Vec<TraceEvent>) {
            let mut out = Vec::new();
            self.state.handle(self.now, input, &mut out);
            asked_and_traced(out)
        }

        fn wait(&mut self, time: Duration) -> (Vec<ToRegistry>, Vec<TraceEvent>) {
            self.now.instant = self.now.instant.after(time);
            let mut out = Vec::new();
            self.state.expire(self.now, &mut out);
            asked_and_traced(out)
        }

        fn login(&self) -> Vec<u8> {
            let alice = UserId::new(b"alice").unwrap();
            encode(&proto::Request {
                packet: Some(request::Packet::Login(proto::Login {
                    protocol: 1,
                    user_id: "alice".to_owned(),
                    user_sig: usersig::sign(self.now.wall, 1, SECRET, &alice, 86_400),
                    platform: proto::Platform::Mac.into(),
                    instance: 7,
                    ..Default::default()
                })),
            })
        }
    }

    fn asked_and_traced(out: Vec<Effect>) -> (Vec<ToRegistry>, Vec<TraceEvent>) {
        let (mut asked, mut traced) = (Vec::new(), Vec::new());
        for effect in out {
            match effect {
                Effect::Deliver(Delivery::Registry(ask)) => asked.push(ask),
                Effect::Trace(event) => traced.push(*event),
                Effect::Send(..) | Effect::Stay(_) | Effect::Move(..) => {}
                Effect::Close(..) | Effect::Deliver(_) => {}
            }
        }
        (asked, traced)
    }

    fn expect_commit(asked: &[ToRegistry]) -> ToShard {
        let [ToRegistry::Commit(_, user, _)] = asked else {
            panic!("no commit: {asked:?}");
        };
        ToShard::Committed(*user, Ok(Timestamp(1_700_000_000_000)))
    }

    #[test]
    fn a_device_that_falls_silent_timed_out_and_its_connection_ended() {
        let mut shard = Tracing::new();
        shard.log_in();
        let (silent, _) = shard.wait(Duration::from_secs(3_600));
        let (_, traced) = shard.handle(Input::Delivered(expect_commit(&silent)));
        let told: Vec<_> = traced
            .iter()
            .map(|event| (event.kind.name(), event.code))
            .collect();
        assert_eq!(
            told,
            [("timed out", None), ("connection ended", Some(Code::Silent))]
        );
    }

    #[test]
    fn a_connection_whose_device_timed_out_before_its_logout_is_nobodys() {
        let mut shard = Tracing::new();
        shard.log_in();
        let (silent, _) = shard.wait(Duration::from_secs(3_600));
        let timed_out = expect_commit(&silent);
        shard.handle(Input::Delivered(ToShard::Kick(
            RequestId(1),
            UserId::new(b"alice").unwrap(),
        )));
        shard.handle(Input::Received(KEY, LOGOUT));
        let (kick, _) = shard.handle(Input::Delivered(timed_out));
        expect_commit(&kick);
        let (_, traced) = shard.handle(Input::Closed(KEY, LinkLoss::Peer));
        assert_eq!(traced, [stranger(TraceKind::LinkEnded, None)]);
    }
}
