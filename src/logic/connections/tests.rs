//! Connections of one shard, with a registry that takes everything; and what comes of them besides bytes.

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::base::ids::{ConnKey, Platform};
use crate::logic::delivery::{ToRegistry, ToShard};
use crate::logic::settings::Settings;
use crate::logic::tests::harness::TestShard;
use crate::logic::{Effect, Input};
use crate::protocol::native::proto;
use crate::protocol::transport::ending::CloseReason;

const HEARTBEAT: &[u8] = &[2, 0x12, 0];
const LOGIN: &[u8] = &[2, 0x0a, 0];
const LOGOUT: &[u8] = &[2, 0x1a, 0];
const TOO_LARGE: &[u8] = &[0xf0, 0xa2, 0x04];

/// Which connections were closed since the last look.
fn closes(shard: &mut TestShard) -> Vec<(ConnKey, CloseReason)> {
    let close = |effect| match effect {
        Effect::Close(key, reason) => Some((key, reason)),
        Effect::Send(..) | Effect::Stay(_) | Effect::Move(..) | Effect::Deliver(_) | Effect::Trace(_) => None,
    };
    shard.out.drain(..).filter_map(close).collect()
}

#[test]
fn a_sign_of_life_without_bytes_puts_off_the_time_out() {
    let timeout = Settings::default().heartbeat_timeout.mobile;
    let second = Duration::from_secs(1);
    for is_alive in [false, true] {
        let mut shard = TestShard::new(Settings::default());
        let key = shard.log_in("alice", Platform::IPhone);
        shard.record();
        shard.now.instant = shard.now.instant.after(timeout - second);
        if is_alive {
            shard.handle(Input::Alive(key));
        }
        assert_eq!(shard.out, []);
        shard.expire_after(2 * second);
        let is_silent = !shard.record().is_empty();
        assert_eq!(is_silent, !is_alive);
    }
}

#[test]
fn a_sign_of_life_is_no_login() {
    let mut shard = TestShard::new(Settings::default());
    let login = shard.login("alice", Platform::IPhone, proto::Login::default());
    let key = shard.connect();
    shard.handle(Input::Received(key, &login[..9]));
    let deadline = Settings::default().login_deadline;
    shard.now.instant = shard.now.instant.after(deadline / 2);
    shard.handle(Input::Alive(key));
    shard.expire_after(deadline / 2);
    assert_eq!(closes(&mut shard), [(key, CloseReason::Policy)]);
}

fn of_proxy(shard: &mut TestShard, client: Option<Ipv6Addr>) -> ConnKey {
    let key = shard.connect_as(Input::ProxyOpened);
    if let Some(client) = client {
        shard.handle(Input::ClientKnown(key, client));
    }
    key
}

#[test]
fn clients_of_a_proxy_have_their_own_limits_and_the_proxy_has_none() {
    let mut settings = Settings::default();
    settings.addresses.connections_max = 1;
    let mut shard = TestShard::new(settings);
    let [one, other] = [1, 2].map(|last| Ipv6Addr::new(0x2001, 0xdb8, 0, last, 0, 0, 0, 7));
    let of_proxy = [None, None, Some(one), Some(other)].map(|client| of_proxy(&mut shard, client));
    assert_eq!(shard.out, []);
    shard.handle(Input::ClientKnown(of_proxy[0], one));
    assert_eq!(closes(&mut shard), [(of_proxy[0], CloseReason::Policy)]);
}

#[test]
fn a_proxy_has_the_login_deadline_and_the_stop() {
    let mut shard = TestShard::new(Settings::default());
    let late = of_proxy(&mut shard, None);
    shard.expire_after(Settings::default().login_deadline);
    assert_eq!(closes(&mut shard), [(late, CloseReason::Policy)]);
    let there = of_proxy(&mut shard, None);
    shard.deliver(ToShard::Stop);
    let coming = of_proxy(&mut shard, None);
    let goodbyes = [there, coming].map(|key| (key, CloseReason::GoingAway));
    assert_eq!(closes(&mut shard), goodbyes);
}

#[test]
fn each_mistake_ends_the_link_for_its_reason() {
    for (login, said, reason) in [
        (false, TOO_LARGE, CloseReason::TooLarge),
        (false, &[0xff; 5], CloseReason::ProtocolError),
        (false, HEARTBEAT, CloseReason::ProtocolError),
        (true, LOGIN, CloseReason::ProtocolError),
    ] {
        let mut shard = TestShard::new(Settings::default());
        let key = if login {
            shard.log_in("alice", Platform::IPhone)
        } else {
            shard.connect()
        };
        shard.record();
        shard.handle(Input::Received(key, said));
        assert_eq!(closes(&mut shard), [(key, reason)], "{said:?}");
    }
}

#[test]
fn a_logout_that_is_recorded_is_the_normal_end() {
    let mut shard = TestShard::new(Settings::default());
    let key = shard.log_in("alice", Platform::IPhone);
    shard.record();
    shard.handle(Input::Received(key, LOGOUT));
    let [ToRegistry::Commit(_, user, _)] = shard.asked()[..] else {
        panic!("it is recorded");
    };
    shard.deliver(ToShard::Committed(user, Ok(shard.now.wall)));
    assert_eq!(closes(&mut shard), [(key, CloseReason::Normal)]);
}
