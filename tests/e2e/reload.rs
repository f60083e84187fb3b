//! A changed configuration is taken while the gateway runs: by its command, by the admin listener, and by SIGHUP.

use std::process::{Command, Output};

use holdfast::protocol::native::proto::Platform;
use serde_json::json;

use crate::support::gateway::Gateway;
use crate::support::http::Http;
use crate::support::receiver::Receiver;
use crate::support::terminal::{Terminal, login};

struct World {
    file: tempfile::NamedTempFile,
    gateway: Gateway,
}

impl World {
    fn new(text: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let program = env!("CARGO_BIN_EXE_holdfast");
        let path = file.path().to_str().unwrap();
        let gateway = Gateway::start_in(program, &[("shards.count", "2")], &[("HOLDFAST_CONFIG", path)]);
        Self { file, gateway }
    }

    fn write(&self, text: &str) {
        std::fs::write(self.file.path(), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let admin = format!("admin.listen=[\"{}\"]", self.gateway.admin);
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.args(["--set", &admin]).args(arguments);
        if !arguments.contains(&"--config") {
            command.arg("--config").arg(self.file.path());
        }
        command.output().unwrap()
    }

    /// Whether a user's iPhone and Mac can be online together.
    fn both_may_be_online(&self, user: &str) -> bool {
        let address = self.gateway.terminals;
        let (_phone, _) = Terminal::logged_in(address, login(user, Platform::Iphone, 1));
        let (_mac, answer) = Terminal::log_in(address, login(user, Platform::Mac, 2));
        answer.forced_off.is_empty()
    }
}

const MULTI: &str = "[presence]\npolicy = \"multi\"\nheartbeat_interval_s = 60\n";
const BAD: &str = "[presence]\npolicy = \"multi\"\nconflict = \"nobody-wins\"\n";

#[test]
fn a_file_that_cannot_be_used_is_a_problem_and_nothing_is_taken() {
    let world = World::new("");
    let http = Http::default();
    world.write("[presence]\npolicy = \"multi\"\n[callback]\nca_file = \"/nobody.pem\"\n");
    let (status, answer) = http.post(world.gateway.admin, "/v1/reload", &json!({}));
    let problem = answer["problems"][0].as_str().unwrap();
    assert!(
        status == 422 && problem.starts_with("callback.ca_file: found /nobody.pem"),
        "{answer}"
    );
    assert!(!world.both_may_be_online("user-1"));
    assert!(world.gateway.stop());
}

#[test]
fn a_good_configuration_is_taken_and_a_bad_one_is_not() {
    let world = World::new("");
    let http = Http::default();
    assert!(!world.both_may_be_online("user-1"));
    world.write(BAD);
    let (status, answer) = http.post(world.gateway.admin, "/v1/reload", &json!({}));
    let problem = answer["problems"][0].as_str().unwrap();
    assert_eq!(status, 422);
    assert!(
        problem.starts_with("presence.conflict: found \"nobody-wins\""),
        "{answer}"
    );
    assert!(
        !world.both_may_be_online("user-2"),
        "not even the good half was taken"
    );

    world.write(MULTI);
    let seen = world.command(&["reload", "--dry-run"]);
    let text = String::from_utf8(seen.stdout).unwrap();
    assert!(
        seen.status.success() && text.starts_with("Nothing was taken."),
        "{text}"
    );
    assert!(!world.both_may_be_online("user-3"), "a dry run takes nothing");

    let taken = world.command(&["reload"]);
    let text = String::from_utf8(taken.stdout).unwrap();
    assert!(taken.status.success(), "{text}");
    assert!(text.contains("  presence.policy: for next logins\n"), "{text}");
    assert!(
        text.contains("  presence.heartbeat_interval_s: at a restart\n"),
        "{text}"
    );
    assert!(world.both_may_be_online("user-4"));
    let (_terminal, answer) = Terminal::log_in(world.gateway.terminals, login("user-5", Platform::Web, 1));
    assert_eq!(
        answer.heartbeat_interval_ms, 120_000,
        "sessions are told what the gateway goes by"
    );
}

/// Whether the first change of a user owes a callback.
fn owes_a_callback(world: &World, http: &Http, user: &str) -> bool {
    let (status, text) = http.get(world.gateway.admin, &format!("/v1/users/{user}/changes"));
    let line = text.lines().next().unwrap_or_default();
    let change: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{status} {text}"));
    !change["callback"].is_null()
}

#[test]
fn a_receiver_counts_when_its_reload_is_answered() {
    let world = World::new("");
    let http = Http::default();
    let receiver = Receiver::start(0);
    let on = format!("[callback]\nurl = \"{}\"\n", receiver.url());
    let reload = |text: &str| {
        world.write(text);
        let (status, answer) = http.post(world.gateway.admin, "/v1/reload", &json!({}));
        assert_eq!(status, 200, "{answer}");
        assert_eq!(
            answer["changes"][0],
            json!({"setting": "callback.url", "counts": "at once"})
        );
    };
    // The end of their links would be told as soon as there is a receiver again.
    let mut kept = Vec::new();
    for round in 0..5 {
        reload(&on);
        let user = format!("told-{round}");
        let (_terminal, _) = Terminal::logged_in(world.gateway.terminals, login(&user, Platform::Iphone, 1));
        assert!(owes_a_callback(&world, &http, &user), "{user}");
        receiver.wait_for(|told| told.iter().any(|told| told.user == user));
        reload("");
        let user = format!("not-told-{round}");
        let (terminal, _) = Terminal::logged_in(world.gateway.terminals, login(&user, Platform::Iphone, 1));
        kept.push(terminal);
        assert!(!owes_a_callback(&world, &http, &user), "{user}");
    }
    assert!(world.gateway.stop());
    assert!(receiver.told().iter().all(|told| told.user.starts_with("told-")));
}

#[test]
fn what_shards_and_the_front_go_by_counts_when_a_reload_is_answered() {
    let world = World::new("");
    let http = Http::default();
    let by_name = || {
        let url = format!("http://{}/v1/callbacks", world.gateway.admin);
        let request = hyper::Request::get(url).header("Host", "gateway.example");
        http.request(request.body(Default::default()).unwrap()).0
    };
    let reload = |text: &str| {
        world.write(text);
        let (status, answer) = http.post(world.gateway.admin, "/v1/reload", &json!({}));
        assert_eq!(status, 200, "{answer}");
    };
    for round in 0..5 {
        reload("[presence]\npolicy = \"multi\"\n[admin]\nhosts = [\"gateway.example\"]\n");
        assert_eq!(by_name(), 200);
        assert!(world.both_may_be_online(&format!("multi-{round}")));
        reload("");
        assert_eq!(by_name(), 403);
        assert!(!world.both_may_be_online(&format!("single-{round}")));
    }
    assert!(world.gateway.stop());
}

#[test]
fn a_port_that_is_none_is_refused_with_its_bounds() {
    let world = World::new("");
    let http = Http::default();
    for port in ["99999", "65536", "8o", "+80", "0"] {
        world.write(&format!(
            "[callback]\nurl = \"http://127.0.0.1:{port}/callback\"\n"
        ));
        let (status, answer) = http.post(world.gateway.admin, "/v1/reload", &json!({}));
        let problem = answer["problems"][0].as_str().unwrap_or_default();
        assert!(
            status == 422 && problem.contains("a port from 1 to 65535"),
            "{port}: {answer}"
        );
    }
    assert!(world.gateway.stop());
}

#[test]
fn a_reload_says_how_its_caller_differs_instead_of_dropping_it() {
    let world = World::new("");
    let told = |arguments: &[&str], code: i32| {
        let seen = world.command(arguments);
        assert_eq!(seen.status.code(), Some(code), "{arguments:?}");
        String::from_utf8(seen.stderr).unwrap()
    };
    let other = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(other.path(), MULTI).unwrap();
    let differs = "presence.policy: the gateway reads \"single\", its caller was given \"multi\"";
    let own = format!("the gateway reads the file {}", world.file.path().display());
    let text = told(&["reload", "--set", "presence.policy=multi"], 3);
    assert!(text.contains(differs) && text.contains(&own), "{text}");
    let text = told(&["reload", "--config", other.path().to_str().unwrap()], 3);
    assert!(text.contains(differs), "{text}");
    let text = told(
        &["reload", "--set", "usersig.keys=[{secret=\"0123456789abcdef\"}]"],
        1,
    );
    assert!(
        text.contains("usersig.keys by --set") && !text.contains("0123456789abcdef"),
        "{text}"
    );
    assert!(!world.both_may_be_online("user-1"));
    assert!(
        world
            .command(&["reload", "--set", "presence.policy=single"])
            .status
            .success()
    );
    assert!(world.gateway.stop());
}

#[test]
fn a_signal_reloads_and_does_not_stop() {
    let world = World::new("");
    let http = Http::default();
    assert_eq!(http.get(world.gateway.admin, "/healthz").0, 200);
    world.write("[admin]\ntoken = \"a-token-of-this-test\"\n");
    world.gateway.hang_up();
    for _ in 0..2_000 {
        if http.get(world.gateway.admin, "/metrics").0 == 401 {
            assert!(
                world.command(&["reload"]).status.success(),
                "the new token is the one that counts"
            );
            assert!(world.gateway.stop(), "Ctrl-C still ends it");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the signal was not heard");
}
