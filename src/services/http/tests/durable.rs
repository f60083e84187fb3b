//! The pages over the store that keeps changes on disk.

use super::*;
use crate::base::ids::InstanceId;
use crate::logic::delivery::{AccountsRequest, UserKey};
use crate::logic::record::{AccountStep, Callbacks, Change, ChangeKind, Commit};
use crate::services::registry::Store;
use crate::services::registry::archive::{Archive, SoleLane};
use crate::services::registry::embedded::{Durability, EmbeddedSettings, EmbeddedStore, StoreLocation};

fn open(path: &std::path::Path) -> EmbeddedStore {
    let place = StoreLocation {
        path: path.to_owned(),
        memory_bytes_max: 16 << 20,
    };
    let rules = EmbeddedSettings {
        durability: Durability::Commit,
        callbacks: tokio::sync::watch::channel(Callbacks::Documented).1,
        changes_kept_ms: 86_400_000,
        deleted_kept_ms: 400 * 86_400_000,
    };
    EmbeddedStore::open(place, rules).unwrap()
}

fn world(store: &EmbeddedStore) -> World {
    let archived = Archived {
        lanes: Arc::new(SoleLane(store.reader() as Arc<dyn Archive>)),
        news: store.news(),
    };
    let others = Others {
        archive: Some(archived),
        ..Others::default()
    };
    World::with(settings(), shards, others)
}

fn login(store: &mut EmbeddedStore, name: &str, number: u64) {
    let device = DeviceId {
        platform: Platform::Mac,
        instance: InstanceId::MIN,
    };
    let change = Change {
        number: ChangeNumber(number),
        at: Timestamp(1_700_000_000_000),
        device,
        kind: ChangeKind::Login {
            fresh: ChangeNumber(number),
            forced_off: Vec::new(),
        },
        address: None,
    };
    let commit = Commit {
        user: user(name),
        changes: vec![change],
        kicked_at_s: None,
        account: AccountStep::Keep,
    };
    work_off(
        store,
        ToRegistry::Commit(ShardId(0), UserKey(0), Box::new(commit)),
    );
}

fn work_off(store: &mut EmbeddedStore, request: ToRegistry) {
    store.work_off(Timestamp(1_700_000_000_000), &mut vec![request], &mut Vec::new());
}

#[test]
fn list_and_stream_are_the_truth_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    login(&mut store, "bob", 1);
    login(&mut store, "alice", 1);
    let imported = vec![user("carol")];
    work_off(
        &mut store,
        ToRegistry::Accounts(crate::base::ids::RequestId(1), AccountsRequest::Import, imported),
    );
    let first = world(&store);
    let list = first.page("/v1/users");
    assert_eq!(list.numbers(), [("alice", 1), ("bob", 1), ("carol", 0)]);
    let cursor = list.stream.unwrap();
    let waiting = format!("/v1/changes?wait_s=55&after={cursor}");
    std::thread::scope(|scope| {
        let page = scope.spawn(|| first.page(&waiting));
        login(&mut store, "bob", 2);
        assert_eq!(
            page.join().unwrap().numbers(),
            [("bob", 2)],
            "the follower hears of it"
        );
    });
    drop((first, store));
    let store = open(folder.path());
    let second = world(&store);
    assert_eq!(
        second.page(&waiting).numbers(),
        [("bob", 2)],
        "a cursor survives restarts"
    );
    let all = second.page("/v1/changes");
    assert_eq!(all.numbers(), [("bob", 1), ("alice", 1), ("bob", 2)]);
    assert_eq!(all.lines[2]["callback"], json!({"previous": 1}));
    assert_eq!(
        second.page("/v1/users/bob/changes?after=1").numbers(),
        [("bob", 2)]
    );
    let other = tempfile::tempdir().unwrap();
    let other = open(other.path());
    assert_eq!(
        world(&other).page(&waiting).status,
        400,
        "a cursor of another store"
    );
}
