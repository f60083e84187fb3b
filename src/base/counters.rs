//! What a shard counts. Plain numbers with one writer; the shard publishes copies of them for everyone else.

macro_rules! counters {
    ($($name:ident: $help:literal,)*) => {
        /// Counts since the shard started (those named `…_now` are present amounts).
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters { $(#[doc = $help] pub $name: u64,)* }

        impl Counters {
            /// Name and meaning of each, in the order of [`Counters::values`].
            pub const NAMES: &'static [(&'static str, &'static str)] = &[$((stringify!($name), $help),)*];

            /// The numbers, in the order of [`Counters::NAMES`].
            #[must_use]
            pub fn values(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$name,)*]
            }
        }
    };
}

counters! {
    connections_now: "Connections of this shard, logged in or not.",
    connections_opened: "Connections accepted.",
    connections_moved: "Connections handed to their user's home shard.",
    connections_arrived: "Connections taken over from another shard.",
    moves_refused: "Moves that found the home shard full or stopping.",
    users_now: "Users with a device that is not Offline, or with something waiting.",
    devices_online_now: "Devices Online.",
    devices_push_online_now: "Devices PushOnline.",
    commits_retrying_now: "Users whose change the registry could not take and that is tried again.",
    logins_accepted: "Logins answered with a new session.",
    sessions_kept: "Resumes that kept their session.",
    logins_refused: "Logins refused for any reason.",
    usersigs_refused: "Logins refused for their UserSig.",
    logins_busy: "Logins refused because the gateway was full.",
    heartbeats: "Heartbeats answered.",
    logouts: "Logouts recorded.",
    link_ends: "Link ends recorded.",
    time_outs: "Heartbeat time-outs recorded.",
    expiries: "PushOnline devices that did not return in time.",
    forced_off: "Devices forced off by another login.",
    kicked: "Devices ended by the backend or the operator.",
    accounts_deleted: "Accounts deleted.",
    devices_restored: "Devices taken over from the registry at the start.",
    changes: "Changes confirmed by the registry.",
    commits_failed: "Commits that the registry could not take.",
    frames_too_large: "Connections closed for a frame over its limit.",
    frames_malformed: "Connections closed for bytes that are no frame or no packet.",
    packets_before_login: "Connections closed for a packet before their login.",
    fields_invalid: "Logins refused for a field out of its bounds.",
    protocols_unsupported: "Logins refused for an unknown protocol version.",
    second_logins: "Connections closed for a second login.",
    login_deadlines: "Connections closed because they did not log in in time.",
    eager_senders: "Connections closed for too many bytes before their login was answered.",
    slow_readers: "Connections closed because they did not read.",
    unknown_packets: "Unknown packets ignored.",
    unknown_fields: "Unknown fields ignored.",
    queries: "Status queries answered by this shard.",
    letters_refused: "Kicks refused because too many waited for one user.",
}
