//! Who calls the REST interface: the app, an administrator of it, and the UserSig that proves it. A kick of an
//! administrator ends the UserSigs that were made so far here as at a login.

use std::time::Duration;

use crate::base::ids::UserId;
use crate::logic::delivery::ToHttp;
use crate::protocol::usersig::App;
use crate::services::http::backend::codes::{self, Failure};
use crate::services::http::backend::state::BackendState;
use crate::services::http::pending::RequestPurpose;
use crate::services::http::server::peer::HttpPeer;
use crate::services::http::server::throttle::{RefusalReason, ThrottleVerdict};
use crate::services::http::server::url;
use crate::services::http::settings::HttpSettings;
use crate::services::http::user_request::UserRequest;

/// A caller that may ask for nothing.
enum CallerRefusal {
    /// For who it is.
    For(RefusalReason, Failure),
    /// It cannot be known now.
    Unknown(Failure),
}

/// Whether the caller whom the URL's query names may ask for anything. A refusal waits, and says less to programs, when
/// it is one too many of its network.
pub(super) async fn check(state: &BackendState, peer: &HttpPeer, query: &str) -> Result<(), Failure> {
    let (reason, failure) = match find(state, query).await {
        Ok(()) => {
            peer.slot.proven();
            return Ok(());
        }
        Err(CallerRefusal::Unknown(failure)) => return Err(failure),
        Err(CallerRefusal::For(reason, failure)) => (reason, failure),
    };
    match state.http.count_failure(peer, reason).await {
        ThrottleVerdict::Below => Err(failure),
        ThrottleVerdict::Over => {
            let text = format!(
                "too many requests from this address were refused, this one since {}",
                failure.text
            );
            Err(Failure::new(codes::TOO_FREQUENT, text))
        }
    }
}

async fn find(state: &BackendState, query: &str) -> Result<(), CallerRefusal> {
    let refuse = |reason, code, text| CallerRefusal::For(reason, Failure::new(code, text));
    let parameter = |name| {
        let undecodable = |_| Failure::new(codes::URL_INVALID, format!("{name} cannot be decoded"));
        let value = url::parameter(query, name).map_err(undecodable);
        value.map_err(|failure| CallerRefusal::For(RefusalReason::Caller, failure))
    };
    let app = parameter("sdkappid")?.filter(|app| !app.is_empty());
    let missing = || {
        refuse(
            RefusalReason::Caller,
            codes::SDK_APP_ID_MISSING,
            "sdkappid is missing",
        )
    };
    let app = app.ok_or_else(missing)?;
    let settings = state.http.settings();
    if app.parse() != Ok(settings.sdk_app_id) {
        let text = "sdkappid is not the one of this gateway's app";
        return Err(refuse(RefusalReason::Caller, codes::SDK_APP_ID_INVALID, text));
    }
    let caller = parameter("identifier")?.and_then(|name| UserId::new(name.as_bytes()).ok());
    let no_caller = || {
        let text = "identifier is missing or no UserID";
        refuse(RefusalReason::Caller, codes::IDENTIFIER_INVALID, text)
    };
    let caller = caller.ok_or_else(no_caller)?;
    let user_sig = parameter("usersig")?.unwrap_or_default();
    let signed_at_s = check_user_sig(state, &settings, &caller, &user_sig);
    let signed_at_s = signed_at_s.map_err(|failure| CallerRefusal::For(RefusalReason::UserSig, failure))?;
    if !settings.administrators.contains(&caller) {
        let text = "identifier is not an administrator of the app";
        return Err(refuse(
            RefusalReason::NotAdministrator,
            codes::NOT_ADMINISTRATOR,
            text,
        ));
    }
    if signed_at_s
        <= kicked_at_s(state, &caller)
            .await
            .map_err(CallerRefusal::Unknown)?
    {
        let text =
            "the UserSig was made before the administrator was kicked: sign again, one second after the kick";
        return Err(refuse(RefusalReason::UserSig, codes::USERSIG_KICKED, text));
    }
    Ok(())
}

/// Gives the Unix second in which the UserSig was made.
fn check_user_sig(
    state: &BackendState,
    settings: &HttpSettings,
    caller: &UserId,
    user_sig: &str,
) -> Result<u64, Failure> {
    let app = App {
        sdk_app_id: settings.sdk_app_id,
        keys: &settings.keys,
        ahead_max_s: settings.usersig_ahead_max.as_secs(),
    };
    let now = state.http.now().wall;
    let claims = state.verifier.borrow_mut().verify(now, app, caller, user_sig);
    let refusal = |fault| Failure::new(codes::of_fault(fault), fault.to_string());
    claims.map(|claims| claims.signed_at_s).map_err(refusal)
}

/// How long a home's word is good. A kick may take effect long after its request was given up.
const KICK_KNOWN: Duration = Duration::from_secs(1);

/// The Unix second of the administrator's last kick, 0 if there was none.
async fn kicked_at_s(state: &BackendState, caller: &UserId) -> Result<u64, Failure> {
    let before = state.kicks.borrow().get(caller).copied();
    let now = state.http.now().instant;
    if let Some((known, asked_at)) = before
        && now.since(asked_at) < KICK_KNOWN
    {
        return Ok(known);
    }
    let asked = state
        .http
        .pending
        .ask_home(RequestPurpose::Read, *caller, UserRequest::Inspect);
    let known = match asked.await.map_err(Failure::of_no_reply)? {
        ToHttp::Inspected(_, Ok(known)) => known.map_or(0, |known| known.kicked_at_s),
        // Status queries go on while the registry cannot be read.
        ToHttp::Inspected(_, Err(_)) => return Ok(before.map_or(0, |(known, _)| known)),
        ToHttp::Statuses(..) | ToHttp::Kicked(..) | ToHttp::Accounts(..) | ToHttp::Sent(..) => {
            unreachable!("an inspection is answered by what is known")
        }
    };
    let mut kicks = state.kicks.borrow_mut();
    // A kick that was noted since it was asked may be newer than the answer.
    let newer = kicks
        .get(caller)
        .filter(|(_, noted_at)| *noted_at >= now)
        .copied();
    let kicked = newer.map_or((known, now), |(noted, noted_at)| (noted.max(known), noted_at));
    kicks.insert(*caller, kicked);
    Ok(kicked.0)
}

/// This user was kicked. Of administrators it is noted until their home is asked again.
pub(super) fn kicked(state: &BackendState, user: &UserId) {
    if state.http.settings().administrators.contains(user) {
        let now = state.http.now();
        let kicked = (now.wall.seconds(), now.instant);
        state.kicks.borrow_mut().insert(*user, kicked);
    }
}
