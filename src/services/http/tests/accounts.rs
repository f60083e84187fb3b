//! The account commands as backends call them.

use super::*;
use crate::logic::delivery::AccountsRequest;
use crate::services::http::sizes::FIELD_BYTES_MAX;

const IMPORT: &str = "/v4/im_open_login_svc/account_import";
const IMPORT_MANY: &str = "/v4/im_open_login_svc/multiaccount_import";
const CHECK: &str = "/v4/im_open_login_svc/account_check";
const DELETE: &str = "/v4/im_open_login_svc/account_delete";

fn check(world: &World, command: &str, body: &Value, code: u32) -> Value {
    let reply = world.ask(command, &body.to_string());
    assert_eq!(reply["ErrorCode"], code, "{body}: {reply}");
    assert_eq!(reply["ActionStatus"], if code == 0 { "OK" } else { "FAIL" });
    reply
}

fn imported(world: &World) -> Vec<String> {
    let requests = std::mem::take(&mut *world.asked.lock().unwrap());
    let users = requests.into_iter().flat_map(|request| {
        let ToRegistry::Accounts(_, AccountsRequest::Import, users) = request else {
            panic!("not an import: {request:?}");
        };
        users
    });
    users.map(|user| user.as_str().to_owned()).collect()
}

#[test]
fn one_account_is_imported() {
    let world = World::new(settings(), shards);
    let profile = json!({"UserID": "alice", "Nick": "Al", "FaceUrl": "https://e.example/a.png"});
    let reply = check(&world, IMPORT, &profile, 0);
    assert_eq!(
        reply,
        json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0})
    );
    check(&world, IMPORT, &json!({"Identifier": "bob", "Nick": null}), 0);
    assert_eq!(imported(&world), ["alice", "bob"]);
    for wrong in [
        json!({}),
        json!([]),
        json!({"UserID": 5}),
        json!({"UserID": ""}),
        json!({"UserID": "x".repeat(33)}),
        json!({"UserID": "a", "Nick": 5}),
    ] {
        check(&world, IMPORT, &wrong, 70_402);
    }
    check(
        &world,
        IMPORT,
        &json!({"UserID": "a", "FaceUrl": "x".repeat(500)}),
        0,
    );
    check(
        &world,
        IMPORT,
        &json!({"UserID": "a", "FaceUrl": "x".repeat(501)}),
        40_601,
    );
    check(&world, IMPORT, &json!({"UserID": "busy"}), 70_169);
    assert_eq!(world.ask(IMPORT, "{")["ErrorCode"], 60_003);
}

#[test]
fn several_accounts_are_imported_in_both_forms() {
    let world = World::new(settings(), shards);
    let long = "x".repeat(33);
    let reply = check(&world, IMPORT_MANY, &json!({"Accounts": ["a", long, "b"]}), 0);
    assert_eq!(reply["FailAccounts"], json!([long]));
    assert_eq!(imported(&world), ["a", "b"]);
    let list = json!([{"UserID": "a", "Nick": "A", "FaceUrl": ""}, {"UserID": "b", "Nick": "x".repeat(501)}, {"UserID": "c"}]);
    let reply = check(&world, IMPORT_MANY, &json!({ "AccountList": list }), 0);
    assert_eq!(reply["FailAccounts"], json!(["b"]));
    assert_eq!(imported(&world), ["a", "c"]);
    let reply = check(&world, IMPORT_MANY, &json!({"Accounts": [""]}), 0);
    assert_eq!(
        (reply["FailAccounts"].clone(), imported(&world).len()),
        (json!([""]), 0)
    );
    check(&world, IMPORT_MANY, &json!({"Accounts": vec!["a"; 100]}), 0);
    check(&world, IMPORT_MANY, &json!({"Accounts": vec!["a"; 101]}), 70_206);
    check(&world, IMPORT_MANY, &json!({"Accounts": []}), 70_206);
    check(&world, IMPORT_MANY, &json!({"Accounts": ["a", "busy"]}), 70_169);
    for wrong in [
        json!({}),
        json!({"Accounts": "a"}),
        json!({"Accounts": ["a", 5]}),
        json!({"AccountList": ["a"]}),
    ] {
        check(&world, IMPORT_MANY, &wrong, 70_402);
    }
}

