//! The stream of changes, the list of users and dead letters, read where each lane is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use holdfast::base::ids::{self, ChangeNumber, DeviceId, InstanceId, PartitionId, UserId};
use holdfast::base::time::{Clock, Timestamp};
use holdfast::logic::record::{Change, ChangeKind, RecordedChange};
use holdfast::protocol::native::proto::Platform;
use holdfast::services::registry::archive::{Placed, Position};
use holdfast::services::registry::outbox::{Dead, Outbox, OutboxStep};
use holdfast::services::registry::shared::lane::{LaneSource, SharedLane};
use holdfast::services::registry::shared::ownership::ConfirmedPlaces;
use holdfast::services::shared_store::calls::{Claim, SharedStore};
use holdfast::services::shared_store::outcome::Fence;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use crate::node::{Cluster, Node, arrive, following, wait_until};
use crate::support::http::Http;
use crate::support::receiver::Receiver;

const USERS: usize = 24;

fn names() -> Vec<String> {
    (0..USERS).map(|number| format!("user-{number}")).collect()
}

/// A page: its status, its lines, and what to send as `after` for the next one.
struct Page {
    status: u16,
    lines: Vec<Value>,
    next: Option<String>,
    stream: Option<String>,
}

fn page(at: SocketAddr, path: &str) -> Page {
    let request = Request::get(format!("http://{at}{path}")).body(Full::default());
    let (head, body) = Http::default().exchange(request.unwrap());
    let header = |name: &str| Some(head.headers.get(name)?.to_str().unwrap().to_owned());
    Page {
        status: head.status.as_u16(),
        lines: body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect(),
        next: header("holdfast-next"),
        stream: header("holdfast-stream"),
    }
}

/// The lanes, each with the admin listener of the node that has it.
fn owners(at: SocketAddr) -> BTreeMap<u64, Option<SocketAddr>> {
    let shown = page(at, "/v1/lanes").lines.remove(0);
    let lanes = shown["lanes"].as_array().unwrap().iter();
    let owner = |lane: &Value| lane["address"].as_str().map(|address| address.parse().unwrap());
    lanes
        .map(|lane| (lane["lane"].as_u64().unwrap(), owner(lane)))
        .collect()
}

/// Follows the stream of all lanes, as the page for backends says.
#[derive(Default)]
struct Reader {
    /// Lanes that were read together, with the cursor behind what was read of them.
    groups: Vec<(BTreeSet<u64>, Option<String>)>,
    /// The numbers of each user's changes, as they came.
    read: BTreeMap<String, Vec<u64>>,
}

impl Reader {
    fn new() -> Self {
        Self {
            groups: vec![((0..16).collect(), None)],
            ..Self::default()
        }
    }

    /// A page of each group at each node that has lanes of it, as one that is alive says.
    fn go_round(&mut self, alive: SocketAddr) {
        let owners = owners(alive);
        for (lanes, cursor) in std::mem::take(&mut self.groups) {
            let mut parts: BTreeMap<Option<SocketAddr>, BTreeSet<u64>> = BTreeMap::new();
            for lane in lanes {
                parts.entry(owners[&lane]).or_default().insert(lane);
            }
            for (owner, lanes) in parts {
                let next = owner.and_then(|owner| self.read_part(owner, &lanes, cursor.as_deref()));
                self.groups.push((lanes, next.or(cursor.clone())));
            }
        }
    }

    /// Gives the next cursor, if the node has all of these lanes.
    fn read_part(
        &mut self,
        owner: SocketAddr,
        lanes: &BTreeSet<u64>,
        cursor: Option<&str>,
    ) -> Option<String> {
        let lanes: Vec<_> = lanes.iter().map(ToString::to_string).collect();
        let after = cursor.map_or(String::new(), |cursor| format!("&after={cursor}"));
        let path = format!("/v1/changes?wait_s=0&limit=10&lanes={}{after}", lanes.join(","));
        let page = page(owner, &path);
        if page.status != 200 {
            assert!(
                [421, 503].contains(&page.status),
                "{} {:?}",
                page.status,
                page.lines
            );
            return None;
        }
        for line in page.lines {
            let user = line["user"].as_str().unwrap().to_owned();
            self.read
                .entry(user)
                .or_default()
                .push(line["change"].as_u64().unwrap());
        }
        page.next
    }

    /// Goes round until every user has so many changes, and checks that nobody has another one, or one twice, or out of order.
    fn read_up_to(&mut self, alive: SocketAddr, count: u64) {
        wait_until("all changes are read", || {
            self.go_round(alive);
            let whole = |name: &String| self.read.get(name).is_some_and(|read| read.len() as u64 >= count);
            names().iter().all(whole)
        });
        for name in names() {
            assert_eq!(self.read[&name], (1..=count).collect::<Vec<_>>(), "{name}");
        }
    }
}

