//! A shard driven by hand, one event after the other, with a registry that takes everything.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::counters::Counters;
use crate::base::ids::{ConnKey, Platform, ShardId, UserId};
use crate::base::time::{Instant, Now, Timestamp};
use crate::logic::context::Context;
use crate::logic::delivery::{Delivery, ToRegistry, ToShard, UserKey};
use crate::logic::record::ChangeKind;
use crate::logic::settings::Settings;
use crate::logic::state::ShardState;
use crate::logic::{Effect, Input, Peer, ShardPosition};
use crate::protocol::native::encode;
use crate::protocol::native::proto::{self, response};
use crate::protocol::native::terminal::{self, NextResponse};
use crate::protocol::stack::ProtocolStack;
use crate::protocol::usersig::{self, Key};

const SECRET: &str = "a secret of the tests";

/// One shard, and what it was told to do since the last look.
pub(in crate::logic) struct TestShard {
    pub(in crate::logic) state: ShardState,
    pub(in crate::logic) now: Now,
    pub(in crate::logic) out: Vec<Effect>,
    connected: u32,
}

impl TestShard {
    pub(in crate::logic) fn new(settings: Settings) -> Self {
        Self::of(1, settings)
    }

    /// The first of so many shards.
    pub(in crate::logic) fn of(shards: u16, settings: Settings) -> Self {
        let settings = Settings {
            sdk_app_id: 1,
            keys: vec![Key {
                secret: SECRET.into(),
                not_after_s: None,
            }],
            ..settings
        };
        let now = Now {
            instant: Instant(1_000_000),
            wall: Timestamp(1_800_000_000_000),
        };
        Self {
            state: ShardState::new(now, 1, first_of(shards), Arc::new(settings)),
            now,
            out: Vec::new(),
            connected: 0,
        }
    }

    pub(in crate::logic) fn handle(&mut self, input: Input<'_>) {
        self.state.handle(self.now, input, &mut self.out);
    }

    pub(in crate::logic) fn deliver(&mut self, delivered: ToShard) {
        self.handle(Input::Delivered(delivered));
    }

    /// Time passes, and what is due is done.
    pub(in crate::logic) fn expire_after(&mut self, passed: Duration) {
        self.now.instant = self.now.instant.after(passed);
        self.state.expire(self.now, &mut self.out);
    }

    /// A new connection.
    pub(in crate::logic) fn connect(&mut self) -> ConnKey {
        self.connect_as(Input::Opened)
    }

    pub(in crate::logic) fn connect_as(&mut self, opened: fn(ConnKey, Peer) -> Input<'static>) -> ConnKey {
        let key = ConnKey {
            slot: self.connected,
            generation: 1,
        };
        self.connected += 1;
        let peer = Peer {
            address: Ipv6Addr::LOCALHOST,
            stack: ProtocolStack::NATIVE_TCP,
        };
        self.handle(opened(key, peer));
        key
    }

    /// The packet by which somebody logs in.
    pub(in crate::logic) fn login(&self, name: &str, platform: Platform, rest: proto::Login) -> Vec<u8> {
        let login = proto::Login {
            protocol: 1,
            user_id: name.to_owned(),
            user_sig: usersig::sign(self.now.wall, 1, SECRET, &user(name), 60),
            platform: platform as i32,
            instance: 1,
            ..rest
        };
        let packet = Some(proto::request::Packet::Login(login));
        encode(&proto::Request { packet })
    }

    /// A new connection, on which somebody logs in.
    pub(in crate::logic) fn log_in_by(
        &mut self,
        name: &str,
        platform: Platform,
        rest: proto::Login,
    ) -> ConnKey {
        let (key, login) = (self.connect(), self.login(name, platform, rest));
        self.handle(Input::Received(key, &login));
        key
    }

    pub(in crate::logic) fn log_in(&mut self, name: &str, platform: Platform) -> ConnKey {
        self.log_in_by(name, platform, proto::Login::default())
    }

    pub(in crate::logic) fn say(&mut self, key: ConnKey, packet: proto::request::Packet) {
        let packet = Some(packet);
        self.handle(Input::Received(key, &encode(&proto::Request { packet })));
    }

