//! The backend imports, checks and deletes accounts, and the operator ends one device.

use holdfast::protocol::native::proto::{self, Code, Platform};
use serde_json::{Value, json};

use crate::gateway;
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login};

fn check_accounts(http: &Http, address: std::net::SocketAddr, users: &[&str]) -> Vec<String> {
    let items: Vec<_> = users.iter().map(|user| json!({ "UserID": user })).collect();
    let answer = http.call(
        address,
        "im_open_login_svc/account_check",
        &json!({ "CheckItem": items }),
    );
    let items = answer["ResultItem"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["AccountStatus"].as_str().unwrap().to_owned())
        .collect()
}

fn code_of(answer: &proto::LoginAnswer) -> Code {
    answer.verdict.as_ref().unwrap().code()
}

#[test]
fn imported_accounts_are_known_before_they_log_in() {
    let gateway = gateway(&[("shards.count", "3")]);
    let http = Http::default();
    let call = |command: &str, body: &Value| http.call(gateway.http, command, body);
    let answer = call(
        "im_open_login_svc/account_import",
        &json!({"UserID": "alice", "Nick": "Al"}),
    );
    assert_eq!(answer["ErrorCode"], 0, "{answer}");
    let list = json!({"AccountList": [{"UserID": "bob", "FaceUrl": ""}, {"UserID": "x".repeat(33)}]});
    let answer = call("im_open_login_svc/multiaccount_import", &list);
    assert_eq!(answer["FailAccounts"], json!(["x".repeat(33)]), "{answer}");
    assert_eq!(http.status(gateway.http, "alice").as_deref(), Some("Offline"));
    let (_terminal, session) = Terminal::logged_in(gateway.terminals, login("carol", Platform::Iphone, 1));
    assert_eq!(session, 1);
    let seen = check_accounts(&http, gateway.http, &["alice", "bob", "carol", "dave"]);
    assert_eq!(seen, ["Imported", "Imported", "Imported", "NotImported"]);
    let answer = call(
        "im_open_login_svc/account_import",
        &json!({"Identifier": "carol"}),
    );
    assert_eq!(answer["ErrorCode"], 0, "{answer}");
    assert_eq!(
        http.status(gateway.http, "carol").as_deref(),
        Some("Online"),
        "an import changes nobody"
    );
}

#[test]
fn a_deleted_account_is_unknown_and_its_sessions_are_over() {
    let gateway = gateway(&[("presence.policy", "\"multi\""), ("shards.count", "3")]);
    let http = Http::default();
    let (mut phone, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    let (mut web, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Web, 2));
    let items = json!({"DeleteItem": [{"UserID": "alice"}, {"UserID": "nobody"}]});
    let answer = http.call(gateway.http, "im_open_login_svc/account_delete", &items);
    assert_eq!(answer["ResultItem"][0]["ResultCode"], 0, "{answer}");
    assert_eq!(answer["ResultItem"][1]["ResultCode"], 70107, "{answer}");
    for terminal in [&mut phone, &mut web] {
        let verdict = terminal.expect_force_offline().verdict.unwrap();
        assert_eq!(verdict.code(), Code::SessionKicked);
    }
    assert_eq!(http.status(gateway.http, "alice"), None);
    assert_eq!(check_accounts(&http, gateway.http, &["alice"]), ["NotImported"]);
}

#[test]
fn without_registration_only_imported_accounts_log_in() {
    let gateway = gateway(&[("accounts.register_at_login", "false")]);
    let http = Http::default();
    let (_, answer) = Terminal::log_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    assert_eq!(code_of(&answer), Code::AccountUnknown);
    http.call(
        gateway.http,
        "im_open_login_svc/account_import",
        &json!({"UserID": "alice"}),
    );
    Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
}

#[test]
fn one_device_is_ended_and_may_log_in_again() {
    let gateway = gateway(&[("presence.policy", "\"multi\""), ("shards.count", "3")]);
    let http = Http::default();
    let phone_login = login("alice", Platform::Iphone, 7);
    let (mut phone, session) = Terminal::logged_in(gateway.terminals, phone_login.clone());
    let (mut web, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Web, 2));
    let kick = |user: &str, instance: &str| {
        let body = json!({"user": user, "platform": "iPhone", "instance": instance});
        http.post(gateway.admin, "/v1/kick", &body).0
    };
    assert_eq!((kick("alice", "8"), kick("nobody", "7")), (404, 404));
    assert_eq!(kick("alice", "7"), 200);
    assert_eq!(
        phone.expect_force_offline().verdict.unwrap().code(),
        Code::SessionKicked
    );
    web.beat();
    assert_eq!(kick("alice", "7"), 404, "it is over already");
    let resume = proto::Login {
        session,
        ..phone_login.clone()
    };
    let (_, answer) = Terminal::log_in(gateway.terminals, resume);
    assert_eq!(code_of(&answer), Code::SessionKicked);
    Terminal::logged_in(gateway.terminals, phone_login);
}
