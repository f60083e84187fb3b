//! What the registry has confirmed: it becomes the user's state, and those whom it concerns are told, all in one turn.
//! Decides nothing any more.

use crate::base::ids::{ChangeNumber, DeviceId, Platform, UserId};
use crate::base::time::Instant;
use crate::logic::between_wings::{ConnectionCommand, LoginGrant, LoginLink, PendingLogin, Pipelined};
use crate::logic::context::{Context, deliver, trace};
use crate::logic::counting::{count_change, count_status};
use crate::logic::delivery::ToHttp;
use crate::logic::kick_order::later_kick;
use crate::logic::record::platforms_online;
use crate::logic::record::{AccountStep, Change, ChangeKind, Status};
use crate::logic::trace::{Subject, TraceKind};
use crate::logic::users::Users;
use crate::logic::users::device::PackedSession;
use crate::logic::users::events::{Committing, PendingLogout, UserEvent};
use crate::logic::users::presence::DeviceState;

impl Users {
    /// Takes a commit into the user's state and tells it.
    pub(super) fn confirm(&mut self, context: &mut Context, user: u32, committing: &Committing) {
        let commit = &committing.commit;
        if let Some(kicked_at_s) = commit.kicked_at_s {
            let latest = self.kicked_at_s.entry(user).or_default();
            *latest = later_kick(*latest, kicked_at_s);
        }
        for change in &commit.changes {
            count_change(&mut context.counters, &change.kind);
            self.table.user_mut(user).change = change.number;
            self.confirm_change(context, user, change, committing);
        }
        if commit.account == AccountStep::Delete {
            context.counters.accounts_deleted += 1;
        }
        if let UserEvent::Kick(request, _) = &committing.event {
            let reply = ToHttp::Kicked(*request, Ok(()));
            deliver(context, reply);
        }
    }

    fn confirm_change(&mut self, context: &mut Context, user: u32, change: &Change, committing: &Committing) {
        match (&change.kind, &committing.event) {
            (ChangeKind::Login { fresh, forced_off }, UserEvent::Login(pending)) => {
                for (loser, _) in forced_off {
                    self.force_off(context, user, *loser, pending.login.device.platform);
                }
                self.confirm_login(context, user, pending, (change, *fresh), forced_off);
            }
            (ChangeKind::Login { .. }, _) => unreachable!("only a login leads to one"),
            (kind, event) => {
                let device = self.table.find_device(user, change.device);
                let device = device.expect("a device that changes is there until its change is confirmed");
                self.tell_end(context, device, kind, event);
                let status = kind.status_after(change.device.platform.class());
                self.lose(context, device, status, committing.decided_at);
            }
        }
    }

    /// Ends a device that has to leave for a login on this platform.
    fn force_off(&mut self, context: &mut Context, user: u32, loser: DeviceId, winner: Platform) {
        let loser = self.table.find_device(user, loser);
        let loser = loser.expect("a loser is there until it is forced off");
        context.counters.forced_off += 1;
        let (link, subject) = (self.table.link_of(loser), self.subject(loser));
        let command = ConnectionCommand::ForceOffline(link, subject, Some(winner));
        context.commands.push_back(command);
        self.remove_device(context, loser);
    }

    fn confirm_login(
        &mut self,
        context: &mut Context,
        user: u32,
        pending: &PendingLogin,
        (change, fresh): (&Change, ChangeNumber),
        forced_off: &[(DeviceId, Status)],
    ) {
        context.counters.logins_accepted += 1;
        self.login_rates.count_login(context, pending.login.user);
        let device = match self.table.find_device(user, pending.login.device) {
            Some(device) => {
                let close = ConnectionCommand::Close(self.table.link_of(device));
                context.commands.push_back(close);
                device
            }
            None => self.table.add_device(user, pending.login.device),
        };
        if fresh == change.number {
            // Whoever logged in afresh is not known to be the one whom they were for.
            self.lose_messages(context, device);
        }
        let known = self.table.device_mut(device);
        known.session = PackedSession::of(change.number, fresh);
        known.login_at.set(change.at);
        let named = platforms_online(forced_off);
        self.go_live(context, TraceKind::LoggedIn, device, pending, named);
    }

