//! The operator's interface: which page is asked for, and how it is answered. Knows no user.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::Value;

use crate::base::json;
use crate::services::http::admin::callbacks::{self, Deed};
use crate::services::http::admin::cluster;
use crate::services::http::admin::commands;
use crate::services::http::admin::history;
use crate::services::http::admin::inspect;
use crate::services::http::admin::lanes;
use crate::services::http::admin::page::PAGE;
use crate::services::http::admin::state::AdminState;
use crate::services::http::admin::user_list;
use crate::services::http::metrics;
use crate::services::http::refusal::{JsonAnswer, JsonRefusal, response};
use crate::services::http::server::access::{self, Denied};
use crate::services::http::server::body::BodyFault;
use crate::services::http::server::encoding;
use crate::services::http::server::peer::HttpPeer;
use crate::services::http::server::throttle::ThrottleVerdict;
use crate::services::http::sizes;

const TEXT: &str = "text/plain; charset=utf-8";
/// The content type of the Prometheus text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdminPage<'a> {
    Overview,
    Health,
    Readiness,
    Metrics,
    Changes,
    Lanes,
    Users,
    User(&'a str),
    ChangesOf(&'a str),
    Kick,
    Reload,
    Cluster,
    Drain,
    AcceptLoss,
    Callbacks,
    Dead,
    Replay,
    Drop,
}

/// Pages whose path names nobody.
pub(crate) const FIXED: [(&str, AdminPage<'static>); 16] = [
    ("/", AdminPage::Overview),
    ("/healthz", AdminPage::Health),
    ("/readyz", AdminPage::Readiness),
    ("/metrics", AdminPage::Metrics),
    ("/v1/changes", AdminPage::Changes),
    ("/v1/lanes", AdminPage::Lanes),
    ("/v1/users", AdminPage::Users),
    ("/v1/kick", AdminPage::Kick),
    ("/v1/reload", AdminPage::Reload),
    ("/v1/cluster", AdminPage::Cluster),
    ("/v1/cluster/drain", AdminPage::Drain),
    ("/v1/cluster/accept-loss", AdminPage::AcceptLoss),
    ("/v1/callbacks", AdminPage::Callbacks),
    ("/v1/callbacks/dead", AdminPage::Dead),
    ("/v1/callbacks/replay", AdminPage::Replay),
    ("/v1/callbacks/drop", AdminPage::Drop),
];

/// Before the UserID in the path of a user's pages.
pub(crate) const USER: &str = "/v1/users/";

/// Behind it in the path of the user's changes.
pub(crate) const CHANGES_OF: &str = "/changes";

impl<'a> AdminPage<'a> {
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
    fn access(self) -> PageAccess {
        match self {
            Self::Health | Self::Readiness => PageAccess::Anyone,
            Self::Overview => PageAccess::Unproven,
            Self::Metrics
            | Self::Changes
            | Self::Lanes
            | Self::Users
            | Self::User(_)
            | Self::ChangesOf(_)
            | Self::Cluster
            | Self::Callbacks
            | Self::Dead => PageAccess::Get,
            Self::Kick | Self::Reload | Self::Drain | Self::AcceptLoss | Self::Replay | Self::Drop => {
                PageAccess::Post
            }
        }
    }
}

/// How a page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageAccess {
    /// By GET or HEAD, and by anyone: probes of load balancers hold no token, and some name no host.
    Anyone,
    /// By GET or HEAD, and without a token: it tells nothing. The page for browsers asks its reader for the token.
    Unproven,
    /// By GET or HEAD.
    Get,
    /// By POST.
    Post,
    /// It is not there: by any of them.
    Nothing,
}

impl PageAccess {
    fn check(self, method: &Method) -> Result<(), JsonRefusal> {
        let (methods, allowed): (&[Method], _) = match self {
            Self::Anyone | Self::Unproven | Self::Get => (&[Method::GET, Method::HEAD], "GET, HEAD"),
            Self::Post => (&[Method::POST], "POST"),
            Self::Nothing => (&[Method::GET, Method::HEAD, Method::POST], "GET, HEAD, POST"),
        };
        if methods.contains(method) {
            return Ok(());
        }
        let text = format!("use {allowed}");
        Err(JsonRefusal::new(StatusCode::METHOD_NOT_ALLOWED, text)
            .with((ALLOW, HeaderValue::from_static(allowed))))
    }
}

/// The answer to an admin request.
pub(crate) async fn answer(
    state: &AdminState,
    peer: &HttpPeer,
    head: &Parts,
    body: Incoming,
) -> Response<Full<Bytes>> {
    match route(state, peer, head, body).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn route(state: &AdminState, peer: &HttpPeer, head: &Parts, body: Incoming) -> JsonAnswer {
    let page = AdminPage::of_path(head.uri.path());
    page.map_or(PageAccess::Nothing, AdminPage::access)
        .check(&head.method)?;
    match page {
        Some(AdminPage::Health) => return Ok(response(StatusCode::OK, TEXT, "ok\n")),
        Some(AdminPage::Readiness) => return Ok(health_of(state.http.ready())),
        Some(AdminPage::Overview) => {
            if let Err(denied) = access::admit_unproven(&state.http.settings(), peer, head) {
                return Err(refusal_of(state, peer, denied).await);
            }
            return Ok(PAGE.answer(&head.headers));
        }
        Some(_) | None => {}
    }
    if let Err(denied) = access::admit(&state.http.settings(), peer, head) {
        return Err(refusal_of(state, peer, denied).await);
    }
    peer.slot.proven();
    if !encoding::is_plain(&head.headers) {
        let refusal = JsonRefusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, encoding::SEND_PLAIN);
        return Err(refusal.with(encoding::TAKEN));
    }
    let page = page.ok_or_else(|| JsonRefusal::new(StatusCode::NOT_FOUND, "there is no such page"))?;
    let busy = |_| JsonRefusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests are open");
    let _request = state.requests.try_acquire().map_err(busy)?;
    serve(state, peer, page, head.uri.query().unwrap_or(""), body).await
}

async fn serve(
    state: &AdminState,
    peer: &HttpPeer,
    page: AdminPage<'_>,
    query: &str,
    body: Incoming,
) -> JsonAnswer {
    match page {
        AdminPage::Health | AdminPage::Readiness | AdminPage::Overview => {
            unreachable!("they ask for no token, so they were answered before")
        }
        AdminPage::Metrics => Ok(response(
            StatusCode::OK,
            METRICS,
            metrics::text(&state.http, &state.metrics),
        )),
        AdminPage::Changes => history::changes(state, peer, query).await,
        AdminPage::Lanes => lanes::show(state).await,
        AdminPage::Users => user_list::users(state, query).await,
        AdminPage::User(name) => inspect::inspect(state, name).await,
        AdminPage::ChangesOf(name) => history::changes_of(state, name, query).await,
        AdminPage::Kick => commands::kick(state, &read(state, body, sizes::ORDINARY).await?).await,
        AdminPage::Reload => commands::reload(state, &read(state, body, sizes::ORDINARY).await?).await,
        AdminPage::Cluster => cluster::show(state),
        AdminPage::Drain => {
            read(state, body, sizes::ORDINARY).await?;
            cluster::drain(state)
        }
        AdminPage::AcceptLoss => cluster::accept_loss(state, &read(state, body, sizes::ORDINARY).await?),
        AdminPage::Callbacks => callbacks::status(state).await,
        AdminPage::Dead => callbacks::dead(state, query).await,
        AdminPage::Replay => {
            callbacks::deal(state, Deed::Replay, &read(state, body, sizes::CURSORS).await?).await
        }
        AdminPage::Drop => callbacks::drop(state, &read(state, body, sizes::CURSORS).await?).await,
    }
}

/// What is told to someone who is not let in, which is less when it is one too many of its network.
async fn refusal_of(state: &AdminState, peer: &HttpPeer, denied: Denied) -> JsonRefusal {
    let limit = match denied.reason {
        Some(reason) => state.http.count_failure(peer, reason).await,
        None => ThrottleVerdict::Below,
    };
    let refusal = JsonRefusal::new(denied.status, denied.text);
    match (limit, denied.status) {
        (ThrottleVerdict::Over, _) => {
            let text = format!(
                "too many requests from this address were refused, this one since: {}",
                denied.text
            );
            JsonRefusal::new(StatusCode::TOO_MANY_REQUESTS, text)
                .with((RETRY_AFTER, HeaderValue::from_static("60")))
        }
        (ThrottleVerdict::Below, StatusCode::UNAUTHORIZED) => {
            let bearer = HeaderValue::from_static("Bearer realm=\"holdfast\"");
            refusal.with((WWW_AUTHENTICATE, bearer))
        }
        (ThrottleVerdict::Below, _) => refusal,
    }
}

/// A command's body.
async fn read(state: &AdminState, body: Incoming, bytes_max: usize) -> Result<Value, JsonRefusal> {
    let body = state.http.bodies.read(body, bytes_max).await.map_err(unread)?;
    json::read(&body.bytes)
        .map_err(|fault| JsonRefusal::new(StatusCode::BAD_REQUEST, format!("the body: {fault}")))
}

fn unread(fault: BodyFault) -> JsonRefusal {
    match fault {
        BodyFault::TooLarge(bytes_max) => {
            let text = format!("the body has more than {bytes_max} bytes");
            JsonRefusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
        }
        BodyFault::Late => JsonRefusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
        BodyFault::NoRoom => JsonRefusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too much is being sent at once: try again",
        ),
        BodyFault::Broken => {
            JsonRefusal::new(StatusCode::BAD_REQUEST, "the body is not what its headers say")
        }
    }
}

fn health_of(ready: Result<(), String>) -> Response<Full<Bytes>> {
    match ready {
        Ok(()) => response(StatusCode::OK, TEXT, "ready\n"),
        Err(why) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
    }
}
