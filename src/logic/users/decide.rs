//! What an event means for its user, against the user's confirmed state. Changes nothing of that state: what has to
//! change is proposed to the registry. Only what nobody is told of happens here at once.

use std::net::Ipv6Addr;

use crate::base::ids::{DeviceId, RequestId};
use crate::logic::between_wings::{ConnectionCommand, LinkOrigin};
use crate::logic::connections::Connections;
use crate::logic::context::{Context, deliver};
use crate::logic::delivery::{KickError, ToHttp};
use crate::logic::record::{AccountStep, Change, ChangeKind, Commit};
use crate::logic::users::Users;
use crate::logic::users::events::{Decision, KickTarget, PendingLogout, Residency, UserEvent};
use crate::logic::users::presence::{self, DeviceStep, Transition};

impl Users {
    pub(super) fn decide(
        &mut self,
        context: &mut Context,
        connections: &Connections,
        user: u32,
        event: &UserEvent,
    ) -> Decision {
        match event {
            UserEvent::Login(pending) => self.decide_login(context, user, pending),
            UserEvent::Logout(logout) => self.decide_logout(context, user, logout),
            UserEvent::LinkEnd(origin, device) => self.decide_link_end(context, user, *origin, *device),
            UserEvent::AlarmCheck(device) => self.decide_alarm(context, connections, user, *device),
            UserEvent::Kick(request, target) => {
                self.decide_kick(context, connections, user, (*request, *target))
            }
            UserEvent::Inspect(request) => self.decide_inspect(context, connections, user, *request),
            UserEvent::Send(pending) => self.decide_send(context, connections, user, pending),
        }
    }

    fn decide_logout(&mut self, context: &mut Context, user: u32, logout: &PendingLogout) -> Decision {
        let origin = logout.origin;
        if let Some(key) = self.table.find_device(user, logout.device) {
            let device = self.table.device(key);
            if device.slot == origin.key.slot && device.session.id() == logout.session {
                return self.step(context, key, DeviceStep::Logout, Some(origin.address));
            }
        }
        // The session ended while the logout waited: that is what the terminal wants. Or it went on over a newer
        // connection: then the goodbye of the old one is late, as its end would be.
        let answer = ConnectionCommand::AnswerLogout(origin.key);
        context.commands.push_back(answer);
        Decision::Done
    }

    fn decide_link_end(
        &mut self,
        context: &mut Context,
        user: u32,
        origin: LinkOrigin,
        id: DeviceId,
    ) -> Decision {
        let Some(key) = self.table.find_device(user, id) else {
            return Decision::Done;
        };
        let device = self.table.device_mut(key);
        // A newer connection of the device came while the old one was there, and so into another slot.
        if device.slot != origin.key.slot {
            return Decision::Done;
        }
        device.marks.set_background(false);
        self.step(context, key, DeviceStep::LinkEnd, Some(origin.address))
    }

    /// A device's alarm rang a while ago. It may have been heard since.
    fn decide_alarm(
        &mut self,
        context: &mut Context,
        connections: &Connections,
        user: u32,
        id: DeviceId,
    ) -> Decision {
        let Some(key) = self.table.find_device(user, id) else {
            return Decision::Done;
        };
        let due = self.due(&context.settings, key);
        if due > context.now.instant {
            self.table.device_mut(key).marks.set_check_waits(false);
            self.wheel.arm(key, due);
            return Decision::Done;
        }
        let address = self.address_of(connections, key);
        self.step(context, key, DeviceStep::Alarm, address)
    }

    /// Where the device's connection comes from, as long as it has one.
    fn address_of(&self, connections: &Connections, device: u32) -> Option<Ipv6Addr> {
        let link = connections.view(self.table.link_of(device))?;
        Some(link.peer.address)
    }

    /// Takes one step of one device, as the table says: a change is proposed.
    fn step(
        &mut self,
        context: &mut Context,
        key: u32,
        step: DeviceStep,
        address: Option<Ipv6Addr>,
    ) -> Decision {
        let device = self.table.device(key);
        let class = device.platform.class();
        match presence::next(class, context.settings.web_close, device.state(), step) {
            Transition::Change(kind) => {
                let change = (device.id(), kind, address);
                Decision::Commit(self.propose(context, device.user, [change]))
            }
            Transition::Quiet(state) => {
                self.set_state(context, key, state);
                Decision::Done
            }
            Transition::NewSession | Transition::Nothing => Decision::Done,
        }
    }

    fn decide_kick(
        &mut self,
        context: &mut Context,
        connections: &Connections,
        user: u32,
        (request, target): (RequestId, KickTarget),
    ) -> Decision {
        let refusal = match (self.waiting(user).residency, target) {
            (Residency::Unknown, _) => return Decision::Load,
            (Residency::NoAccount, _) => KickError::UnknownAccount,
            (Residency::Dropped, _) => unreachable!("nothing is decided of a user that was dropped"),
            (Residency::Resident, KickTarget::Device(id)) => match self.table.find_device(user, id) {
                Some(device) => {
                    let commit = self.propose_ends(context, connections, user, [device], &ChangeKind::Kick);
                    return Decision::Commit(commit);
                }
                None => KickError::UnknownDevice,
            },
            (Residency::Resident, KickTarget::Everyone) => {
                let kick = (ChangeKind::Kick, AccountStep::Keep);
                return self.propose_end(context, connections, user, kick);
            }
            (Residency::Resident, KickTarget::Account) => {
                let deletion = (ChangeKind::Deletion, AccountStep::Delete);
                return self.propose_end(context, connections, user, deletion);
            }
        };
        let reply = ToHttp::Kicked(request, Err(refusal));
        deliver(context, reply);
        Decision::Done
    }

    /// All sessions of the user end, and the UserSigs that were made so far.
    fn propose_end(
        &self,
        context: &Context,
        connections: &Connections,
        user: u32,
        (kind, account): (ChangeKind, AccountStep),
    ) -> Decision {
        let devices = self.table.devices_of(user).map(|(key, _)| key);
        let mut commit = self.propose_ends(context, connections, user, devices, &kind);
        commit.kicked_at_s = Some(context.now.wall.seconds());
        commit.account = account;
        Decision::Commit(commit)
    }

    fn propose_ends(
        &self,
        context: &Context,
        connections: &Connections,
        user: u32,
        devices: impl IntoIterator<Item = u32>,
        kind: &ChangeKind,
    ) -> Box<Commit> {
        let changes = devices.into_iter().map(|key| {
            let device = self.table.device(key).id();
            (device, kind.clone(), self.address_of(connections, key))
        });
        self.propose(context, user, changes)
    }

    /// Changes of a user, numbered from its last one on.
    pub(super) fn propose(
        &self,
        context: &Context,
        user: u32,
        changes: impl IntoIterator<Item = (DeviceId, ChangeKind, Option<Ipv6Addr>)>,
    ) -> Box<Commit> {
        let user = self.table.user(user);
        let mut number = user.change;
        let changes = changes.into_iter().map(|(device, kind, address)| {
            number = number.next();
            Change {
                number,
                at: context.now.wall,
                device,
                kind,
                address,
            }
        });
        let changes = changes.collect();
        Box::new(Commit {
            user: user.id,
            changes,
            kicked_at_s: None,
            account: AccountStep::Keep,
        })
    }
}
