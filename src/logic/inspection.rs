//! All that is known of one user, for the operator. Plain values.

use std::net::Ipv6Addr;

use crate::base::ids::{ChangeNumber, DeviceId, SessionId, UserId};
use crate::base::time::Timestamp;
use crate::logic::record::Status;
use crate::protocol::transport::Transport;

/// All that is known of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Who.
    pub user: UserId,
    /// The user's last change.
    pub change: ChangeNumber,
    /// The Unix second of the last kick, 0 if there was none: UserSigs made in it or before are refused.
    pub kicked_at_s: u64,
    /// The devices that are not Offline.
    pub devices: Vec<DeviceInspection>,
}

/// All that is known of a device that is not Offline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInspection {
    /// Which.
    pub device: DeviceId,
    /// Online or PushOnline.
    pub status: Status,
    /// Its session.
    pub session: SessionId,
    /// When the session began.
    pub login_at: Timestamp,
    /// Online: when the last frame came. PushOnline: since when.
    pub heard_at: Timestamp,
    /// Without a connection: when its status ends unless it comes back.
    pub until: Option<Timestamp>,
    /// What is known of its connection, while it has one.
    pub link: Option<LinkInspection>,
}

/// What is known of a device's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInspection {
    /// The client's address.
    pub address: Ipv6Addr,
    /// How it is connected.
    pub transport: Transport,
    /// As the terminal named it, or `other`.
    pub sdk_version: String,
    /// As the terminal named it, or `other`.
    pub app_version: String,
    /// The app is in the background.
    pub background: bool,
}
