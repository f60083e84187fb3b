//! Probes of load balancers and of people, as they come: they show health to anyone, and HEAD wherever GET does.

use super::*;

fn guarded() -> World {
    let mut settings = settings();
    settings.admin_token = Some(TOKEN.into());
    World::new(settings, shards)
}

fn status(response: &str) -> u16 {
    let status = response.split(' ').nth(1);
    status
        .unwrap_or_else(|| panic!("no response: {response:?}"))
        .parse()
        .unwrap()
}

#[test]
fn health_is_told_to_whoever_reaches_the_listener() {
    let world = guarded();
    for page in ["/healthz", "/readyz"] {
        for method in ["GET", "HEAD"] {
            for rest in [
                // HAProxy's `option httpchk` and `http-check send`, kubelet, nginx, AWS, GCP, wget, a browser's page.
                "HTTP/1.0\r\n\r\n",
                "HTTP/1.1\r\nHost: www.example\r\nConnection: close\r\n\r\n",
                "HTTP/1.1\r\nHost: 10.1.2.3:9003\r\nUser-Agent: kube-probe/1.33\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                "HTTP/1.0\r\nHost: backend\r\nConnection: close\r\n\r\n",
                "HTTP/1.1\r\nHost: 10.1.2.3\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n",
                "HTTP/1.1\r\nHost: 10.1.2.3\r\nUser-Agent: GoogleHC/1.0\r\nConnection: Keep-alive\r\n\r\n",
                "HTTP/1.1\r\nUser-Agent: Wget/1.25.0\r\nAccept: */*\r\nAccept-Encoding: identity\r\nHost: x\r\n\r\n",
                "HTTP/1.1\r\nHost: evil.example\r\nOrigin: https://evil.example\r\n\r\n",
            ] {
                let response = raw(world.admin, &format!("{method} {page} {rest}"));
                assert_eq!(status(&response), 200, "{method} {page} {rest}: {response}");
                let body = response.split_once("\r\n\r\n").unwrap().1;
                assert_eq!(body.is_empty(), method == "HEAD", "{method} {page}: {response}");
            }
        }
    }
    world.serving.end();
    assert_eq!(status(&raw(world.admin, "HEAD /readyz HTTP/1.0\r\n\r\n")), 503);
    assert_eq!(status(&raw(world.admin, "GET /metrics HTTP/1.0\r\n\r\n")), 403);
}

