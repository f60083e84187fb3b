//! At rest: what everybody is told is what terminals know.

use super::fold::Seen;
use super::{OfUser, Promise, Violation};

pub(super) fn check(user: &OfUser) -> Vec<Violation> {
    let Some(rest) = user.rest else {
        return vec![user.violation(Promise::Rest, "the history never comes to rest")];
    };
    let linked = |platform: &str| user.at_rest.get(platform).copied().flatten();
    let mut found = Vec::new();
    let mut asked = 0;
    for sight in user.sights.iter().filter(|sight| sight.begin >= rest) {
        let Seen::Statuses(seen) = &sight.seen else {
            continue;
        };
        asked += 1;
        for platform in user.at_rest.keys() {
            let name = if platform == "Windows" { "PC" } else { platform };
            let status = seen.as_ref().and_then(|seen| seen.get(name));
            let is_online = status.is_some_and(|status| status == "Online");
            match (linked(platform), is_online) {
                (Some(session), false) => {
                    let text =
                        format!("{platform} is connected in session {session}, and shown as {status:?}");
                    found.push(user.violation(Promise::Rest, text));
                }
                (None, true) => {
                    found
                        .push(user.violation(Promise::Rest, format!("{platform} is gone, and shown Online")));
                }
                (Some(_), true) | (None, false) => {}
            }
        }
    }
    if asked == 0 && !user.at_rest.is_empty() {
        found.push(user.violation(Promise::Rest, "nobody asked for it at rest"));
    }
    found
}
