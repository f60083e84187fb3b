//! What the registry has confirmed: it becomes the user's state, and those whom it concerns are told, all in one turn.
//! Decides nothing any more.

use crate::base::ids::{ChangeNumber, ConnKey, DeviceId, Platform, SessionId};
use crate::base::time::{Instant, Now, millis};
use crate::logic::Effect;
use crate::logic::letter::{ToFront, platforms_online};
use crate::logic::note::What;
use crate::logic::presence::{Standing, after_loss};
use crate::logic::queue::{Committing, Event, Goodbye, Knock};
use crate::logic::record::{AccountStep, Change, ChangeKind, Status, later_kick};
use crate::logic::session::Phase;
use crate::logic::state::ShardState;
use crate::protocol::packet::{GatewayPacket, LoginAnswer, SessionTerms};
use crate::protocol::verdict::{Code, Verdict};

impl ShardState {
    /// Takes a commit into the user's state and tells it.
    pub(super) fn confirm(&mut self, now: Now, user: u32, committing: &Committing, out: &mut Vec<Effect>) {
        let Committing { commit, event, .. } = committing;
        if let Some(kicked_at_s) = commit.kicked_at_s {
            let latest = self.kicked_at_s.entry(user).or_default();
            *latest = later_kick(*latest, kicked_at_s);
        }
        for change in &commit.changes {
            self.count_change(&change.kind);
            self.users.users[user].change = change.number;
            self.confirm_change(now, user, change, committing, out);
        }
        if commit.account == AccountStep::Delete {
            self.counters.accounts_deleted += 1;
        }
        if let Event::Kick(request, _) = event {
            out.push(Effect::Reply(ToFront::Kicked(*request, Ok(()))));
        }
    }

    fn confirm_change(
        &mut self,
        now: Now,
        user: u32,
        change: &Change,
        committing: &Committing,
        out: &mut Vec<Effect>,
    ) {
        let device = self.users.find_device(user, change.device);
        match (&change.kind, &committing.event) {
            (ChangeKind::Login { fresh, forced_off }, Event::Login(knock)) => {
                self.confirm_login(now, user, knock, (change, *fresh), forced_off, out);
            }
            (ChangeKind::Login { .. }, _) => unreachable!("only a login leads to one"),
            (kind, event) => {
                let device = device.expect("a device that changes is there until its change is confirmed");
                self.confirm_loss(committing.decided_at, device, kind, out);
                if let (ChangeKind::Logout, Event::Logout(goodbye)) = (kind, event) {
                    self.answer_logout(goodbye.link, out);
                }
            }
        }
    }

    fn confirm_login(
        &mut self,
        now: Now,
        user: u32,
        knock: &Knock,
        (change, fresh): (&Change, ChangeNumber),
        forced_off: &[(DeviceId, Status)],
        out: &mut Vec<Effect>,
    ) {
        self.counters.logins_accepted += 1;
        self.count_login_of(now, user);
        for (loser, _) in forced_off {
            let loser = self
                .users
                .find_device(user, *loser)
                .expect("a loser is there until it is forced off");
            self.force_off(loser, knock.login.device.platform, out);
        }
        let device = match self.users.find_device(user, knock.login.device) {
            Some(device) => {
                self.close_of(device, out);
                device
            }
            None => self.users.add_device(user, knock.login.device),
        };
        let known = &mut self.users.devices[device];
        known.set_session(change.number, fresh);
        known.login_at.set(change.at);
        let named = platforms_online(forced_off);
        self.note_login(What::LoggedIn, knock.key, device);
        self.go_live(now, device, knock, change.number, named, out);
    }

    fn force_off(&mut self, loser: u32, winner: Platform, out: &mut Vec<Effect>) {
        self.counters.forced_off += 1;
        self.end_by_force(loser, Code::SessionForcedOff, Some(winner), out);
    }

    /// Ends a device; its connection, if it has one, is told why.
    fn end_by_force(&mut self, device: u32, code: Code, winner: Option<Platform>, out: &mut Vec<Effect>) {
        let what = if code == Code::SessionForcedOff {
            What::ForcedOff
        } else {
            What::Kicked
        };
        self.note_device(what, device, Some(code));
        if let Some(key) = self.connection_of(device) {
            let verdict = Verdict::of(code);
            self.send(key, &GatewayPacket::ForceOffline(verdict, winner), out);
            self.close(key, out);
        }
        self.remove_device(device);
    }

