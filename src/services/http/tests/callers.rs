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
fn with_chief(script: impl Fn(ShardId, ToShard) -> Option<ToFront> + Send + 'static) -> World {
    let settings = Settings {
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
    let kicked_at_s = Clock::start().now().signing.seconds() + 10;
    let world = with_chief(move |shard, letter| {
        let ToShard::Inspect(request, who) = letter else {
            return shards(shard, letter);
        };
        let known = Inspection {
            kicked_at_s,
            ..inspection(who)
        };
        Some(ToFront::Inspected(request, Ok(Some(Box::new(known)))))
    });
    for _ in 0..2 {
        let post = |sig: &str| code(&world.post(&url_of("chief", sig), BODY));
        assert_eq!(post(&user_sig("chief")), 70_052);
        assert_eq!(post(&later_sig("chief", 30)), 0);
    }
    let letters = world.letters.lock().unwrap();
    let asked = letters
        .iter()
        .filter(|letter| matches!(letter, ToShard::Inspect(..)));
    assert_eq!(asked.count(), 1);
}

#[test]
fn while_the_registry_cannot_be_read_administrators_may_ask() {
    let world = with_chief(|shard, letter| {
        let ToShard::Inspect(request, _) = letter else {
            return shards(shard, letter);
        };
        Some(ToFront::Inspected(request, Err(RegistryError)))
    });
    assert_eq!(code(&world.post(&url_of("chief", &user_sig("chief")), BODY)), 0);
}

#[test]
fn a_body_that_says_that_it_is_too_large_is_not_waited_for() {
    let world = World::new(settings(), shards);
    let target = query_url(&user_sig("administrator"));
    let length = settings().limits.body_bytes_max + 1;
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
