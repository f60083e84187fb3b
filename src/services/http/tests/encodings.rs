//! Content codings, as clients that ask for them meet them at both listeners.

use flate2::read::GzDecoder;

use super::history::{library, login};
use super::*;
use crate::services::http::server::encoding::BYTES_MIN;

/// An answer whose body need not be text.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value)
    }

    fn length(&self) -> usize {
        self.header("content-length").unwrap().parse().unwrap()
    }

    /// The text of a body that is in gzip, and says so.
    fn unzipped(&self) -> String {
        assert_eq!(self.header("content-encoding"), Some("gzip"), "{}", self.head);
        assert_eq!(self.header("vary"), Some("accept-encoding"), "{}", self.head);
        assert_eq!(self.length(), self.body.len());
        let mut text = String::new();
        GzDecoder::new(&*self.body).read_to_string(&mut text).unwrap();
        text
    }

    /// The text of a body that is in no coding.
    fn plain(&self) -> &str {
        assert_eq!(self.header("content-encoding"), None, "{}", self.head);
        std::str::from_utf8(&self.body).unwrap()
    }
}

const GZIP: &str = "Accept-Encoding: gzip\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

fn ask(address: SocketAddr, method: &str, target: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    let end = response
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .unwrap();
    Answer {
        head: String::from_utf8(response[..end].to_vec()).unwrap(),
        body: response[end + 4..].to_vec(),
    }
}

#[test]
fn metrics_come_in_gzip_to_who_asks_for_it() {
    let world = World::new(settings(), shards);
    // As Prometheus asks.
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1\r\n";
    let answer = ask(world.admin, "GET", "/metrics", &format!("{accept}{GZIP}"), "");
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(kind));
    let text = answer.unzipped();
    assert!(text.starts_with("# HELP ") && text.ends_with('\n'));
    assert!(answer.body.len() * 4 < text.len());
    let answer = ask(world.admin, "GET", "/metrics", accept, "");
    assert_eq!(answer.header("vary"), Some("accept-encoding"));
    assert_eq!(answer.header("content-type"), Some(kind));
    assert!(answer.plain().starts_with("# HELP "));
    let answer = ask(
        world.admin,
        "GET",
        "/metrics",
        "Accept-Encoding: gzip;q=0\r\n",
        "",
    );
    assert!(answer.plain().starts_with("# HELP "));
}

#[test]
fn a_head_tells_what_a_get_would() {
    let library = library();
    (0..50).for_each(|_| library.add("alice", login(Vec::new())));
    for headers in ["", GZIP] {
        let path = "/v1/changes?wait_s=0";
        let [get, head] = ["GET", "HEAD"].map(|method| ask(library.world.admin, method, path, headers, ""));
        assert!(head.body.is_empty() && get.length() == get.body.len());
        for name in [
            "content-length",
            "content-encoding",
            "vary",
            "content-type",
            "holdfast-next",
        ] {
            assert_eq!(head.header(name), get.header(name), "{name} {headers}");
        }
    }
}

#[test]
fn lists_and_the_stream_come_in_gzip_also_to_who_waits() {
    let library = library();
    (0..100).for_each(|_| library.add("alice", login(Vec::new())));
    let page = ask(library.world.admin, "GET", "/v1/changes", GZIP, "");
    assert_eq!(page.unzipped().lines().count(), 100);
    let path = format!(
        "/v1/changes?wait_s=55&after={}",
        page.header("holdfast-next").unwrap()
    );
    let before = library.reads();
    std::thread::scope(|scope| {
        let page = scope.spawn(|| ask(library.world.admin, "GET", &path, GZIP, ""));
        while library.reads() == before {
            std::thread::yield_now();
        }
        library.add("bob", login(vec![(device(), Status::Online); 30]));
        let line: Value = serde_json::from_str(&page.join().unwrap().unzipped()).unwrap();
        assert_eq!((&line["user"], &line["change"]), (&json!("bob"), &json!(1)));
    });
    let empty = ask(
        library.world.admin,
        "GET",
        "/v1/users/alice/changes?after=100",
        GZIP,
        "",
    );
    assert_eq!((empty.status(), empty.plain()), (200, ""));
}

#[test]
fn only_long_answers_of_the_rest_interface_come_in_gzip() {
    let world = World::new(settings(), shards);
    let query = |users: usize, headers: &str| {
        let users: Vec<String> = (0..users).map(|number| format!("online {number}")).collect();
        let body = json!({ "To_Account": users }).to_string();
        ask(world.backend, "POST", &world.target(QUERY), headers, &body)
    };
    let (long, zipped) = (query(500, ""), query(500, GZIP));
    assert_eq!(zipped.unzipped(), long.plain());
    assert!(zipped.body.len() * 4 < long.body.len());
    let (short, also) = (query(5, ""), query(5, GZIP));
    assert!(short.body.len() < BYTES_MIN && short.header("vary").is_none());
    assert_eq!(also.plain(), short.plain());
}

#[test]
fn a_compressed_body_is_refused_and_the_connection_goes_on() {
    let world = World::new(settings(), shards);
    let coded = "Content-Encoding: gzip\r\n";
    let refused = ask(world.backend, "POST", &world.target(KICK), coded, "\u{1f}");
    assert_eq!(refused.status(), 415, "{}", refused.head);
    assert_eq!(refused.header("accept-encoding"), Some("identity"));
    let verdict: Value = serde_json::from_str(refused.plain()).unwrap();
    assert_eq!(verdict["ErrorCode"], 60_003);
    let refused = ask(
        world.admin,
        "POST",
        "/v1/kick",
        &format!("{JSON}{coded}"),
        "\u{1f}",
    );
    assert_eq!(refused.status(), 415, "{}", refused.head);
    assert_eq!(refused.header("accept-encoding"), Some("identity"));
    assert!(
        refused.plain().contains("no Content-Encoding"),
        "{}",
        refused.plain()
    );
    let plain = "Content-Encoding: identity\r\n";
    let done = ask(
        world.backend,
        "POST",
        &world.target(KICK),
        plain,
        r#"{"UserID":"online"}"#,
    );
    assert_eq!(
        serde_json::from_str::<Value>(done.plain()).unwrap()["ErrorCode"],
        0
    );
    let twice = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\n{coded}Content-Length: 1\r\n\r\nxGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        world.target(KICK)
    );
    assert_eq!(raw(world.backend, &twice).matches("HTTP/1.1 ").count(), 2);
}
