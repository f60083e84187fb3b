//! What a shard counts of its users and connections: by class, status, kind and code. Counts; decides nothing.

use crate::base::counters::Counters;
use crate::base::ids::{Class, ConnKey};
use crate::logic::record::{ChangeKind, Status};
use crate::logic::state::ShardState;
use crate::protocol::transport::Transport;
use crate::protocol::verdict::Code;

impl ShardState {
    /// A login was answered.
    pub(super) fn count_login(&mut self, code: Code) {
        *login_counter(&mut self.counters, code) += 1;
    }

    /// A change was confirmed.
    pub(super) fn count_change(&mut self, kind: &ChangeKind) {
        self.counters.changes += 1;
        let counter = match kind {
            ChangeKind::Login { .. } => &mut self.counters.change_login,
            ChangeKind::Logout => &mut self.counters.change_logout,
            ChangeKind::LinkEnd => &mut self.counters.change_link_end,
            ChangeKind::TimeOut => &mut self.counters.change_time_out,
            ChangeKind::Expiry => &mut self.counters.change_expiry,
            ChangeKind::Kick => &mut self.counters.change_kick,
            ChangeKind::Deletion => &mut self.counters.change_deletion,
        };
        *counter += 1;
    }

    /// From now on, and until it is forgotten, this connection counts as one that is logged in.
    pub(super) fn count_live(&mut self, key: ConnKey, class: Class) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if session.live.replace(class).is_none() {
            *live_counter(&mut self.counters, class, session.peer.stack.transport) += 1;
        }
    }

    /// A connection that was logged in is gone.
    pub(super) fn count_gone(&mut self, class: Class, transport: Transport) {
        *live_counter(&mut self.counters, class, transport) -= 1;
    }

    /// A device, and with it perhaps its user, has another status.
    pub(super) fn count_status(&mut self, device: (Status, Status), user: (Status, Status)) {
        let counters = &mut self.counters;
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

fn live_counter(counters: &mut Counters, class: Class, transport: Transport) -> &mut u64 {
    match (class, transport) {
        (Class::Mobile, Transport::Tcp) => &mut counters.live_mobile_tcp,
        (Class::Desktop, Transport::Tcp) => &mut counters.live_desktop_tcp,
        (Class::Web, Transport::Tcp) => &mut counters.live_web_tcp,
    }
}

fn login_counter(counters: &mut Counters, code: Code) -> &mut u64 {
    match code {
        Code::Ok => &mut counters.login_ok,
        Code::ProtocolUnsupported => &mut counters.login_protocol_unsupported,
        Code::FieldInvalid => &mut counters.login_field_invalid,
        Code::Busy => &mut counters.login_busy,
        Code::NotRecorded => &mut counters.login_not_recorded,
        Code::AddressLimit => &mut counters.login_address_limit,
        Code::UserLimit => &mut counters.login_user_limit,
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
        | Code::Stopping
        | Code::Silent => unreachable!("no login is answered by one of these"),
    }
}
