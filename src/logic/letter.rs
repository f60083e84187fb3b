//! What a shard, the registry and the HTTP front say to one another. Plain values; who carries them is decided
//! elsewhere.

use std::net::Ipv6Addr;
use std::sync::Arc;

use crate::base::ids::{ChangeNumber, DeviceId, Platform, RequestId, SessionId, ShardId, UserId};
use crate::base::receipt::Receipt;
use crate::base::time::Timestamp;
use crate::logic::record::{Commit, DeviceRecord, Status, UserRecord};
use crate::logic::settings::Settings;
use crate::protocol::transport::Transport;

/// A shard's name for one of its users while something of that user is with the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserKey(pub u32);

/// To a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToShard {
    /// From the registry: the answer to [`ToRegistry::Load`]; no record if there is no such account.
    Loaded(UserKey, Result<Option<Box<UserRecord>>, RegistryError>),
    /// From the registry: the answer to [`ToRegistry::Commit`], with the time that its changes have on record.
    Committed(UserKey, Result<Timestamp, RegistryError>),
    /// From the front: the statuses of some users of this shard, at most 500. Answered by [`ToFront::Statuses`].
    Query(RequestId, Depth, Vec<UserId>),
    /// From the front: end all sessions of a user of this shard. Answered by [`ToFront::Kicked`].
    Kick(RequestId, UserId),
    /// From the front: all that is known of a user of this shard. Answered by [`ToFront::Inspected`].
    Inspect(RequestId, UserId),
    /// From the front: end one device's session. Answered by [`ToFront::Kicked`].
    KickDevice(RequestId, UserId, DeviceId),
    /// From the front: end all sessions of a user and forget the account. Answered by [`ToFront::Kicked`].
    Delete(RequestId, UserId),
    /// From the node, before everything else: users of this shard that the registry has on record with devices.
    Restore(Vec<(UserId, UserRecord)>),
    /// From the shard itself, once: terminals can connect from now on, so the restart grace begins.
    Open,
    /// From another shard: logins of this shard's users were refused as busy there, since there was no way here.
    TurnedAway,
    /// From the node: other settings, for whatever is decided from now on. The receipt is dropped when they count.
    Settings(Arc<Settings>, Receipt),
    /// From the node: say goodbye to everyone and take no more logins.
    Stop,
}

/// How much a query asks of each user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The user's status alone.
    Status,
    /// Every device that is not Offline.
    Devices,
}

/// To the registry. Each is answered by one letter, to the shard it came from or (`Complete`) to the front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToRegistry {
    /// What is on record of a user?
    Load(ShardId, UserKey, UserId),
    /// Record these changes, durably.
    Commit(ShardId, UserKey, Box<Commit>),
    /// Fill in those users that are still unresolved, and pass it on to the front.
    Complete(RequestId, UserStatuses),
    /// From the front: look at accounts, or register them. Answered by [`ToFront::Accounts`].
    Accounts(RequestId, AccountsAsk, Vec<UserId>),
}

/// What is asked of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountsAsk {
    /// Whether they exist.
    Check,
    /// That they exist from now on. It is no change.
    Import,
}

/// To the HTTP front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToFront {
    /// One shard's answer to a query: its share of the users.
    Statuses(RequestId, UserStatuses),
    /// The answer to a kick.
    Kicked(RequestId, Result<(), KickError>),
    /// The answer to an inspection; `None` if there is no such account.
    Inspected(RequestId, Result<Option<Box<Inspection>>, RegistryError>),
    /// Which of the accounts existed before, in their order.
    Accounts(RequestId, Result<Vec<bool>, RegistryError>),
}

/// The registry could not do it now. Nothing of it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the registry cannot be asked now")]
pub struct RegistryError;

/// Why a kick was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KickError {
    /// There is no such account.
    UnknownAccount,
    /// The device has no session.
    UnknownDevice,
    /// Too much waits for this user, or the registry cannot be asked.
    Busy,
}

/// The answer to a query. The list of users is the one that was asked: a query between two cores costs what its letters
/// weigh, so nothing is in them twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserStatuses {
    /// Who was asked for.
    pub users: Vec<UserId>,
    /// What is known of each, in their order.
    pub statuses: StatusList,
}

/// What is known of some users, as deep as was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusList {
    /// To [`Depth::Status`].
    Status(Vec<BriefStatus>),
    /// To [`Depth::Devices`].
    Devices(Vec<UserStatus>),
}

