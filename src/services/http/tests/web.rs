//! What browsers get, and that they get nothing else.

use super::*;

fn get(world: &World, path: &str, headers: &str) -> String {
    raw(world.web, &format!("GET {path} HTTP/1.0\r\n{headers}\r\n"))
}

/// The value of a header.
fn header<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    let head = response.split("\r\n\r\n").next().unwrap();
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value))
}

#[test]
fn browsers_get_the_client_and_its_page() {
    let world = World::new(settings(), shards);
    for (path, content_type, part) in [
        (
            "/",
            "text/html; charset=utf-8",
            "<script type=\"module\" src=\"/demo.js\">",
        ),
        (
            "/demo.css",
            "text/css; charset=utf-8",
            "prefers-color-scheme: dark",
        ),
        (
            "/demo.js",
            "text/javascript; charset=utf-8",
            "from \"/client.js\"",
        ),
        ("/client.js", "text/javascript; charset=utf-8", "connect"),
        (
            "/client.d.ts?x=1",
            "application/typescript; charset=utf-8",
            "export function connect",
        ),
    ] {
        let response = get(&world, path, "");
        assert!(
            response.starts_with("HTTP/1.0 200") && response.contains(part),
            "{path}: {response}"
        );
        assert_eq!(header(&response, "content-type"), Some(content_type));
        assert_eq!(header(&response, "x-content-type-options"), Some("nosniff"));
        assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
        let policy = header(&response, "content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'; script-src 'self'"),
            "{policy}"
        );
    }
}

#[test]
fn what_a_browser_has_is_not_sent_again() {
    let world = World::new(settings(), shards);
    let first = get(&world, "/client.js", "");
    let tag = header(&first, "etag").unwrap();
    assert_ne!(header(&get(&world, "/demo.js", ""), "etag"), Some(tag));
    for known in [tag, "*", &format!("\"other\", {tag}")] {
        let again = get(&world, "/client.js", &format!("If-None-Match: {known}\r\n"));
        assert!(
            again.starts_with("HTTP/1.0 304") && again.ends_with("\r\n\r\n"),
            "{known}: {again}"
        );
        assert_eq!(header(&again, "etag"), Some(tag));
    }
    let other = get(&world, "/client.js", "If-None-Match: W/\"0123456789abcdef\"\r\n");
    assert!(other.starts_with("HTTP/1.0 200"), "{other}");
    let compressed = raw(
        world.web,
        "HEAD /client.js HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n",
    );
    assert_eq!(header(&compressed, "content-encoding"), Some("gzip"));
}

#[test]
fn browsers_get_nothing_else() {
    let world = World::new(settings(), shards);
    for path in [
        "/healthz",
        "/metrics",
        "/v1/users",
        "/client.js/",
        "//",
        "/../client.js",
    ] {
        let response = get(&world, path, "");
        assert!(response.starts_with("HTTP/1.0 404"), "{path}: {response}");
        assert_eq!(
            header(&response, "content-type"),
            None,
            "nothing that a browser would show"
        );
    }
    let response = raw(world.web, "POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
    assert!(response.starts_with("HTTP/1.0 405"), "{response}");
    assert_eq!(header(&response, "allow"), Some("GET, HEAD"));
    assert!(world.requests.lock().unwrap().is_empty());
}
