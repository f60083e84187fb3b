//! What an event means for its user, against the user's confirmed state. Changes nothing of that state: what has to
//! change is proposed to the registry. Only what nobody is told of happens here at once.

use std::net::Ipv6Addr;

use crate::base::ids::{Class, ConnKey, DeviceId, RequestId};
use crate::base::time::{Instant, Now};
use crate::logic::Effect;
use crate::logic::letter::{DeviceInspection, Inspection, KickError, LinkInspection, ToFront};
use crate::logic::presence::{self, Next, Standing, Step};
use crate::logic::queue::{Decision, Event, Goodbye, Known, Whom};
use crate::logic::record::{AccountStep, Change, ChangeKind, Commit};
use crate::logic::session::Phase;
use crate::logic::state::ShardState;
use crate::logic::users::{Device, NO_SLOT};

impl ShardState {
    pub(super) fn decide(&mut self, now: Now, user: u32, event: &Event, out: &mut Vec<Effect>) -> Decision {
        match event {
            Event::Login(knock) => self.decide_login(now, user, knock, out),
            Event::Logout(goodbye) => self.decide_logout(now, user, goodbye, out),
            Event::LinkEnd(key, device, address) => {
                self.decide_link_end(now, user, (*key, *address), *device)
            }
            Event::Look(device) => self.decide_look(now, user, *device),
            Event::Kick(request, whom) => self.decide_kick(now, user, (*request, *whom), out),
            Event::Inspect(_) => self.decide_inspect(now, user, event, out),
        }
    }

    pub(super) fn known(&self, user: u32) -> Known {
        self.waiting[self.waiting_of(user)].known
    }

    fn decide_logout(&mut self, now: Now, user: u32, goodbye: &Goodbye, out: &mut Vec<Effect>) -> Decision {
        let link = goodbye.link;
        let device = self.users.find_device(user, goodbye.device);
        let is_of = |device: &Device| device.slot == link.slot && device.session() == goodbye.session;
        if let Some(key) = device.filter(|key| is_of(&self.users.devices[*key])) {
            let step = (Step::Logout, ChangeKind::Logout);
            return self.step(now, key, step, Some(goodbye.address));
        }
        // The session ended while the logout waited: that is what the terminal wants. Or it went on over a newer
        // connection: then the goodbye of the old one is late, as its end would be.
        self.answer_logout(link, out);
        Decision::Done
    }

    fn decide_link_end(
        &mut self,
        now: Now,
        user: u32,
        (link, address): (ConnKey, Ipv6Addr),
        id: DeviceId,
    ) -> Decision {
        let Some(key) = self.users.find_device(user, id) else {
            return Decision::Done;
        };
        let device = &mut self.users.devices[key];
        // A newer connection of the device came while the old one was there, and so into another slot.
        if device.slot != link.slot {
            return Decision::Done;
        }
        device.set_background(false);
        let next = presence::next(
            id.platform.class(),
            self.settings.web_close,
            device.standing(),
            Step::LinkEnd,
        );
        if let Next::Quiet(standing) = next {
            self.users.set_standing(key, standing);
        }
        self.step(now, key, (Step::LinkEnd, ChangeKind::LinkEnd), Some(address))
    }

    /// A device's alarm rang a while ago. It may have been heard since.
    fn decide_look(&mut self, now: Now, user: u32, id: DeviceId) -> Decision {
        let Some(key) = self.users.find_device(user, id) else {
            return Decision::Done;
        };
        let due = self.due(key);
        if due > now.instant {
            self.users.devices[key].set_look_waits(false);
            self.wheel.arm(key, due);
            return Decision::Done;
        }
        let device = &self.users.devices[key];
        let step = match device.standing() {
            Standing::PushOnline => (Step::Expiry, ChangeKind::Expiry),
            Standing::Unlinked if device.platform.class() != Class::Web => {
                (Step::GraceEnd, ChangeKind::LinkEnd)
            }
            Standing::Offline | Standing::Linked | Standing::Unlinked => (Step::TimeOut, ChangeKind::TimeOut),
        };
        self.step(now, key, step, self.address_of_device(key))
    }

    /// Where the device's connection comes from, as long as it has one.
    fn address_of_device(&self, key: u32) -> Option<Ipv6Addr> {
        let session = self.sessions.get(self.connection_of(key)?)?;
        Some(session.peer.address)
    }

    /// Proposes one step of one device, if the table says that it is a change.
    fn step(
        &self,
        now: Now,
        key: u32,
        (step, kind): (Step, ChangeKind),
        address: Option<Ipv6Addr>,
    ) -> Decision {
        let device = &self.users.devices[key];
        match presence::next(
            device.platform.class(),
            self.settings.web_close,
            device.standing(),
            step,
        ) {
            Next::Change(_) => self.propose(now, device.user, [(device.id(), kind, address)]),
            Next::Quiet(_) | Next::Nothing => Decision::Done,
        }
    }

