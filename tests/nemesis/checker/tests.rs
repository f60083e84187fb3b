//! Hand-made histories: the good one breaks nothing, and each fault that is planted in it is told.

use super::{Promise, check};
use crate::history::{Event, Inspected, LinkEnd, Outcome, Statuses, Who};

const S: u64 = 1_000_000;

fn who(platform: &str) -> Who {
    Who {
        user: "alice".to_owned(),
        platform: platform.to_owned(),
    }
}

fn login(platform: &str, asked: u64, (begin, end): (u64, u64), outcome: Outcome) -> Event {
    Event::Login {
        who: who(platform),
        node: "one".to_owned(),
        asked,
        begin: begin * S,
        end: end * S,
        outcome,
    }
}

fn link(platform: &str, session: u64, (begin, end): (u64, u64), ended_by: LinkEnd) -> Event {
    Event::Link {
        who: who(platform),
        session,
        begin: begin * S,
        end: end * S,
        heard: (end - 1) * S,
        ended_by,
    }
}

fn statuses(of: &[(&str, &str)]) -> Statuses {
    of.iter()
        .map(|(platform, status)| ((*platform).to_owned(), (*status).to_owned()))
        .collect()
}

fn query((begin, end): (u64, u64), of: Option<&[(&str, &str)]>) -> Event {
    Event::Query {
        node: "one".to_owned(),
        begin: begin * S,
        end: end * S,
        statuses: [("alice".to_owned(), of.map(statuses))].into(),
    }
}

fn inspect((begin, end): (u64, u64), change: u64, of: &[(&str, &str, u64)]) -> Event {
    let device = |(platform, status, session): &(&str, &str, u64)| Inspected {
        platform: (*platform).to_owned(),
        status: (*status).to_owned(),
        session: *session,
    };
    Event::Inspect {
        node: "one".to_owned(),
        user: "alice".to_owned(),
        begin: begin * S,
        end: end * S,
        change,
        devices: of.iter().map(device).collect(),
    }
}

fn change(change: u64, kind: &str, platform: &str, session: u64, forced_off: &[(&str, &str)]) -> Event {
    Event::Change {
        user: "alice".to_owned(),
        change,
        kind: kind.to_owned(),
        platform: platform.to_owned(),
        session,
        forced_off: statuses(forced_off).into_iter().collect(),
        previous: Some(change - 1),
    }
}

fn told(at: u64, change: u64, (action, reason): (&str, &str), platform: &str, session: u64) -> Event {
    Event::Callback {
        at: at * S,
        user: "alice".to_owned(),
        change,
        previous: change - 1,
        session,
        action: action.to_owned(),
        reason: reason.to_owned(),
        platform: platform.to_owned(),
        // Whom these logins force off in the good history.
        kicked: match change {
            2 => vec!["Android".to_owned()],
            3 => vec!["Windows".to_owned()],
            _ => Vec::new(),
        },
    }
}

const LOGIN: (&str, &str) = ("Login", "Register");
const LOGOUT: (&str, &str) = ("Logout", "Unregister");
const LINK_END: (&str, &str) = ("Disconnect", "LinkClose");

