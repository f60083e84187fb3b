//! Who may call the REST interface, and what is read of those who may not.

use super::*;

fn code(reply: &Value) -> u64 {
    reply["ErrorCode"].as_u64().unwrap()
}

fn query_url(sig: &str) -> String {
    url_of("administrator", sig)
}

fn url_of(caller: &str, sig: &str) -> String {
    format!("{QUERY}?sdkappid={APP}&identifier={caller}&usersig={sig}&random=9&contenttype=json")
}

/// An app with another administrator, whose home answers by `script`.
fn with_chief(script: impl Fn(ShardId, ToShard) -> Option<ToHttp> + Send + 'static) -> World {
    let settings = HttpSettings {
        administrators: vec![user("chief")],
        ..settings()
    };
    World::new(settings, script)
}

/// Made by a clock that is so much ahead.
fn later_sig(caller: &str, seconds: u64) -> String {
    let wall = Clock::start().now().wall;
    let later = Timestamp(wall.0 + 1_000 * seconds);
    usersig::sign(later, APP, SECRET, &user(caller), 60)
}

const BODY: &str = r#"{"To_Account":["online1"]}"#;

#[test]
fn the_kick_of_an_administrator_ends_its_usersigs() {
    let world = World::new(settings(), shards);
    assert_eq!(code(&world.ask(QUERY, BODY)), 0);
    let sig = user_sig("administrator");
    assert_eq!(code(&world.ask(KICK, r#"{"UserID":"administrator"}"#)), 0);
    assert_eq!(code(&world.post(&query_url(&sig), BODY)), 70_052);
    assert_eq!(
        code(&world.post(&query_url(&later_sig("administrator", 30)), BODY)),
        0
    );
}

#[test]
fn a_kick_that_is_on_record_counts_and_is_asked_for_once() {
    let kicked_at_s = Clock::start().now().wall.seconds() + 10;
    let world = with_chief(move |shard, request| {
        let ToShard::Inspect(request, who) = request else {
            return shards(shard, request);
        };
        let known = Inspection {
            kicked_at_s,
            ..inspection(who)
        };
        Some(ToHttp::Inspected(request, Ok(Some(Box::new(known)))))
    });
    for _ in 0..2 {
        let post = |sig: &str| code(&world.post(&url_of("chief", sig), BODY));
        assert_eq!(post(&user_sig("chief")), 70_052);
        assert_eq!(post(&later_sig("chief", 30)), 0);
    }
    let requests = world.requests.lock().unwrap();
    let asked = requests
        .iter()
        .filter(|request| matches!(request, ToShard::Inspect(..)));
    assert_eq!(asked.count(), 1);
}

#[test]
fn a_late_word_of_the_home_does_not_undo_a_kick_that_is_newer() {
    let (asked, was_asked) = std::sync::mpsc::channel();
    let is_first = Mutex::new(true);
    let kicked_at_s = Clock::start().now().wall.seconds() + 10;
    let settings = HttpSettings {
        administrators: vec![user("administrator"), user("chief")],
        ..settings()
    };
    let world = World::new(settings, move |shard, request| {
        let ToShard::Inspect(request, who) = request else {
            return shards(shard, request);
        };
        if std::mem::replace(&mut *is_first.lock().unwrap(), false) {
            asked.send(request).unwrap();
            return None;
        }
        // The home knows of the kick, whenever it is asked again.
        let known = Inspection {
            kicked_at_s,
            ..inspection(who)
        };
        Some(ToHttp::Inspected(request, Ok(Some(Box::new(known)))))
    });
    let sig = user_sig("chief");
    let url = url_of("chief", &sig);
    std::thread::scope(|scope| {
        let reply = scope.spawn(|| code(&world.post(&url, BODY)));
        let request = was_asked.recv().unwrap();
        assert_eq!(code(&world.ask(KICK, r#"{"UserID":"chief"}"#)), 0);
        let before = Some(Box::new(inspection(user("chief"))));
        world
            .replies
            .send(ToHttp::Inspected(request, Ok(before)))
            .unwrap();
        assert_eq!(reply.join().unwrap(), 70_052);
    });
    assert_eq!(code(&world.post(&url, BODY)), 70_052);
}

/// The same from another address of loopback.
fn post_from(address: [u8; 4], world: &World, target: &str) -> u64 {
    let mut stream = connect_from(address, world.backend);
    let length = BODY.len();
    write!(
        stream,
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{BODY}"
    )
    .unwrap();
    code(&serde_json::from_str(&read_response(&mut stream).1).unwrap())
}

#[test]
fn who_fails_too_often_is_told_less_and_others_of_its_address_go_on() {
    let mut settings = settings();
    settings.limits.refusal_delay = Duration::from_millis(1);
    let world = World::new(settings, shards);
    let bad = query_url("x");
    for _ in 0..throttle::FAILURES_MAX {
        assert_eq!(code(&world.post(&bad, BODY)), 70_003);
    }
    let reply = world.post(&bad, BODY);
    assert_eq!(code(&reply), 60_018);
    let text = reply["ErrorInfo"].as_str().unwrap();
    assert!(text.contains("the UserSig cannot be decoded"), "{text}");
    assert_eq!(code(&world.ask(QUERY, BODY)), 0);
    assert_eq!(post_from([127, 0, 0, 2], &world, &bad), 70_003);
    let (_, metrics) = world.get("/metrics", "");
    let failed = throttle::FAILURES_MAX + 2;
    for line in [
        format!("holdfast_http_refused_total{{listener=\"http\",reason=\"usersig\"}} {failed}"),
        "holdfast_http_refused_limited_total{listener=\"http\"} 1".to_owned(),
    ] {
        assert!(
            metrics.lines().any(|seen| seen == line),
            "{line} is missing in\n{metrics}"
        );
    }
}

#[test]
fn while_the_registry_cannot_be_read_administrators_may_ask() {
    let world = with_chief(|shard, request| {
        let ToShard::Inspect(request, _) = request else {
            return shards(shard, request);
        };
        Some(ToHttp::Inspected(request, Err(RegistryError::Unavailable)))
    });
    assert_eq!(code(&world.post(&url_of("chief", &user_sig("chief")), BODY)), 0);
}

#[test]
fn a_body_that_says_that_it_is_too_large_is_not_waited_for() {
    let world = World::new(settings(), shards);
    let target = query_url(&user_sig("administrator"));
    let length = sizes::QUERY + 1;
    let mut stream = TcpStream::connect(world.backend).unwrap();
    write!(
        stream,
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    let (status, body) = read_response(&mut stream);
    assert_eq!(status, 200);
    assert_eq!(code(&serde_json::from_str(&body).unwrap()), 60_003);
}

#[test]
fn a_refused_caller_keeps_its_connection() {
    let world = World::new(settings(), shards);
    let request = |sig: &str, last: &str| {
        let (target, length) = (query_url(sig), BODY.len());
        format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n{last}Content-Length: {length}\r\n\r\n{BODY}")
    };
    let mut stream = TcpStream::connect(world.backend).unwrap();
    stream.write_all(request("", "").as_bytes()).unwrap();
    stream
        .write_all(request(&user_sig("administrator"), "Connection: close\r\n").as_bytes())
        .unwrap();
    let (_, rest) = read_response(&mut stream);
    assert!(
        rest.contains("\"ErrorCode\":70002") && rest.contains("\"Status\":\"Online\""),
        "{rest}"
    );
}

#[test]
fn a_usersig_that_is_dated_too_far_ahead_is_refused_and_told_why() {
    let world = World::new(settings(), shards);
    let post = |seconds| world.post(&query_url(&later_sig("administrator", seconds)), BODY);
    assert_eq!(code(&post(86_000)), 0);
    let refused = post(87_000);
    assert_eq!(code(&refused), 70_001);
    let text = refused["ErrorInfo"].as_str().unwrap();
    assert!(text.contains("usersig.ahead_max_s"), "{text}");
}
