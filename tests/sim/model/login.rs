//! Logins and resumes: what is decided when their turn comes, and what shows when they are on record.

use std::collections::BTreeMap;

use crate::base::ids::{DeviceId, Platform, UserId};
use crate::base::time::{Timestamp, millis};
use crate::logic::record::{Ending, Status};
use crate::logic::settings::{Conflict, Registration};
use crate::protocol::native::proto::Code;
use crate::sim::shown::{Link, Said};
use crate::sim::terminal::Login;

use super::Model;
use super::link::Phase;
use super::policy::{self, Standing};
use super::user::{Decision, Device, Event};

/// What a login comes to.
pub(super) enum Fate {
    Refused(Code, Option<Platform>),
    KeepsSession,
    /// A change, of a session that goes back to this fresh login; `None` if it is one.
    Begins(Option<u64>),
}

impl Model {
    /// Gives the change to be made, if any; what needs none is done.
    pub(super) fn decide_login(&mut self, link: Link, login: &Login) -> Option<Decision> {
        if self.is_gone(link) && !self.logged_out.contains(&link) {
            return None;
        }
        if self.is_over_rate(login) {
            self.refuse(link, Code::UserLimit, None);
            return None;
        }
        let unknown = !self.users[&login.user].account;
        if unknown && self.settings.registration == Registration::ByImport {
            self.note_login(login.user);
            self.refuse(link, Code::AccountUnknown, None);
            return None;
        }
        match self.fate(login) {
            Fate::Refused(code, winner) => {
                self.note_refused(login.user, code);
                self.refuse(link, code, winner);
                None
            }
            Fate::KeepsSession => {
                self.keep(link, login);
                None
            }
            Fate::Begins(fresh) => self.begin_session(link, login, fresh),
        }
    }

    pub(super) fn fate(&self, login: &Login) -> Fate {
        let user = &self.users[&login.user];
        if login.signed_at_s <= user.kicked_at_s {
            return Fate::Refused(Code::UsersigKicked, None);
        }
        if login.session == 0 {
            return Fate::Begins(None);
        }
        if let Some(known) = user.devices.get(&login.device) {
            return match known.status {
                _ if !(known.fresh..=known.session).contains(&login.session) => {
                    Fate::Refused(Code::SessionUnknown, None)
                }
                Status::Online => Fate::KeepsSession,
                Status::PushOnline => Fate::Begins(Some(known.fresh)),
                Status::Offline => unreachable!("Offline devices are not kept"),
            };
        }
        let ended = user.remembered(login.device);
        let ended = ended.filter(|ended| (ended.fresh..=ended.session).contains(&login.session));
        match ended.map(|ended| (ended.ending, ended.fresh)) {
            None => Fate::Refused(Code::SessionUnknown, None),
            Some((Ending::LinkEnd | Ending::TimeOut | Ending::Expiry, fresh)) => Fate::Begins(Some(fresh)),
            Some((Ending::Logout, _)) => Fate::Refused(Code::SessionLoggedOut, None),
            Some((Ending::Kick, _)) => Fate::Refused(Code::SessionKicked, None),
            Some((Ending::ForcedOff { winner }, _)) => Fate::Refused(Code::SessionForcedOff, Some(winner)),
        }
    }

    fn begin_session(&mut self, link: Link, login: &Login, fresh: Option<u64>) -> Option<Decision> {
        let user = &self.users[&login.user];
        let others: BTreeMap<DeviceId, Standing> = user
            .devices
            .iter()
            .map(|(id, device)| (*id, device.standing()))
            .collect();
        let losers = policy::losers(&self.settings, login.device, &others);
        let live = losers.iter().any(|loser| others[loser].live);
        let number = user.change + 1;
        let losers = losers
            .into_iter()
            .map(|loser| (loser, user.devices[&loser].status))
            .collect();
        if live && self.settings.conflict == Conflict::OldestWins {
            self.note_login(login.user);
            self.refuse(link, Code::OtherDeviceOnline, None);
            return None;
        }
        Some(Decision::Login {
            link,
            login: Box::new(login.clone()),
            fresh: fresh.unwrap_or(number),
            losers,
        })
    }

