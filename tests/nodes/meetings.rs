//! Devices of one user meet, whichever node they come to.

use holdfast::protocol::native::proto::{self, Code, Platform, request, response};
use holdfast::protocol::packet::{FEATURE_ACKS, FEATURE_MESSAGES, FEATURE_REDIRECT};
use serde_json::{Value, json};

use crate::node::{Cluster, arrive, following, wait_until};
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login};

/// Enough that each node is home to some.
const USERS: usize = 24;

fn names() -> Vec<String> {
    (0..USERS).map(|number| format!("user-{number}")).collect()
}

#[test]
fn a_device_forces_another_one_off_across_nodes() {
    let cluster = Cluster::found(&[("presence.policy", "single")]);
    let (one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    assert!(one.owned() > 0 && two.owned() > 0);
    let mut sent_away = 0;
    for name in names() {
        let (mut phone, session, at) = arrive(&one, &following(&name, Platform::Android, 1));
        sent_away += usize::from(at != one.gateway.terminals);
        let (_desktop, second, there) = arrive(&two, &following(&name, Platform::Windows, 2));
        assert_eq!(at, there, "all devices of a user meet");
        assert!(second > session);
        phone.expect_force_offline();
        for node in [&one, &two] {
            assert_eq!(node.statuses(&[&name]), ["Online"], "{name}");
            let known = node.user(&name);
            assert_eq!(known["devices"].as_array().unwrap().len(), 1, "{known}");
            assert_eq!(known["devices"][0]["platform"], "Windows");
        }
    }
    assert!(
        sent_away > 0 && sent_away < USERS,
        "{sent_away} of {USERS} were sent to the other node"
    );
}

#[test]
fn any_node_answers_for_all_users_and_kicks_them() {
    let cluster = Cluster::found(&[]);
    let (one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    let names = names();
    let mut terminals: Vec<_> = names
        .iter()
        .map(|name| arrive(&one, &following(name, Platform::Iphone, 1)).0)
        .collect();
    let all: Vec<&str> = names.iter().map(String::as_str).chain(["nobody"]).collect();
    let mut expected = vec!["Online"; USERS];
    expected.push("error");
    for node in [&one, &two] {
        assert_eq!(node.statuses(&all), expected);
    }
    for (name, terminal) in names.iter().zip(&mut terminals) {
        let body = json!({ "UserID": name });
        let answer = Http::default().call(two.gateway.http, "im_open_login_svc/kick", &body);
        assert_eq!(answer["ErrorCode"], 0, "{answer}");
        terminal.expect_force_offline();
    }
    assert_eq!(one.statuses(&all[..USERS]), ["Offline"; USERS]);
}

#[test]
fn any_node_sends_messages_to_all_users() {
    let cluster = Cluster::found(&[]);
    let (one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    let names = names();
    let login = |name: &String| proto::Login {
        features: FEATURE_REDIRECT | FEATURE_MESSAGES | FEATURE_ACKS,
        ..following(name, Platform::Mac, 1)
    };
    let mut terminals: Vec<_> = names.iter().map(|name| arrive(&one, &login(name)).0).collect();
    let targets = names.iter().map(String::as_str).chain(["nobody"]);
    let targets: Vec<Value> = targets.map(|name| json!({ "user": name })).collect();
    for node in [&one, &two] {
        let body = json!({ "to": targets, "text": "hello", "wait_ms": 2_500 });
        let (status, answer) = std::thread::scope(|scope| {
            let answer = scope.spawn(|| Http::default().send(node.gateway.http, &body));
            for terminal in &mut terminals {
                let Some(response::Packet::Message(message)) = terminal.read() else {
                    panic!("each of them gets it");
                };
                let ack = proto::MessageAck {
                    id: vec![message.id],
                    reply: b"42".to_vec(),
                    refused: false,
                };
                terminal.send(request::Packet::MessageAck(ack));
            }
            answer.join().unwrap()
        });
        assert_eq!(status, 200, "{answer}");
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.last().unwrap()["outcome"], "unknown_account");
        for (result, name) in results.iter().zip(&names) {
            let (user, change, device) = (&result["user"], &result["change"], &result["devices"][0]);
            assert_eq!((user, change), (&json!(name), &json!(1)));
            let told = (&device["outcome"], &device["reply"], &device["platform"]);
            assert_eq!(told, (&json!("acked"), &json!("NDI="), &json!("Mac")), "{result}");
        }
    }
}

#[test]
fn a_terminal_that_knows_no_other_nodes_is_told_so() {
    let cluster = Cluster::found(&[]);
    let (one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    let mut refused = 0;
    for name in names() {
        let (_terminal, answer) = Terminal::log_in(one.gateway.terminals, login(&name, Platform::Mac, 1));
        let verdict = answer.verdict.unwrap();
        match verdict.code() {
            Code::Ok => {}
            code => {
                assert_eq!(code, Code::Elsewhere, "{}", verdict.text);
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && refused < USERS, "{refused}");
}

#[test]
fn a_node_that_is_added_takes_its_share_and_nobody_sees_a_change() {
    let cluster = Cluster::found(&[]);
    let one = cluster.start(1);
    cluster.wait_whole(&[&one]);
    let names = names();
    let mut before = Vec::new();
    for name in &names {
        let login = following(name, Platform::Linux, 1);
        let (terminal, session, _) = arrive(&one, &login);
        before.push((login, terminal, session));
    }
    let two = cluster.start(2);
    wait_until("the second node has its share", || two.owned() >= 6);
    cluster.wait_whole(&[&one, &two]);
    let mut moved = 0;
    let mut stay = Vec::new();
    for (mut login, mut terminal, session) in before {
        if one.is_home_of(&login.user_id) {
            terminal.beat();
            stay.push(terminal);
            continue;
        }
        let Some(response::Packet::GoAway(goodbye)) = terminal.read() else {
            panic!("who is at home elsewhere is sent there");
        };
        assert_eq!(goodbye.address, two.gateway.terminals.to_string());
        assert_eq!(terminal.read(), None);
        login.session = session;
        let (terminal, same, at) = arrive(&one, &login);
        assert_eq!(
            (same, at),
            (session, two.gateway.terminals),
            "it is the session that it was"
        );
        stay.push(terminal);
        moved += 1;
    }
    assert!(moved > 0 && moved < USERS, "{moved}");
    for node in [&one, &two] {
        for name in &names {
            assert_eq!(node.user(name)["change"], 1, "only the login is a change");
        }
    }
}
