//! A shard driven by hand, one event after the other: what its counters, and its answers in rare cases, say.

pub(in crate::logic) mod harness;
mod member;
mod homes;
mod departures;
mod leases;
mod messages;

use harness::{TestShard, user};

use super::*;
use crate::base::ids::{Platform, RequestId, ShardId};
use crate::base::limits::{EAGER_BYTES_MAX, KICKS_WAITING_MAX};
use crate::base::time::Instant;
use crate::logic::delivery::{Delivery, KickError, RegistryError, ToHttp, ToRegistry, ToShard};
use crate::logic::record::{ChangeKind, Status};
use crate::logic::settings::{Policy, Settings};
use crate::logic::user_status::{BriefStatus, QueryDepth, StatusList};
use crate::protocol::native::proto;

const REQUEST: RequestId = RequestId(7);

#[test]
fn more_kicks_of_a_user_than_may_wait_are_refused() {
    let mut shard = TestShard::new(Settings::default());
    for _ in 0..KICKS_WAITING_MAX + 2 {
        shard.deliver(ToShard::Kick(REQUEST, user("alice")));
    }
    assert_eq!(shard.counters().kicks_refused, 2);
    let busy = Effect::Deliver(ToHttp::Kicked(REQUEST, Err(KickError::Busy)).into());
    assert_eq!(shard.out.iter().filter(|effect| **effect == busy).count(), 2);
    // Those that waited are counted out one by one.
    shard.record();
    shard.deliver(ToShard::Kick(REQUEST, user("alice")));
    assert_eq!(shard.counters().kicks_refused, 2);
}

#[test]
fn more_logins_of_a_user_than_may_wait_are_refused() {
    let mut settings = Settings::default();
    settings.capacities.logins_waiting = 2;
    let mut shard = TestShard::new(settings);
    for _ in 0..5 {
        shard.log_in("alice", Platform::Android);
    }
    let counters = shard.counters();
    assert_eq!((counters.user_refusals_waiting, counters.logins_refused), (3, 3));
}

#[test]
fn a_query_is_answered_for_each_user() {
    let mut shard = TestShard::new(Settings::default());
    for name in ["alice", "bob"] {
        shard.log_in(name, Platform::Web);
        shard.record();
    }
    for depth in [QueryDepth::Status, QueryDepth::Devices] {
        shard.deliver(ToShard::Query(REQUEST, depth, vec![user("bob"), user("alice")]));
        let Some(Effect::Deliver(Delivery::Http(ToHttp::Statuses(REQUEST, statuses)))) = shard.out.pop()
        else {
            panic!("it is answered");
        };
        match statuses.statuses {
            StatusList::Status(all) => assert_eq!(all, [BriefStatus::Known(Status::Online); 2]),
            StatusList::Devices(all) => assert_eq!(all.len(), 2),
        }
    }
}

#[test]
fn a_stop_records_no_end_of_a_link() {
    let mut shard = TestShard::new(Settings::default());
    let key = shard.log_in("alice", Platform::Android);
    let [ToRegistry::Load(_, asked, _)] = shard.asked()[..] else {
        panic!("the record is loaded");
    };
    shard.deliver(ToShard::Loaded(asked, Ok(None)));
    shard.deliver(ToShard::Stop);
    shard.handle(Input::Closed(key, LinkLoss::Peer));
    let changes = shard.record();
    assert!(matches!(changes[..], [ChangeKind::Login { .. }]), "{changes:?}");
}

#[test]
fn what_is_not_recorded_yet_is_counted_until_it_is() {
    let mut shard = TestShard::new(Settings::default());
    let key = shard.log_in("alice", Platform::Android);
    assert_eq!(shard.state.in_flight(), 1);
    shard.record();
    shard.handle(Input::Closed(key, LinkLoss::Peer));
    for tries in 1..3 {
        let [ToRegistry::Commit(_, asked, _)] = &shard.asked()[..] else {
            panic!("try {tries}");
        };
        shard.deliver(ToShard::Committed(*asked, Err(RegistryError::Unavailable)));
        assert_eq!(
            (shard.state.in_flight(), shard.counters().commits_failed),
            (1, tries)
        );
        shard.now.instant = shard.state.next_deadline().expect("it is tried again");
        shard.state.expire(shard.now, &mut shard.out);
    }
    assert_eq!(shard.record(), [ChangeKind::LinkEnd]);
    assert_eq!(
        (shard.state.in_flight(), shard.counters().commits_retrying_now),
        (0, 0)
    );
}

