//! The operator's interface: which page is asked for, and how it is answered. Knows no user.

use std::borrow::Cow;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json as object};

use super::body::BodyFault;
use super::callbacks::Deed;
use super::failures::Limit;
use super::gate::NoAnswer;
use super::guard::Denied;
use super::peer::Peer;
use super::{Desk, callbacks, commands, encoding, guard, history, inspect, metrics, sizes};
use crate::base::json;

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
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// With a text for people.
    pub(super) fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        let body = object!({ "error": text.into() });
        Self {
            status,
            body,
            header: None,
        }
    }

    /// With something more for programs.
    pub(super) fn and(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.body[name] = value.into();
        self
    }

    /// With a header that says what would do.
    fn with(mut self, header: (HeaderName, HeaderValue)) -> Self {
        self.header = Some(header);
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

/// Pages whose path names nobody.
const FIXED: [(&str, Page<'static>); 11] = [
    ("/healthz", Page::Health),
    ("/readyz", Page::Readiness),
    ("/metrics", Page::Metrics),
    ("/v1/changes", Page::Changes),
    ("/v1/users", Page::Users),
    ("/v1/kick", Page::Kick),
    ("/v1/reload", Page::Reload),
    ("/v1/callbacks", Page::Callbacks),
    ("/v1/callbacks/dead", Page::Dead),
    ("/v1/callbacks/replay", Page::Replay),
    ("/v1/callbacks/drop", Page::Drop),
];

/// Before the UserID in the path of a user's pages.
const USER: &str = "/v1/users/";

/// Behind it in the path of the user's changes.
const CHANGES_OF: &str = "/changes";

impl<'a> Page<'a> {
    fn of_path(path: &'a str) -> Option<Self> {
        let mut fixed = FIXED.iter();
        if let Some((_, page)) = fixed.find(|(known, _)| *known == path) {
            return Some(*page);
        }
        let name = path.strip_prefix(USER)?;
        Some(match name.strip_suffix(CHANGES_OF) {
            Some(name) => Self::ChangesOf(name),
            None => Self::User(name),
        })
    }

    /// What shows is got; what does something is posted.
    fn access(self) -> Access {
        match self {
            Self::Health | Self::Readiness => Access::Anyone,
            Self::Metrics
            | Self::Changes
            | Self::Users
            | Self::User(_)
            | Self::ChangesOf(_)
            | Self::Callbacks
            | Self::Dead => Access::Get,
            Self::Kick | Self::Reload | Self::Replay | Self::Drop => Access::Post,
        }
    }
}

/// The paths of all pages, of users' with this UserID.
#[cfg(test)]
pub(super) fn paths(user: &str) -> impl Iterator<Item = String> {
    let fixed = FIXED.iter().map(|(path, _)| (*path).to_owned());
    fixed.chain(["", CHANGES_OF].map(|behind| format!("{USER}{user}{behind}")))
}

/// How a page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// By GET or HEAD, and by anyone: probes of load balancers hold no token, and some name no host.
    Anyone,
    /// By GET or HEAD.
    Get,
    /// By POST.
    Post,
    /// It is not there: by any of them.
    Nothing,
}

impl Access {
    fn check(self, method: &Method) -> Result<(), Refusal> {
        let (methods, allowed): (&[Method], _) = match self {
            Self::Anyone | Self::Get => (&[Method::GET, Method::HEAD], "GET, HEAD"),
            Self::Post => (&[Method::POST], "POST"),
            Self::Nothing => (&[Method::GET, Method::HEAD, Method::POST], "GET, HEAD, POST"),
        };
        if methods.contains(method) {
            return Ok(());
        }
        let text = format!("use {allowed}");
        Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text)
            .with((ALLOW, HeaderValue::from_static(allowed))))
    }
}

/// The answer to an admin request.
pub(super) async fn answer(desk: &Desk, peer: &Peer, head: &Parts, body: Incoming) -> Response<Full<Bytes>> {
    match route(desk, peer, head, body).await {
        Ok(response) => response,
        Err(refusal) => {
            let mut response = response(refusal.status, JSON, refusal.body.to_string());
            response.headers_mut().extend(refusal.header);
            response
        }
    }
}

