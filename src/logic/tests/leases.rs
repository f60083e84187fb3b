//! What leaves from memory, and when.

use std::time::Duration;

use super::harness::TestShard;
use super::member::*;
use crate::base::ids::Platform;
use crate::base::receipt::Receipt;
use crate::base::time::{Instant, Timestamp};
use crate::logic::cluster::lease::Lease;
use crate::logic::delivery::{RegistryError, ToShard};
use crate::logic::record::ChangeKind;
use crate::logic::{Effect, Input, LinkLoss};
use crate::protocol::native::proto::{self, Code, response};

fn lease(sent: Instant) -> Lease {
    Lease::Never.renewed(sent, sent, Duration::from_secs(6))
}

/// A shard at which alice could resume, with a lease from now on that was vouched for.
fn leased() -> TestShard {
    let mut shard = member();
    shard.log_in("alice", Platform::Mac);
    shard.record();
    shard.deliver(ToShard::Lease(lease(shard.now.instant)));
    shard.deliver(ToShard::Settle(SOLE, Receipt::none()));
    shard.deliver(ToShard::Open(SOLE));
    shard
}

#[test]
fn a_kept_session_leaves_at_the_end_of_its_turn() {
    let mut shard = leased();
    shard.log_in_by("alice", Platform::Mac, resume());
    assert_eq!(shard.told(), []);
    shard.end_turn();
    assert_eq!(answer(&mut shard).0, Code::Ok);
    assert_eq!(shard.counters().sessions_kept, 1);
}

#[test]
fn without_a_lease_nothing_is_gathered() {
    let mut shard = member();
    shard.log_in("alice", Platform::Mac);
    shard.record();
    shard.log_in_by("alice", Platform::Mac, resume());
    assert!(!shard.state.has_gathered());
    assert_eq!(answer(&mut shard).0, Code::Ok);
}

#[test]
fn once_the_lease_has_lapsed_a_kept_session_leaves_behind_an_empty_commit() {
    let mut shard = leased();
    shard.log_in_by("alice", Platform::Mac, resume());
    // It stood still before the end of its turn.
    shard.now.instant = shard.now.instant.after(Duration::from_secs(6));
    shard.end_turn();
    let (key, commit) = only_commit(&mut shard);
    assert!(commit.is_of_nothing(), "{commit:?}");
    shard.deliver(ToShard::Committed(key, Ok(shard.now.wall)));
    assert_eq!(answer(&mut shard).0, Code::Ok);
    // What was asked for in a lapse vouches for none that follows.
    shard.log_in_by("alice", Platform::Mac, resume());
    shard.end_turn();
    assert!(only_commit(&mut shard).1.is_of_nothing());
}

#[test]
fn an_empty_commit_in_the_lease_vouches_for_the_whole_partition() {
    let mut shard = leased();
    shard.log_in("bob", Platform::Mac);
    shard.record();
    let second = Lease::renewed(
        lease(shard.now.instant),
        shard.now.instant.after(Duration::from_secs(7)),
        shard.now.instant.after(Duration::from_secs(7)),
        Duration::from_secs(6),
    );
    shard.now.instant = shard.now.instant.after(Duration::from_secs(8));
    shard.deliver(ToShard::Lease(second));
    shard.log_in_by("alice", Platform::Mac, resume());
    shard.end_turn();
    let (key, _) = only_commit(&mut shard);
    shard.deliver(ToShard::Committed(key, Ok(shard.now.wall)));
    assert_eq!(answer(&mut shard).0, Code::Ok);
    shard.log_in_by("bob", Platform::Mac, resume());
    shard.end_turn();
    assert_eq!(answer(&mut shard).0, Code::Ok, "of the same stretch");
}

#[test]
fn a_session_that_was_ended_is_refused_under_the_lease_alone() {
    for (registry, expected) in [
        (Ok(Timestamp(1)), Code::SessionUnknown),
        (Err(RegistryError::Unavailable), Code::NotRecorded),
        (Err(RegistryError::Superseded), Code::Busy),
    ] {
        let mut shard = leased();
        let stranger = proto::Login {
            session: 9,
            ..Default::default()
        };
        shard.log_in_by("alice", Platform::Mac, stranger);
        shard.now.instant = shard.now.instant.after(Duration::from_secs(6));
        shard.end_turn();
        assert!(!shard.out.iter().any(|effect| matches!(effect, Effect::Send(..))));
        let (key, _) = only_commit(&mut shard);
        shard.deliver(ToShard::Committed(key, registry));
        let told = shard.told().into_iter().find_map(|(_, packet)| {
            let response::Packet::LoginAnswer(answer) = packet else {
                return None;
            };
            answer.verdict
        });
        assert_eq!(told.unwrap().code(), expected, "{registry:?}");
    }
}

#[test]
fn a_login_that_begins_a_session_needs_no_lease() {
    let mut shard = leased();
    shard.deliver(ToShard::Lease(Lease::Never));
    shard.log_in("alice", Platform::Web);
    assert!(!shard.state.has_gathered());
    assert!(matches!(shard.record()[..], [ChangeKind::Login { .. }]));
}

#[test]
fn what_was_gathered_goes_with_its_user() {
    let mut shard = leased();
    let key = shard.log_in_by("alice", Platform::Mac, resume());
    shard.out.clear();
    shard.deliver(ToShard::Drop(SOLE, Receipt::none()));
    let told = shard.told();
    assert_eq!(told.len(), 2, "both connections are told");
    assert!(told.iter().any(|(told, _)| *told == key));
    shard.end_turn();
    assert_eq!(shard.out, []);
}

#[test]
fn a_terminal_that_leaves_while_its_answer_is_gathered_changes_nothing() {
    let mut shard = leased();
    let key = shard.log_in_by("alice", Platform::Mac, resume());
    shard.handle(Input::Closed(key, LinkLoss::Peer));
    shard.end_turn();
    assert_eq!(shard.record(), []);
    assert_eq!(shard.counters().devices_online_now, 1);
}
