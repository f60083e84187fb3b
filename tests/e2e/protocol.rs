//! What `proto/README.md` tells those who write a terminal, held to the gateway: its session byte by byte, its codes, its
//! limits, and what it says of resuming.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use holdfast::base::limits::{
    DEVICE_MESSAGE_BYTES_MAX, DEVICE_MESSAGES_MAX, EAGER_BYTES_MAX, ENDED_DEVICES_MAX,
    FRAME_BYTES_MAX_AFTER_LOGIN, FRAME_BYTES_MAX_BEFORE_LOGIN, OUTBOUND_BYTES_MAX, USER_ID_BYTES_MAX,
    VERSION_BYTES_MAX,
};
use holdfast::protocol::native::proto::{Code, Login, LoginAnswer, Platform, WhatNext, response};
use holdfast::protocol::verdict;
use holdfast::services::registry::ENDED_KEPT;
use serde_json::Value;

use crate::gateway;
use crate::support::command::run;
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login};

const PAGE: &str = include_str!("../../proto/README.md");
const PROTOCOL: &str = include_str!("../../proto/gateway.proto");

/// The text from a heading to the next one.
fn section(heading: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n## {heading}\n")).expect(heading);
    rest.split("\n## ").next().unwrap()
}

/// The rows of a section's tables, each as its cells.
fn rows(heading: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = section(heading).lines();
    let rows = lines.filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").collect())
}

/// A line of the session: who sends it, its bytes, and what it is said to be. `None`: any byte.
struct Line {
    from_terminal: bool,
    bytes: Vec<Option<u8>>,
    meaning: &'static str,
}

impl Line {
    fn read(line: &'static str) -> Option<Self> {
        let (from_terminal, rest) = match line.split_once(' ')? {
            ("→", rest) => (true, rest),
            ("←", rest) => (false, rest),
            _ => return None,
        };
        let (bytes, meaning) = rest.split_once('#').unwrap_or((rest, ""));
        let bytes = bytes.split_whitespace().flat_map(|word| match word {
            ".." => vec![None],
            text if text.starts_with('"') => text.trim_matches('"').bytes().map(Some).collect(),
            hex => vec![Some(u8::from_str_radix(hex, 16).expect(line))],
        });
        Some(Self {
            from_terminal,
            bytes: bytes.collect(),
            meaning: meaning.trim(),
        })
    }

    /// The field that it says it is, with its number.
    fn field(&self) -> Option<(&'static str, u8)> {
        let (name, rest) = self.meaning.split_once(" = ")?;
        let number = rest.split([':', ',']).next()?.parse().ok()?;
        name.rsplit(' ').next()?.rsplit('.').next().zip(Some(number))
    }
}

fn session() -> Vec<Line> {
    let lines: Vec<Line> = section("A whole session, byte by byte")
        .lines()
        .filter_map(Line::read)
        .collect();
    assert!(lines.len() > 20, "the session is in the page");
    lines
}

