//! A login before it is its user's: read, checked, and let in here or sent home with its connection. Knows nothing of
//! the user's other devices.

use crate::base::ids::{ConnKey, DeviceId, InstanceId, SessionId, UserId};
use crate::base::limits::VERSION_BYTES_MAX;
use crate::base::time::Now;
use crate::logic::addresses::AtAddress;
use crate::logic::note::What;
use crate::logic::session::Phase;
use crate::logic::state::ShardState;
use crate::logic::{Arrival, Effect, LoginRequest};
use crate::protocol::native::PROTOCOL;
use crate::protocol::packet::{GatewayPacket, Login, LoginAnswer};
use crate::protocol::transport::Kept;
use crate::protocol::usersig::{App, Fault};
use crate::protocol::verdict::{Code, Verdict};

/// Why a login is refused before it is anyone's.
enum Refusal {
    Protocol,
    /// Which field, and its bounds.
    Field(&'static str),
    UserSig(Fault),
}

impl ShardState {
    /// Reads a login, then lets it in here or sends it home.
    pub(super) fn log_in(
        &mut self,
        now: Now,
        key: ConnKey,
        login: Login,
        behind: &[u8],
        out: &mut Vec<Effect>,
    ) {
        if !self.address_may_log_in(now, key) {
            return self.refuse_address(key, out);
        }
        let claim = self.claim_of(&login);
        let login = match self.check_login(now, login) {
            Ok(login) => login,
            Err(refusal) => {
                self.refuse_stranger(now, key, refusal, out);
                return self.name_in_note(claim);
            }
        };
        let session = self
            .sessions
            .get_mut(key)
            .expect("the connection that sent the login");
        let peer = session.peer;
        let home = login.user.home(self.place.shards);
        let kept = if home == self.place.shard {
            Kept::default()
        } else {
            Kept::of(behind)
        };
        let arrival = Arrival { peer, login, kept };
        if home == self.place.shard {
            return self.knock(now, key, arrival, out);
        }
        let at_address = std::mem::replace(&mut session.at_address, AtAddress::No);
        self.leave_address(peer.address, at_address);
        self.counters.connections_moved += 1;
        self.counters.connections_now -= 1;
        self.set_phase(key, Phase::Moving);
        out.push(Effect::Move(key, home, Box::new(arrival)));
    }

    /// A connection that came home waits for its user's turn.
    pub(super) fn knock(&mut self, now: Now, key: ConnKey, arrival: Arrival, out: &mut Vec<Effect>) {
        self.note_versions(now, key, &arrival.login);
        out.push(Effect::Stay(key));
        let Arrival { login, kept, .. } = arrival;
        self.enqueue_login(now, key, login, out);
        if !kept.is_empty() && matches!(self.sessions.phase(key), Phase::Waiting { .. }) {
            self.hold(key, kept.unread(), out);
        }
    }

    /// One after the other: what is noted is shown, and stays if the other needs room.
    fn note_versions(&mut self, now: Now, key: ConnKey, login: &LoginRequest) {
        let Self {
            versions, sessions, ..
        } = self;
        let noted = "the connection that came home";
        let sdk_version = versions.intern(now.instant, &login.sdk_version, sessions.versions());
        sessions.get_mut(key).expect(noted).sdk_version = sdk_version;
        let app_version = versions.intern(now.instant, &login.app_version, sessions.versions());
        sessions.get_mut(key).expect(noted).app_version = app_version;
    }

    fn check_login(&mut self, now: Now, login: Login) -> Result<LoginRequest, Refusal> {
        let invalid = Refusal::Field;
        if login.protocol != PROTOCOL {
            return Err(Refusal::Protocol);
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
            sdk_app_id: self.settings.sdk_app_id,
            keys: &self.settings.keys,
            ahead_max_s: self.settings.usersig_ahead_max.as_secs(),
        };
        let claims = self.verifier.verify(now.wall, app, &user, &login.user_sig);
        let claims = claims.map_err(Refusal::UserSig)?;
        Ok(LoginRequest {
            user,
            device: DeviceId { platform, instance },
            session: (login.session != 0).then_some(SessionId { 0: login.session }),
            signed_at_s: claims.signed_at_s,
            sdk_version: login.sdk_version,
            app_version: login.app_version,
            background: login.background,
        })
    }

    fn refuse_stranger(&mut self, now: Now, key: ConnKey, refusal: Refusal, out: &mut Vec<Effect>) {
        let verdict = match refusal {
            Refusal::Protocol => {
                self.counters.protocols_unsupported += 1;
                Verdict::of(Code::ProtocolUnsupported)
            }
            Refusal::Field(field) => {
                self.counters.fields_invalid += 1;
                let text = format!("a field of the login is out of its bounds: {field}");
                Verdict::with_text(Code::FieldInvalid, text)
            }
            Refusal::UserSig(fault) => {
                self.counters.usersigs_refused += 1;
                self.count_failed_login(now, key);
                Verdict::with_text(code_of(fault), fault.to_string())
            }
        };
        self.refuse_login(key, LoginAnswer::refused(verdict), out);
    }

    /// Answers a login that is not let in, and closes.
    pub(super) fn refuse_login(&mut self, key: ConnKey, answer: LoginAnswer, out: &mut Vec<Effect>) {
        self.counters.logins_refused += 1;
        let code = answer.verdict.code;
        self.count_login(code);
        self.note_connection(What::LoginRefused, key, Some(code));
        if self.sessions.get(key).is_some() {
            self.send(key, &GatewayPacket::LoginAnswer(Box::new(answer)), out);
            self.close(key, out);
        }
    }

    /// Refuses a login because its user has as many waiting, or logs in as often, as it may: that is the user's own affair, and
    /// nobody else waits for it. The next one may come after `wait_ms` at the earliest.
    pub(super) fn refuse_user(&mut self, key: ConnKey, wait_ms: u64, out: &mut Vec<Effect>) {
        let wait_ms = u32::try_from(wait_ms).unwrap_or(u32::MAX);
        let verdict = Verdict::of(Code::UserLimit).after_ms(self.retry_after_ms().max(wait_ms));
        self.refuse_login(key, LoginAnswer::refused(verdict), out);
    }

    /// Refuses a login because the registry has no room for what this shard asks.
    pub(super) fn refuse_busy(&mut self, now: Now, key: ConnKey, out: &mut Vec<Effect>) {
        self.counters.logins_busy += 1;
        self.grace.wait(now.instant);
        self.refuse_for_now(now, key, Code::Busy, out);
    }

    /// Refuses a login that may be tried again soon.
    pub(super) fn refuse_for_now(&mut self, now: Now, key: ConnKey, code: Code, out: &mut Vec<Effect>) {
        // Who has gone is told nothing, and is not waited for.
        let wait_ms = if self.sessions.get(key).is_some() {
            self.return_after_ms(now)
        } else {
            0
        };
        let verdict = Verdict::of(code).after_ms(wait_ms);
        self.refuse_login(key, LoginAnswer::refused(verdict), out);
    }
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
