//! What is bounded: sizes, times, connections, open requests, and the stop.

use super::*;

#[test]
fn bodies_have_a_size() {
    let mut settings = settings();
    settings.limits.body_bytes_max = 1_000;
    let world = World::new(settings, shards);
    let body = |padding: usize| format!("{{\"To_Account\":[\"off\"],\"x\":\"{}\"}}", "x".repeat(padding));
    assert_eq!(world.ask(QUERY, &body(900))["ErrorCode"], 0);
    assert_eq!(world.ask(QUERY, &body(1_001))["ErrorCode"], 60_003);
}

#[test]
fn heads_have_a_size() {
    let world = World::new(settings(), shards);
    let headers = format!("X: {}\r\n", "x".repeat(Limits::default().head_bytes_max));
    assert_eq!(http(world.backend, "POST", QUERY, &headers, "").0, 431);
}

#[test]
fn silent_clients_are_closed() {
    let mut settings = settings();
    settings.limits.head_read_max = Duration::from_millis(50);
    settings.limits.body_read_max = Duration::from_millis(50);
    let world = World::new(settings, shards);
    let mut silent = TcpStream::connect(world.backend).unwrap();
    silent.write_all(b"POST /v4").unwrap();
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).unwrap();
    let mut slow = TcpStream::connect(world.backend).unwrap();
    let target = format!(
        "{QUERY}?sdkappid={APP}&identifier=administrator&usersig={}",
        user_sig("administrator")
    );
    write!(
        slow,
        "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{"
    )
    .unwrap();
    let (status, body) = read_response(&mut slow);
    assert_eq!((status, body.contains("60008")), (200, true), "{body}");
}

#[test]
fn accepting_pauses_when_all_places_are_taken() {
    let mut settings = settings();
    settings.limits.connections_max = 1;
    settings.limits.head_read_max = Duration::from_secs(3_600);
    let world = World::new(settings, shards);
    let mut first = TcpStream::connect(world.backend).unwrap();
    first
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).unwrap();
    let mut second = TcpStream::connect(world.backend).unwrap();
    second
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    second.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(
        second.read(&mut byte).is_err(),
        "served although the only place is taken"
    );
    drop(first);
    second.set_read_timeout(None).unwrap();
    assert_eq!(read_response(&mut second).0, 200);
}

/// Shards that answer nothing but keep the letters.
fn silence(_: ShardId, _: ToShard) -> Option<ToFront> {
    None
}

#[test]
fn an_open_request_keeps_its_place_until_it_is_answered() {
    let mut settings = settings();
    settings.limits.in_flight_max = 1;
    settings.limits.answer_within = Duration::from_millis(20);
    let world = World::new(settings, silence);
    let body = r#"{"To_Account":["off1"]}"#;
    assert_eq!(world.ask(QUERY, body)["ErrorCode"], 60_008);
    assert_eq!(world.ask(QUERY, body)["ErrorCode"], 60_018);
    let letter = world.letters.lock().unwrap().pop().unwrap();
    let answer = shards(user("off1").home(SHARDS), letter).unwrap();
    world.door.send(answer);
    // The place is free as soon as the answer was taken in.
    while world.ask(QUERY, body)["ErrorCode"] != 60_008 {
        std::thread::yield_now();
    }
}

#[test]
fn kicks_that_cannot_be_recorded_leave_places_for_queries() {
    let mut settings = settings();
    settings.limits.in_flight_max = 4;
    settings.limits.answer_within = Duration::from_millis(20);
    let world = World::new(settings, |shard, letter| {
        let is_kick = matches!(letter, ToShard::Kick(..));
        if is_kick { None } else { shards(shard, letter) }
    });
    let kick = || world.ask(KICK, r#"{"UserID":"online1"}"#)["ErrorCode"].as_u64();
    assert_eq!([kick(), kick(), kick()], [60_008, 60_008, 60_018].map(Some));
    assert_eq!(world.ask(QUERY, r#"{"To_Account":["off1"]}"#)["ErrorCode"], 0);
}

#[test]
fn an_open_request_is_answered_at_the_stop() {
    let (asked, was_asked) = std::sync::mpsc::channel();
    let mut world = World::new(settings(), move |_, letter| {
        asked.send(letter).unwrap();
        None
    });
    let (front, door) = (world.front.take().unwrap(), world.door.clone());
    std::thread::scope(|scope| {
        let reply = scope.spawn(|| world.ask(KICK, r#"{"UserID":"alice"}"#));
        let letter = was_asked.recv().unwrap();
        let stopped = scope.spawn(|| front.stop(STOP_WITHIN));
        while TcpStream::connect(world.backend).is_ok() {
            std::thread::yield_now();
        }
        door.send(shards(ShardId(0), letter).unwrap());
        assert_eq!(reply.join().unwrap()["ErrorCode"], 0);
        stopped.join().unwrap().unwrap();
    });
}

#[test]
fn a_request_that_is_never_answered_does_not_hold_the_stop() {
    let (asked, was_asked) = std::sync::mpsc::channel();
    let mut settings = settings();
    settings.limits.answer_within = Duration::from_secs(3_600);
    let mut world = World::new(settings, move |_, letter| {
        asked.send(letter).unwrap();
        None
    });
    let front = world.front.take().unwrap();
    let mut stream = TcpStream::connect(world.backend).unwrap();
    let sig = user_sig("administrator");
    let body = r#"{"UserID":"alice"}"#;
    write!(
        stream,
        "POST {KICK}?sdkappid={APP}&identifier=administrator&usersig={sig}&random=9&contenttype=json HTTP/1.1\r\n\
         Host: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    was_asked.recv().unwrap();
    front.stop(Duration::from_millis(50)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed without an answer");
}