    /// What terminals were told, and nothing else of what there was to do.
    pub(in crate::logic) fn told(&mut self) -> Vec<(ConnKey, response::Packet)> {
        let told = self.out.drain(..).filter_map(|effect| match effect {
            Effect::Send(key, bytes) => match terminal::next(bytes.as_slice(), usize::MAX) {
                NextResponse::Packet(Some(packet), _) => Some((key, packet)),
                NextResponse::Packet(None, _) | NextResponse::Incomplete | NextResponse::Malformed(_) => {
                    panic!("not a packet: {bytes:?}")
                }
            },
            Effect::Stay(_) | Effect::Move(..) | Effect::Close(..) => None,
            Effect::Deliver(_) | Effect::Trace(_) => None,
        });
        told.collect()
    }

    /// The turn ends at this moment.
    pub(in crate::logic) fn end_turn(&mut self) {
        if self.state.has_gathered() {
            self.state.let_out(self.now, &mut self.out);
        }
    }

    /// What the registry is asked.
    pub(in crate::logic) fn asked(&mut self) -> Vec<ToRegistry> {
        let effects = std::mem::take(&mut self.out).into_iter();
        let asked = effects.filter_map(|effect| match effect {
            Effect::Deliver(Delivery::Registry(ask)) => Some(ask),
            Effect::Send(..) | Effect::Stay(_) | Effect::Move(..) => None,
            Effect::Close(..) | Effect::Deliver(_) | Effect::Trace(_) => None,
        });
        asked.collect()
    }

    /// The registry takes all that it is asked, of users that nothing is on record of. Gives what changed.
    pub(in crate::logic) fn record(&mut self) -> Vec<ChangeKind> {
        let mut changes = Vec::new();
        loop {
            let asked = self.asked();
            if asked.is_empty() {
                return changes;
            }
            for ask in asked {
                self.deliver(match ask {
                    ToRegistry::Load(_, user, _) => ToShard::Loaded(user, Ok(None)),
                    ToRegistry::Commit(_, user, commit) => {
                        changes.extend(commit.changes.into_iter().map(|change| change.kind));
                        ToShard::Committed(user, Ok(self.now.wall))
                    }
                    ToRegistry::Complete(..) | ToRegistry::Accounts(..) => unreachable!("nobody wants it"),
                });
            }
        }
    }

    /// The registry takes all that it is asked, as [`TestShard::record`] has it; what terminals are told stays to be looked at.
    pub(in crate::logic) fn record_told(&mut self) {
        let mut told = Vec::new();
        loop {
            let (asks, others): (Vec<Effect>, Vec<Effect>) = std::mem::take(&mut self.out)
                .into_iter()
                .partition(|effect| matches!(effect, Effect::Deliver(Delivery::Registry(_))));
            told.extend(others);
            if asks.is_empty() {
                self.out = told;
                return;
            }
            self.out = asks;
            self.record_once();
        }
    }

    fn record_once(&mut self) {
        for ask in self.asked() {
            self.deliver(match ask {
                ToRegistry::Load(_, user, _) => ToShard::Loaded(user, Ok(None)),
                ToRegistry::Commit(_, user, _) => ToShard::Committed(user, Ok(self.now.wall)),
                ToRegistry::Complete(..) | ToRegistry::Accounts(..) => unreachable!("nobody wants it"),
            });
        }
    }

    /// Whom the registry is asked for.
    pub(in crate::logic) fn asked_of(&mut self) -> Vec<(UserKey, UserId)> {
        let asked = self.asked().into_iter();
        let asked = asked.filter_map(|ask| match ask {
            ToRegistry::Load(_, key, user) => Some((key, user)),
            ToRegistry::Commit(..) | ToRegistry::Complete(..) | ToRegistry::Accounts(..) => None,
        });
        asked.collect()
    }

    pub(in crate::logic) fn counters(&self) -> &Counters {
        self.state.counters()
    }
}

pub(in crate::logic) fn user(name: &str) -> UserId {
    UserId::new(name.as_bytes()).unwrap()
}

fn first_of(shards: u16) -> ShardPosition {
    ShardPosition {
        shard: ShardId(0),
        shards,
        partitions: 1,
        connections_max: 64,
    }
}

/// What parts of a shard share.
pub(in crate::logic) fn context(settings: Settings) -> Context {
    Context::new(Now::default(), 1, first_of(1), Arc::new(settings))
}
