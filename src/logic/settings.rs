//! The settings that decisions depend on, checked and in their final form. How they are read, named and
//! explained stands with the configuration.

use std::time::Duration;

use crate::base::ids::{Class, Platform};
use crate::base::limits;
use crate::protocol::usersig::Key;

/// Everything a shard's decisions depend on besides what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Of which app the users are.
    pub sdk_app_id: u64,
    /// The secrets that UserSigs may be made with.
    pub keys: Vec<Key>,
    /// How far ahead of the clock a UserSig may be dated.
    pub usersig_ahead_max: Duration,
    /// Who may be online together.
    pub policy: Policy,
    /// Who goes when two may not be online together.
    pub conflict: Conflict,
    /// How many devices of each platform, by the platform's number minus 1. At least 1 each.
    pub instances: [u8; 7],
    /// What the end of a web page's link means.
    pub web_close: WebClose,
    /// What terminals are told to keep.
    pub heartbeat_interval: Duration,
    /// Silence after which a link counts as lost.
    pub heartbeat_timeout: TimeoutByClass,
    /// How long a device stays PushOnline without a login.
    pub push_online: Duration,
    /// How long after a start devices that were Online may come back without a change.
    pub restart_grace: Duration,
    /// Whether a first login registers its account.
    pub registration: Registration,
    /// How long a new connection may take to log in.
    pub login_deadline: Duration,
    /// What is told to a terminal that meets a full or failing gateway: the middle of a random spread.
    pub retry_after: Duration,
    /// What one address may do.
    pub addresses: AddressLimits,
    /// Logins of one user in a minute that are not resumes of a session that goes on; so many may come at once. 0: no limit.
    pub logins_per_user_max: u32,
    /// What messages that wait for devices may count for at one shard.
    pub message_bytes_max: usize,
    /// How much may be under way or wait.
    pub capacities: Capacities,
    /// Whether the operator hears of single connections.
    pub trace: ConnectionTrace,
}

/// Whether what happens to single connections is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionTrace {
    /// It costs nothing.
    Off,
    /// Each event costs some allocations, and what its reader makes of it.
    On,
}

/// What one address may do at one shard. 0: as much as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressLimits {
    /// Connections at the same time.
    pub connections_max: u32,
    /// Logins in a minute that are refused for their UserSig.
    pub failed_logins_max: u32,
    /// So many bits of an IPv4 address say which one it is: 0 to 32.
    pub ipv4_prefix_bits: u8,
    /// So many bits of an IPv6 address say which one it is: 0 to 128.
    pub ipv6_prefix_bits: u8,
}

impl AddressLimits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn are_off(&self) -> bool {
        self.connections_max == 0 && self.failed_logins_max == 0
    }
}

impl Default for AddressLimits {
    /// No limits. A provider gives a customer one IPv4 address, and of IPv6 at least a /64.
    fn default() -> Self {
        Self {
            connections_max: 0,
            failed_logins_max: 0,
            ipv4_prefix_bits: 32,
            ipv6_prefix_bits: 64,
        }
    }
}

/// Silence after which a link counts as lost, for each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutByClass {
    /// Android, iPhone, iPad.
    pub mobile: Duration,
    /// Windows, Mac, Linux.
    pub desktop: Duration,
    /// Web.
    pub web: Duration,
}

/// Limits that a test makes small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacities {
    /// See [`limits::REGISTRY_IN_FLIGHT_MAX`].
    pub registry_in_flight: usize,
    /// See [`limits::LOGINS_WAITING_MAX`].
    pub logins_waiting: usize,
}

/// Which platforms may be online together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// One platform.
    Single,
    /// One native platform, and Web.
    Dual,
    /// One mobile platform, one desktop platform, and Web.
    Triple,
    /// Every platform at once.
    Multi,
}

/// Who goes when two may not be online together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// The new login forces the others off.
    NewestWins,
    /// The new login is refused if it would force off a device with a live connection.
    OldestWins,
}

/// What the end of a web page's link means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WebClose {
    /// Nothing: the page is Online until it was silent for its time-out.
    TimeOut,
    /// It is Offline at once.
    AtOnce,
}

/// How accounts come into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Registration {
    /// By import, or by a first login.
    AtLogin,
    /// By import only: others are refused.
    ByImport,
}

impl Settings {
    /// How many devices of a platform may be online together.
    #[must_use]
    pub fn instances_of(&self, platform: Platform) -> usize {
        usize::from(self.instances[platform as usize - 1])
    }

    /// Silence after which a link of this class counts as lost.
    #[must_use]
    pub fn timeout_of(&self, class: Class) -> Duration {
        match class {
            Class::Mobile => self.heartbeat_timeout.mobile,
            Class::Desktop => self.heartbeat_timeout.desktop,
            Class::Web => self.heartbeat_timeout.web,
        }
    }
}

impl Default for Settings {
    /// The specification's values, for an app without an id and without keys.
    fn default() -> Self {
        let timeout = Duration::from_secs(400);
        Self {
            sdk_app_id: 0,
            keys: Vec::new(),
            usersig_ahead_max: Duration::from_secs(86_400),
            policy: Policy::Single,
            conflict: Conflict::NewestWins,
            instances: [1; 7],
            web_close: WebClose::TimeOut,
            heartbeat_interval: Duration::from_secs(120),
            heartbeat_timeout: TimeoutByClass {
                mobile: timeout,
                desktop: timeout,
                web: timeout,
            },
            push_online: Duration::from_secs(7 * 86_400),
            restart_grace: Duration::from_secs(60),
            registration: Registration::AtLogin,
            login_deadline: Duration::from_secs(10),
            retry_after: Duration::from_secs(2),
            addresses: AddressLimits::default(),
            logins_per_user_max: 60,
            message_bytes_max: 128 * 1024 * 1024,
            capacities: Capacities {
                registry_in_flight: limits::REGISTRY_IN_FLIGHT_MAX,
                logins_waiting: limits::LOGINS_WAITING_MAX,
            },
            trace: ConnectionTrace::Off,
        }
    }
}
