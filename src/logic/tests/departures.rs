//! How users go that another node has, and what settles before that.

use std::time::Duration;

use super::harness::{TestShard, user};
use super::member::*;
use crate::base::ids::{ConnKey, Platform, RequestId};
use crate::base::receipt::Receipt;
use crate::base::time::Timestamp;
use crate::logic::delivery::{KickError, RegistryError, ToHttp, ToRegistry, ToShard};
use crate::logic::record::ChangeKind;
use crate::logic::settings::Settings;
use crate::logic::{Effect, Input, LinkLoss};
use crate::protocol::native::proto::go_away::Reason;
use crate::protocol::native::proto::{Code, response};

#[test]
fn users_that_are_dropped_go_without_a_change_and_their_terminals_are_sent_on() {
    let mut shard = member();
    let keys = ["alice", "bob"].map(|name| shard.log_in(name, Platform::Mac));
    shard.record();
    let waiting = shard.log_in_by("carol", Platform::Mac, follower());
    let [ToRegistry::Load(_, carol, _)] = shard.asked()[..] else {
        panic!("her record is loaded");
    };
    shard.deliver(homes(THERE));
    shard.deliver(ToShard::Drop(SOLE, Receipt::none()));
    let told = shard.told();
    assert_eq!(told.len(), 3, "{told:?}");
    for (key, packet) in told {
        let (code, wait_ms, address) = if let response::Packet::GoAway(away) = packet {
            assert!(keys.contains(&key));
            assert_eq!(away.reason(), Reason::Drain);
            let verdict = away.verdict.unwrap();
            (verdict.code(), verdict.retry_after_ms, away.address)
        } else if let response::Packet::LoginAnswer(answer) = packet {
            assert_eq!(key, waiting);
            (answer.verdict.unwrap().code(), 1, answer.address)
        } else {
            panic!("{packet:?}");
        };
        assert_eq!((code, &*address), (Code::Elsewhere, "two.example:9001"));
        assert!(wait_ms > 0, "they come back one by one");
    }
    shard.deliver(ToShard::Loaded(carol, Ok(None)));
    shard.expire_after(Duration::from_secs(3_600));
    assert_eq!(shard.out, [], "no change, and nothing is told twice");
    let counters = shard.counters();
    let left = (
        counters.users_now,
        counters.devices_online_now,
        counters.connections_now,
    );
    assert_eq!((left, shard.state.in_flight()), ((0, 0, 0), 0));
}

#[test]
fn what_the_registry_has_of_a_dropped_user_is_waited_for() {
    for (answer, expected) in [
        (Ok(Timestamp(1)), Ok(())),
        (Err(RegistryError::Superseded), Err(KickError::Busy)),
        (Err(RegistryError::Unavailable), Err(KickError::Busy)),
    ] {
        let mut shard = member();
        shard.log_in("alice", Platform::Mac);
        shard.record();
        shard.deliver(ToShard::Kick(REQUEST, user("alice")));
        shard.deliver(ToShard::Kick(RequestId(8), user("alice")));
        let (key, _) = only_commit(&mut shard);
        shard.deliver(ToShard::Drop(SOLE, Receipt::none()));
        let busy = Effect::Deliver(ToHttp::Kicked(RequestId(8), Err(KickError::Busy)).into());
        assert!(shard.out.contains(&busy), "it was not with the registry");
        shard.out.clear();
        shard.deliver(ToShard::Committed(key, answer));
        assert_eq!(
            shard.out,
            [Effect::Deliver(ToHttp::Kicked(REQUEST, expected).into())]
        );
        assert_eq!(shard.counters().users_now, 0);
    }
}

#[test]
fn a_partition_that_comes_back_has_nothing_of_before() {
    let mut shard = member();
    let key = shard.log_in("alice", Platform::Mac);
    shard.record();
    shard.handle(Input::Closed(key, LinkLoss::Peer));
    let (old, _) = only_commit(&mut shard);
    shard.deliver(ToShard::Drop(SOLE, Receipt::none()));
    shard.deliver(ToShard::Adopt(SOLE, vec![record_of("alice")]));
    shard.deliver(ToShard::Open(SOLE));
    shard.deliver(ToShard::Committed(old, Err(RegistryError::Superseded)));
    assert_eq!(shard.counters().users_now, 1);
    shard.log_in_by("alice", Platform::Mac, resume());
    assert_eq!(answer(&mut shard).0, Code::Ok);
    assert_eq!(shard.counters().sessions_kept, 1);
}

#[test]
fn who_does_not_come_back_to_an_adopter_is_given_up_after_the_whole_grace() {
    let mut shard = member();
    shard.deliver(ToShard::Drop(SOLE, Receipt::none()));
    shard.deliver(ToShard::Adopt(SOLE, vec![record_of("alice")]));
    // The others take their time to come.
    shard.expire_after(Duration::from_secs(30));
    shard.deliver(ToShard::Open(SOLE));
    let grace = Settings::default().restart_grace;
    shard.expire_after(grace - Duration::from_secs(1));
    assert_eq!(shard.record(), []);
    shard.expire_after(Duration::from_secs(3));
    assert_eq!(shard.record(), [ChangeKind::LinkEnd]);
}

