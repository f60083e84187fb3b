//! Whether everybody saw one history of a user. Each change happened at some moment between its beginning and its end, and whatever
//! was seen was true at some moment between a request and its answer. The order of the changes is known, so there is nothing to
//! search: whatever is true now is taken now, and only then the next change.

use super::fold::State;
use super::{Login, OfUser, Promise, Recorded, Sight, Violation};
use crate::history::Outcome;

/// When a change happened, as far as it is known.
#[derive(Debug, Clone, Copy)]
struct Moment {
    not_before: u64,
    not_after: u64,
}

pub(super) fn check(user: &OfUser) -> Vec<Violation> {
    let moments = moments(user);
    let mut rest: Vec<&Sight> = user.sights.iter().collect();
    rest.sort_by_key(|sight| sight.begin);
    let mut state = State::default();
    let mut next = user.changes.iter().zip(&moments).peekable();
    loop {
        // Nothing that began later can come before what ended then.
        let first_end = |rest: &[&Sight], next: Option<&(&Recorded, &Moment)>| {
            let sights = rest.iter().map(|sight| sight.end);
            sights.chain(next.map(|(_, moment)| moment.not_after)).min()
        };
        let Some(end) = first_end(&rest, next.peek()) else {
            return Vec::new();
        };
        let before = rest.len();
        rest.retain(|sight| sight.begin > end || !sight.seen.is_true(&state));
        if rest.len() < before {
            continue;
        }
        match next.next_if(|(_, moment)| moment.not_before <= end) {
            Some((change, _)) => state = state.after(change),
            None => return vec![wrong(user, &state, &rest, next.peek().copied())],
        }
    }
}

/// What cannot be true.
fn wrong(user: &OfUser, state: &State, rest: &[&Sight], next: Option<(&Recorded, &Moment)>) -> Violation {
    let sight = rest.iter().min_by_key(|sight| sight.end);
    let text = format!(
        "{sight:?} is not so after change {} ({:?}), and the next is {next:?}",
        state.change, state.devices
    );
    user.violation(Promise::Linear, text)
}

/// When each change happened: by who did it and whoever learned of it, and never before the one before it.
fn moments(user: &OfUser) -> Vec<Moment> {
    let mut moments: Vec<Moment> = user.changes.iter().map(|change| moment(user, change)).collect();
    let mut floor = 0;
    for moment in &mut moments {
        floor = moment.not_before.max(floor);
        moment.not_before = floor;
    }
    let mut ceiling = u64::MAX;
    for moment in moments.iter_mut().rev() {
        ceiling = moment.not_after.min(ceiling);
        moment.not_after = ceiling;
    }
    moments
}

fn moment(user: &OfUser, change: &Recorded) -> Moment {
    let told = user.told.iter().find(|told| told.change == change.change);
    let mut moment = Moment {
        not_before: 0,
        not_after: told.map_or(u64::MAX, |told| told.at),
    };
    if change.kind == "logout" {
        let logout = user
            .logouts
            .iter()
            .find(|logout| logout.session == change.session);
        if let Some(logout) = logout {
            moment.not_before = logout.begin;
            if logout.is_answered {
                moment.not_after = moment.not_after.min(logout.end);
            }
        }
        return moment;
    }
    let of_platform = || {
        let logins = user.logins.iter();
        logins.filter(|login| login.platform == change.platform)
    };
    let doubtful = || of_platform().filter(|login| login.outcome.is_doubtful());
    let answered = of_platform().filter(|login| login.outcome == Outcome::Ok(change.session));
    let begin = match answered.clone().min_by_key(|login| login.begin) {
        None => doubtful().map(|login| login.begin).min(),
        // A fresh login begins a session of its own.
        Some(Login { asked: 0, begin, .. }) => Some(*begin),
        // Another one may be told the session of an earlier try, of which nobody heard.
        Some(login) => {
            let tries = doubtful().filter(|earlier| earlier.asked == login.asked);
            tries.chain([login]).map(|login| login.begin).min()
        }
    };
    moment.not_before = begin.unwrap_or(0);
    if change.kind == "login" {
        let answer = answered.map(|login| login.end).min();
        moment.not_after = moment.not_after.min(answer.unwrap_or(u64::MAX));
    }
    moment
}
