//! The front as clients meet it: plain HTTP over loopback, with shards that a test makes up.

mod accounts;
mod callbacks;
mod callers;
mod commands;
mod durable;
mod history;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;
use crate::base::counters::Counters;
use crate::base::ids::{ChangeNumber, DeviceId, Platform, RequestId};
use crate::base::time::Timestamp;
use crate::logic::Transport;
use crate::logic::letter::{
    DeviceInspection, DeviceStatus, DeviceStatuses, Inspection, KickError, LinkInspection, RegistryError,
    Standing, UserStatuses,
};
use crate::logic::record::Status;
use crate::logic::usersig;

const SHARDS: u16 = 4;
const STOP_WITHIN: Duration = Duration::from_secs(10);
const APP: u64 = 1_400_000_001;
const SECRET: &str = "a-secret-that-nobody-may-see";
const TOKEN: &str = "a-token-that-nobody-may-see";

type Script = Box<dyn Fn(ShardId, ToShard) -> Option<ToFront> + Send>;

struct World {
    front: Option<Front>,
    backend: SocketAddr,
    admin: SocketAddr,
    letters: Arc<Mutex<Vec<ToShard>>>,
    asked: Arc<Mutex<Vec<ToRegistry>>>,
    settings: watch::Sender<Arc<Settings>>,
    door: Door,
    serving: Serving,
    counters: Arc<Mutex<Vec<Counters>>>,
}

fn user(name: &str) -> UserId {
    UserId::new(name.as_bytes()).unwrap()
}

fn settings() -> Settings {
    Settings {
        sdk_app_id: APP,
        keys: vec![Key {
            secret: SECRET.to_owned(),
            not_after_s: None,
        }],
        administrators: vec![user("administrator")],
        admin_token: None,
        admin_hosts: vec!["gateway.example".to_owned()],
        limits: Limits::default(),
    }
}

impl World {
    fn new(
        settings: Settings,
        script: impl Fn(ShardId, ToShard) -> Option<ToFront> + Send + 'static,
    ) -> Self {
        Self::with(settings, script, Others::default())
    }

    fn with(
        settings: Settings,
        script: impl Fn(ShardId, ToShard) -> Option<ToFront> + Send + 'static,
        others: Others,
    ) -> Self {
        let script: Script = Box::new(script);
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (backend, admin) = (listener(), listener());
        let addresses = (backend.local_addr().unwrap(), admin.local_addr().unwrap());
        let (door, inbox) = inbox(SHARDS, &settings.limits);
        let letters = Arc::new(Mutex::new(Vec::new()));
        let counters = Arc::new(Mutex::new(vec![Counters::default(); usize::from(SHARDS)]));
        let (seen, answers, counted) = (Arc::clone(&letters), door.clone(), Arc::clone(&counters));
        let (asked, existing) = (Arc::new(Mutex::new(Vec::new())), door.clone());
        let asked_here = Arc::clone(&asked);
        let doors = Doors {
            shard: Box::new(move |shard, letter: ToShard| {
                if let Some(request) = asks_for_the_kick(&letter) {
                    return answers.send(ToFront::Inspected(request, Ok(None)));
                }
                seen.lock().unwrap().push(letter.clone());
                if let Some(answer) = script(shard, letter) {
                    answers.send(answer);
                }
            }),
            registry: Box::new(move |letter| {
                asked_here.lock().unwrap().push(letter.clone());
                existing.send(registry(letter));
            }),
            vitals: Vitals::default(),
            registry_workload: None,
            archive: others.archive,
            callback_numbers: None,
            callbacks: others.callbacks,
            steward: others.steward,
            counters: counters_view(counted),
        };
        let listeners = Listeners {
            backend: vec![backend],
            admin: vec![admin],
        };
        let serving = Serving::default();
        serving.begin();
        let (settings, following) = watch::channel(Arc::new(settings));
        let front = Front::start(
            following,
            listeners,
            inbox,
            doors,
            (Clock::start(), serving.clone()),
        )
        .unwrap();
        Self {
            front: Some(front),
            backend: addresses.0,
            admin: addresses.1,
            letters,
            asked,
            settings,
            door,
            serving,
            counters,
        }
    }

