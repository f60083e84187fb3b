//! Records that are asked for, and accounts.

use super::*;
use crate::base::ids::RequestId;
use crate::logic::delivery::AccountsRequest;
use crate::logic::record::Status;
use crate::logic::record::UserRecord;
use crate::logic::user_status::{BriefStatus, QueryDepth, StatusList, UserStatuses};
use crate::services::registry::codec::{self, StoredRecord};
use crate::services::registry::shared::job::{JobOutcomes, ReadPurpose, WantedRecords};
use crate::services::registry::shared::ownership::OwnershipNews;

const REQUEST: RequestId = RequestId(9);

fn account(change: u64) -> Option<(RecordHash, Vec<u8>)> {
    let record = UserRecord {
        registered: true,
        change: ChangeNumber(change),
        ..UserRecord::default()
    };
    let stored = StoredRecord {
        record,
        ..StoredRecord::default()
    };
    Some((RecordHash::Others, codec::encode_user(&stored)))
}

type Found = Vec<Option<(RecordHash, Opaque)>>;

fn read(desk: &mut TestDesk, wanted: WantedRecords, outcome: Outcome<Vouched<Found>>) {
    let partition = wanted.partition;
    let outcome = outcome.map(|Vouched { answer, copies }| Vouched {
        answer: desk.loaded(partition, answer),
        copies,
    });
    desk.desk.done(JobOutcomes {
        reads: vec![(wanted, outcome)],
        ..JobOutcomes::default()
    });
}

fn only_read(desk: &mut TestDesk) -> WantedRecords {
    let mut job = desk.job();
    assert!(job.batches.is_empty() && job.reads.len() == 1, "{job:?}");
    job.reads.remove(0)
}

fn load(desk: &mut TestDesk, key: u32, user: UserId) {
    desk.desk.request(ToRegistry::Load(SHARD, UserKey(key), user));
}

fn loaded(desk: &mut TestDesk) -> Vec<(u32, Result<Option<u64>, RegistryError>)> {
    let answers = desk.desk.take_answers().into_iter();
    let of = |answer| {
        let Delivery::Shard(SHARD, ToShard::Loaded(UserKey(key), record)) = answer else {
            panic!("{answer:?}");
        };
        (key, record.map(|record| record.map(|record| record.change.0)))
    };
    answers.map(of).collect()
}

#[test]
fn a_record_is_read_once_and_then_known() {
    let mut desk = TestDesk::owner(settings());
    let (alice, bob) = (user_of(1, 1), user_of(1, 2));
    load(&mut desk, 1, alice);
    load(&mut desk, 2, bob);
    let wanted = only_read(&mut desk);
    assert_eq!((wanted.purpose, wanted.users.len()), (ReadPurpose::Load, 2));
    let records = wanted
        .users
        .iter()
        .map(|user| if *user == alice { account(4) } else { None });
    let records = records.collect();
    read(&mut desk, wanted, recorded(records));
    let mut answers = loaded(&mut desk);
    answers.sort_by_key(|(key, _)| *key);
    assert_eq!(answers, [(1, Ok(Some(4))), (2, Ok(None))]);
    load(&mut desk, 3, alice);
    load(&mut desk, 4, bob);
    assert_eq!(loaded(&mut desk), [(3, Ok(Some(4))), (4, Ok(None))]);
    // The change goes on from there, without a look.
    desk.log_in(5, alice, 5);
    let job = desk.job();
    assert_eq!((job.batches.len(), job.reads.len()), (1, 0));
}

#[test]
fn a_record_that_cannot_be_read_or_understood_is_refused() {
    let damaged = Some((RecordHash::Others, vec![0xff]));
    let outcomes = [
        not_executed(),
        unknown(),
        in_one_copy(vec![account(1)]),
        recorded(vec![damaged]),
    ];
    for outcome in outcomes {
        let mut desk = TestDesk::owner(settings());
        load(&mut desk, 1, user_of(1, 1));
        let wanted = only_read(&mut desk);
        read(&mut desk, wanted, outcome.clone());
        assert_eq!(loaded(&mut desk), [(1, Err(RegistryError::Unavailable))]);
        desk.log_in(2, user_of(1, 2), 1);
        desk.pass(1_000);
        let wanted = only_read(&mut desk);
        read(&mut desk, wanted, outcome);
        assert_eq!(desk.committed(), [(2, Err(RegistryError::Unavailable))]);
        desk.pass(1_000);
        assert!(desk.job().is_empty());
    }
}

