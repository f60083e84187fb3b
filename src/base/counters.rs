//! What a shard counts. Plain numbers with one writer; the shard publishes copies of them for everyone else.

macro_rules! counters {
    ($($name:ident $(as $series:literal)?: $help:literal,)*) => {
        /// Counts since the shard started (those named `…_now` are present amounts).
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters { $(#[doc = $help] pub $name: u64,)* }

        impl Counters {
            /// Name and meaning of each, in the order of [`Counters::values`]. Several of one name differ by the labels
            /// behind it, and stand together.
            pub const NAMES: &'static [(&'static str, &'static str)] =
                &[$((counters!(@series $name $($series)?), $help),)*];

            /// The numbers, in the order of [`Counters::NAMES`].
            #[must_use]
            pub fn values(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$name,)*]
            }
        }
    };
    (@series $name:ident) => { stringify!($name) };
    (@series $name:ident $series:literal) => { $series };
}

counters! {
    connections_now: "Connections of this shard, logged in or not.",
    live_mobile_tcp as "connections_live_now{class=\"mobile\",transport=\"tcp\"}":
        "Connections that are logged in, by the class of their device and by how they reach the gateway.",
    live_desktop_tcp as "connections_live_now{class=\"desktop\",transport=\"tcp\"}":
        "Connections that are logged in, by the class of their device and by how they reach the gateway.",
    live_web_tcp as "connections_live_now{class=\"web\",transport=\"tcp\"}":
        "Connections that are logged in, by the class of their device and by how they reach the gateway.",
    live_mobile_tls as "connections_live_now{class=\"mobile\",transport=\"tls\"}":
        "Connections that are logged in, by the class of their device and by how they reach the gateway.",
    live_desktop_tls as "connections_live_now{class=\"desktop\",transport=\"tls\"}":
        "Connections that are logged in, by the class of their device and by how they reach the gateway.",
    live_web_tls as "connections_live_now{class=\"web\",transport=\"tls\"}":
        "Connections that are logged in, by the class of their device and by how they reach the gateway.",
    live_mobile_websocket as "connections_live_now{class=\"mobile\",transport=\"websocket\"}":
        "Connections that are logged in, by the class of their device and by how they reach the gateway.",
    live_desktop_websocket as "connections_live_now{class=\"desktop\",transport=\"websocket\"}":
        "Connections that are logged in, by the class of their device and by how they reach the gateway.",
    live_web_websocket as "connections_live_now{class=\"web\",transport=\"websocket\"}":
        "Connections that are logged in, by the class of their device and by how they reach the gateway.",
    live_mobile_websocket_tls as "connections_live_now{class=\"mobile\",transport=\"websocket-tls\"}":
        "Connections that are logged in, by the class of their device and by how they reach the gateway.",
    live_desktop_websocket_tls as "connections_live_now{class=\"desktop\",transport=\"websocket-tls\"}":
        "Connections that are logged in, by the class of their device and by how they reach the gateway.",
    live_web_websocket_tls as "connections_live_now{class=\"web\",transport=\"websocket-tls\"}":
        "Connections that are logged in, by the class of their device and by how they reach the gateway.",
    connections_opened: "Connections accepted.",
    connections_moved: "Connections handed to their user's home shard.",
    connections_arrived: "Connections taken over from another shard.",
    moves_refused: "Moves that found the home shard full or stopping.",
    users_now: "Users with a device that is not Offline, or with something waiting.",
    users_online_now: "Users whose highest device is Online.",
    users_push_online_now: "Users whose highest device is PushOnline. All others are Offline, and no shard holds them.",
    devices_online_now: "Devices Online.",
    devices_push_online_now: "Devices PushOnline.",
    commits_retrying_now: "Users whose change the registry could not take and that is tried again.",
    logins_accepted: "Logins answered with a new session.",
    sessions_kept: "Resumes that kept their session.",
    logins_refused: "Logins refused for any reason.",
    usersigs_refused: "Logins refused for their UserSig.",
    logins_busy: "Logins refused because the registry or their home shard had no room.",
    login_ok as "logins{code=\"OK\"}": "Logins answered, by the code of the answer.",
    login_protocol_unsupported as "logins{code=\"PROTOCOL_UNSUPPORTED\"}": "Logins answered, by the code of the answer.",
    login_field_invalid as "logins{code=\"FIELD_INVALID\"}": "Logins answered, by the code of the answer.",
    login_busy as "logins{code=\"BUSY\"}": "Logins answered, by the code of the answer.",
    login_not_recorded as "logins{code=\"NOT_RECORDED\"}": "Logins answered, by the code of the answer.",
    login_address_limit as "logins{code=\"ADDRESS_LIMIT\"}": "Logins answered, by the code of the answer.",
    login_user_limit as "logins{code=\"USER_LIMIT\"}": "Logins answered, by the code of the answer.",
    login_elsewhere as "logins{code=\"ELSEWHERE\"}": "Logins answered, by the code of the answer.",
    login_session_unknown as "logins{code=\"SESSION_UNKNOWN\"}": "Logins answered, by the code of the answer.",
    login_session_forced_off as "logins{code=\"SESSION_FORCED_OFF\"}": "Logins answered, by the code of the answer.",
    login_session_kicked as "logins{code=\"SESSION_KICKED\"}": "Logins answered, by the code of the answer.",
    login_session_logged_out as "logins{code=\"SESSION_LOGGED_OUT\"}": "Logins answered, by the code of the answer.",
    login_other_device_online as "logins{code=\"OTHER_DEVICE_ONLINE\"}": "Logins answered, by the code of the answer.",
    login_usersig_expired as "logins{code=\"USERSIG_EXPIRED\"}": "Logins answered, by the code of the answer.",
    login_usersig_empty as "logins{code=\"USERSIG_EMPTY\"}": "Logins answered, by the code of the answer.",
    login_usersig_unreadable as "logins{code=\"USERSIG_UNREADABLE\"}": "Logins answered, by the code of the answer.",
    login_usersig_wrong_signature as "logins{code=\"USERSIG_WRONG_SIGNATURE\"}": "Logins answered, by the code of the answer.",
    login_usersig_wrong_user as "logins{code=\"USERSIG_WRONG_USER\"}": "Logins answered, by the code of the answer.",
    login_usersig_wrong_app as "logins{code=\"USERSIG_WRONG_APP\"}": "Logins answered, by the code of the answer.",
    login_usersig_no_key as "logins{code=\"USERSIG_NO_KEY\"}": "Logins answered, by the code of the answer.",
    login_usersig_kicked as "logins{code=\"USERSIG_KICKED\"}": "Logins answered, by the code of the answer.",
    login_account_unknown as "logins{code=\"ACCOUNT_UNKNOWN\"}": "Logins answered, by the code of the answer.",
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
    change_login as "changes_by_kind{kind=\"login\"}": "Changes confirmed by the registry, by their kind as in the stream.",
    change_logout as "changes_by_kind{kind=\"logout\"}": "Changes confirmed by the registry, by their kind as in the stream.",
    change_link_end as "changes_by_kind{kind=\"link-end\"}": "Changes confirmed by the registry, by their kind as in the stream.",
    change_time_out as "changes_by_kind{kind=\"time-out\"}": "Changes confirmed by the registry, by their kind as in the stream.",
    change_expiry as "changes_by_kind{kind=\"expiry\"}": "Changes confirmed by the registry, by their kind as in the stream.",
    change_kick as "changes_by_kind{kind=\"kick\"}": "Changes confirmed by the registry, by their kind as in the stream.",
    change_deletion as "changes_by_kind{kind=\"deletion\"}": "Changes confirmed by the registry, by their kind as in the stream.",
    commits_failed: "Commits that the registry could not take.",
    frames_too_large: "Connections closed for a frame over its limit.",
    frames_malformed: "Connections closed for bytes that are no frame or no packet.",
    packets_before_login: "Connections closed for a packet before their login.",
    fields_invalid: "Logins refused for a field out of its bounds.",
    protocols_unsupported: "Logins refused for an unknown protocol version.",
    second_logins: "Connections closed for a second login.",
    login_deadlines: "Connections closed because they did not log in in time.",
    eager_senders: "Connections closed for too many bytes before their login was answered.",
    acks_invalid: "Connections closed for an acknowledgement out of its bounds.",
    slow_readers: "Connections closed because they did not read.",
    unknown_packets: "Unknown packets ignored.",
    unknown_fields: "Unknown fields ignored.",
    queries: "Status queries answered by this shard.",
    addresses_now: "Addresses, as far as prefixes tell them apart, whose connections or failed logins are counted.",
    addresses_full: "Connections that no address limit was kept for, since as many addresses as may be were counted.",
    address_refusals as "address_refusals{limit=\"connections\"}":
        "Connections and logins refused for a limit of their address.",
    address_refusals_failed as "address_refusals{limit=\"failed-logins\"}":
        "Connections and logins refused for a limit of their address.",
    user_refusals_waiting as "user_refusals{limit=\"waiting\"}": "Logins refused for a limit of their user.",
    user_refusals_rate as "user_refusals{limit=\"rate\"}": "Logins refused for a limit of their user.",
    login_rates_now: "Users who logged in so recently that their logins are counted.",
    login_rates_full: "Logins that were not counted for their user, since those of as many users as may be were.",
    messages_sent as "messages{outcome=\"sent\"}": "Messages, by what became of them at a device.",
    messages_acked as "messages{outcome=\"acked\"}": "Messages, by what became of them at a device.",
    messages_refused as "messages{outcome=\"refused\"}": "Messages, by what became of them at a device.",
    messages_lost as "messages{outcome=\"lost\"}": "Messages, by what became of them at a device.",
    messages_replaced as "messages{outcome=\"replaced\"}": "Messages, by what became of them at a device.",
    messages_full as "messages{outcome=\"full\"}": "Messages, by what became of them at a device.",
    messages_unsupported as "messages{outcome=\"unsupported\"}": "Messages, by what became of them at a device.",
    messages_held_now: "Messages that wait for a device, or for its acknowledgement.",
    message_bytes_held_now: "What messages that wait count for in memory.",
    message_frames: "Messages put on the way to a terminal, again ones included.",
    acks_unknown: "Acknowledgements of messages that the device had not to acknowledge.",
    sends_refused: "Users whom a message could not be brought to: no account, a condition, too much that waited, nobody to ask.",
    kicks_refused: "Kicks refused because too many waited for one user.",
}
