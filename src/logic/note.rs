//! What an operator who looks closely hears of single connections: notes, as data. They are made only while the settings ask for
//! them, hold no secret, and decide nothing.

use std::net::Ipv6Addr;

use crate::base::ids::{ConnKey, DeviceId, InstanceId, UserId};
use crate::logic::Effect;
use crate::logic::session::Phase;
use crate::logic::settings::Notes;
use crate::logic::state::ShardState;
use crate::protocol::packet::Login;
use crate::protocol::verdict::Code;

/// What happened, and to whom, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What happened.
    pub what: What,
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

/// What a note can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
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

impl What {
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

/// Who a login says it is, before anything of it was checked.
pub(super) type Claim = (Option<UserId>, Option<DeviceId>);

impl ShardState {
    fn are_notes_wanted(&self) -> bool {
        self.settings.notes == Notes::Taken
    }

    /// Notes what happened on a connection.
    pub(super) fn note_connection(&mut self, what: What, key: ConnKey, code: Option<Code>) {
        if self.are_notes_wanted() {
            let user = match self.sessions.phase(key) {
                Phase::Waiting { user } => Some(user),
                Phase::Free | Phase::Greeting | Phase::Moving => None,
                Phase::Live { .. } | Phase::Leaving { .. } => None,
            };
            self.take_note(what, Some(key), (user, self.device_on(key)), code);
        }
    }

    /// Notes what happened to a device, and to the connection that it has, if any.
    pub(super) fn note_device(&mut self, what: What, device: u32, code: Option<Code>) {
        if self.are_notes_wanted() {
            let key = self.connection_of(device);
            self.take_note(what, key, (None, Some(device)), code);
        }
    }

    /// Notes that a device logged in by this connection.
    pub(super) fn note_login(&mut self, what: What, key: ConnKey, device: u32) {
        if self.are_notes_wanted() {
            self.take_note(what, Some(key), (None, Some(device)), None);
        }
    }

    fn take_note(
        &mut self,
        what: What,
        connection: Option<ConnKey>,
        (user, device): (Option<u32>, Option<u32>),
        code: Option<Code>,
    ) {
        let device = device.map(|device| &self.users.devices[device]);
        let user = user.or(device.map(|device| device.user));
        let session = connection.and_then(|key| self.sessions.get(key));
        self.notes.push(Note {
            what,
            connection,
            address: session.map(|session| session.peer.address),
            user: user.map(|user| self.users.users[user].id),
            device: device.map(|device| device.id()),
            code,
        });
    }

    /// Who a login says it is, if anybody wants to hear it.
    pub(super) fn claim_of(&self, login: &Login) -> Option<Claim> {
        self.are_notes_wanted().then(|| {
            let user = UserId::new(login.user_id.as_bytes()).ok();
            let instance = InstanceId::new(login.instance);
            let device = login.platform.zip(instance);
            (
                user,
                device.map(|(platform, instance)| DeviceId { platform, instance }),
            )
        })
    }

    /// The last note is about whoever says so.
    pub(super) fn name_in_note(&mut self, claim: Option<Claim>) {
        if let (Some(note), Some((user, device))) = (self.notes.last_mut(), claim) {
            (note.user, note.device) = (user, device);
        }
    }