#[test]
fn a_commit_that_does_not_follow_the_record_is_refused_and_the_record_read_again() {
    let mut desk = TestDesk::owner(settings());
    let alice = user_of(1, 1);
    load(&mut desk, 1, alice);
    let wanted = only_read(&mut desk);
    read(&mut desk, wanted, recorded(vec![account(4)]));
    assert_eq!(loaded(&mut desk), [(1, Ok(Some(4)))]);
    desk.log_in(1, alice, 7);
    assert!(desk.job().is_empty());
    assert_eq!(desk.committed(), [(1, Err(RegistryError::Unavailable))]);
    desk.log_in(1, alice, 7);
    let wanted = only_read(&mut desk);
    read(&mut desk, wanted, recorded(vec![account(6)]));
    desk.record_all();
    assert_eq!(desk.committed(), [(1, Ok(()))]);
    assert_eq!(desk.desk.figures().mismatched, 1);
}

#[test]
fn statuses_are_told_from_what_is_confirmed_and_else_read() {
    let mut desk = TestDesk::new(settings());
    desk.desk
        .order(OwnershipOrder::Own(PartitionId(1), fence(1), Places::default()));
    let [online, unknown_user, elsewhere, unread] =
        [user_of(1, 1), user_of(1, 2), user_of(2, 1), user_of(3, 1)];
    desk.log_in(1, online, 1);
    desk.record_all();
    desk.committed();
    // A change that is not confirmed is not told.
    desk.log_in(1, online, 2);
    let _sent = desk.sent();
    let users = UserStatuses::unresolved(QueryDepth::Status, vec![elsewhere, online, unread, unknown_user]);
    desk.desk.request(ToRegistry::Complete(REQUEST, users));
    let job = desk.job();
    assert_eq!(job.reads.len(), 3);
    for wanted in job.reads {
        assert_eq!(wanted.purpose, ReadPurpose::Answer);
        assert_eq!(desk.desk.take_answers(), []);
        let outcome = match wanted.partition.0 {
            1 => recorded(vec![None]),
            2 => recorded(vec![account(3)]),
            _ => in_one_copy(vec![account(3)]),
        };
        read(&mut desk, wanted, outcome);
    }
    let ToHttp::Statuses(REQUEST, statuses) = desk.http() else {
        panic!("a query is answered");
    };
    let expected = StatusList::Status(vec![
        BriefStatus::Known(Status::Offline),
        BriefStatus::Known(Status::Online),
        BriefStatus::Unavailable,
        BriefStatus::UnknownAccount,
    ]);
    assert_eq!(statuses.statuses, expected);
}

#[test]
fn accounts_of_all_partitions_are_looked_at() {
    let mut desk = TestDesk::new(settings());
    let users = vec![user_of(2, 1), user_of(2, 2)];
    for (outcome, expected) in [
        (recorded(vec![account(1), None]), Ok(vec![true, false])),
        (unknown(), Err(RegistryError::Unavailable)),
    ] {
        let check = ToRegistry::Accounts(REQUEST, AccountsRequest::Check, users.clone());
        desk.desk.request(check);
        let wanted = only_read(&mut desk);
        read(&mut desk, wanted, outcome);
        assert_eq!(desk.http(), ToHttp::Accounts(REQUEST, expected));
    }
}

#[test]
fn accounts_are_imported_under_the_fence_and_by_their_owner_alone() {
    let mut desk = TestDesk::new(settings());
    for partition in [1, 2] {
        let order = OwnershipOrder::Own(PartitionId(partition), fence(1), Places::default());
        desk.desk.order(order);
    }
    let import = |users| ToRegistry::Accounts(REQUEST, AccountsRequest::Import, users);
    let unavailable = ToHttp::Accounts(REQUEST, Err(RegistryError::Unavailable));
    desk.desk.request(import(vec![user_of(1, 1), user_of(3, 1)]));
    assert_eq!(desk.http(), unavailable);
    let users = vec![user_of(2, 1), user_of(1, 1), user_of(1, 2)];
    for existed in [false, true] {
        desk.desk.request(import(users.clone()));
        let mut job = desk.job();
        for wanted in job.reads {
            let records = vec![None; wanted.users.len()];
            read(&mut desk, wanted, recorded(records));
        }
        if !existed {
            job = desk.job();
        }
        assert_eq!(job.batches.len(), 2);
        for (ticket, batch) in job.batches {
            assert_eq!(desk.desk.take_answers(), []);
            assert_eq!(
                (batch.count, batch.others.len(), batch.residents.len()),
                (0, 3 - usize::from(batch.partition.0), 0)
            );
            desk.outcome((ticket, batch), recorded(0));
        }
        assert_eq!(desk.http(), ToHttp::Accounts(REQUEST, Ok(vec![existed; 3])));
    }
    desk.desk.request(import(users));
    for (part, (ticket, batch)) in desk.job().batches.into_iter().enumerate() {
        let outcome = if part == 0 { not_executed() } else { recorded(0) };
        desk.outcome((ticket, batch), outcome);
    }
    assert_eq!(desk.http(), unavailable);
}