async fn route(desk: &Desk, peer: &Peer, head: &Parts, body: Incoming) -> Answer {
    let page = Page::of_path(head.uri.path());
    page.map_or(Access::Nothing, Page::access).check(&head.method)?;
    match page {
        Some(Page::Health) => return Ok(response(StatusCode::OK, TEXT, "ok\n")),
        Some(Page::Readiness) => return Ok(health_of(desk.ready())),
        Some(_) | None => {}
    }
    if let Err(denied) = guard::admit(&desk.settings(), peer, head) {
        return Err(refusal_of(desk, peer, denied).await);
    }
    peer.place.proven();
    if !encoding::is_plain(&head.headers) {
        let refusal = Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, encoding::SEND_PLAIN);
        return Err(refusal.with(encoding::TAKEN));
    }
    let page = page.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "there is no such page"))?;
    let busy = |_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests are open");
    let _request = desk.admin_requests.try_acquire().map_err(busy)?;
    serve(desk, peer, page, head.uri.query().unwrap_or(""), body).await
}

async fn serve(desk: &Desk, peer: &Peer, page: Page<'_>, query: &str, body: Incoming) -> Answer {
    match page {
        Page::Health | Page::Readiness => unreachable!("anyone may see them, so they were answered before"),
        Page::Metrics => Ok(response(StatusCode::OK, METRICS, metrics::text(desk))),
        Page::Changes => history::changes(desk, peer, query).await,
        Page::Users => history::users(desk, query).await,
        Page::User(name) => inspect::inspect(desk, name).await,
        Page::ChangesOf(name) => history::changes_of(desk, name, query).await,
        Page::Kick => commands::kick(desk, &read(desk, body, sizes::ORDINARY).await?).await,
        Page::Reload => commands::reload(desk, &read(desk, body, sizes::ORDINARY).await?).await,
        Page::Callbacks => callbacks::standing(desk).await,
        Page::Dead => callbacks::dead(desk, query).await,
        Page::Replay => callbacks::deal(desk, Deed::Replay, &read(desk, body, sizes::CURSORS).await?).await,
        Page::Drop => callbacks::drop(desk, &read(desk, body, sizes::CURSORS).await?).await,
    }
}

/// What is told to someone who is not let in, which is less when it is one too many of its network.
async fn refusal_of(desk: &Desk, peer: &Peer, denied: Denied) -> Refusal {
    let limit = match denied.reason {
        Some(reason) => desk.count_failure(peer, reason).await,
        None => Limit::Below,
    };
    let refusal = Refusal::new(denied.status, denied.text);
    match (limit, denied.status) {
        (Limit::Over, _) => {
            let text = format!(
                "too many requests from this address were refused, this one since: {}",
                denied.text
            );
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, text)
                .with((RETRY_AFTER, HeaderValue::from_static("60")))
        }
        (Limit::Below, StatusCode::UNAUTHORIZED) => {
            let bearer = HeaderValue::from_static("Bearer realm=\"holdfast\"");
            refusal.with((WWW_AUTHENTICATE, bearer))
        }
        (Limit::Below, _) => refusal,
    }
}

/// A command's body.
async fn read(desk: &Desk, body: Incoming, bytes_max: usize) -> Result<Value, Refusal> {
    let body = desk.bodies.read(body, bytes_max).await.map_err(unread)?;
    json::read(&body.bytes)
        .map_err(|fault| Refusal::new(StatusCode::BAD_REQUEST, format!("the body: {fault}")))
}

fn unread(fault: BodyFault) -> Refusal {
    match fault {
        BodyFault::TooLarge(bytes_max) => {
            let text = format!("the body has more than {bytes_max} bytes");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
        }
        BodyFault::Late => Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
        BodyFault::NoRoom => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too much is being sent at once: try again",
        ),
        BodyFault::Broken => Refusal::new(StatusCode::BAD_REQUEST, "the body is not what its headers say"),
    }
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

fn health_of(ready: Result<(), String>) -> Response<Full<Bytes>> {
    match ready {
        Ok(()) => response(StatusCode::OK, TEXT, "ready\n"),
        Err(why) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
    }
}
