//! What the operator can do: end one device's session, and have the configuration read again. Decides nothing: the user's
//! home and the reload handler do.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::base::ids::{DeviceId, InstanceId, Platform, UserId};
use crate::base::json::flag;
use crate::logic::delivery::{KickError, ToHttp};
use crate::services::http::admin::readers;
use crate::services::http::admin::reload::{
    ReloadAsked, ReloadCaller, ReloadError, ReloadMode, Reloaded, Touched,
};
use crate::services::http::admin::state::AdminState;
use crate::services::http::pending::RequestPurpose;
use crate::services::http::refusal::{JsonAnswer, JsonRefusal, json_response};
use crate::services::http::user_request::UserRequest;

/// Ends one device's session. UserSigs stay good: the device may log in again.
pub(super) async fn kick(state: &AdminState, body: &Value) -> JsonAnswer {
    let (user, device) = read_device(body)?;
    let ask = UserRequest::KickDevice(device);
    let asked = state.http.pending.ask_home(RequestPurpose::Change, user, ask);
    match asked.await.map_err(JsonRefusal::of_no_reply)? {
        ToHttp::Kicked(_, Ok(())) => Ok(json_response(&json!({ "ended": true }))),
        ToHttp::Kicked(_, Err(error)) => Err(kick_refusal(error)),
        ToHttp::Statuses(..) | ToHttp::Inspected(..) | ToHttp::Accounts(..) | ToHttp::Sent(..) => {
            unreachable!("a kick is answered by its outcome")
        }
    }
}

fn kick_refusal(error: KickError) -> JsonRefusal {
    match error {
        KickError::UnknownAccount => JsonRefusal::new(StatusCode::NOT_FOUND, "there is no such account"),
        KickError::UnknownDevice => JsonRefusal::new(StatusCode::NOT_FOUND, "this device has no session"),
        KickError::Busy => JsonRefusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too much waits for this user, or the registry cannot be asked: try again",
        ),
    }
}

fn read_device(body: &Value) -> Result<(UserId, DeviceId), JsonRefusal> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let wrong = |what| JsonRefusal::new(StatusCode::BAD_REQUEST, what);
    let user = text("user").and_then(|user| UserId::new(user.as_bytes()).ok());
    let platform = text("platform").and_then(|name| {
        Platform::ALL
            .into_iter()
            .find(|platform| platform.name().eq_ignore_ascii_case(name))
    });
    let instance = text("instance").and_then(|number| number.parse::<InstanceId>().ok());
    Ok((
        user.ok_or_else(|| wrong("user is missing or no UserID"))?,
        DeviceId {
            platform: platform.ok_or_else(|| {
                wrong("platform is missing, or none of Android, iPhone, iPad, Windows, Mac, Linux, Web")
            })?,
            instance: instance.ok_or_else(|| {
                wrong("instance is missing, or not a string with a number above 0, as in /v1/users/<id>")
            })?,
        },
    ))
}

/// Has the configuration read again.
pub(super) async fn reload(state: &AdminState, body: &Value) -> JsonAnswer {
    let wrong = || JsonRefusal::new(StatusCode::BAD_REQUEST, "dry_run is not true or false");
    let dry = body.get("dry_run").map(|dry| flag(dry).ok_or_else(wrong));
    let mode = if dry.transpose()?.unwrap_or(false) {
        ReloadMode::DryRun
    } else {
        ReloadMode::Take
    };
    let asked = ReloadAsked {
        mode,
        caller: read_caller(body)?,
    };
    let place = Arc::clone(&state.reloads).try_acquire_owned();
    let place = place.map_err(|_| reload_refusal(ReloadError::Busy))?;
    let handler = Arc::clone(&state.reload);
    let outcome = readers::off_the_thread(move || {
        let _place = place;
        handler.reload(&asked)
    });
    let outcome = outcome.await.unwrap_or(Err(ReloadError::Broken));
    Ok(json_response(&told(mode, &outcome.map_err(reload_refusal)?)))
}

fn read_caller(body: &Value) -> Result<Option<ReloadCaller>, JsonRefusal> {
    let settings = |value: &Value| -> Option<Vec<(String, String)>> {
        let mut members = value.as_object()?.iter();
        members.try_fold(Vec::new(), |mut all, (key, value)| {
            all.push((key.clone(), value.as_str()?.to_owned()));
            Some(all)
        })
    };
    let Some(caller) = body.get("caller") else {
        return Ok(None);
    };
    let caller = settings(&caller["of_file"])
        .zip(settings(&caller["own"]))
        .map(|(of_file, own)| ReloadCaller {
            file: caller["file"].as_str().map(str::to_owned),
            of_file,
            own,
        });
    let wrong = || {
        let text = "caller is not { file, of_file: { setting: TOML }, own: { setting: TOML } }";
        JsonRefusal::new(StatusCode::BAD_REQUEST, text)
    };
    caller.ok_or_else(wrong).map(Some)
}

fn told(mode: ReloadMode, reloaded: &Reloaded) -> Value {
    let changes = reloaded.changes.iter();
    let changes = changes.map(|(setting, effect)| json!({ "setting": setting, "counts": effect }));
    let touched = match reloaded.touched {
        Touched::NotAsked => Value::Null,
        Touched::Unknown => json!("unknown: the registry keeps nothing that can be read"),
        Touched::Live { users, devices } => json!({ "users": users, "devices": devices }),
    };
    json!({
        "dry_run": mode == ReloadMode::DryRun,
        "changes": changes.collect::<Vec<_>>(),
        "touched": touched,
    })
}

fn reload_refusal(error: ReloadError) -> JsonRefusal {
    let text = error.to_string();
    match error {
        ReloadError::Problems(problems) => {
            JsonRefusal::new(StatusCode::UNPROCESSABLE_ENTITY, text).and("problems", problems)
        }
        ReloadError::Differs(problems) => {
            JsonRefusal::new(StatusCode::CONFLICT, text).and("problems", problems)
        }
        ReloadError::Busy | ReloadError::Stopping | ReloadError::Unread(_) => {
            JsonRefusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
        }
        ReloadError::Broken => JsonRefusal::new(StatusCode::INTERNAL_SERVER_ERROR, text),
    }
}
