//! The app's backend and its operator: they ask any node for statuses, and take what is shown.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::history::{Event, Inspected, Recorder, Statuses};
use crate::support::gateway::SDK_APP_ID;

/// An answer that does not come within this time does not come.
const PATIENCE: Duration = Duration::from_secs(5);

/// The code of an account that is not there.
const NO_ACCOUNT: u64 = 70107;

/// Calls nodes. Nodes that do not answer are no fault.
#[derive(Clone)]
pub struct Backend {
    client: Client<HttpConnector, Full<Bytes>>,
    usersig: String,
    token: String,
}

/// Where a node takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doors {
    pub http: SocketAddr,
    pub admin: SocketAddr,
}

impl Backend {
    pub fn new(usersig: &str, token: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(2)));
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            usersig: usersig.to_owned(),
            token: token.to_owned(),
        }
    }

    /// The status and the body of an answer.
    async fn request(&self, method: Method, url: String, body: String) -> Option<(u16, Value)> {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("Content-Type", "application/json");
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        let request = request.body(Full::from(body)).unwrap();
        let answered = async {
            let answer = self.client.request(request).await.ok()?;
            let status = answer.status().as_u16();
            let bytes = answer.into_body().collect().await.ok()?.to_bytes();
            Some((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
        };
        tokio::time::timeout(PATIENCE, answered).await.ok()?
    }

    /// Asks the admin listener.
    pub async fn get(&self, doors: Doors, path: &str) -> Option<Value> {
        let url = format!("http://{}{path}", doors.admin);
        let (status, body) = self.request(Method::GET, url, String::new()).await?;
        (status == 200).then_some(body)
    }

    /// The statuses of users. Those that cannot be told now are left out.
    pub async fn statuses(
        &self,
        doors: Doors,
        users: &[String],
    ) -> Option<BTreeMap<String, Option<Statuses>>> {
        let url = format!(
            "http://{}/v4/openim/query_online_status?sdkappid={SDK_APP_ID}&identifier=administrator&usersig={}",
            doors.http, self.usersig
        );
        let body = json!({ "To_Account": users, "IsNeedDetail": 1 });
        let (_, answer) = self.request(Method::POST, url, body.to_string()).await?;
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        let user = |entry: &Value| entry["To_Account"].as_str().unwrap().to_owned();
        let known = list("QueryResult");
        let known = known
            .iter()
            .map(|entry| (user(entry), Some(details(&entry["Detail"]))));
        let unknown = list("ErrorList");
        let unknown = unknown.iter().filter(|entry| entry["ErrorCode"] == NO_ACCOUNT);
        Some(known.chain(unknown.map(|entry| (user(entry), None))).collect())
    }

    /// Asks for statuses, and puts the answer into the history.
    pub async fn query(&self, recorder: &Recorder, doors: Doors, users: &[String]) -> bool {
        let begin = recorder.now();
        let Some(statuses) = self.statuses(doors, users).await else {
            return false;
        };
        let is_whole = statuses.len() == users.len();
        recorder.record(&Event::Query {
            node: doors.http.to_string(),
            begin,
            end: recorder.now(),
            statuses,
        });
        is_whole
    }

    /// Asks for all that is known of a user, and puts it into the history.
    pub async fn inspect(&self, recorder: &Recorder, doors: Doors, user: &str) {
        let begin = recorder.now();
        let Some(known) = self.get(doors, &format!("/v1/users/{user}")).await else {
            return;
        };
        let devices = known["devices"].as_array().cloned().unwrap_or_default();
        let text = |device: &Value, name: &str| device[name].as_str().unwrap().to_owned();
        let inspected = |device: &Value| Inspected {
            platform: text(device, "platform"),
            status: text(device, "status"),
            session: device["session"].as_u64().unwrap(),
        };
        recorder.record(&Event::Inspect {
            node: doors.admin.to_string(),
            user: user.to_owned(),
            begin,
            end: recorder.now(),
            change: known["change"].as_u64().unwrap(),
            devices: devices.iter().map(inspected).collect(),
        });
    }
}

/// The statuses by platform.
fn details(detail: &Value) -> Statuses {
    let entries = detail.as_array().cloned().unwrap_or_default();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    entries
        .iter()
        .map(|entry| (text(entry, "Platform"), text(entry, "Status")))
        .collect()
}
