//! Requests, and what is refused.

use std::net::Ipv4Addr;

use super::*;

const REQUEST: &str = "GET /chat?x=1 HTTP/1.1\r\nHost: gateway.example\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: https://page.example\r\n\
    X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.7, 10.0.0.2\r\n\r\n";
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn judge(request: &[u8], origins: &[&str]) -> Result<Option<Upgrade>, UpgradeFault> {
    let rules = UpgradeRules {
        path: "/chat".to_owned(),
        origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
    };
    let context = UpgradeContext {
        rules: &rules,
        peer: PROXY,
        is_trusted: &|address| address.to_string().starts_with("10."),
    };
    upgrade(request, context)
}

/// The request with a change.
fn check(old: &str, new: &str, expected: Result<(), UpgradeFault>) {
    assert!(REQUEST.contains(old), "{old}");
    let judged = judge(REQUEST.replace(old, new).as_bytes(), &["https://page.example"]);
    let judged = judged.map(|upgrade| assert!(upgrade.is_some(), "the request is whole"));
    assert_eq!(judged, expected, "{old:?} as {new:?}");
}

#[test]
fn a_request_is_granted_once_it_is_whole() {
    for end in 0..REQUEST.len() {
        assert_eq!(judge(&REQUEST.as_bytes()[..end], &[]), Ok(None), "{end}");
    }
    let behind = [REQUEST.as_bytes(), &[0x82]].concat();
    let expected = Upgrade {
        length: REQUEST.len(),
        answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
            .to_owned(),
        client: Ipv4Addr::new(198, 51, 100, 7).into(),
    };
    assert_eq!(judge(&behind, &[]), Ok(Some(expected)));
}

#[test]
fn what_is_no_request_for_this_listener_is_refused() {
    let last = "\r\n\r\n";
    check(last, last, Ok(()));
    check("GET", "POST", Err(UpgradeFault::NoUpgrade));
    check("HTTP/1.1", "HTTP/1.0", Err(UpgradeFault::NoUpgrade));
    check("/chat?x=1", "/chat?x=http://a/", Ok(()));
    check("/chat?x=1", "http://gateway.example/chat?x=1", Ok(()));
    check(
        "/chat?x=1",
        "http://gateway.example",
        Err(UpgradeFault::WrongPath),
    );
    check("/chat?x=1", "/", Err(UpgradeFault::WrongPath));
    check("Upgrade: WebSocket\r\n", "", Err(UpgradeFault::NoUpgrade));
    check("Upgrade: WebSocket", "Upgrade: h2c, websocket", Ok(()));
    check("keep-alive, Upgrade", "keep-alive", Err(UpgradeFault::NoUpgrade));
    check("Version: 13", "Version: 8", Err(UpgradeFault::WrongVersion));
    check(
        "Sec-WebSocket-Version: 13\r\n",
        "",
        Err(UpgradeFault::WrongVersion),
    );
    check("Host: gateway.example\r\n", "", Err(UpgradeFault::BadRequest));
    check(
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Kay",
        Err(UpgradeFault::BadRequest),
    );
    check("dGhlIHNhbXBsZSBub25jZQ==", "dGhl", Err(UpgradeFault::BadRequest));
    check(
        last,
        "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        Err(UpgradeFault::BadRequest),
    );
    check("HTTP/1.1", "HTTP/1.", Err(UpgradeFault::BadRequest));
    check("Host:", "Ho st:", Err(UpgradeFault::BadRequest));
    check(
        "https://page.example",
        "https://other.example",
        Err(UpgradeFault::WrongOrigin),
    );
    check(
        "https://page.example",
        "https://page.example.evil",
        Err(UpgradeFault::WrongOrigin),
    );
    check("https://page", "HTTPS://Page", Ok(()));
    check("Origin: https://page.example\r\n", "", Ok(()));
    check(
        last,
        "\r\nOrigin: https://other.example\r\n\r\n",
        Err(UpgradeFault::WrongOrigin),
    );
}

