//! Each script against a real server, row by row of what it may find.

use super::base::ids::{PartitionId, UserId};
use super::samples::{self, *};
use super::servers::*;
use super::shared_store::calls::*;
use super::shared_store::client::RedisStore;
use super::shared_store::keys::PartitionKey;
use super::shared_store::outbox::{KeptStep, KeptTurns, LateMember, OutboxCounts, StepGroup, StepsTaken};
use super::shared_store::outcome::{Confirmation, Fence, Outcome, SharedStoreError, Vouched};

const P: PartitionId = PartitionId(3);

fn start() -> (RedisServer, RedisStore) {
    let server = RedisServer::start(&[]);
    let store = store(&[server.url()], 0);
    (server, store)
}

fn done<T>(outcome: Outcome<Vouched<T>>) -> T {
    match outcome {
        Ok(vouched) => vouched.answer,
        Err(error) => panic!("{error}"),
    }
}

fn commit(store: &mut RedisStore, batch: Batch) -> Outcome<Vouched<u64>> {
    store.commit(&[batch]).pop().unwrap()
}

fn behind(place: u64) -> Outcome<Vouched<u64>> {
    Err(SharedStoreError::Behind(place))
}

fn places(store: &mut RedisStore) -> Places {
    done(store.look(P)).places
}

fn load(store: &mut RedisStore, users: Vec<UserId>) -> Vec<Option<(RecordHash, Opaque)>> {
    done(store.load(&[(P, users)]).pop().unwrap()).records
}

fn record_of(store: &mut RedisStore, user: &str) -> Option<(RecordHash, String)> {
    let loaded = load(store, vec![samples::user(user)]).pop().unwrap();
    loaded.map(|(hash, record)| (hash, String::from_utf8(record).unwrap()))
}

fn stream(store: &mut RedisStore, after: u64) -> Vec<u64> {
    let part = store.stream(P, after, 1_000).unwrap();
    part.value.into_iter().map(|(first, _)| first).collect()
}

