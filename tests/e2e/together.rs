//! Many devices of few users at once, on four shards: what must hold at every moment, seen from outside.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use holdfast::protocol::native::proto::{self, Code, Platform, request, response};
use serde_json::Value;

use crate::gateway;
use crate::support::gateway::Gateway;
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login};

const USERS: usize = 20;
const CLIENTS: usize = 200;
const DURATION: Duration = Duration::from_secs(30);

/// What all clients saw: the devices of a user after one of its changes, by user and change number.
type Seen = Mutex<HashMap<(String, u64), Value>>;

struct Client<'a> {
    gateway: &'a Gateway,
    seen: &'a Seen,
    http: Http,
    random: fastrand::Rng,
    user: String,
    platform: Platform,
    instance: u64,
    link: Option<Terminal>,
    session: u64,
    /// The session was ended by a logout or by another device.
    ended: bool,
    logins: u64,
}

#[test]
fn rules_hold_while_200_clients_of_20_users_come_and_go() {
    let gateway = gateway(&[
        ("shards.count", "4"),
        ("presence.policy", "\"dual\""),
        // Nobody comes and goes as often as these.
        ("limits.logins_per_user_max", "0"),
    ]);
    let seen = Seen::default();
    let logins: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = Client::new(&gateway, &seen, number);
                scope.spawn(move || client.run())
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("no rule was broken"))
            .sum()
    });
    assert!(logins > 1_000, "only {logins} logins: the run shows little");
    println!("{logins} logins, {} states seen", seen.lock().unwrap().len());
}

impl<'a> Client<'a> {
    fn new(gateway: &'a Gateway, seen: &'a Seen, number: usize) -> Self {
        let platforms = [
            Platform::Android,
            Platform::Iphone,
            Platform::Windows,
            Platform::Mac,
            Platform::Web,
        ];
        Self {
            gateway,
            seen,
            http: Http::default(),
            random: fastrand::Rng::with_seed(number as u64),
            user: format!("user-{}", number % USERS),
            platform: platforms[number / USERS % platforms.len()],
            instance: 1 + number as u64,
            link: None,
            session: 0,
            ended: false,
            logins: 0,
        }
    }

    fn run(mut self) -> u64 {
        let start = Instant::now();
        while start.elapsed() < DURATION {
            match self.random.u8(..10) {
                0..=2 => self.log_in(0),
                3..=5 => self.resume(),
                6 => self.log_out(),
                7 => self.link = None,
                _ => self.look(),
            }
            std::thread::sleep(Duration::from_millis(self.random.u64(..200)));
        }
        self.logins
    }

    fn log_in(&mut self, session: u64) {
        let login = proto::Login {
            session,
            ..login(&self.user, self.platform, self.instance)
        };
        let (terminal, answer) = Terminal::log_in(self.gateway.terminals, login);
        let verdict = answer.verdict.expect("every answer has a verdict");
        match verdict.code() {
            Code::Ok => {
                assert!(session == 0 || !self.ended, "rule 6: an ended session came back");
                (self.link, self.session, self.ended) = (Some(terminal), answer.session, false);
                self.logins += 1;
                self.look();
            }
            Code::SessionForcedOff | Code::SessionLoggedOut | Code::SessionUnknown => {
                assert!(session != 0, "a fresh login needs no session");
                self.ended = true;
                self.link = None;
            }
            Code::Busy => self.link = None,
            other => panic!("{other:?}: {}", verdict.text),
        }
    }

    fn resume(&mut self) {
        if self.session != 0 {
            self.link = None;
            self.log_in(self.session);
        }
    }

    fn log_out(&mut self) {
        let Some(mut terminal) = self.link.take() else {
            return;
        };
        // It may have been forced off: then the gateway has closed already.
        if std::io::Write::write_all(
            &mut terminal.stream,
            &crate::support::terminal::frame(request::Packet::Logout(proto::Logout {})),
        )
        .is_ok()
        {
            while terminal.read().is_some() {}
        }
        self.ended = true;
    }

    /// Reads the user's state and compares it with what this client knows.
    fn look(&mut self) {
        let (status, body) = self
            .http
            .get(self.gateway.admin, &format!("/v1/users/{}", self.user));
        if status == 404 {
            return;
        }
        let state: Value = serde_json::from_str(&body).expect("JSON");
        let devices = state["devices"].as_array().expect("a list of devices");
        let web = devices
            .iter()
            .filter(|device| device["platform"] == "Web")
            .count();
        assert!(
            web <= 1 && devices.len() - web <= 1,
            "rule 5: more devices than the policy allows: {body}"
        );
        self.compare_with_others(&state, devices);
        if self.is_live() {
            let mine = devices
                .iter()
                .find(|device| device["instance"].as_str() == Some(&*self.instance.to_string()));
            assert_eq!(
                mine.map(|device| &device["status"]),
                Some(&Value::from("Online")),
                "rules 3 and 4: {body}"
            );
            assert_eq!(
                self.http
                    .status(self.gateway.http, &self.user)
                    .as_deref()
                    .filter(|_| self.is_live())
                    .unwrap_or("Online"),
                "Online"
            );
        }
    }

    /// Rule 1: after the same change everyone sees the same devices.
    fn compare_with_others(&self, state: &Value, devices: &[Value]) {
        let change = state["change"].as_u64().expect("a change number");
        let mut devices: Vec<String> = devices
            .iter()
            .map(|device| format!("{}{}{}", device["platform"], device["instance"], device["status"]))
            .collect();
        devices.sort();
        let devices = Value::from(devices);
        let mut seen = self.seen.lock().unwrap();
        let known = seen
            .entry((self.user.clone(), change))
            .or_insert_with(|| devices.clone());
        assert_eq!(
            *known, devices,
            "rule 1: two states after change {change} of {}",
            self.user
        );
    }

    /// Whether the link still lives: a heartbeat is answered. A ForceOffline is noted.
    fn is_live(&mut self) -> bool {
        let Some(terminal) = &mut self.link else {
            return false;
        };
        let beat = crate::support::terminal::frame(request::Packet::Heartbeat(proto::Heartbeat {}));
        let sent = std::io::Write::write_all(&mut terminal.stream, &beat).is_ok();
        match terminal.read() {
            Some(response::Packet::HeartbeatAnswer(_)) if sent => return true,
            Some(response::Packet::ForceOffline(_)) => self.ended = true,
            None | Some(_) => {}
        }
        self.link = None;
        false
    }
}
