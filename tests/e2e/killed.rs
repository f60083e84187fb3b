//! The gateway is killed at random moments, started again, and compared with what its terminals were answered and what
//! the backend was told. `HOLDFAST_KILL_ROUNDS=500 cargo test --test e2e killed` makes more rounds than the 50 of an
//! ordinary run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast::protocol::native::proto::{self, Code, Platform, request, response};
use serde_json::Value;
use tempfile::TempDir;

use crate::gateway;
use crate::support::gateway::Gateway;
use crate::support::http::Http;
use crate::support::receiver::{Order, Receiver, Told};
use crate::support::terminal::{Terminal, login};

const ROUNDS: u32 = 50;
const USERS: usize = 8;
const PLATFORMS: [Platform; 2] = [Platform::Android, Platform::Windows];

/// What a terminal was answered: it must stay true.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Answered {
    Session(u64),
    LoggedOut(u64),
}

/// A person with two devices, of which the policy lets one be online.
struct Person {
    user: String,
    random: fastrand::Rng,
    link: Option<Terminal>,
    /// The last session of each device.
    sessions: [u64; 2],
    current: usize,
    answered: Vec<Answered>,
}

impl Person {
    fn new(number: usize) -> Self {
        Self {
            user: format!("person-{number}"),
            random: fastrand::Rng::with_seed(number as u64),
            link: None,
            sessions: [0; 2],
            current: 0,
            answered: Vec::new(),
        }
    }

    /// Logs in, resumes, logs out and drops until the gateway is gone.
    fn live(&mut self, gateway: &Gateway) {
        self.link = None;
        while match self.random.u8(..10) {
            0..=3 => self.log_in(gateway, false),
            4..=6 => self.log_in(gateway, true),
            7..=8 => self.log_out(),
            _ => self.drop_link(),
        } {}
    }

    /// Says whether the gateway is still there.
    fn log_in(&mut self, gateway: &Gateway, resume: bool) -> bool {
        self.current = self.random.usize(..2);
        let session = if resume { self.sessions[self.current] } else { 0 };
        let login = proto::Login {
            session,
            ..login(&self.user, PLATFORMS[self.current], 1)
        };
        let Some((link, answer)) = Terminal::try_log_in(gateway.terminals, login) else {
            return false;
        };
        let verdict = answer.verdict.expect("every answer has a verdict");
        match verdict.code() {
            Code::Ok => {
                self.sessions[self.current] = answer.session;
                self.answered.push(Answered::Session(answer.session));
                self.link = Some(link);
            }
            Code::SessionUnknown | Code::SessionForcedOff | Code::SessionLoggedOut if resume => {
                self.sessions[self.current] = 0;
                self.link = None;
            }
            Code::Busy | Code::NotRecorded => self.link = None,
            other => panic!("{other:?}: {}", verdict.text),
        }
        true
    }

    fn log_out(&mut self) -> bool {
        let Some(mut link) = self.link.take() else {
            return true;
        };
        let session = self.sessions[self.current];
        if link.try_send(request::Packet::Logout(proto::Logout {}))
            && let Some(response::Packet::LogoutAnswer(_)) = link.read()
        {
            self.answered.push(Answered::LoggedOut(session));
        }
        true
    }

    fn drop_link(&mut self) -> bool {
        self.link = None;
        true
    }
}

/// What the stream of changes says, taken together.
#[derive(Default)]
struct Fold {
    cursor: Option<String>,
    /// Of each user all changes, in their order.
    changes: BTreeMap<String, Vec<Value>>,
    /// Devices that are not Offline.
    devices: BTreeMap<String, BTreeMap<String, &'static str>>,
}

impl Fold {
    /// Reads on to the end of the stream.
    fn follow(&mut self, http: &Http, gateway: &Gateway) {
        loop {
            let after = self
                .cursor
                .as_ref()
                .map_or(String::new(), |cursor| format!("&after={cursor}"));
            let path = format!("/v1/changes?wait_s=0&limit=1000{after}");
            let (status, page) = http.get(gateway.admin, &path);
            assert_eq!(status, 200, "{page}");
            if page.is_empty() {
                return;
            }
            for line in page.lines() {
                self.take(serde_json::from_str(line).expect("a line is JSON"));
            }
        }
    }

    fn take(&mut self, change: Value) {
        let user = change["user"].as_str().expect("a user").to_owned();
        self.cursor = Some(change["cursor"].as_str().expect("a cursor").to_owned());
        let changes = self.changes.entry(user.clone()).or_default();
        assert_eq!(
            change["change"],
            changes.len() as u64 + 1,
            "numbers have no gap: {change}"
        );
        let told = changes.iter().rev().find(|change| !change["callback"].is_null());
        let told = told.map_or(0, |told| told["change"].as_u64().expect("a number"));
        assert_eq!(change["callback"]["previous"], told, "{change}");
        let devices = self.devices.entry(user).or_default();
        let device = name(&change["device"]);
        let mobile = change["device"]["platform"] == "Android";
        match change["kind"].as_str().expect("a kind") {
            "login" => {
                for loser in change["forced_off"].as_array().expect("a list") {
                    assert!(devices.remove(&name(loser)).is_some(), "{change}");
                }
                devices.insert(device, "Online");
            }
            "link-end" | "time-out" if mobile => _ = devices.insert(device, "PushOnline"),
            _ => assert!(devices.remove(&device).is_some(), "{change}"),
        }
        changes.push(change);
    }

