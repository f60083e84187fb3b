//! One user as the rules have it: devices, how sessions ended, and what waits its turn.

use std::collections::{BTreeMap, VecDeque};

use crate::base::ids::{Class, DeviceId, RequestId};
use crate::base::limits;
use crate::base::time::{Instant, Timestamp, millis};
use crate::logic::record::{Ending, Status};
use crate::logic::settings::Settings;
use crate::sim::shown::Link;
use crate::sim::terminal::Login;

use super::TICK_MS;
use super::policy::Standing;

/// 7 days: how long the end of a session is remembered.
pub(crate) const ENDS_KEPT_MS: u64 = 7 * 86_400_000;

#[derive(Debug, Clone, Default)]
pub(crate) struct User {
    pub(crate) account: bool,
    pub(crate) change: u64,
    pub(crate) kicked_at_s: u64,
    /// Those that are not Offline.
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    /// The latest last.
    pub(crate) ended: Vec<Ended>,
    pub(crate) queue: VecDeque<Event>,
    pub(crate) busy: Busy,
    /// Failed tries of the change at the head.
    pub(crate) tries: u32,
    /// The home has the user's record, but for the ends of sessions.
    pub(crate) resident: bool,
    /// When the ends of sessions were read, if they were since the last change.
    pub(crate) ends_known: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) status: Status,
    pub(crate) session: u64,
    pub(crate) fresh: u64,
    pub(crate) login_at: Timestamp,
    pub(crate) link: Option<Link>,
    /// The connection that was lost: its logout may still wait.
    pub(crate) leaving: Option<Link>,
    /// Online: when the last frame came. PushOnline: since when.
    pub(crate) heard: Instant,
    pub(crate) background: bool,
    pub(crate) class: Class,
    /// The alarm rang, and its turn has not come.
    pub(crate) rung: bool,
    /// The gateway was started anew, and the device has not come back.
    pub(crate) restored: bool,
    /// Its alarm was not set before this moment.
    pub(crate) armed: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) device: DeviceId,
    pub(crate) session: u64,
    pub(crate) fresh: u64,
    pub(crate) ending: Ending,
    pub(crate) at: Timestamp,
}

/// What waits for its turn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    Login(Link, Box<Login>, Came),
    LinkEnd(Link, DeviceId),
    Logout(Link, DeviceId),
    /// A device's alarm rang.
    Alarm(DeviceId),
    Kick(RequestId, Whom),
    Inspect(RequestId),
    Send(RequestId),
}

/// Whom a kick ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    Everyone,
    Device(DeviceId),
    Account,
}

/// How a login found its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// Nothing was waiting: it is turned away if it needs room and there is none.
    ToTheDoor,
    /// It is accepted work.
    Inside,
}

/// A change on its way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    Login {
        link: Link,
        login: Box<Login>,
        fresh: u64,
        losers: Vec<(DeviceId, Status)>,
    },
    LinkEnd(DeviceId),
    Logout(Link, DeviceId),
    TimeOut(DeviceId),
    Expiry(DeviceId),
    Kick(RequestId, Whom, Vec<DeviceId>),
    /// The restart grace of a device without a link is over.
    GraceEnd(DeviceId),
}

#[derive(Debug, Clone, Default)]
pub(crate) enum Busy {
    #[default]
    Idle,
    /// Waits for room with the registry.
    Starved,
    Loading,
    Committing {
        event: Event,
        decision: Decision,
        at: Timestamp,
        tries: u32,
    },
    /// The last try failed at `from`.
    BackingOff {
        from: Instant,
        tries: u32,
    },
}

/// The restart grace of one shard, in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Grace {
    pub(crate) began: u64,
    pub(crate) ends: u64,
    /// The last second in which a login was refused as busy ends here.
    pub(crate) busy_until: u64,
    /// All pauses so far.
    pub(crate) paused: u64,
}

