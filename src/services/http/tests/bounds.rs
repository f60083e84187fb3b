//! What is bounded: sizes, times, connections, open requests, and the stop.

use super::*;

#[test]
fn bodies_have_a_size() {
    let world = World::new(settings(), shards);
    let body = |padding: usize| format!("{{\"To_Account\":[\"off\"],\"x\":\"{}\"}}", "x".repeat(padding));
    assert_eq!(world.ask(QUERY, &body(sizes::QUERY - 100))["ErrorCode"], 0);
    assert_eq!(world.ask(QUERY, &body(sizes::QUERY))["ErrorCode"], 60_003);
}

#[test]
fn bodies_under_way_have_a_size_together() {
    let (asked, was_asked) = std::sync::mpsc::channel();
    let mut settings = settings();
    settings.limits.bodies_bytes_max = sizes::QUERY;
    settings.limits.body_read_max = Duration::from_millis(50);
    settings.limits.answer_within = Duration::from_secs(60);
    let world = World::new(settings, move |_, request| {
        asked.send(request).unwrap();
        None
    });
    let body = r#"{"To_Account":["off1"]}"#;
    let ask = || {
        let mut stream = TcpStream::connect(world.backend).unwrap();
        let (target, length) = (world.target(QUERY), body.len());
        // It does not say how long it is, so it has room for as much as it may have.
        write!(
            stream,
            "POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
        )
        .unwrap();
        serde_json::from_str::<Value>(&read_response(&mut stream).1).unwrap()
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(ask);
        let request = was_asked.recv().unwrap();
        assert_eq!(ask()["ErrorCode"], 60_018);
        world
            .replies
            .send(shards(user("off1").home(SHARDS), request).unwrap())
            .unwrap();
        assert_eq!(first.join().unwrap()["ErrorCode"], 0);
    });
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

/// Connections that say nothing.
fn idle(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(address).unwrap()).collect()
}

#[test]
fn who_says_nothing_gives_way_to_who_asks() {
    let mut settings = settings();
    settings.limits.connections_max = 3;
    settings.limits.admin_connections_max = 3;
    settings.limits.head_read_max = Duration::from_secs(3_600);
    let world = World::new(settings, shards);
    let mut silent = idle(world.backend, 20);
    let mut at_admin = idle(world.admin, 20);
    assert_eq!(world.ask(QUERY, r#"{"To_Account":["off"]}"#)["ErrorCode"], 0);
    assert_eq!(world.get("/healthz", "").0, 200);
    assert_eq!(silent[0].read(&mut [0]).unwrap(), 0, "the oldest was ended");
    assert_eq!(at_admin[0].read(&mut [0]).unwrap(), 0, "the oldest was ended");
}

#[test]
fn who_asked_and_is_silent_gives_way_too() {
    let mut settings = settings();
    settings.limits.connections_max = 1;
    let world = World::new(settings, shards);
    let mut first = TcpStream::connect(world.backend).unwrap();
    let body = r#"{"To_Account":["off"]}"#;
    let (target, length) = (world.target(QUERY), body.len());
    write!(
        first,
        "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    first.read_exact(&mut [0]).unwrap();
    assert_eq!(world.ask(QUERY, body)["ErrorCode"], 0);
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"]}"), "it got its answer before");
}

#[test]
fn an_answer_that_is_never_taken_ends_its_connection() {
    let mut settings = settings();
    settings.limits.answer_taken_max = Duration::from_millis(50);
    settings.limits.write_stall_max = Duration::from_secs(3_600);
    let world = World::new(settings, shards);
    let mut deaf = TcpStream::connect(world.admin).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // Until the system takes no more of what it would be told.
    deaf.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    while deaf.write_all(request.as_bytes()).is_ok() {}
    while !world
        .get("/metrics", "")
        .1
        .contains("connections_now{listener=\"admin\"} 1\n")
    {
        std::thread::yield_now();
    }
}

#[test]
fn a_client_that_closes_its_half_is_answered() {
    let (asked, was_asked) = std::sync::mpsc::channel();
    let world = World::new(settings(), move |_, request| {
        asked.send(request).unwrap();
        None
    });
    let body = r#"{"To_Account":["off1"]}"#;
    let mut stream = TcpStream::connect(world.backend).unwrap();
    let (target, length) = (world.target(QUERY), body.len());
    write!(
        stream,
        "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let request = was_asked
        .recv_timeout(Duration::from_secs(60))
        .expect("the request is worked on");
    world
        .replies
        .send(shards(user("off1").home(SHARDS), request).unwrap())
        .unwrap();
    let (status, body) = read_response(&mut stream);
    assert_eq!((status, body.contains("Offline")), (200, true), "{body}");
}

/// Shards that answer nothing but keep the requests.
fn silence(_: ShardId, _: ToShard) -> Option<ToHttp> {
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
    let request = world.requests.lock().unwrap().pop().unwrap();
    let answer = shards(user("off1").home(SHARDS), request).unwrap();
    world.replies.send(answer).unwrap();
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
    let world = World::new(settings, |shard, request| {
        let is_kick = matches!(request, ToShard::Kick(..));
        if is_kick { None } else { shards(shard, request) }
    });
    let kick = || world.ask(KICK, r#"{"UserID":"online1"}"#)["ErrorCode"].as_u64();
    assert_eq!([kick(), kick(), kick()], [60_008, 60_008, 60_018].map(Some));
    assert_eq!(world.ask(QUERY, r#"{"To_Account":["off1"]}"#)["ErrorCode"], 0);
}

#[test]
fn an_open_request_is_answered_at_the_stop() {
    let (asked, was_asked) = std::sync::mpsc::channel();
    let mut world = World::new(settings(), move |_, request| {
        asked.send(request).unwrap();
        None
    });
    let (server, replies) = (world.server.take().unwrap(), world.replies.clone());
    std::thread::scope(|scope| {
        let reply = scope.spawn(|| world.ask(KICK, r#"{"UserID":"alice"}"#));
        let request = was_asked.recv().unwrap();
        let stopped = scope.spawn(|| server.stop(STOP_WITHIN));
        while TcpStream::connect(world.backend).is_ok() {
            std::thread::yield_now();
        }
        replies.send(shards(ShardId(0), request).unwrap()).unwrap();
        assert_eq!(reply.join().unwrap()["ErrorCode"], 0);
        stopped.join().unwrap().unwrap();
    });
}

#[test]
fn a_request_that_is_never_answered_does_not_hold_the_stop() {
    let (asked, was_asked) = std::sync::mpsc::channel();
    let mut settings = settings();
    settings.limits.answer_within = Duration::from_secs(3_600);
    let mut world = World::new(settings, move |_, request| {
        asked.send(request).unwrap();
        None
    });
    let server = world.server.take().unwrap();
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
    server.stop(Duration::from_millis(50)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed without an answer");
}
