//! The pages of what is on record, with an archive that a test makes up.

use super::shelf::{STORE, Shelf};
use super::*;
use crate::base::ids::{InstanceId, PartitionId};
use crate::logic::record::{ChangeKind, DeviceRecord, UserRecord};
use crate::services::http::admin::cursor::CursorStore;
use crate::services::registry::archive::{Archive, Position, SoleLane};

/// The cursor of a place.
pub(super) fn cursor_of(place: Position) -> String {
    CursorStore { id: STORE, lanes: 1 }.write_one(PartitionId::SOLE, place)
}

pub(super) struct Library {
    pub(super) world: World,
    shelf: Arc<Shelf>,
    news: watch::Sender<Position>,
}

pub(super) fn library() -> Library {
    library_with(None)
}

pub(super) fn library_with(callbacks: Option<Arc<dyn DeadLetters>>) -> Library {
    library_of(settings(), callbacks)
}

pub(super) fn library_of(settings: HttpSettings, callbacks: Option<Arc<dyn DeadLetters>>) -> Library {
    let shelf = Arc::new(Shelf::default());
    let (news, following) = watch::channel(Position(0));
    let archived = Archived {
        lanes: Arc::new(SoleLane(Arc::clone(&shelf) as Arc<dyn Archive>)),
        news: following,
    };
    let others = Others {
        archive: Some(archived),
        callbacks,
        ..Others::default()
    };
    let world = World::with(settings, shards, others);
    Library { world, shelf, news }
}

impl Library {
    /// Adds a user's next change.
    pub(super) fn add(&self, name: &str, kind: ChangeKind) {
        let position = self.shelf.add(name, kind);
        self.news.send_replace(position);
    }

    /// How often the changes were read.
    pub(super) fn reads(&self) -> usize {
        self.shelf.reads.load(Ordering::Relaxed)
    }

    pub(super) fn page(&self, path: &str) -> Page {
        self.world.page(path)
    }
}

pub(super) fn login(forced_off: Vec<(DeviceId, Status)>) -> ChangeKind {
    ChangeKind::Login {
        fresh: ChangeNumber(1),
        forced_off,
    }
}

#[test]
fn a_change_is_told_whole() {
    let library = library();
    library.add("alice", login(vec![(device(), Status::PushOnline)]));
    let page = library.page("/v1/changes?wait_s=0");
    let name = json!({"platform": "iPhone", "instance": u64::MAX.to_string()});
    let expected = json!({"cursor": page.next, "user": "alice", "change": 1, "at": "2023-11-14T22:13:20.123Z", "kind": "login",
        "device": name, "session": 1, "address": "127.0.0.1", "callback": {"previous": 0},
        "forced_off": [{"platform": "iPhone", "instance": u64::MAX.to_string(), "status": "PushOnline"}]});
    assert_eq!((page.status, page.lines), (200, vec![expected]));
}

#[test]
fn pages_follow_each_other() {
    let library = library();
    (0..250).for_each(|number| library.add(["alice", "bob"][number % 2], login(Vec::new())));
    let (mut path, mut seen) = ("/v1/changes?wait_s=0".to_owned(), Vec::new());
    for expected in [100, 100, 50, 0, 0] {
        let page = library.page(&path);
        assert_eq!(page.lines.len(), expected);
        let last = page
            .lines
            .last()
            .map(|line| line["cursor"].as_str().unwrap().to_owned());
        assert!(
            last.is_none() || last == page.next,
            "the next page begins behind the last line"
        );
        seen.extend(page.lines.iter().map(|line| line["change"].as_u64().unwrap()));
        path = format!("/v1/changes?wait_s=0&after={}", page.next.unwrap());
    }
    assert!(seen.into_iter().eq((2..252).map(|number| number / 2)));
    assert_eq!(library.page("/v1/changes?limit=3").lines.len(), 3);
    assert_eq!(library.page("/v1/changes?limit=1000").lines.len(), 250);
    for limit in ["0", "1001", "x", "-1"] {
        assert_eq!(library.page(&format!("/v1/changes?limit={limit}")).status, 400);
    }
}

#[test]
fn a_follower_waits_for_news() {
    let library = library();
    library.add("alice", login(Vec::new()));
    let next = library.page("/v1/changes").next.unwrap();
    let before = library.reads();
    std::thread::scope(|scope| {
        let page = scope.spawn(|| library.page(&format!("/v1/changes?after={next}&wait_s=55")));
        while library.reads() == before {
            std::thread::yield_now();
        }
        library.add("bob", ChangeKind::Logout);
        assert_eq!(page.join().unwrap().numbers(), [("bob", 1)]);
    });
}

#[test]
fn a_follower_that_hears_nothing_gets_an_empty_page() {
    let library = library();
    let page = library.page("/v1/changes?wait_s=1");
    assert_eq!((page.status, page.lines.len()), (200, 0));
    let again = library.page(&format!(
        "/v1/changes?wait_s=0&after={}",
        page.next.clone().unwrap()
    ));
    assert_eq!(again.next, page.next);
}

/// Begins to follow the changes, of which there are none, and gives the connection when it waits.
fn follow(library: &Library) -> TcpStream {
    let mut follower = TcpStream::connect(library.world.admin).unwrap();
    write!(
        follower,
        "GET /v1/changes?wait_s=55 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    .unwrap();
    // Without a word it would wait for as long as it had asked to.
    follower.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    while library.reads() == 0 {
        std::thread::yield_now();
    }
    follower
}

#[test]
fn a_follower_that_closes_its_half_is_answered_and_leaves() {
    let library = library();
    let mut follower = follow(&library);
    follower.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_response(&mut follower), (200, String::new()));
}

