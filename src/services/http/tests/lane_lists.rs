//! Lists at a node of a cluster: its lanes, their users, and their dead letters.

use super::commands::post;
use super::lanes::{LaneWorld, OF_FOUR, places, text};
use super::peers::named;
use super::*;
use crate::base::ids::{Epoch, NodeId, PartitionId};
use crate::logic::cluster::home::{Home, HomeMap};
use crate::logic::record::{Change, ChangeKind, RecordedChange, UserRecord};
use crate::services::registry::archive::{Placed, Position, ReadError};
use crate::services::registry::outbox::Dead;

#[test]
fn the_operator_sees_whose_each_lane_is_and_how_far_it_goes() {
    let world = LaneWorld::new(&[0, 3]);
    world.shelf(0).kept.lock().unwrap().pruned = 4;
    world.add("a", 0);
    world.add("a", 0);
    let shown = world.page("/v1/lanes").lines.remove(0);
    let cursor = |lane, place| OF_FOUR.write_one(PartitionId(lane), Position(place));
    let expected = json!({"store": "0000000000000007", "node": 1, "lanes": [
        {"lane": 0, "node": 1, "address": null, "here": true, "first": 5, "last": 6, "cursor": cursor(0, 6)},
        {"lane": 1, "node": 2, "address": "two.example:9003", "here": false},
        {"lane": 2, "node": null, "address": null, "here": false},
        {"lane": 3, "node": 3, "address": null, "here": true, "first": null, "last": 0, "cursor": cursor(3, 0)},
    ]});
    assert_eq!(shown, expected);
    let homes = vec![
        Home::Nobody,
        Home::Here(Epoch(2)),
        Home::Nobody,
        Home::There(NodeId(2)),
    ];
    world
        .cluster
        .homes
        .send_replace(Arc::new(HomeMap::new(homes, BTreeMap::new())));
    let nodes: Vec<_> = world.page("/v1/lanes").lines[0]["lanes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lane| lane["node"].clone())
        .collect();
    assert_eq!(json!(nodes), json!([null, 1, null, 2]));
}

#[test]
fn all_users_of_all_lanes_are_listed_by_pages() {
    let world = LaneWorld::new(&[0, 1, 3]);
    let mut expected = Vec::new();
    for lane in [0, 3] {
        let mut names: Vec<_> = ["a", "b", "c"]
            .iter()
            .map(|beginning| named(beginning, lane))
            .collect();
        names.sort();
        for name in &names {
            let record = UserRecord {
                registered: true,
                ..UserRecord::default()
            };
            let shelf = world.shelf(lane);
            shelf.kept.lock().unwrap().users.insert(name.clone(), record);
        }
        expected.append(&mut names);
    }
    world.add("a", 3);
    for limit in 1..=7 {
        let (mut listed, mut path, mut stream) = (Vec::new(), String::new(), None);
        loop {
            let page = world.page(&format!("/v1/users?limit={limit}{path}"));
            assert_eq!(page.status, 200, "{:?}", page.lines);
            let name = |line: &Value| line["user"].as_str().unwrap().to_owned();
            listed.extend(page.lines.iter().map(name));
            stream = stream.or(page.stream);
            match page.next {
                Some(next) => path = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(listed, expected, "by {limit}");
        assert_eq!(stream, Some(OF_FOUR.write(&places(&[(0, 0), (1, 0), (3, 1)]))));
    }
    // A list goes on only where all its lanes are; a part of it goes on by itself.
    let next = world.page("/v1/users?limit=2").next.unwrap();
    world.close(3);
    assert_eq!(world.page(&format!("/v1/users?after={next}")).status, 421);
    let rest = world.page(&format!("/v1/users?lanes=0-1&after={next}"));
    assert_eq!((rest.status, rest.lines.len(), rest.next), (200, 1, None));
    let unknown = world.page(&format!("/v1/users?lanes=2&after={next}"));
    assert_eq!(
        (unknown.status, text(&unknown)),
        (400, "this cursor has no place in lane 2")
    );
}

/// Holds dead letters at places 1 and 2 of each lane.
#[derive(Default)]
struct Morgues(Mutex<Vec<DeadSelection>>);

fn dead(lane: PartitionId, place: Position) -> Dead {
    let recorded = RecordedChange {
        user: user(&named("dead", lane.0)),
        change: Change {
            number: ChangeNumber(place.0),
            at: Timestamp(1_700_000_000_000),
            device: device(),
            kind: ChangeKind::Logout,
            address: None,
        },
        session: ChangeNumber(1),
        previous: Some(ChangeNumber(0)),
    };
    Dead {
        placed: Placed {
            position: place,
            recorded,
        },
        attempts: 9,
        at: Timestamp(1_700_000_001_000),
        fault: "no answer".to_owned(),
    }
}

impl DeadLetters for Morgues {
    fn status(&self) -> Result<Vec<(PartitionId, CallbackStatus)>, ReadError> {
        let status = |lane: u16| CallbackStatus {
            done: Position(3),
            last: Position(5 + u64::from(lane)),
            late: 1,
            dead: 2,
        };
        Ok([0, 3].map(|lane| (PartitionId(lane), status(lane))).into())
    }

    fn dead(&self, lane: PartitionId, after: Position, count_max: usize) -> Result<Vec<Dead>, ReadError> {
        let places = (1..=2).filter(|place| *place > after.0).map(Position);
        Ok(places.take(count_max).map(|place| dead(lane, place)).collect())
    }

    fn replay(&self, which: &DeadSelection) -> Result<u64, ReadError> {
        self.0.lock().unwrap().push(which.clone());
        Ok(1)
    }

    fn drop_late(&self, _: Option<UserId>) -> Result<u64, ReadError> {
        Ok(4)
    }

    fn forget(&self, which: &DeadSelection) -> Result<u64, ReadError> {
        self.0.lock().unwrap().push(which.clone());
        Ok(1)
    }
}

#[test]
fn dead_letters_are_those_of_all_lanes_that_are_here() {
    let morgues = Arc::new(Morgues::default());
    let world = LaneWorld::with(&[0, 3], Some(Arc::clone(&morgues) as Arc<dyn DeadLetters>));
    let standing = world.page("/v1/callbacks").lines.remove(0);
    let expected = json!({"done": OF_FOUR.write(&places(&[(0, 3), (3, 3)])),
        "last": OF_FOUR.write(&places(&[(0, 5), (3, 8)])), "changes_behind": 7, "late": 2, "dead": 4});
    assert_eq!(standing, expected);
    for limit in 1..=5 {
        let (mut listed, mut path) = (Vec::new(), String::new());
        loop {
            let page = world.page(&format!("/v1/callbacks/dead?limit={limit}{path}"));
            let cursor = |line: &Value| line["cursor"].as_str().unwrap().to_owned();
            listed.extend(page.lines.iter().map(cursor));
            match page.next {
                Some(next) => path = format!("&after={next}"),
                None => break,
            }
        }
        let all = [(0, 1), (0, 2), (3, 1), (3, 2)].map(|place| OF_FOUR.write(&places(&[place])));
        assert_eq!(listed, all, "by {limit}");
    }
    let replay = |body: Value| post(&world.cluster.world, "/v1/callbacks/replay", &body.to_string());
    let chosen_of = |lane| json!({ "positions": [OF_FOUR.write_one(PartitionId(lane), Position(2))] });
    assert_eq!(replay(chosen_of(3)), (200, json!({ "replayed": 1 })));
    let chosen = DeadSelection::These(vec![(PartitionId(3), Position(2))]);
    assert_eq!(*morgues.0.lock().unwrap(), [chosen]);
    assert_eq!(replay(chosen_of(1)).0, 421);
    let several = json!({ "positions": [OF_FOUR.write(&places(&[(0, 1), (3, 1)]))] });
    assert_eq!(replay(several).0, 400);
    let drop_late = |name: String| {
        let body = json!({ "late": true, "user": name }).to_string();
        post(&world.cluster.world, "/v1/callbacks/drop", &body)
    };
    assert_eq!(drop_late(named("x", 0)), (200, json!({ "dropped": 4 })));
    assert_eq!(drop_late(named("x", 1)).0, 421);
}