#[test]
fn records_that_have_no_room_are_read_again() {
    let mut settings = settings();
    settings.cache_bytes = 0;
    let mut desk = TestDesk::owner(settings);
    for number in 1..=2 {
        desk.log_in(1, user_of(1, 1), number);
        let wanted = only_read(&mut desk);
        read(&mut desk, wanted, recorded(vec![account(number - 1)]));
        let (ticket, batch) = desk.job().batches.pop().expect("a batch");
        desk.outcome((ticket, batch), recorded(number));
        assert_eq!(desk.committed(), [(1, Ok(()))]);
    }
    assert_eq!(desk.desk.figures().loads, 2);
}

#[test]
fn what_is_read_counts_only_if_the_store_has_all_that_was_confirmed() {
    let p = PartitionId(1);
    let mut desk = TestDesk::owner(settings());
    desk.log_in(1, user_of(1, 1), 1);
    desk.record_all();
    desk.committed();
    let outdated = |desk: &TestDesk, fence: Fence, seq| LoadedRecords {
        fence,
        seq,
        ..desk.loaded(p, vec![account(1)])
    };
    // Of a store that lost something.
    load(&mut desk, 2, user_of(1, 2));
    let wanted = only_read(&mut desk);
    let found = recorded(outdated(&desk, fence(1), 0));
    desk.desk.done(JobOutcomes {
        reads: vec![(wanted, found)],
        ..JobOutcomes::default()
    });
    assert_eq!(loaded(&mut desk), []);
    desk.pass(1_000);
    let lost = desk.sent();
    assert_eq!(lost.1.first, 1);
    desk.outcome(lost, recorded(1));
    // Of another owner's.
    let wanted = only_read(&mut desk);
    let found = recorded(outdated(&desk, fence(2), 1));
    desk.desk.done(JobOutcomes {
        reads: vec![(wanted, found)],
        ..JobOutcomes::default()
    });
    assert_eq!(loaded(&mut desk), []);
    assert_eq!(desk.desk.take_news(), [OwnershipNews::Fenced(p, fence(1))]);
    desk.desk.order(OwnershipOrder::Resume(p, fence(1)));
    let wanted = only_read(&mut desk);
    read(&mut desk, wanted, recorded(vec![account(4)]));
    assert_eq!(loaded(&mut desk), [(2, Ok(Some(4)))]);
    // And what is told of others.
    let check = ToRegistry::Accounts(REQUEST, AccountsRequest::Check, vec![user_of(1, 3)]);
    desk.desk.request(check);
    let wanted = only_read(&mut desk);
    let found = recorded(outdated(&desk, fence(1), 0));
    desk.desk.done(JobOutcomes {
        reads: vec![(wanted, found)],
        ..JobOutcomes::default()
    });
    let unavailable = ToHttp::Accounts(REQUEST, Err(RegistryError::Unavailable));
    assert_eq!(desk.http(), unavailable);
}

#[test]
fn a_call_reads_no_more_records_than_the_store_gives_at_once() {
    let mut desk = TestDesk::owner(settings());
    let mut users = (0..).map(|number| UserId::new(format!("user-{number}").as_bytes()).unwrap());
    let mut of_one = users
        .by_ref()
        .filter(|user| user.partition(PARTITIONS) == PartitionId(1));
    for _ in 0..12 {
        let hundred = of_one.by_ref().take(100).collect();
        desk.desk
            .request(ToRegistry::Accounts(REQUEST, AccountsRequest::Import, hundred));
    }
    let mut read_in_all = Vec::new();
    loop {
        let mut job = desk.job();
        if let Some(wanted) = job.reads.pop() {
            read_in_all.push(wanted.users.len());
            let records = vec![None; wanted.users.len()];
            read(&mut desk, wanted, recorded(records));
        } else if let Some((ticket, batch)) = job.batches.pop() {
            assert_eq!(batch.others.len(), 100);
            desk.outcome((ticket, batch), recorded(0));
        } else {
            break;
        }
    }
    assert_eq!(read_in_all, [1_000, 200]);
    assert_eq!(desk.desk.take_answers().len(), 12);
}
