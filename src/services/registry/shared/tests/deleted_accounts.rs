//! Deleted accounts are forgotten by their age, and nobody else is.

use super::*;
use crate::services::registry::archive::Position;
use crate::services::registry::shared::ownership::ForgetCandidates;

const P: PartitionId = PartitionId(1);
const DAY_MS: u64 = 86_400_000;

/// The end of an account, with the change that this is for a device.
fn deletion(key: u32, user: UserId, changes: Vec<Change>) -> ToRegistry {
    let commit = Commit {
        kicked_at_s: Some(START.0 / 1_000),
        account: AccountStep::Delete,
        ..commit_of(user, changes)
    };
    ToRegistry::Commit(SHARD, UserKey(key), Box::new(commit))
}

fn forget(users: &[UserId], kept_ms: u64, pruned: u64) -> OwnershipOrder {
    let candidates = ForgetCandidates {
        users: users.to_vec(),
        kept_ms,
        pruned: Position(pruned),
    };
    OwnershipOrder::Forget(P, candidates)
}

#[test]
fn a_deleted_account_is_forgotten_and_begins_anew() {
    let mut desk = TestDesk::owner(settings());
    let user = user_of(1, 1);
    desk.desk.request(deletion(1, user, Vec::new()));
    desk.record_all();
    desk.pass(DAY_MS);
    desk.desk.order(forget(&[user], DAY_MS, 0));
    // Whoever comes right behind it finds nobody, and is in no batch with it.
    desk.log_in(2, user, 1);
    let sent = desk.sent();
    assert_eq!((sent.1.count, &sent.1.gone), (0, &vec![user]));
    assert!(sent.1.residents.is_empty() && sent.1.others.is_empty());
    desk.outcome(sent.clone(), unknown());
    desk.pass(2_000);
    let again = desk.sent();
    assert_eq!(again.1, sent.1);
    assert_eq!(desk.health.forgotten_accounts(), 0);
    desk.outcome(again, recorded(0));
    assert_eq!(desk.health.forgotten_accounts(), 1);
    desk.record_all();
    assert_eq!(desk.committed(), [(1, Ok(())), (2, Ok(()))]);
    assert_eq!(
        desk.confirmed.of(P),
        Position(1),
        "its numbers begin again with 1"
    );
}

#[test]
fn whoever_is_no_old_deleted_account_stays() {
    let mut desk = TestDesk::owner(settings());
    let [young, registered, told, busy] = [1, 2, 3, 4].map(|number| user_of(1, number));
    desk.log_in(1, registered, 1);
    desk.log_in(2, told, 1);
    desk.desk
        .request(deletion(3, told, vec![change(2, ChangeKind::Deletion, 1)]));
    for (key, user) in [(4, young), (5, busy)] {
        desk.desk.request(deletion(key, user, Vec::new()));
    }
    desk.record_all();
    assert_eq!(desk.confirmed.of(P), Position(3));
    desk.pass(DAY_MS);
    for (user, kept_ms, pruned) in [(young, 2 * DAY_MS, 9), (registered, 0, 9), (told, 0, 2)] {
        desk.desk.order(forget(&[user], kept_ms, pruned));
        assert!(desk.batch().is_none(), "{user}");
    }
    // One who does something just now stays, and who was asked about with it goes.
    desk.log_in(6, busy, 1);
    desk.desk.order(forget(&[busy, told, user_of(1, 9)], 0, 3));
    let sent = desk.sent();
    assert_eq!((sent.1.count, &sent.1.gone), (1, &vec![told]));
    assert_eq!(sent.1.residents[0].0, busy);
    // At a node that does not own the partition any more nothing comes of it.
    desk.desk.order(OwnershipOrder::Lose(P));
    desk.desk.order(forget(&[young], 0, 9));
    assert!(desk.batch().is_none());
}
