//! What the app's backend asks, and who may: queries, kicks, and the checks of the caller.

use super::*;

#[test]
fn answers_queries_on_all_three_routes() {
    let world = World::new(settings(), shards);
    let body = r#"{"To_Account":["online1","ghost","off1","online1"],"IsNeedDetail":1}"#;
    let online = json!({"To_Account": "online1", "Status": "Online", "State": "Online",
        "Detail": [{"Platform": "iPhone", "Status": "Online"}]});
    let expected = json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0,
        "QueryResult": [online, {"To_Account": "off1", "Status": "Offline", "State": "Offline"}, online],
        "ErrorList": [{"To_Account": "ghost", "ErrorCode": 70107}]});
    for path in [
        QUERY,
        "/v4/openim/querystate",
        "/v4/im_open_login_svc/query_online_status",
    ] {
        assert_eq!(world.ask(path, body), expected, "{path}");
    }
}

#[test]
fn one_request_for_each_home_and_query() {
    let world = World::new(settings(), shards);
    let names: Vec<_> = (0..500).map(|number| format!("online{number}")).collect();
    let body = json!({ "To_Account": names }).to_string();
    let reply = world.ask(QUERY, &body);
    let answered = reply["QueryResult"]
        .as_array()
        .unwrap()
        .iter()
        .map(|known| &known["To_Account"]);
    assert!(answered.eq(names.iter()), "the order is that of the request");
    assert_eq!(world.requests.lock().unwrap().len(), usize::from(SHARDS));
}

#[test]
fn the_longest_possible_query_fits() {
    let world = World::new(settings(), shards);
    let escaped = |number: usize| {
        format!("off{number:029}")
            .bytes()
            .fold(String::new(), |text, byte| format!("{text}\\u{byte:04x}"))
    };
    let names: Vec<_> = (0..500)
        .map(|number| format!("\"{}\"", escaped(number)))
        .collect();
    let body = format!("{{\"To_Account\":[{}]}}", names.join(","));
    assert!(body.len() > 97_500);
    assert_eq!(
        world.ask(QUERY, &body)["QueryResult"].as_array().unwrap().len(),
        500
    );
}

#[test]
fn kicks() {
    let world = World::new(settings(), shards);
    let check = |body: &str, code: u32| {
        let reply = world.ask(KICK, body);
        assert_eq!(reply["ErrorCode"], code, "{body}: {reply}");
        assert_eq!(reply["ActionStatus"], if code == 0 { "OK" } else { "FAIL" });
    };
    check(r#"{"UserID":"alice"}"#, 0);
    check(r#"{"Identifier":"alice"}"#, 0);
    check(r#"{"UserID":"ghost"}"#, 70_107);
    check(r#"{"UserID":"busy"}"#, 60_018);
    for invalid in [r#"{"UserID":1}"#, "{}", "[]", r#"{"UserID":""}"#] {
        check(invalid, 70_402);
    }
    check("{", 60_003);
}

#[test]
fn checks_the_caller_in_the_order_of_the_reference() {
    let world = World::new(settings(), shards);
    let check = |target: &str, code: u32| {
        let reply = world.post(target, "{\"To_Account\":[\"off\"]}");
        assert_eq!(reply["ErrorCode"], code, "{target}: {reply}");
    };
    let sig = user_sig("administrator");
    check("/v4/openim/unknown", 60_009);
    check("/", 60_009);
    check("/v4/%zz", 60_002);
    check(QUERY, 60_012);
    check(&format!("{QUERY}?sdkappid=&identifier=administrator"), 60_012);
    check(&format!("{QUERY}?sdkappid=%2"), 60_002);
    check(&format!("{QUERY}?sdkappid=x"), 60_006);
    check(&format!("{QUERY}?sdkappid=14"), 60_006);
    check(&format!("{QUERY}?sdkappid={APP}"), 60_004);
    check(
        &format!("{QUERY}?sdkappid={APP}&identifier=administrator"),
        70_002,
    );
    check(
        &format!("{QUERY}?sdkappid={APP}&identifier=administrator&usersig=x"),
        70_003,
    );
    check(
        &format!("{QUERY}?sdkappid={APP}&identifier=alice&usersig={sig}"),
        70_013,
    );
    check(
        &format!(
            "{QUERY}?sdkappid={APP}&identifier=alice&usersig={}",
            user_sig("alice")
        ),
        60_010,
    );
    let escaped = sig.replace('*', "%2A").replace('-', "%2d");
    check(
        &format!("{QUERY}?random=x&more&usersig={escaped}&identifier=administrator&sdkappid={APP}"),
        0,
    );
}

#[test]
fn takes_a_get_with_a_body_and_any_content_type() {
    let world = World::new(settings(), shards);
    let target = format!(
        "{QUERY}?sdkappid={APP}&identifier=administrator&usersig={}",
        user_sig("administrator")
    );
    for (method, headers) in [
        ("GET", ""),
        ("POST", "Content-Type: text/html\r\nAccept: image/png\r\n"),
    ] {
        let (status, body) = http(
            world.backend,
            method,
            &target,
            headers,
            r#"{"To_Account":["off"]}"#,
        );
        assert_eq!(status, 200);
        assert_eq!(
            serde_json::from_str::<Value>(&body).unwrap()["ErrorCode"],
            0,
            "{body}"
        );
    }
    let (status, body) = http(world.backend, "DELETE", &target, "", "");
    assert_eq!((status, body.contains("60002")), (405, true), "{body}");
}
