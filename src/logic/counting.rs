//! What a shard counts of its users and connections: by class, status, kind and code. Counts; decides nothing.

use crate::base::counters::Counters;
use crate::base::ids::Class;
use crate::logic::message::DeviceOutcome;
use crate::logic::record::{ChangeKind, Status};
use crate::protocol::transport::Transport;
use crate::protocol::verdict::Code;

/// A change was confirmed.
pub(super) fn count_change(counters: &mut Counters, kind: &ChangeKind) {
    counters.changes += 1;
    let counter = match kind {
        ChangeKind::Login { .. } => &mut counters.change_login,
        ChangeKind::Logout => &mut counters.change_logout,
        ChangeKind::LinkEnd => &mut counters.change_link_end,
        ChangeKind::TimeOut => &mut counters.change_time_out,
        ChangeKind::Expiry => &mut counters.change_expiry,
        ChangeKind::Kick => &mut counters.change_kick,
        ChangeKind::Deletion => &mut counters.change_deletion,
    };
    *counter += 1;
}

/// A device, and with it perhaps its user, has another status.
pub(super) fn count_status(counters: &mut Counters, device: (Status, Status), user: (Status, Status)) {
    let (online, push_online) = (
        &mut counters.devices_online_now,
        &mut counters.devices_push_online_now,
    );
    shift(device, online, push_online);
    let (online, push_online) = (
        &mut counters.users_online_now,
        &mut counters.users_push_online_now,
    );
    shift(user, online, push_online);
}

fn shift((before, after): (Status, Status), online: &mut u64, push_online: &mut u64) {
    match before {
        Status::Online => *online -= 1,
        Status::PushOnline => *push_online -= 1,
        Status::Offline => {}
    }
    match after {
        Status::Online => *online += 1,
        Status::PushOnline => *push_online += 1,
        Status::Offline => {}
    }
}

/// The connections that are logged in, of this class.
pub(super) fn live_counter(counters: &mut Counters, class: Class, transport: Transport) -> &mut u64 {
    match (class, transport) {
        (Class::Mobile, Transport::Tcp) => &mut counters.live_mobile_tcp,
        (Class::Desktop, Transport::Tcp) => &mut counters.live_desktop_tcp,
        (Class::Web, Transport::Tcp) => &mut counters.live_web_tcp,
        (Class::Mobile, Transport::Tls) => &mut counters.live_mobile_tls,
        (Class::Desktop, Transport::Tls) => &mut counters.live_desktop_tls,
        (Class::Web, Transport::Tls) => &mut counters.live_web_tls,
        (Class::Mobile, Transport::WebSocket) => &mut counters.live_mobile_websocket,
        (Class::Desktop, Transport::WebSocket) => &mut counters.live_desktop_websocket,
        (Class::Web, Transport::WebSocket) => &mut counters.live_web_websocket,
        (Class::Mobile, Transport::SecureWebSocket) => &mut counters.live_mobile_websocket_tls,
        (Class::Desktop, Transport::SecureWebSocket) => &mut counters.live_desktop_websocket_tls,
        (Class::Web, Transport::SecureWebSocket) => &mut counters.live_web_websocket_tls,
    }
}

/// A message came to this at a device.
pub(super) fn count_outcome(counters: &mut Counters, outcome: DeviceOutcome) {
    let counter = match outcome {
        DeviceOutcome::Held => return,
        DeviceOutcome::Sent => &mut counters.messages_sent,
        DeviceOutcome::Acked => &mut counters.messages_acked,
        DeviceOutcome::Refused => &mut counters.messages_refused,
        DeviceOutcome::Lost => &mut counters.messages_lost,
        DeviceOutcome::Replaced => &mut counters.messages_replaced,
        DeviceOutcome::Full => &mut counters.messages_full,
        DeviceOutcome::Unsupported => &mut counters.messages_unsupported,
    };
    *counter += 1;
}

/// The logins that were answered with this code.
pub(super) fn login_counter(counters: &mut Counters, code: Code) -> &mut u64 {
    match code {
        Code::Ok => &mut counters.login_ok,
        Code::ProtocolUnsupported => &mut counters.login_protocol_unsupported,
        Code::FieldInvalid => &mut counters.login_field_invalid,
        Code::Busy => &mut counters.login_busy,
        Code::NotRecorded => &mut counters.login_not_recorded,
        Code::AddressLimit => &mut counters.login_address_limit,
        Code::UserLimit => &mut counters.login_user_limit,
        Code::Elsewhere => &mut counters.login_elsewhere,
        Code::SessionUnknown => &mut counters.login_session_unknown,
        Code::SessionForcedOff => &mut counters.login_session_forced_off,
        Code::SessionKicked => &mut counters.login_session_kicked,
        Code::SessionLoggedOut => &mut counters.login_session_logged_out,
        Code::OtherDeviceOnline => &mut counters.login_other_device_online,
        Code::UsersigExpired => &mut counters.login_usersig_expired,
        Code::UsersigEmpty => &mut counters.login_usersig_empty,
        Code::UsersigUnreadable => &mut counters.login_usersig_unreadable,
        Code::UsersigWrongSignature => &mut counters.login_usersig_wrong_signature,
        Code::UsersigWrongUser => &mut counters.login_usersig_wrong_user,
        Code::UsersigWrongApp => &mut counters.login_usersig_wrong_app,
        Code::UsersigNoKey => &mut counters.login_usersig_no_key,
        Code::UsersigKicked => &mut counters.login_usersig_kicked,
        Code::AccountUnknown => &mut counters.login_account_unknown,
        Code::FrameTooLarge
        | Code::Malformed
        | Code::LoginFirst
        | Code::AlreadyLoggedIn
        | Code::LoginTooLate
        | Code::TooEager
        | Code::TlsFirst
        | Code::AckInvalid
        | Code::Stopping
        | Code::Silent => unreachable!("no login is answered by one of these"),
    }
}
