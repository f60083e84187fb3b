//! What comes of an event of a user.

use std::net::Ipv6Addr;

use crate::base::ids::{Class, DeviceId, UserId};
use crate::logic::delivery::KickError;
use crate::logic::record::Status;
use crate::logic::settings::WebClose;
use crate::sim::shown::{Group, Link, Shown};

use super::Model;
use super::user::{Decision, Device, Event, Whom};

impl Model {
    /// Where the device of a change is connected from, or was until now.
    pub(super) fn address(&self, id: UserId, decision: &Decision, device: DeviceId) -> Option<Ipv6Addr> {
        let known = self.users[&id].devices.get(&device);
        let link = match decision {
            Decision::Login { link, .. } | Decision::Logout(link, _) => Some(*link),
            Decision::LinkEnd(_) => known.and_then(|known| known.link),
            Decision::GraceEnd(_) | Decision::TimeOut(_) => known.and_then(|known| self.link_there(known)),
            Decision::Expiry(_) | Decision::Kick(..) => known.and_then(|known| self.link_there(known)),
        };
        link.map(|link| Group::of(link).address(link))
    }

    fn link_there(&self, device: &Device) -> Option<Link> {
        device.link.or(device.leaving).filter(|link| !self.is_gone(*link))
    }

    /// What comes of an event, now. What needs no change is done.
    pub(super) fn decide(&mut self, id: UserId, event: &Event, order: &[DeviceId]) -> Option<Decision> {
        match event {
            Event::Login(link, login, _) => {
                let mut decision = self.decide_login(*link, login);
                if let Some(Decision::Login { losers, .. }) = &mut decision {
                    losers.sort_by_key(|(device, _)| place(order, *device));
                }
                decision
            }
            Event::LinkEnd(link, device) => self.decide_link_end(id, *link, *device),
            Event::Logout(link, device) => {
                let known = self.user(id).devices.get(device);
                if known.is_some_and(|known| known.link.or(known.leaving) == Some(*link)) {
                    return Some(Decision::Logout(*link, *device));
                }
                self.answer_logout(*link);
                None
            }
            Event::Inspect(request) => {
                self.answer_inspection(*request, id);
                None
            }
            Event::Send(request) => {
                self.message_comes(*request, id);
                None
            }
            Event::Alarm(device) => self.decide_alarm(id, *device),
            Event::Kick(request, whom) => {
                let user = self.user(id);
                let mut devices: Vec<DeviceId> = user.devices.keys().copied().collect();
                devices.retain(|device| match whom {
                    Whom::Device(one) => device == one,
                    Whom::Everyone | Whom::Account => true,
                });
                let refusal = match whom {
                    _ if !user.account => KickError::UnknownAccount,
                    Whom::Device(_) if devices.is_empty() => KickError::UnknownDevice,
                    Whom::Device(_) | Whom::Everyone | Whom::Account => {
                        devices.sort_by_key(|device| place(order, *device));
                        return Some(Decision::Kick(*request, *whom, devices));
                    }
                };
                self.out.push(Shown::Kicked(*request, Err(refusal)));
                None
            }
        }
    }

    fn has_link(&mut self, id: UserId, link: Link, device: DeviceId) -> bool {
        self.user(id)
            .devices
            .get(&device)
            .is_some_and(|known| known.link == Some(link))
    }

    fn decide_link_end(&mut self, id: UserId, link: Link, device: DeviceId) -> Option<Decision> {
        if !self.has_link(id, link, device) {
            return None;
        }
        let web_close = self.settings.web_close;
        let known = self.user(id).devices.get_mut(&device).expect("it has a link");
        if known.class == Class::Web && web_close == WebClose::TimeOut {
            known.link = None;
            known.background = false;
            return None;
        }
        Some(Decision::LinkEnd(device))
    }

    /// Looks at the device again: one that was heard meanwhile is left alone.
    fn decide_alarm(&mut self, id: UserId, device: DeviceId) -> Option<Decision> {
        let (now, settings, grace) = (self.now.instant, self.settings.clone(), *self.grace(id));
        let known = self.user(id).devices.get_mut(&device)?;
        if !known.is_due(now, &settings, &grace) {
            known.rung = false;
            return None;
        }
        match known.status {
            Status::Online if known.restored && known.class != Class::Web => Some(Decision::GraceEnd(device)),
            Status::Online => Some(Decision::TimeOut(device)),
            Status::PushOnline => Some(Decision::Expiry(device)),
            Status::Offline => unreachable!("Offline devices are not kept"),
        }
    }
}

fn place(order: &[DeviceId], device: DeviceId) -> usize {
    order
        .iter()
        .position(|other| *other == device)
        .unwrap_or(usize::MAX)
}
