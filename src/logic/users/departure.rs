//! How users go that another node owns: without a change. Their terminals are sent away, what waits for them is given up, and what
//! is with the registry is waited for. Decides nothing: who goes is told by others.

use std::collections::HashSet;

use crate::base::ids::PartitionId;
use crate::base::receipt::Receipt;
use crate::logic::between_wings::ConnectionCommand;
use crate::logic::context::{Context, deliver};
use crate::logic::delivery::{KickError, RegistryError, ToHttp};
use crate::logic::message::SendRefusal;
use crate::logic::users::Users;
use crate::logic::users::device::OptionalKey;
use crate::logic::users::events::{QueueState, Residency, UserEvent};

impl Users {
    /// Forgets the users of a partition.
    pub(in crate::logic) fn drop_partition(
        &mut self,
        context: &mut Context,
        partition: PartitionId,
        receipt: Receipt,
    ) {
        let users = self
            .table
            .listed()
            .filter(|(_, user)| self.partitions.id_of(&user.id) == partition);
        let users: Vec<u32> = users.map(|(key, _)| key).collect();
        self.drop_users(context, users);
        self.partitions.get_mut(partition).go_away(receipt);
    }

    /// Forgets all users.
    pub(in crate::logic) fn drop_all(&mut self, context: &mut Context, receipt: &Receipt) {
        let users: Vec<u32> = self.table.listed().map(|(key, _)| key).collect();
        self.drop_users(context, users);
        self.partitions
            .iter_mut()
            .for_each(|partition| partition.go_away(receipt.clone()));
    }

    pub(super) fn drop_users(&mut self, context: &mut Context, users: Vec<u32>) {
        let waited: HashSet<u32> = users
            .into_iter()
            .filter(|user| self.drop_user(context, *user))
            .collect();
        if !waited.is_empty() {
            self.queue.forget(&waited);
        }
    }

    /// Forgets a user. Says whether something waited for it: then the rest of it goes by itself.
    fn drop_user(&mut self, context: &mut Context, user: u32) -> bool {
        self.send_away(context, user);
        if self.table.user(user).waiting == OptionalKey::NONE {
            self.forget(context, user);
            return false;
        }
        self.table.unlist(user);
        let waiting = self.waiting_mut(user);
        waiting.residency = Residency::Dropped;
        let events = std::mem::take(&mut waiting.events);
        let state = std::mem::replace(&mut waiting.state, QueueState::Free);
        self.waiting_mut(user).state = match state {
            QueueState::Free | QueueState::Gathered => QueueState::Free,
            QueueState::WaitingForRoom | QueueState::BackingOff => QueueState::Free,
            QueueState::Loading => QueueState::Abandoned(None),
            QueueState::Committing(committing) => {
                QueueState::Abandoned(self.abandon(context, user, committing.event))
            }
            QueueState::Abandoned(_) => unreachable!("a user that was dropped is not found again"),
        };
        events.iter().for_each(|event| self.give_up(context, user, event));
        self.queue.set_ready(user);
        true
    }

    /// Its devices go, and their terminals.
    fn send_away(&mut self, context: &mut Context, user: u32) {
        let id = self.table.user(user).id;
        let devices: Vec<u32> = self.table.devices_of(user).map(|(key, _)| key).collect();
        for device in devices {
            let command = ConnectionCommand::SendAway(self.table.link_of(device), self.subject(device), id);
            context.commands.push_back(command);
            self.remove_device(context, device);
        }
    }

    /// Gives up what the registry has, unless somebody wants to know what comes of it.
    fn abandon(&mut self, context: &mut Context, user: u32, event: UserEvent) -> Option<UserEvent> {
        match event {
            kick @ UserEvent::Kick(..) => Some(kick),
            other @ (UserEvent::Login(_) | UserEvent::Logout(_) | UserEvent::LinkEnd(..)) => {
                self.give_up(context, user, &other);
                None
            }
            other @ (UserEvent::AlarmCheck(_) | UserEvent::Inspect(_) | UserEvent::Send(_)) => {
                self.give_up(context, user, &other);
                None
            }
        }
    }

    /// Something that waited will not be decided here.
    pub(super) fn give_up(&mut self, context: &mut Context, user: u32, event: &UserEvent) {
        match event {
            UserEvent::Login(pending) => {
                let login = &pending.login;
                let command = ConnectionCommand::TurnAway(pending.origin.key, login.user, login.redirects);
                context.commands.push_back(command);
            }
            // Of a device's own connection nothing is left by now; an older one is told what it wants to hear, as ever.
            UserEvent::Logout(logout) => {
                let command = ConnectionCommand::AnswerLogout(logout.origin.key);
                context.commands.push_back(command);
            }
            UserEvent::Kick(request, _) => deliver(context, ToHttp::Kicked(*request, Err(KickError::Busy))),
            UserEvent::Inspect(request) => {
                deliver(
                    context,
                    ToHttp::Inspected(*request, Err(RegistryError::Unavailable)),
                );
            }
            UserEvent::Send(pending) => self.refuse_send(context, pending, SendRefusal::Unavailable),
            UserEvent::LinkEnd(..) | UserEvent::AlarmCheck(_) => {}
        }
        self.finish(context, user, event);
    }

    /// The registry has answered for a user that was dropped meanwhile.
    pub(super) fn end_abandoned<T>(
        &mut self,
        context: &mut Context,
        user: u32,
        event: Option<UserEvent>,
        answer: Result<T, RegistryError>,
    ) {
        match (event, answer) {
            (Some(event @ UserEvent::Kick(request, _)), Ok(_)) => {
                deliver(context, ToHttp::Kicked(request, Ok(())));
                self.finish(context, user, &event);
            }
            (Some(event), _) => self.give_up(context, user, &event),
            (None, _) => {}
        }
    }

    /// The registry says that another node owns the user.
    pub(super) fn superseded(&mut self, context: &mut Context, user: u32) {
        self.partitions.of_mut(&self.table.user(user).id).vouch_no_more();
        self.drop_users(context, vec![user]);
    }
}
