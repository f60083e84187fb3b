//! What happened to users, as their connections tell it: a sign of life counts at once, the rest waits for its user's turn. Decides
//! nothing of what waits.

use crate::base::ids::{ConnKey, RequestId, UserId};
use crate::base::limits::KICKS_WAITING_MAX;
use crate::logic::between_wings::{
    Commitment, ConnectionCommand, LoginLink, PendingLogin, Pipelined, UserSignal,
};
use crate::logic::context::{Context, ShardMode, deliver};
use crate::logic::delivery::{KickError, ToHttp};
use crate::logic::users::Users;
use crate::logic::users::admission::refuse_user;
use crate::logic::users::events::{KickTarget, PendingLogout, QueueState, UserEvent};

impl Users {
    /// A frame came from this device.
    pub(in crate::logic) fn hear(&mut self, context: &Context, device: u32) {
        self.table.device_mut(device).moment.set(context.now.instant);
    }

    /// Takes in what happened to a user.
    pub(in crate::logic) fn take_in(&mut self, context: &mut Context, signal: UserSignal) {
        match signal {
            UserSignal::Heard(device) => self.hear(context, device),
            UserSignal::Background(device, to) => self.table.device_mut(device).marks.set_background(to),
            UserSignal::Acked(device, ack) => self.acked(context, device, *ack),
            UserSignal::Login(pending) => self.enqueue_login(context, pending),
            UserSignal::LoginLinkEnd(user, key, pipelined) => {
                self.lose_login_link(context, user, key, pipelined);
            }
            UserSignal::Logout(link, origin) => {
                let device = self.table.device(link.device);
                let logout = PendingLogout {
                    origin,
                    device: device.id(),
                    session: device.session.id(),
                };
                self.enqueue(device.user, UserEvent::Logout(logout));
            }
            UserSignal::LinkEnd(link, origin) => {
                let device = self.table.device(link.device);
                self.enqueue(device.user, UserEvent::LinkEnd(origin, device.id()));
            }
        }
    }

    fn enqueue_login(&mut self, context: &mut Context, mut pending: Box<PendingLogin>) {
        let (key, id) = (pending.origin.key, pending.login.user);
        if !self.is_open(context, &id) {
            let command = ConnectionCommand::TurnAway(key, id, pending.login.redirects);
            return context.commands.push_back(command);
        }
        let user = self.key_of(context, &id);
        let waiting = self.waiting_mut(user);
        if waiting.logins >= context.settings.capacities.logins_waiting {
            context.counters.user_refusals_waiting += 1;
            let wait_ms = self.login_rates.login_wait_ms(context, &id);
            return refuse_user(context, &pending, wait_ms);
        }
        waiting.logins += 1;
        if !(matches!(waiting.state, QueueState::Free) && waiting.events.is_empty()) {
            pending.commitment = Commitment::Accepted;
        }
        context.commands.push_back(ConnectionCommand::Wait(key, user));
        self.enqueue(user, UserEvent::Login(pending));
    }

    /// The link of a login that waits is gone. If a logout is behind the login, the login counts all the same.
    fn lose_login_link(&mut self, context: &Context, user: u32, key: ConnKey, pipelined: Pipelined) {
        let waiting = self.waiting_mut(user);
        let confirming = match &mut waiting.state {
            QueueState::Committing(committing) => pending_of(&mut committing.event, key),
            QueueState::Free | QueueState::Loading | QueueState::WaitingForRoom => None,
            QueueState::BackingOff | QueueState::Gathered | QueueState::Abandoned(_) => None,
        };
        let is_stopping = context.mode == ShardMode::Stopping;
        let mut link_end = None;
        if let Some(pending) = confirming {
            pending.link = LoginLink::Ended(pipelined);
            if pipelined == Pipelined::Nothing && !is_stopping {
                link_end = Some(UserEvent::LinkEnd(pending.origin, pending.login.device));
            }
        } else {
            let mut waiting = waiting.events.iter_mut();
            if let Some(pending) = waiting.find_map(|event| pending_of(event, key)) {
                pending.link = LoginLink::Ended(pipelined);
            }
        }
        if let Some(event) = link_end {
            self.enqueue(user, event);
        }
    }

    /// Sessions of a user are to end.
    pub(in crate::logic) fn kick(
        &mut self,
        context: &mut Context,
        request: RequestId,
        id: &UserId,
        target: KickTarget,
    ) {
        if !self.is_open(context, id) {
            return deliver(context, ToHttp::Kicked(request, Err(KickError::Busy)));
        }
        let user = self.key_of(context, id);
        let waiting = self.waiting_mut(user);
        if waiting.kicks >= KICKS_WAITING_MAX {
            context.counters.kicks_refused += 1;
            let reply = ToHttp::Kicked(request, Err(KickError::Busy));
            return deliver(context, reply);
        }
        waiting.kicks += 1;
        self.enqueue(user, UserEvent::Kick(request, target));
    }
}

/// The login of this connection, if this event is it.
fn pending_of(event: &mut UserEvent, key: ConnKey) -> Option<&mut PendingLogin> {
    match event {
        UserEvent::Login(pending) if pending.origin.key == key => Some(pending),
        UserEvent::Login(_) | UserEvent::Logout(_) | UserEvent::LinkEnd(..) => None,
        UserEvent::AlarmCheck(_) | UserEvent::Kick(..) => None,
        UserEvent::Inspect(_) | UserEvent::Send(_) => None,
    }
}
