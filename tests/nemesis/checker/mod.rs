//! Judges a history, and knows nothing else: every promise that it breaks is a violation. Nothing here runs, waits or asks.

mod callbacks;
mod chain;
mod disconnects;
mod fold;
mod linear;
mod rest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{Event, LinkEnd, Outcome};

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// A user's changes are 1, 2, 3 …, each told once, and each by what somebody did.
    Chain,
    /// What was answered is on record.
    Answers,
    /// Each change is told to the backend, in order, as it is on record.
    Callbacks,
    /// Everybody sees one history of a user, and sees what was answered before.
    Linear,
    /// Who came back in time has no Disconnect.
    Disconnects,
    /// Who came back in time has the same session.
    Sessions,
    /// At rest statuses are what terminals know: nobody is a ghost, nobody is missing.
    Rest,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub promise: Promise,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.text)
    }
}

/// A change on record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Recorded {
    change: u64,
    kind: String,
    platform: String,
    session: u64,
    forced_off: Vec<(String, String)>,
    previous: Option<u64>,
}

/// A change that the backend was told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    at: u64,
    change: u64,
    previous: u64,
    session: u64,
    action: String,
    reason: String,
    platform: String,
    kicked: Vec<String>,
}

#[derive(Debug, Clone)]
struct Login {
    platform: String,
    asked: u64,
    begin: u64,
    end: u64,
    outcome: Outcome,
}

#[derive(Debug, Clone)]
struct Logout {
    session: u64,
    begin: u64,
    end: u64,
    is_answered: bool,
}

#[derive(Debug, Clone)]
struct Link {
    platform: String,
    session: u64,
    begin: u64,
    end: u64,
    heard: u64,
    ended_by: LinkEnd,
}

/// What somebody saw.
#[derive(Debug, Clone)]
struct Sight {
    begin: u64,
    end: u64,
    seen: fold::Seen,
}

/// All of one user, each kind in the order of the file.
#[derive(Debug, Default)]
struct OfUser {
    name: String,
    changes: Vec<Recorded>,
    told: Vec<Told>,
    logins: Vec<Login>,
    logouts: Vec<Logout>,
    links: Vec<Link>,
    sights: Vec<Sight>,
    /// Terminals at rest: the session in which each is connected.
    at_rest: BTreeMap<String, Option<u64>>,
    /// Since then all stays.
    rest: Option<u64>,
    grace_us: u64,
    timeout_us: u64,
}

impl OfUser {
    fn violation(&self, promise: Promise, text: impl fmt::Display) -> Violation {
        Violation {
            promise,
            text: format!("{}: {text}", self.name),
        }
    }
}

/// Every promise that the history breaks.
pub fn check(history: &[Event]) -> Vec<Violation> {
    let users = by_user(history);
    let mut found = Vec::new();
    for user in users.values() {
        found.extend(chain::check(user));
        found.extend(callbacks::check(user));
        found.extend(linear::check(user));
        found.extend(disconnects::check(user));
        found.extend(rest::check(user));
    }
    found
}

/// How much there is to judge: changes, and sights of them.
pub fn measure(history: &[Event]) -> (usize, usize) {
    let users = by_user(history);
    let changes = users.values().map(|user| user.changes.len()).sum();
    let sights = users.values().map(|user| user.sights.len()).sum();
    (changes, sights)
}

fn by_user(history: &[Event]) -> BTreeMap<String, OfUser> {
    let mut users: BTreeMap<String, OfUser> = BTreeMap::new();
    let (mut grace, mut timeout, mut rest) = (0, 0, None);
    for event in history {
        match event {
            Event::World {
                grace_us, timeout_us, ..
            } => (grace, timeout) = (*grace_us, *timeout_us),
            Event::Rest { at } => rest = Some(*at),
            Event::Fault { .. } => {}
            event => put(&mut users, event),
        }
    }
    for (name, user) in &mut users {
        user.name.clone_from(name);
        (user.grace_us, user.timeout_us, user.rest) = (grace, timeout, rest);
    }
    users
}

fn put(users: &mut BTreeMap<String, OfUser>, event: &Event) {
    match event.clone() {
        Event::World { .. } | Event::Rest { .. } | Event::Fault { .. } => {}
        Event::Query {
            begin, end, statuses, ..
        } => {
            for (user, statuses) in statuses {
                let seen = fold::Seen::Statuses(statuses);
                users
                    .entry(user)
                    .or_default()
                    .sights
                    .push(Sight { begin, end, seen });
            }
        }
        Event::Inspect {
            user,
            begin,
            end,
            change,
            devices,
            ..
        } => {
            let seen = fold::Seen::Record(change, devices);
            users
                .entry(user)
                .or_default()
                .sights
                .push(Sight { begin, end, seen });
        }
        Event::Callback {
            at,
            user,
            change,
            previous,
            session,
            action,
            reason,
            platform,
            kicked,
        } => users.entry(user).or_default().told.push(Told {
            at,
            change,
            previous,
            session,
            action,
            reason,
            platform,
            kicked,
        }),
        Event::Change {
            user,
            change,
            kind,
            platform,
            session,
            forced_off,
            previous,
        } => users.entry(user).or_default().changes.push(Recorded {
            change,
            kind,
            platform,
            session,
            forced_off,
            previous,
        }),
        event => put_terminal(users, event),
    }
}

/// What a terminal did or learned.
fn put_terminal(users: &mut BTreeMap<String, OfUser>, event: Event) {
    match event {
        Event::Login {
            who,
            asked,
            begin,
            end,
            outcome,
            ..
        } => {
            let user = users.entry(who.user).or_default();
            let seen = match &outcome {
                Outcome::Ok(session) if *session == asked => {
                    Some(fold::Seen::Kept(who.platform.clone(), *session))
                }
                Outcome::Refused(code) => fold::Seen::refused(*code, &who.platform, asked),
                Outcome::Ok(_) | Outcome::Unknown => None,
            };
            user.sights.extend(seen.map(|seen| Sight { begin, end, seen }));
            user.logins.push(Login {
                platform: who.platform,
                asked,
                begin,
                end,
                outcome,
            });
        }
        Event::Logout {
            who,
            session,
            begin,
            end,
            is_answered,
        } => users.entry(who.user).or_default().logouts.push(Logout {
            session,
            begin,
            end,
            is_answered,
        }),
        Event::Link {
            who,
            session,
            begin,
            end,
            heard,
            ended_by,
        } => users.entry(who.user).or_default().links.push(Link {
            platform: who.platform,
            session,
            begin,
            end,
            heard,
            ended_by,
        }),
        Event::ForcedOff { who, session, at } => {
            let seen = fold::Seen::ForcedOff(who.platform, session);
            let (begin, end) = (0, at);
            users
                .entry(who.user)
                .or_default()
                .sights
                .push(Sight { begin, end, seen });
        }
        Event::Terminal { who, linked } => {
            let user = users.entry(who.user).or_default();
            user.at_rest.insert(who.platform, linked);
        }
        Event::World { .. }
        | Event::Rest { .. }
        | Event::Fault { .. }
        | Event::Query { .. }
        | Event::Inspect { .. }
        | Event::Callback { .. }
        | Event::Change { .. } => {}
    }
}