/// Everyone logs in and out again.
fn all_come(node: &Node, instance: u64) {
    for name in names() {
        arrive(node, &following(&name, Platform::Windows, instance))
            .0
            .log_out();
    }
}

/// The lanes that a node has.
fn lanes_of(node: &Node, at: SocketAddr) -> Vec<u64> {
    let owners = owners(at).into_iter();
    owners
        .filter(|(_, owner)| *owner == Some(node.gateway.admin))
        .map(|(lane, _)| lane)
        .collect()
}

#[test]
fn a_reader_goes_on_where_it_was_when_the_lanes_move_to_another_node() {
    let cluster = Cluster::found(&[]);
    let (one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    let admin = one.gateway.admin;
    let mut reader = Reader::new();
    all_come(&one, 1);
    reader.read_up_to(admin, 2);
    assert!(
        reader.groups.len() == 2,
        "each node has lanes: {:?}",
        reader.groups
    );
    let there = lanes_of(&two, admin)[0];
    let refused = page(admin, &format!("/v1/changes?lanes={there}"));
    let owner = json!([{ "lane": there, "node": 2, "address": two.gateway.admin.to_string() }]);
    assert_eq!((refused.status, &refused.lines[0]["elsewhere"]), (421, &owner));
    two.gateway.kill();
    cluster.wait_whole(&[&one]);
    all_come(&one, 2);
    reader.read_up_to(admin, 4);
    // What was read in parts goes on as a whole.
    let cursors: Vec<_> = reader
        .groups
        .iter()
        .map(|(_, cursor)| cursor.clone().unwrap())
        .collect();
    let joint = format!("/v1/changes?after={}", cursors.join(","));
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| page(admin, &format!("{joint}&wait_s=15")));
        all_come(&one, 3);
        let news = follower.join().unwrap();
        assert_eq!(
            (news.status, &news.lines[0]["change"]),
            (200, &json!(5)),
            "{:?}",
            news.lines
        );
    });
    reader.groups = vec![((0..16).collect(), Some(cursors.join(",")))];
    reader.read_up_to(admin, 6);
    // Nothing that was read is anything else by now.
    let mut again = Reader::new();
    again.read_up_to(admin, 6);
}

