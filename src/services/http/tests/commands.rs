//! What the operator can do, with a reload that a test makes up.

use super::*;
use crate::base::ids::{InstanceId, RequestId};

pub(super) fn post(world: &World, path: &str, body: &str) -> (u16, Value) {
    let (status, body) = http(
        world.admin,
        "POST",
        path,
        "Content-Type: application/json\r\n",
        body,
    );
    (status, serde_json::from_str(&body).unwrap())
}

#[test]
fn one_device_is_kicked() {
    let world = World::new(settings(), shards);
    let check = |body: &Value, status: u16| {
        let (seen, answer) = post(&world, "/v1/kick", &body.to_string());
        assert_eq!(seen, status, "{body}: {answer}");
    };
    let device = |user: &str, platform: &str| json!({"user": user, "platform": platform, "instance": "18446744073709551615"});
    check(&device("alice", "iphone"), 200);
    let request = ToShard::KickDevice(
        RequestId(1),
        user("alice"),
        DeviceId {
            platform: Platform::IPhone,
            instance: InstanceId::MAX,
        },
    );
    assert_eq!(*world.requests.lock().unwrap(), [request]);
    check(&device("alice", "Web"), 404);
    check(&device("ghost", "iPhone"), 404);
    check(&device("busy", "iPhone"), 503);
    check(&device("", "iPhone"), 400);
    check(&device("alice", "phone"), 400);
    for instance in [json!("0"), json!("x"), json!(7), json!(null)] {
        check(
            &json!({"user": "alice", "platform": "Web", "instance": instance}),
            400,
        );
    }
    check(&json!([]), 400);
    assert_eq!(post(&world, "/v1/kick", "{").0, 400);
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(sizes::ORDINARY));
    assert_eq!(post(&world, "/v1/kick", &long).0, 413);
}

#[test]
fn what_does_something_is_posted_as_json() {
    let world = World::new(settings(), shards);
    let json = "Content-Type: application/json\r\n";
    for path in [
        "/v1/kick",
        "/v1/reload",
        "/v1/callbacks/replay",
        "/v1/callbacks/drop",
    ] {
        assert_eq!(world.get(path, "").0, 405);
        for headers in [
            "",
            "Content-Type: text/plain\r\n",
            "Content-Type: application/x-www-form-urlencoded\r\n",
        ] {
            assert_eq!(http(world.admin, "POST", path, headers, "{}").0, 415);
        }
        assert_eq!(http(world.admin, "PUT", path, json, "{}").0, 405);
    }
    for path in [
        "/v1/changes",
        "/v1/users",
        "/v1/users/a",
        "/v1/callbacks",
        "/v1/callbacks/dead",
        "/metrics",
    ] {
        assert_eq!(http(world.admin, "POST", path, json, "{}").0, 405);
    }
    assert!(world.requests.lock().unwrap().is_empty());
}

/// Says what it was asked for.
struct Obedient(ReloadAsked, Result<Reloaded, ReloadError>);

impl ReloadHandler for Obedient {
    fn reload(&self, asked: &ReloadAsked) -> Result<Reloaded, ReloadError> {
        assert_eq!(*asked, self.0);
        self.1.clone()
    }
}

fn check_reload(
    body: &str,
    (mode, outcome): (ReloadMode, Result<Reloaded, ReloadError>),
    status: u16,
    expected: &Value,
) {
    check_asked(body, (ReloadAsked::of(mode), outcome), status, expected);
}

fn check_asked(
    body: &str,
    (asked, outcome): (ReloadAsked, Result<Reloaded, ReloadError>),
    status: u16,
    expected: &Value,
) {
    let world = World::with(
        settings(),
        shards,
        Others {
            reload: Arc::new(Obedient(asked, outcome)),
            ..Others::default()
        },
    );
    assert_eq!(
        post(&world, "/v1/reload", body),
        (status, expected.clone()),
        "{body}"
    );
}

#[test]
fn a_caller_says_what_it_was_given_and_hears_where_that_differs() {
    let caller = ReloadCaller {
        file: Some("/a.toml".to_owned()),
        of_file: vec![("shards.count".to_owned(), "2".to_owned())],
        own: Vec::new(),
    };
    let asked = ReloadAsked {
        mode: ReloadMode::Take,
        caller: Some(caller),
    };
    let body = r#"{"caller": {"file": "/a.toml", "of_file": {"shards.count": "2"}, "own": {}}}"#;
    let error = ReloadError::Differs(vec!["shards.count: it differs".to_owned()]);
    let text = error.to_string();
    let expected = json!({"error": text, "problems": ["shards.count: it differs"]});
    check_asked(body, (asked, Err(error)), 409, &expected);
    let world = World::with(settings(), shards, Others::default());
    for wrong in [
        r#"{"caller": 1}"#,
        r#"{"caller": {"of_file": {"shards.count": 2}, "own": {}}}"#,
        r#"{"caller": {"of_file": {}}}"#,
    ] {
        assert_eq!(post(&world, "/v1/reload", wrong).0, 400, "{wrong}");
    }
}

#[test]
fn the_configuration_is_reloaded() {
    let reloaded = |touched| Reloaded {
        changes: vec![("presence.policy", "for next logins")],
        touched,
    };
    let changes = json!([{"setting": "presence.policy", "counts": "for next logins"}]);
    let taken = json!({"dry_run": false, "changes": changes, "touched": null});
    for body in ["{}", r#"{"dry_run":false}"#, r#"{"dry_run":0}"#] {
        check_reload(
            body,
            (ReloadMode::Take, Ok(reloaded(Touched::NotAsked))),
            200,
            &taken,
        );
    }
    let live = Touched::Live { users: 1, devices: 2 };
    let seen = json!({"dry_run": true, "changes": changes, "touched": {"users": 1, "devices": 2}});
    for yes in ["true", "1", "1.0", "\"1\"", "\"true\""] {
        check_reload(
            &format!("{{\"dry_run\":{yes}}}"),
            (ReloadMode::DryRun, Ok(reloaded(live))),
            200,
            &seen,
        );
    }
}

#[test]
fn a_reload_that_fails_says_all_that_is_wrong() {
    let problems = vec!["one".to_owned(), "two".to_owned()];
    let told = json!({"error": "nothing was taken: the configuration cannot be used", "problems": problems});
    check_reload(
        "{}",
        (ReloadMode::Take, Err(ReloadError::Problems(problems))),
        422,
        &told,
    );
    let world = World::new(settings(), shards);
    assert_eq!(post(&world, "/v1/reload", "{}").0, 503);
    for neither in ["2", "null", "\"x\"", "[]", "{}"] {
        assert_eq!(
            post(&world, "/v1/reload", &format!("{{\"dry_run\":{neither}}}")).0,
            400
        );
    }
}
