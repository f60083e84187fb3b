//! Nodes that die, stand still, or are started again: nobody who comes back in time has a change.

use std::net::SocketAddr;

use holdfast::protocol::native::proto::{Login, Platform, response};
use serde_json::json;

use crate::node::{Cluster, Node, arrive, following, wait_until};
use crate::support::http::Http;
use crate::support::terminal::Terminal;

const USERS: usize = 24;

/// Logs all of them in, first at this node. Gives each one's login, terminal, session, and the address where it is at home.
fn all_log_in(first: &Node, names: &[String]) -> Vec<(Login, Terminal, u64, SocketAddr)> {
    let log_in = |name: &String| {
        let login = following(name, Platform::Android, 1);
        let (terminal, session, at) = arrive(first, &login);
        (login, terminal, session, at)
    };
    names.iter().map(log_in).collect()
}

#[test]
fn the_users_of_a_node_that_was_killed_come_back_elsewhere_without_a_change() {
    let cluster = Cluster::found(&[]);
    let (one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    let names: Vec<_> = (0..USERS).map(|number| format!("user-{number}")).collect();
    let sessions = all_log_in(&one, &names);
    two.gateway.kill();
    cluster.wait_whole(&[&one]);
    let mut stay = Vec::new();
    for (mut login, mut terminal, session, at) in sessions {
        if at == one.gateway.terminals {
            terminal.beat();
            stay.push(terminal);
            continue;
        }
        assert_eq!(terminal.read(), None);
        login.session = session;
        let (terminal, same, at) = arrive(&one, &login);
        assert_eq!((same, at), (session, one.gateway.terminals));
        stay.push(terminal);
    }
    for name in &names {
        assert_eq!(one.user(name)["change"], 1, "{name}");
    }
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(one.statuses(&all), ["Online"; USERS]);
}

#[test]
fn a_node_that_is_started_again_has_its_users_back() {
    let cluster = Cluster::found(&[]);
    let (one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    let before = two.owned();
    two.gateway.kill();
    let two = cluster.start_again(two);
    cluster.wait_whole(&[&one, &two]);
    assert!(two.owned().abs_diff(before) <= 2, "{} of {before}", two.owned());
}

#[test]
fn a_node_that_stood_still_past_its_lease_owns_nothing_when_it_goes_on() {
    let cluster = Cluster::found(&[]);
    let (one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    let login = |name: &str| following(name, Platform::Ipad, 1);
    let names: Vec<_> = (0..USERS).map(|number| format!("user-{number}")).collect();
    let sessions: Vec<_> = names.iter().map(|name| arrive(&one, &login(name)).1).collect();
    two.gateway.pause();
    cluster.wait_whole(&[&one]);
    // Everyone logs in afresh at the node that is left: what the other one remembers is no longer true.
    let fresh: Vec<_> = names.iter().map(|name| arrive(&one, &login(name))).collect();
    for ((_, session, at), before) in fresh.iter().zip(&sessions) {
        assert!(session > before);
        assert_eq!(*at, one.gateway.terminals);
    }
    two.gateway.go_on();
    wait_until("it takes part again", || two.owned() > 0);
    cluster.wait_whole(&[&one, &two]);
    for (name, (_, session, _)) in names.iter().zip(&fresh) {
        wait_until("both know the user's session", || {
            [&one, &two]
                .iter()
                .all(|node| node.user(name)["devices"][0]["session"] == *session)
        });
    }
}

#[test]
fn a_node_that_stops_leaves_its_users_to_its_next_start() {
    let cluster = Cluster::found(&[]);
    let (one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    let (_terminal, session, at) = arrive(&one, &following("alice", Platform::Iphone, 1));
    let (stays, mut stops) = match at == one.gateway.terminals {
        true => (two, one),
        false => (one, two),
    };
    let before = stays.owned();
    stops.gateway.ask_to_stop();
    wait_until("it has ended", || stops.gateway.has_ended());
    assert_eq!(stays.owned(), before, "nobody takes what is soon back");
    let stops = cluster.start_again(stops);
    cluster.wait_whole(&[&stays, &stops]);
    let mut login = following("alice", Platform::Iphone, 1);
    login.session = session;
    let (_terminal, same, _) = arrive(&stays, &login);
    assert_eq!(same, session);
    assert_eq!(stays.user("alice")["change"], 1);
}

#[test]
fn a_node_that_is_drained_gives_its_users_to_the_other_one_and_ends_well() {
    let cluster = Cluster::found(&[]);
    let (mut one, two) = (cluster.start(1), cluster.start(2));
    cluster.wait_whole(&[&one, &two]);
    let names: Vec<_> = (0..USERS).map(|number| format!("user-{number}")).collect();
    let sessions = all_log_in(&one, &names);
    let (status, answer) = Http::default().post(one.gateway.admin, "/v1/cluster/drain", &json!({}));
    assert_eq!(status, 200, "{answer}");
    let mut stay = Vec::new();
    for (mut login, mut terminal, session, at) in sessions {
        if at == two.gateway.terminals {
            stay.push(terminal);
            continue;
        }
        let Some(response::Packet::GoAway(goodbye)) = terminal.read() else {
            panic!("who is at home elsewhere is sent there");
        };
        assert_eq!(goodbye.address, two.gateway.terminals.to_string());
        login.session = session;
        let (terminal, same, at) = arrive(&two, &login);
        assert_eq!((same, at), (session, two.gateway.terminals));
        stay.push(terminal);
    }
    wait_until("it has ended", || one.gateway.has_ended());
    assert_eq!(one.gateway.ended(), Some(0));
    cluster.wait_whole(&[&two]);
    for name in &names {
        assert_eq!(two.user(name)["change"], 1, "{name}");
    }
}
