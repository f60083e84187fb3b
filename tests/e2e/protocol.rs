//! What `proto/README.md` tells those who write a terminal, held to the gateway: its session byte by byte, its codes, its
//! limits, and what it says of resuming.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use holdfast::base::limits::{
    EAGER_BYTES_MAX, FRAME_BYTES_MAX_AFTER_LOGIN, FRAME_BYTES_MAX_BEFORE_LOGIN, OUTBOUND_BYTES_MAX,
};
use holdfast::logic::wire::proto::{Code, Login, Platform, Verdict, WhatNext};

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
    let codes = (0..100_000).filter_map(|number| Code::try_from(number).ok());
    let expected = codes.map(|code| {
        let next = match Verdict::of(code).what_next() {
            WhatNext::Unspecified => "–".to_owned(),
            next => format!("`{}`", next.as_str_name().strip_prefix("WHAT_NEXT_").unwrap()),
        };
        let name = code.as_str_name().strip_prefix("CODE_").unwrap();
        format!("{} `{name}` {next}", code as i32)
    });
    assert_eq!(told, expected.collect::<Vec<_>>());
}

#[test]
fn the_page_has_the_limits_that_count() {
    let config = run(env!("CARGO_BIN_EXE_holdfast"), &["config"], b"").out;
    let config: toml::Table = config.parse().unwrap();
    let bytes = [
        FRAME_BYTES_MAX_BEFORE_LOGIN,
        FRAME_BYTES_MAX_AFTER_LOGIN,
        EAGER_BYTES_MAX,
        OUTBOUND_BYTES_MAX,
    ];
    let mut bytes = bytes.into_iter();
    for row in rows("Limits").filter(|row| row[1].starts_with(|first: char| first.is_ascii_digit())) {
        let told = row[1].split(' ').next().unwrap().replace(',', "");
        let expected = match row[0].split('`').nth(1) {
            Some(setting) => {
                let (section, name) = setting.split_once('.').unwrap();
                config[section][name].to_string()
            }
            None => bytes.next().expect(row[0]).to_string(),
        };
        assert_eq!(told, expected, "{}", row[0]);
    }
    assert_eq!(bytes.next(), None, "each limit has its row");
}

#[test]
fn a_resume_needs_the_same_instance_and_a_good_usersig() {
    let gateway = gateway(&[]);
    let (mut first, session) = Terminal::logged_in(gateway.terminals, login("alice", Platform::Iphone, 7));
    let resume = |instance| Login {
        session,
        ..login("alice", Platform::Iphone, instance)
    };
    let refused = |login| {
        Terminal::log_in(gateway.terminals, login)
            .1
            .verdict
            .unwrap()
            .code()
    };
    assert_eq!(refused(resume(8)), Code::SessionUnknown);
    let unsigned = Login {
        user_sig: String::new(),
        ..resume(7)
    };
    assert_eq!(refused(unsigned), Code::UsersigEmpty);

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
