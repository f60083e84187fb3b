//! What pages in a browser could have the backend's listener do while its secret is the one that everyone knows.

use super::*;
use crate::protocol::usersig::DEVELOPMENT_SECRET;

const DELETE: &str = "/v4/im_open_login_svc/account_delete";

/// The status of a deletion that is sent with these headers, signed with the world's secret.
fn delete(secret: &str, headers: &str) -> u16 {
    let mut settings = settings();
    settings.keys[0].secret = secret.into();
    let world = World::new(settings, shards);
    let sig = usersig::sign(Clock::start().now().wall, APP, secret, &user("administrator"), 60);
    let target =
        format!("{DELETE}?sdkappid={APP}&identifier=administrator&usersig={sig}&random=9&contenttype=json");
    let body = r#"{"DeleteItem":[{"UserID":"a"}]}"#;
    let length = body.len();
    let response = raw(
        world.backend,
        &format!("POST {target} HTTP/1.0\r\n{headers}Content-Length: {length}\r\n\r\n{body}"),
    );
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    let deleted = world.requests.lock().unwrap().len();
    assert_eq!(deleted, usize::from(status == 200), "{headers}: {response}");
    assert_eq!(response.contains("\"ErrorCode\":0"), status == 200, "{response}");
    status
}

const FOREIGN: [&str; 7] = [
    "Host: evil.example\r\nContent-Type: application/json\r\n",
    "Host: 127.0.0.1:9002\r\nContent-Type: text/plain;charset=UTF-8\r\nOrigin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n",
    "Host: 127.0.0.1:9002\r\nContent-Type: application/json\r\nOrigin: null\r\n",
    "Host: 127.0.0.1:9002\r\nContent-Type: application/json\r\nSec-Fetch-Site: cross-site\r\n",
    "Host: 127.0.0.1:9002\r\nContent-Type: text/plain\r\n",
    "Host: 127.0.0.1:9002\r\nContent-Type: multipart/form-data; boundary=x\r\n",
    // The page's own name resolves to this address.
    "Host: evil.example\r\nOrigin: http://evil.example\r\nContent-Type: application/json\r\nSec-Fetch-Site: same-origin\r\n",
];

const OURS: [&str; 5] = [
    "",
    "Host: 127.0.0.1:9002\r\n",
    "Host: localhost:9002\r\nContent-Type: application/json\r\n",
    // As `curl -d` and many SDKs send it.
    "Host: 127.0.0.1:9002\r\nContent-Type: application/x-www-form-urlencoded\r\n",
    "Host: [::1]:9002\r\nOrigin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\nContent-Type: application/json\r\n",
];

#[test]
fn with_the_development_secret_a_foreign_page_can_do_nothing() {
    for headers in FOREIGN {
        assert_eq!(delete(DEVELOPMENT_SECRET, headers), 403, "{headers}");
    }
    for headers in OURS {
        assert_eq!(delete(DEVELOPMENT_SECRET, headers), 200, "{headers}");
    }
}

#[test]
fn with_a_secret_of_ones_own_the_usersig_is_the_guard() {
    for headers in FOREIGN.iter().chain(&OURS) {
        assert_eq!(delete(SECRET, headers), 200, "{headers}");
    }
}
