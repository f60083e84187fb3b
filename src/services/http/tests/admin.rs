//! The operator's pages, and who may see them.

use super::*;

#[test]
fn admin_tells_health_readiness_and_metrics() {
    let world = World::new(settings(), shards);
    assert_eq!(world.get("/healthz", ""), (200, "ok\n".to_owned()));
    assert_eq!(world.get("/readyz", ""), (200, "ready\n".to_owned()));
    world.counters.lock().unwrap()[1].commits_retrying_now = 2;
    assert_eq!(world.get("/readyz", "").0, 503);
    let (_, metrics) = world.get("/metrics", "");
    assert!(metrics.contains("\nholdfast_commits_retrying_now 2\n"));
    assert!(metrics.contains("\nholdfast_ready_now 0\n"));
    world.counters.lock().unwrap()[1].commits_retrying_now = 0;
    assert!(world.get("/metrics", "").1.contains("\nholdfast_ready_now 1\n"));
    world.serving.end();
    assert_eq!(world.get("/readyz", "").0, 503);
    assert_eq!(world.get("/nothing", "").0, 404);
}

#[test]
fn admin_shows_a_user() {
    let world = World::new(settings(), shards);
    let (status, body) = world.get("/v1/users/online%20%2f+", "");
    assert_eq!(status, 200, "{body}");
    let device = json!({"platform": "iPhone", "instance": u64::MAX.to_string(), "status": "Online", "session": 4,
        "login_at": "2023-11-14T22:13:20.000Z", "heard_at": "2023-11-14T22:13:21.500Z", "until": null, "address": "127.0.0.1",
        "transport": "tcp", "sdk_version": "1.2", "app_version": "other", "background": true});
    let expected =
        json!({"user": "online /+", "status": "Online", "change": 5, "kicked_at": null, "devices": [device]});
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    assert_eq!(world.get("/v1/users/ghost", "").0, 404);
    assert_eq!(world.get("/v1/users/%00", "").0, 400);
}

#[test]
fn admin_refuses_strangers() {
    let world = World::new(settings(), shards);
    let check = |method: &str, headers: &str, status: u16| {
        assert_eq!(
            http(world.admin, method, "/metrics", headers, "").0,
            status,
            "{method} {headers}"
        );
    };
    for host in ["localhost:9003", "127.0.0.1", "[::1]:9003", "Gateway.Example:1"] {
        check("GET", &format!("Host: {host}\r\n"), 200);
        check("GET", &format!("Host: {host}\r\nOrigin: http://{host}\r\n"), 200);
    }
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", ""] {
        check("GET", &format!("Host: {host}\r\n"), 403);
        check("GET", &format!("Origin: https://{host}\r\n"), 403);
    }
    check("GET", "Origin: null\r\n", 403);
    check("GET", "Sec-Fetch-Site: cross-site\r\n", 200);
    let kick = |headers: &str| http(world.admin, "POST", "/v1/kick", headers, "{}").0;
    assert_eq!(kick(""), 415);
    assert_eq!(kick("Content-Type: text/plain\r\n"), 415);
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    assert_eq!(kick(json), 400);
    assert_eq!(kick(&format!("{json}Sec-Fetch-Site: same-origin\r\n")), 400);
    assert_eq!(kick(&format!("{json}Sec-Fetch-Site: cross-site\r\n")), 403);
}

#[test]
fn admin_asks_for_its_token() {
    let mut settings = settings();
    settings.admin_token = Some(TOKEN.into());
    let world = World::new(settings, shards);
    for (headers, status) in [
        (String::new(), 401),
        ("Authorization: Bearer x\r\n".to_owned(), 401),
        (format!("Authorization: Bearer {TOKEN}x\r\n"), 401),
        (format!("Authorization: Basic {TOKEN}\r\n"), 401),
        (format!("Authorization: Bearer\r\nX: {TOKEN}\r\n"), 401),
        (format!("Authorization: Bearer{TOKEN}\r\n"), 401),
        (format!("Authorization: Bearer {TOKEN}\r\n"), 200),
        (format!("Authorization: bearer {TOKEN}\r\n"), 200),
        (format!("Authorization:BEARER   {TOKEN} \r\n"), 200),
    ] {
        assert_eq!(world.get("/metrics", &headers).0, status, "{headers}");
    }
    let refusal = raw(world.admin, "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert!(refusal.contains("\r\nwww-authenticate: Bearer "), "{refusal}");
}

#[test]
fn who_guesses_the_token_is_slowed_down_and_its_address_is_not_locked_out() {
    let mut settings = settings();
    settings.admin_token = Some(TOKEN.into());
    settings.limits.refusal_delay = Duration::from_millis(1);
    let world = World::new(settings, shards);
    let guess = |number: u32| {
        world
            .get("/metrics", &format!("Authorization: Bearer {number}\r\n"))
            .0
    };
    for number in 0..throttle::FAILURES_MAX {
        assert_eq!(guess(number), 401);
    }
    assert_eq!(guess(0), 429);
    let refusal = raw(world.admin, "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert!(refusal.contains("\r\nretry-after: 60\r\n"), "{refusal}");
    assert_eq!(
        world
            .get("/metrics", &format!("Authorization: Bearer {TOKEN}\r\n"))
            .0,
        200
    );
    assert_eq!(world.get("/healthz", "").0, 200);
}
