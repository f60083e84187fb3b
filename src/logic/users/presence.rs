//! One device: the picture, the enum and the table. Never looks at other devices, time or connections.
//!
//! ```text
//!                 login                      link end, time-out (mobile)
//!   Offline ────────────────▶ Linked ───────────────────────────▶ PushOnline
//!      ▲                      │   ▲ │                                │    │
//!      │   link end, time-out │   │ │ link end (web, by its time-out)│    │
//!      ├──────────────────────┘   │ ▼                                │    │
//!      │ time-out,            resume Unlinked ──grace end (mobile)──▶│    │
//!      │ grace end               │   │                               │    │
//!      ├────────────────────────────┘    login, resume ──▶ Linked ◀──┘    │
//!      └──────────────────────────────────────────────────── expiry ──────┘
//! ```
//! Logout, kick and forced off lead from everywhere to Offline. Time-out, grace end and expiry are what the device's one alarm
//! means in each state.
//!
//! The table says which change a step is. To which status a change leads is said once, for shards and registry alike, by
//! [`ChangeKind::status_after`].

use crate::base::ids::Class;
use crate::logic::record::{ChangeKind, Status};
use crate::logic::settings::WebClose;

/// The state of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeviceState {
    /// No session.
    Offline,
    /// Online, reached by a connection.
    Linked,
    /// Online without a connection: a web page that waits for its time-out, or any device in the restart grace.
    Unlinked,
    /// The link is gone; push may reach it.
    PushOnline,
}

/// What can happen to one device, and means something else in each state. A login or a kick means the same in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeviceStep {
    /// A login that asks to go on with the session on record.
    Resume,
    /// The terminal says goodbye.
    Logout,
    /// The connection ended.
    LinkEnd,
    /// The alarm is due: silence for the time-out, PushOnline for too long, or no return after a start of the gateway.
    Alarm,
}

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// A change, recorded before it shows.
    Change(ChangeKind),
    /// A login that begins a new session, as far as the policy allows.
    NewSession,
    /// Another state, of which nobody is told.
    Quiet(DeviceState),
    /// It does not concern the device any more.
    Nothing,
}

impl DeviceState {
    /// What everyone else sees of it.
    pub(super) fn status(self) -> Status {
        match self {
            Self::Offline => Status::Offline,
            Self::Linked | Self::Unlinked => Status::Online,
            Self::PushOnline => Status::PushOnline,
        }
    }

    /// Of a device that has this status and no connection.
    pub(super) fn without_link(status: Status) -> Self {
        match status {
            Status::Offline => Self::Offline,
            Status::Online => Self::Unlinked,
            Status::PushOnline => Self::PushOnline,
        }
    }
}

/// The table.
pub(super) fn next(class: Class, web_close: WebClose, state: DeviceState, step: DeviceStep) -> Transition {
    use DeviceState::{Linked, Offline, PushOnline, Unlinked};
    use Transition::{Change, NewSession, Nothing, Quiet};
    let is_web = class == Class::Web;
    match (state, step) {
        (Linked | Unlinked, DeviceStep::Resume) => Quiet(Linked),
        (PushOnline | Offline, DeviceStep::Resume) => NewSession,
        (Offline, DeviceStep::Logout | DeviceStep::LinkEnd | DeviceStep::Alarm) => Nothing,
        (Linked | Unlinked | PushOnline, DeviceStep::Logout) => Change(ChangeKind::Logout),
        (Linked, DeviceStep::LinkEnd) if is_web && web_close == WebClose::TimeOut => Quiet(Unlinked),
        (Linked, DeviceStep::LinkEnd) => Change(ChangeKind::LinkEnd),
        (Unlinked | PushOnline, DeviceStep::LinkEnd) => Nothing,
        (Linked, DeviceStep::Alarm) => Change(ChangeKind::TimeOut),
        (Unlinked, DeviceStep::Alarm) if is_web => Change(ChangeKind::TimeOut),
        (Unlinked, DeviceStep::Alarm) => Change(ChangeKind::LinkEnd),
        (PushOnline, DeviceStep::Alarm) => Change(ChangeKind::Expiry),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn the_whole_table() {
        let states = [
            DeviceState::Offline,
            DeviceState::Linked,
            DeviceState::Unlinked,
            DeviceState::PushOnline,
        ];
        let steps = [
            DeviceStep::Resume,
            DeviceStep::Logout,
            DeviceStep::LinkEnd,
            DeviceStep::Alarm,
        ];
        let rows = [
            ("mobile", Class::Mobile, WebClose::TimeOut),
            ("desktop", Class::Desktop, WebClose::TimeOut),
            ("web", Class::Web, WebClose::TimeOut),
            ("web at once", Class::Web, WebClose::AtOnce),
        ];
        let mut table = String::new();
        for (name, class, web_close) in rows {
            for state in states {
                for step in steps {
                    let next = match next(class, web_close, state, step) {
                        Transition::Change(kind) => format!("{kind:?}: {:?}", kind.status_after(class)),
                        other @ (Transition::NewSession | Transition::Quiet(_) | Transition::Nothing) => {
                            format!("{other:?}")
                        }
                    };
                    let (state, step) = (format!("{state:?}"), format!("{step:?}"));
                    writeln!(table, "{name:<12} {state:<11} {step:<8} {next}").unwrap();
                }
            }
        }
        insta::assert_snapshot!(table);
    }
}
