//! What a query learns of users. Plain values.

use crate::base::ids::{ChangeNumber, DeviceId, UserId};
use crate::logic::record::{DeviceRecord, Status, UserRecord};

/// How much a query asks of each user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryDepth {
    /// The user's status alone.
    Status,
    /// Every device that is not Offline.
    Devices,
}

/// The answer to a query. The list of users is the one that was asked: a query between two cores costs what it
/// weighs, so nothing is in it twice.
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
    /// To [`QueryDepth::Status`].
    Status(Vec<BriefStatus>),
    /// To [`QueryDepth::Devices`].
    Devices(Vec<UserStatus>),
}

impl UserStatuses {
    /// Nothing is known of these users yet.
    #[must_use]
    pub fn unresolved(depth: QueryDepth, users: Vec<UserId>) -> Self {
        let statuses = match depth {
            QueryDepth::Status => StatusList::Status(vec![BriefStatus::Unresolved; users.len()]),
            QueryDepth::Devices => StatusList::Devices(vec![UserStatus::Unresolved; users.len()]),
        };
        Self { users, statuses }
    }

    /// Nothing is known of anyone.
    pub fn withdraw(&mut self) {
        match &mut self.statuses {
            StatusList::Status(all) => all.fill(BriefStatus::Unavailable),
            StatusList::Devices(all) => all.fill(UserStatus::Unavailable),
        }
    }

    /// Whether nothing is left for the registry.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        match &self.statuses {
            StatusList::Status(all) => !all.contains(&BriefStatus::Unresolved),
            StatusList::Devices(all) => !all.contains(&UserStatus::Unresolved),
        }
    }

    /// Takes back what is known of these users: nobody here can say it.
    pub fn withhold(&mut self, is_away: impl Fn(&UserId) -> bool) {
        match &mut self.statuses {
            StatusList::Status(all) => {
                let away = self.users.iter().zip(all).filter(|(user, _)| is_away(user));
                away.for_each(|(_, status)| *status = BriefStatus::Unavailable);
            }
            StatusList::Devices(all) => {
                let away = self.users.iter().zip(all).filter(|(user, _)| is_away(user));
                away.for_each(|(_, status)| *status = UserStatus::Unavailable);
            }
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

// The answer for 500 users crosses between two cores.
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
