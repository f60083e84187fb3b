//! What becomes of calls when a server cannot, must not or does not answer: a single server, or a master with a replica.

use std::sync::mpsc;
use std::thread::spawn;

use super::base::ids::PartitionId;
use super::base::secret::Secret;
use super::samples::*;
use super::servers::*;
use super::shared_store::calls::*;
use super::shared_store::client::RedisStore;
use super::shared_store::outbox::{KeptStep, StepGroup};
use super::shared_store::outcome::{Fence, Outcome, Refusal, SharedStoreError, Vouched};
use super::shared_store::settings::{CopiesMissing, RedisSettings, TypedRedis};

const P: PartitionId = PartitionId(3);

fn commit(store: &mut RedisStore, batch: Batch) -> Outcome<Vouched<u64>> {
    store.commit(&[batch]).pop().unwrap()
}

fn recorded(place: u64, copies: u16) -> Outcome<Vouched<u64>> {
    Ok(Vouched {
        answer: place,
        copies,
    })
}

/// Makes the same commit again until a replica has confirmed it, as an owner does; gives the partition's last place.
fn vouched(store: &mut RedisStore, batch: Batch) -> u64 {
    let mut place = 0;
    wait_for("a copy", || match commit(store, batch.clone()) {
        Ok(Vouched { answer, copies }) => {
            place = answer;
            copies == 1
        }
        Err(SharedStoreError::Unknown(_) | SharedStoreError::NotExecuted { .. }) => false,
        Err(other) => panic!("{other}"),
    });
    place
}