/// Alice's phone logs in, and her desktop forces it off; the phone comes back, which forces the desktop off; its link breaks, it comes
/// back too late, its gateway dies, and it comes back in time. Her page logs in and out.
fn good() -> Vec<Event> {
    vec![
        Event::World {
            seed: 0,
            scenario: "by hand".to_owned(),
            grace_us: 30 * S,
            timeout_us: 20 * S,
        },
        query((0, 1), None),
        login("Android", 0, (2, 4), Outcome::Ok(1)),
        query((5, 6), Some(&[("Android", "Online")])),
        login("Windows", 0, (7, 9), Outcome::Ok(2)),
        link("Android", 1, (4, 9), LinkEnd::Gateway),
        Event::ForcedOff {
            who: who("Android"),
            session: 1,
            at: 9 * S,
        },
        inspect((8, 10), 2, &[("Windows", "Online", 2)]),
        login("Android", 1, (10, 11), Outcome::Refused(302)),
        login("Android", 0, (12, 13), Outcome::Ok(3)),
        link("Windows", 2, (9, 14), LinkEnd::Gateway),
        link("Android", 3, (13, 15), LinkEnd::Terminal),
        query((16, 19), Some(&[("Android", "PushOnline")])),
        login("Android", 3, (20, 22), Outcome::Ok(5)),
        link("Android", 5, (22, 30), LinkEnd::Gateway),
        login("Android", 5, (31, 32), Outcome::Unknown),
        login("Android", 5, (33, 34), Outcome::Ok(5)),
        link("Android", 5, (34, 90), LinkEnd::Nobody),
        login("Web", 0, (40, 42), Outcome::Ok(6)),
        link("Web", 6, (42, 50), LinkEnd::Terminal),
        Event::Logout {
            who: who("Web"),
            session: 6,
            begin: 50 * S,
            end: 52 * S,
            is_answered: true,
        },
        Event::Rest { at: 80 * S },
        query((81, 82), Some(&[("Android", "Online")])),
        Event::Terminal {
            who: who("Android"),
            linked: Some(5),
        },
        Event::Terminal {
            who: who("Windows"),
            linked: None,
        },
        Event::Terminal {
            who: who("Web"),
            linked: None,
        },
        change(1, "login", "Android", 1, &[]),
        change(2, "login", "Windows", 2, &[("Android", "Online")]),
        change(3, "login", "Android", 3, &[("Windows", "Online")]),
        change(4, "link-end", "Android", 3, &[]),
        change(5, "login", "Android", 5, &[]),
        change(6, "login", "Web", 6, &[]),
        change(7, "logout", "Web", 6, &[]),
        told(4, 1, LOGIN, "Android", 1),
        told(9, 2, LOGIN, "Windows", 2),
        told(13, 3, LOGIN, "Android", 3),
        told(16, 4, LINK_END, "Android", 3),
        told(23, 5, LOGIN, "Android", 5),
        told(42, 6, LOGIN, "Web", 6),
        told(42, 6, LOGIN, "Web", 6),
        told(53, 7, LOGOUT, "Web", 6),
    ]
}

/// Which promises are broken.
fn broken(history: &[Event]) -> Vec<Promise> {
    let mut found: Vec<Promise> = check(history).iter().map(|violation| violation.promise).collect();
    found.sort();
    found.dedup();
    found
}

/// What is planted: something done to the good history.
struct Planted {
    name: &'static str,
    promise: Promise,
    history: Vec<Event>,
}

fn planted(name: &'static str, promise: Promise, plant: impl FnOnce(&mut Vec<Event>)) -> Planted {
    let mut history = good();
    let before = history.clone();
    plant(&mut history);
    assert_ne!(history, before, "{name}: nothing is planted");
    Planted {
        name,
        promise,
        history,
    }
}

/// Every event that is so is something else.
fn instead(history: &mut [Event], what: &Event, other: &Event) {
    for event in history.iter_mut().filter(|event| *event == what) {
        *event = other.clone();
    }
}

/// One more, in front of all that are asked at rest.
fn more(history: &mut Vec<Event>, event: Event) {
    history.insert(1, event);
}

fn of_records() -> Vec<Planted> {
    vec![
        planted("a number is missing", Promise::Chain, |history| {
            history.retain(|event| *event != change(4, "link-end", "Android", 3, &[]));
        }),
        planted("two changes have one number", Promise::Chain, |history| {
            history.push(change(7, "time-out", "Android", 5, &[]));
        }),
        planted("a login that nobody made", Promise::Chain, |history| {
            history.push(change(8, "login", "Web", 8, &[]));
            history.push(told(60, 8, LOGIN, "Web", 8));
        }),
        planted("a refused login is on record", Promise::Chain, |history| {
            more(history, login("Web", 0, (60, 61), Outcome::Refused(202)));
            history.push(change(8, "login", "Web", 8, &[]));
        }),
        planted("a logout that nobody made", Promise::Chain, |history| {
            history.push(change(8, "logout", "Android", 5, &[]));
        }),
        planted("a session ends twice", Promise::Chain, |history| {
            history.push(change(8, "logout", "Web", 6, &[]));
        }),
        planted("an answered login is lost", Promise::Answers, |history| {
            more(history, login("Web", 0, (60, 61), Outcome::Ok(8)));
        }),
        planted(
            "an answered login is another device's",
            Promise::Answers,
            |history| {
                more(history, login("Web", 0, (60, 61), Outcome::Ok(5)));
            },
        ),
        planted("an answered logout is lost", Promise::Answers, |history| {
            more(
                history,
                Event::Logout {
                    who: who("Android"),
                    session: 5,
                    begin: 60 * S,
                    end: 61 * S,
                    is_answered: true,
                },
            );
        }),
    ]
}