#[test]
fn the_page_shows_a_session_as_it_is() {
    let gateway = gateway(&[]);
    let mut stream = TcpStream::connect(gateway.terminals).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for line in session() {
        if line.from_terminal {
            let bytes: Vec<u8> = line.bytes.iter().map(|byte| byte.unwrap()).collect();
            stream.write_all(&bytes).unwrap();
            continue;
        }
        let mut bytes = vec![0; line.bytes.len()];
        stream.read_exact(&mut bytes).unwrap();
        let as_told = line
            .bytes
            .iter()
            .zip(&bytes)
            .all(|(told, byte)| told.is_none_or(|told| told == *byte));
        assert!(as_told, "{}: {bytes:02x?}", line.meaning);
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the gateway closes it");
}

#[test]
fn the_page_names_fields_as_the_protocol_does() {
    let fields: Vec<_> = session()
        .iter()
        .filter_map(|line| Some((line.field()?, line.bytes[0])))
        .collect();
    assert!(fields.len() > 15, "{fields:?}");
    for ((name, number), key) in fields {
        assert_eq!(key.unwrap() >> 3, number, "{name}");
        assert!(
            PROTOCOL.contains(&format!(" {name} = {number};")),
            "{name} = {number}"
        );
    }
}

#[test]
fn the_page_has_every_code_with_what_is_next() {
    let told = rows("Codes").filter(|row| row[0].parse::<i32>().is_ok());
    let told: Vec<String> = told
        .map(|row| format!("{} {} {}", row[0], row[1], row[4]))
        .collect();
    let expected = verdict::Code::ALL.iter().map(|code| {
        let next = match code.what_next() {
            verdict::WhatNext::Nothing => "–",
            verdict::WhatNext::Retry => "`RETRY`",
            verdict::WhatNext::LogInAfresh => "`LOG_IN_AFRESH`",
            verdict::WhatNext::RenewUsersig => "`RENEW_USERSIG`",
            verdict::WhatNext::Stop => "`STOP`",
        };
        format!("{} `{}` {next}", *code as i32, code.name())
    });
    assert_eq!(told, expected.collect::<Vec<_>>());
}

#[test]
fn the_page_has_the_limits_that_count() {
    let config = run(env!("CARGO_BIN_EXE_holdfast"), &["config"], b"").out;
    let config: toml::Table = config.parse().unwrap();
    let limits = [
        FRAME_BYTES_MAX_BEFORE_LOGIN,
        FRAME_BYTES_MAX_AFTER_LOGIN,
        EAGER_BYTES_MAX,
        OUTBOUND_BYTES_MAX,
        DEVICE_MESSAGES_MAX,
        DEVICE_MESSAGE_BYTES_MAX,
        usize::try_from(ENDED_KEPT.as_secs() / 86_400).unwrap(),
        ENDED_DEVICES_MAX,
    ];
    let mut limits = limits.into_iter();
    for row in rows("Limits").filter(|row| row[1].starts_with(|first: char| first.is_ascii_digit())) {
        let told = row[1].split(' ').next().unwrap().replace(',', "");
        let expected = match row[0].split('`').nth(1) {
            Some(setting) => {
                let (section, name) = setting.split_once('.').unwrap();
                config[section][name].to_string()
            }
            None => limits.next().expect(row[0]).to_string(),
        };
        assert_eq!(told, expected, "{}", row[0]);
    }
    assert_eq!(limits.next(), None, "each limit has its row");
    let resuming: Vec<&str> = section("Resuming").split_whitespace().collect();
    let resuming = resuming.join(" ");
    let remembered = format!("for {} days", ENDED_KEPT.as_secs() / 86_400);
    assert_eq!(resuming.matches(&remembered).count(), 2, "{remembered}");
    assert!(resuming.contains(&format!("unless {ENDED_DEVICES_MAX} other devices")));
}

#[test]
fn the_page_has_the_bounds_of_a_login() {
    let bounds = |field: &str| {
        let mut rows = rows("Logging in").filter(|row| row[0].contains(&format!("`{field}`")));
        rows.next().expect(field)[1].rsplit_once(": ").expect(field).1
    };
    let printable = |least: u8, most| format!("{least} to {most} bytes of printable ASCII");
    assert_eq!(bounds("user_id"), printable(1, USER_ID_BYTES_MAX));
    let of_each = printable(0, VERSION_BYTES_MAX) + " each";
    assert_eq!(bounds("sdk_version"), of_each);
    assert_eq!(bounds("app_version"), of_each);
}

fn answer_of(answer: LoginAnswer) -> (Code, WhatNext) {
    let verdict = answer.verdict.expect("every answer has a verdict");
    (verdict.code(), verdict.what_next())
}

#[test]
fn a_resume_needs_the_same_instance_and_a_good_usersig() {
    let gateway = gateway(&[]);
    let (mut first, session) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 7));
    let resume = |instance| Login {
        session,
        ..login("alice", Platform::Iphone, instance)
    };
    let refused = |login| answer_of(Terminal::log_in(gateway.terminals, login).1);
    assert_eq!(refused(resume(8)), (Code::SessionUnknown, WhatNext::LogInAfresh));
    let unsigned = Login {
        user_sig: String::new(),
        ..resume(7)
    };
    assert_eq!(refused(unsigned), (Code::UsersigEmpty, WhatNext::RenewUsersig));

    let (second, kept) = Terminal::logged_in(gateway.terminals, resume(7));
    assert_eq!(kept, session, "neither refusal has ended it");
    assert_eq!(
        first.read(),
        None,
        "the older connection is closed without a packet"
    );

    // Gone, and back in a new session; then again, as if that answer had been lost.
    drop(second);
    let http = Http::default();
    http.await_status(gateway.http, "alice", "PushOnline");
    let (third, newer) = Terminal::logged_in(gateway.terminals, resume(7));
    assert!(newer > session);
    drop(third);
    http.await_status(gateway.http, "alice", "PushOnline");
    let (_fourth, newest) = Terminal::logged_in(gateway.terminals, resume(7));
    assert!(newest > newer);
}

