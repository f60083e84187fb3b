//! Whether a login goes on with its session, begins one, or is refused, against its user's confirmed state.

use crate::base::ids::{ChangeNumber, DeviceId};
use crate::logic::between_wings::{
    ConnectionCommand, LoginLink, LoginRefusal, LoginRetry, PendingLogin, Pipelined,
};
use crate::logic::cluster::lease::Lease;
use crate::logic::context::Context;
use crate::logic::contract::LoginRequest;
use crate::logic::record::{ChangeKind, Ending, Status};
use crate::logic::settings::Registration;
use crate::logic::trace::TraceKind;
use crate::logic::users::Users;
use crate::logic::users::device::Device;
use crate::logic::users::events::{Decision, Residency};
use crate::logic::users::policy::{self, Candidate, PolicyVerdict};
use crate::logic::users::presence::{self, DeviceState, DeviceStep, Transition};
use crate::protocol::verdict::Code;

/// What a login may do.
enum LoginRight {
    /// Begin a session that goes back to this change; `None`: to itself.
    Begin(Option<ChangeNumber>),
    /// Go on with the session on record, of this device.
    Keep(u32),
    /// Nothing.
    No(LoginRefusal),
}

/// What comes of a login.
enum LoginOutcome {
    /// A session that goes back to this change, `None`: to itself; these devices must go for it.
    Begins(Option<ChangeNumber>, Vec<DeviceId>),
    /// The session on record goes on.
    Keeps(u32),
    Refused(LoginRefusal),
}

impl Users {
    pub(super) fn decide_login(
        &mut self,
        context: &mut Context,
        user: u32,
        pending: &PendingLogin,
    ) -> Decision {
        if pending.link == LoginLink::Ended(Pipelined::Nothing) {
            return Decision::Done;
        }
        let login = &pending.login;
        let device = self.table.find_device(user, login.device);
        let wait_ms =
            if login.session.is_some() && device.is_some() && self.goes_on(context, user, device, login) {
                0
            } else {
                self.login_rates.login_wait_ms(context, &login.user)
            };
        if wait_ms > 0 {
            context.counters.user_refusals_rate += 1;
            refuse_user(context, pending, wait_ms);
            return Decision::Done;
        }
        let waiting = self.waiting(user);
        let ended_matters = login.session.is_some() && device.is_none();
        if waiting.residency == Residency::Unknown || (ended_matters && waiting.ended.is_none()) {
            return Decision::Load;
        }
        let outcome = self.judge(context, user, device, login);
        if !matches!(outcome, LoginOutcome::Begins(..)) && !self.may_answer(context, user) {
            return Decision::Gather;
        }
        match outcome {
            LoginOutcome::Refused(refusal) => self.refuse_session(context, pending, refusal),
            LoginOutcome::Keeps(device) => self.keep_session(context, device, pending),
            LoginOutcome::Begins(fresh, leaving) => {
                return self.begin_session(context, user, pending, fresh, leaving);
            }
        }
        Decision::Done
    }

    /// What comes of a login, by the account, the sessions and the policy.
    fn judge(&self, context: &Context, user: u32, device: Option<u32>, login: &LoginRequest) -> LoginOutcome {
        let by_import = context.settings.registration == Registration::ByImport;
        if by_import && self.waiting(user).residency == Residency::NoAccount {
            return LoginOutcome::Refused(LoginRefusal::of(Code::AccountUnknown));
        }
        match self.right_of(context, user, device, login) {
            LoginRight::Begin(fresh) => self.admit(context, user, login, fresh),
            LoginRight::Keep(device) => LoginOutcome::Keeps(device),
            LoginRight::No(refusal) => LoginOutcome::Refused(refusal),
        }
    }

    /// A login would begin a session: the policy says who must go.
    fn admit(
        &self,
        context: &Context,
        user: u32,
        login: &LoginRequest,
        fresh: Option<ChangeNumber>,
    ) -> LoginOutcome {
        let candidates = self.table.devices_of(user).map(|(_, device)| candidate(device));
        let candidates: Vec<Candidate> = candidates.collect();
        match policy::admit(&context.settings, login.device, &candidates) {
            PolicyVerdict::Admit(leaving) => LoginOutcome::Begins(fresh, leaving),
            PolicyVerdict::Refuse => LoginOutcome::Refused(LoginRefusal::of(Code::OtherDeviceOnline)),
        }
    }

    /// Whether a login may be answered by what is in memory alone, without the registry. Where nobody else could own the user it
    /// always may.
    fn may_answer(&self, context: &Context, user: u32) -> bool {
        context.lease == Lease::Forever || self.waiting(user).vouched
    }

