//! Whether a login goes on with its session, begins one, or is refused, against its user's confirmed state.

use crate::base::ids::{ChangeNumber, ConnKey, DeviceId};
use crate::base::time::Now;
use crate::logic::behind::Behind;
use crate::logic::note::What;
use crate::logic::policy::{self, Candidate};
use crate::logic::presence::{self, Next, Standing, Step};
use crate::logic::queue::{Decision, Knock, Known};
use crate::logic::record::{ChangeKind, Ending, Status};
use crate::logic::settings::Registration;
use crate::logic::state::ShardState;
use crate::logic::users::Device;
use crate::logic::{Effect, LoginRequest};
use crate::protocol::packet::LoginAnswer;
use crate::protocol::verdict::{Code, Verdict};

/// What a login may do.
enum Right {
    /// Begin a session that goes back to this change; `None`: to itself.
    Begin(Option<ChangeNumber>),
    /// Go on with the session on record, of this device.
    Keep(u32),
    /// Nothing: a code, and how the session ended if that is why.
    No(Code, Option<Ending>),
}

impl ShardState {
    pub(super) fn decide_login(
        &mut self,
        now: Now,
        user: u32,
        knock: &Knock,
        out: &mut Vec<Effect>,
    ) -> Decision {
        let Knock {
            key, login, behind, ..
        } = knock;
        if self.sessions.get(*key).is_none() && *behind != Behind::Logout {
            return Decision::Done;
        }
        let device = self.users.find_device(user, login.device);
        let goes_on =
            login.session.is_some() && device.is_some_and(|device| self.goes_on(user, device, login));
        let wait_ms = if goes_on { 0 } else { self.login_wait_ms(now, user) };
        if wait_ms > 0 {
            self.counters.user_refusals_rate += 1;
            self.refuse_user(*key, wait_ms, out);
            return Decision::Done;
        }
        let ended_matters = login.session.is_some() && device.is_none();
        let ended_known = self.waiting[self.waiting_of(user)].ended.is_some();
        if self.known(user) == Known::No || (ended_matters && !ended_known) {
            return Decision::Load;
        }
        if self.settings.registration == Registration::ByImport && self.known(user) == Known::NoAccount {
            self.refuse_session((now, user), *key, (Code::AccountUnknown, None), out);
            return Decision::Done;
        }
        match self.right_of(user, device, login) {
            Right::No(code, ending) => self.refuse_session((now, user), *key, (code, ending), out),
            Right::Keep(device) => self.keep_session(now, device, knock, out),
            Right::Begin(fresh) => return self.decide_session(now, user, knock, fresh, out),
        }
        Decision::Done
    }

    /// Whether a login only goes on with the session of a device that is there.
    fn goes_on(&self, user: u32, device: u32, login: &LoginRequest) -> bool {
        matches!(self.right_of(user, Some(device), login), Right::Keep(_))
    }

    /// What a login may do, before the policy is asked.
    fn right_of(&self, user: u32, device: Option<u32>, login: &LoginRequest) -> Right {
        let kicked_at_s = self.kicked_at_s.get(&user).copied().unwrap_or(0);
        if login.signed_at_s <= kicked_at_s {
            return Right::No(Code::UsersigKicked, None);
        }
        let Some(session) = login.session else {
            return Right::Begin(None);
        };
        if let Some(key) = device {
            let device = &self.users.devices[key];
            if session < device.fresh() || device.session() < session {
                return Right::No(Code::SessionUnknown, None);
            }
            let class = device.platform.class();
            return match presence::next(class, self.settings.web_close, device.standing(), Step::Resume) {
                Next::Quiet(_) => Right::Keep(key),
                Next::Change(_) | Next::Nothing => Right::Begin(Some(device.fresh())),
            };
        }
        let ended = self.waiting[self.waiting_of(user)].ended.iter().flatten();
        let Some(ended) = ended.into_iter().find(|ended| ended.device == login.device) else {
            return Right::No(Code::SessionUnknown, None);
        };
        if session < ended.fresh || ended.session < session {
            return Right::No(Code::SessionUnknown, None);
        }
        match ended.ending {
            Ending::LinkEnd | Ending::TimeOut | Ending::Expiry => Right::Begin(Some(ended.fresh)),
            Ending::Logout => Right::No(Code::SessionLoggedOut, None),
            Ending::Kick => Right::No(Code::SessionKicked, None),
            Ending::ForcedOff { .. } => Right::No(Code::SessionForcedOff, Some(ended.ending)),
        }
    }

    fn refuse_session(
        &mut self,
        (now, user): (Now, u32),
        key: ConnKey,
        (code, ending): (Code, Option<Ending>),
        out: &mut Vec<Effect>,
    ) {
        if code == Code::UsersigKicked {
            self.counters.usersigs_refused += 1;
        } else {
            // Whoever still has a UserSig that was ended must not use up what the user has.
            self.count_login_of(now, user);
        }
        let winner = match ending {
            Some(Ending::ForcedOff { winner }) => Some(winner),
            _ => None,
        };
        let refused = LoginAnswer::refused(Verdict::of(code));
        self.refuse_login(key, LoginAnswer { winner, ..refused }, out);
    }

    /// A resume that goes on with its session: the device moves to the new connection, and nobody is told.
    fn keep_session(&mut self, now: Now, device: u32, knock: &Knock, out: &mut Vec<Effect>) {
        self.counters.sessions_kept += 1;
        self.close_of(device, out);
        let session = self.users.devices[device].session();
        self.note_login(What::Resumed, knock.key, device);
        self.go_live(now, device, knock, session, Vec::new(), out);
    }

    /// A login that begins a session: the policy says who must go.
    fn decide_session(
        &mut self,
        now: Now,
        user: u32,
        knock: &Knock,
        fresh: Option<ChangeNumber>,
        out: &mut Vec<Effect>,
    ) -> Decision {
        let candidates: Vec<Candidate> = self
            .users
            .devices_of(user)
            .map(|(_, device)| candidate(device))
            .collect();
        let leaving = match policy::admit(&self.settings, knock.login.device, &candidates) {
            policy::Verdict::Admit(leaving) => leaving,
            policy::Verdict::Refuse => {
                self.refuse_session((now, user), knock.key, (Code::OtherDeviceOnline, None), out);
                return Decision::Done;
            }
        };
        let status = |id| {
            let key = self
                .users
                .find_device(user, id)
                .expect("the policy names devices that are there");
            self.users.devices[key].standing().status()
        };
        let forced_off: Vec<(DeviceId, Status)> = leaving.into_iter().map(|id| (id, status(id))).collect();
        let number = self.users.users[user].change.next();
        let kind = ChangeKind::Login {
            fresh: fresh.unwrap_or(number),
            forced_off,
        };
        self.propose(now, user, [(knock.login.device, kind, Some(knock.address))])
    }
}

fn candidate(device: &Device) -> Candidate {
    Candidate {
        device: device.id(),
        linked: device.standing() == Standing::Linked,
        fresh: device.fresh().0,
    }
}
