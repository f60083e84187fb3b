//! Ten thousand messages are held when the gateway is killed: of each the backend knows that it was acknowledged, or that its outcome is
//! lost with the epoch. It sends those again, and each terminal has all of its own.

use std::collections::BTreeSet;

use holdfast::protocol::native::proto::{self, Platform, request, response};
use serde_json::json;
use tempfile::TempDir;

use crate::gateway;
use crate::support::gateway::Gateway;
use crate::support::http::Http;
use crate::support::terminal::{Terminal, login};

/// Users with a terminal each, and the messages of each.
const USERS: usize = 200;
const EACH: usize = 50;
/// So many of each are acknowledged before the gateway is killed.
const ACKED_BEFORE: usize = 10;
/// Messages of one request.
const LINES: usize = 250;
/// That a terminal takes messages, and acknowledges them.
const FEATURES: u64 = 2 | 4;

/// A terminal, and what it has seen.
struct Person {
    name: String,
    session: u64,
    terminal: Terminal,
    /// What messages it has, by their texts.
    has: BTreeSet<String>,
}

impl Person {
    /// Logs in, and goes on with a session if there is one.
    fn terminal(gateway: &Gateway, name: &str, session: u64) -> (Terminal, u64) {
        let login = proto::Login {
            features: FEATURES,
            session,
            ..login(name, Platform::Mac, 7)
        };
        Terminal::logged_in(gateway.terminals, login)
    }

    /// Reads so many messages, and acknowledges the first ones, so many.
    fn take(&mut self, count: usize, acked: usize) {
        for number in 0..count {
            let Some(response::Packet::Message(message)) = self.terminal.read() else {
                panic!("{} has no message", self.name);
            };
            self.has.insert(String::from_utf8(message.body).unwrap());
            if number < acked {
                let id = vec![message.id];
                let ack = proto::MessageAck {
                    id,
                    ..Default::default()
                };
                self.terminal.send(request::Packet::MessageAck(ack));
            }
        }
    }
}

/// Sends the messages with these ids, `user/number`, each to its user.
fn send_all(http: &Http, gateway: &Gateway, ids: &[String]) {
    for ids in ids.chunks(LINES) {
        let line = |id: &String| {
            let user = id.split('/').next();
            json!({"id": id, "to": [{"user": user}], "text": id}).to_string()
        };
        let lines: Vec<String> = ids.iter().map(line).collect();
        let (status, answers) = http.send_lines(gateway.http, &lines.join("\n"));
        assert_eq!((status, answers.len()), (200, ids.len()));
        for answer in answers {
            assert_eq!(answer["results"][0]["outcome"], "held", "{answer}");
        }
    }
}

/// Reads outcomes behind the cursor until there are so many, all `acked`. Gives their ids, and the cursor behind them.
fn acked(http: &Http, gateway: &Gateway, count: usize, cursor: &mut Option<String>) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    while ids.len() < count {
        let (status, lines, next) = http.outcomes(gateway.http, cursor.as_deref());
        assert_eq!(status, 200, "{lines:?}");
        *cursor = next;
        for line in lines {
            assert_eq!(line["outcome"], "acked", "{line}");
            ids.insert(line["id"].as_str().unwrap().to_owned());
        }
    }
    ids
}

#[test]
fn of_ten_thousand_held_messages_none_is_lost_without_a_word() {
    let folder = TempDir::new().unwrap();
    let store = format!("{:?}", folder.path().join("registry").to_str().unwrap());
    let settings = [("registry.path", &*store)];
    let first = gateway(&settings);
    let http = Http::default();
    let name = |number: usize| format!("user-{number}");
    let mut people: Vec<Person> = (0..USERS)
        .map(|number| {
            let (terminal, session) = Person::terminal(&first, &name(number), 0);
            Person {
                name: name(number),
                session,
                terminal,
                has: BTreeSet::new(),
            }
        })
        .collect();
    let ids = (0..EACH).flat_map(|message| (0..USERS).map(move |user| format!("user-{user}/{message}")));
    let ids: Vec<String> = ids.collect();
    send_all(&http, &first, &ids);
    people
        .iter_mut()
        .for_each(|person| person.take(EACH, ACKED_BEFORE));
    let mut cursor = None;
    let known = acked(&http, &first, USERS * ACKED_BEFORE, &mut cursor);
    first.kill();
    drop(first);

    let second = gateway(&settings);
    let (status, gone, _) = http.outcomes(second.http, cursor.as_deref());
    assert_eq!((status, gone[0]["epoch"].is_string()), (410, true), "{gone:?}");
    for person in &mut people {
        (person.terminal, _) = Person::terminal(&second, &person.name, person.session);
        person.has.clear();
    }
    let lost: Vec<String> = ids.into_iter().filter(|id| !known.contains(id)).collect();
    assert_eq!(lost.len(), USERS * (EACH - ACKED_BEFORE));
    send_all(&http, &second, &lost);
    let left = EACH - ACKED_BEFORE;
    people.iter_mut().for_each(|person| person.take(left, left));
    let again = acked(&http, &second, lost.len(), &mut None);
    assert_eq!(again, lost.into_iter().collect());
    for person in &people {
        let own = again
            .iter()
            .filter(|id| id.split('/').next() == Some(&*person.name));
        assert!(person.has.iter().eq(own), "{}: {:?}", person.name, person.has);
    }
}
