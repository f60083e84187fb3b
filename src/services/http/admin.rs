//! The operator's interface: which page is asked for, and how it is answered. Knows no user.

use std::borrow::Cow;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::body::{self, BodyFault};
use super::callbacks::Deed;
use super::gate::NoAnswer;
use super::{Desk, callbacks, commands, guard, history, inspect, metrics};

const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
/// The content type of the Prometheus text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a page makes of a request.
pub(super) type Answer = Result<Response<Full<Bytes>>, Refusal>;

/// A request that is not served.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    /// With a text for people.
    pub(super) fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        let body = json!({ "error": text.into() });
        Self { status, body }
    }

    /// With something more for programs.
    pub(super) fn and(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.body[name] = value.into();
        self
    }
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page<'a> {
    Health,
    Readiness,
    Metrics,
    Changes,
    Users,
    User(&'a str),
    ChangesOf(&'a str),
    Kick,
    Reload,
    Callbacks,
    Dead,
    Replay,
    Drop,
}

impl<'a> Page<'a> {
    fn of_path(path: &'a str) -> Option<Self> {
        Some(match path {
            "/healthz" => Self::Health,
            "/readyz" => Self::Readiness,
            "/metrics" => Self::Metrics,
            "/v1/changes" => Self::Changes,
            "/v1/users" => Self::Users,
            "/v1/kick" => Self::Kick,
            "/v1/reload" => Self::Reload,
            "/v1/callbacks" => Self::Callbacks,
            "/v1/callbacks/dead" => Self::Dead,
            "/v1/callbacks/replay" => Self::Replay,
            "/v1/callbacks/drop" => Self::Drop,
            path => {
                let name = path.strip_prefix("/v1/users/")?;
                match name.strip_suffix("/changes") {
                    Some(name) => Self::ChangesOf(name),
                    None => Self::User(name),
                }
            }
        })
    }

    /// What shows is got; what does something is posted.
    fn method(self) -> Method {
        match self {
            Self::Health
            | Self::Readiness
            | Self::Metrics
            | Self::Changes
            | Self::Users
            | Self::User(_)
            | Self::ChangesOf(_)
            | Self::Callbacks
            | Self::Dead => Method::GET,
            Self::Kick | Self::Reload | Self::Replay | Self::Drop => Method::POST,
        }
    }
}

/// The answer to an admin request.
pub(super) async fn answer(desk: &Desk, head: &Parts, body: Incoming) -> Response<Full<Bytes>> {
    match route(desk, head, body).await {
        Ok(response) => response,
        Err(refusal) => {
            let mut response = response(refusal.status, JSON, refusal.body.to_string());
            if let Some(page) = Page::of_path(head.uri.path())
                && refusal.status == StatusCode::METHOD_NOT_ALLOWED
            {
                let method = HeaderValue::from_str(page.method().as_str()).expect("a method is plain text");
                response.headers_mut().insert(ALLOW, method);
            }
            response
        }
    }
}

async fn route(desk: &Desk, head: &Parts, body: Incoming) -> Answer {
    guard::admit(&desk.settings(), head)?;
    let no_page = || Refusal::new(StatusCode::NOT_FOUND, "there is no such page");
    let page = Page::of_path(head.uri.path()).ok_or_else(no_page)?;
    if head.method != page.method() {
        let text = format!("use {}", page.method());
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text));
    }
    let query = head.uri.query().unwrap_or("");
    match page {
        Page::Health => Ok(response(StatusCode::OK, TEXT, "ok\n")),
        Page::Readiness => Ok(readiness(desk)),
        Page::Metrics => Ok(response(StatusCode::OK, METRICS, metrics::text(desk))),
        Page::Changes => history::changes(desk, query).await,
        Page::Users => history::users(desk, query).await,
        Page::User(name) => inspect::inspect(desk, name).await,
        Page::ChangesOf(name) => history::changes_of(desk, name, query).await,
        Page::Kick => commands::kick(desk, &read(desk, body).await?).await,
        Page::Reload => commands::reload(desk, &read(desk, body).await?).await,
        Page::Callbacks => callbacks::standing(desk).await,
        Page::Dead => callbacks::dead(desk, query).await,
        Page::Replay => callbacks::deal(desk, Deed::Replay, &read(desk, body).await?).await,
        Page::Drop => callbacks::drop(desk, &read(desk, body).await?).await,
    }
}

/// A command's body.
async fn read(desk: &Desk, body: Incoming) -> Result<Value, Refusal> {
    let body = body::read(body, &desk.limits).await;
    let body = body.map_err(|fault| match fault {
        BodyFault::TooLarge => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
        BodyFault::Late => Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
        BodyFault::Broken => Refusal::new(StatusCode::BAD_REQUEST, "the body is not what its headers say"),
    })?;
    serde_json::from_slice(&body).map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the body is not JSON"))
}

/// What is said to a request that no shard answered.
pub(super) fn no_answer(why: NoAnswer) -> Refusal {
    match why {
        NoAnswer::Full => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests are open"),
        NoAnswer::Late => Refusal::new(StatusCode::GATEWAY_TIMEOUT, "no answer in time"),
    }
}

/// A good answer of one JSON object.
pub(super) fn json_response(value: &Value) -> Response<Full<Bytes>> {
    response(StatusCode::OK, JSON, value.to_string())
}

/// An answer of any kind.
pub(super) fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn readiness(desk: &Desk) -> Response<Full<Bytes>> {
    let retrying = desk.counters.sum("commits_retrying_now");
    if !desk.serving.is_on() {
        response(
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            "the gateway is starting or stopping\n",
        )
    } else if let Some(since) = desk.vitals.failing_since() {
        let text = format!("the registry can record nothing since {}\n", inspect::time(since));
        response(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
    } else if retrying > 0 {
        let text = format!("the registry cannot take the changes of {retrying} users\n");
        response(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
    } else {
        response(StatusCode::OK, TEXT, "ready\n")
    }
}
