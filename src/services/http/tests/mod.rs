//! The HTTP server as clients meet it: plain HTTP over loopback, with shards that a test makes up.

mod accounts;
mod admin;
mod backend;
mod bodies;
mod bounds;
mod browsers;
mod callbacks;
mod callers;
mod commands;
mod durable;
mod encodings;
mod history;
mod lane_lists;
mod lanes;
mod messages;
mod page;
mod paths;
mod peers;
mod played;
mod probes;
mod secrets;
mod shelf;
mod tls;
mod web;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::base::counters::Counters;
use crate::base::histogram::Counted;
use crate::base::ids::{ChangeNumber, DeviceId, Platform, RequestId, ShardId, UserId};
use crate::base::time::{Clock, Timestamp};
use crate::logic::delivery::{Delivery, KickError, RegistryError, Router, ToHttp, ToRegistry, ToShard};
use crate::logic::inspection::{DeviceInspection, Inspection, LinkInspection};
use crate::logic::message::{
    DeviceOutcome, DeviceResult, ReachedUser, SendRefusal, SendTarget, TargetOutcome, TargetResult,
};
use crate::logic::record::Status;
use crate::logic::user_status::{
    DeviceStatus, DeviceStatuses, QueryDepth, StatusList, UserStatus, UserStatuses,
};
use crate::protocol::transport::Transport;
use crate::protocol::usersig::{self, Key};
use crate::services::http::backend::codes;
use crate::services::http::server::throttle;
use crate::services::http::{
    Archived, CallbackStatus, ClusterHandles, DeadLetters, DeadSelection, GatewayHandles, HttpListeners,
    HttpReplySender, HttpServer, HttpSettings, HttpTls, Limits, ReloadAsked, ReloadCaller, ReloadError,
    ReloadHandler, ReloadMode, Reloaded, Serving, ShardCounters, Touched, reply_channel, sizes,
};
use crate::services::registry::health::RegistryHealth;

use played::{device, inspection, shards};

const SHARDS: u16 = 4;
const STOP_WITHIN: Duration = Duration::from_secs(10);
const APP: u64 = 1_400_000_001;
const SECRET: &str = "a-secret-that-nobody-may-see";
const TOKEN: &str = "a-token-that-nobody-may-see";

type Script = Box<dyn Fn(ShardId, ToShard) -> Option<ToHttp> + Send>;

struct World {
    server: Option<HttpServer>,
    backend: SocketAddr,
    admin: SocketAddr,
    web: SocketAddr,
    requests: Arc<Mutex<Vec<ToShard>>>,
    asked: Arc<Mutex<Vec<ToRegistry>>>,
    settings: watch::Sender<Arc<HttpSettings>>,
    replies: HttpReplySender,
    serving: Serving,
    counters: Arc<Mutex<Vec<Counters>>>,
}

fn user(name: &str) -> UserId {
    UserId::new(name.as_bytes()).unwrap()
}

fn settings() -> HttpSettings {
    HttpSettings {
        sdk_app_id: APP,
        keys: vec![Key {
            secret: SECRET.into(),
            not_after_s: None,
        }],
        usersig_ahead_max: Duration::from_secs(86_400),
        administrators: vec![user("administrator")],
        admin_token: None,
        admin_hosts: vec!["gateway.example".to_owned()],
        tls: HttpTls::default(),
        limits: Limits::default(),
    }
}

impl World {
    fn new(
        settings: HttpSettings,
        script: impl Fn(ShardId, ToShard) -> Option<ToHttp> + Send + 'static,
    ) -> Self {
        Self::with(settings, script, Others::default())
    }

    fn with(
        settings: HttpSettings,
        script: impl Fn(ShardId, ToShard) -> Option<ToHttp> + Send + 'static,
        others: Others,
    ) -> Self {
        let script: Script = Box::new(script);
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (backend, admin, web) = (listener(), listener(), listener());
        let addresses = (backend.local_addr().unwrap(), admin.local_addr().unwrap());
        let web_address = web.local_addr().unwrap();
        let (replies, receiver) = reply_channel(SHARDS, 1, &settings.limits);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let counters = Arc::new(Mutex::new(vec![Counters::default(); usize::from(SHARDS)]));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let handles = GatewayHandles {
            router: played::router(
                script,
                (Arc::clone(&requests), Arc::clone(&asked)),
                replies.clone(),
            ),
            log_lines_dropped: Box::new(|| 7),
            registry_health: RegistryHealth::default(),
            registry_workload: None,
            archive: others.archive,
            callback_metrics: None,
            callbacks: others.callbacks,
            reload: others.reload,
            cluster: others.cluster,
            counters: counters_view(Arc::clone(&counters)),
        };
        let listeners = HttpListeners {
            backend: vec![backend],
            admin: vec![admin],
            web: vec![web],
        };
        let serving = Serving::default();
        serving.begin();
        let (settings, following) = watch::channel(Arc::new(settings));
        let server = HttpServer::start(
            following,
            listeners,
            receiver,
            handles,
            (Clock::start(), serving.clone()),
        )
        .unwrap();
        Self {
            server: Some(server),
            backend: addresses.0,
            admin: addresses.1,
            web: web_address,
            requests,
            asked,
            settings,
            replies,
            serving,
            counters,
        }
    }

