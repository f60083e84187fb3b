//! What an embedded store promises: what was answered is there, in order and without a gap, whatever happens to the
//! process; and a store that is not ours is left alone.

use tempfile::TempDir;

use super::*;

#[test]
fn what_was_answered_is_there_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    assert_eq!(load(&mut store, "alice"), None);
    let batch = vec![
        commit("alice", 1, 10),
        commit("bob", 1, 11),
        commit("alice", 2, 12),
    ];
    assert_eq!(work(&mut store, 12, batch), [DONE, DONE, DONE]);
    assert_eq!(*store.news().borrow(), Position(3));
    let id = store.reader().store_id();
    drop(store);
    let mut store = open(folder.path());
    assert_eq!(store.reader().store_id(), id);
    assert_eq!(load(&mut store, "alice").unwrap().change, ChangeNumber(2));
    assert_eq!(work(&mut store, 13, vec![commit("bob", 2, 13)]), [DONE]);
    assert_eq!(check_fold(&store.reader()), 4);
    let mut residents = Vec::new();
    store
        .reader()
        .residents(&mut |user, record| residents.push((user, record.status())))
        .unwrap();
    let push_online = crate::logic::record::Status::PushOnline;
    assert_eq!(
        residents,
        [(user("alice"), push_online), (user("bob"), push_online)]
    );
}

#[test]
fn changes_are_read_in_pages_of_all_and_of_one() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    for number in 1..=5 {
        work(
            &mut store,
            number,
            vec![commit("alice", number, number), commit("bob", number, number)],
        );
    }
    let reader = store.reader();
    assert_eq!(places(&reader.changes(Position(0), 3).unwrap()), [1, 2, 3]);
    assert_eq!(places(&reader.changes(Position(8), 30).unwrap()), [9, 10]);
    assert_eq!(
        places(&reader.changes_of(&user("bob"), ChangeNumber(0), 9).unwrap()),
        [2, 4, 6, 8, 10]
    );
    assert_eq!(
        places(&reader.changes_of(&user("bob"), ChangeNumber(2), 2).unwrap()),
        [6, 8]
    );
    assert_eq!(reader.changes_of(&user("eve"), ChangeNumber(0), 9).unwrap(), []);
    let first = reader.users(None, 1).unwrap();
    assert_eq!(first[0].0, user("alice"));
    assert_eq!(reader.users(Some(&user("alice")), 9).unwrap()[0].0, user("bob"));
    assert_eq!(reader.users(Some(&user("bob")), 9).unwrap(), []);
}

#[test]
fn changes_that_do_not_lead_back_are_refused() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    work(&mut store, 1, vec![commit("alice", 1, 1), commit("alice", 2, 1)]);
    let follow_itself = |files: &files::Files| {
        let mut link = files.change(Position(2))?.unwrap();
        link.before = Position(2);
        let bytes = codec::encode_change(&link);
        files
            .changes
            .insert(files::key(Position(2)), bytes)
            .map_err(errors::unread)
    };
    store.reader.with(follow_itself).unwrap();
    let read = store.reader().changes_of(&user("alice"), ChangeNumber(0), 9);
    assert!(matches!(read, Err(ReadError::Lost(_))), "{read:?}");
}

#[test]
fn how_a_session_ended_is_kept_for_seven_days() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    let logout = as_kind(commit("alice", 2, DAY_MS), ChangeKind::Logout);
    work(&mut store, DAY_MS, vec![commit("alice", 1, DAY_MS), logout]);
    let ended = |store: &mut EmbeddedStore, now| load_at(store, now, "alice").unwrap().ended.len();
    assert_eq!(ended(&mut store, 8 * DAY_MS - 1), 1);
    assert_eq!(ended(&mut store, 8 * DAY_MS), 0);
}

#[test]
fn accounts_are_imported_once_and_known_when_registered() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    let ask = |ask| ToRegistry::Accounts(RequestId(1), ask, vec![user("alice"), user("bob")]);
    let told = |existed: [bool; 2]| Delivery::Http(ToHttp::Accounts(RequestId(1), Ok(existed.to_vec())));
    work(&mut store, 1, vec![commit("bob", 1, 1)]);
    assert_eq!(
        work(&mut store, 1, vec![ask(AccountsRequest::Check)]),
        [told([false, true])]
    );
    assert_eq!(
        work(&mut store, 1, vec![ask(AccountsRequest::Import)]),
        [told([false, true])]
    );
    assert_eq!(
        work(&mut store, 1, vec![ask(AccountsRequest::Check)]),
        [told([true, true])]
    );
    assert_eq!(load(&mut store, "alice").unwrap().change, ChangeNumber(0));
}

