//! What came behind a login that waits: kept until the login is answered, and looked at when the link ends before. A logout
//! among it counts all the same. Decides no login, and keeps nothing of a connection that is gone but one word.

use crate::base::ids::ConnKey;
use crate::base::limits::{EAGER_BYTES_MAX, FRAME_BYTES_MAX_AFTER_LOGIN};
use crate::logic::Effect;
use crate::logic::queue::{Event, Goodbye, Hold, Knock};
use crate::logic::session::{Meaning, Mistake, Phase, Pieces, meaning};
use crate::logic::state::ShardState;
use crate::protocol::packet::NextPacket;
use crate::protocol::stack::ProtocolStack;

/// What a terminal said behind a login whose answer it did not wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// Nothing that outlives its link. As long as the link is there, what it says is kept with the connection.
    Nothing,
    /// That the person logs out.
    Logout,
}

impl ShardState {
    /// Keeps what came behind a login until it is answered, as far as there is room.
    pub(super) fn hold(&mut self, key: ConnKey, bytes: &[u8], out: &mut Vec<Effect>) {
        let kept = self.pieces.get(&key.slot).map_or(0, |kept| kept.unread().len());
        let room = EAGER_BYTES_MAX - kept;
        let fitting = &bytes[..bytes.len().min(room)];
        if let Some(session) = self.sessions.get_mut(key).filter(|_| !fitting.is_empty()) {
            session.pieces = Pieces::Kept;
            self.pieces.entry(key.slot).or_default().push(fitting);
        }
        if bytes.len() > room {
            self.mistake(key, Mistake::TooEager, out);
        }
    }

    /// The link of a waiting login is about to be forgotten: a logout behind the login is taken down with the login. Says
    /// what there is.
    pub(super) fn take_down(&mut self, user: u32, key: ConnKey) -> Behind {
        let behind = self.behind(key);
        if let Some(knock) = self.knock_of(user, key) {
            knock.behind = behind;
        }
        behind
    }

    /// Whether a login has a logout behind it: then it is work that somebody waits for, with a link or without.
    pub(super) fn is_followed_by_logout(&self, knock: &Knock) -> bool {
        knock.behind == Behind::Logout || self.behind(knock.key) == Behind::Logout
    }

    /// A login counts whose link ended before: the logout behind it is what comes next for its user.
    pub(super) fn follow_up(&mut self, user: u32, knock: &Knock, goodbye: Goodbye) {
        if knock.behind == Behind::Logout {
            self.enqueue_first(user, Event::Logout(goodbye));
        }
    }

    /// What the bytes say that are kept for a connection.
    fn behind(&self, key: ConnKey) -> Behind {
        let kept = self
            .sessions
            .get(key)
            .map(|session| (session.pieces, session.peer.stack));
        match kept {
            Some((Pieces::Kept, stack)) => read(stack, self.pieces[&key.slot].unread()),
            Some((Pieces::None, _)) | None => Behind::Nothing,
        }
    }

    /// The login of this connection, waiting or with the registry.
    fn knock_of(&mut self, user: u32, key: ConnKey) -> Option<&mut Knock> {
        let place = self.waiting_of(user);
        let waiting = &mut self.waiting[place];
        let asked = match &mut waiting.hold {
            Hold::Committing(committing) => Some(&mut committing.event),
            Hold::Free | Hold::Loading | Hold::Starved | Hold::BackingOff => None,
        };
        let mut events = asked.into_iter().chain(&mut waiting.events);
        events.find_map(|event| match event {
            Event::Login(knock) if knock.key == key => Some(&mut **knock),
            Event::Login(_) | Event::Logout(_) | Event::LinkEnd(..) => None,
            Event::Look(_) | Event::Kick(..) | Event::Inspect(_) => None,
        })
    }
}