    /// Whether a login only goes on with the session of a device that is there.
    fn goes_on(&self, context: &Context, user: u32, device: Option<u32>, login: &LoginRequest) -> bool {
        matches!(self.right_of(context, user, device, login), LoginRight::Keep(_))
    }

    /// What a login may do, before the policy is asked.
    fn right_of(
        &self,
        context: &Context,
        user: u32,
        device: Option<u32>,
        login: &LoginRequest,
    ) -> LoginRight {
        if login.signed_at_s <= self.kicked_at_s(user) {
            return LoginRight::No(LoginRefusal::of(Code::UsersigKicked));
        }
        let Some(session) = login.session else {
            return LoginRight::Begin(None);
        };
        let unknown = LoginRight::No(LoginRefusal::of(Code::SessionUnknown));
        if let Some(key) = device {
            let device = self.table.device(key);
            if session < device.session.fresh() || device.session.id() < session {
                return unknown;
            }
            let (class, web_close) = (device.platform.class(), context.settings.web_close);
            return match presence::next(class, web_close, device.state(), DeviceStep::Resume) {
                Transition::Quiet(_) => LoginRight::Keep(key),
                Transition::NewSession | Transition::Change(_) | Transition::Nothing => {
                    LoginRight::Begin(Some(device.session.fresh()))
                }
            };
        }
        let mut ended = self.waiting(user).ended.iter().flatten();
        let Some(ended) = ended.find(|ended| ended.device == login.device) else {
            return unknown;
        };
        if session < ended.fresh || ended.session < session {
            return unknown;
        }
        match ended.ending {
            Ending::LinkEnd | Ending::TimeOut | Ending::Expiry => LoginRight::Begin(Some(ended.fresh)),
            Ending::Logout => LoginRight::No(LoginRefusal::of(Code::SessionLoggedOut)),
            Ending::Kick => LoginRight::No(LoginRefusal::of(Code::SessionKicked)),
            Ending::ForcedOff { winner } => LoginRight::No(LoginRefusal {
                winner: Some(winner),
                ..LoginRefusal::of(Code::SessionForcedOff)
            }),
        }
    }

    fn refuse_session(&mut self, context: &mut Context, pending: &PendingLogin, refusal: LoginRefusal) {
        if refusal.code == Code::UsersigKicked {
            context.counters.usersigs_refused += 1;
        } else {
            // Whoever still has a UserSig that was ended must not use up what the user has.
            self.login_rates.count_login(context, pending.login.user);
        }
        refuse(context, pending, refusal);
    }

    /// A resume that goes on with its session: the device moves to the new connection, and nobody is told.
    fn keep_session(&mut self, context: &mut Context, device: u32, pending: &PendingLogin) {
        context.counters.sessions_kept += 1;
        let close = ConnectionCommand::Close(self.table.link_of(device));
        context.commands.push_back(close);
        self.go_live(context, TraceKind::Resumed, device, pending, Vec::new());
    }

    /// A login that begins a session, for which these devices must go.
    fn begin_session(
        &self,
        context: &Context,
        user: u32,
        pending: &PendingLogin,
        fresh: Option<ChangeNumber>,
        leaving: Vec<DeviceId>,
    ) -> Decision {
        let status = |id| {
            let key = self.table.find_device(user, id);
            let key = key.expect("the policy names devices that are there");
            self.table.device(key).state().status()
        };
        let forced_off: Vec<(DeviceId, Status)> = leaving.into_iter().map(|id| (id, status(id))).collect();
        let fresh = fresh.unwrap_or(self.table.user(user).change.next());
        let login = ChangeKind::Login { fresh, forced_off };
        let change = (pending.login.device, login, Some(pending.origin.address));
        Decision::Commit(self.propose(context, user, [change]))
    }
}

fn candidate(device: &Device) -> Candidate {
    Candidate {
        device: device.id(),
        linked: device.state() == DeviceState::Linked,
        fresh: device.session.fresh().0,
    }
}

/// Refuses a login for the reason that it is given.
pub(super) fn refuse(context: &mut Context, pending: &PendingLogin, refusal: LoginRefusal) {
    let refused = ConnectionCommand::Refuse(pending.origin.key, refusal);
    context.commands.push_back(refused);
}

/// Refuses a login because its user has as many waiting, or logs in as often, as it may: that is the user's own affair, and
/// nobody else waits for it. The next one may come after `wait_ms` at the earliest.
pub(super) fn refuse_user(context: &mut Context, pending: &PendingLogin, wait_ms: u64) {
    let refusal = LoginRefusal::until(Code::UserLimit, LoginRetry::AfterMs(wait_ms));
    refuse(context, pending, refusal);
}