#[test]
fn head_has_the_headers_of_get() {
    let world = World::new(settings(), shards);
    let target = world.target(QUERY);
    for (address, target) in [
        (world.admin, "/"),
        (world.admin, "/healthz"),
        (world.admin, "/v1/users/online1"),
        (world.admin, "/v1/users/ghost"),
        (world.admin, "/nothing"),
        (world.backend, "/"),
        (world.backend, &target),
    ] {
        let head = |method: &str| {
            let request = format!("{method} {target} HTTP/1.0\r\nHost: localhost\r\n\r\n");
            let response = raw(address, &request);
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            assert_eq!(body.is_empty(), method == "HEAD", "{response}");
            let lines = head.lines().filter(|line| !line.starts_with("date:"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(head("HEAD"), head("GET"), "{target}");
    }
}

#[test]
fn other_methods_are_refused_with_those_that_do() {
    let world = guarded();
    let check = |address: SocketAddr, first_line: &str, allow: &str| {
        let response = raw(address, &format!("{first_line}\r\n\r\n"));
        assert_eq!(status(&response), 405, "{first_line}: {response}");
        let line = format!("\r\nallow: {allow}\r\n");
        assert!(response.contains(&line), "{first_line}: {response}");
    };
    for page in ["/", "/healthz", "/readyz", "/metrics", "/v1/users/a"] {
        for method in ["OPTIONS", "POST", "PUT", "DELETE", "TRACE"] {
            check(world.admin, &format!("{method} {page} HTTP/1.0"), "GET, HEAD");
        }
    }
    check(world.admin, "OPTIONS /v1/kick HTTP/1.1\r\nHost: x", "POST");
    check(world.admin, "HEAD /v1/kick HTTP/1.0", "POST");
    for anything in [
        "OPTIONS /nothing HTTP/1.0",
        "OPTIONS * HTTP/1.1\r\nHost: x",
        "CONNECT x:443 HTTP/1.1\r\nHost: x:443",
    ] {
        check(world.admin, anything, "GET, HEAD, POST");
        check(world.backend, anything, "POST, GET, HEAD");
    }
    check(world.backend, &format!("PUT {QUERY} HTTP/1.0"), "POST, GET, HEAD");
}

/// The status of a query that is sent to this URL, and with this Host.
fn status_of(world: &World, url: &str, host: &str) -> u16 {
    let (target, body) = (world.target(QUERY), r#"{"To_Account":["off"]}"#);
    let length = body.len();
    let rest = format!("{host}Content-Length: {length}\r\n\r\n{body}");
    status(&raw(
        world.backend,
        &format!("POST {url}{target} HTTP/1.0\r\n{rest}"),
    ))
}

#[test]
fn a_url_as_to_a_proxy_is_taken_if_it_names_the_host_that_the_header_names() {
    const GOOD: [(&str, &str); 5] = [
        ("http://im.example.com:9002", "Host: im.example.com:9002\r\n"),
        ("http://im.example.com", "Host: IM.example.com:80\r\n"),
        ("http://[2001:db8::1]:9002", "Host: [2001:db8::1]:9002\r\n"),
        ("http://im.example.com:9002", ""),
        ("", "Host: anything.example\r\n"),
    ];
    const BAD: [(&str, &str); 3] = [
        ("http://im.example.com:9002", "Host: im.example.com\r\n"),
        ("http://other.example", "Host: im.example.com\r\n"),
        ("http://other.example", "Host: \u{e4}\r\n"),
    ];
    let world = World::new(settings(), shards);
    for (url, host) in GOOD {
        assert_eq!(status_of(&world, url, host), 200, "{url} {host}");
    }
    for (url, host) in BAD {
        assert_eq!(status_of(&world, url, host), 421, "{url} {host}");
    }
    // With the secret that everyone knows only what is known to be ours.
    let mut open = settings();
    open.keys[0].secret = usersig::DEVELOPMENT_SECRET.into();
    let open = World::new(open, shards);
    for (url, host) in GOOD.into_iter().filter(|(url, _)| !url.is_empty()) {
        assert_eq!(status_of(&open, url, host), 421, "{url} {host}");
    }
    for world in [&world, &open] {
        let (_, metrics) = world.get("/metrics", "");
        let mut counted = metrics
            .lines()
            .filter(|line| line.starts_with("holdfast_http_refused_total{listener=\"http\""));
        assert!(counted.all(|line| line.ends_with(" 0")), "{metrics}");
    }
}

#[test]
fn neither_listener_looks_like_a_proxy() {
    let world = World::new(settings(), shards);
    let target = world.target(QUERY);
    let body = r#"{"To_Account":["off"]}"#;
    let ask = |address: SocketAddr, method: &str, target: &str| {
        let rest = format!(
            "HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        status(&raw(address, &format!("{method} {target} {rest}")))
    };
    for other in ["other.example", "10.1.2.3:80", "localhost.other.example"] {
        assert_eq!(
            ask(world.backend, "POST", &format!("http://{other}{target}")),
            421,
            "{other}"
        );
        assert_eq!(
            ask(world.admin, "GET", &format!("http://{other}/metrics")),
            403,
            "{other}"
        );
    }
    assert!(world.requests.lock().unwrap().is_empty());
    assert_eq!(
        ask(
            world.backend,
            "POST",
            &format!("http://{}{target}", world.backend)
        ),
        200
    );
    assert_eq!(ask(world.admin, "GET", "http://localhost/metrics"), 200);
}