#[test]
fn relaxed_changes_show_in_the_stream_when_they_are_durable() {
    let folder = TempDir::new().unwrap();
    let relaxed = EmbeddedSettings {
        durability: Durability::Relaxed,
        ..rules()
    };
    let mut store = EmbeddedStore::open(place(folder.path()), relaxed).unwrap();
    assert_eq!(work(&mut store, 1, vec![commit("alice", 1, 1)]), [DONE]);
    assert_eq!(load(&mut store, "alice").unwrap().change, ChangeNumber(1));
    assert_eq!(store.reader().changes(Position(0), 9).unwrap(), []);
    store.rest(Timestamp(2));
    assert_eq!(places(&store.reader().changes(Position(0), 9).unwrap()), [1]);
}

#[test]
fn changes_are_pruned_by_age_but_not_while_a_callback_is_due() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    for number in 1..=6 {
        work(&mut store, number, vec![commit("alice", number, number * DAY_MS)]);
    }
    let reader = store.reader();
    let oldest = |reader: &StoreReader| match reader.changes(Position(0), 9) {
        Err(ReadError::Pruned(oldest)) => oldest.0,
        other => panic!("{other:?}"),
    };
    let late_in_the_year = Timestamp(300 * DAY_MS);
    store.rest(late_in_the_year);
    assert_eq!(places(&reader.changes(Position(0), 9).unwrap()).len(), 6);
    let late = OutboxStep::Late(user("alice"), Position(3));
    reader.take(&[OutboxStep::Cursor(Position(6)), late]).unwrap();
    store.rest(late_in_the_year);
    assert_eq!(oldest(&reader), 2);
    reader
        .take(&[OutboxStep::LateDone(user("alice"), Position(3))])
        .unwrap();
    store.rest(Timestamp(11 * DAY_MS + 1));
    assert_eq!(oldest(&reader), 4);
    // The newest stays: it keeps the place from which the next is counted.
    store.rest(late_in_the_year);
    assert_eq!(oldest(&reader), 5);
    assert_eq!(
        places(&reader.changes_of(&user("alice"), ChangeNumber(0), 9).unwrap()),
        [6]
    );
    drop((store, reader));
    let mut store = open(folder.path());
    work(&mut store, 1, vec![commit("alice", 7, 0)]);
    assert_eq!(places(&store.reader().changes(Position(5), 9).unwrap()), [6, 7]);
}

#[test]
fn changes_that_owe_no_callback_are_passed_by_at_once() {
    let folder = TempDir::new().unwrap();
    let (told, callbacks) = watch::channel(Callbacks::None);
    let rules = EmbeddedSettings { callbacks, ..rules() };
    let mut store = EmbeddedStore::open(place(folder.path()), rules).unwrap();
    let reader = store.reader();
    let due = |after| {
        let (due, looked_at) = reader.due(Position(after), 1).unwrap();
        (places(&due), looked_at.0)
    };
    for number in 1..=9 {
        work(&mut store, number, vec![commit("alice", number, 0)]);
    }
    assert_eq!(due(0), (vec![], 9));
    told.send_replace(Callbacks::Documented);
    let [owes, other] = [commit("alice", 10, 0), commit("bob", 1, 0)];
    work(&mut store, 10, vec![owes]);
    told.send_replace(Callbacks::None);
    work(&mut store, 11, vec![other]);
    assert_eq!(due(9), (vec![10], 10));
    assert_eq!(due(10), (vec![], 11));
    // Who opens a store does not know what its changes owe.
    drop((store, reader));
    let (due, _) = open(folder.path()).reader().due(Position(8), 1).unwrap();
    assert_eq!(places(&due), [10]);
}