#[test]
fn places_are_kept_for_those_who_look_at_health() {
    let mut settings = settings();
    settings.limits.admin_connections_max = 2;
    let library = library_of(settings, None);
    let mut follower = follow(&library);
    assert_eq!(library.world.get("/metrics", "").0, 503);
    assert_eq!(library.world.get("/healthz", "").0, 200);
    follower.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_response(&mut follower).0, 200);
    assert_eq!(library.world.get("/metrics", "").0, 200);
}

#[test]
fn a_follower_does_not_hold_up_the_stop() {
    let mut library = library();
    let server = library.world.server.take().unwrap();
    std::thread::scope(|scope| {
        let page = scope.spawn(|| library.page("/v1/changes?wait_s=55"));
        while library.reads() == 0 {
            std::thread::yield_now();
        }
        server.stop(STOP_WITHIN).unwrap();
        assert_eq!(page.join().unwrap().status, 200);
    });
}

#[test]
fn what_is_pruned_is_gone_and_the_oldest_is_named() {
    let library = library();
    library.shelf.kept.lock().unwrap().pruned = 10;
    library.add("alice", ChangeKind::LinkEnd);
    let old = cursor_of(Position(9));
    let gone = library.page(&format!("/v1/changes?after={old}"));
    let oldest = gone.lines[0]["oldest"].as_str().unwrap();
    assert_eq!((gone.status, oldest), (410, &*cursor_of(Position(10))));
    let page = library.page(&format!("/v1/changes?after={oldest}"));
    assert_eq!(page.numbers(), [("alice", 1)]);
    assert_eq!(
        library.page("/v1/changes").numbers(),
        [("alice", 1)],
        "it begins with the oldest by itself"
    );
    let ahead = cursor_of(Position(12));
    assert_eq!(library.page(&format!("/v1/changes?after={ahead}")).status, 410);
}

#[test]
fn cursors_of_others_are_refused() {
    let library = library();
    let foreign = CursorStore {
        id: STORE + 1,
        lanes: 1,
    }
    .write_one(PartitionId::SOLE, Position(0));
    for cursor in ["", "5", "%zz", &foreign] {
        assert_eq!(
            library.page(&format!("/v1/changes?after={cursor}")).status,
            400,
            "{cursor}"
        );
    }
    library.shelf.kept.lock().unwrap().broken = true;
    assert_eq!(library.page("/v1/changes").status, 503);
}

#[test]
fn one_users_changes() {
    let library = library();
    for _ in 0..3 {
        library.add("a b/c", login(Vec::new()));
        library.add("bob", ChangeKind::TimeOut);
    }
    let page = library.page("/v1/users/a%20b%2Fc/changes?limit=2");
    assert_eq!(page.numbers(), [("a b/c", 1), ("a b/c", 2)]);
    let page = library.page(&format!(
        "/v1/users/a%20b%2Fc/changes?after={}",
        page.next.unwrap()
    ));
    assert_eq!(
        (page.numbers(), page.next.as_deref()),
        (vec![("a b/c", 3)], Some("3"))
    );
    assert_eq!(library.page("/v1/users/nobody/changes").lines.len(), 0);
    assert_eq!(library.page("/v1/users/%00/changes").status, 400);
    assert_eq!(library.page("/v1/users/bob/changes?after=x").status, 400);
}

#[test]
fn the_list_names_where_the_stream_goes_on() {
    let library = library();
    library.add("alice", login(Vec::new()));
    let record = UserRecord {
        change: ChangeNumber(4),
        registered: true,
        devices: vec![DeviceRecord {
            device: DeviceId {
                platform: Platform::Web,
                instance: InstanceId::MIN,
            },
            status: Status::Online,
            session: ChangeNumber(4),
            fresh: ChangeNumber(2),
            login_at: Timestamp(1_700_000_000_000),
            since: Timestamp(1_700_000_000_000),
            address: None,
        }],
        ..UserRecord::default()
    };
    for name in ["alice", "b +%", "carol"] {
        library
            .shelf
            .kept
            .lock()
            .unwrap()
            .users
            .insert(name.to_owned(), record.clone());
    }
    let page = library.page("/v1/users?limit=2");
    let time = "2023-11-14T22:13:20.000Z";
    let device = json!({"platform": "Web", "instance": "1", "status": "Online", "session": 4, "login_at": time, "since": time});
    let line = |name: &str| json!({"user": name, "status": "Online", "change": 4, "devices": [device]});
    assert_eq!(page.lines, [line("alice"), line("b +%")]);
    let stream = page.stream.unwrap();
    assert_eq!(stream, cursor_of(Position(1)));
    let page = library.page(&format!("/v1/users?limit=2&after={}", page.next.unwrap()));
    assert_eq!(page.lines, [line("carol")]);
    assert_eq!((page.stream, page.next), (None, None));
    library.add("carol", ChangeKind::Logout);
    assert_eq!(
        library.page(&format!("/v1/changes?after={stream}")).numbers(),
        [("carol", 1)]
    );
}

#[test]
fn a_registry_that_keeps_nothing_says_so() {
    let world = World::new(settings(), shards);
    for path in [
        "/v1/changes",
        "/v1/users",
        "/v1/users/alice/changes",
        "/v1/callbacks",
        "/v1/callbacks/dead",
    ] {
        assert_eq!(world.get(path, "").0, 501, "{path}");
    }
}