#[test]
fn of_a_user_that_went_to_another_node_all_that_waits_is_given_up() {
    let (load, commit) = (0, 1);
    for superseded in [load, commit] {
        let mut shard = TestShard::new(Settings::default());
        shard.log_in("alice", Platform::Android);
        shard.log_in("alice", Platform::Web);
        shard.deliver(ToShard::Kick(REQUEST, user("alice")));
        shard.deliver(ToShard::Inspect(REQUEST, user("alice")));
        for question in [load, commit] {
            let answer = match &shard.asked()[..] {
                [ToRegistry::Load(_, asked, _)] if superseded == load => {
                    ToShard::Loaded(*asked, Err(RegistryError::Superseded))
                }
                [ToRegistry::Load(_, asked, _)] => ToShard::Loaded(*asked, Ok(None)),
                [ToRegistry::Commit(_, asked, _)] => {
                    ToShard::Committed(*asked, Err(RegistryError::Superseded))
                }
                other => panic!("{other:?}"),
            };
            shard.deliver(answer);
            if question == superseded {
                break;
            }
        }
        let given_up = [
            ToHttp::Kicked(REQUEST, Err(KickError::Busy)),
            ToHttp::Inspected(REQUEST, Err(RegistryError::Unavailable)),
        ];
        for reply in given_up {
            assert!(
                shard.out.contains(&Effect::Deliver(reply.into())),
                "{:?}",
                shard.out
            );
        }
        assert_eq!((shard.counters().login_busy, shard.state.in_flight()), (2, 0));
        assert_eq!(shard.record(), [], "nothing is tried again");
    }
}

#[test]
fn a_logout_on_an_older_connection_ends_nothing() {
    let mut shard = TestShard::new(Settings {
        policy: Policy::Multi,
        ..Settings::default()
    });
    let older = shard.log_in("alice", Platform::Android);
    shard.record();
    // While another device's login is recorded, the first one comes back, and says goodbye where it was.
    shard.log_in("alice", Platform::Web);
    let resume = proto::Login {
        session: 1,
        ..Default::default()
    };
    shard.log_in_by("alice", Platform::Android, resume);
    shard.say(older, proto::request::Packet::Logout(proto::Logout::default()));
    let changes = shard.record();
    assert!(matches!(changes[..], [ChangeKind::Login { .. }]), "{changes:?}");
    assert_eq!(shard.counters().devices_online_now, 2);
}

#[test]
fn an_account_is_counted_as_deleted_by_a_deletion_alone() {
    let mut shard = TestShard::new(Settings::default());
    for name in ["alice", "bob"] {
        shard.log_in(name, Platform::Mac);
        shard.record();
    }
    shard.deliver(ToShard::Kick(REQUEST, user("alice")));
    assert_eq!(shard.record(), [ChangeKind::Kick]);
    assert_eq!(shard.counters().accounts_deleted, 0);
    shard.deliver(ToShard::Delete(REQUEST, user("bob")));
    assert_eq!(shard.record(), [ChangeKind::Deletion]);
    assert_eq!(shard.counters().accounts_deleted, 1);
}

#[test]
fn a_slow_reader_is_counted() {
    let mut shard = TestShard::new(Settings::default());
    for loss in [LinkLoss::SlowReader, LinkLoss::Peer] {
        let key = shard.log_in("alice", Platform::Mac);
        shard.record();
        shard.handle(Input::Closed(key, loss));
        assert_eq!(shard.record(), [ChangeKind::LinkEnd]);
    }
    assert_eq!(shard.counters().slow_readers, 1);
}

#[test]
fn alarms_that_were_checked_make_room_for_others() {
    let mut settings = Settings::default();
    settings.capacities.registry_in_flight = 2;
    let mut shard = TestShard::new(settings);
    for name in ["alice", "bob", "carol"] {
        shard.log_in(name, Platform::Mac);
        shard.record();
    }
    // All are silent for too long, and one is checked at a time.
    shard.now.instant.0 += 3_600_000;
    for _ in 0..3 {
        shard.state.expire(shard.now, &mut shard.out);
        assert_eq!(shard.record(), [ChangeKind::TimeOut]);
    }
}