    fn decide_kick(
        &mut self,
        now: Now,
        user: u32,
        (request, whom): (RequestId, Whom),
        out: &mut Vec<Effect>,
    ) -> Decision {
        let refusal = match (self.known(user), whom) {
            (Known::No, _) => return Decision::Load,
            (Known::NoAccount, _) => KickError::UnknownAccount,
            (Known::Resident, Whom::Device(id)) => match self.users.find_device(user, id) {
                Some(device) => return self.propose_kick(now, user, [device], ChangeKind::Kick),
                None => KickError::UnknownDevice,
            },
            (Known::Resident, Whom::Everyone) => {
                return self.propose_end(now, user, ChangeKind::Kick, AccountStep::Keep);
            }
            (Known::Resident, Whom::Account) => {
                return self.propose_end(now, user, ChangeKind::Deletion, AccountStep::Delete);
            }
        };
        out.push(Effect::Reply(ToFront::Kicked(request, Err(refusal))));
        Decision::Done
    }

    /// All sessions of the user end, and the UserSigs that were made so far.
    fn propose_end(&self, now: Now, user: u32, kind: ChangeKind, account: AccountStep) -> Decision {
        let devices = self.users.devices_of(user).map(|(key, _)| key);
        let Decision::Commit(mut commit) = self.propose_kick(now, user, devices, kind) else {
            unreachable!("what is proposed is a commit")
        };
        commit.kicked_at_s = Some(now.wall.seconds());
        commit.account = account;
        Decision::Commit(commit)
    }

    fn propose_kick(
        &self,
        now: Now,
        user: u32,
        devices: impl IntoIterator<Item = u32>,
        kind: ChangeKind,
    ) -> Decision {
        let changes = devices.into_iter().map(|key| {
            let device = self.users.devices[key].id();
            (device, kind.clone(), self.address_of_device(key))
        });
        self.propose(now, user, changes)
    }

    /// Changes of a user, numbered from its last one on.
    pub(super) fn propose(
        &self,
        now: Now,
        user: u32,
        changes: impl IntoIterator<Item = (DeviceId, ChangeKind, Option<Ipv6Addr>)>,
    ) -> Decision {
        let user = &self.users.users[user];
        let mut number = user.change;
        let changes = changes.into_iter().map(|(device, kind, address)| {
            number = number.next();
            Change {
                number,
                at: now.wall,
                device,
                kind,
                address,
            }
        });
        let changes = changes.collect();
        Decision::Commit(Box::new(Commit {
            user: user.id,
            changes,
            kicked_at_s: None,
            account: AccountStep::Keep,
        }))
    }

    fn decide_inspect(&mut self, now: Now, user: u32, event: &Event, out: &mut Vec<Effect>) -> Decision {
        let Event::Inspect(request) = event else {
            unreachable!("asked for an inspection only")
        };
        let inspection = match self.known(user) {
            Known::No => return Decision::Load,
            Known::NoAccount => None,
            Known::Resident => Some(Box::new(self.inspection(now, user))),
        };
        out.push(Effect::Reply(ToFront::Inspected(*request, Ok(inspection))));
        Decision::Done
    }

    /// All that is known of a resident user.
    pub(super) fn inspection(&self, now: Now, user: u32) -> Inspection {
        let devices = self.users.devices_of(user).map(|(key, device)| DeviceInspection {
            device: device.id(),
            status: device.standing().status(),
            session: device.session(),
            login_at: device.login_at.get(),
            heard_at: now.wall_at(device.moment.get()),
            until: (device.standing() != Standing::Linked).then(|| now.wall_ahead(self.due(key))),
            link: self.link_inspection(key),
        });
        let kicked_at_s = self.kicked_at_s.get(&user).copied().unwrap_or(0);
        let user = &self.users.users[user];
        Inspection {
            user: user.id,
            change: user.change,
            kicked_at_s,
            devices: devices.collect(),
        }
    }

    fn link_inspection(&self, key: u32) -> Option<LinkInspection> {
        let device = &self.users.devices[key];
        if device.standing() != Standing::Linked {
            return None;
        }
        let session = self.sessions.get(self.connection_of(key)?)?;
        Some(LinkInspection {
            address: session.peer.address,
            transport: session.peer.stack.transport,
            sdk_version: self.versions.text(session.sdk_version).to_owned(),
            app_version: self.versions.text(session.app_version).to_owned(),
            background: device.is_in_background(),
        })
    }

    /// When the device's alarm is due: its time-out, or the end of its PushOnline.
    pub(super) fn due(&self, key: u32) -> Instant {
        let device = &self.users.devices[key];
        let after = match device.standing() {
            Standing::PushOnline => self.settings.push_online,
            Standing::Unlinked if device.slot == NO_SLOT => {
                return self.grace.due(device.platform.class(), &self.settings);
            }
            Standing::Offline | Standing::Linked | Standing::Unlinked => {
                self.settings.timeout_of(device.platform.class())
            }
        };
        device.moment.get().after(after)
    }

    /// The device's connection, logged out or not.
    pub(super) fn connection_of(&self, device: u32) -> Option<ConnKey> {
        let key = self.sessions.at(self.users.devices[device].slot)?;
        let phase = self.sessions.phase(key);
        (phase == Phase::Live { device } || phase == Phase::Leaving { device }).then_some(key)
    }

    /// The device that a connection has. One that leaves can outlive its device, if that timed out before its logout's turn.
    pub(super) fn device_on(&self, key: ConnKey) -> Option<u32> {
        match self.sessions.phase(key) {
            Phase::Live { device } | Phase::Leaving { device } => {
                let known = self.users.devices.get(device)?;
                (known.slot == key.slot).then_some(device)
            }
            Phase::Free | Phase::Greeting | Phase::Moving | Phase::Waiting { .. } => None,
        }
    }
}