#[test]
fn a_batch_is_recorded_once() {
    let (server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    let mut first = batch(P, &mine, 1, 3);
    first.residents = users(&["alice"], "one");
    assert_eq!(done(commit(&mut store, first.clone())), 3);
    let mut second = batch(P, &mine, 4, 64);
    second.residents = users(&["alice"], "two");
    assert_eq!(done(commit(&mut store, second)), 67);
    // The first one again, late: nothing goes back.
    assert_eq!(done(commit(&mut store, first)), 67);
    assert_eq!(
        record_of(&mut store, "alice"),
        Some((RecordHash::Residents, "two".to_owned()))
    );
    assert_eq!(stream(&mut store, 0), [1, 4]);
    let entry: Vec<(String, Vec<(String, String)>)> =
        server.ask(&["XRANGE", &key(P, PartitionKey::Stream), "4", "4"]);
    let expected = (
        "4-0".to_owned(),
        vec![("b".to_owned(), "changes 4+64".to_owned())],
    );
    assert_eq!(entry, [expected]);
    let expected = Places {
        seq: 67,
        durable: 3,
        latest: 1_004,
        ..Places::default()
    };
    assert_eq!(places(&mut store), expected);
}

/// A partition whose last place is 10 is given a batch; what then stands in the stream behind 10.
fn check_place(first: u64, count: u32, expected: &Outcome<u64>, in_stream: &[u64]) {
    let (_server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    done(commit(&mut store, batch(P, &mine, 1, 10)));
    let mut next = batch(P, &mine, first, count);
    next.others = users(&["bob"], "new");
    let came = commit(&mut store, next).map(|vouched| vouched.answer);
    assert_eq!(came, *expected, "{first}+{count}");
    let is_written = *expected == Ok(first + u64::from(count) - 1) && first == 11;
    assert_eq!(
        record_of(&mut store, "bob").is_some(),
        is_written,
        "{first}+{count}"
    );
    let behind: Vec<u64> = stream(&mut store, 10)
        .into_iter()
        .filter(|first| *first > 10)
        .collect();
    assert_eq!(behind, in_stream, "{first}+{count}");
}

#[test]
fn a_batch_comes_behind_the_last_or_not_at_all() {
    check_place(11, 1, &Ok(11), &[11]);
    check_place(11, 64, &Ok(74), &[11]);
    check_place(11, 0, &Ok(10), &[]);
    // Older than what is there.
    check_place(10, 0, &Ok(10), &[]);
    check_place(1, 0, &Ok(10), &[]);
    check_place(10, 1, &Ok(10), &[]);
    check_place(5, 6, &Ok(10), &[]);
    check_place(1, 3, &Ok(10), &[]);
    // Something is missing.
    check_place(12, 1, &Err(SharedStoreError::Behind(10)), &[]);
    check_place(12, 0, &Err(SharedStoreError::Behind(10)), &[]);
    check_place(1_000, 64, &Err(SharedStoreError::Behind(10)), &[]);
    // Other borders than the first time.
    check_place(10, 2, &Err(SharedStoreError::Behind(10)), &[]);
    check_place(1, 11, &Err(SharedStoreError::Behind(10)), &[]);
}

#[test]
fn places_are_exact_beyond_what_is_printed_by_default() {
    let (_server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    let far = (1 << 53) - 100;
    assert_eq!(done(store.accept_loss(P, &mine, far)), far);
    assert_eq!(done(commit(&mut store, batch(P, &mine, far + 1, 7))), far + 7);
    assert_eq!(commit(&mut store, batch(P, &mine, far + 9, 1)), behind(far + 7));
    assert_eq!(places(&mut store).seq, far + 7);
    assert_eq!(stream(&mut store, far), [far + 1]);
    assert_eq!(done(store.prune(P, &mine, far + 3)), far);
    assert_eq!(places(&mut store).pruned, far);
}

#[test]
fn only_the_holder_of_the_fence_changes_anything() {
    let (_server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    let late = LateMember {
        place: 1,
        user: user("u"),
    };
    for wrong in [
        fence("a.1", 2),
        fence("a.2", 1),
        fence("a.1", 0),
        fence("", 1),
        Fence::none(),
    ] {
        let fenced = SharedStoreError::Fenced(mine.clone());
        let group = StepGroup {
            partition: P,
            fence: wrong.clone(),
            number: 1,
            steps: vec![KeptStep::Late(late.clone())],
        };
        assert_eq!(
            commit(&mut store, batch(P, &wrong, 1, 1)),
            Err(fenced.clone()),
            "{wrong}"
        );
        assert_eq!(
            commit(&mut store, batch(P, &wrong, 1, 0)),
            Err(fenced.clone()),
            "{wrong}"
        );
        assert_eq!(take(&mut store, &group), Err(fenced.clone()), "{wrong}");
        assert_eq!(store.prune(P, &wrong, 1), Err(fenced.clone()), "{wrong}");
        assert_eq!(store.release(P, &wrong, "b.1"), Err(fenced.clone()), "{wrong}");
        assert_eq!(store.accept_loss(P, &wrong, 9), Err(fenced), "{wrong}");
    }
    assert_eq!(places(&mut store), Places::default());
}

#[test]
fn a_user_is_in_one_of_the_hashes() {
    let (server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    let mut place = 0;
    let mut put = |store: &mut RedisStore, residents: &[&str], others: &[&str], gone: &[&str]| {
        place += 1;
        let mut next = batch(P, &mine, place, 1);
        next.residents = users(residents, "r");
        next.others = users(others, "o");
        next.gone = gone.iter().map(|name| user(name)).collect();
        done(commit(store, next));
        let names = |kept| {
            let mut names: Vec<String> = server.ask(&["HKEYS", &key(P, kept)]);
            names.sort();
            names.join(" ")
        };
        (names(PartitionKey::Residents), names(PartitionKey::Others))
    };
    let strings = |residents: &str, others: &str| (residents.to_owned(), others.to_owned());
    assert_eq!(
        put(&mut store, &["a", "b"], &["c", "d"], &[]),
        strings("a b", "c d")
    );
    assert_eq!(put(&mut store, &["c"], &["a"], &[]), strings("b c", "a d"));
    assert_eq!(put(&mut store, &[], &["b", "c"], &["d"]), strings("", "a b c"));
    assert_eq!(
        put(&mut store, &["e", "a"], &[], &["b", "x"]),
        strings("a e", "c")
    );
    assert_eq!(put(&mut store, &[], &[], &["a", "c", "e"]), strings("", ""));
    // An import: records alone.
    let mut import = batch(P, &mine, 6, 0);
    import.residents = users(&["c"], "i");
    import.others = users(&["f"], "i");
    done(commit(&mut store, import.clone()));
    done(commit(&mut store, import));
    assert_eq!(
        record_of(&mut store, "c"),
        Some((RecordHash::Residents, "i".to_owned()))
    );
    assert_eq!(
        record_of(&mut store, "f"),
        Some((RecordHash::Others, "i".to_owned()))
    );
    assert_eq!(places(&mut store).seq, 5);
}

#[test]
fn a_batch_may_have_very_many_records() {
    let (server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    let names: Vec<String> = (0..12_000).map(|number| format!("user{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let counts = || -> [u64; 2] {
        [PartitionKey::Residents, PartitionKey::Others].map(|kept| server.ask(&["HLEN", &key(P, kept)]))
    };
    // 4,000 arguments in one call are what Lua's unpack still takes; the others are more.
    let mut some = batch(P, &mine, 1, 0);
    some.residents = users(&names[..2_000], "r");
    done(commit(&mut store, some.clone()));
    assert_eq!(counts(), [2_000, 0]);
    some.residents = users(&names[..5_999], "r");
    some.others = users(&names[5_999..], "o");
    done(commit(&mut store, some.clone()));
    assert_eq!(counts(), [5_999, 6_001]);
    (some.residents, some.others) = (some.others, some.residents);
    done(commit(&mut store, some.clone()));
    assert_eq!(counts(), [6_001, 5_999]);
    some.residents.clear();
    some.others.clear();
    some.gone = names[1..].iter().map(|name| user(name)).collect();
    done(commit(&mut store, some));
    assert_eq!(counts(), [0, 1]);
}

/// Someone sees one fence and claims another, where `a.1` owns the partition in epoch 5.
fn check_claim(seen: Fence, wanted: Fence, granted: bool) {
    let (_server, mut store) = start();
    let theirs = fence("a.1", 5);
    done(store.claim(&claim(P, theirs.clone(), Fence::none())));
    done(commit(&mut store, batch(P, &theirs, 1, 2)));
    let came = done(store.claim(&claim(P, wanted.clone(), seen.clone())));
    let (expected, owner) = if granted {
        let places = Places {
            seq: 2,
            latest: 1_001,
            ..Places::default()
        };
        (Claimed::Granted(places), wanted.clone())
    } else {
        (Claimed::Taken(theirs.clone()), theirs)
    };
    assert_eq!(came, expected, "{wanted} after {seen}");
    assert_eq!(done(store.look(P)).fence, owner, "{wanted} after {seen}");
}

#[test]
fn a_claim_needs_what_was_seen_and_a_higher_epoch() {
    let theirs = || fence("a.1", 5);
    check_claim(theirs(), fence("b.2", 6), true);
    check_claim(theirs(), fence("b.2", 60), true);
    check_claim(theirs(), fence("b.2", 5), false);
    check_claim(theirs(), fence("b.2", 4), false);
    check_claim(fence("a.1", 4), fence("b.2", 6), false);
    check_claim(fence("c.1", 5), fence("b.2", 6), false);
    check_claim(Fence::none(), fence("b.2", 6), false);
    // The same claim again.
    check_claim(Fence::none(), theirs(), true);
    check_claim(theirs(), theirs(), true);
}

#[test]
fn a_claim_tells_where_the_partition_stands() {
    let (_server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    done(commit(&mut store, batch(P, &mine, 1, 5)));
    done(commit(&mut store, batch(P, &mine, 6, 5)));
    done(commit(&mut store, batch(P, &mine, 11, 1)));
    done(store.prune(P, &mine, 6));
    let group = StepGroup {
        partition: P,
        fence: mine.clone(),
        number: 1,
        steps: vec![KeptStep::Cursor(7)],
    };
    done(take(&mut store, &group));
    let expected = Places {
        seq: 11,
        durable: 10,
        pruned: 5,
        cursor: 7,
        latest: 1_011,
        steps: 1,
    };
    let claimed = done(store.claim(&claim(P, fence("b.1", 2), mine)));
    assert_eq!(claimed, Claimed::Granted(expected));
    assert_eq!(places(&mut store), expected);
}

#[test]
fn data_of_another_store_is_not_claimed() {
    let (_server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    let mut other = claim(P, fence("b.1", 2), mine.clone());
    other.format = "1 other".to_owned();
    assert_eq!(done(store.claim(&other)), Claimed::Foreign(FORMAT.to_owned()));
    assert_eq!(done(store.look(P)).fence, mine);
}

#[test]
fn a_release_hands_over() {
    let (_server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    assert_eq!(done(store.release(P, &mine, "b.7")), 2);
    // Its answer was lost: the same again.
    assert_eq!(done(store.release(P, &mine, "b.7")), 2);
    assert_eq!(done(store.look(P)).fence, fence("b.7", 2));
    let fenced = Err(SharedStoreError::Fenced(fence("b.7", 2)));
    assert_eq!(commit(&mut store, batch(P, &mine, 1, 1)), fenced);
    assert_eq!(store.release(P, &mine, "c.1"), fenced);
    assert_eq!(done(store.release(P, &fence("b.7", 2), "")), 3);
    assert_eq!(done(store.look(P)).fence, fence("", 3));
}

#[test]
fn a_look_is_a_write_and_finds_nothing_where_nothing_is() {
    let (server, mut store) = start();
    let nothing = PartitionSeen {
        fence: Fence::none(),
        places: Places::default(),
    };
    assert_eq!(done(store.look(P)), nothing);
    assert_eq!(done(store.look(P)), nothing);
    assert_eq!(
        server.ask::<String>(&["HGET", &key(P, PartitionKey::Meta), "looks"]),
        "2"
    );
}

/// How many members each of the outbox's keys has.
fn outbox(server: &RedisServer) -> [u64; 5] {
    let schedules = server.ask(&["HLEN", &key(P, PartitionKey::Schedules)]);
    let sorted = [
        PartitionKey::Turns,
        PartitionKey::LateByPlace,
        PartitionKey::LateByUser,
        PartitionKey::Dead,
    ];
    let [turns, by_place, by_user, dead] = sorted.map(|kept| server.ask(&["ZCARD", &key(P, kept)]));
    [schedules, turns, by_place, by_user, dead]
}

#[test]
fn steps_are_taken_once_and_in_order() {
    let (server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    let group = |number, steps| StepGroup {
        partition: P,
        fence: mine.clone(),
        number,
        steps,
    };
    let one = group(
        1,
        vec![
            KeptStep::Late(late("u", 4)),
            KeptStep::Late(late("u", 9)),
            KeptStep::Schedule(user("u"), 500, b"s".to_vec()),
            KeptStep::Bury(3, b"3 dead".to_vec()),
            KeptStep::Cursor(9),
        ],
    );
    assert_eq!(done(take(&mut store, &one)), 1);
    assert_eq!(outbox(&server), [1, 1, 2, 2, 1]);
    assert_eq!(places(&mut store).cursor, 9);
    let two = group(
        2,
        vec![
            KeptStep::Done(late("u", 4)),
            KeptStep::Schedule(user("u"), 700, b"t".to_vec()),
            KeptStep::Bury(3, b"3 dead, told otherwise".to_vec()),
            KeptStep::Bury(4, b"4 dead".to_vec()),
        ],
    );
    assert_eq!(done(take(&mut store, &two)), 2);
    assert_eq!(outbox(&server), [1, 1, 1, 1, 2]);
    assert_eq!(
        server.ask::<String>(&["ZSCORE", &key(P, PartitionKey::Turns), "u"]),
        "700"
    );
    let three = group(
        3,
        vec![
            KeptStep::Done(late("u", 9)),
            KeptStep::Unschedule(user("u")),
            KeptStep::Unbury(3),
            KeptStep::Unbury(4),
        ],
    );
    assert_eq!(done(take(&mut store, &three)), 3);
    assert_eq!(outbox(&server), [0; 5]);
    // Late and doubled ones bring nothing back.
    for again in [&one, &two, &three] {
        assert_eq!(done(take(&mut store, again)), 3);
    }
    assert_eq!(outbox(&server), [0; 5]);
    assert_eq!(places(&mut store).cursor, 9);
    // One is missing.
    assert_eq!(take(&mut store, &group(5, vec![KeptStep::Cursor(20)])), behind(3));
    assert_eq!(places(&mut store).cursor, 9);
}

/// Batches of ten from place 1 to 40; what is gone when all from `keep_from` on is kept, and what is left.
fn check_prune(keep_from: u64, gone: u64, left: &[u64]) {
    let (_server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    for first in [1, 11, 21, 31] {
        done(commit(&mut store, batch(P, &mine, first, 10)));
    }
    assert_eq!(done(store.prune(P, &mine, keep_from)), gone, "{keep_from}");
    assert_eq!(done(store.prune(P, &mine, keep_from)), gone, "{keep_from}");
    assert_eq!(places(&mut store).pruned, gone, "{keep_from}");
    assert_eq!(stream(&mut store, 0), left, "{keep_from}");
    // Less is no way back.
    assert_eq!(done(store.prune(P, &mine, 1)), gone, "{keep_from}");
}

#[test]
fn whole_batches_are_pruned_and_the_newest_stays() {
    check_prune(0, 0, &[1, 11, 21, 31]);
    check_prune(10, 0, &[1, 11, 21, 31]);
    check_prune(11, 10, &[11, 21, 31]);
    check_prune(25, 20, &[21, 31]);
    check_prune(40, 30, &[31]);
    check_prune(1_000, 30, &[31]);
}

#[test]
fn a_loss_is_accepted_in_one_direction() {
    let (_server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    done(commit(&mut store, batch(P, &mine, 1, 10)));
    assert_eq!(done(store.accept_loss(P, &mine, 7)), 10);
    assert_eq!(places(&mut store).pruned, 0);
    assert_eq!(done(store.accept_loss(P, &mine, 15)), 15);
    assert_eq!(done(store.accept_loss(P, &mine, 15)), 15);
    // What is before the loss may be removed, and still counts as gone.
    assert_eq!(done(store.prune(P, &mine, 5)), 15);
    assert_eq!(done(commit(&mut store, batch(P, &mine, 16, 1))), 16);
    let part = store.stream(P, 10, 1_000).unwrap();
    assert_eq!(part.seen.places.pruned, 15);
}

#[test]
fn reading_gives_what_was_written() {
    let (_server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    let names: Vec<String> = (0..1_000).map(|number| format!("user{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut some = batch(P, &mine, 1, 1);
    some.residents = users(&names[..600], "r");
    some.others = users(&names[600..900], "o");
    done(commit(&mut store, some));
    let asked: Vec<_> = names.iter().map(|name| user(name)).collect();
    let loaded = load(&mut store, asked);
    let expected = |number| match number {
        0..600 => Some((RecordHash::Residents, b"r".to_vec())),
        600..900 => Some((RecordHash::Others, b"o".to_vec())),
        _ => None,
    };
    assert!(loaded.into_iter().eq((0..1_000).map(expected)));
    assert_eq!(load(&mut store, Vec::new()), []);
    let (first, second) = (vec![user("user599")], vec![user("user600")]);
    let wanted = [(P, first), (PartitionId(P.0 + 1), second.clone()), (P, second)];
    let found = store.load(&wanted).into_iter().map(done);
    let expected = |fence: &Fence, seq, record| LoadedRecords {
        fence: fence.clone(),
        seq,
        records: vec![record],
    };
    let resident = Some((RecordHash::Residents, b"r".to_vec()));
    let other = Some((RecordHash::Others, b"o".to_vec()));
    let expected = [
        expected(&mine, 1, resident),
        expected(&Fence::none(), 0, None),
        expected(&mine, 1, other),
    ];
    assert!(found.eq(expected));
    for (hash, count) in [(RecordHash::Residents, 600), (RecordHash::Others, 300)] {
        let (mut found, mut from) = (Vec::new(), 0);
        loop {
            let part = store.scan(P, hash, from, 100).unwrap();
            found.extend(part.users);
            match part.next {
                Some(next) => from = next,
                None => break,
            }
        }
        found.sort();
        found.dedup();
        assert_eq!(found.len(), count);
    }
    assert_eq!(
        store
            .scan(PartitionId(4), RecordHash::Others, 0, 10)
            .unwrap()
            .users,
        []
    );
}

#[test]
fn a_stream_is_read_from_any_place() {
    let (_server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    for first in [1, 65, 129] {
        done(commit(&mut store, batch(P, &mine, first, 64)));
    }
    for after in 0..192 {
        assert_eq!(stream(&mut store, after)[0], after / 64 * 64 + 1, "{after}");
    }
    assert_eq!(stream(&mut store, 192), [129]);
    assert_eq!(stream(&mut store, 128), [129]);
    let part = store.stream(P, 0, 2).unwrap();
    assert_eq!(part.value.len(), 2);
    assert_eq!(part.value[1], (65, b"changes 65+64".to_vec()));
    assert_eq!(part.seen.places.durable, 128);
    assert_eq!(store.stream(PartitionId(4), 0, 2).unwrap().value, []);
}

#[test]
fn what_a_cluster_was_founded_with_stays() {
    let (_server, mut store) = start();
    let founding = |partitions| Founding {
        format: 1,
        partitions,
        hash: 1,
        store: "store".to_owned(),
    };
    assert_eq!(store.founding(), Ok(None));
    assert_eq!(done(store.create(&founding(16))), founding(16));
    assert_eq!(done(store.create(&founding(32))), founding(16));
    assert_eq!(store.founding(), Ok(Some(founding(16))));
}

#[test]
fn a_round_has_an_outcome_for_each_batch() {
    let (_server, mut store) = start();
    let [a, b, c, d] = [0, 1, 2, 3].map(PartitionId);
    let fences: Vec<_> = [a, b, c, d].map(|p| own(&mut store, p, "a.1")).into();
    let theirs = fence("b.1", 2);
    done(store.claim(&claim(c, theirs.clone(), fences[2].clone())));
    let round = [
        batch(a, &fences[0], 1, 1),
        batch(b, &fences[1], 5, 1),
        batch(c, &fences[2], 1, 1),
        batch(d, &fences[3], 1, 9),
    ];
    let came: Vec<_> = store
        .commit(&round)
        .into_iter()
        .map(|outcome| outcome.map(|v| v.answer))
        .collect();
    let expected = [
        Ok(1),
        Err(SharedStoreError::Behind(0)),
        Err(SharedStoreError::Fenced(theirs)),
        Ok(9),
    ];
    assert_eq!(came, expected);
    assert_eq!(store.commit(&[]), []);
}

/// A partition with late callbacks, late users and dead letters.
fn outbox_of(store: &mut RedisStore) -> Fence {
    let mine = own(store, P, "a.1");
    let schedule = |name, at: u64| KeptStep::Schedule(user(name), at, format!("{name} at {at}").into_bytes());
    let group = StepGroup {
        partition: P,
        fence: mine.clone(),
        number: 1,
        steps: vec![
            KeptStep::Late(late("u", 4)),
            KeptStep::Late(late("uu", 5)),
            KeptStep::Late(late("u", 300)),
            KeptStep::Late(late("u", 70_000)),
            schedule("u", 500),
            schedule("uu", 90_000),
            schedule("v", 400),
            schedule("w", 1_000_000),
            KeptStep::Bury(9, b"9 dead".to_vec()),
            KeptStep::Bury(300, b"300 dead".to_vec()),
            KeptStep::Bury(2, b"2 dead".to_vec()),
        ],
    };
    let taken = done(store.steps(&group, Confirmation::Needless));
    let counts = OutboxCounts { late: 4, dead: 3 };
    assert_eq!(taken, StepsTaken { number: 1, counts });
    mine
}

#[test]
fn late_callbacks_are_found_by_place_and_by_user() {
    let (_server, mut store) = start();
    let mine = outbox_of(&mut store);
    let all = [late("u", 4), late("uu", 5), late("u", 300), late("u", 70_000)];
    let read = store.late(P, 0, 10).unwrap();
    assert_eq!((read.value.as_slice(), read.seen.fence), (&all[..], mine.clone()));
    assert_eq!(store.late(P, 4, 2).unwrap().value, all[1..3]);
    assert_eq!(store.late(P, 70_000, 2).unwrap().value, []);
    let read = store.late_of(P, &user("u"), 0, 10).unwrap();
    assert_eq!(
        (read.value.as_slice(), read.seen.fence),
        (&[4, 300, 70_000][..], mine)
    );
    assert_eq!(store.late_of(P, &user("u"), 4, 1).unwrap().value, [300]);
    assert_eq!(store.late_of(P, &user("u"), 70_000, 1).unwrap().value, [0; 0]);
    assert_eq!(store.late_of(P, &user("uu"), 0, 10).unwrap().value, [5]);
    assert_eq!(store.late_of(P, &user("x"), 0, 10).unwrap().value, [0; 0]);
}

#[test]
fn late_users_are_found_by_their_turns() {
    let (_server, mut store) = start();
    let mine = outbox_of(&mut store);
    let mut check = |(due, far, count), expected: &[&str]| {
        let read = store.turns(P, due, far, count).unwrap();
        assert_eq!(read.value.span, Some((400, 1_000_000)));
        assert_eq!(read.seen.fence, mine);
        let records = read.value.users.into_iter().map(|(found, record)| {
            let record = String::from_utf8(record).unwrap();
            assert!(record.starts_with(&format!("{found} at ")), "{record}");
            record
        });
        assert_eq!(records.collect::<Vec<_>>(), expected, "{due} {far} {count}");
    };
    check((399, 2_000_000, 10), &[]);
    check((500, 2_000_000, 10), &["v at 400", "u at 500"]);
    check((500, 2_000_000, 1), &["v at 400"]);
    check((450, 90_001, 10), &["v at 400", "w at 1000000"]);
    check((500, 90_000, 3), &["v at 400", "u at 500", "uu at 90000"]);
    check((500, 90_000, 0), &[]);
    let read = store.turn(P, &user("u")).unwrap();
    assert_eq!((read.value, read.seen.fence), (Some(b"u at 500".to_vec()), mine));
    assert_eq!(store.turn(P, &user("x")).unwrap().value, None);
    let none = store.turns(PartitionId(4), 500, 500, 10).unwrap();
    assert_eq!(
        (none.value, none.seen.fence),
        (KeptTurns::default(), Fence::none())
    );
}

#[test]
fn dead_letters_are_found_by_place() {
    let (_server, mut store) = start();
    let mine = outbox_of(&mut store);
    let all = [
        (2, b"2 dead".to_vec()),
        (9, b"9 dead".to_vec()),
        (300, b"300 dead".to_vec()),
    ];
    let read = store.dead(P, 0, 10).unwrap();
    assert_eq!((read.value.as_slice(), read.seen.fence), (&all[..], mine));
    assert_eq!(store.dead(P, 2, 1).unwrap().value, all[1..2]);
    assert_eq!(store.dead(P, 300, 1).unwrap().value, []);
    let counts = OutboxCounts { late: 4, dead: 3 };
    assert_eq!(store.outbox_counts(P).unwrap().value, counts);
    let nothing = store.outbox_counts(PartitionId(4)).unwrap();
    assert_eq!(nothing.value, OutboxCounts::default());
}

#[test]
fn batches_are_found_by_any_of_their_places() {
    let (_server, mut store) = start();
    let mine = own(&mut store, P, "a.1");
    for (first, count) in [(1, 10), (11, 1), (12, 20)] {
        done(commit(&mut store, batch(P, &mine, first, count)));
    }
    let mut check = |places: &[u64], expected: &[u64]| {
        let read = store.batches(P, places).unwrap();
        let firsts: Vec<u64> = read.value.iter().map(|(first, _)| *first).collect();
        assert_eq!(firsts, expected, "{places:?}");
        assert_eq!((read.seen.fence, read.seen.places.seq), (mine.clone(), 31));
    };
    check(&[1, 10, 11, 12, 31], &[1, 11, 12]);
    check(&[10], &[1]);
    check(&[20, 25], &[12]);
    check(&[0], &[]);
    check(&[], &[]);
    // Behind the last.
    check(&[32], &[12]);
    let read = store.batches(P, &[11]).unwrap();
    assert_eq!(read.value, [(11, b"changes 11+1".to_vec())]);
}