    /// The device is Online on this connection from now on, and its terminal is told.
    pub(super) fn go_live(
        &mut self,
        now: Now,
        device: u32,
        knock: &Knock,
        session: SessionId,
        forced_off: Vec<Platform>,
        out: &mut Vec<Effect>,
    ) {
        self.count_login(Code::Ok);
        self.count_live(knock.key, knock.login.device.platform.class());
        self.set_standing(device, Standing::Linked);
        let known = &mut self.users.devices[device];
        known.slot = knock.key.slot;
        known.moment.set(now.instant);
        known.set_background(knock.login.background);
        let due = self.due(device);
        self.wheel.arm(device, due);
        if self.sessions.get(knock.key).is_none() {
            let (user, address) = (self.users.devices[device].user, knock.address);
            let goodbye = Goodbye {
                link: knock.key,
                device: knock.login.device,
                session,
                address,
            };
            return self.follow_up(user, knock, goodbye);
        }
        self.set_phase(knock.key, Phase::Live { device });
        let answer = self.login_answer(now, knock, session, forced_off);
        self.send(knock.key, &GatewayPacket::LoginAnswer(Box::new(answer)), out);
        let kept = self.take_pieces(knock.key);
        if !kept.is_empty() {
            self.work_off(now, knock.key, kept.unread(), out);
        }
    }

    fn login_answer(
        &self,
        now: Now,
        knock: &Knock,
        session: SessionId,
        forced_off: Vec<Platform>,
    ) -> LoginAnswer {
        let timeout = self.settings.timeout_of(knock.login.device.platform.class());
        let terms = SessionTerms {
            session: session.0,
            heartbeat_interval_ms: u32::try_from(millis(self.settings.heartbeat_interval))
                .unwrap_or(u32::MAX),
            heartbeat_timeout_ms: u32::try_from(millis(timeout)).unwrap_or(u32::MAX),
            server_time_ms: now.wall.0,
            forced_off,
        };
        LoginAnswer {
            verdict: Verdict::of(Code::Ok),
            winner: None,
            session: Some(terms),
        }
    }

    /// A device lost its link, was silent, expired, was logged out or kicked.
    fn confirm_loss(&mut self, decided_at: Instant, device: u32, kind: &ChangeKind, out: &mut Vec<Effect>) {
        let class = self.users.devices[device].platform.class();
        match kind {
            ChangeKind::LinkEnd => {
                self.counters.link_ends += 1;
                self.lose(decided_at, device, after_loss(class));
            }
            ChangeKind::TimeOut => {
                self.counters.time_outs += 1;
                self.note_device(What::TimedOut, device, None);
                let live = |key: &ConnKey| self.sessions.phase(*key) == Phase::Live { device };
                if let Some(key) = self.connection_of(device).filter(live) {
                    self.part(key, Code::Silent, out);
                }
                self.lose(decided_at, device, after_loss(class));
            }
            ChangeKind::Expiry => {
                self.counters.expiries += 1;
                self.note_device(What::Expired, device, None);
                self.remove_device(device);
            }
            ChangeKind::Logout => {
                self.counters.logouts += 1;
                self.note_device(What::LoggedOut, device, None);
                self.remove_device(device);
            }
            ChangeKind::Kick | ChangeKind::Deletion => {
                self.counters.kicked += 1;
                self.end_by_force(device, Code::SessionKicked, None, out);
            }
            ChangeKind::Login { .. } => unreachable!("a login is no loss"),
        }
    }

    fn lose(&mut self, since: Instant, device: u32, standing: Standing) {
        if standing == Standing::Offline {
            return self.remove_device(device);
        }
        self.set_standing(device, standing);
        let known = &mut self.users.devices[device];
        known.moment.set(since);
        known.set_look_waits(false);
        known.set_background(false);
        let due = self.due(device);
        self.wheel.arm(device, due);
    }

    /// Says goodbye to a terminal that logged out, if it is still there.
    pub(super) fn answer_logout(&mut self, key: ConnKey, out: &mut Vec<Effect>) {
        if matches!(self.sessions.phase(key), Phase::Leaving { .. }) {
            self.send(key, &GatewayPacket::LogoutAnswer, out);
            self.close(key, out);
        }
    }

    /// Closes the connection that a device is leaving, without a word.
    pub(super) fn close_of(&mut self, device: u32, out: &mut Vec<Effect>) {
        if let Some(key) = self.connection_of(device) {
            self.close(key, out);
        }
    }

    pub(super) fn set_standing(&mut self, device: u32, standing: Standing) {
        let user = self.users.devices[device].user;
        let user_before = self.users.users[user].devices.status();
        let before = self.users.set_standing(device, standing);
        let user_after = self.users.users[user].devices.status();
        self.count_status((before.status(), standing.status()), (user_before, user_after));
    }

    fn remove_device(&mut self, device: u32) {
        self.wheel.cancel(device);
        let user = self.users.devices[device].user;
        let user_before = self.users.users[user].devices.status();
        let gone = self.users.remove_device(device);
        let user_after = self.users.users[user].devices.status();
        self.count_status(
            (gone.standing().status(), Status::Offline),
            (user_before, user_after),
        );
    }
}
