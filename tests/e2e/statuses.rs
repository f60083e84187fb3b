//! The main job: terminals log in and go, and the backend reads every status.

use holdfast::protocol::native::proto::{self, Code, Platform, request, response};
use serde_json::json;

use crate::gateway;
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login};

const NATIVE: [(Platform, &str); 6] = [
    (Platform::Android, "Android"),
    (Platform::Iphone, "iPhone"),
    (Platform::Ipad, "iPad"),
    (Platform::Windows, "PC"),
    (Platform::Mac, "Mac"),
    (Platform::Linux, "PC"),
];

#[test]
fn every_platform_and_every_status() {
    let gateway = gateway(&[]);
    let http = Http::default();
    for (place, (platform, detail)) in NATIVE.into_iter().chain([(Platform::Web, "Web")]).enumerate() {
        let user = format!("user-{place}");
        assert_eq!(
            http.status(gateway.http, &user),
            None,
            "an account that never logged in"
        );
        let (mut terminal, session) = Terminal::logged_in(gateway.terminals, login(&user, platform, 7));
        assert_eq!(session, 1);
        terminal.beat();
        let answer = http.query(gateway.http, &[&user]);
        assert_eq!(answer["QueryResult"][0]["Status"], "Online");
        assert_eq!(answer["QueryResult"][0]["State"], "Online");
        assert_eq!(
            answer["QueryResult"][0]["Detail"],
            json!([{ "Platform": detail, "Status": "Online" }])
        );
        assert_eq!(answer["ErrorList"], json!([]));
        drop(terminal);
        match platform {
            Platform::Android | Platform::Iphone | Platform::Ipad => {
                http.await_status(gateway.http, &user, "PushOnline");
            }
            Platform::Web => assert_eq!(http.status(gateway.http, &user).as_deref(), Some("Online")),
            _ => http.await_status(gateway.http, &user, "Offline"),
        }
    }
    let answer = http.query(gateway.http, &["user-0", "nobody", "user-3"]);
    assert_eq!(answer["ErrorCode"], 0);
    assert_eq!(answer["QueryResult"][0]["Status"], "PushOnline");
    assert_eq!(
        answer["QueryResult"][1],
        json!({ "To_Account": "user-3", "Status": "Offline", "State": "Offline" })
    );
    assert_eq!(
        answer["ErrorList"],
        json!([{ "To_Account": "nobody", "ErrorCode": 70107 }])
    );
    assert!(gateway.stop(), "Ctrl-C ends it cleanly");
}

#[test]
fn a_logout_is_offline_and_its_session_never_comes_back() {
    let gateway = gateway(&[]);
    let http = Http::default();
    let (terminal, session) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    terminal.log_out();
    assert_eq!(http.status(gateway.http, "alice").as_deref(), Some("Offline"));
    let resume = proto::Login {
        session,
        ..login("alice", Platform::Iphone, 1)
    };
    let (_, answer) = Terminal::log_in(gateway.terminals, resume);
    let verdict = answer.verdict.unwrap();
    assert_eq!(
        (verdict.code(), verdict.what_next()),
        (Code::SessionLoggedOut, proto::WhatNext::LogInAfresh)
    );
}

#[test]
fn a_lost_link_resumes_with_a_new_session() {
    let gateway = gateway(&[]);
    let http = Http::default();
    let (terminal, session) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Android, 1));
    // Back before the loss was noticed: the same session on another connection, and no change.
    let resume = proto::Login {
        session,
        ..login("alice", Platform::Android, 1)
    };
    let (second, kept) = Terminal::logged_in(gateway.terminals, resume.clone());
    assert_eq!(kept, session);
    let mut terminal = terminal;
    assert_eq!(
        terminal.read(),
        None,
        "the old connection is closed without a word"
    );
    drop(second);
    http.await_status(gateway.http, "alice", "PushOnline");
    let (_third, next) = Terminal::logged_in(gateway.terminals, resume);
    assert_eq!(next, 3, "login, link end, login");
    assert_eq!(http.status(gateway.http, "alice").as_deref(), Some("Online"));
}

