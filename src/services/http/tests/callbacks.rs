//! The pages of callbacks, with a service that a test makes up.

use super::commands::post;
use super::history::{cursor_of, library_with};
use super::shelf::STORE;
use super::*;
use crate::base::ids::PartitionId;
use crate::logic::record::{Change, ChangeKind, RecordedChange};
use crate::services::http::admin::cursor::CursorStore;
use crate::services::registry::archive::{Placed, Position, ReadError};
use crate::services::registry::outbox::Dead;

/// Holds dead letters at odd places.
#[derive(Default)]
struct Morgue(
    Mutex<Vec<(&'static str, DeadSelection)>>,
    Mutex<Vec<Option<UserId>>>,
);

fn dead(position: u64) -> Dead {
    let change = Change {
        number: ChangeNumber(position),
        at: Timestamp(1_700_000_000_000),
        device: device(),
        kind: ChangeKind::Logout,
        address: None,
    };
    let recorded = RecordedChange {
        user: user("alice"),
        change,
        session: ChangeNumber(1),
        previous: Some(ChangeNumber(0)),
    };
    Dead {
        placed: Placed {
            position: Position(position),
            recorded,
        },
        attempts: 9,
        at: Timestamp(1_700_000_001_000),
        fault: "no answer".to_owned(),
    }
}

impl DeadLetters for Morgue {
    fn status(&self) -> Result<Vec<(PartitionId, CallbackStatus)>, ReadError> {
        let status = CallbackStatus {
            done: Position(3),
            last: Position(5),
            late: 1,
            dead: 3,
        };
        Ok(vec![(PartitionId::SOLE, status)])
    }

    fn dead(&self, lane: PartitionId, after: Position, count_max: usize) -> Result<Vec<Dead>, ReadError> {
        assert_eq!(lane, PartitionId::SOLE);
        let behind = [1, 3, 5].into_iter().filter(|position| *position > after.0);
        Ok(behind.take(count_max).map(dead).collect())
    }

    fn replay(&self, which: &DeadSelection) -> Result<u64, ReadError> {
        self.0.lock().unwrap().push(("replay", which.clone()));
        Ok(2)
    }

    fn drop_late(&self, user: Option<UserId>) -> Result<u64, ReadError> {
        self.1.lock().unwrap().push(user);
        Ok(4)
    }

    fn forget(&self, which: &DeadSelection) -> Result<u64, ReadError> {
        self.0.lock().unwrap().push(("forget", which.clone()));
        Err(ReadError::Store("the disk is full".to_owned()))
    }
}

#[test]
fn what_was_given_up_is_listed() {
    let library = library_with(Some(Arc::new(Morgue::default())));
    let page = library.page("/v1/callbacks/dead?limit=2");
    let name = json!({"platform": "iPhone", "instance": u64::MAX.to_string()});
    let line = json!({"cursor": cursor_of(Position(1)), "user": "alice", "change": 1,
        "at": "2023-11-14T22:13:20.000Z", "kind": "logout", "device": name, "session": 1, "address": null,
        "forced_off": [], "callback": {"previous": 0}, "attempts": 9, "given_up_at": "2023-11-14T22:13:21.000Z",
        "fault": "no answer"});
    assert_eq!((page.lines.len(), &page.lines[0]), (2, &line));
    let page = library.page(&format!(
        "/v1/callbacks/dead?limit=2&after={}",
        page.next.unwrap()
    ));
    assert_eq!((page.lines.len(), page.next), (1, None));
    assert_eq!(library.page("/v1/callbacks/dead?after=x").status, 400);
    let standing = library.page("/v1/callbacks").lines.remove(0);
    let expected = json!({"done": cursor_of(Position(3)), "last": cursor_of(Position(5)),
        "changes_behind": 2, "late": 1, "dead": 3});
    assert_eq!(standing, expected);
}

#[test]
fn dead_letters_are_replayed_and_dropped() {
    let morgue = Arc::new(Morgue::default());
    let library = library_with(Some(Arc::clone(&morgue) as Arc<dyn DeadLetters>));
    let named = json!({"positions": [cursor_of(Position(3))]}).to_string();
    let replayed = post(&library.world, "/v1/callbacks/replay", &named);
    assert_eq!(replayed, (200, json!({"replayed": 2})));
    let (status, failed) = post(&library.world, "/v1/callbacks/drop", r#"{"all":true}"#);
    assert_eq!(status, 503, "{failed}");
    let expected = [
        (
            "replay",
            DeadSelection::These(vec![(PartitionId::SOLE, Position(3))]),
        ),
        ("forget", DeadSelection::All),
    ];
    assert_eq!(*morgue.0.lock().unwrap(), expected);
    for (body, user) in [
        (r#"{"late":true}"#, None),
        (r#"{"late":true,"user":"alice"}"#, Some(user("alice"))),
    ] {
        let dropped = post(&library.world, "/v1/callbacks/drop", body);
        assert_eq!(dropped, (200, json!({"dropped": 4})));
        assert_eq!(morgue.1.lock().unwrap().pop(), Some(user));
    }
    for wrong in [
        r#"{"late":false}"#,
        r#"{"late":true,"all":true}"#,
        r#"{"late":true,"positions":[]}"#,
        r#"{"late":true,"user":""}"#,
        r#"{"late":true,"user":7}"#,
    ] {
        assert_eq!(
            post(&library.world, "/v1/callbacks/drop", wrong).0,
            400,
            "{wrong}"
        );
    }
    let foreign = json!({"positions": [CursorStore { id: STORE + 1, lanes: 1 }.write_one(PartitionId::SOLE, Position(3))]}).to_string();
    let both = json!({"positions": [], "all": true}).to_string();
    let many = json!({"positions": vec!["x"; 1_001]}).to_string();
    for wrong in [
        "{}",
        r#"{"all":false}"#,
        r#"{"positions":[3]}"#,
        r#"{"positions":3}"#,
        &foreign,
        &both,
        &many,
    ] {
        assert_eq!(
            post(&library.world, "/v1/callbacks/replay", wrong).0,
            400,
            "{wrong}"
        );
    }
}