    /// Asks as the administrator.
    fn ask(&self, path: &str, body: &str) -> Value {
        let sig = user_sig("administrator");
        let query =
            format!("sdkappid={APP}&identifier=administrator&usersig={sig}&random=9&contenttype=json");
        self.post(&format!("{path}?{query}"), body)
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
        if let Some(front) = self.front.take() {
            front.stop(STOP_WITHIN).unwrap();
        }
    }
}

fn counters_view(counted: Arc<Mutex<Vec<Counters>>>) -> CountersView {
    CountersView {
        names: Counters::NAMES.to_vec(),
        values: Box::new(move || {
            let counted = counted.lock().unwrap();
            counted.iter().map(|shard| shard.values().to_vec()).collect()
        }),
        turn_times: Box::new(|| vec![Counted::default(); usize::from(SHARDS)]),
    }
}

/// Whether the front wants to know if its administrator was kicked. Never: most tests are not about that.
fn asks_for_the_kick(letter: &ToShard) -> Option<RequestId> {
    if let ToShard::Inspect(request, who) = letter
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
    // The front may answer and close before it has read all.
    let _ = stream.write_all(request.as_bytes());
    read_response(&mut stream)
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

/// Shards in which `online…` is Online on an iPhone, `off…` is Offline, and nobody else exists.
fn shards(shard: ShardId, letter: ToShard) -> Option<ToFront> {
    match letter {
        ToShard::Query(request, users) => {
            assert!(
                users.iter().all(|user| user.home(SHARDS) == shard),
                "a letter went to a wrong shard"
            );
            let standings = users.iter().map(standing).collect();
            Some(ToFront::Statuses(request, UserStatuses { users, standings }))
        }
        ToShard::Kick(request, user) => {
            let outcome = match user.as_str() {
                "ghost" => Err(KickError::UnknownAccount),
                "busy" => Err(KickError::Busy),
                _ => Ok(()),
            };
            Some(ToFront::Kicked(request, outcome))
        }
        ToShard::Inspect(request, user) => {
            let known = user
                .as_str()
                .starts_with("online")
                .then(|| Box::new(inspection(user)));
            Some(ToFront::Inspected(request, Ok(known)))
        }
        ToShard::KickDevice(request, user, device) => {
            let outcome = match user.as_str() {
                "ghost" => Err(KickError::UnknownAccount),
                "busy" => Err(KickError::Busy),
                _ if device.platform != Platform::IPhone => Err(KickError::UnknownDevice),
                _ => Ok(()),
            };
            Some(ToFront::Kicked(request, outcome))
        }
        ToShard::Delete(request, user) => {
            assert_eq!(user.home(SHARDS), shard, "a letter went to a wrong shard");
            shards(shard, ToShard::Kick(request, user))
        }
        ToShard::Loaded(..)
        | ToShard::Committed(..)
        | ToShard::Restore(_)
        | ToShard::Open
        | ToShard::TurnedAway
        | ToShard::Settings(_)
        | ToShard::Stop => panic!("the front does not send this"),
    }
}

/// A registry with the accounts `online…` and `off…`, which fails when it is asked for `busy`.
fn registry(letter: ToRegistry) -> ToFront {
    match letter {
        ToRegistry::Accounts(request, _, users) if users.contains(&user("busy")) => {
            ToFront::Accounts(request, Err(RegistryError))
        }
        ToRegistry::Accounts(request, _, users) => {
            let exists = |user: &UserId| standing(user) != Standing::UnknownAccount;
            ToFront::Accounts(request, Ok(users.iter().map(exists).collect()))
        }
        ToRegistry::Load(..) | ToRegistry::Commit(..) | ToRegistry::Complete(..) => {
            panic!("the front does not send this")
        }
    }
}

/// Whom the front asks besides the shards and the registry.
struct Others {
    archive: Option<Archived>,
    callbacks: Option<Arc<dyn DeadLetters>>,
    steward: Arc<dyn Steward>,
}

impl Default for Others {
    fn default() -> Self {
        Self {
            archive: None,
            callbacks: None,
            steward: Arc::new(Stubborn),
        }
    }
}

/// Takes no configuration.
struct Stubborn;

impl Steward for Stubborn {
    fn reload(&self, _: ReloadMode) -> Result<Reloaded, ReloadError> {
        Err(ReloadError::Busy)
    }
}

fn device() -> DeviceId {
    DeviceId {
        platform: Platform::IPhone,
        instance: NonZeroU64::MAX,
    }
}

fn standing(user: &UserId) -> Standing {
    let devices = match user.as_str() {
        name if name.starts_with("online") => DeviceStatuses::One(DeviceStatus {
            device: device(),
            status: Status::Online,
        }),
        name if name.starts_with("off") => DeviceStatuses::None,
        _ => return Standing::UnknownAccount,
    };
    Standing::Known {
        change: ChangeNumber(1),
        devices,
    }
}

fn inspection(user: UserId) -> Inspection {
    let link = LinkInspection {
        address: std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
        transport: Transport::Tcp,
        sdk_version: "1.2".to_owned(),
        app_version: "other".to_owned(),
        background: true,
    };
    let device = DeviceInspection {
        device: device(),
        status: Status::Online,
        session: ChangeNumber(4),
        login_at: Timestamp(1_700_000_000_000),
        heard_at: Timestamp(1_700_000_001_500),
        link: Some(link),
    };
    Inspection {
        user,
        change: ChangeNumber(5),
        kicked_at_s: 0,
        devices: vec![device],
    }
}

const QUERY: &str = "/v4/openim/query_online_status";
const KICK: &str = "/v4/im_open_login_svc/kick";

#[test]
fn answers_queries_on_all_three_routes() {
    let world = World::new(settings(), shards);
    let body = r#"{"To_Account":["online1","ghost","off1","online1"],"IsNeedDetail":1}"#;
    let online = json!({"To_Account": "online1", "Status": "Online", "State": "Online",
        "Detail": [{"Platform": "iPhone", "Status": "Online"}]});
    let expected = json!({"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0,
        "QueryResult": [online, {"To_Account": "off1", "Status": "Offline", "State": "Offline"}, online],
        "ErrorList": [{"To_Account": "ghost", "ErrorCode": 70107}]});
    for path in [
        QUERY,
        "/v4/openim/querystate",
        "/v4/im_open_login_svc/query_online_status",
    ] {
        assert_eq!(world.ask(path, body), expected, "{path}");
    }
}

#[test]
fn one_letter_for_each_home_and_query() {
    let world = World::new(settings(), shards);
    let names: Vec<_> = (0..500).map(|number| format!("online{number}")).collect();
    let body = json!({ "To_Account": names }).to_string();
    let reply = world.ask(QUERY, &body);
    let answered = reply["QueryResult"]
        .as_array()
        .unwrap()
        .iter()
        .map(|known| &known["To_Account"]);
    assert!(answered.eq(names.iter()), "the order is that of the request");
    assert_eq!(world.letters.lock().unwrap().len(), usize::from(SHARDS));
}

#[test]
fn the_longest_possible_query_fits() {
    let world = World::new(settings(), shards);
    let escaped = |number: usize| {
        format!("off{number:029}")
            .bytes()
            .fold(String::new(), |text, byte| format!("{text}\\u{byte:04x}"))
    };
    let names: Vec<_> = (0..500)
        .map(|number| format!("\"{}\"", escaped(number)))
        .collect();
    let body = format!("{{\"To_Account\":[{}]}}", names.join(","));
    assert!(body.len() > 97_500);
    assert_eq!(
        world.ask(QUERY, &body)["QueryResult"].as_array().unwrap().len(),
        500
    );
}

#[test]
fn kicks() {
    let world = World::new(settings(), shards);
    let check = |body: &str, code: u32| {
        let reply = world.ask(KICK, body);
        assert_eq!(reply["ErrorCode"], code, "{body}: {reply}");
        assert_eq!(reply["ActionStatus"], if code == 0 { "OK" } else { "FAIL" });
    };
    check(r#"{"UserID":"alice"}"#, 0);
    check(r#"{"Identifier":"alice"}"#, 0);
    check(r#"{"UserID":"ghost"}"#, 70_107);
    check(r#"{"UserID":"busy"}"#, 60_018);
    for invalid in [r#"{"UserID":1}"#, "{}", "[]", r#"{"UserID":""}"#] {
        check(invalid, 70_402);
    }
    check("{", 60_003);
}

#[test]
fn checks_the_caller_in_the_order_of_the_reference() {
    let world = World::new(settings(), shards);
    let check = |target: &str, code: u32| {
        let reply = world.post(target, "{\"To_Account\":[\"off\"]}");
        assert_eq!(reply["ErrorCode"], code, "{target}: {reply}");
    };
    let sig = user_sig("administrator");
    check("/v4/openim/unknown", 60_009);
    check("/", 60_009);
    check("/v4/%zz", 60_002);
    check(QUERY, 60_012);
    check(&format!("{QUERY}?sdkappid=&identifier=administrator"), 60_012);
    check(&format!("{QUERY}?sdkappid=%2"), 60_002);
    check(&format!("{QUERY}?sdkappid=x"), 60_006);
    check(&format!("{QUERY}?sdkappid=14"), 60_006);
    check(&format!("{QUERY}?sdkappid={APP}"), 60_004);
    check(
        &format!("{QUERY}?sdkappid={APP}&identifier=administrator"),
        70_002,
    );
    check(
        &format!("{QUERY}?sdkappid={APP}&identifier=administrator&usersig=x"),
        70_003,
    );
    check(
        &format!("{QUERY}?sdkappid={APP}&identifier=alice&usersig={sig}"),
        70_013,
    );
    check(
        &format!(
            "{QUERY}?sdkappid={APP}&identifier=alice&usersig={}",
            user_sig("alice")
        ),
        60_010,
    );
    let escaped = sig.replace('*', "%2A").replace('-', "%2d");
    check(
        &format!("{QUERY}?random=x&more&usersig={escaped}&identifier=administrator&sdkappid={APP}"),
        0,
    );
}

#[test]
fn takes_a_get_with_a_body_and_any_content_type() {
    let world = World::new(settings(), shards);
    let target = format!(
        "{QUERY}?sdkappid={APP}&identifier=administrator&usersig={}",
        user_sig("administrator")
    );
    for (method, headers) in [
        ("GET", ""),
        ("POST", "Content-Type: text/html\r\nAccept: image/png\r\n"),
    ] {
        let (status, body) = http(
            world.backend,
            method,
            &target,
            headers,
            r#"{"To_Account":["off"]}"#,
        );
        assert_eq!(status, 200);
        assert_eq!(
            serde_json::from_str::<Value>(&body).unwrap()["ErrorCode"],
            0,
            "{body}"
        );
    }
    let (status, body) = http(world.backend, "DELETE", &target, "", "");
    assert_eq!((status, body.contains("60002")), (200, true), "{body}");
}

#[test]
fn bodies_have_a_size() {
    let mut settings = settings();
    settings.limits.body_bytes_max = 1_000;
    let world = World::new(settings, shards);
    let body = |padding: usize| format!("{{\"To_Account\":[\"off\"],\"x\":\"{}\"}}", "x".repeat(padding));
    assert_eq!(world.ask(QUERY, &body(900))["ErrorCode"], 0);
    assert_eq!(world.ask(QUERY, &body(1_001))["ErrorCode"], 60_003);
}

#[test]
fn heads_have_a_size() {
    let world = World::new(settings(), shards);
    let headers = format!("X: {}\r\n", "x".repeat(Limits::default().head_bytes_max));
    assert_eq!(http(world.backend, "POST", QUERY, &headers, "").0, 431);
}

#[test]
fn silent_clients_are_closed() {
    let mut settings = settings();
    settings.limits.head_read_max = Duration::from_millis(50);
    settings.limits.body_read_max = Duration::from_millis(50);
    let world = World::new(settings, shards);
    let mut silent = TcpStream::connect(world.backend).unwrap();
    silent.write_all(b"POST /v4").unwrap();
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).unwrap();
    let mut slow = TcpStream::connect(world.backend).unwrap();
    let target = format!(
        "{QUERY}?sdkappid={APP}&identifier=administrator&usersig={}",
        user_sig("administrator")
    );
    write!(
        slow,
        "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{"
    )
    .unwrap();
    let (status, body) = read_response(&mut slow);
    assert_eq!((status, body.contains("60008")), (200, true), "{body}");
}

#[test]
fn accepting_pauses_when_all_places_are_taken() {
    let mut settings = settings();
    settings.limits.connections_max = 1;
    settings.limits.head_read_max = Duration::from_secs(3_600);
    let world = World::new(settings, shards);
    let mut first = TcpStream::connect(world.backend).unwrap();
    first
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).unwrap();
    let mut second = TcpStream::connect(world.backend).unwrap();
    second
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    second.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(
        second.read(&mut byte).is_err(),
        "served although the only place is taken"
    );
    drop(first);
    second.set_read_timeout(None).unwrap();
    assert_eq!(read_response(&mut second).0, 200);
}

/// Shards that answer nothing but keep the letters.
fn silence(_: ShardId, _: ToShard) -> Option<ToFront> {
    None
}

#[test]
fn an_open_request_keeps_its_place_until_it_is_answered() {
    let mut settings = settings();
    settings.limits.in_flight_max = 1;
    settings.limits.answer_within = Duration::from_millis(20);
    let world = World::new(settings, silence);
    let body = r#"{"To_Account":["off1"]}"#;
    assert_eq!(world.ask(QUERY, body)["ErrorCode"], 60_008);
    assert_eq!(world.ask(QUERY, body)["ErrorCode"], 60_018);
    let letter = world.letters.lock().unwrap().pop().unwrap();
    let answer = shards(user("off1").home(SHARDS), letter).unwrap();
    world.door.send(answer);
    // The place is free as soon as the answer was taken in.
    while world.ask(QUERY, body)["ErrorCode"] != 60_008 {
        std::thread::yield_now();
    }
}

#[test]
fn kicks_that_cannot_be_recorded_leave_places_for_queries() {
    let mut settings = settings();
    settings.limits.in_flight_max = 4;
    settings.limits.answer_within = Duration::from_millis(20);
    let world = World::new(settings, |shard, letter| {
        let is_kick = matches!(letter, ToShard::Kick(..));
        if is_kick { None } else { shards(shard, letter) }
    });
    let kick = || world.ask(KICK, r#"{"UserID":"online1"}"#)["ErrorCode"].as_u64();
    assert_eq!([kick(), kick(), kick()], [60_008, 60_008, 60_018].map(Some));
    assert_eq!(world.ask(QUERY, r#"{"To_Account":["off1"]}"#)["ErrorCode"], 0);
}

#[test]
fn an_open_request_is_answered_at_the_stop() {
    let (asked, was_asked) = std::sync::mpsc::channel();
    let mut world = World::new(settings(), move |_, letter| {
        asked.send(letter).unwrap();
        None
    });
    let (front, door) = (world.front.take().unwrap(), world.door.clone());
    std::thread::scope(|scope| {
        let reply = scope.spawn(|| world.ask(KICK, r#"{"UserID":"alice"}"#));
        let letter = was_asked.recv().unwrap();
        let stopped = scope.spawn(|| front.stop(STOP_WITHIN));
        while TcpStream::connect(world.backend).is_ok() {
            std::thread::yield_now();
        }
        door.send(shards(ShardId(0), letter).unwrap());
        assert_eq!(reply.join().unwrap()["ErrorCode"], 0);
        stopped.join().unwrap().unwrap();
    });
}

#[test]
fn a_request_that_is_never_answered_does_not_hold_the_stop() {
    let (asked, was_asked) = std::sync::mpsc::channel();
    let mut settings = settings();
    settings.limits.answer_within = Duration::from_secs(3_600);
    let mut world = World::new(settings, move |_, letter| {
        asked.send(letter).unwrap();
        None
    });
    let front = world.front.take().unwrap();
    let mut stream = TcpStream::connect(world.backend).unwrap();
    let sig = user_sig("administrator");
    let body = r#"{"UserID":"alice"}"#;
    write!(
        stream,
        "POST {KICK}?sdkappid={APP}&identifier=administrator&usersig={sig}&random=9&contenttype=json HTTP/1.1\r\n\
         Host: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    was_asked.recv().unwrap();
    front.stop(Duration::from_millis(50)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed without an answer");
}

#[test]
fn admin_tells_health_readiness_and_metrics() {
    let world = World::new(settings(), shards);
    assert_eq!(world.get("/healthz", ""), (200, "ok\n".to_owned()));
    assert_eq!(world.get("/readyz", ""), (200, "ready\n".to_owned()));
    world.counters.lock().unwrap()[1].commits_retrying_now = 2;
    assert_eq!(world.get("/readyz", "").0, 503);
    assert!(
        world
            .get("/metrics", "")
            .1
            .contains("\nholdfast_commits_retrying_now 2\n")
    );
    world.counters.lock().unwrap()[1].commits_retrying_now = 0;
    world.serving.end();
    assert_eq!(world.get("/readyz", "").0, 503);
    assert_eq!(world.get("/nothing", "").0, 404);
}

#[test]
fn admin_shows_a_user() {
    let world = World::new(settings(), shards);
    let (status, body) = world.get("/v1/users/online%20%2f+", "");
    assert_eq!(status, 200, "{body}");
    let device = json!({"platform": "iPhone", "instance": u64::MAX.to_string(), "status": "Online", "session": 4,
        "login_at": "2023-11-14T22:13:20.000Z", "heard_at": "2023-11-14T22:13:21.500Z", "address": "127.0.0.1",
        "transport": "tcp", "sdk_version": "1.2", "app_version": "other", "background": true});
    let expected =
        json!({"user": "online /+", "status": "Online", "change": 5, "kicked_at": null, "devices": [device]});
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    assert_eq!(world.get("/v1/users/ghost", "").0, 404);
    assert_eq!(world.get("/v1/users/%00", "").0, 400);
}

#[test]
fn admin_refuses_strangers() {
    let world = World::new(settings(), shards);
    let check = |method: &str, headers: &str, status: u16| {
        assert_eq!(
            http(world.admin, method, "/healthz", headers, "").0,
            status,
            "{method} {headers}"
        );
    };
    for host in ["localhost:9003", "127.0.0.1", "[::1]:9003", "Gateway.Example:1"] {
        check("GET", &format!("Host: {host}\r\n"), 200);
        check("GET", &format!("Host: {host}\r\nOrigin: http://{host}\r\n"), 200);
    }
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", ""] {
        check("GET", &format!("Host: {host}\r\n"), 403);
        check("GET", &format!("Origin: https://{host}\r\n"), 403);
    }
    check("GET", "Origin: null\r\n", 403);
    check("POST", "", 415);
    check("POST", "Content-Type: text/plain\r\n", 415);
    check("POST", "Content-Type: application/json; charset=utf-8\r\n", 405);
}

#[test]
fn admin_asks_for_its_token() {
    let mut settings = settings();
    settings.admin_token = Some(Token(TOKEN.to_owned()));
    let world = World::new(settings, shards);
    for (headers, status) in [
        (String::new(), 401),
        ("Authorization: Bearer x\r\n".to_owned(), 401),
        (format!("Authorization: Bearer {TOKEN}x\r\n"), 401),
        (format!("Authorization: Basic {TOKEN}\r\n"), 401),
        (format!("Authorization: Bearer {TOKEN}\r\n"), 200),
    ] {
        assert_eq!(world.get("/metrics", &headers).0, status, "{headers}");
    }
}

/// Collects what would be logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn secrets_are_told_to_nobody() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone());
    // The only test that sets it: the front logs from a thread of its own.
    tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    tracing::info!("the log is collected");
    let mut settings = settings();
    settings.admin_token = Some(Token(TOKEN.to_owned()));
    let mut told = BTreeMap::from([("settings", format!("{settings:?}"))]);
    let world = World::new(settings, shards);
    let (good, foreign) = (user_sig("administrator"), user_sig("alice"));
    let mut replies = String::new();
    for (caller, sig) in [
        ("administrator", &good),
        ("administrator", &foreign),
        ("alice", &foreign),
    ] {
        for path in [QUERY, KICK, "/v4/unknown", "/%zz"] {
            let target = format!("{path}?sdkappid={APP}&identifier={caller}&usersig={sig}&random=31337");
            for body in ["{", r#"{"To_Account":["off"]}"#] {
                replies += &world.post(&target, body).to_string();
            }
        }
    }
    told.insert("replies", replies);
    let header = format!("Authorization: Bearer {TOKEN}\r\n");
    told.insert(
        "admin",
        world.get("/v1/users/ghost", &header).1 + &world.get("/x", "Authorization: Bearer no\r\n").1,
    );
    told.insert("metrics", world.get("/metrics", &header).1);
    drop(world);
    told.insert("log", String::from_utf8(log.0.lock().unwrap().clone()).unwrap());
    assert!(told["log"].contains("the log is collected"));
    for (place, text) in told {
        for secret in [SECRET, TOKEN, &good, &foreign, "31337"] {
            assert!(!text.contains(secret), "{place} tells {secret}");
        }
    }
}