    /// Hands over what was noted since the last time.
    pub(super) fn hand_over_notes(&mut self, out: &mut Vec<Effect>) {
        if !self.notes.is_empty() {
            out.extend(self.notes.drain(..).map(|note| Effect::Note(Box::new(note))));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::base::ids::{Platform, RequestId, ShardId};
    use crate::base::time::{BEFORE_START_MS, Clock, Instant, Now, Timestamp};
    use crate::logic::letter::{ToRegistry, ToShard};
    use crate::logic::settings::Settings;
    use crate::logic::state::Place;
    use crate::logic::{Input, LinkLoss, Peer};
    use crate::protocol::native::proto::{self, request};
    use crate::protocol::native::{HEARTBEAT, encode};
    use crate::protocol::stack::ProtocolStack;
    use crate::protocol::usersig::{self, Key};

    const KEY: ConnKey = ConnKey {
        slot: 3,
        generation: 9,
    };

    /// What is noted when a new connection does this.
    fn noted(notes: Notes, input: Input<'_>) -> Vec<Note> {
        let settings = Settings {
            notes,
            ..Settings::default()
        };
        let place = Place {
            shard: ShardId(0),
            shards: 1,
            connections_max: 8,
        };
        let now = Clock::start().now();
        let mut state = ShardState::new(now, 1, place, Arc::new(settings));
        let peer = Peer {
            address: Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped(),
            stack: ProtocolStack::NATIVE_TCP,
        };
        let mut out = Vec::new();
        state.handle(now, Input::Opened(KEY, peer), &mut out);
        state.handle(now, input, &mut out);
        let notes = out.into_iter().filter_map(|effect| match effect {
            Effect::Note(note) => Some(*note),
            Effect::Send(..)
            | Effect::Stay(_)
            | Effect::Move(..)
            | Effect::Close(_)
            | Effect::Ask(_)
            | Effect::Reply(_) => None,
        });
        notes.collect()
    }

    fn stranger(what: What, code: Option<Code>) -> Note {
        Note {
            what,
            connection: Some(KEY),
            address: Some(Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped()),
            user: None,
            device: None,
            code,
        }
    }

    #[test]
    fn a_note_says_what_happened_where_and_why() {
        let early = noted(Notes::Taken, Input::Received(KEY, HEARTBEAT));
        assert_eq!(early, [stranger(What::ConnectionEnded, Some(Code::LoginFirst))]);
        let ended = noted(Notes::Taken, Input::Closed(KEY, LinkLoss::Peer));
        assert_eq!(ended, [stranger(What::LinkEnded, None)]);
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
        let refused = noted(Notes::Taken, Input::Received(KEY, &forged_login()));
        let expected = Note {
            user: UserId::new(b"alice").ok(),
            device: InstanceId::new(7).map(|instance| DeviceId {
                platform: Platform::Mac,
                instance,
            }),
            ..stranger(What::LoginRefused, Some(Code::UsersigUnreadable))
        };
        assert!(!format!("{refused:?}").contains("forged"));
        assert_eq!(refused, [expected]);
    }

    #[test]
    fn nothing_is_noted_unless_somebody_wants_it() {
        assert_eq!(noted(Notes::None, Input::Received(KEY, &forged_login())), []);
        assert_eq!(noted(Notes::None, Input::Closed(KEY, LinkLoss::Peer)), []);
    }

    const SECRET: &str = "a secret of the tests";
    const LOGOUT: &[u8] = &[2, 0x1a, 0];

    /// A shard that takes notes, and the time there.
    struct Noting {
        state: ShardState,
        now: Now,
    }

    impl Noting {
        fn new() -> Self {
            let settings = Settings {
                sdk_app_id: 1,
                keys: vec![Key {
                    secret: SECRET.into(),
                    not_after_s: None,
                }],
                notes: Notes::Taken,
                ..Settings::default()
            };
            let place = Place {
                shard: ShardId(0),
                shards: 1,
                connections_max: 8,
            };
            let now = Now {
                instant: Instant(BEFORE_START_MS),
                wall: Timestamp(1_700_000_000_000),
            };
            let state = ShardState::new(now, 1, place, Arc::new(settings));
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
            let (asked, _) = self.handle(Input::Letter(ToShard::Loaded(user, Ok(None))));
            self.handle(Input::Letter(expect_commit(&asked)));
        }

        /// What is asked of the registry, and noted, when this happens.
        fn handle(&mut self, input: Input<'_>) -> (Vec<ToRegistry>, Vec<Note>) {
            let mut out = Vec::new();
            self.state.handle(self.now, input, &mut out);
            asked_and_noted(out)
        }

        fn wait(&mut self, time: Duration) -> (Vec<ToRegistry>, Vec<Note>) {
            self.now.instant = self.now.instant.after(time);
            let mut out = Vec::new();
            self.state.expire(self.now, &mut out);
            asked_and_noted(out)
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

    fn asked_and_noted(out: Vec<Effect>) -> (Vec<ToRegistry>, Vec<Note>) {
        let (mut asked, mut noted) = (Vec::new(), Vec::new());
        for effect in out {
            match effect {
                Effect::Ask(ask) => asked.push(ask),
                Effect::Note(note) => noted.push(*note),
                Effect::Send(..) | Effect::Stay(_) | Effect::Move(..) => {}
                Effect::Close(_) | Effect::Reply(_) => {}
            }
        }
        (asked, noted)
    }

    fn expect_commit(asked: &[ToRegistry]) -> ToShard {
        let [ToRegistry::Commit(_, user, _)] = asked else {
            panic!("no commit: {asked:?}");
        };
        ToShard::Committed(*user, Ok(Timestamp(1_700_000_000_000)))
    }

    #[test]
    fn a_device_that_falls_silent_timed_out_and_its_connection_ended() {
        let mut shard = Noting::new();
        shard.log_in();
        let (silent, _) = shard.wait(Duration::from_secs(3_600));
        let (_, noted) = shard.handle(Input::Letter(expect_commit(&silent)));
        let told: Vec<_> = noted.iter().map(|note| (note.what.name(), note.code)).collect();
        assert_eq!(
            told,
            [("timed out", None), ("connection ended", Some(Code::Silent))]
        );
    }

    #[test]
    fn a_connection_whose_device_timed_out_before_its_logout_is_nobodys() {
        let mut shard = Noting::new();
        shard.log_in();
        let (silent, _) = shard.wait(Duration::from_secs(3_600));
        let timed_out = expect_commit(&silent);
        shard.handle(Input::Letter(ToShard::Kick(
            RequestId(1),
            UserId::new(b"alice").unwrap(),
        )));
        shard.handle(Input::Received(KEY, LOGOUT));
        let (kick, _) = shard.handle(Input::Letter(timed_out));
        expect_commit(&kick);
        let (_, noted) = shard.handle(Input::Closed(KEY, LinkLoss::Peer));
        assert_eq!(noted, [stranger(What::LinkEnded, None)]);
    }
}