fn of_callbacks() -> Vec<Planted> {
    vec![
        planted("a change is told to nobody", Promise::Callbacks, |history| {
            history.retain(|event| *event != told(53, 7, LOGOUT, "Web", 6));
        }),
        planted("what is told is not on record", Promise::Callbacks, |history| {
            history.push(told(60, 8, LINK_END, "Android", 5));
        }),
        planted("one overtakes another", Promise::Callbacks, |history| {
            let (early, late) = (told(4, 1, LOGIN, "Android", 1), told(9, 2, LOGIN, "Windows", 2));
            history.retain(|event| *event != early);
            let place = history.iter().position(|event| *event == late).unwrap();
            history.insert(place + 1, early);
        }),
        planted("a repeat tells something else", Promise::Callbacks, |history| {
            history.push(told(60, 7, LINK_END, "Web", 6));
        }),
        planted("another session is named", Promise::Callbacks, |history| {
            let (right, wrong) = (told(53, 7, LOGOUT, "Web", 6), told(53, 7, LOGOUT, "Web", 5));
            instead(history, &right, &wrong);
        }),
        planted("who was forced off is not named", Promise::Callbacks, |history| {
            let forced = change(2, "login", "Windows", 2, &[("Android", "Online")]);
            instead(history, &forced, &change(2, "login", "Windows", 2, &[]));
        }),
    ]
}

fn of_sights() -> Vec<Planted> {
    let online: &[_] = &[("Android", "Online")];
    let desktop: &[_] = &[("PC", "Online")];
    vec![
        planted(
            "a query does not see an answered login",
            Promise::Linear,
            |history| {
                more(history, query((5, 6), None));
            },
        ),
        planted(
            "a query sees a login before it was made",
            Promise::Linear,
            |history| {
                more(history, query((5, 6), Some(desktop)));
            },
        ),
        planted("a query shows an old truth", Promise::Linear, |history| {
            more(history, query((10, 11), Some(online)));
        }),
        planted("two queries see time go back", Promise::Linear, |history| {
            // The desktop's login is being answered from 7 to 9.
            more(history, query((7, 7), Some(desktop)));
            more(history, query((8, 8), Some(online)));
        }),
        planted("a query does not see a told change", Promise::Linear, |history| {
            more(history, query((19, 19), Some(online)));
        }),
        planted("a record has another session", Promise::Linear, |history| {
            more(history, inspect((35, 36), 5, &[("Android", "Online", 3)]));
        }),
        planted("a record shows a later change", Promise::Linear, |history| {
            more(history, inspect((35, 36), 6, &[("Android", "Online", 5)]));
        }),
        planted("a session goes on after its end", Promise::Linear, |history| {
            more(history, login("Android", 1, (24, 25), Outcome::Ok(1)));
        }),
        planted(
            "a session that lives is called forced off",
            Promise::Linear,
            |history| {
                more(history, login("Android", 5, (24, 25), Outcome::Refused(302)));
            },
        ),
        planted("a terminal is forced off by nobody", Promise::Linear, |history| {
            more(
                history,
                Event::ForcedOff {
                    who: who("Android"),
                    session: 5,
                    at: 60 * S,
                },
            );
        }),
        planted("a logout is seen before it begins", Promise::Linear, |history| {
            more(history, query((45, 46), Some(online)));
        }),
    ]
}

