//! Status queries of 500 accounts as the backend sends them, all of whose users are PushOnline, on one device each.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use crate::support::gateway::SDK_APP_ID;

pub const BATCH: usize = 500;
/// What an account's status looks like: once for the account, and with details once more for its only device.
const ANSWERED: &[u8] = b"\"Status\":\"PushOnline\"";
/// How much of a wrong answer is shown.
const SHOWN_BYTES_MAX: usize = 300;

/// One query's bytes.
pub fn request(sig: &str, detail: u8, users: &[String]) -> Vec<u8> {
    let body = json!({ "To_Account": users, "IsNeedDetail": detail }).to_string();
    let path = "/v4/openim/query_online_status";
    let head = format!(
        "POST {path}?sdkappid={SDK_APP_ID}&identifier=administrator&usersig={sig}&random=7&contenttype=json HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// Each client has one query under way. Each answer has to hold so many statuses.
pub fn ask(clients: &mut [QueryClient], requests: &[Vec<u8>], expected: usize) {
    for batch in requests.chunks(clients.len()) {
        for (client, request) in clients.iter_mut().zip(batch) {
            client.send(request);
        }
        for (client, _) in clients.iter_mut().zip(batch) {
            client.read_answer(expected);
        }
    }
}

/// One kept-alive HTTP connection.
pub struct QueryClient {
    stream: TcpStream,
    received: Vec<u8>,
}

impl QueryClient {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the gateway listens");
        stream.set_nodelay(true).expect("no delay");
        Self {
            stream,
            received: vec![0; 1 << 20],
        }
    }

    fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).expect("the gateway reads");
    }

    /// Reads a whole answer; checks that it holds so many statuses, so that every account was answered.
    fn read_answer(&mut self, expected: usize) {
        let mut length = 0;
        loop {
            let count = self
                .stream
                .read(&mut self.received[length..])
                .expect("the gateway answers");
            assert!(count > 0, "the gateway closed the connection");
            length += count;
            let received = &self.received[..length];
            let Some(head) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                continue;
            };
            let text = std::str::from_utf8(&received[..head])
                .expect("a head is text")
                .to_lowercase();
            let body_length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let body_length: usize = body_length.expect("a length").parse().expect("a number");
            if length < head + 4 + body_length {
                continue;
            }
            let body = &received[head + 4..];
            let statuses = body.windows(ANSWERED.len());
            let answered = statuses.filter(|bytes| *bytes == ANSWERED).count();
            let shown = &body[..body.len().min(SHOWN_BYTES_MAX)];
            assert_eq!(
                answered,
                expected,
                "statuses in the answer to {BATCH} accounts: {}",
                String::from_utf8_lossy(shown)
            );
            return;
        }
    }
}
