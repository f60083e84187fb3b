//! What a user's home knows of the user, as JSON. It only shows.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::logic::delivery::ToHttp;
use crate::logic::inspection::{DeviceInspection, Inspection};
use crate::logic::record::Status;
use crate::services::http::admin::state::AdminState;
use crate::services::http::pending::RequestPurpose;
use crate::services::http::refusal::{JsonAnswer, JsonRefusal, json_response};
use crate::services::http::server::url;
use crate::services::http::user_request::UserRequest;

/// All that is known of the user of a path.
pub(super) async fn inspect(state: &AdminState, name: &str) -> JsonAnswer {
    let user = read_user(name)?;
    let asked = state
        .http
        .pending
        .ask_home(RequestPurpose::Read, user, UserRequest::Inspect);
    match asked.await.map_err(JsonRefusal::of_no_reply)? {
        ToHttp::Inspected(_, Ok(Some(known))) => Ok(json_response(&user_json(&known))),
        ToHttp::Inspected(_, Ok(None)) => Err(JsonRefusal::new(
            StatusCode::NOT_FOUND,
            "there is no such account",
        )),
        ToHttp::Inspected(_, Err(unread)) => Err(JsonRefusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            unread.to_string(),
        )),
        ToHttp::Statuses(..) | ToHttp::Kicked(..) | ToHttp::Accounts(..) | ToHttp::Sent(..) => {
            unreachable!("an inspection is answered by what is known")
        }
    }
}

/// The user that a path names.
pub(super) fn read_user(name: &str) -> Result<UserId, JsonRefusal> {
    let name = url::decode(name);
    let user = name.and_then(|name| UserId::new(name.as_bytes()).ok());
    user.ok_or_else(|| JsonRefusal::new(StatusCode::BAD_REQUEST, "this is not a UserID"))
}

fn user_json(known: &Inspection) -> Value {
    let status = known
        .devices
        .iter()
        .map(|device| device.status)
        .max()
        .unwrap_or(Status::Offline);
    json!({
        "user": known.user.as_str(),
        "status": status.name(),
        "change": known.change.0,
        "kicked_at": (known.kicked_at_s > 0).then(|| Timestamp(known.kicked_at_s * 1_000).rfc3339()),
        "devices": known.devices.iter().map(device_json).collect::<Vec<_>>(),
    })
}

fn device_json(known: &DeviceInspection) -> Value {
    let link = known.link.as_ref();
    json!({
        "platform": known.device.platform.name(),
        // A string: many readers of JSON keep only 53 bits of a number.
        "instance": known.device.instance.to_string(),
        "status": known.status.name(),
        "session": known.session.0,
        "login_at": known.login_at.rfc3339(),
        "heard_at": known.heard_at.rfc3339(),
        // Without a connection: when its status ends unless it comes back.
        "until": known.until.map(Timestamp::rfc3339),
        // Of its connection: null while it has none.
        "address": link.map(|link| link.address.to_canonical().to_string()),
        "transport": link.map(|link| link.transport.name()),
        "sdk_version": link.map(|link| &link.sdk_version),
        "app_version": link.map(|link| &link.app_version),
        "background": link.map(|link| link.background),
    })
}