fn of_returns() -> Vec<Planted> {
    let more_at_the_end = |history: &mut Vec<Event>, kind: &str, reason: &str| {
        history.push(change(8, kind, "Android", 5, &[]));
        history.push(told(60, 8, ("Disconnect", reason), "Android", 5));
    };
    let known = |history: &mut Vec<Event>| {
        history.retain(|event| *event != login("Android", 5, (31, 32), Outcome::Unknown));
    };
    let returns = |at: u64| {
        move |history: &mut Vec<Event>| {
            known(history);
            instead(
                history,
                &login("Android", 5, (33, 34), Outcome::Ok(5)),
                &login("Android", 5, (at, at + 1), Outcome::Ok(9)),
            );
            instead(
                history,
                &link("Android", 5, (34, 90), LinkEnd::Nobody),
                &link("Android", 9, (at + 1, 90), LinkEnd::Nobody),
            );
        }
    };
    vec![
        planted("a link that is up has an end", Promise::Disconnects, |history| {
            known(history);
            more_at_the_end(history, "link-end", "LinkClose");
        }),
        planted(
            "a terminal that is heard times out",
            Promise::Disconnects,
            |history| {
                known(history);
                more_at_the_end(history, "time-out", "TimeOut");
            },
        ),
        planted(
            "who came back in time has a Disconnect",
            Promise::Disconnects,
            |history| {
                returns(57)(history);
                more_at_the_end(history, "link-end", "LinkClose");
                history.push(change(9, "login", "Android", 9, &[]));
            },
        ),
        planted(
            "a link ends before its terminal ends it",
            Promise::Disconnects,
            |history| {
                instead(
                    history,
                    &told(16, 4, LINK_END, "Android", 3),
                    &told(14, 4, LINK_END, "Android", 3),
                );
            },
        ),
        planted(
            "who came back in time has another session",
            Promise::Sessions,
            |history| {
                known(history);
                instead(
                    history,
                    &login("Android", 5, (33, 34), Outcome::Ok(5)),
                    &login("Android", 5, (33, 34), Outcome::Ok(6)),
                );
                instead(
                    history,
                    &change(6, "login", "Web", 6, &[]),
                    &change(6, "login", "Android", 6, &[]),
                );
            },
        ),
        planted("a ghost", Promise::Rest, |history| {
            let linked = Event::Terminal {
                who: who("Android"),
                linked: Some(5),
            };
            let gone = Event::Terminal {
                who: who("Android"),
                linked: None,
            };
            instead(history, &linked, &gone);
        }),
        planted("a terminal that nobody sees", Promise::Rest, |history| {
            let (gone, linked) = (None, Some(6));
            let of = |linked| Event::Terminal {
                who: who("Web"),
                linked,
            };
            instead(history, &of(gone), &of(linked));
        }),
        planted("nobody asked at rest", Promise::Rest, |history| {
            history.retain(|event| *event != query((81, 82), Some(&[("Android", "Online")])));
        }),
        planted("it never comes to rest", Promise::Rest, |history| {
            history.retain(|event| *event != Event::Rest { at: 80 * S });
        }),
    ]
}

#[test]
fn a_good_history_breaks_nothing() {
    assert_eq!(check(&good()), []);
}

#[test]
fn who_comes_back_too_late_may_have_a_disconnect() {
    let mut history = good();
    history.retain(|event| {
        let again = [
            login("Android", 5, (31, 32), Outcome::Unknown),
            login("Android", 5, (33, 34), Outcome::Ok(5)),
            link("Android", 5, (34, 90), LinkEnd::Nobody),
            query((81, 82), Some(&[("Android", "Online")])),
        ];
        !again.contains(event)
    });
    let gone = Event::Terminal {
        who: who("Android"),
        linked: None,
    };
    let was = Event::Terminal {
        who: who("Android"),
        linked: Some(5),
    };
    instead(&mut history, &was, &gone);
    history.push(query((81, 82), Some(&[("Android", "PushOnline")])));
    history.push(change(8, "link-end", "Android", 5, &[]));
    history.push(told(61, 8, LINK_END, "Android", 5));
    assert_eq!(check(&history), []);
}

#[test]
fn each_planted_fault_is_told() {
    let all = [of_records(), of_callbacks(), of_sights(), of_returns()]
        .into_iter()
        .flatten();
    let mut seen = std::collections::BTreeSet::new();
    for planted in all {
        let found = broken(&planted.history);
        assert!(
            found.contains(&planted.promise),
            "{}: {found:?}, {:#?}",
            planted.name,
            check(&planted.history)
        );
        seen.insert(planted.promise);
    }
    assert_eq!(seen.len(), 7, "each promise is broken by something");
}

#[test]
fn a_history_is_read_as_it_was_written() {
    let folder = tempfile::TempDir::new().unwrap();
    let recorder = crate::history::Recorder::new(&folder.path().join("history.jsonl"));
    for event in good() {
        recorder.record(&event);
    }
    assert_eq!(recorder.read(), good());
}