    /// What a query must answer: the user's status, and those of the devices.
    fn statuses(&self, user: &str) -> Option<(&'static str, Vec<String>)> {
        let devices = self.devices.get(user)?;
        let all: BTreeSet<&str> = devices.values().copied().collect();
        let highest = ["Online", "PushOnline"]
            .into_iter()
            .find(|status| all.contains(status));
        let each = |(device, status): (&String, &&str)| format!("{device} {status}");
        Some((highest.unwrap_or("Offline"), devices.iter().map(each).collect()))
    }

    /// Nothing that was answered is undone.
    fn check_answers(&self, person: &Person) {
        let empty = Vec::new();
        let changes = self.changes.get(&person.user).unwrap_or(&empty);
        let kept = |change: &Value| match change["kind"].as_str().expect("a kind") {
            "login" => change["change"].as_u64().map(Answered::Session),
            "logout" => change["session"].as_u64().map(Answered::LoggedOut),
            _ => None,
        };
        let kept: BTreeSet<Answered> = changes.iter().filter_map(kept).collect();
        let gone = person.answered.iter().find(|answered| !kept.contains(answered));
        assert!(gone.is_none(), "{}: {gone:?} is gone: {changes:?}", person.user);
    }

    /// Nothing was told that is not on record.
    fn check_told(&self, told: &[Told]) {
        for callback in told {
            let place = usize::try_from(callback.change).expect("a small number") - 1;
            let change = &self.changes[&callback.user][place];
            let (action, reason) = match change["kind"].as_str().expect("a kind") {
                "login" => ("Login", "Register"),
                "logout" => ("Logout", "Unregister"),
                _ => ("Disconnect", "LinkClose"),
            };
            let info = &callback.body["Info"];
            assert_eq!(
                (info["Action"].as_str(), info["Reason"].as_str()),
                (Some(action), Some(reason))
            );
        }
    }

    fn all(&self) -> BTreeSet<(String, u64)> {
        let numbers = |(user, changes): (&String, &Vec<Value>)| {
            let user = user.clone();
            (1..=changes.len() as u64).map(move |number| (user.clone(), number))
        };
        self.changes.iter().flat_map(numbers).collect()
    }
}

/// Every device has the instance 1: its platform is a name.
fn name(device: &Value) -> String {
    match device["platform"].as_str().expect("a platform") {
        "Windows" => "PC".to_owned(),
        platform => platform.to_owned(),
    }
}

fn check_statuses(answer: &Value, expected: Option<(&str, Vec<String>)>) {
    let Some((status, devices)) = expected else {
        assert_eq!(answer["ErrorList"][0]["ErrorCode"], 70107, "{answer}");
        return;
    };
    let user = &answer["QueryResult"][0];
    let text = |of: &Value, name: &str| of[name].as_str().expect("text").to_owned();
    // Who is Offline has none.
    let detail = user["Detail"].as_array();
    let mut shown: Vec<String> = detail
        .into_iter()
        .flatten()
        .map(|device| format!("{} {}", text(device, "Platform"), text(device, "Status")))
        .collect();
    shown.sort_unstable();
    assert_eq!(
        (text(user, "Status").as_str(), shown),
        (status, devices),
        "{answer}"
    );
}

fn start(folder: &TempDir, receiver: &Receiver, shards: u32) -> Gateway {
    gateway(&[
        ("shards.count", &shards.to_string()),
        ("registry.path", &format!("{:?}", folder.path())),
        ("callback.url", &format!("{:?}", receiver.url())),
        ("callback.timeout_ms", "300"),
        ("limits.logins_per_user_max", "0"),
    ])
}

/// Everything must agree: what was answered, what is on record, what is shown, and what was told.
fn check(gateway: &Gateway, fold: &mut Fold, people: &[Person], receiver: &Receiver, order: &mut Order) {
    let http = Http::default();
    fold.follow(&http, gateway);
    for person in people {
        fold.check_answers(person);
        check_statuses(
            &http.query(gateway.http, &[&person.user]),
            fold.statuses(&person.user),
        );
    }
    let told = receiver.told();
    order.check(&told);
    fold.check_told(&told);
}

#[test]
fn a_killed_gateway_keeps_its_word() {
    let rounds = std::env::var("HOLDFAST_KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let folder = TempDir::new().unwrap();
    let receiver = Receiver::start(15);
    let mut people: Vec<Person> = (0..USERS).map(Person::new).collect();
    let mut fold = Fold::default();
    let mut order = Order::default();
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..rounds {
        let gateway = start(&folder, &receiver, 1 + round % 3);
        check(&gateway, &mut fold, &people, &receiver, &mut order);
        std::thread::scope(|scope| {
            for person in &mut people {
                let gateway = &gateway;
                scope.spawn(move || person.live(gateway));
            }
            // The moment is what the test is about: any will do.
            std::thread::sleep(Duration::from_millis(random.u64(20..400)));
            gateway.kill();
        });
    }
    let gateway = start(&folder, &receiver, 2);
    check(&gateway, &mut fold, &people, &receiver, &mut order);
    receiver.set_trouble(0);
    let all = fold.all();
    let (mut owed, mut looked_at) = (all.clone(), 0);
    let told = receiver.wait_for(|told| {
        for callback in &told[looked_at..] {
            owed.remove(&(callback.user.clone(), callback.change));
        }
        looked_at = told.len();
        owed.is_empty()
    });
    order.check(&told);
    let mut again = Fold::default();
    again.follow(&Http::default(), &gateway);
    assert_eq!(
        again.changes, fold.changes,
        "read again, the stream says the same"
    );
    let answered: usize = people.iter().map(|person| person.answered.len()).sum();
    println!(
        "{rounds} kills, {answered} answers, {} changes, {} callbacks",
        all.len(),
        told.len()
    );
    assert!(
        answered > 10 * rounds as usize,
        "the run shows little: {answered} answers"
    );
    assert!(gateway.stop());
}