#[test]
fn the_outbox_keeps_what_is_late_and_what_is_dead() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    for number in 1..=3 {
        work(
            &mut store,
            number,
            vec![commit("alice", number, 0), commit("al", number, 0)],
        );
    }
    let reader = store.reader();
    let (due, looked_at) = reader.due(Position(1), 2).unwrap();
    assert_eq!((places(&due), looked_at), (vec![2, 3], Position(3)));
    let late = |attempts, next_at| LateUser {
        user: user("alice"),
        attempts,
        next_at: Timestamp(next_at),
        after: Position(2),
    };
    let dead = Dead {
        placed: due[0].clone(),
        attempts: 3,
        at: Timestamp(9),
        fault: "no answer".to_owned(),
    };
    reader
        .take(&[
            OutboxStep::Late(user("alice"), Position(3)),
            OutboxStep::Late(user("alice"), Position(5)),
            OutboxStep::Late(user("al"), Position(4)),
            OutboxStep::Schedule(late(1, 50)),
            OutboxStep::Schedule(late(2, 70)),
            OutboxStep::Bury(dead.clone()),
            OutboxStep::Cursor(Position(5)),
        ])
        .unwrap();
    drop((store, reader));
    let reader = open(folder.path()).reader();
    assert_eq!((reader.late_count(), reader.dead_count()), (3, 1));
    assert_eq!(reader.cursor().unwrap(), Position(5));
    let late_of = |after| there(&reader.late_of(&user("alice"), Position(after), 9).unwrap());
    assert_eq!(
        (late_of(2), late_of(3), late_of(5)),
        (vec![3, 5], vec![5], vec![])
    );
    assert_eq!(reader.late_users(Timestamp(69), 9).unwrap(), []);
    assert_eq!(reader.late_users(Timestamp(70), 9).unwrap(), [late(2, 70)]);
    assert_eq!(reader.dead(Position(0), 9).unwrap(), [dead]);
    reader
        .take(&[OutboxStep::Late(user("alice"), Position(5))])
        .unwrap();
    assert_eq!(reader.late_count(), 3, "a repeated step counts once");
    let done = [
        OutboxStep::LateDone(user("alice"), Position(3)),
        OutboxStep::Unschedule(user("alice")),
        OutboxStep::Unbury(Position(2)),
    ];
    reader.take(&done).unwrap();
    reader.take(&done).unwrap();
    assert_eq!(reader.late_user(&user("alice")).unwrap(), None);
    assert_eq!(late_of(2), [5]);
    assert_eq!(reader.late_users(Timestamp(900), 9).unwrap(), []);
    reader.take(&[OutboxStep::Schedule(late(1, 60))]).unwrap();
    reader.take(&[OutboxStep::Schedule(late(2, 80))]).unwrap();
    assert_eq!(reader.late_users(Timestamp(900), 9).unwrap(), [late(2, 80)]);
    reader.take(&[OutboxStep::Schedule(late(3, 20))]).unwrap();
    assert_eq!(reader.late_users(Timestamp(20), 9).unwrap(), [late(3, 20)]);
    assert_eq!((reader.late_count(), reader.dead_count()), (2, 0));
}

#[test]
fn a_store_belongs_to_one_gateway() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let second = EmbeddedStore::open(place(folder.path()), rules()).unwrap_err();
    assert!(matches!(second, OpenError::InUse(_)), "{second}");
    drop(store);
    open(folder.path());
}

#[test]
fn a_store_of_another_version_is_left_alone() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()));
    {
        let database = fjall::Database::builder(folder.path()).open().unwrap();
        let meta = database.keyspace("meta", Default::default).unwrap();
        meta.insert("format", 2_u64.to_be_bytes()).unwrap();
    }
    for _ in 0..2 {
        let refused = EmbeddedStore::open(place(folder.path()), rules()).unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains("format 2") && text.contains("reads only format 1"),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_directory_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a store").unwrap();
    let refused = EmbeddedStore::open(place(&file), rules()).unwrap_err();
    assert!(matches!(refused, OpenError::Directory { .. }), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), b"not a store");
}

#[test]
fn a_time_out_after_a_restart_tells_the_address_on_record() {
    let folder = TempDir::new().unwrap();
    let address = Some(std::net::Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped());
    let from = |number, kind: Option<ChangeKind>, address| {
        let ToRegistry::Commit(shard, key, mut commit) = commit("alice", number, number) else {
            unreachable!("a commit")
        };
        let change = &mut commit.changes[0];
        change.address = address;
        change.kind = kind.unwrap_or(change.kind.clone());
        ToRegistry::Commit(shard, key, commit)
    };
    work(&mut open(folder.path()), 1, vec![from(1, None, address)]);
    let mut store = open(folder.path());
    work(&mut store, 2, vec![from(2, Some(ChangeKind::TimeOut), None)]);
    drop(store);
    let mut store = open(folder.path());
    work(&mut store, 3, vec![from(3, Some(ChangeKind::Expiry), None)]);
    let changes = store.reader().changes(Position(0), 9).unwrap();
    let told = changes.iter().map(|placed| placed.recorded.change.address);
    assert_eq!(told.collect::<Vec<_>>(), [address; 3]);
}
