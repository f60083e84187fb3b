//! Every limit that is not a setting: its name, its value and its reason. Bounds of settings stand with the
//! settings.

/// Tencent Cloud IM's limit of a UserID.
pub const USER_ID_BYTES_MAX: usize = 32;

/// A login with the longest UserSig seen in practice (under 1 KiB) fits four times over.
pub const FRAME_BYTES_MAX_BEFORE_LOGIN: usize = 4 * 1024;

/// Room for later packets; nobody who has not proven who they are may make us keep this much.
pub const FRAME_BYTES_MAX_AFTER_LOGIN: usize = 64 * 1024;

/// Bytes that wait behind a login for its answer. A terminal that is not answered yet has little to say.
pub const EAGER_BYTES_MAX: usize = 4 * 1024;

/// SDK and app versions: long enough for "12.34.5678-beta.9+build".
pub const VERSION_BYTES_MAX: usize = 32;

/// Distinct version strings kept by one shard; later ones are shown as `other`. Bounds what strangers can
/// make a shard remember: 4,096 × (32 + 24) bytes.
pub const VERSIONS_MAX: usize = 4_096;

/// Logins that wait for one user while a change of it is with the registry.
pub const LOGINS_WAITING_MAX: usize = 16;

/// Kicks that wait for one user.
pub const KICKS_WAITING_MAX: usize = 16;

/// How a device's last session ended is remembered for this many devices of a user.
pub const ENDED_DEVICES_MAX: usize = 16;

/// UserIDs in one status query (Tencent Cloud IM, query_online_status).
pub const QUERY_USERS_MAX: usize = 500;

/// An inflated UserSig. Real ones have under 1 KiB; the bound stops a small input that inflates for ever.
pub const USERSIG_INFLATED_BYTES_MAX: usize = 4 * 1024;

/// Users of one shard that may have something with the registry at the same time. With a commit of a
/// millisecond this passes four million changes per second, far beyond what a core decides.
pub const REGISTRY_IN_FLIGHT_MAX: usize = 4_096;

/// Connections on their way from one shard to one other. A move takes microseconds; more than this waiting
/// means that the other shard does not keep up, and the login is told `busy`.
pub const MOVES_IN_FLIGHT_MAX: usize = 1_024;

/// Requests of the HTTP front that are not answered yet. Each may put one letter into every shard's inbox.
pub const HTTP_IN_FLIGHT_MAX: usize = 1_024;

/// First wait before a failed commit is tried again, and the longest; doubled in between.
pub const COMMIT_RETRY_MS_MIN: u64 = 100;
/// See [`COMMIT_RETRY_MS_MIN`].
pub const COMMIT_RETRY_MS_MAX: u64 = 5_000;

const _: () = assert!(FRAME_BYTES_MAX_BEFORE_LOGIN <= FRAME_BYTES_MAX_AFTER_LOGIN);
const _: () = assert!(COMMIT_RETRY_MS_MIN < COMMIT_RETRY_MS_MAX);

/// Alarms that one shard works off in one turn, so that a million falling due together never keep a heartbeat
/// waiting for long.
pub const ALARMS_PER_TURN_MAX: usize = 1_024;
