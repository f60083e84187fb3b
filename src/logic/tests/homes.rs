//! Whose users a shard takes, and whom it sends where.

use super::harness::{TestShard, user};
use super::member::*;
use crate::base::ids::{Platform, ShardId};
use crate::base::limits::HOMELESS_WINDOW_MS_MAX;
use crate::base::receipt::Receipt;
use crate::logic::cluster::home::Home;
use crate::logic::delivery::{Delivery, KickError, RegistryError, ToHttp, ToRegistry, ToShard};
use crate::logic::settings::Settings;
use crate::logic::user_status::{BriefStatus, QueryDepth, StatusList};
use crate::logic::{Effect, Input};
use crate::protocol::native::proto::{self, Code};

#[test]
fn a_login_is_sent_to_its_users_home() {
    let check = |home: Home, login: proto::Login| {
        let mut shard = member();
        shard.deliver(homes(home));
        shard.log_in_by("alice", Platform::Mac, login);
        assert_eq!(shard.counters().connections_now, 0, "it is closed");
        answer(&mut shard)
    };
    let there = (Code::Elsewhere, 0, "two.example:9001".to_owned());
    assert_eq!(check(THERE, follower()), there);
    for (home, login) in [(THERE, proto::Login::default()), (ELSEWHERE, follower())] {
        let (code, wait_ms, address) = check(home, login);
        assert_eq!((code, &*address), (Code::Elsewhere, ""));
        assert!(wait_ms > 0, "it is not to come back at once");
    }
    let (code, wait_ms, address) = check(Home::Nobody, follower());
    assert_eq!((code, &*address), (Code::Busy, ""));
    assert!((1..=HOMELESS_WINDOW_MS_MAX).contains(&u64::from(wait_ms)));
}

#[test]
fn the_node_is_looked_for_before_the_shard() {
    let mut shard = TestShard::of(2, Settings::default());
    shard.deliver(homes(THERE));
    let names = ["alice", "bob", "carol", "dave", "eve", "frank"];
    let name = names
        .iter()
        .find(|name| user(name).home(2) == ShardId(1))
        .unwrap();
    shard.log_in_by(name, Platform::Mac, follower());
    assert_eq!(answer(&mut shard).0, Code::Elsewhere);
    assert_eq!(shard.counters().connections_moved, 0);
}

#[test]
fn a_user_whose_usersig_is_no_good_learns_no_address() {
    let mut shard = member();
    shard.deliver(homes(THERE));
    let key = shard.connect();
    let mut login = shard.login("alice", Platform::Mac, follower());
    // The UserSig is hers, and the login now somebody else's.
    let name = login.windows(5).position(|bytes| bytes == b"alice").unwrap();
    login[name..name + 5].copy_from_slice(b"alicf");
    shard.handle(Input::Received(key, &login));
    assert_eq!(answer(&mut shard).0, Code::UsersigWrongUser);
}

#[test]
fn nobody_logs_in_before_the_partition_is_open() {
    let mut shard = TestShard::new(Settings::default());
    shard.deliver(homes(HERE));
    shard.log_in("alice", Platform::Mac);
    assert_eq!(answer(&mut shard).0, Code::Busy);
    shard.deliver(ToShard::Adopt(SOLE, vec![record_of("alice")]));
    shard.log_in("alice", Platform::Mac);
    assert_eq!(answer(&mut shard).0, Code::Busy);
    shard.deliver(ToShard::Open(SOLE));
    shard.log_in_by("alice", Platform::Mac, resume());
    assert_eq!(answer(&mut shard).0, Code::Ok);
}

#[test]
fn of_a_partition_that_is_not_here_nothing_is_answered() {
    let mut shard = member();
    shard.log_in("alice", Platform::Mac);
    shard.record();
    let asked = |shard: &mut TestShard| {
        shard.out.clear();
        shard.deliver(ToShard::Query(
            REQUEST,
            QueryDepth::Status,
            vec![user("alice"), user("bob")],
        ));
        shard.deliver(ToShard::Query(REQUEST, QueryDepth::Devices, vec![user("alice")]));
        shard.deliver(ToShard::Kick(REQUEST, user("alice")));
        shard.deliver(ToShard::Inspect(REQUEST, user("alice")));
        std::mem::take(&mut shard.out)
    };
    assert!(matches!(
        asked(&mut shard)[..],
        [
            Effect::Deliver(Delivery::Registry(ToRegistry::Complete(..))),
            Effect::Deliver(Delivery::Http(ToHttp::Statuses(..))),
            Effect::Deliver(Delivery::Registry(ToRegistry::Commit(..))),
            Effect::Deliver(Delivery::Http(ToHttp::Inspected(_, Ok(_)))),
        ]
    ));
    shard.deliver(ToShard::Drop(SOLE, Receipt::none()));
    let replies = asked(&mut shard);
    let [
        Effect::Deliver(Delivery::Http(ToHttp::Statuses(_, brief))),
        Effect::Deliver(Delivery::Http(ToHttp::Statuses(_, whole))),
        Effect::Deliver(Delivery::Http(ToHttp::Kicked(_, Err(KickError::Busy)))),
        Effect::Deliver(Delivery::Http(ToHttp::Inspected(_, Err(RegistryError::Unavailable)))),
    ] = &replies[..]
    else {
        panic!("{replies:?}");
    };
    assert_eq!(
        brief.statuses,
        StatusList::Status(vec![BriefStatus::Unavailable; 2])
    );
    assert!(
        matches!(&whole.statuses, StatusList::Devices(all) if all[0].brief() == BriefStatus::Unavailable)
    );
}
