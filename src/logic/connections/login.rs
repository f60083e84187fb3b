//! A login before it is its user's: read, checked, and let in here or sent home with its connection. Knows nothing of
//! the user's other devices.

use crate::base::ids::{ConnKey, DeviceId, InstanceId, SessionId, UserId};
use crate::base::limits::VERSION_BYTES_MAX;
use crate::base::time::Instant;
use crate::logic::between_wings::{LoginRefusal, LoginRetry, PendingLogin, UserSignal};
use crate::logic::connections::Connections;
use crate::logic::connections::addresses::AtAddress;
use crate::logic::connections::session::SessionPhase;
use crate::logic::context::{Context, Whereabouts};
use crate::logic::contract::{Arrival, Effect, LoginRequest, MessageSupport, Redirects};
use crate::logic::settings::ConnectionTrace;
use crate::protocol::native::PROTOCOL;
use crate::protocol::packet::{FEATURE_ACKS, FEATURE_MESSAGES, FEATURE_REDIRECT, Login, LoginAnswer};
use crate::protocol::usersig::{App, Fault};
use crate::protocol::verdict::{Code, Verdict};

/// Why a login is refused before it is anyone's.
enum InvalidLogin {
    Protocol,
    /// Which field, and its bounds.
    Field(&'static str),
    UserSig(Fault),
}

impl Connections {
    /// Reads a login, then lets it in here or sends it home.
    pub(super) fn log_in(&mut self, context: &mut Context, key: ConnKey, login: Login, behind: &[u8]) {
        let session = self
            .sessions
            .get(key)
            .expect("the connection that sent the login");
        let peer = session.peer;
        if !self.addresses.may_log_in(context, peer.address) {
            return self.refuse_address(context, key);
        }
        let claim = (context.settings.trace == ConnectionTrace::On).then(|| claim_of(&login));
        let login = match self.check_login(context, login) {
            Ok(login) => login,
            Err(invalid) => {
                self.refuse_invalid(context, key, &invalid);
                if let Some((user, device)) = claim {
                    context.traced.name_last(user, device);
                }
                return;
            }
        };
        if context.whereabouts(&login.user, peer.stack.transport) != Whereabouts::Here {
            self.turn_away(context, key, &login.user, login.redirects);
            return context.traced.name_last(Some(login.user), Some(login.device));
        }
        let home = login.user.home(context.position.shards);
        if home == context.position.shard {
            return self.come_home(context, key, login);
        }
        let session = self.sessions.get_mut(key).expect("it has just been here");
        let at_address = std::mem::replace(&mut session.at_address, AtAddress::No);
        self.addresses.leave(context, peer.address, at_address);
        context.counters.connections_moved += 1;
        context.counters.connections_now -= 1;
        self.set_phase(key, SessionPhase::Moving);
        let kept = behind.to_vec();
        let arrival = Arrival { peer, login, kept };
        context.out.push(Effect::Move(key, home, Box::new(arrival)));
    }

    /// A connection that is at home waits for its user's turn.
    pub(super) fn come_home(&mut self, context: &mut Context, key: ConnKey, login: LoginRequest) {
        self.show_versions(context.now.instant, key, &login);
        context.out.push(Effect::Stay(key));
        let origin = self.origin_of(key).expect("the connection that came home");
        let pending = Box::new(PendingLogin::new(origin, login));
        context.signals.push_back(UserSignal::Login(pending));
    }

    /// One after the other: what is kept is shown, and stays if the other needs room.
    fn show_versions(&mut self, now: Instant, key: ConnKey, login: &LoginRequest) {
        let Self {
            versions, sessions, ..
        } = self;
        let shown = "the connection that came home";
        let sdk_version = versions.intern(now, &login.sdk_version, sessions.versions());
        sessions.get_mut(key).expect(shown).sdk_version = sdk_version;
        let app_version = versions.intern(now, &login.app_version, sessions.versions());
        sessions.get_mut(key).expect(shown).app_version = app_version;
    }