impl Device {
    pub(crate) fn due(&self, settings: &Settings, grace: &Grace) -> u64 {
        if self.restored && self.status == Status::Online {
            let for_web = grace.began + millis(settings.timeout_of(Class::Web));
            let is_web = self.class == Class::Web;
            return if is_web {
                grace.ends.max(for_web)
            } else {
                grace.ends
            };
        }
        let span = match self.status {
            Status::Online => settings.timeout_of(self.class),
            Status::PushOnline => settings.push_online,
            Status::Offline => unreachable!("Offline devices are not kept"),
        };
        self.heard.0 + millis(span)
    }

    pub(crate) fn is_due(&self, now: Instant, settings: &Settings, grace: &Grace) -> bool {
        self.due(settings, grace) <= now.0
    }

    /// From when on its alarm may ring, and when it must have: at the first tick from there on.
    pub(crate) fn rings_within(&self, settings: &Settings, grace: &Grace) -> (u64, u64) {
        let due = self.due(settings, grace);
        if due <= self.armed {
            return (self.armed, (self.armed / TICK_MS + 1) * TICK_MS);
        }
        (due, due.div_ceil(TICK_MS) * TICK_MS)
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing {
            live: self.link.is_some(),
            fresh: self.fresh,
        }
    }
}

impl User {
    /// Devices whose alarms may ring by now and have not.
    pub(crate) fn due(&self, now: Instant, settings: &Settings, grace: &Grace) -> Vec<DeviceId> {
        let due = self
            .devices
            .iter()
            .filter(|(_, device)| !device.rung && device.is_due(now, settings, grace));
        due.map(|(id, _)| *id).collect()
    }

    /// From when on a failed change may be tried again, and when it must have been.
    pub(crate) fn backoff_bounds(&self) -> Option<(u64, u64)> {
        match self.busy {
            Busy::BackingOff { from, tries } => {
                let doubled = limits::COMMIT_RETRY_MS_MIN << (tries - 1).min(20);
                let middle = doubled.min(limits::COMMIT_RETRY_MS_MAX);
                Some((from.0 + middle / 2, from.0 + middle))
            }
            Busy::Idle | Busy::Starved | Busy::Loading | Busy::Committing { .. } => None,
        }
    }

    /// What waits its turn, with what is with the registry.
    pub(crate) fn undecided(&self) -> impl Iterator<Item = &Event> {
        let asked = match &self.busy {
            Busy::Committing { event, .. } => Some(event),
            Busy::Idle | Busy::Starved | Busy::Loading | Busy::BackingOff { .. } => None,
        };
        self.queue.iter().chain(asked)
    }

    /// Whether an event cannot be decided before the registry was asked what is on record.
    pub(crate) fn needs_record(&self, event: &Event) -> bool {
        let resumes_ended = match event {
            Event::Login(_, login, _) => login.session != 0 && !self.devices.contains_key(&login.device),
            Event::LinkEnd(..) | Event::Logout(..) | Event::Alarm(_) => return false,
            Event::Kick(..) | Event::Inspect(_) | Event::Send(_) => false,
        };
        !self.resident || (resumes_ended && self.ends_known.is_none())
    }

    pub(crate) fn end(&mut self, device: DeviceId, ending: Ending, at: Timestamp) -> Option<Link> {
        let known = self.devices.remove(&device).expect("it was not Offline");
        if self.ended.len() == limits::ENDED_DEVICES_MAX {
            self.ended.remove(0);
        }
        self.ended.push(Ended {
            device,
            session: known.session,
            fresh: known.fresh,
            ending,
            at,
        });
        known.link.or(known.leaving)
    }

    /// The end of this device's last session, if it was still remembered when it was asked for.
    pub(crate) fn remembered(&self, device: DeviceId) -> Option<&Ended> {
        let known = self.ended.iter().find(|ended| ended.device == device)?;
        (self.ends_known?.0 - known.at.0 <= ENDS_KEPT_MS).then_some(known)
    }
}