#[test]
fn a_login_without_room_at_the_registry_is_counted_as_busy() {
    let mut settings = Settings::default();
    settings.capacities.registry_in_flight = 1;
    let mut shard = TestShard::new(settings);
    for name in ["alice", "bob", "carol"] {
        shard.log_in(name, Platform::Mac);
    }
    assert_eq!(shard.counters().logins_busy, 2);
}

#[test]
fn a_usersig_that_a_kick_ended_is_counted_as_refused() {
    let mut shard = TestShard::new(Settings::default());
    shard.log_in("alice", Platform::Mac);
    shard.record();
    shard.deliver(ToShard::Kick(REQUEST, user("alice")));
    shard.log_in("alice", Platform::Mac);
    assert_eq!(shard.record(), [ChangeKind::Kick]);
    assert_eq!(shard.counters().usersigs_refused, 1);
}

#[test]
fn connections_are_counted_in_and_out() {
    let mut shard = TestShard::new(Settings::default());
    let key = shard.log_in("alice", Platform::Mac);
    shard.log_in("bob", Platform::Web);
    shard.record();
    let now = |shard: &TestShard| {
        let counters = shard.counters();
        let live = (counters.live_desktop_tcp, counters.live_web_tcp);
        (counters.connections_now, live)
    };
    assert_eq!(now(&shard), (2, (1, 1)));
    shard.handle(Input::Closed(key, LinkLoss::Peer));
    assert_eq!(now(&shard), (1, (0, 1)));
}

#[test]
fn a_connection_that_moves_is_counted_out() {
    let mut shard = TestShard::of(2, Settings::default());
    let names = ["alice", "bob", "carol", "dave", "eve", "frank"];
    let is_elsewhere = |name: &&&str| user(name).home(2) == ShardId(1);
    let name = names.iter().find(is_elsewhere).expect("one of six");
    shard.log_in(name, Platform::Mac);
    assert!(matches!(shard.out[..], [Effect::Move(..)]), "{:?}", shard.out);
    let counters = shard.counters();
    assert_eq!((counters.connections_now, counters.connections_moved), (0, 1));
}

#[test]
fn versions_are_short_printable_ascii_and_shown() {
    let (longest, too_long) = ("x".repeat(32), "x".repeat(33));
    let mut shard = TestShard::new(Settings::default());
    let mut log_in = |sdk_version: &str, app_version: &str| {
        let versions = proto::Login {
            sdk_version: sdk_version.to_owned(),
            app_version: app_version.to_owned(),
            ..Default::default()
        };
        shard.log_in_by("alice", Platform::Mac, versions);
        shard.record();
        shard.deliver(ToShard::Inspect(REQUEST, user("alice")));
        let Some(Effect::Deliver(Delivery::Http(ToHttp::Inspected(_, Ok(shown))))) = shard.out.pop() else {
            panic!("it is answered");
        };
        let link = shown.expect("an account").devices.remove(0).link.expect("a link");
        (link.sdk_version, link.app_version)
    };
    let first = (longest.clone(), " ~".to_owned());
    assert_eq!(log_in(&longest, " ~"), first);
    for (sdk_version, app_version) in [(&too_long[..], ""), ("", "\u{7f}"), ("\n", ""), ("", "\u{e4}")] {
        assert_eq!(log_in(sdk_version, app_version), first, "refused");
    }
    assert_eq!(shard.counters().fields_invalid, 4);
}

#[test]
fn a_connection_has_its_deadline_to_log_in() {
    let mut shard = TestShard::new(Settings::default());
    shard.connect();
    let due = shard.state.next_deadline().expect("a deadline");
    for (instant, ended) in [(Instant(due.0 - 1), 0), (due, 1)] {
        shard.now.instant = instant;
        shard.state.expire(shard.now, &mut shard.out);
        assert_eq!(shard.counters().login_deadlines, ended);
    }
}

#[test]
fn behind_a_login_there_is_room_for_so_much() {
    let mut shard = TestShard::new(Settings::default());
    let key = shard.log_in("alice", Platform::Mac);
    shard.handle(Input::Received(key, &[0x12; EAGER_BYTES_MAX]));
    assert_eq!(shard.counters().eager_senders, 0);
    shard.handle(Input::Received(key, &[0x12]));
    assert_eq!(shard.counters().eager_senders, 1);
}