    /// Asks as the administrator.
    fn ask(&self, path: &str, body: &str) -> Value {
        self.post(&self.target(path), body)
    }

    /// A command's path with the proof that it comes from the administrator.
    fn target(&self, path: &str) -> String {
        let sig = user_sig("administrator");
        let query =
            format!("sdkappid={APP}&identifier=administrator&usersig={sig}&random=9&contenttype=json");
        format!("{path}?{query}")
    }

    fn post(&self, target: &str, body: &str) -> Value {
        let (status, body) = http(self.backend, "POST", target, "", body);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn get(&self, path: &str, headers: &str) -> (u16, String) {
        http(self.admin, "GET", path, headers, "")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(STOP_WITHIN).unwrap();
        }
    }
}

fn counters_view(counted: Arc<Mutex<Vec<Counters>>>) -> ShardCounters {
    ShardCounters {
        names: Counters::NAMES.to_vec(),
        values: Box::new(move || {
            let counted = counted.lock().unwrap();
            counted.iter().map(|shard| shard.values().to_vec()).collect()
        }),
        turn_times: Box::new(|| vec![Counted::default(); usize::from(SHARDS)]),
    }
}

/// Whether the server wants to know if its administrator was kicked. Never: most tests are not about that.
fn asks_for_the_kick(request: &ToShard) -> Option<RequestId> {
    if let ToShard::Inspect(request, who) = request
        && *who == user("administrator")
    {
        return Some(*request);
    }
    None
}

fn user_sig(name: &str) -> String {
    usersig::sign(Clock::start().now().wall, APP, SECRET, &user(name), 60)
}

/// One request on a connection of its own. Sends a Host of loopback unless `headers` has one.
fn http(address: SocketAddr, method: &str, target: &str, headers: &str, body: &str) -> (u16, String) {
    let host = if headers.contains("Host:") {
        ""
    } else {
        "Host: localhost\r\n"
    };
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\n{host}{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(address).unwrap();
    // The server may answer and close before it has read all.
    let _ = stream.write_all(request.as_bytes());
    read_response(&mut stream)
}

/// All that comes back for these bytes, until the server closes.
fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// A connection from one of loopback's other addresses.
fn connect_from(address: [u8; 4], to: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((address, 0))).unwrap();
    connect(&socket, &to).unwrap();
    socket.into()
}

fn read_response(stream: &mut TcpStream) -> (u16, String) {
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no response: {response:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

impl World {
    /// A page, and what its headers say.
    fn page(&self, path: &str) -> Page {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let mut values = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
            values.next().map(|(_, value)| value.to_owned())
        };
        Page {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            lines: body
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
            next: header("Holdfast-Next"),
            stream: header("Holdfast-Stream"),
        }
    }
}

struct Page {
    status: u16,
    lines: Vec<Value>,
    next: Option<String>,
    stream: Option<String>,
}

impl Page {
    fn numbers(&self) -> Vec<(&str, u64)> {
        let lines = self.lines.iter();
        lines
            .map(|line| (line["user"].as_str().unwrap(), line["change"].as_u64().unwrap()))
            .collect()
    }
}

/// Whom the server asks besides the shards and the registry.
struct Others {
    archive: Option<Archived>,
    callbacks: Option<Arc<dyn DeadLetters>>,
    reload: Arc<dyn ReloadHandler>,
    cluster: Option<ClusterHandles>,
}

impl Default for Others {
    fn default() -> Self {
        Self {
            archive: None,
            callbacks: None,
            reload: Arc::new(Stubborn),
            cluster: None,
        }
    }
}

/// Takes no configuration.
struct Stubborn;

impl ReloadHandler for Stubborn {
    fn reload(&self, _: &ReloadAsked) -> Result<Reloaded, ReloadError> {
        Err(ReloadError::Busy)
    }
}

const QUERY: &str = "/v4/openim/query_online_status";
const KICK: &str = "/v4/im_open_login_svc/kick";