    /// The device is Online on the login's connection from now on, and its terminal is told.
    pub(super) fn go_live(
        &mut self,
        context: &mut Context,
        kind: TraceKind,
        device: u32,
        pending: &PendingLogin,
        forced_off: Vec<Platform>,
    ) {
        let origin = pending.origin;
        trace(context, kind, Some(origin), self.subject(device), None);
        self.set_state(context, device, DeviceState::Linked);
        let known = self.table.device_mut(device);
        known.slot = origin.key.slot;
        known.moment.set(context.now.instant);
        known.marks.set_background(pending.login.background);
        known.marks.set_messages(pending.login.messages);
        let (user, session) = (known.user, known.session.id());
        self.arm(&context.settings, device);
        let grant = LoginGrant {
            device,
            class: pending.login.device.platform.class(),
            session,
            forced_off,
            messages: pending.login.messages,
            held: match pending.link {
                LoginLink::Open => self.send_behind_login(context, device),
                LoginLink::Ended(_) => Vec::new(),
            },
        };
        let answer = ConnectionCommand::GoLive(origin.key, grant);
        context.commands.push_back(answer);
        if pending.link == LoginLink::Ended(Pipelined::Logout) {
            // A login counts whose link ended before: the logout behind it is what comes next for its user.
            let (device, origin) = (pending.login.device, pending.origin);
            let logout = PendingLogout {
                origin,
                device,
                session,
            };
            let events = &mut self.waiting_mut(user).events;
            events.push_front(UserEvent::Logout(logout));
        }
    }

    /// A device lost its link, was silent, expired, was logged out or kicked: who is concerned is told.
    fn tell_end(&self, context: &mut Context, device: u32, kind: &ChangeKind, event: &UserEvent) {
        let (link, subject) = (self.table.link_of(device), self.subject(device));
        let Context {
            counters, commands, ..
        } = context;
        match (kind, event) {
            (ChangeKind::LinkEnd, _) => counters.link_ends += 1,
            (ChangeKind::TimeOut, _) => {
                counters.time_outs += 1;
                commands.push_back(ConnectionCommand::EndSilent(link, subject));
            }
            (ChangeKind::Expiry, _) => {
                counters.expiries += 1;
                trace(context, TraceKind::Expired, None, subject, None);
            }
            (ChangeKind::Logout, UserEvent::Logout(PendingLogout { origin, .. })) => {
                counters.logouts += 1;
                commands.push_back(ConnectionCommand::AnswerLogout(origin.key));
                trace(context, TraceKind::LoggedOut, Some(*origin), subject, None);
            }
            (ChangeKind::Kick | ChangeKind::Deletion, _) => {
                counters.kicked += 1;
                commands.push_back(ConnectionCommand::ForceOffline(link, subject, None));
            }
            (ChangeKind::Login { .. } | ChangeKind::Logout, _) => {
                unreachable!("only a login or a logout leads to one")
            }
        }
    }

    /// The device has this status from now on, without a connection; PushOnline counts from `since`.
    fn lose(&mut self, context: &mut Context, device: u32, status: Status, since: Instant) {
        if status == Status::Offline {
            return self.remove_device(context, device);
        }
        self.set_state(context, device, DeviceState::without_link(status));
        let known = self.table.device_mut(device);
        known.moment.set(since);
        known.marks.set_check_waits(false);
        known.marks.set_background(false);
        self.arm(&context.settings, device);
    }

    pub(super) fn set_state(&mut self, context: &mut Context, device: u32, state: DeviceState) {
        let user = self.table.device(device).user;
        let user_before = self.table.user(user).devices.status();
        let before = self.table.set_state(device, state);
        let user_after = self.table.user(user).devices.status();
        let statuses = (before.status(), state.status());
        count_status(&mut context.counters, statuses, (user_before, user_after));
    }

    pub(super) fn remove_device(&mut self, context: &mut Context, device: u32) {
        self.wheel.cancel(device);
        self.lose_messages(context, device);
        self.set_state(context, device, DeviceState::Offline);
        self.table.remove_device(device);
    }

    /// The Unix second of the user's last kick; 0 if there was none.
    pub(super) fn kicked_at_s(&self, user: u32) -> u64 {
        self.kicked_at_s.get(&user).copied().unwrap_or(0)
    }

    pub(super) fn subject(&self, device: u32) -> Subject {
        let known = self.table.device(device);
        Subject::Named(Some(self.table.user(known.user).id), Some(known.id()))
    }

    /// The names of whom an event is about. A connection that leaves can outlive its device, if that timed out before its logout's
    /// turn.
    pub(in crate::logic) fn names(&self, subject: Subject) -> (Option<UserId>, Option<DeviceId>) {
        match subject {
            Subject::Named(user, device) => (user, device),
            Subject::User(user) => (Some(self.table.user(user).id), None),
            Subject::Device { device, slot } => {
                let known = self.table.get_device(device);
                let Some(known) = known.filter(|device| device.slot == slot) else {
                    return (None, None);
                };
                (Some(self.table.user(known.user).id), Some(known.id()))
            }
        }
    }
}