/// Why it was not executed, if it is known that it was not.
fn refusal<T: std::fmt::Debug>(outcome: Outcome<T>) -> Refusal {
    match outcome {
        Err(SharedStoreError::NotExecuted { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

fn assert_unknown<T: std::fmt::Debug>(outcome: &Outcome<T>) {
    assert!(
        matches!(outcome, Err(SharedStoreError::Unknown(_))),
        "{outcome:?}"
    );
}

fn seq(store: &mut RedisStore) -> u64 {
    store.look(P).unwrap().answer.places.seq
}

/// A partition in epoch 1 with one change, in a server of its own.
fn start(settings: &[&str]) -> (RedisServer, RedisStore, Fence) {
    let server = RedisServer::start(settings);
    let mut store = store(&[server.url()], 0);
    let mine = own(&mut store, P, "a.1");
    assert_eq!(commit(&mut store, batch(P, &mine, 1, 1)), recorded(1, 0));
    (server, store, mine)
}

/// While `break_it` has broken the server, a commit is refused for this reason; once it is mended, the same one is recorded.
fn check_refused(why: Refusal, break_it: &dyn Fn(&RedisServer), mend: &dyn Fn(&RedisServer)) {
    let (server, mut store, mine) = start(&[]);
    break_it(&server);
    let next = batch(P, &mine, 2, 3);
    assert_eq!(refusal(commit(&mut store, next.clone())), why);
    assert_eq!(refusal(commit(&mut store, next.clone())), why);
    mend(&server);
    assert_eq!(seq(&mut store), 1, "{why}");
    assert_eq!(store.stream(P, 1, 100).unwrap().value.len(), 1, "{why}");
    assert_eq!(commit(&mut store, next), recorded(4, 0), "{why}");
}

fn set(server: &RedisServer, name: &str, value: &str) {
    let () = server.ask(&["CONFIG", "SET", name, value]);
}

#[test]
fn too_few_replicas() {
    let few = |server: &RedisServer| set(server, "min-replicas-to-write", "1");
    check_refused(Refusal::NoReplicas, &few, &|server| {
        set(server, "min-replicas-to-write", "0")
    });
}

#[test]
fn a_full_memory() {
    check_refused(
        Refusal::Full,
        &|server| set(server, "maxmemory", "1"),
        &|server| set(server, "maxmemory", "0"),
    );
}

#[test]
fn a_disk_that_fails() {
    let fail = |server: &RedisServer| {
        std::fs::create_dir(server.folder().join("dump.rdb")).unwrap();
        set(server, "save", "3600 1");
        let () = server.ask(&["BGSAVE"]);
        wait_for("a save that fails", || {
            server.info("rdb_last_bgsave_status") == "err"
        });
    };
    check_refused(Refusal::DiskFault, &fail, &|server| set(server, "save", ""));
}

#[test]
fn a_script_that_does_not_end() {
    let hold_up = |server: &RedisServer| {
        set(server, "busy-reply-threshold", "1");
        let mut other = server.connect();
        spawn(move || {
            redis::cmd("EVAL")
                .arg("while true do end")
                .arg(0)
                .exec(&mut other)
        });
        let mut link = server.connect();
        wait_for("a server that is busy", || {
            redis::cmd("PING").exec(&mut link).is_err()
        });
    };
    let end = |server: &RedisServer| {
        let () = server.ask(&["SCRIPT", "KILL"]);
        let mut link = server.connect();
        wait_for("a server that is idle", || {
            redis::cmd("PING").exec(&mut link).is_ok()
        });
    };
    check_refused(Refusal::Busy, &hold_up, &end);
}

#[test]
fn a_full_memory_stops_no_lease_and_no_pruning() {
    let (server, mut store, mine) = start(&[]);
    set(&server, "maxmemory", "1");
    assert!(matches!(
        store.join("a", None, b"").unwrap().answer,
        IfSeen::Done(1)
    ));
    let alive = NodeEntry {
        incarnation: 1,
        beat: 1,
        state: NodeState::Up,
        says: Vec::new(),
    };
    let beat = NodeBeat {
        node: "a".into(),
        row: alive,
    };
    assert!(matches!(store.beat(&beat).unwrap().answer, Beaten::Alive { .. }));
    assert_eq!(store.look(P).unwrap().answer.fence, mine);
    let group = StepGroup {
        partition: P,
        fence: mine.clone(),
        number: 1,
        steps: vec![KeptStep::Cursor(1)],
    };
    assert_eq!(take(&mut store, &group), recorded(1, 0));
    assert_eq!(store.prune(P, &mine, 1), recorded(0, 0));
    let next = fence("b.1", 2);
    assert!(matches!(
        store.claim(&claim(P, next.clone(), mine)).unwrap().answer,
        Claimed::Granted(_)
    ));
    assert_eq!(store.release(P, &next, ""), recorded(3, 0));
}

#[test]
fn a_server_that_reads_its_data() {
    let (mut server, mut store, mine) = start(&[
        "--key-load-delay",
        "20000",
        "--loading-process-events-interval-bytes",
        "1024",
    ]);
    let mut link = server.connect();
    for number in 0..200 {
        let () = redis::cmd("SET")
            .arg(number)
            .arg("x".repeat(200))
            .query(&mut link)
            .unwrap();
    }
    let () = server.ask(&["SAVE"]);
    server.kill();
    server.restart_unready();
    wait_for("a server that loads", || {
        server.log().matches("Server initialized").count() == 2
    });
    // The first one may find that the old connection is gone.
    let _ = commit(&mut store, batch(P, &mine, 2, 1));
    assert_eq!(
        refusal(commit(&mut store, batch(P, &mine, 2, 1))),
        Refusal::Loading
    );
    wait_for("the data", || {
        commit(&mut store, batch(P, &mine, 2, 1)) == recorded(2, 0)
    });
}

fn with_credentials(server: &RedisServer, user: Option<&str>, password: Option<&str>) -> RedisStore {
    let urls = [server.url()];
    let password = password.map(Secret::from);
    let typed = TypedRedis {
        urls: &urls,
        user,
        password: password.as_ref(),
        ca: None,
        identity: None,
        copies: 0,
        copies_missing: CopiesMissing::Wait,
    };
    RedisStore::new(RedisSettings::read(&typed).unwrap(), "test", PARTITIONS)
}

#[test]
fn passwords_and_rights() {
    let server = RedisServer::start(&[]);
    let () = server.ask(&["ACL", "SETUSER", "full", "on", ">right", "~*", "+@all"]);
    let () = server.ask(&[
        "ACL", "SETUSER", "little", "on", ">right", "~*", "+@all", "-eval", "-evalsha",
    ]);
    let () = server.ask(&["ACL", "SETUSER", "default", "on", ">other"]);
    let look = |user, password| with_credentials(&server, user, password).look(P);
    assert!(look(Some("full"), Some("right")).is_ok());
    assert!(look(None, Some("other")).is_ok());
    for (user, password) in [
        (None, None),
        (None, Some("wrong")),
        (Some("full"), Some("wrong")),
        (Some("nobody"), Some("right")),
        (Some("little"), Some("right")),
    ] {
        assert_eq!(
            refusal(look(user, password)),
            Refusal::Denied,
            "{user:?} {password:?}"
        );
    }
}

#[test]
fn nobody_there() {
    let mut store = store(&[format!("redis://127.0.0.1:{}", free_port())], 0);
    assert_eq!(refusal(store.look(P)), Refusal::Unreachable);
}

#[test]
fn a_server_that_forgot_its_scripts() {
    let (server, mut store, mine) = start(&[]);
    let other = PartitionId(4);
    let theirs = own(&mut store, other, "a.1");
    let () = server.ask(&["SCRIPT", "FLUSH"]);
    let round = [batch(P, &mine, 2, 1), batch(other, &theirs, 1, 1)];
    assert_eq!(store.commit(&round), [recorded(2, 0), recorded(1, 0)]);
    // ScriptForm its hash again.
    let evals = || server.info("cmdstat_eval").split(',').next().unwrap().to_owned();
    let before = evals();
    assert_eq!(commit(&mut store, batch(P, &mine, 3, 1)), recorded(3, 0));
    assert_eq!(evals(), before);
}

#[test]
fn a_server_that_stands_still_and_goes_on() {
    let (server, _, mine) = start(&[]);
    let mut store = hasty_store(&[server.url()], 0);
    wait_for("a connection", || store.look(P).is_ok());
    let next = batch(P, &mine, 2, 5);
    server.pause();
    assert_unknown(&commit(&mut store, next.clone()));
    assert_eq!(refusal(commit(&mut store, next.clone())), Refusal::Unreachable);
    server.go_on();
    // What was sent before it stood still is executed late, as well.
    wait_for("an outcome", || {
        commit(&mut store, next.clone()) == recorded(6, 0)
    });
    assert_eq!(store.stream(P, 0, 100).unwrap().value.len(), 2);
}

#[test]
fn a_server_that_is_killed_and_started_again() {
    let (mut server, mut store, mine) = start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let next = batch(P, &mine, 2, 5);
    server.kill();
    assert_unknown(&commit(&mut store, next.clone()));
    assert_eq!(refusal(commit(&mut store, next.clone())), Refusal::Unreachable);
    server.restart();
    assert_eq!(commit(&mut store, next), recorded(6, 0));
}

#[test]
fn a_store_that_was_emptied() {
    let (server, mut store, mine) = start(&[]);
    let () = server.ask(&["FLUSHALL"]);
    let next = batch(P, &mine, 2, 1);
    assert_eq!(
        commit(&mut store, next.clone()),
        Err(SharedStoreError::Fenced(Fence::none()))
    );
    // The owner claims what it had, and finds that all is gone.
    let again = fence("a.1", 2);
    let claimed = store.claim(&claim(P, again.clone(), Fence::none())).unwrap();
    assert_eq!(claimed.answer, Claimed::Granted(Places::default()));
    let mut next = next;
    next.fence = again;
    assert_eq!(commit(&mut store, next.clone()), Err(SharedStoreError::Behind(0)));
    next.count = 0;
    assert_eq!(commit(&mut store, next), Err(SharedStoreError::Behind(0)));
}

fn start_pair() -> (Pair, RedisStore, Fence) {
    let pair = Pair::start(&[]);
    let mut store = store(&[pair.replica.url(), pair.master.url()], 1);
    let mine = own(&mut store, P, "a.1");
    assert_eq!(vouched(&mut store, batch(P, &mine, 1, 1)), 1);
    (pair, store, mine)
}

#[test]
fn a_replica_that_does_not_confirm() {
    let (pair, mut store, mine) = start_pair();
    pair.replica.pause();
    let next = batch(P, &mine, 2, 1);
    assert_eq!(commit(&mut store, next.clone()), recorded(2, 0));
    // The same again, also over a new connection, is not vouched for by what others wrote.
    assert_eq!(commit(&mut store, next.clone()), recorded(2, 0));
    let urls = [pair.master.url()];
    assert_eq!(
        commit(&mut super::servers::store(&urls, 1), next.clone()),
        recorded(2, 0)
    );
    pair.replica.go_on();
    assert_eq!(vouched(&mut store, next), 2);
}

#[test]
fn every_answer_that_says_ok_has_written() {
    let (pair, mut store, mine) = start_pair();
    let offset = || pair.master.info("master_repl_offset").parse::<u64>().unwrap();
    let mut check = |what: &str, call: &mut dyn FnMut(&mut RedisStore)| {
        call(&mut store); // the first time
        let before = offset();
        call(&mut store); // the same again
        assert!(offset() > before + 40, "{what} wrote nothing");
    };
    let group = StepGroup {
        partition: P,
        fence: mine.clone(),
        number: 1,
        steps: vec![KeptStep::Cursor(1)],
    };
    let founding = Founding {
        format: 1,
        partitions: 16,
        hash: 1,
        store: "store".to_owned(),
    };
    let beat = NodeBeat {
        node: "a".into(),
        row: NodeEntry {
            incarnation: 1,
            beat: 1,
            state: NodeState::Up,
            says: Vec::new(),
        },
    };
    check("commit", &mut |store| {
        commit(store, batch(P, &mine, 1, 1)).unwrap();
    });
    check("empty commit", &mut |store| {
        commit(store, batch(P, &mine, 2, 0)).unwrap();
    });
    check("claim", &mut |store| {
        store.claim(&claim(P, mine.clone(), Fence::none())).unwrap();
    });
    check("look", &mut |store| {
        store.look(P).unwrap();
    });
    check("load", &mut |store| {
        store.load(&[(P, vec![user("a")])]).pop().unwrap().unwrap();
    });
    check("empty commit, late", &mut |store| {
        commit(store, batch(P, &mine, 1, 0)).unwrap();
    });
    check("steps", &mut |store| {
        take(store, &group).unwrap();
    });
    check("prune", &mut |store| {
        store.prune(P, &mine, 1).unwrap();
    });
    check("accept", &mut |store| {
        store.accept_loss(P, &mine, 1).unwrap();
    });
    check("release", &mut |store| {
        store.release(P, &mine, "").unwrap();
    });
    check("create", &mut |store| {
        store.create(&founding).unwrap();
    });
    check("publish", &mut |store| {
        store.publish(P, &mine).unwrap();
    });
    store.join("a", None, b"").unwrap();
    let mut check = |what: &str, call: &mut dyn FnMut(&mut RedisStore)| {
        call(&mut store);
        let before = offset();
        call(&mut store);
        assert!(offset() > before + 40, "{what} wrote nothing");
    };
    check("beat", &mut |store| {
        store.beat(&beat).unwrap();
    });
    check("bury", &mut |store| {
        store.bury("a", &beat.row).unwrap();
    });
    check("leave", &mut |store| {
        store.leave("a", 1).unwrap();
    });
}

#[test]
fn a_master_that_is_deposed_while_it_waits() {
    let (pair, store, mine) = start_pair();
    pair.replica.pause();
    let next = batch(P, &mine, 2, 1);
    let (sender, receiver) = mpsc::channel();
    let committing = {
        let (mut store, next) = (store, next.clone());
        spawn(move || sender.send((commit(&mut store, next), store)))
    };
    wait_for("a commit that waits", || {
        pair.master.info("blocked_clients") == "1"
    });
    let () = pair
        .master
        .ask(&["REPLICAOF", "127.0.0.1", &pair.replica.port.to_string()]);
    let (came, mut store) = receiver.recv().unwrap();
    committing.join().unwrap().unwrap();
    match came {
        Err(SharedStoreError::Unknown(said)) => assert!(said.contains("UNBLOCKED"), "{said}"),
        other => panic!("{other:?}"),
    }
    // The replica becomes master. It has nothing of the batch, and the same batch is recorded there.
    pair.replica.go_on();
    let () = pair.replica.ask(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(vouched(&mut store, next), 2);
}

#[test]
fn a_replica_is_no_master() {
    let (pair, mut store, mine) = start_pair();
    // They change their parts: the store's master says READONLY.
    let () = pair.replica.ask(&["REPLICAOF", "NO", "ONE"]);
    let () = pair
        .master
        .ask(&["REPLICAOF", "127.0.0.1", &pair.replica.port.to_string()]);
    wait_for("a replica that is attached", || {
        pair.replica.info("slave0").contains("state=online")
    });
    assert_eq!(vouched(&mut store, batch(P, &mine, 2, 1)), 2);
    assert_eq!(store.master(P), Some(format!("127.0.0.1:{}", pair.replica.port)));
}

#[test]
fn of_two_masters_the_one_with_replicas_counts() {
    let (pair, _, _) = start_pair();
    let alone = RedisServer::start(&[]);
    let mut store = store(&[alone.url(), pair.master.url()], 1);
    store.look(P).unwrap();
    assert_eq!(store.master(P), Some(format!("127.0.0.1:{}", pair.master.port)));
}

#[test]
fn a_replica_names_its_master() {
    let (pair, _, _) = start_pair();
    let mut store = store(&[pair.replica.url()], 1);
    assert_eq!(store.look(P).unwrap().answer.fence, fence("a.1", 1));
    assert_eq!(store.master(P), Some(format!("127.0.0.1:{}", pair.master.port)));
}

#[test]
fn what_a_failover_lost_is_written_again() {
    let (mut pair, mut store, mine) = start_pair();
    pair.replica.pause();
    let _: u64 = pair.master.ask(&["CLIENT", "KILL", "TYPE", "replica"]);
    let tail = [
        batch(P, &mine, 2, 3),
        batch(P, &mine, 5, 1),
        batch(P, &mine, 6, 64),
    ];
    for (batch, place) in tail.iter().zip([4, 5, 69]) {
        assert_eq!(commit(&mut store, batch.clone()), recorded(place, 0));
    }
    pair.master.kill();
    pair.replica.go_on();
    let () = pair.replica.ask(&["REPLICAOF", "NO", "ONE"]);
    let _second = Pair::replica_of(&pair.replica, &[]);
    let next = batch(P, &mine, 70, 1);
    wait_for("the new master", || match commit(&mut store, next.clone()) {
        Err(SharedStoreError::Unknown(_) | SharedStoreError::NotExecuted { .. }) => false,
        came => {
            assert_eq!(came, Err(SharedStoreError::Behind(1)));
            true
        }
    });
    for (batch, place) in tail.iter().zip([4, 5, 69]) {
        assert_eq!(vouched(&mut store, batch.clone()), place);
    }
    assert_eq!(vouched(&mut store, next), 70);
}
