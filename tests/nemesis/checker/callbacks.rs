//! What the backend was told: each change, in order, as it is on record. Repeats are allowed.

use std::collections::BTreeMap;

use super::{OfUser, Promise, Recorded, Told, Violation};

pub(super) fn check(user: &OfUser) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut last = 0;
    let mut first: BTreeMap<u64, &Told> = BTreeMap::new();
    for told in &user.told {
        if let Some(before) = first.get(&told.change) {
            if !is_repeat(before, told) {
                found
                    .push(user.violation(Promise::Callbacks, format!("{told:?} is no repeat of {before:?}")));
            }
            continue;
        }
        if told.change < last || told.previous != last {
            found.push(user.violation(Promise::Callbacks, format!("{told:?} comes behind {last}")));
        }
        last = last.max(told.change);
        first.insert(told.change, told);
    }
    for change in &user.changes {
        match first.remove(&change.change) {
            None => found.push(user.violation(Promise::Callbacks, format!("nobody was told {change:?}"))),
            Some(told) if !tells(told, change) => {
                found.push(user.violation(Promise::Callbacks, format!("{told:?} tells of {change:?}")));
            }
            Some(_) => {}
        }
    }
    let nowhere = first.values();
    found.extend(nowhere.map(|told| user.violation(Promise::Callbacks, format!("not on record: {told:?}"))));
    found
}

fn is_repeat(before: &Told, told: &Told) -> bool {
    Told {
        at: before.at,
        ..told.clone()
    } == *before
}

/// Whether it tells of this change.
fn tells(told: &Told, change: &Recorded) -> bool {
    let (action, reason) = match &*change.kind {
        "login" => ("Login", "Register"),
        "logout" => ("Logout", "Unregister"),
        "link-end" => ("Disconnect", "LinkClose"),
        _ => ("Disconnect", "TimeOut"),
    };
    let online = change.forced_off.iter().filter(|(_, status)| status == "Online");
    let mut kicked: Vec<&String> = online.map(|(platform, _)| platform).collect();
    let mut named: Vec<&String> = told.kicked.iter().collect();
    kicked.sort();
    named.sort();
    (told.session, &*told.platform) == (change.session, &*change.platform)
        && (&*told.action, &*told.reason) == (action, reason)
        && Some(told.previous) == change.previous
        && kicked == named
}