#[test]
fn another_device_forces_the_first_off() {
    let gateway = gateway(&[("shards.count", "3")]);
    let http = Http::default();
    let (mut phone, session) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    let (mut desktop, answer) = Terminal::log_in(gateway.terminals, login("alice", Platform::Windows, 2));
    assert_eq!(answer.forced_off, [i32::from(Platform::Iphone)]);
    let force_offline = phone.expect_force_offline();
    assert_eq!(force_offline.winner(), Platform::Windows);
    let resume = proto::Login {
        session,
        ..login("alice", Platform::Iphone, 1)
    };
    let (_, refused) = Terminal::log_in(gateway.terminals, resume);
    assert_eq!(refused.verdict.as_ref().unwrap().code(), Code::SessionForcedOff);
    assert_eq!(refused.winner(), Platform::Windows);
    desktop.beat();
    let answer = http.query(gateway.http, &["alice"]);
    assert_eq!(
        answer["QueryResult"][0]["Detail"],
        json!([{ "Platform": "PC", "Status": "Online" }])
    );
}

#[test]
fn a_kick_ends_everything_and_old_user_sigs() {
    let gateway = gateway(&[("presence.policy", "\"multi\"")]);
    let http = Http::default();
    let old = login("alice", Platform::Iphone, 1);
    let (mut phone, _) = Terminal::logged_in(gateway.terminals, old.clone());
    let (mut web, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Web, 2));
    let answer = http.call(
        gateway.http,
        "im_open_login_svc/kick",
        &json!({ "UserID": "alice" }),
    );
    assert_eq!(answer["ActionStatus"], "OK", "{answer}");
    for terminal in [&mut phone, &mut web] {
        let verdict = terminal.expect_force_offline().verdict.unwrap();
        assert_eq!(verdict.code(), Code::SessionKicked);
    }
    assert_eq!(http.status(gateway.http, "alice").as_deref(), Some("Offline"));
    let (_, answer) = Terminal::log_in(gateway.terminals, old);
    assert_eq!(answer.verdict.unwrap().code(), Code::UsersigKicked);
    let answer = http.call(
        gateway.http,
        "im_open_login_svc/kick",
        &json!({ "UserID": "nobody" }),
    );
    assert_eq!(answer["ErrorCode"], 70107);
}

#[test]
fn silence_ends_a_link() {
    let settings = [
        ("presence.heartbeat_timeout_mobile_s", "3"),
        ("presence.heartbeat_interval_s", "1"),
    ];
    let gateway = gateway(&settings);
    let http = Http::default();
    let (mut terminal, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Ipad, 1));
    assert_eq!(terminal.expect_error(), Code::Silent);
    assert_eq!(http.status(gateway.http, "alice").as_deref(), Some("PushOnline"));
}

#[test]
fn the_admin_sees_what_is_known_of_a_device() {
    let gateway = gateway(&[]);
    let http = Http::default();
    let (mut terminal, _) = Terminal::logged_in(gateway.terminals, login("a b/c", Platform::Mac, u64::MAX));
    terminal.send(request::Packet::Background(proto::Background {
        background: true,
    }));
    terminal.beat();
    let (status, body) = http.get(gateway.admin, "/v1/users/a%20b%2Fc");
    assert_eq!(status, 200, "{body}");
    let user: serde_json::Value = serde_json::from_str(&body).unwrap();
    let device = &user["devices"][0];
    assert_eq!(device["platform"], "Mac");
    assert_eq!(device["instance"], u64::MAX.to_string());
    assert_eq!(device["address"], "127.0.0.1");
    assert_eq!(device["transport"], "tcp");
    assert_eq!(device["sdk_version"], "test/1");
    assert_eq!(device["background"], true);
    assert_eq!(http.get(gateway.admin, "/v1/users/nobody").0, 404);
    assert_eq!(http.get(gateway.admin, "/readyz").0, 200);
}

#[test]
fn a_clean_stop_says_goodbye_and_changes_nothing() {
    let gateway = gateway(&[]);
    let (mut terminal, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    assert!(gateway.stop());
    match terminal.read() {
        Some(response::Packet::GoAway(go_away)) => {
            assert_eq!(go_away.reason(), proto::go_away::Reason::Stop);
        }
        other => panic!("not a GoAway: {other:?}"),
    }
    assert_eq!(terminal.read(), None);
}