#[test]
fn accounts_are_checked() {
    let world = World::new(settings(), shards);
    let items = json!([{"UserID": "off1"}, {"UserID": "é"}, {"UserID": "ghost"}, {"UserID": "online1"}]);
    let reply = check(&world, CHECK, &json!({ "CheckItem": items }), 0);
    let item = |name: &str, status: &str| json!({"UserID": name, "ResultCode": 0, "ResultInfo": "", "AccountStatus": status});
    let expected = [
        item("off1", "Imported"),
        item("é", "NotImported"),
        item("ghost", "NotImported"),
        item("online1", "Imported"),
    ];
    assert_eq!(reply["ResultItem"], json!(expected));
    let asked = world.asked.lock().unwrap().clone();
    let users = ["off1", "ghost", "online1"].map(user).to_vec();
    assert!(
        matches!(&asked[..], [ToRegistry::Accounts(_, AccountsRequest::Check, seen)] if *seen == users),
        "{asked:?}"
    );
    check(&world, CHECK, &json!({"CheckItem": [{"UserID": ""}]}), 0);
    check(&world, CHECK, &json!({"CheckItem": [{"UserID": "busy"}]}), 70_169);
    check(&world, CHECK, &json!({"CheckItem": [{"Nick": "a"}]}), 70_402);
    check(
        &world,
        CHECK,
        &json!({"CheckItem": vec![json!({"UserID": "a"}); 101]}),
        70_206,
    );
}

#[test]
fn accounts_are_deleted_each_at_its_home() {
    let world = World::new(settings(), shards);
    let items =
        json!([{"UserID": "a"}, {"UserID": ""}, {"UserID": "ghost"}, {"UserID": "busy"}, {"UserID": "b"}]);
    let reply = check(&world, DELETE, &json!({ "DeleteItem": items }), 0);
    let results = reply["ResultItem"].as_array().unwrap();
    let codes = results.iter().map(|item| {
        (
            item["UserID"].as_str().unwrap(),
            item["ResultCode"].as_u64().unwrap(),
        )
    });
    let expected = [
        ("a", 0),
        ("", 70_107),
        ("ghost", 70_107),
        ("busy", 70_169),
        ("b", 0),
    ];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
    assert_eq!(
        results[2]["ResultInfo"],
        "Err_TLS_PT_Open_Login_Account_Not_Exist"
    );
    assert_eq!(world.requests.lock().unwrap().len(), 4);
    check(&world, DELETE, &json!({"DeleteItem": []}), 70_206);
    check(&world, DELETE, &json!({"DeleteItem": ["a"]}), 70_402);
}

#[test]
fn a_deletion_has_room_for_all_its_requests_or_sends_none() {
    let mut settings = settings();
    settings.limits.in_flight_max = 4;
    let world = World::new(settings, shards);
    let items = |count| json!({ "DeleteItem": vec![json!({"UserID": "a"}); count] });
    check(&world, DELETE, &items(2), 0);
    check(&world, DELETE, &items(3), 60_018);
    assert_eq!(world.requests.lock().unwrap().len(), 2);
}

/// As Python's `json.dumps` and PHP's `json_encode` write what is not ASCII, for every character.
fn escaped(text: &str) -> String {
    let escapes = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
    format!("\"{}\"", escapes.collect::<String>())
}

#[test]
fn a_hundred_accounts_with_the_longest_profiles_fit_escaped() {
    let world = World::new(settings(), shards);
    let account = |number: usize| {
        let (user, text) = (
            escaped(&format!("{number:032}")),
            escaped(&"x".repeat(FIELD_BYTES_MAX)),
        );
        format!(
            "{{\n        \"UserID\": {user},\n        \"Nick\": {text},\n        \"FaceUrl\": {text}\n    }}"
        )
    };
    let accounts: Vec<_> = (0..100).map(account).collect();
    let body = format!("{{\n    \"AccountList\": [{}]\n}}", accounts.join(",\n    "));
    assert!(body.len() > 600_000);
    let reply = world.ask(IMPORT_MANY, &body);
    assert_eq!(
        (&reply["ErrorCode"], &reply["FailAccounts"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(imported(&world).len(), 100);
}

#[test]
fn the_longest_lists_of_accounts_fit_escaped() {
    let world = World::new(settings(), shards);
    let items: Vec<_> = (0..100)
        .map(|number| format!("{{\"UserID\":{}}}", escaped(&format!("off{number:029}"))))
        .collect();
    for (command, list) in [(CHECK, "CheckItem"), (DELETE, "DeleteItem")] {
        let reply = world.ask(command, &format!("{{\"{list}\":[{}]}}", items.join(",")));
        assert_eq!(reply["ResultItem"].as_array().unwrap().len(), 100, "{command}");
    }
}

#[test]
fn reloaded_settings_count_for_the_next_request() {
    let world = World::new(settings(), shards);
    let body = json!({"CheckItem": [{"UserID": "a"}]});
    check(&world, CHECK, &body, 0);
    let mut next = settings();
    next.administrators = vec![user("somebody")];
    next.admin_token = Some(TOKEN.into());
    world.settings.send_replace(Arc::new(next));
    check(&world, CHECK, &body, 60_010);
    assert_eq!(world.get("/metrics", "").0, 401);
}
