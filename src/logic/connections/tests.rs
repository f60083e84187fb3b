//! Connections of one shard, with a registry that takes everything; and what comes of them besides bytes.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::ids::{ConnKey, ShardId, UserId};
use crate::base::time::{Instant, Now, Timestamp};
use crate::logic::context::ShardPosition;
use crate::logic::delivery::{Delivery, ToRegistry, ToShard};
use crate::logic::record::ChangeKind;
use crate::logic::settings::Settings;
use crate::logic::state::ShardState;
use crate::logic::{Effect, Input, Peer};
use crate::protocol::native::encode;
use crate::protocol::native::proto::{self, Platform, request};
use crate::protocol::stack::ProtocolStack;
use crate::protocol::transport::ending::CloseReason;
use crate::protocol::usersig::{self, Key};

pub(super) const KEY: ConnKey = ConnKey {
    slot: 0,
    generation: 1,
};

pub(super) fn now() -> Now {
    let wall = Timestamp(1_700_000_000_000);
    Now {
        instant: Instant(1_000_000),
        wall,
    }
}

pub(super) fn shard() -> ShardState {
    shard_with(|_| ())
}

fn shard_with(change: impl FnOnce(&mut Settings)) -> ShardState {
    let keys = vec![Key {
        secret: "a secret of the tests".into(),
        not_after_s: None,
    }];
    let mut settings = Settings {
        sdk_app_id: 1,
        keys,
        ..Settings::default()
    };
    change(&mut settings);
    let position = ShardPosition {
        shard: ShardId(0),
        shards: 1,
        connections_max: 4,
    };
    ShardState::new(now(), 1, position, Arc::new(settings))
}

pub(super) fn login() -> Vec<u8> {
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

pub(super) fn connect(shard: &mut ShardState, bytes: &[u8]) -> Vec<Effect> {
    let mut out = Vec::new();
    let peer = Peer {
        address: Ipv6Addr::LOCALHOST,
        stack: ProtocolStack::NATIVE_TCP,
    };
    shard.handle(now(), Input::Opened(KEY, peer), &mut out);
    shard.handle(now(), Input::Received(KEY, bytes), &mut out);
    out
}

/// What the registry is asked, as long as it takes everything.
pub(super) fn recorded(shard: &mut ShardState, mut out: Vec<Effect>) -> Vec<ChangeKind> {
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
        shard.handle(now(), Input::Delivered(answer), &mut out);
    }
    kinds
}

fn ask_of(effect: Effect) -> Option<ToRegistry> {
    match effect {
        Effect::Deliver(Delivery::Registry(ask)) => Some(ask),
        Effect::Send(..) | Effect::Stay(_) | Effect::Move(..) => None,
        Effect::Close(..) | Effect::Deliver(_) | Effect::Trace(_) => None,
    }
}

fn later(passed: Duration) -> Now {
    Now {
        instant: now().instant.after(passed),
        ..now()
    }
}

fn closes(out: &[Effect]) -> Vec<(ConnKey, CloseReason)> {
    let close = |effect: &Effect| match effect {
        Effect::Close(key, reason) => Some((*key, *reason)),
        Effect::Send(..) | Effect::Stay(_) | Effect::Move(..) | Effect::Deliver(_) | Effect::Trace(_) => None,
    };
    out.iter().filter_map(close).collect()
}

#[test]
fn a_sign_of_life_without_bytes_puts_off_the_time_out() {
    let timeout = Settings::default().heartbeat_timeout.mobile;
    let (before, behind) = (timeout - Duration::from_secs(1), timeout + Duration::from_secs(1));
    for is_alive in [false, true] {
        let mut shard = shard();
        let out = connect(&mut shard, &login());
        recorded(&mut shard, out);
        let mut out = Vec::new();
        if is_alive {
            shard.handle(later(before), Input::Alive(KEY), &mut out);
        }
        assert_eq!(out, []);
        shard.expire(later(behind), &mut out);
        let is_silent = !recorded(&mut shard, out).is_empty();
        assert_eq!(is_silent, !is_alive);
    }
}

#[test]
fn a_sign_of_life_is_no_login() {
    let mut shard = shard();
    let mut out = connect(&mut shard, &login()[..9]);
    let deadline = Settings::default().login_deadline;
    shard.handle(later(deadline / 2), Input::Alive(KEY), &mut out);
    shard.expire(later(deadline), &mut out);
    assert_eq!(closes(&out), [(KEY, CloseReason::Policy)]);
}

fn of_proxy(shard: &mut ShardState, slot: u32, client: Option<Ipv6Addr>) -> Vec<Effect> {
    let (key, mut out) = (ConnKey { slot, ..KEY }, Vec::new());
    let peer = Peer {
        address: Ipv6Addr::LOCALHOST,
        stack: ProtocolStack::NATIVE_TCP,
    };
    shard.handle(now(), Input::ProxyOpened(key, peer), &mut out);
    if let Some(client) = client {
        shard.handle(now(), Input::ClientKnown(key, client), &mut out);
    }
    out
}

#[test]
fn clients_of_a_proxy_have_their_own_limits_and_the_proxy_has_none() {
    let mut shard = shard_with(|settings| settings.addresses.connections_max = 1);
    let [one, other] = [1, 2].map(|last| Ipv6Addr::new(0x2001, 0xdb8, 0, last, 0, 0, 0, 7));
    for (slot, client) in [None, None, Some(one), Some(other)].into_iter().enumerate() {
        let out = of_proxy(&mut shard, u32::try_from(slot).unwrap(), client);
        assert_eq!(out, [], "{slot}");
    }
    let mut out = Vec::new();
    let key = ConnKey { slot: 0, ..KEY };
    shard.handle(now(), Input::ClientKnown(key, one), &mut out);
    assert_eq!(closes(&out), [(key, CloseReason::Policy)]);
}

#[test]
fn a_proxy_has_the_login_deadline_and_the_stop() {
    let mut shard = shard();
    let mut out = of_proxy(&mut shard, 0, None);
    shard.expire(later(Settings::default().login_deadline), &mut out);
    assert_eq!(closes(&out), [(KEY, CloseReason::Policy)]);
    let mut out = of_proxy(&mut shard, 1, None);
    shard.handle(now(), Input::Delivered(ToShard::Stop), &mut out);
    out.extend(of_proxy(&mut shard, 2, None));
    let goodbyes = closes(&out).into_iter().map(|(key, reason)| (key.slot, reason));
    let goodbyes: Vec<_> = goodbyes.collect();
    assert_eq!(
        goodbyes,
        [(1, CloseReason::GoingAway), (2, CloseReason::GoingAway)]
    );
}
