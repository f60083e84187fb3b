//! Disconnects: a device has one only if its terminal went away by itself, was silent for the time-out, or did not come back within the
//! grace.

use super::{Link, Login, OfUser, Promise, Recorded, Violation};
use crate::history::{LinkEnd, Outcome};

pub(super) fn check(user: &OfUser) -> Vec<Violation> {
    let ends = user
        .changes
        .iter()
        .filter(|change| ["link-end", "time-out"].contains(&&*change.kind));
    ends.filter_map(|change| {
        let told = user.told.iter().find(|told| told.change == change.change);
        let fault = fault(user, change, told.map_or(u64::MAX, |told| told.at))?;
        Some(user.violation(Promise::Disconnects, format!("{change:?}: {fault}")))
    })
    .collect()
}

/// Why it should not have been. It had happened `by` then.
fn fault(user: &OfUser, change: &Recorded, by: u64) -> Option<String> {
    // A login that nobody heard the answer of may have had a link that nobody knows of: in the session that it asked for, or in one
    // that was never answered, and which who was turned away may have, too.
    let is_answered = |login: &Login| login.outcome == Outcome::Ok(change.session);
    let is_known = user.logins.iter().any(is_answered);
    let is_hidden = user.logins.iter().any(|login| {
        let asked = login.asked == change.session && login.outcome == Outcome::Unknown;
        let fits = asked || (!is_known && login.outcome.is_doubtful());
        login.platform == change.platform && fits && login.begin <= by
    });
    if is_hidden {
        return None;
    }
    let links = user.links.iter().filter(|link| link.session == change.session);
    let Some(last) = links.max_by_key(|link| link.begin) else {
        return Some("nobody ever had this session".to_owned());
    };
    if change.kind == "time-out" && by >= last.heard.saturating_add(user.timeout_us) {
        return None;
    }
    match last.ended_by {
        LinkEnd::Terminal if change.kind == "link-end" && by >= last.end => None,
        LinkEnd::Gateway if away(user, last) >= user.grace_us => None,
        LinkEnd::Terminal | LinkEnd::Gateway | LinkEnd::Nobody => {
            Some(format!("away for {} µs after {last:?}", away(user, last)))
        }
    }
}

/// For how long the terminal was away behind this link.
fn away(user: &OfUser, link: &Link) -> u64 {
    let back = user.logins.iter().filter(|login| {
        let is_in = matches!(login.outcome, Outcome::Ok(_));
        is_in && login.platform == link.platform && login.end > link.end
    });
    let back = back.map(|login| login.end).min().unwrap_or(u64::MAX);
    match link.ended_by {
        LinkEnd::Nobody => 0,
        LinkEnd::Terminal | LinkEnd::Gateway => back - link.end,
    }
}