impl UserStatuses {
    /// Whether nothing is left for the registry.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        match &self.statuses {
            StatusList::Status(all) => !all.contains(&BriefStatus::Unresolved),
            StatusList::Devices(all) => !all.contains(&UserStatus::Unresolved),
        }
    }

    /// Fills in those that the shard did not hold.
    pub fn resolve(&mut self, mut look_up: impl FnMut(&UserId) -> UserStatus) {
        match &mut self.statuses {
            StatusList::Status(all) => {
                let all = self.users.iter().zip(all);
                for (user, brief) in all.filter(|(_, brief)| **brief == BriefStatus::Unresolved) {
                    *brief = look_up(user).brief();
                }
            }
            StatusList::Devices(all) => {
                let all = self.users.iter().zip(all);
                for (user, status) in all.filter(|(_, status)| **status == UserStatus::Unresolved) {
                    *status = look_up(user);
                }
            }
        }
    }
}

/// What a query learns of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserStatus {
    /// The shard does not hold the user: Offline, or not an account. Only between shard and registry.
    Unresolved,
    /// The user's devices that are not Offline, after change `change`. None: the user is Offline.
    Known {
        /// The user's last change.
        change: ChangeNumber,
        /// The devices that are not Offline.
        devices: DeviceStatuses,
    },
    /// There is no such account.
    UnknownAccount,
    /// The registry could not be asked.
    Unavailable,
}

/// A [`UserStatus`] without its devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BriefStatus {
    /// See [`UserStatus::Unresolved`].
    Unresolved,
    /// The user's status.
    Known(Status),
    /// See [`UserStatus::UnknownAccount`].
    UnknownAccount,
    /// See [`UserStatus::Unavailable`].
    Unavailable,
}

// A letter for 500 users crosses between two cores.
const _: () = assert!(size_of::<UserStatus>() == 32);
const _: () = assert!(size_of::<BriefStatus>() == 1);

impl UserStatus {
    /// The same without the devices.
    #[must_use]
    pub fn brief(&self) -> BriefStatus {
        match self {
            Self::Unresolved => BriefStatus::Unresolved,
            Self::Known { devices, .. } => BriefStatus::Known(devices.status()),
            Self::UnknownAccount => BriefStatus::UnknownAccount,
            Self::Unavailable => BriefStatus::Unavailable,
        }
    }

    /// What a record says.
    #[must_use]
    pub fn of_record(record: &UserRecord) -> Self {
        let status = |known: &DeviceRecord| DeviceStatus {
            device: known.device,
            status: known.status,
        };
        Self::Known {
            change: record.change,
            devices: record.devices.iter().map(status).collect(),
        }
    }
}

/// One device in the answer to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceStatus {
    /// Which.
    pub device: DeviceId,
    /// Online or PushOnline.
    pub status: Status,
}

/// The devices of one user in the answer to a query. Nearly every user has at most one: that one needs no
/// allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceStatuses {
    /// Offline.
    None,
    /// One device.
    One(DeviceStatus),
    /// Several.
    Many(Box<[DeviceStatus]>),
}

impl DeviceStatuses {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[DeviceStatus] {
        match self {
            Self::None => &[],
            Self::One(device) => std::slice::from_ref(device),
            Self::Many(devices) => devices,
        }
    }

    /// The user's status: the highest of the devices'.
    #[must_use]
    pub fn status(&self) -> Status {
        self.as_slice()
            .iter()
            .map(|device| device.status)
            .max()
            .unwrap_or(Status::Offline)
    }
}

impl FromIterator<DeviceStatus> for DeviceStatuses {
    fn from_iter<I: IntoIterator<Item = DeviceStatus>>(devices: I) -> Self {
        let mut devices = devices.into_iter();
        match (devices.next(), devices.next()) {
            (None, _) => Self::None,
            (Some(one), None) => Self::One(one),
            (Some(one), Some(two)) => Self::Many([one, two].into_iter().chain(devices).collect()),
        }
    }
}

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

/// The platforms of a list of devices, for `KickedDevice` and the login answer.
#[must_use]
pub fn platforms_online(devices: &[(DeviceId, Status)]) -> Vec<Platform> {
    let online = devices.iter().filter(|(_, status)| *status == Status::Online);
    online.map(|(device, _)| device.platform).collect()
}
