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
//! Logout, kick and forced off lead from everywhere to Offline.

use crate::base::ids::Class;
use crate::logic::record::Status;
use crate::logic::settings::WebClose;

/// Where one device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// No session.
    Offline,
    /// Online, reached by a connection.
    Linked,
    /// Online without a connection: a web page that waits for its time-out, or any device in the restart grace.
    Unlinked,
    /// The link is gone; push may reach it.
    PushOnline,
}

/// What can happen to one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A login that begins a new session.
    Login,
    /// A login that goes on with the session on record.
    Resume,
    /// The terminal says goodbye.
    Logout,
    /// The connection ended.
    LinkEnd,
    /// Silence for the time-out.
    TimeOut,
    /// PushOnline for too long.
    Expiry,
    /// Another login takes its place.
    ForcedOff,
    /// The backend ends it.
    Kick,
    /// It did not come back after a start of the gateway.
    GraceEnd,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// A change, recorded before it shows.
    Change(Standing),
    /// Another standing, of which nobody is told.
    Quiet(Standing),
    /// It does not concern the device any more.
    Nothing,
}

impl Standing {
    /// What everyone else sees of it.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Offline => Status::Offline,
            Self::Linked | Self::Unlinked => Status::Online,
            Self::PushOnline => Status::PushOnline,
        }
    }
}

/// What becomes of a device of this class whose link is lost.
#[must_use]
pub fn after_loss(class: Class) -> Standing {
    match class {
        Class::Mobile => Standing::PushOnline,
        Class::Desktop | Class::Web => Standing::Offline,
    }
}

/// The table.
#[must_use]
pub fn next(class: Class, web_close: WebClose, standing: Standing, step: Step) -> Next {
    use Next::{Change, Nothing, Quiet};
    use Standing::{Linked, Offline, PushOnline, Unlinked};
    match (standing, step) {
        (_, Step::Login) => Change(Linked),
        (Linked | Unlinked, Step::Resume) => Quiet(Linked),
        (PushOnline | Offline, Step::Resume) => Change(Linked),
        (Offline, _) => Nothing,
        (_, Step::Logout | Step::ForcedOff | Step::Kick) => Change(Offline),
        (Linked, Step::LinkEnd) if class == Class::Web && web_close == WebClose::TimeOut => Quiet(Unlinked),
        (Linked, Step::LinkEnd) | (Linked | Unlinked, Step::TimeOut) => Change(after_loss(class)),
        (PushOnline, Step::Expiry) => Change(Offline),
        (Unlinked, Step::GraceEnd) => Change(after_loss(class)),
        (Unlinked | PushOnline, Step::LinkEnd)
        | (PushOnline, Step::TimeOut)
        | (Linked | PushOnline, Step::GraceEnd)
        | (Linked | Unlinked, Step::Expiry) => Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn the_whole_table() {
        let standings = [
            Standing::Offline,
            Standing::Linked,
            Standing::Unlinked,
            Standing::PushOnline,
        ];
        let steps = [
            Step::Login,
            Step::Resume,
            Step::Logout,
            Step::LinkEnd,
            Step::TimeOut,
            Step::Expiry,
            Step::ForcedOff,
            Step::Kick,
            Step::GraceEnd,
        ];
        let rows = [
            ("mobile", Class::Mobile, WebClose::TimeOut),
            ("desktop", Class::Desktop, WebClose::TimeOut),
            ("web", Class::Web, WebClose::TimeOut),
            ("web at once", Class::Web, WebClose::AtOnce),
        ];
        let mut table = String::new();
        for (name, class, web_close) in rows {
            for standing in standings {
                for step in steps {
                    let next = format!("{:?}", next(class, web_close, standing, step));
                    let (standing, step) = (format!("{standing:?}"), format!("{step:?}"));
                    writeln!(table, "{name:<12} {standing:<11} {step:<10} {next}").unwrap();
                }
            }
        }
        insta::assert_snapshot!(table);
    }
}