#[test]
fn what_waits_for_room_or_to_be_tried_again_is_given_up_with_its_user() {
    let mut settings = Settings::default();
    settings.capacities.registry_in_flight = 2;
    let mut shard = member_with(settings);
    let keys = ["alice", "bob", "carol", "dave"].map(|name| {
        let key = shard.log_in(name, Platform::Mac);
        shard.record();
        key
    });
    keys.iter()
        .for_each(|key| shard.handle(Input::Closed(*key, LinkLoss::Peer)));
    let asked = shard.asked();
    let [
        ToRegistry::Commit(_, failing, _),
        ToRegistry::Commit(_, pending, _),
    ] = asked[..]
    else {
        panic!("{asked:?}");
    };
    shard.deliver(ToShard::Committed(failing, Err(RegistryError::Unavailable)));
    let (third, _) = only_commit(&mut shard);
    let (receipt, receipts) = Receipt::new();
    shard.deliver(ToShard::Drop(SOLE, receipt));
    for key in [pending, third] {
        assert!(!receipts.are_in(), "something is with the registry");
        shard.deliver(ToShard::Committed(key, Err(RegistryError::Superseded)));
    }
    assert!(receipts.are_in());
    shard.expire_after(Duration::from_secs(60));
    let counters = shard.counters();
    assert_eq!((counters.users_now, counters.commits_retrying_now), (0, 0));
    assert_eq!((shard.state.in_flight(), &shard.out[..]), (0, &[][..]));
}

#[test]
fn all_users_are_dropped_when_all_are_sent_away() {
    let mut shard = member();
    shard.log_in("alice", Platform::Mac);
    shard.record();
    shard.deliver(ToShard::SendAway(Receipt::none()));
    let told = shard.told();
    assert!(
        matches!(&told[..], [(_, response::Packet::GoAway(away))] if away.address.is_empty()),
        "{told:?}"
    );
    assert_eq!(shard.counters().users_now, 0);
    shard.log_in("alice", Platform::Mac);
    assert_eq!(answer(&mut shard).0, Code::Busy);
}

#[test]
fn of_a_partition_that_settles_nothing_more_is_decided() {
    let mut shard = member();
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let key = shard.log_in(name, Platform::Mac);
        shard.record();
        key
    });
    shard.handle(Input::Closed(alice, LinkLoss::Peer));
    let (first, _) = only_commit(&mut shard);
    let (receipt, receipts) = Receipt::new();
    shard.deliver(ToShard::Settle(SOLE, receipt));
    shard.handle(Input::Closed(bob, LinkLoss::Peer));
    shard.log_in("alice", Platform::Mac);
    assert_eq!(answer(&mut shard).0, Code::Busy);
    assert!(!receipts.are_in());
    shard.deliver(ToShard::Committed(first, Ok(shard.now.wall)));
    assert!(receipts.are_in());
    assert_eq!(shard.asked(), []);
    // The hand-over has failed: what has waited goes on.
    shard.deliver(ToShard::Open(SOLE));
    assert_eq!(shard.record(), [ChangeKind::LinkEnd]);
}

#[test]
fn a_partition_that_goes_on_has_the_grace_that_it_had() {
    let mut shard = TestShard::new(Settings::default());
    shard.deliver(ToShard::Adopt(SOLE, vec![record_of("alice")]));
    shard.deliver(ToShard::Open(SOLE));
    shard.deliver(homes(HERE));
    let grace = Settings::default().restart_grace;
    shard.expire_after(grace / 2);
    shard.deliver(ToShard::Settle(SOLE, Receipt::none()));
    shard.expire_after(grace);
    assert_eq!(shard.record(), [], "nothing is decided");
    shard.deliver(ToShard::Open(SOLE));
    shard.expire_after(Duration::from_secs(2));
    assert_eq!(shard.record(), [ChangeKind::LinkEnd]);
}

#[test]
fn a_superseded_user_goes_once() {
    let mut shard = member();
    let key = shard.log_in("alice", Platform::Mac);
    shard.record();
    shard.log_in("bob", Platform::Mac);
    shard.record();
    let second = shard.log_in_by("alice", Platform::Web, follower());
    let (asked, _) = only_commit(&mut shard);
    shard.deliver(homes(THERE));
    shard.deliver(ToShard::Committed(asked, Err(RegistryError::Superseded)));
    let told: Vec<ConnKey> = shard.told().into_iter().map(|(key, _)| key).collect();
    assert_eq!(told, [key, second]);
    assert_eq!(shard.counters().users_now, 1);
    shard.deliver(ToShard::Drop(SOLE, Receipt::none()));
    assert_eq!(shard.told().len(), 1, "bob alone was left");
    let counters = shard.counters();
    assert_eq!(
        (
            counters.users_now,
            counters.devices_online_now,
            shard.state.in_flight()
        ),
        (0, 0, 0)
    );
}

#[test]
fn a_record_that_another_node_owns_is_not_answered_from() {
    let mut shard = member();
    shard.log_in("alice", Platform::Mac);
    let [ToRegistry::Load(_, key, _)] = shard.asked()[..] else {
        panic!("her record is loaded");
    };
    shard.deliver(ToShard::Loaded(key, Err(RegistryError::Superseded)));
    assert_eq!(answer(&mut shard).0, Code::Busy);
    assert_eq!((shard.counters().users_now, shard.state.in_flight()), (0, 0));
}
