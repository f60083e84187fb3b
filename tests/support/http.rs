//! A plain HTTP client that waits for its answers.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::http::response::Parts;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::terminal::usersig;

/// One client with its connections.
pub struct Http {
    runtime: tokio::runtime::Runtime,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer: its HTTP status and its body.
pub type Answer = (u16, String);

impl Default for Http {
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { runtime, client }
    }
}

impl Http {
    pub fn request(&self, request: Request<Full<Bytes>>) -> Answer {
        let (head, body) = self.exchange(request);
        (
            head.status.as_u16(),
            String::from_utf8(body.to_vec()).expect("answers are text"),
        )
    }

    /// An answer's head, and its body as it came.
    pub fn exchange(&self, request: Request<Full<Bytes>>) -> (Parts, Bytes) {
        self.runtime.block_on(async {
            let answer = tokio::time::timeout(Duration::from_secs(20), self.client.request(request)).await;
            let answer = answer.expect("an answer in time").expect("an answer");
            let (head, body) = answer.into_parts();
            (head, body.collect().await.expect("the whole answer").to_bytes())
        })
    }

    pub fn get(&self, address: SocketAddr, path: &str) -> Answer {
        let request = Request::get(format!("http://{address}{path}")).body(Full::default());
        self.request(request.expect("a request"))
    }

    /// Posts a command to the admin listener.
    pub fn post(&self, address: SocketAddr, path: &str, body: &Value) -> (u16, Value) {
        let request =
            Request::post(format!("http://{address}{path}")).header("Content-Type", "application/json");
        let request = request.body(Full::from(body.to_string())).expect("a request");
        let (status, text) = self.request(request);
        (status, serde_json::from_str(&text).expect("answers are JSON"))
    }

    /// Calls a REST command as the administrator. Gives the answer's JSON.
    pub fn call(&self, address: SocketAddr, command: &str, body: &Value) -> Value {
        let sig = usersig("administrator");
        let url = format!(
            "http://{address}/v4/{command}?sdkappid={}&identifier=administrator&usersig={sig}&random=1&contenttype=json",
            super::gateway::SDK_APP_ID
        );
        let request = Request::builder().method(Method::POST).uri(url);
        let request = request.body(Full::from(body.to_string())).expect("a request");
        let (status, text) = self.request(request);
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("answers are JSON")
    }

    /// Sends a message by the gateway's own interface, as the administrator.
    pub fn send(&self, address: SocketAddr, body: &Value) -> (u16, Value) {
        self.post(address, &format!("/v1/send?{}", proof()), body)
    }

    /// What became of messages, behind a cursor or from the oldest on. Gives the lines, and the cursor behind them.
    pub fn outcomes(&self, address: SocketAddr, after: Option<&str>) -> (u16, Vec<Value>, Option<String>) {
        let after = after.map_or_else(String::new, |after| format!("&after={after}"));
        let url = format!("http://{address}/v1/outcomes?{}&wait_s=5{after}", proof());
        let (head, body) = self.exchange(Request::get(url).body(Full::default()).expect("a request"));
        let next = head.headers.get("holdfast-next");
        let next = next.map(|next| next.to_str().expect("a cursor is text").to_owned());
        (head.status.as_u16(), read_lines(&body), next)
    }

    /// Sends messages, one a line; gives the status and the lines of the answer.
    pub fn send_lines(&self, address: SocketAddr, body: &str) -> (u16, Vec<Value>) {
        let request = Request::post(format!("http://{address}/v1/send?{}", proof()));
        let request = request.header("content-type", "application/x-ndjson");
        let body = Full::from(body.to_owned().into_bytes());
        let (head, body) = self.exchange(request.body(body).expect("a request"));
        (head.status.as_u16(), read_lines(&body))
    }

    /// The statuses of some users, by the public query.
    pub fn query(&self, address: SocketAddr, users: &[&str]) -> Value {
        let body = serde_json::json!({ "To_Account": users, "IsNeedDetail": 1 });
        self.call(address, "openim/query_online_status", &body)
    }

    /// One user's status, by the public query; `None` if there is no such account.
    pub fn status(&self, address: SocketAddr, user: &str) -> Option<String> {
        let answer = self.query(address, &[user]);
        answer["QueryResult"][0]["Status"].as_str().map(str::to_owned)
    }

    /// Asks again until a user has this status: for changes that nobody announces. Fails after 20 s.
    pub fn await_status(&self, address: SocketAddr, user: &str, expected: &str) {
        await_equal(&Some(expected.to_owned()), || self.status(address, user));
    }

    /// Asks again until `/readyz` answers with this HTTP status. Fails after 20 s.
    pub fn await_readyz(&self, admin: SocketAddr, expected: u16) {
        await_equal(&expected, || self.get(admin, "/readyz").0);
    }
}

/// What shows that a request comes from the administrator.
fn proof() -> String {
    let (app, sig) = (super::gateway::SDK_APP_ID, usersig("administrator"));
    format!("sdkappid={app}&identifier=administrator&usersig={sig}")
}

fn await_equal<T: PartialEq + std::fmt::Debug>(expected: &T, mut ask: impl FnMut() -> T) {
    let mut last = ask();
    for _ in 0..2_000 {
        if last == *expected {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
        last = ask();
    }
    panic!("it is {last:?}, not {expected:?}");
}

/// JSON, one object a line.
fn read_lines(body: &[u8]) -> Vec<Value> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines = lines.map(|line| serde_json::from_slice(line).expect("lines are JSON"));
    lines.collect()
}