    fn check_login(&mut self, context: &Context, login: Login) -> Result<LoginRequest, InvalidLogin> {
        let invalid = InvalidLogin::Field;
        if login.protocol != PROTOCOL {
            return Err(InvalidLogin::Protocol);
        }
        let platform = login.platform.ok_or(invalid("platform: one of the seven"))?;
        let instance = InstanceId::new(login.instance).ok_or(invalid("instance: not 0"))?;
        if !is_version(&login.sdk_version) || !is_version(&login.app_version) {
            return Err(invalid(
                "sdk_version, app_version: at most 32 bytes of printable ASCII each",
            ));
        }
        let user = UserId::new(login.user_id.as_bytes())
            .map_err(|_| invalid("user_id: 1 to 32 bytes of printable ASCII"))?;
        let app = App {
            sdk_app_id: context.settings.sdk_app_id,
            keys: &context.settings.keys,
            ahead_max_s: context.settings.usersig_ahead_max.as_secs(),
        };
        let claims = self
            .verifier
            .verify(context.now.wall, app, &user, &login.user_sig);
        let claims = claims.map_err(InvalidLogin::UserSig)?;
        Ok(LoginRequest {
            user,
            device: DeviceId { platform, instance },
            session: (login.session != 0).then_some(SessionId { 0: login.session }),
            signed_at_s: claims.signed_at_s,
            sdk_version: login.sdk_version,
            app_version: login.app_version,
            background: login.background,
            redirects: match login.features & FEATURE_REDIRECT {
                0 => Redirects::Unknown,
                _ => Redirects::Followed,
            },
            messages: support_of(login.features),
        })
    }

    /// Refuses a login that came over a limit of its address.
    pub(super) fn refuse_address(&mut self, context: &mut Context, key: ConnKey) {
        let refusal = LoginRefusal::until(Code::AddressLimit, LoginRetry::AfterMs(0));
        self.refuse_login_by(context, key, refusal);
    }

    fn refuse_invalid(&mut self, context: &mut Context, key: ConnKey, invalid: &InvalidLogin) {
        let verdict = match invalid {
            InvalidLogin::Protocol => {
                context.counters.protocols_unsupported += 1;
                Verdict::of(Code::ProtocolUnsupported)
            }
            InvalidLogin::Field(field) => {
                context.counters.fields_invalid += 1;
                let text = format!("a field of the login is out of its bounds: {field}");
                Verdict::with_text(Code::FieldInvalid, text)
            }
            InvalidLogin::UserSig(fault) => {
                context.counters.usersigs_refused += 1;
                let origin = self.origin_of(key).expect("the connection that sent the login");
                self.addresses.fail(context, origin.address);
                Verdict::with_text(code_of(*fault), fault.to_string())
            }
        };
        self.refuse_login(context, key, LoginAnswer::refused(verdict));
    }
}

/// What a terminal with these features does with messages.
fn support_of(features: u64) -> MessageSupport {
    if features & FEATURE_MESSAGES == 0 {
        MessageSupport::None
    } else if features & FEATURE_ACKS == 0 {
        MessageSupport::Taken
    } else {
        MessageSupport::Acked
    }
}

/// Who a login says it is, before anything of it was checked.
fn claim_of(login: &Login) -> (Option<UserId>, Option<DeviceId>) {
    let user = UserId::new(login.user_id.as_bytes()).ok();
    let device = login.platform.zip(InstanceId::new(login.instance));
    (
        user,
        device.map(|(platform, instance)| DeviceId { platform, instance }),
    )
}

fn is_version(text: &str) -> bool {
    text.len() <= VERSION_BYTES_MAX && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

fn code_of(fault: Fault) -> Code {
    match fault {
        Fault::Empty => Code::UsersigEmpty,
        Fault::Unreadable | Fault::LivesTooLong => Code::UsersigUnreadable,
        Fault::WrongApp => Code::UsersigWrongApp,
        Fault::WrongUser => Code::UsersigWrongUser,
        Fault::Expired | Fault::Ahead => Code::UsersigExpired,
        Fault::NoKey => Code::UsersigNoKey,
        Fault::WrongSignature => Code::UsersigWrongSignature,
    }
}
