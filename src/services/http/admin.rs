//! The operator's interface: health, metrics, and all that is known of a user. It only shows. A web page that a person
//! at this machine opens could send requests here, so foreign hosts and origins are refused, also on loopback.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;

use super::gate::NoAnswer;
use super::{Desk, Settings, Token, metrics, url};
use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::logic::letter::{DeviceInspection, Inspection, ToFront, ToShard};
use crate::logic::record::Status;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// The content type of the Prometheus text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A request that is not served.
struct Refusal(StatusCode, &'static str);

/// The answer to an admin request.
pub(super) async fn answer(desk: &Desk, head: &Parts) -> Response<Full<Bytes>> {
    if let Err(Refusal(status, text)) = admit(&desk.settings, head) {
        return response(status, JSON, error(text));
    }
    match head.uri.path() {
        "/healthz" => response(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => readiness(desk),
        "/metrics" => response(StatusCode::OK, METRICS, metrics::text(desk)),
        path => match path.strip_prefix("/v1/users/") {
            Some(name) => inspect(desk, name).await,
            None => response(StatusCode::NOT_FOUND, JSON, error("there is no such page")),
        },
    }
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn error(text: &str) -> String {
    json!({ "error": text }).to_string()
}

fn admit(settings: &Settings, head: &Parts) -> Result<(), Refusal> {
    check_hosts(settings, head)?;
    if let Some(token) = &settings.admin_token
        && !holds(&head.headers, token)
    {
        return Err(Refusal(
            StatusCode::UNAUTHORIZED,
            "send the header `Authorization: Bearer <admin.token>`",
        ));
    }
    if head.method == Method::GET {
        return Ok(());
    }
    let content_type = text(&head.headers, &CONTENT_TYPE).unwrap_or("");
    let content_type = content_type.split(';').next().unwrap_or("").trim();
    if !content_type.eq_ignore_ascii_case(JSON) {
        let text = "send the header `Content-Type: application/json`";
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "use GET"))
}

/// Refuses names that are not ours: a page can have its own name resolve to this address.
fn check_hosts(settings: &Settings, head: &Parts) -> Result<(), Refusal> {
    let host = text(&head.headers, &HOST).unwrap_or("");
    let authority = head
        .uri
        .authority()
        .map_or(host, hyper::http::uri::Authority::as_str);
    if !is_ours(settings, host) || !is_ours(settings, authority) {
        return Err(Refusal(
            StatusCode::FORBIDDEN,
            "the Host is not one of admin.hosts",
        ));
    }
    if !head.headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let origin = text(&head.headers, &ORIGIN).and_then(|origin| origin.split_once("://"));
    match origin {
        Some((_, host)) if is_ours(settings, host) => Ok(()),
        Some(_) | None => Err(Refusal(
            StatusCode::FORBIDDEN,
            "the Origin is not one of admin.hosts",
        )),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a `host[:port]` is of loopback or configured.
fn is_ours(settings: &Settings, host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || settings
            .admin_hosts
            .iter()
            .any(|ours| ours.eq_ignore_ascii_case(name))
}

/// Whether the request holds the token. Compared by MACs, so that the time tells nothing of it.
fn holds(headers: &HeaderMap, token: &Token) -> bool {
    let sent = text(headers, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let mac = |token: &str| {
        let mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
        mac.chain_update(b"holdfast admin")
    };
    sent.is_some_and(|sent| mac(&token.0).verify(&mac(sent).finalize().into_bytes()).is_ok())
}

fn readiness(desk: &Desk) -> Response<Full<Bytes>> {
    let retrying = desk.counters.sum("commits_retrying_now");
    if !desk.serving.is_on() {
        response(
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            "the gateway is starting or stopping\n",
        )
    } else if retrying > 0 {
        let text = format!("the registry cannot take the changes of {retrying} users\n");
        response(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
    } else {
        response(StatusCode::OK, TEXT, "ready\n")
    }
}

async fn inspect(desk: &Desk, name: &str) -> Response<Full<Bytes>> {
    let name = url::decode(name, url::Plus::Itself);
    let Some(user) = name.and_then(|name| UserId::new(name.as_bytes()).ok()) else {
        return response(StatusCode::BAD_REQUEST, JSON, error("this is not a UserID"));
    };
    let home = user.home(desk.gate.shards);
    let answers = desk
        .gate
        .ask(|request| vec![(home, ToShard::Inspect(request, user))])
        .await;
    match answers.map(|mut answers| answers.pop()) {
        Ok(Some(ToFront::Inspected(_, Ok(Some(known))))) => {
            response(StatusCode::OK, JSON, user_json(&known).to_string())
        }
        Ok(Some(ToFront::Inspected(_, Ok(None)))) => {
            response(StatusCode::NOT_FOUND, JSON, error("there is no such account"))
        }
        Ok(Some(ToFront::Inspected(_, Err(unread)))) => {
            response(StatusCode::SERVICE_UNAVAILABLE, JSON, error(&unread.to_string()))
        }
        Ok(Some(ToFront::Statuses(..) | ToFront::Kicked(..) | ToFront::Accounts(..)) | None) => {
            unreachable!("an inspection is answered by what is known")
        }
        Err(NoAnswer::Full) => response(
            StatusCode::SERVICE_UNAVAILABLE,
            JSON,
            error("too many requests are open"),
        ),
        Err(NoAnswer::Late) => response(StatusCode::GATEWAY_TIMEOUT, JSON, error("no answer in time")),
    }
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
        "login_at": time(known.login_at),
        "heard_at": time(known.heard_at),
        // Of its connection: null while it has none.
        "address": link.map(|link| link.address.to_canonical().to_string()),
        "transport": link.map(|link| link.transport.name()),
        "sdk_version": link.map(|link| &link.sdk_version),
        "app_version": link.map(|link| &link.app_version),
        "background": link.map(|link| link.background),
    })
}

fn time(at: Timestamp) -> String {
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + Duration::from_millis(at.0)).to_string()
}
