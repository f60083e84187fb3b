//! Who calls the REST interface: the app, an administrator of it, and the UserSig that proves it. A kick of an
//! administrator ends the UserSigs that were made so far here as at a login.

use std::time::Duration;

use super::codes::{self, Failure};
use super::failures::{Limit, Reason};
use super::gate::Purpose;
use super::openim::no_answer;
use super::peer::Peer;
use super::{Desk, Settings, url};
use crate::base::ids::UserId;
use crate::logic::letter::{ToFront, ToShard};
use crate::protocol::usersig::App;

/// A caller that may ask for nothing.
enum Refused {
    /// For who it is.
    For(Reason, Failure),
    /// It cannot be known now.
    Unknown(Failure),
}

/// Whether the caller whom the URL's query names may ask for anything. A refusal waits, and says less to programs, when
/// it is one too many of its network.
pub(super) async fn check(desk: &Desk, peer: &Peer, query: &str) -> Result<(), Failure> {
    let (reason, failure) = match find(desk, query).await {
        Ok(()) => {
            peer.place.proven();
            return Ok(());
        }
        Err(Refused::Unknown(failure)) => return Err(failure),
        Err(Refused::For(reason, failure)) => (reason, failure),
    };
    match desk.count_failure(peer, reason).await {
        Limit::Below => Err(failure),
        Limit::Over => {
            let text = format!(
                "too many requests from this address were refused, this one since {}",
                failure.text
            );
            Err(Failure::new(codes::TOO_FREQUENT, text))
        }
    }
}

async fn find(desk: &Desk, query: &str) -> Result<(), Refused> {
    let refuse = |reason, code, text| Refused::For(reason, Failure::new(code, text));
    let parameter = |name| {
        let undecodable = |_| Failure::new(codes::URL_INVALID, format!("{name} cannot be decoded"));
        let value = url::parameter(query, name).map_err(undecodable);
        value.map_err(|failure| Refused::For(Reason::Caller, failure))
    };
    let app = parameter("sdkappid")?.filter(|app| !app.is_empty());
    let missing = || refuse(Reason::Caller, codes::SDK_APP_ID_MISSING, "sdkappid is missing");
    let app = app.ok_or_else(missing)?;
    let settings = desk.settings();
    if app.parse() != Ok(settings.sdk_app_id) {
        let text = "sdkappid is not the one of this gateway's app";
        return Err(refuse(Reason::Caller, codes::SDK_APP_ID_INVALID, text));
    }
    let caller = parameter("identifier")?.and_then(|name| UserId::new(name.as_bytes()).ok());
    let no_caller = || {
        let text = "identifier is missing or no UserID";
        refuse(Reason::Caller, codes::IDENTIFIER_INVALID, text)
    };
    let caller = caller.ok_or_else(no_caller)?;
    let user_sig = parameter("usersig")?.unwrap_or_default();
    let signed_at_s = check_user_sig(desk, &settings, &caller, &user_sig);
    let signed_at_s = signed_at_s.map_err(|failure| Refused::For(Reason::UserSig, failure))?;
    if !settings.administrators.contains(&caller) {
        let text = "identifier is not an administrator of the app";
        return Err(refuse(Reason::NotAdministrator, codes::NOT_ADMINISTRATOR, text));
    }
    if signed_at_s <= kicked_at_s(desk, &caller).await.map_err(Refused::Unknown)? {
        let text =
            "the UserSig was made before the administrator was kicked: sign again, one second after the kick";
        return Err(refuse(Reason::UserSig, codes::USERSIG_KICKED, text));
    }
    Ok(())
}

/// Gives the Unix second in which the UserSig was made.
fn check_user_sig(desk: &Desk, settings: &Settings, caller: &UserId, user_sig: &str) -> Result<u64, Failure> {
    let app = App {
        sdk_app_id: settings.sdk_app_id,
        keys: &settings.keys,
        ahead_max_s: settings.usersig_ahead_max.as_secs(),
    };
    let now = desk.now().wall;
    let claims = desk.verifier.borrow_mut().verify(now, app, caller, user_sig);
    let refusal = |fault| Failure::new(codes::of_fault(fault), fault.to_string());
    claims.map(|claims| claims.signed_at_s).map_err(refusal)
}

/// How long a home's word is good. A kick may take effect long after its request was given up.
const KICK_KNOWN: Duration = Duration::from_secs(1);

/// The Unix second of the administrator's last kick, 0 if there was none.
async fn kicked_at_s(desk: &Desk, caller: &UserId) -> Result<u64, Failure> {
    let before = desk.kicks.borrow().get(caller).copied();
    let now = desk.now().instant;
    if let Some((known, asked_at)) = before
        && now.since(asked_at) < KICK_KNOWN
    {
        return Ok(known);
    }
    let home = caller.home(desk.gate.shards);
    let letter = |request| vec![(home, ToShard::Inspect(request, *caller))];
    let answer = desk
        .gate
        .ask(Purpose::Look, letter)
        .await
        .map_err(no_answer)?
        .pop();
    let known = match answer {
        Some(ToFront::Inspected(_, Ok(known))) => known.map_or(0, |known| known.kicked_at_s),
        // Status queries go on while the registry cannot be read.
        Some(ToFront::Inspected(_, Err(_))) => return Ok(before.map_or(0, |(known, _)| known)),
        Some(ToFront::Statuses(..) | ToFront::Kicked(..) | ToFront::Accounts(..)) | None => {
            unreachable!("an inspection is answered by what is known")
        }
    };
    let mut kicks = desk.kicks.borrow_mut();
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
pub(super) fn kicked(desk: &Desk, user: &UserId) {
    if desk.settings().administrators.contains(user) {
        let now = desk.now();
        let kicked = (now.wall.seconds(), now.instant);
        desk.kicks.borrow_mut().insert(*user, kicked);
    }
}