    /// The device goes on with its session over a new connection.
    fn keep(&mut self, link: Link, login: &Login) {
        let now = self.now.instant;
        let known = self
            .user(login.user)
            .devices
            .get_mut(&login.device)
            .expect("it is Online");
        let old = known.link.replace(link);
        known.restored = false;
        known.background = login.background;
        known.heard = now;
        let session = known.session;
        if let Some(old) = old {
            self.hang_up(old);
        }
        if self.is_gone(link) {
            return self.log_out_gone(link, login);
        }
        self.welcome(link, login, session, Vec::new());
    }

    fn welcome(&mut self, link: Link, login: &Login, session: u64, forced_off: Vec<Platform>) {
        let timeout_ms = millis(self.settings.timeout_of(login.device.platform.class()));
        let said = Said::LoggedIn {
            session,
            timeout_ms,
            forced_off,
        };
        self.say(link, said);
        self.conn(link).phase = Phase::Live(login.user, login.device);
        self.read(link);
    }

    /// The login is on record under the number `session`.
    pub(super) fn logged_in(
        &mut self,
        (link, login): (Link, &Login),
        (session, fresh, at): (u64, u64, Timestamp),
        losers: &[(DeviceId, Status)],
    ) {
        self.note_login(login.user);
        for (loser, _) in losers {
            self.force_off(login, *loser, at);
        }
        let device = Device {
            status: Status::Online,
            session,
            fresh,
            login_at: at,
            link: Some(link),
            leaving: None,
            restored: false,
            armed: 0,
            heard: self.now.instant,
            background: login.background,
            class: login.device.platform.class(),
            rung: self.users[&login.user]
                .devices
                .get(&login.device)
                .is_some_and(|old| old.rung),
        };
        let user = self.user(login.user);
        user.account = true;
        user.ended.retain(|ended| ended.device != login.device);
        let old = user
            .devices
            .insert(login.device, device)
            .and_then(|old| old.link.or(old.leaving));
        if let Some(old) = old {
            self.hang_up(old);
        }
        if !self.is_gone(link) {
            let online = losers.iter().filter(|(_, status)| *status == Status::Online);
            let mut named: Vec<Platform> = online.map(|(loser, _)| loser.platform).collect();
            named.sort_unstable();
            self.welcome(link, login, session, named);
        } else {
            self.log_out_gone(link, login);
        }
    }

    /// The logout of a terminal that did not wait for its login's answer comes before anything else of its user.
    fn log_out_gone(&mut self, link: Link, login: &Login) {
        if self.logged_out.remove(&link) {
            self.user(login.user)
                .queue
                .push_front(Event::Logout(link, login.device));
        }
    }

    fn force_off(&mut self, login: &Login, loser: DeviceId, at: Timestamp) {
        let winner = login.device.platform;
        let link = self.user(login.user).end(loser, Ending::ForcedOff { winner }, at);
        self.part(link, Code::SessionForcedOff, Some(winner));
    }

    /// The session of a connection is over by somebody else's will.
    pub(super) fn part(&mut self, link: Option<Link>, code: Code, winner: Option<Platform>) {
        if let Some(link) = link {
            self.say(link, Said::ForcedOff { code, winner });
            self.hang_up(link);
        }
    }

    /// What a query must answer: the user's last change, and each device that is not Offline.
    pub(crate) fn standing(&self, user: UserId) -> (bool, u64, Vec<(DeviceId, Status)>) {
        let user = &self.users[&user];
        let devices = user.devices.iter().map(|(id, device)| (*id, device.status));
        (user.account, user.change, devices.collect())
    }
}
