//! Messages to devices, as plain data: what shards are asked to bring, and what becomes of it at each device. Decides nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::base::ids::{ChangeNumber, DeviceId, InstanceId, Platform, SessionId, UserId};
use crate::logic::record::Status;
use crate::protocol::packet::MessageContent;

/// A message and those of one shard's users whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendOrder {
    /// What is sent.
    pub content: Arc<MessageContent>,
    /// What the backend calls it.
    pub name: Arc<str>,
    /// Whether devices are to acknowledge it.
    pub ack: AckWish,
    /// How long it matters. A device that has not taken it by then has lost it.
    pub ttl: Duration,
    /// How long whoever asked waits for what becomes of it at last. Shards answer at once.
    pub wait: Duration,
    /// It takes the place of an older one with the same key that waits for the same device.
    pub collapse: Option<Box<str>>,
    /// Which devices of a target it is for, by their status.
    pub reach: SendReach,
    /// Whom it is for, at most [`SEND_TARGETS_MAX`](crate::base::limits::SEND_TARGETS_MAX).
    pub targets: Vec<SendTarget>,
}

impl SendOrder {
    /// What is replied if it is brought to nobody.
    #[must_use]
    pub fn refused(&self, refusal: SendRefusal) -> Vec<TargetResult> {
        let targets = self.targets.iter().map(|target| TargetResult {
            user: target.user,
            outcome: TargetOutcome::Refused(refusal),
        });
        targets.collect()
    }
}

/// Whether devices are to acknowledge a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckWish {
    /// It is sent once, and may be lost on its way.
    No,
    /// It is kept, and sent again on each new connection, until the device has acknowledged it.
    Device,
}

/// Which devices a message is for, by their status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendReach {
    /// Those that are Online.
    Online,
    /// Those that are PushOnline, too: it waits for them to come back.
    All,
}

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendTarget {
    /// Which user.
    pub user: UserId,
    /// Only the user's devices of this platform.
    pub platform: Option<Platform>,
    /// Only the user's devices of this instance.
    pub instance: Option<InstanceId>,
    /// Not the devices that have these sessions.
    pub skip: Vec<SessionId>,
    /// Only if this is so.
    pub condition: Option<SendCondition>,
}

impl SendTarget {
    /// All devices of a user.
    #[must_use]
    pub fn all_of(user: UserId) -> Self {
        Self {
            user,
            platform: None,
            instance: None,
            skip: Vec::new(),
            condition: None,
        }
    }
}

/// What has to be so if a target is to be sent anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendCondition {
    /// The user's last change is this one.
    Change(ChangeNumber),
    /// One of the user's devices has this session.
    Session(SessionId),
}

/// What became of a message at one target, by the user's confirmed state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetResult {
    /// Whose.
    pub user: UserId,
    /// What became of it.
    pub outcome: TargetOutcome,
}

/// What became of a message at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetOutcome {
    /// It is for these devices, perhaps none.
    Reached(ReachedUser),
    /// It was brought to nobody.
    Refused(SendRefusal),
}

/// A user whom a message is for, as the user was at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachedUser {
    /// The user's last change.
    pub change: ChangeNumber,
    /// The user's status.
    pub status: Status,
    /// What became of it at each device that it is for.
    pub devices: Vec<DeviceResult>,
}

/// What became of a message at one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceResult {
    /// Which device.
    pub device: DeviceId,
    /// The session that it had.
    pub session: SessionId,
    /// What became of it.
    pub outcome: DeviceOutcome,
    /// How long that took.
    pub after: Duration,
    /// What the app answered.
    pub reply: Vec<u8>,
}

/// What becomes of a message at one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceOutcome {
    /// It waits for an acknowledgement or for a connection. Another one follows.
    Held,
    /// It was put on the way of a connection that was there, once.
    Sent,
    /// The terminal has acknowledged it.
    Acked,
    /// The terminal has said that the app could not take it.
    Refused,
    /// The device did not take it in time, or its session ended.
    Lost,
    /// A newer message with the same key took its place.
    Replaced,
    /// The device has as many waiting as it may have, or the shard has.
    Full,
    /// The terminal knows nothing of messages.
    Unsupported,
}

impl DeviceOutcome {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Held,
        Self::Sent,
        Self::Acked,
        Self::Refused,
        Self::Lost,
        Self::Replaced,
        Self::Full,
        Self::Unsupported,
    ];

    /// Its name for backends.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Sent => "sent",
            Self::Acked => "acked",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Replaced => "replaced",
            Self::Full => "full",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Why a message was brought to none of a user's devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendRefusal {
    /// There is no such account.
    UnknownAccount,
    /// The condition is not met.
    Precondition,
    /// Too much waits for this user.
    Busy,
    /// Nobody can say now how the user is: the registry cannot be asked, or no node has the user.
    Unavailable,
}

impl SendRefusal {
    /// Its name for backends.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownAccount => "unknown_account",
            Self::Precondition => "precondition",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What became at last of a message that was [`DeviceOutcome::Held`] at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateOutcome {
    /// Which message.
    pub message: u64,
    /// What the backend calls it.
    pub name: Arc<str>,
    /// Whose device.
    pub user: UserId,
    /// The user's last change at that moment.
    pub change: ChangeNumber,
    /// Which device, and what became of it there.
    pub result: DeviceResult,
}
