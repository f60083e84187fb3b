//! Answers to the HTTP front, from confirmed state. Changes nothing.

use crate::base::ids::{RequestId, UserId};
use crate::logic::connections::Connections;
use crate::logic::context::{Context, deliver};
use crate::logic::delivery::{RegistryError, ToHttp, ToRegistry};
use crate::logic::inspection::{DeviceInspection, Inspection, LinkInspection};
use crate::logic::user_status::{
    BriefStatus, DeviceStatuses, QueryDepth, StatusList, UserStatus, UserStatuses,
};
use crate::logic::users::Users;
use crate::logic::users::device::{OptionalKey, User};
use crate::logic::users::events::{Decision, Residency, UserEvent};
use crate::logic::users::presence::DeviceState;

impl Users {
    /// The statuses of some users of this shard. Those that are not resident are the registry's to answer. Nobody here can answer for
    /// those of a partition that is not here.
    pub(in crate::logic) fn query(
        &self,
        context: &mut Context,
        request: RequestId,
        depth: QueryDepth,
        users: Vec<UserId>,
    ) {
        context.counters.queries += 1;
        let found = self.table.find_all(&users).into_iter();
        let found = found.map(|user| user.filter(|user| self.is_resident(user)));
        let statuses = match depth {
            QueryDepth::Status => {
                let brief = |user: &User| BriefStatus::Known(user.devices.status());
                let brief = found.map(|user| user.map_or(BriefStatus::Unresolved, brief));
                StatusList::Status(brief.collect())
            }
            QueryDepth::Devices => {
                let whole =
                    found.map(|user| user.map_or(UserStatus::Unresolved, |user| self.status_of(user)));
                StatusList::Devices(whole.collect())
            }
        };
        let mut statuses = UserStatuses { users, statuses };
        if context.homes.is_some() {
            statuses.withhold(|user| !self.is_held(user));
        }
        if statuses.is_resolved() {
            deliver(context, ToHttp::Statuses(request, statuses));
        } else {
            deliver(context, ToRegistry::Complete(request, statuses));
        }
    }

    /// Nearly every user has at most one device.
    fn status_of(&self, user: &User) -> UserStatus {
        let first = user.devices.first();
        let only = first.get().map(|device| self.table.device(device));
        let devices = match only {
            None => DeviceStatuses::None,
            Some(only) if only.next == OptionalKey::NONE => DeviceStatuses::One(only.status()),
            Some(_) => {
                let devices = self.table.devices_from(first);
                devices.map(|(_, device)| device.status()).collect()
            }
        };
        UserStatus::Known {
            change: user.change,
            devices,
        }
    }

    fn is_resident(&self, user: &User) -> bool {
        let entry = user.waiting.get();
        entry.is_none_or(|entry| self.queue.get(entry).residency == Residency::Resident)
    }

    /// All that is known of a user of this shard.
    pub(in crate::logic) fn inspect(
        &mut self,
        context: &mut Context,
        connections: &Connections,
        request: RequestId,
        user: &UserId,
    ) {
        if !self.is_open(context, user) {
            let reply = ToHttp::Inspected(request, Err(RegistryError::Unavailable));
            return deliver(context, reply);
        }
        let resident = |key: &u32| self.is_resident(self.table.user(*key));
        match self.table.find(user).filter(resident) {
            Some(key) => {
                let inspection = Some(Box::new(self.inspection(context, connections, key)));
                let reply = ToHttp::Inspected(request, Ok(inspection));
                deliver(context, reply);
            }
            None => {
                let user = self.key_of(context, user);
                self.enqueue(user, UserEvent::Inspect(request));
            }
        }
    }

    pub(super) fn decide_inspect(
        &mut self,
        context: &mut Context,
        connections: &Connections,
        user: u32,
        request: RequestId,
    ) -> Decision {
        let inspection = match self.waiting(user).residency {
            Residency::Unknown => return Decision::Load,
            Residency::NoAccount => None,
            Residency::Dropped => unreachable!("nothing is decided of a user that was dropped"),
            Residency::Resident => Some(Box::new(self.inspection(context, connections, user))),
        };
        let reply = ToHttp::Inspected(request, Ok(inspection));
        deliver(context, reply);
        Decision::Done
    }

    /// All that is known of a resident user.
    fn inspection(&self, context: &Context, connections: &Connections, user: u32) -> Inspection {
        let now = context.now;
        let devices = self.table.devices_of(user).map(|(key, device)| DeviceInspection {
            device: device.id(),
            status: device.state().status(),
            session: device.session.id(),
            login_at: device.login_at.get(),
            heard_at: now.wall_at(device.moment.get()),
            until: (device.state() != DeviceState::Linked)
                .then(|| now.wall_ahead(self.due(&context.settings, key))),
            link: self.link_inspection(connections, key),
        });
        let known = self.table.user(user);
        Inspection {
            user: known.id,
            change: known.change,
            kicked_at_s: self.kicked_at_s(user),
            devices: devices.collect(),
        }
    }

    fn link_inspection(&self, connections: &Connections, key: u32) -> Option<LinkInspection> {
        let device = self.table.device(key);
        if device.state() != DeviceState::Linked {
            return None;
        }
        let link = connections.view(self.table.link_of(key))?;
        Some(LinkInspection {
            address: link.peer.address,
            transport: link.peer.stack.transport,
            sdk_version: link.sdk_version.to_owned(),
            app_version: link.app_version.to_owned(),
            background: device.marks.is_in_background(),
        })
    }
}
