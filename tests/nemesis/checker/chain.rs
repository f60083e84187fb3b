//! The chain of a user's changes on record, and what was answered.

use super::fold::State;
use super::{OfUser, Promise, Recorded, Violation};
use crate::history::Outcome;

pub(super) fn check(user: &OfUser) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut state = State::default();
    for change in &user.changes {
        if change.change != state.change + 1 {
            let text = format!("change {} follows {}", change.change, state.change);
            found.push(user.violation(Promise::Chain, text));
        }
        if !state.takes(change) {
            found.push(user.violation(Promise::Chain, format!("nothing to end by {change:?}")));
        }
        found.extend(cause(user, change));
        found.extend(replaced(user, &state, change));
        state = state.after(change);
    }
    found.extend(answers(user));
    found
}

/// A login or a logout is on record only if a terminal did it.
fn cause(user: &OfUser, change: &Recorded) -> Option<Violation> {
    let is_meant = match &*change.kind {
        "login" => user.logins.iter().any(|login| {
            let is_answered = login.outcome == Outcome::Ok(change.session) && login.asked != change.session;
            login.platform == change.platform && (is_answered || login.outcome.is_doubtful())
        }),
        "logout" => user.logouts.iter().any(|logout| logout.session == change.session),
        _ => true,
    };
    (!is_meant).then(|| user.violation(Promise::Chain, format!("nobody did {change:?}")))
}

/// A session that was Online goes on when its terminal comes back.
fn replaced(user: &OfUser, state: &State, change: &Recorded) -> Option<Violation> {
    let known = state.devices.get(&change.platform)?;
    let login = user.logins.iter().find(|login| {
        login.outcome == Outcome::Ok(change.session) && login.asked == known.session && change.session != 0
    })?;
    let is_lost = change.kind == "login" && known.status == "Online" && login.asked != change.session;
    is_lost.then(|| {
        let text = format!("session {} was Online, and {change:?} replaced it", known.session);
        user.violation(Promise::Sessions, text)
    })
}

/// What was answered is on record.
fn answers(user: &OfUser) -> Vec<Violation> {
    let is_there = |kind: &str, session: u64, platform: Option<&str>| {
        user.changes.iter().any(|change| {
            let fits = platform.is_none_or(|platform| change.platform == platform);
            change.kind == kind && change.session == session && fits
        })
    };
    let mut found = Vec::new();
    for login in &user.logins {
        if let Outcome::Ok(session) = login.outcome
            && !is_there("login", session, Some(&login.platform))
        {
            found.push(user.violation(Promise::Answers, format!("not on record: {login:?}")));
        }
    }
    for logout in user.logouts.iter().filter(|logout| logout.is_answered) {
        if !is_there("logout", logout.session, None) {
            found.push(user.violation(Promise::Answers, format!("not on record: {logout:?}")));
        }
    }
    found
}
