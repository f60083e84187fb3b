//! What a user's state is after so many changes, told from the changes alone, and what of it somebody saw.

use std::collections::{BTreeMap, BTreeSet};

use super::Recorded;
use crate::history::{Inspected, Statuses};

/// A device that is not Offline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) status: &'static str,
    pub(super) session: u64,
}

/// A user after some of the changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) change: u64,
    pub(super) devices: BTreeMap<String, Device>,
    /// Sessions that ended so, each with its platform.
    forced_off: BTreeSet<(String, u64)>,
    logged_out: BTreeSet<(String, u64)>,
}

/// What somebody saw of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// A query's answer.
    Statuses(Option<Statuses>),
    /// The number of the last change, and the devices.
    Record(u64, Vec<Inspected>),
    /// A login was answered that goes on with its session.
    Kept(String, u64),
    /// A terminal was told that another login had forced its session off.
    ForcedOff(String, u64),
    /// A terminal that came back was told the same of its session, or of one that went on with it: nobody may have heard of that.
    WasForcedOff(String, u64),
    /// The same of a logout.
    WasLoggedOut(String, u64),
}

/// Codes of a refusal that tells how a session ended.
const SESSION_FORCED_OFF: i32 = 302;
const SESSION_LOGGED_OUT: i32 = 304;

impl Seen {
    /// What a refused login tells.
    pub(super) fn refused(code: i32, platform: &str, asked: u64) -> Option<Self> {
        match code {
            SESSION_FORCED_OFF => Some(Self::WasForcedOff(platform.to_owned(), asked)),
            SESSION_LOGGED_OUT => Some(Self::WasLoggedOut(platform.to_owned(), asked)),
            _ => None,
        }
    }

    /// Whether it is so in this state.
    pub(super) fn is_true(&self, state: &State) -> bool {
        match self {
            Self::Statuses(None) => state.change == 0,
            Self::Statuses(Some(seen)) => state.change > 0 && *seen == statuses(state),
            Self::Record(change, seen) => {
                let mut shown: Vec<_> = seen.iter().filter(|device| device.status != "Offline").collect();
                shown.sort_by(|one, other| one.platform.cmp(&other.platform));
                let is_same = |(seen, (platform, known)): (&&Inspected, (&String, &Device))| {
                    seen.platform == *platform && seen.status == known.status && seen.session == known.session
                };
                *change == state.change
                    && shown.len() == state.devices.len()
                    && shown.iter().zip(&state.devices).all(is_same)
            }
            Self::Kept(platform, session) => state
                .devices
                .get(platform)
                .is_some_and(|device| device.session == *session && device.status == "Online"),
            Self::ForcedOff(platform, session) => state.forced_off.contains(&(platform.clone(), *session)),
            Self::WasForcedOff(platform, session) => has_since(&state.forced_off, platform, *session),
            Self::WasLoggedOut(platform, session) => has_since(&state.logged_out, platform, *session),
        }
    }
}

/// Whether a platform's session ended so that is this one or a later one.
fn has_since(ended: &BTreeSet<(String, u64)>, platform: &str, session: u64) -> bool {
    ended
        .iter()
        .any(|(of, ended)| of == platform && *ended >= session)
}

/// As a query shows them.
fn statuses(state: &State) -> Statuses {
    let shown = |platform: &str| match platform {
        "Windows" | "Linux" => "PC".to_owned(),
        other => other.to_owned(),
    };
    let devices = state.devices.iter();
    devices
        .map(|(platform, device)| (shown(platform), device.status.to_owned()))
        .collect()
}

impl State {
    /// The state after one more change.
    pub(super) fn after(&self, change: &Recorded) -> Self {
        let mut state = self.clone();
        state.change = change.change;
        match &*change.kind {
            "login" => {
                for (platform, _) in &change.forced_off {
                    if let Some(gone) = state.devices.remove(platform) {
                        state.forced_off.insert((platform.clone(), gone.session));
                    }
                }
                let session = change.session;
                let status = "Online";
                state
                    .devices
                    .insert(change.platform.clone(), Device { status, session });
            }
            "logout" => {
                state.devices.remove(&change.platform);
                state.logged_out.insert((change.platform.clone(), change.session));
            }
            // A phone that is away still gets pushed messages.
            "link-end" | "time-out" if change.platform == "Android" => {
                if let Some(device) = state.devices.get_mut(&change.platform) {
                    device.status = "PushOnline";
                }
            }
            _ => {
                state.devices.remove(&change.platform);
            }
        }
        state
    }

    /// Whether the change can follow.
    pub(super) fn takes(&self, change: &Recorded) -> bool {
        let known = self.devices.get(&change.platform);
        change.kind == "login" || known.is_some_and(|device| device.session == change.session)
    }
}
