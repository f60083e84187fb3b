//! The pages of what is on record at a node of a cluster, which has the lanes of some partitions.

use super::history::login;
use super::peers::{ClusterWorld, named};
use super::shelf::{STORE, Shelf};
use super::*;
use crate::base::ids::PartitionId;
use crate::services::http::admin::cursor::{CursorStore, LanePlaces};
use crate::services::registry::archive::{Archive, Position, ReadableLanes};

pub(super) const OF_FOUR: CursorStore = CursorStore { id: STORE, lanes: 4 };

/// Lanes of a store with four, which come and go.
#[derive(Default)]
struct Shelves(Mutex<BTreeMap<u16, Arc<Shelf>>>);

impl ReadableLanes for Shelves {
    fn store_id(&self) -> u64 {
        STORE
    }

    fn partitions(&self) -> u16 {
        OF_FOUR.lanes
    }

    fn lane(&self, partition: PartitionId) -> Option<Arc<dyn Archive>> {
        let shelf = Arc::clone(self.0.lock().unwrap().get(&partition.0)?);
        Some(shelf)
    }
}

/// A node that owns some lanes.
pub(super) struct LaneWorld {
    pub(super) cluster: ClusterWorld,
    shelves: Arc<Shelves>,
    news: watch::Sender<Position>,
}

impl LaneWorld {
    pub(super) fn with(open: &[u16], callbacks: Option<Arc<dyn DeadLetters>>) -> Self {
        let shelves = Arc::new(Shelves::default());
        let (news, following) = watch::channel(Position(0));
        let archived = Archived {
            lanes: Arc::clone(&shelves) as Arc<dyn ReadableLanes>,
            news: following,
        };
        let others = Others {
            archive: Some(archived),
            callbacks,
            ..Others::default()
        };
        let world = Self {
            cluster: ClusterWorld::with(others),
            shelves,
            news,
        };
        open.iter().for_each(|lane| world.open(*lane));
        world
    }

    pub(super) fn new(open: &[u16]) -> Self {
        Self::with(open, None)
    }

    fn open(&self, lane: u16) {
        self.shelves.0.lock().unwrap().insert(lane, Arc::default());
        self.news.send_modify(|_| {});
    }

    pub(super) fn close(&self, lane: u16) {
        self.shelves.0.lock().unwrap().remove(&lane);
        self.news.send_modify(|_| {});
    }

    pub(super) fn shelf(&self, lane: u16) -> Arc<Shelf> {
        Arc::clone(&self.shelves.0.lock().unwrap()[&lane])
    }

    /// Adds the next change of the user of this beginning whose lane it is.
    pub(super) fn add(&self, beginning: &str, lane: u16) -> String {
        let name = named(beginning, lane);
        let place = self.shelf(lane).add(&name, login(Vec::new()));
        self.news.send_replace(place);
        name
    }

    pub(super) fn page(&self, path: &str) -> Page {
        self.cluster.world.page(path)
    }

    /// All pages of the stream from here on, until one is empty. Gives its cursor, too.
    fn read_on(&self, path: &str) -> (Vec<(String, u64)>, String) {
        let (mut read, mut next) = (Vec::new(), path.to_owned());
        loop {
            let page = self.page(&format!("/v1/changes?wait_s=0&{next}"));
            assert_eq!(page.status, 200, "{:?}", page.lines);
            let cursor = page.next.clone().unwrap();
            if page.lines.is_empty() {
                return (read, cursor);
            }
            read.extend(
                page.numbers()
                    .into_iter()
                    .map(|(name, number)| (name.to_owned(), number)),
            );
            next = format!("limit=7&after={cursor}");
        }
    }
}

pub(super) fn places(pairs: &[(u16, u64)]) -> LanePlaces {
    let pair = |(lane, place): &(u16, u64)| (PartitionId(*lane), Position(*place));
    pairs.iter().map(pair).collect()
}

/// A change as others tell of it.
pub(super) fn text(page: &Page) -> &str {
    page.lines[0]["error"].as_str().unwrap()
}

#[test]
fn every_change_of_all_lanes_is_read_once_and_in_the_order_of_its_lane() {
    let world = LaneWorld::new(&[0, 1, 3]);
    for round in 1..=30 {
        world.add("a", 0);
        if round % 3 == 0 {
            world.add("b", 1);
        }
    }
    let (read, next) = world.read_on("limit=7");
    let of = |lane, beginning| {
        let name = named(beginning, lane);
        let numbers = read.iter().filter(|(user, _)| *user == name);
        numbers.map(|(_, number)| *number).collect::<Vec<_>>()
    };
    assert_eq!(of(0, "a"), (1..=30).collect::<Vec<_>>());
    assert_eq!(of(1, "b"), (1..=10).collect::<Vec<_>>());
    assert_eq!(next, OF_FOUR.write(&places(&[(0, 30), (1, 10), (3, 0)])));
    world.add("c", 3);
    let (read, next) = world.read_on(&format!("after={next}"));
    assert_eq!(read, [(named("c", 3), 1)]);
    // A part of the lanes goes on by itself, and cursors of parts are one again.
    world.add("a", 0);
    world.add("b", 1);
    let (read, one) = world.read_on(&format!("lanes=1,3&after={next}"));
    assert_eq!(read, [(named("b", 1), 11)]);
    let (read, other) = world.read_on(&format!("lanes=0&after={next}"));
    assert_eq!(read, [(named("a", 0), 31)]);
    assert_eq!(one, OF_FOUR.write(&places(&[(1, 11), (3, 1)])));
    let (read, joint) = world.read_on(&format!("after={one},{other}"));
    assert_eq!(
        (read.len(), joint),
        (0, OF_FOUR.write(&places(&[(0, 31), (1, 11), (3, 1)])))
    );
}

