//! What nodes say of themselves, against a real server.

use super::base::ids::PartitionId;
use super::samples::*;
use super::servers::*;
use super::shared_store::calls::*;
use super::shared_store::client::RedisStore;
use super::shared_store::outcome::{Outcome, Vouched};

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

fn row(incarnation: u64, beat: u64, state: NodeState, says: &str) -> NodeEntry {
    NodeEntry {
        incarnation,
        beat,
        state,
        says: says.as_bytes().to_vec(),
    }
}

fn beat(node: &str, row: NodeEntry) -> NodeBeat {
    NodeBeat {
        node: node.into(),
        row,
    }
}

fn row_of(store: &mut RedisStore, node: &str) -> Option<NodeEntry> {
    let nodes = store.nodes().unwrap();
    nodes
        .into_iter()
        .find(|(name, _)| name == node)
        .map(|(_, row)| row)
}

#[test]
fn who_joins_has_an_incarnation_of_its_own() {
    let (_server, mut store) = start();
    assert_eq!(done(store.join("a", None, b"here I am")), IfSeen::Done(1));
    let first = row(1, 0, NodeState::Up, "here I am");
    assert_eq!(
        done(store.join("a", None, b"")),
        IfSeen::Changed(Some(first.clone()))
    );
    assert_eq!(done(store.join("b", None, b"")), IfSeen::Done(2));
    // The next one under the same name.
    assert_eq!(done(store.join("a", Some(&first), b"")), IfSeen::Done(3));
    let second = row(3, 0, NodeState::Up, "");
    assert_eq!(
        done(store.join("a", Some(&first), b"")),
        IfSeen::Changed(Some(second))
    );
    assert_eq!(done(store.join("c", Some(&first), b"")), IfSeen::Changed(None));
    // One that has beaten since it was seen.
    let beaten = row(2, 1, NodeState::Up, "");
    done(store.beat(&beat("b", beaten.clone())));
    let seen = row(2, 0, NodeState::Up, "");
    assert_eq!(
        done(store.join("b", Some(&seen), b"")),
        IfSeen::Changed(Some(beaten))
    );
}

#[test]
fn a_beat_shows_life_and_tells_of_all() {
    let (_server, mut store) = start();
    done(store.join("a", None, b"a's address"));
    done(store.join("b", None, b""));
    let told = done(store.beat(&beat("a", row(1, 1, NodeState::Up, "a b\n\0c"))));
    let Beaten::Alive { mut nodes, map } = told else {
        panic!("{told:?}");
    };
    nodes.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("a".to_owned(), row(1, 1, NodeState::Up, "a b\n\0c")),
        ("b".to_owned(), row(2, 0, NodeState::Up, "")),
    ];
    assert_eq!((nodes.as_slice(), map), (&expected[..], 0));
    done(store.beat(&beat("a", row(1, 5, NodeState::Draining, "x"))));
    // A beat that was overtaken.
    done(store.beat(&beat("a", row(1, 4, NodeState::Up, "y"))));
    assert_eq!(row_of(&mut store, "a"), Some(row(1, 5, NodeState::Draining, "x")));
    // A node that is not there, or is another.
    let unknown = done(store.beat(&beat("c", row(1, 1, NodeState::Up, ""))));
    assert_eq!(unknown, Beaten::Dead(None));
    let replaced = done(store.beat(&beat("b", row(1, 1, NodeState::Up, ""))));
    assert_eq!(replaced, Beaten::Dead(Some(row(2, 0, NodeState::Up, ""))));
}

#[test]
fn only_who_stood_still_is_buried() {
    let (_server, mut store) = start();
    done(store.join("a", None, b"says"));
    let seen = row(1, 0, NodeState::Up, "says");
    done(store.beat(&beat("a", row(1, 1, NodeState::Up, "says"))));
    let moved = row(1, 1, NodeState::Up, "says");
    assert_eq!(done(store.bury("a", &seen)), IfSeen::Changed(Some(moved.clone())));
    assert_eq!(done(store.bury("b", &seen)), IfSeen::Changed(None));
    assert_eq!(done(store.bury("a", &moved)), IfSeen::Done(()));
    assert_eq!(done(store.bury("a", &moved)), IfSeen::Done(()));
    let dead = row(1, 1, NodeState::Dead, "says");
    assert_eq!(row_of(&mut store, "a"), Some(dead.clone()));
    let told = done(store.beat(&beat("a", row(1, 2, NodeState::Up, "says"))));
    assert_eq!(told, Beaten::Dead(Some(dead.clone())));
    assert_eq!(done(store.join("a", Some(&dead), b"again")), IfSeen::Done(2));
    // Late, for who was there before: also if both have beaten as often.
    let alive = row(2, 0, NodeState::Up, "again");
    assert_eq!(
        done(store.bury("a", &moved)),
        IfSeen::Changed(Some(alive.clone()))
    );
    assert_eq!(done(store.bury("a", &seen)), IfSeen::Changed(Some(alive)));
}

#[test]
fn who_leaves_is_gone() {
    let (_server, mut store) = start();
    done(store.join("a", None, b""));
    assert_eq!(
        done(store.leave("a", 2)),
        IfSeen::Changed(Some(row(1, 0, NodeState::Up, "")))
    );
    assert_eq!(done(store.leave("a", 1)), IfSeen::Done(()));
    assert_eq!(done(store.leave("a", 1)), IfSeen::Done(()));
    assert_eq!(store.nodes(), Ok(Vec::new()));
    // Incarnations go on.
    assert_eq!(done(store.join("a", None, b"")), IfSeen::Done(2));
}

#[test]
fn the_map_has_the_newest_owner() {
    let (_server, mut store) = start();
    let [p, q] = [PartitionId(2), PartitionId(10)];
    assert_eq!(done(store.publish(p, &fence("a.1", 3))), 1);
    assert_eq!(done(store.publish(q, &fence("", 1))), 2);
    assert_eq!(done(store.publish(p, &fence("b.1", 2))), 2);
    assert_eq!(done(store.publish(p, &fence("b.1", 4))), 3);
    let expected = OwnerMap {
        version: 3,
        owners: vec![(p, fence("b.1", 4)), (q, fence("", 1))],
    };
    assert_eq!(store.map(), Ok(expected));
    done(store.join("a", None, b""));
    let told = done(store.beat(&beat("a", row(1, 1, NodeState::Up, ""))));
    assert!(matches!(told, Beaten::Alive { map: 3, .. }), "{told:?}");
}
