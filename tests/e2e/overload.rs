//! More than the gateway can take: who is live stays live, who is refused is told when to come back, and one address
//! cannot take everything.

use std::sync::atomic::{AtomicBool, Ordering};

use holdfast::protocol::native::proto::{self, Code, Platform, request, response};

use crate::gateway;
use crate::support::exposition::{self, value};
use crate::support::gateway::Gateway;
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login};

fn figure(gateway: &Gateway, http: &Http, name: &str, labels: &[(&str, &str)]) -> f64 {
    let (_, text) = http.get(gateway.admin, "/metrics");
    let families = exposition::read(&text).expect("good metrics");
    value(&families, name, labels).expect("the metric is there")
}

/// A shard publishes what it has counted behind its answers: a figure is asked for again until it is there.
fn await_figure(gateway: &Gateway, http: &Http, name: &str, labels: &[(&str, &str)], expected: f64) {
    let mut last = f64::NAN;
    for _ in 0..2_000 {
        last = figure(gateway, http, name, labels);
        if last == expected {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{name} {labels:?} is {last}, not {expected}");
}

fn verdict_of(terminal: &mut Terminal) -> proto::Verdict {
    match terminal.read() {
        Some(response::Packet::LoginAnswer(answer)) => answer.verdict.expect("every answer has one"),
        other => panic!("not a login answer: {other:?}"),
    }
}

/// Connects one terminal for each user, has all log in, and waits for all answers.
fn wave(
    gateway: &Gateway,
    name: &str,
    platform: Platform,
    count: u32,
) -> (Vec<Terminal>, Vec<proto::Verdict>) {
    let knock = |number| {
        let mut terminal = Terminal::connect(gateway.terminals);
        let login = login(&format!("{name}-{number}"), platform, 1);
        terminal.send(request::Packet::Login(login));
        terminal
    };
    let mut terminals: Vec<Terminal> = (0..count).map(knock).collect();
    let verdicts = terminals.iter_mut().map(verdict_of).collect();
    (terminals, verdicts)
}

fn all_good(verdicts: &[proto::Verdict]) -> bool {
    verdicts.iter().all(|verdict| verdict.code() == Code::Ok)
}

#[test]
fn a_login_storm_at_a_slow_registry_costs_no_live_session() {
    let settings = [
        ("testing.registry_delay_ms", "300"),
        ("presence.heartbeat_interval_s", "1"),
        ("presence.heartbeat_timeout_mobile_s", "3"),
    ];
    let gateway = gateway(&settings);
    let http = Http::default();
    let (mut live, verdicts) = wave(&gateway, "live", Platform::Iphone, 8);
    assert!(all_good(&verdicts));
    let storms = AtomicBool::new(true);
    let before = figure(&gateway, &http, "holdfast_registry_batches_total", &[]);
    let beats = std::thread::scope(|scope| {
        let beating = scope.spawn(|| {
            let mut beats = 0;
            while storms.load(Ordering::Relaxed) {
                // An answer that does not come within 20 s fails the test.
                live.iter_mut().for_each(Terminal::beat);
                beats += 1;
            }
            beats
        });
        // Each batch takes 300 ms: so many of them take twice the time-out.
        for number in 0..20 {
            let (_gone, verdicts) = wave(&gateway, &format!("storm-{number}"), Platform::Android, 150);
            assert!(all_good(&verdicts));
        }
        storms.store(false, Ordering::Relaxed);
        beating.join().expect("every heartbeat was answered")
    });
    let after = figure(&gateway, &http, "holdfast_registry_batches_total", &[]);
    assert!(
        after - before >= 20.0,
        "the storm lasted {} batches",
        after - before
    );
    assert!(beats > 0);
    // The storm's own terminals have left, so that their devices end by their links alone.
    assert_eq!(figure(&gateway, &http, "holdfast_time_outs_total", &[]), 0.0);
    live.iter_mut().for_each(Terminal::beat);
}

#[test]
fn logins_beyond_the_registrys_room_are_spread() {
    let settings = [("shards.count", "1"), ("testing.registry_delay_ms", "2000")];
    let gateway = gateway(&settings);
    let http = Http::default();
    let (_crowd, verdicts) = wave(&gateway, "crowd", Platform::Android, 6_000);
    let busy: Vec<&proto::Verdict> = verdicts
        .iter()
        .filter(|verdict| verdict.code() == Code::Busy)
        .collect();
    let good = verdicts
        .iter()
        .filter(|verdict| verdict.code() == Code::Ok)
        .count();
    assert_eq!(good + busy.len(), verdicts.len());
    assert!(
        !busy.is_empty() && good >= 4_096,
        "{good} good, {} busy",
        busy.len()
    );
    let label = [("code", "BUSY")];
    await_figure(
        &gateway,
        &http,
        "holdfast_logins_total",
        &label,
        busy.len() as f64,
    );
    let waits: Vec<u32> = busy.iter().map(|verdict| verdict.retry_after_ms).collect();
    let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*least >= 1_000 && *most <= 30_000, "{least} to {most}");
    // One alone is told 3 s at most.
    assert!(
        busy.len() < 1_000 || *most > 3_000,
        "{} up to {most} ms",
        busy.len()
    );
}

#[test]
fn an_address_has_so_many_connections_and_no_more() {
    let settings = [("shards.count", "1"), ("limits.connections_per_address_max", "3")];
    let gateway = gateway(&settings);
    let http = Http::default();
    let mut inside: Vec<Terminal> = (0..3)
        .map(|number| {
            let login = login(&format!("user-{number}"), Platform::Web, 1);
            Terminal::logged_in(gateway.terminals, login).0
        })
        .collect();
    assert_eq!(
        Terminal::connect(gateway.terminals).expect_error(),
        Code::AddressLimit
    );
    let refusals = "holdfast_address_refusals_total";
    let label = [("limit", "connections")];
    await_figure(&gateway, &http, refusals, &label, 1.0);
    await_figure(&gateway, &http, "holdfast_addresses_now", &[], 1.0);
    inside.iter_mut().for_each(Terminal::beat);
    inside.pop().expect("there are three").log_out();
    let (mut again, _) = Terminal::logged_in(gateway.terminals, login("again", Platform::Web, 1));
    again.beat();
    await_figure(&gateway, &http, refusals, &label, 1.0);
}

#[test]
fn an_address_fails_so_often_in_a_minute_and_no_more() {
    let settings = [
        ("shards.count", "1"),
        ("limits.failed_logins_per_address_max", "2"),
    ];
    let gateway = gateway(&settings);
    let http = Http::default();
    let (mut bystander, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Mac, 1));
    let bad = proto::Login {
        user_sig: "rubbish".to_owned(),
        ..login("mallory", Platform::Mac, 1)
    };
    // It connected before its address had failed too often.
    let mut early = Terminal::connect(gateway.terminals);
    for _ in 0..2 {
        let (_, answer) = Terminal::log_in(gateway.terminals, bad.clone());
        assert_eq!(answer.verdict.unwrap().code(), Code::UsersigUnreadable);
    }
    early.send(request::Packet::Login(login("bob", Platform::Mac, 1)));
    let verdict = verdict_of(&mut early);
    assert_eq!(verdict.code(), Code::AddressLimit);
    assert!(verdict.retry_after_ms > 0);
    assert_eq!(
        Terminal::connect(gateway.terminals).expect_error(),
        Code::AddressLimit
    );
    bystander.beat();
    let label = [("limit", "failed-logins")];
    await_figure(&gateway, &http, "holdfast_address_refusals_total", &label, 2.0);
    await_figure(
        &gateway,
        &http,
        "holdfast_logins_total",
        &[("code", "ADDRESS_LIMIT")],
        1.0,
    );
    // The limit looks at no address if it is not set.
    let free = crate::gateway(&[("shards.count", "1")]);
    for _ in 0..9 {
        let (_, answer) = Terminal::log_in(free.terminals, bad.clone());
        assert_eq!(answer.verdict.unwrap().code(), Code::UsersigUnreadable);
    }
    assert_eq!(figure(&free, &http, "holdfast_addresses_now", &[]), 0.0);
    Http::default().await_status(gateway.http, "alice", "Online");
}