#[test]
fn each_node_lists_the_users_of_its_lanes_and_where_to_follow_them() {
    let cluster = Cluster::found(&[]);
    let (one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    all_come(&one, 1);
    let mut listed = Vec::new();
    for node in [&one, &two] {
        let (mut after, mut stream, mut here) = (String::new(), None, BTreeMap::new());
        loop {
            let page = page(node.gateway.admin, &format!("/v1/users?limit=5{after}"));
            assert_eq!(page.status, 200, "{:?}", page.lines);
            for line in &page.lines {
                let name = line["user"].as_str().unwrap().to_owned();
                assert!(node.is_home_of(&name));
                here.insert(name, line["change"].as_u64().unwrap());
            }
            stream = stream.or(page.stream);
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        // What the list does not have yet is in the stream behind it.
        let stream = stream.unwrap();
        let on = format!("/v1/changes?limit=1000&wait_s=0&after={stream}");
        wait_until("all users are Offline", || {
            let mut newest = here.clone();
            for line in page(node.gateway.admin, &on).lines {
                newest.insert(
                    line["user"].as_str().unwrap().to_owned(),
                    line["change"].as_u64().unwrap(),
                );
            }
            newest.values().all(|change| *change == 2)
        });
        listed.extend(here.into_keys());
    }
    listed.sort();
    let mut all = names();
    all.sort();
    assert_eq!(listed, all);
    let user = &all[0];
    let [own, other] = if one.is_home_of(user) {
        [&one, &two]
    } else {
        [&two, &one]
    };
    let path = format!("/v1/users/{user}/changes");
    assert_eq!(page(own.gateway.admin, &path).lines.len(), 2);
    assert_eq!(page(other.gateway.admin, &path).status, 421);
}

/// A callback that was given up, of a change of this user.
fn dead(name: &str) -> Dead {
    let change = Change {
        number: ChangeNumber(1),
        at: Timestamp(1_700_000_000_000),
        device: DeviceId {
            platform: ids::Platform::Mac,
            instance: InstanceId::MIN,
        },
        kind: ChangeKind::Logout,
        address: None,
    };
    let recorded = RecordedChange {
        user: UserId::new(name.as_bytes()).unwrap(),
        change,
        session: ChangeNumber(1),
        previous: Some(ChangeNumber(0)),
    };
    Dead {
        placed: Placed {
            position: Position(1),
            recorded,
        },
        attempts: 9,
        at: Clock::start().now().wall,
        fault: "no answer".to_owned(),
    }
}

/// Has a callback of each user be given up, by a node that owned all partitions, and left them to nobody.
fn give_up(cluster: &Cluster, names: &[String]) {
    let store = Arc::new(Mutex::new(cluster.client()));
    let founding = store.lock().unwrap().founding().unwrap().unwrap();
    for partition in (0..16).map(PartitionId) {
        let fence = Fence {
            owner: "9.1".into(),
            epoch: 1,
        };
        let claim = Claim {
            partition,
            fence: fence.clone(),
            seen: Fence::none(),
            format: format!("{}.{}", founding.format, founding.store),
        };
        store.lock().unwrap().claim(&claim).unwrap();
        let source = LaneSource {
            store: Arc::clone(&store),
            partition,
            fence: fence.clone(),
            store_id: 0,
            copies: 0,
            confirmed: ConfirmedPlaces::new(16),
        };
        let lane = SharedLane::open(source).unwrap();
        let of_lane = names
            .iter()
            .filter(|name| dead(name).placed.recorded.user.partition(16) == partition);
        for (place, name) in (1..).zip(of_lane) {
            let mut letter = dead(name);
            letter.placed.position = Position(place);
            lane.take(&[OutboxStep::Bury(letter)]).unwrap();
        }
        store.lock().unwrap().release(partition, &fence, "").unwrap();
    }
}

#[test]
fn dead_letters_are_listed_sent_again_and_dropped_where_their_lanes_are() {
    let receiver = Receiver::start(0);
    let url = receiver.url();
    let cluster = Cluster::found(&[("callback.url", &url)]);
    give_up(&cluster, &names());
    let (one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    let dead_at = |node: &Node| page(node.gateway.admin, "/v1/callbacks/dead?limit=1000").lines;
    let standing = |node: &Node| page(node.gateway.admin, "/v1/callbacks").lines.remove(0);
    wait_until("all lanes are open", || {
        dead_at(&one).len() + dead_at(&two).len() == USERS
    });
    for node in [&one, &two] {
        assert_eq!(standing(node)["dead"], dead_at(node).len(), "{}", standing(node));
    }
    let (own, other) = (dead_at(&one), dead_at(&two));
    assert!(!own.is_empty() && !other.is_empty());
    let deal = |node: &Node, deed: &str, body: Value| {
        Http::default().post(node.gateway.admin, &format!("/v1/callbacks/{deed}"), &body)
    };
    let first = json!({ "positions": [own[0]["cursor"]] });
    assert_eq!(deal(&two, "replay", first.clone()).0, 421);
    assert_eq!(deal(&one, "replay", first), (200, json!({ "replayed": 1 })));
    let told = receiver.wait_for(|told| !told.is_empty());
    assert_eq!(
        (&*told[0].user, told[0].replayed),
        (own[0]["user"].as_str().unwrap(), true)
    );
    wait_until("it is no dead letter any more", || {
        dead_at(&one).len() == own.len() - 1
    });
    let dropped = deal(&one, "drop", json!({ "all": true }));
    assert_eq!(dropped, (200, json!({ "dropped": own.len() - 1 })));
    assert!(dead_at(&one).is_empty());
    assert_eq!(dead_at(&two), other, "those are the other node's");
    let names: Vec<_> = own.iter().skip(1).map(|line| line["user"].clone()).collect();
    two.gateway.kill();
    cluster.wait_whole(&[&one]);
    wait_until("they have moved with their lanes", || {
        dead_at(&one).len() == other.len()
    });
    assert!(dead_at(&one).iter().all(|line| !names.contains(&line["user"])));
}

#[test]
fn late_callbacks_are_dropped_where_their_lanes_are() {
    let receiver = Receiver::start(0);
    receiver.refuse(&names());
    let url = receiver.url();
    let cluster = Cluster::found(&[("callback.url", &url)]);
    let (one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    all_come(&one, 1);
    let late_at = |node: &Node| {
        page(node.gateway.admin, "/v1/callbacks").lines[0]["late"]
            .as_u64()
            .unwrap()
    };
    wait_until("all callbacks are late", || {
        late_at(&one) + late_at(&two) == 2 * USERS as u64
    });
    let own = late_at(&one);
    let drop_late = |body: Value| Http::default().post(one.gateway.admin, "/v1/callbacks/drop", &body);
    let (theirs, ours): (Vec<_>, Vec<_>) = names().into_iter().partition(|name| two.is_home_of(name));
    assert_eq!(drop_late(json!({ "late": true, "user": theirs[0] })).0, 421);
    assert_eq!(
        drop_late(json!({ "late": true, "user": ours[0] })),
        (200, json!({ "dropped": 2 }))
    );
    assert_eq!(
        drop_late(json!({ "late": true })),
        (200, json!({ "dropped": own - 2 }))
    );
    assert_eq!((late_at(&one), late_at(&two)), (0, 2 * USERS as u64 - own));
}
