//! The operator's page, as a browser gets it: it tells nothing, and what it asks for is guarded as before.

use super::*;

fn guarded() -> World {
    let mut settings = settings();
    settings.admin_token = Some(TOKEN.into());
    World::new(settings, shards)
}

fn status(response: &str) -> &str {
    response.split(' ').nth(1).unwrap()
}

fn header<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    let head = response.split_once("\r\n\r\n").unwrap().0;
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut values = lines.filter(|(known, _)| *known == name);
    values.next().map(|(_, value)| value)
}

/// The whole answer to a GET with these headers besides a good Host.
fn get(world: &World, path: &str, headers: &str) -> String {
    raw(
        world.admin,
        &format!("GET {path} HTTP/1.0\r\nHost: localhost:9003\r\n{headers}\r\n"),
    )
}

#[test]
fn the_page_needs_no_token_and_what_it_asks_for_does() {
    let world = guarded();
    // What a browser sends for a page that was typed in, or linked to from another.
    for headers in [
        "",
        "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nReferer: https://wiki.example/\r\n",
    ] {
        let page = get(&world, "/", headers);
        assert_eq!(status(&page), "200", "{headers}");
        assert_eq!(header(&page, "content-type"), Some("text/html; charset=utf-8"));
        assert!(page.ends_with("</html>\n"), "{headers}");
    }
    // What its script sends.
    let script = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nReferer: http://localhost:9003/\r\n";
    let token = format!("{script}Authorization: Bearer {TOKEN}\r\n");
    for path in ["/metrics", "/v1/users/online1"] {
        assert_eq!(status(&get(&world, path, script)), "401", "{path}");
        assert_eq!(status(&get(&world, path, &token)), "200", "{path}");
    }
}

#[test]
fn the_page_is_the_same_whatever_the_gateway_knows() {
    let world = guarded();
    let page = |world: &World| get(world, "/", "").split_once("\r\n\r\n").unwrap().1.to_owned();
    let before = page(&world);
    world.counters.lock().unwrap()[1].commits_retrying_now = 2;
    world.serving.end();
    assert_eq!(page(&world), before);
    assert_eq!(page(&World::new(settings(), shards)), before);
}

#[test]
fn the_page_is_of_this_gateway_alone() {
    let world = guarded();
    for headers in [
        "Host: evil.example\r\n",
        "Host: localhost\r\nOrigin: https://evil.example\r\n",
        "Host: localhost\r\nOrigin: null\r\n",
    ] {
        let answer = raw(world.admin, &format!("GET / HTTP/1.0\r\n{headers}\r\n"));
        assert_eq!(status(&answer), "403", "{headers}");
        assert!(!answer.contains("<html"), "{headers}");
    }
}

#[test]
fn a_browser_may_do_little_with_the_page() {
    let page = get(&guarded(), "/", "");
    let policy = header(&page, "content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{part} is missing in {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(header(&page, name), Some(value), "{name}");
    }
}

#[test]
fn a_browser_keeps_the_page_and_no_data() {
    let world = World::new(settings(), shards);
    let page = get(&world, "/", "");
    assert_eq!(header(&page, "cache-control"), Some("no-cache"));
    let tag = header(&page, "etag").unwrap();
    let again = get(&world, "/", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(status(&again), "304");
    assert_eq!(header(&again, "etag"), Some(tag));
    assert!(again.ends_with("\r\n\r\n"), "{again}");
    let zipped = raw(
        world.admin,
        "HEAD / HTTP/1.0\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nIf-None-Match: W/\"x\"\r\n\r\n",
    );
    assert_eq!(header(&zipped, "content-encoding"), Some("gzip"));
    assert_eq!(header(&zipped, "etag"), Some(tag));
    for path in [
        "/metrics",
        "/v1/users/online1",
        "/v1/users/ghost",
        "/nothing",
        "/readyz",
    ] {
        let data = get(&world, path, "");
        assert_eq!(header(&data, "cache-control"), Some("no-store"), "{path}");
        assert_eq!(header(&data, "x-content-type-options"), Some("nosniff"), "{path}");
    }
}
