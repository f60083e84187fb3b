//! Terminals that say goodbye and do not wait for an answer: what they said counts in its order.

use holdfast::protocol::native::HEARTBEAT;
use holdfast::protocol::native::proto::{self, Platform, request};
use serde_json::Value;

use crate::gateway;
use crate::support::gateway::Gateway;
use crate::support::http::Http;
use crate::support::terminal::{Terminal, frame, login};

/// The kinds of a user's changes, as soon as there are so many; of fewer, if no more come.
fn kinds(gateway: &Gateway, user: &str, count: usize) -> Vec<String> {
    let (http, mut after, mut kinds) = (Http::default(), String::new(), Vec::new());
    while kinds.len() < count {
        let page = format!("/v1/changes?{after}limit=1000&wait_s=15");
        let (_, text) = http.get(gateway.admin, &page);
        let changes = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let changes: Vec<Value> = changes.collect();
        let Some(last) = changes.last() else { break };
        after = format!("after={}&", last["cursor"].as_str().unwrap());
        let of_user = changes.iter().filter(|change| change["user"] == user);
        kinds.extend(of_user.map(|change| change["kind"].as_str().unwrap().to_owned()));
    }
    kinds
}

/// Sends a login and what follows it in one segment, and closes.
fn say_and_close(gateway: &Gateway, login: proto::Login, behind: &[Vec<u8>]) {
    let bytes = [frame(request::Packet::Login(login)), behind.concat()].concat();
    Terminal::connect(gateway.terminals).send_bytes(&bytes);
}

fn logout() -> Vec<u8> {
    frame(request::Packet::Logout(proto::Logout {}))
}

fn background() -> Vec<u8> {
    frame(request::Packet::Background(proto::Background {
        background: true,
    }))
}

#[test]
fn a_logout_right_behind_the_login_counts_though_the_link_ends() {
    let gateway = gateway(&[
        ("presence.policy", "\"multi\""),
        ("testing.registry_delay_ms", "50"),
    ]);
    // Another device is Online: the user is at home, and each login is with the registry when the link ends.
    let (_mac, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Mac, 1));
    let mut expected = vec!["login"];
    for round in 0..10_u64 {
        let platform = if round % 2 == 0 {
            Platform::Iphone
        } else {
            Platform::Web
        };
        let behind = if round % 4 < 2 {
            vec![logout()]
        } else {
            vec![background(), logout()]
        };
        say_and_close(&gateway, login("alice", platform, 7), &behind);
        expected.extend(["login", "logout"]);
        assert_eq!(
            kinds(&gateway, "alice", expected.len()),
            expected,
            "round {round}"
        );
    }
}

#[test]
fn a_logout_behind_a_login_ends_the_devices_older_session_too() {
    let gateway = gateway(&[("testing.registry_delay_ms", "50")]);
    let http = Http::default();
    // The page is there, and a second connection of it takes its place.
    let (_page, _) = Terminal::logged_in(gateway.terminals, login("bob", Platform::Web, 1));
    say_and_close(&gateway, login("bob", Platform::Web, 1), &[logout()]);
    assert_eq!(kinds(&gateway, "bob", 3), ["login", "login", "logout"]);
    http.await_status(gateway.http, "bob", "Offline");
    // The telephone is PushOnline.
    let (phone, _) = Terminal::logged_in(gateway.terminals, login("carol", Platform::Iphone, 1));
    drop(phone);
    http.await_status(gateway.http, "carol", "PushOnline");
    say_and_close(&gateway, login("carol", Platform::Iphone, 1), &[logout()]);
    assert_eq!(
        kinds(&gateway, "carol", 4),
        ["login", "link-end", "login", "logout"]
    );
    http.await_status(gateway.http, "carol", "Offline");
}

#[test]
fn behind_a_mistake_nothing_counts() {
    let gateway = gateway(&[
        ("presence.policy", "\"multi\""),
        ("testing.registry_delay_ms", "50"),
    ]);
    let (_mac, _) = Terminal::logged_in(gateway.terminals, login("dave", Platform::Mac, 1));
    let no_packet = vec![2, 0x12, 9];
    say_and_close(
        &gateway,
        login("dave", Platform::Android, 1),
        &[no_packet, logout()],
    );
    assert_eq!(kinds(&gateway, "dave", 3), ["login", "login", "link-end"]);
}

#[test]
fn a_logout_counts_although_answers_before_it_find_nobody() {
    let gateway = gateway(&[]);
    let (mut phone, _) = Terminal::logged_in(gateway.terminals, login("erin", Platform::Iphone, 1));
    // More heartbeats than the gateway reads at once: it answers the first ones while the logout is not read.
    let mut bytes = HEARTBEAT.repeat(400);
    bytes.extend(logout());
    gateway.pause();
    phone.send_bytes(&bytes);
    drop(phone);
    gateway.go_on();
    assert_eq!(kinds(&gateway, "erin", 2), ["login", "logout"]);
}