#[test]
fn a_busy_lane_keeps_no_other_one_waiting() {
    let world = LaneWorld::new(&[0, 1, 3]);
    (0..50).for_each(|_| drop(world.add("busy", 0)));
    let quiet = world.add("quiet", 3);
    let page = world.page("/v1/changes?limit=10");
    assert!(page.numbers().contains(&(&quiet, 1)), "{:?}", page.numbers());
    assert_eq!(page.lines.len(), 10, "what a lane does not need is another one's");
    let (mut path, mut pages) = ("limit=1".to_owned(), 0);
    loop {
        let page = world.page(&format!("/v1/changes?{path}"));
        pages += 1;
        if page.numbers() == [(&*quiet, 1)] {
            break;
        }
        path = format!("limit=1&after={}", page.next.unwrap());
        assert!(pages < 4, "each lane has its turn");
    }
}

#[test]
fn a_lane_that_is_elsewhere_is_not_read_and_its_owner_is_named() {
    let world = LaneWorld::new(&[0, 3]);
    for path in ["/v1/changes?lanes=0-1", "/v1/users?lanes=1"] {
        let page = world.page(path);
        assert_eq!(
            (page.status, text(&page)),
            (421, "lane 1 is at node 2, at two.example:9003")
        );
        let owner = json!([{"lane": 1, "node": 2, "address": "two.example:9003"}]);
        assert_eq!(page.lines[0]["elsewhere"], owner);
    }
    let there = OF_FOUR.write_one(PartitionId(1), Position(7));
    assert_eq!(world.page(&format!("/v1/changes?after={there}")).status, 421);
    assert_eq!(
        world.page(&format!("/v1/users/{}/changes", named("x", 1))).status,
        421
    );
    let nobody = world.page("/v1/changes?lanes=2");
    assert_eq!(
        (nobody.status, text(&nobody)),
        (503, "no node has lane 2 at this moment: try again")
    );
    assert_eq!(
        nobody.lines[0]["elsewhere"],
        json!([{"lane": 2, "node": null, "address": null}])
    );
    world.close(0);
    assert_eq!(
        world.page("/v1/changes?lanes=0").status,
        503,
        "it is to be opened here"
    );
    world.close(3);
    assert_eq!(
        world.page("/v1/changes").status,
        503,
        "without lanes there is nothing to wait for"
    );
}

#[test]
fn a_follower_hears_of_its_lanes_news_and_of_its_end() {
    let world = LaneWorld::new(&[0, 1, 3]);
    let next = world.page("/v1/changes?wait_s=0").next.unwrap();
    std::thread::scope(|scope| {
        let page = scope.spawn(|| world.page(&format!("/v1/changes?after={next}&wait_s=55")));
        let name = world.add("late", 3);
        assert_eq!(page.join().unwrap().numbers(), [(&*name, 1)]);
    });
    let next = world.page("/v1/changes?wait_s=0&lanes=1").next.unwrap();
    std::thread::scope(|scope| {
        let page = scope.spawn(|| world.page(&format!("/v1/changes?after={next}&wait_s=55")));
        world.close(1);
        assert_eq!(page.join().unwrap().status, 421);
    });
}

#[test]
fn cursors_and_lanes_that_do_not_fit_are_refused() {
    let world = LaneWorld::new(&[0, 1, 3]);
    let good = OF_FOUR.write(&places(&[(0, 0), (1, 0)]));
    let foreign = CursorStore {
        id: STORE + 1,
        ..OF_FOUR
    }
    .write_one(PartitionId(0), Position(0));
    let of_one = CursorStore { lanes: 1, ..OF_FOUR }.write_one(PartitionId(0), Position(0));
    for (query, expected) in [
        (format!("after={foreign}"), "this cursor is of another store"),
        (format!("after={of_one}"), "this is not a cursor"),
        (
            format!("after={good},{good}"),
            "two of these cursors are of lane 0",
        ),
        (
            format!("after={good}&lanes=3"),
            "this cursor has no place in lane 3",
        ),
        (
            "lanes=4".to_owned(),
            "lanes is no list such as 0-15,17 of lanes from 0 to 3",
        ),
        ("lanes=".to_owned(), "lanes is no list"),
    ] {
        let page = world.page(&format!("/v1/changes?{query}"));
        assert!(
            page.status == 400 && text(&page).starts_with(expected),
            "{query}: {}",
            text(&page)
        );
    }
    let of_list = world.page("/v1/users?after=alice");
    assert_eq!((of_list.status, text(&of_list)), (400, "this is not a cursor"));
    let of_stream = world.page(&format!("/v1/users?after={good}"));
    assert_eq!(
        (of_stream.status, text(&of_stream)),
        (400, "this cursor is of another list")
    );
}

#[test]
fn what_is_pruned_of_one_lane_leaves_the_places_of_the_others() {
    let world = LaneWorld::new(&[0, 1]);
    world.shelf(1).kept.lock().unwrap().pruned = 10;
    world.add("a", 0);
    world.add("b", 1);
    let old = OF_FOUR.write(&places(&[(0, 1), (1, 9)]));
    let gone = world.page(&format!("/v1/changes?after={old}"));
    let oldest = OF_FOUR.write(&places(&[(0, 1), (1, 10)]));
    assert_eq!((gone.status, &gone.lines[0]["oldest"]), (410, &json!(oldest)));
    assert_eq!(world.read_on(&format!("after={oldest}")).0, [(named("b", 1), 1)]);
    assert_eq!(
        world.read_on("lanes=0-1").0.len(),
        2,
        "it begins with the oldest by itself"
    );
    let ahead = OF_FOUR.write_one(PartitionId(0), Position(2));
    assert_eq!(world.page(&format!("/v1/changes?after={ahead}")).status, 410);
}