#[test]
fn a_logout_that_was_lost_is_made_up_for_by_a_resume() {
    let gateway = gateway(&[]);
    let http = Http::default();
    let (phone, session) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 7));
    let resume = Login {
        session,
        ..login("alice", Platform::Iphone, 7)
    };
    drop(phone);
    http.await_status(gateway.http, "alice", "PushOnline");
    Terminal::logged_in(gateway.terminals, resume.clone()).0.log_out();
    http.await_status(gateway.http, "alice", "Offline");
    let (_, again) = Terminal::log_in(gateway.terminals, resume);
    assert_eq!(answer_of(again), (Code::SessionLoggedOut, WhatNext::LogInAfresh));
}

#[test]
fn a_desktop_that_is_offline_resumes_but_not_while_another_device_may_stay() {
    let gateway = gateway(&[("presence.conflict", "\"oldest-wins\"")]);
    let (desktop, session) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Mac, 7));
    let resume = || Login {
        session,
        ..login("alice", Platform::Mac, 7)
    };
    drop(desktop);
    Http::default().await_status(gateway.http, "alice", "Offline");
    let (phone, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 1));
    let (_, refused) = Terminal::log_in(gateway.terminals, resume());
    assert_eq!(answer_of(refused), (Code::OtherDeviceOnline, WhatNext::Stop));
    phone.log_out();
    let (_desktop, newer) = Terminal::logged_in(gateway.terminals, resume());
    assert!(newer > session, "the refusal has not ended the session");
}

#[test]
fn a_device_that_is_away_learns_at_its_resume_who_forced_it_off() {
    let gateway = gateway(&[]);
    let (phone, session) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 7));
    drop(phone);
    Http::default().await_status(gateway.http, "alice", "PushOnline");
    let (_mac, answer) = Terminal::log_in(gateway.terminals, login("alice", Platform::Mac, 1));
    assert!(answer.forced_off.is_empty(), "it was not Online");
    let resume = Login {
        session,
        ..login("alice", Platform::Iphone, 7)
    };
    let (_, refused) = Terminal::log_in(gateway.terminals, resume);
    assert_eq!(refused.winner(), Platform::Mac);
    assert_eq!(
        answer_of(refused),
        (Code::SessionForcedOff, WhatNext::LogInAfresh)
    );
}

#[test]
fn an_empty_packet_is_no_login_and_is_ignored_after_one() {
    const EMPTY: &[u8] = &[0];
    let gateway = gateway(&[]);
    let mut stranger = Terminal::connect(gateway.terminals);
    stranger.send_bytes(EMPTY);
    let Some(response::Packet::Error(error)) = stranger.read() else {
        panic!("no error");
    };
    assert_eq!(error.verdict.unwrap().code(), Code::LoginFirst);

    let (mut alice, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 7));
    alice.send_bytes(EMPTY);
    alice.beat();
}

#[test]
fn the_command_that_ends_a_session_does() {
    let line = section("Trying it out")
        .lines()
        .find(|line| line.contains("/v1/kick"));
    let (_, body) = line.unwrap().split_once("-d '").unwrap();
    let body: Value = serde_json::from_str(body.trim_end_matches('\'')).unwrap();
    let gateway = gateway(&[]);
    let (mut mac, _) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Mac, 7));
    let (status, _) = Http::default().post(gateway.admin, "/v1/kick", &body);
    assert_eq!(status, 200);
    let verdict = mac.expect_force_offline().verdict.unwrap();
    assert_eq!(
        (verdict.code(), verdict.what_next()),
        (Code::SessionKicked, WhatNext::LogInAfresh)
    );
}