#[test]
fn a_user_logs_in_so_often_in_a_minute_and_no_more() {
    let gateway = gateway(&[("limits.logins_per_user_max", "1")]);
    let http = Http::default();
    let (mut first, session) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Web, 1));
    first.beat();
    let (_, answer) = Terminal::log_in(gateway.terminals, login("alice", Platform::Mac, 1));
    let verdict = answer.verdict.unwrap();
    assert_eq!(verdict.code(), Code::UserLimit);
    assert_eq!(verdict.what_next(), proto::WhatNext::Retry);
    assert!(verdict.retry_after_ms > 0);
    // A resume of a session that goes on is not counted, and others are not concerned.
    let resume = proto::Login {
        session,
        ..login("alice", Platform::Web, 1)
    };
    let (mut again, kept) = Terminal::logged_in(gateway.terminals, resume);
    assert_eq!(kept, session);
    again.beat();
    Terminal::logged_in(gateway.terminals, login("bob", Platform::Mac, 1));
    let label = [("limit", "rate")];
    await_figure(&gateway, &http, "holdfast_user_refusals_total", &label, 1.0);
    let label = [("code", "USER_LIMIT")];
    await_figure(&gateway, &http, "holdfast_logins_total", &label, 1.0);
    // What one user is refused for does not count as a gateway that is full.
    assert_eq!(figure(&gateway, &http, "holdfast_logins_busy_total", &[]), 0.0);
}