#[test]
fn a_request_has_a_limit_of_bytes_and_of_headers() {
    let with = |more: &str| REQUEST.replace("\r\n\r\n", &format!("\r\n{more}\r\n"));
    let room = REQUEST_BYTES_MAX - REQUEST.len() - "Cookie: \r\n".len();
    let full = with(&format!("Cookie: {}\r\n", "x".repeat(room)));
    assert!(judge(full.as_bytes(), &[]).is_ok_and(|upgrade| upgrade.is_some()));
    let larger = with(&format!("Cookie: {}\r\n", "x".repeat(room + 1)));
    assert_eq!(judge(larger.as_bytes(), &[]), Err(UpgradeFault::RequestTooLarge));
    assert_eq!(judge(&larger.as_bytes()[..REQUEST_BYTES_MAX - 1], &[]), Ok(None));
    assert_eq!(
        judge(&larger.as_bytes()[..REQUEST_BYTES_MAX], &[]),
        Err(UpgradeFault::RequestTooLarge)
    );
    let own = REQUEST.matches(": ").count();
    let most = with(&"A: b\r\n".repeat(REQUEST_HEADERS_MAX - own));
    assert!(judge(most.as_bytes(), &[]).is_ok_and(|upgrade| upgrade.is_some()));
    let more = with(&"A: b\r\n".repeat(REQUEST_HEADERS_MAX - own + 1));
    assert_eq!(judge(more.as_bytes(), &[]), Err(UpgradeFault::RequestTooLarge));
}

#[test]
fn the_subprotocol_is_named_to_those_who_offer_it() {
    let named = |offer: &str| {
        let more = format!("\r\nSec-WebSocket-Protocol: {offer}\r\n\r\n");
        let judged = judge(REQUEST.replace("\r\n\r\n", &more).as_bytes(), &[]);
        judged
            .unwrap()
            .unwrap()
            .answer
            .contains("Sec-WebSocket-Protocol: holdfast.v1\r\n")
    };
    assert!(named("holdfast.v1"));
    assert!(named("mqtt,holdfast.v1"));
    assert!(!named("mqtt, holdfast.v2"));
}

#[test]
fn bytes_of_other_protocols_are_known_by_their_first_ones() {
    let check = |bytes: &[u8], expected| assert_eq!(judge(bytes, &[]), Err(expected), "{bytes:?}");
    check(&[22, 3, 1, 2, 0, 1], UpgradeFault::TlsBytes);
    check(&[2, 0x12, 0], UpgradeFault::NotHttp);
    check(b"\x8c\x02\x0a\x89\x02", UpgradeFault::NotHttp);
    check(b"A\x0a\x3f\x08\x01", UpgradeFault::NotHttp);
    check(b"GET / HTTX", UpgradeFault::BadRequest);
}

#[test]
fn a_refusal_is_a_whole_answer() {
    assert_eq!(UpgradeFault::TlsBytes.answer(), TLS_ANSWER, "a fatal alert");
    for (fault, status) in [
        (UpgradeFault::NotHttp, "400 Bad Request\r\n"),
        (UpgradeFault::BadRequest, "400 Bad Request\r\n"),
        (
            UpgradeFault::RequestTooLarge,
            "431 Request Header Fields Too Large\r\n",
        ),
        (UpgradeFault::WrongPath, "404 Not Found\r\n"),
        (
            UpgradeFault::NoUpgrade,
            "426 Upgrade Required\r\nUpgrade: websocket\r\n",
        ),
        (
            UpgradeFault::WrongVersion,
            "426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        ),
        (UpgradeFault::WrongOrigin, "403 Forbidden\r\n"),
    ] {
        let answer = String::from_utf8(fault.answer()).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}Connection: close")),
            "{answer}"
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.ends_with(&format!("Content-Length: {}", body.len())),
            "{answer}"
        );
    }
}