/// Reads packets as they are read after a login. A mistake among them ends the link, and what follows it is not read.
fn read(stack: ProtocolStack, mut bytes: &[u8]) -> Behind {
    let live = Phase::Live { device: 0 };
    while let NextPacket::Packet { packet, rest, .. } = stack.next(bytes, FRAME_BYTES_MAX_AFTER_LOGIN) {
        match meaning(live, &packet) {
            Meaning::LogOut => return Behind::Logout,
            Meaning::Beat | Meaning::Note | Meaning::Ignore => bytes = rest,
            Meaning::Refuse(_) | Meaning::LogIn | Meaning::Hold => break,
        }
    }
    Behind::Nothing
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::sync::Arc;

    use super::*;
    use crate::base::ids::{ShardId, UserId};
    use crate::base::time::{Instant, Now, Timestamp};
    use crate::logic::letter::{ToRegistry, ToShard};
    use crate::logic::record::ChangeKind;
    use crate::logic::settings::Settings;
    use crate::logic::state::Place;
    use crate::logic::{Input, LinkLoss, Peer};
    use crate::protocol::native::encode;
    use crate::protocol::native::proto::{self, Platform, request};
    use crate::protocol::usersig::{self, Key};

    const STACK: ProtocolStack = ProtocolStack::NATIVE_TCP;
    const HEARTBEAT: &[u8] = &[2, 0x12, 0];
    const LOGOUT: &[u8] = &[2, 0x1a, 0];
    const BACKGROUND: &[u8] = &[4, 0x22, 2, 8, 1];
    const LOGIN: &[u8] = &[2, 0x0a, 0];
    const UNKNOWN: &[u8] = &[3, 0x7a, 1, 9];
    const BAD_PACKET: &[u8] = &[2, 0x12, 9];
    const TOO_LARGE: &[u8] = &[0xf0, 0xa2, 0x04];

    fn check(frames: &[&[u8]], expected: Behind) {
        assert_eq!(read(STACK, &frames.concat()), expected, "{frames:?}");
    }

    #[test]
    fn a_logout_is_found_behind_whatever_may_stand_before_it() {
        check(&[], Behind::Nothing);
        check(&[HEARTBEAT, BACKGROUND], Behind::Nothing);
        check(&[LOGOUT], Behind::Logout);
        check(&[HEARTBEAT, BACKGROUND, UNKNOWN, LOGOUT], Behind::Logout);
        check(&[LOGOUT, TOO_LARGE], Behind::Logout);
    }

    #[test]
    fn what_follows_a_mistake_is_not_read() {
        check(&[LOGIN, LOGOUT], Behind::Nothing);
        check(&[BAD_PACKET, LOGOUT], Behind::Nothing);
        check(&[TOO_LARGE, LOGOUT], Behind::Nothing);
        check(&[&[0xff; 5], LOGOUT], Behind::Nothing);
    }

    #[test]
    fn the_first_part_of_a_frame_says_nothing() {
        let bytes = [HEARTBEAT, LOGOUT].concat();
        for end in 0..bytes.len() {
            assert_eq!(read(STACK, &bytes[..end]), Behind::Nothing, "{end}");
        }
    }

    const KEY: ConnKey = ConnKey {
        slot: 0,
        generation: 1,
    };

    fn now() -> Now {
        let wall = Timestamp(1_700_000_000_000);
        Now {
            instant: Instant(1_000_000),
            wall,
        }
    }

    fn shard() -> ShardState {
        let keys = vec![Key {
            secret: "a secret of the tests".into(),
            not_after_s: None,
        }];
        let settings = Settings {
            sdk_app_id: 1,
            keys,
            ..Settings::default()
        };
        let place = Place {
            shard: ShardId(0),
            shards: 1,
            connections_max: 4,
        };
        ShardState::new(now(), 1, place, Arc::new(settings))
    }

    fn login() -> Vec<u8> {
        let user = UserId::new(b"alice").unwrap();
        let login = proto::Login {
            protocol: 1,
            user_id: "alice".to_owned(),
            user_sig: usersig::sign(now().wall, 1, "a secret of the tests", &user, 60),
            platform: Platform::Iphone.into(),
            instance: 1,
            ..Default::default()
        };
        let packet = Some(request::Packet::Login(login));
        encode(&proto::Request { packet })
    }

    fn connect(shard: &mut ShardState, bytes: &[u8]) -> Vec<Effect> {
        let mut out = Vec::new();
        let peer = Peer {
            address: Ipv6Addr::LOCALHOST,
            stack: STACK,
        };
        shard.handle(now(), Input::Opened(KEY, peer), &mut out);
        shard.handle(now(), Input::Received(KEY, bytes), &mut out);
        out
    }

    /// What the registry is asked, as long as it takes everything.
    fn recorded(shard: &mut ShardState, mut out: Vec<Effect>) -> Vec<ChangeKind> {
        let mut kinds = Vec::new();
        while let Some(ask) = out.into_iter().find_map(ask_of) {
            let answer = match ask {
                ToRegistry::Load(_, user, _) => ToShard::Loaded(user, Ok(None)),
                ToRegistry::Commit(_, user, commit) => {
                    kinds.extend(commit.changes.into_iter().map(|change| change.kind));
                    ToShard::Committed(user, Ok(Timestamp(0)))
                }
                ToRegistry::Complete(..) | ToRegistry::Accounts(..) => unreachable!("nobody wants it"),
            };
            out = Vec::new();
            shard.handle(now(), Input::Letter(answer), &mut out);
        }
        kinds
    }

    fn ask_of(effect: Effect) -> Option<ToRegistry> {
        match effect {
            Effect::Ask(ask) => Some(ask),
            Effect::Send(..) | Effect::Stay(_) | Effect::Move(..) => None,
            Effect::Close(_) | Effect::Reply(_) | Effect::Note(_) => None,
        }
    }

    #[test]
    fn a_logout_behind_a_login_is_recorded_whatever_ends_the_link() {
        let too_much = vec![0x12; EAGER_BYTES_MAX + 1];
        let ends = [
            Input::Closed(KEY, LinkLoss::Peer),
            Input::Closed(KEY, LinkLoss::SlowReader),
            Input::Received(KEY, &too_much),
            Input::Letter(ToShard::Stop),
        ];
        for end in ends {
            let mut shard = shard();
            let mut out = connect(&mut shard, &[&login()[..], LOGOUT].concat());
            let how = format!("{end:?}");
            shard.handle(now(), end, &mut out);
            let kinds = recorded(&mut shard, out);
            let first = matches!(kinds.first(), Some(ChangeKind::Login { .. }));
            assert!(
                first && kinds.get(1) == Some(&ChangeKind::Logout),
                "{how}: {kinds:?}"
            );
            assert_eq!((kinds.len(), shard.in_flight()), (2, 0), "{how}");
        }
    }

    #[test]
    fn a_login_with_nothing_behind_it_is_dropped_with_its_link() {
        let mut shard = shard();
        let mut out = connect(&mut shard, &login());
        shard.handle(now(), Input::Closed(KEY, LinkLoss::Peer), &mut out);
        assert_eq!(recorded(&mut shard, out), []);
    }
}
