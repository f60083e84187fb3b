//! What is on record as JSON, one object a line: changes, users, and callbacks that were given up. Reads nothing.

use serde::Serialize;

use crate::base::ids::{DeviceId, PartitionId, UserId};
use crate::logic::record::{Change, ChangeKind, DeviceRecord, RecordedChange, Status, UserRecord};
use crate::services::http::admin::cursor::CursorStore;
use crate::services::registry::archive::Placed;
use crate::services::registry::outbox::Dead;

/// All lines, each with its end.
pub(super) fn bytes_of<T: Serialize>(lines: impl Iterator<Item = T>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, &line).expect("a vector takes every line");
        bytes.push(b'\n');
    }
    bytes
}

/// A change as a line.
#[derive(Serialize)]
pub(super) struct ChangeLine<'a> {
    cursor: String,
    user: &'a str,
    change: u64,
    at: String,
    kind: &'static str,
    device: DeviceName,
    session: u64,
    address: Option<String>,
    forced_off: Vec<StatusLine>,
    callback: Option<CallbackLine>,
}

#[derive(Serialize)]
struct DeviceName {
    platform: &'static str,
    /// A string: many readers of JSON keep only 53 bits of a number.
    instance: String,
}

#[derive(Serialize)]
struct StatusLine {
    #[serde(flatten)]
    device: DeviceName,
    status: &'static str,
}

#[derive(Serialize)]
struct CallbackLine {
    previous: u64,
}

impl<'a> ChangeLine<'a> {
    pub(super) fn new(store: CursorStore, lane: PartitionId, placed: &'a Placed) -> Self {
        let RecordedChange {
            user,
            change,
            session,
            previous,
        } = &placed.recorded;
        Self {
            cursor: store.write_one(lane, placed.position),
            user: user.as_str(),
            change: change.number.0,
            at: change.at.rfc3339(),
            kind: kind(change),
            device: DeviceName::new(change.device),
            session: session.0,
            address: change.address.map(|address| address.to_canonical().to_string()),
            forced_off: forced_off(change).iter().map(StatusLine::new).collect(),
            callback: previous.map(|previous| CallbackLine { previous: previous.0 }),
        }
    }
}

fn kind(change: &Change) -> &'static str {
    match change.kind {
        ChangeKind::Login { .. } => "login",
        ChangeKind::Logout => "logout",
        ChangeKind::LinkEnd => "link-end",
        ChangeKind::TimeOut => "time-out",
        ChangeKind::Expiry => "expiry",
        ChangeKind::Kick => "kick",
        ChangeKind::Deletion => "deletion",
    }
}

fn forced_off(change: &Change) -> &[(DeviceId, Status)] {
    match &change.kind {
        ChangeKind::Login { forced_off, .. } => forced_off,
        ChangeKind::Logout
        | ChangeKind::LinkEnd
        | ChangeKind::TimeOut
        | ChangeKind::Expiry
        | ChangeKind::Kick
        | ChangeKind::Deletion => &[],
    }
}

impl DeviceName {
    fn new(device: DeviceId) -> Self {
        Self {
            platform: device.platform.name(),
            instance: device.instance.to_string(),
        }
    }
}

impl StatusLine {
    fn new((device, status): &(DeviceId, Status)) -> Self {
        Self {
            device: DeviceName::new(*device),
            status: status.name(),
        }
    }
}

/// A user as a line.
#[derive(Serialize)]
pub(super) struct UserLine<'a> {
    user: &'a str,
    status: &'static str,
    change: u64,
    devices: Vec<DeviceLine>,
}

#[derive(Serialize)]
struct DeviceLine {
    #[serde(flatten)]
    device: StatusLine,
    session: u64,
    login_at: String,
    since: String,
}

impl<'a> UserLine<'a> {
    pub(super) fn new(user: &'a UserId, record: &UserRecord) -> Self {
        let device = |known: &DeviceRecord| DeviceLine {
            device: StatusLine::new(&(known.device, known.status)),
            session: known.session.0,
            login_at: known.login_at.rfc3339(),
            since: known.since.rfc3339(),
        };
        Self {
            user: user.as_str(),
            status: record.status().name(),
            change: record.change.0,
            devices: record.devices.iter().map(device).collect(),
        }
    }
}

/// A callback that was given up, as a line: its change, and what became of it.
#[derive(Serialize)]
pub(super) struct DeadLine<'a> {
    #[serde(flatten)]
    change: ChangeLine<'a>,
    attempts: u32,
    given_up_at: String,
    fault: &'a str,
}

impl<'a> DeadLine<'a> {
    pub(super) fn new(store: CursorStore, lane: PartitionId, dead: &'a Dead) -> Self {
        Self {
            change: ChangeLine::new(store, lane, &dead.placed),
            attempts: dead.attempts,
            given_up_at: dead.at.rfc3339(),
            fault: &dead.fault,
        }
    }
}
