//! The gateway's own requests for messages, at the backend's listener: which is asked for, by whom, and how it is answered. Knows no
//! user.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONNECTION, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::json;

use crate::base::limits::SEND_TARGETS_MAX;
use crate::logic::message::{SendOrder, TargetResult};
use crate::services::http::backend::caller;
use crate::services::http::backend::codes::{self, Failure};
use crate::services::http::backend::outcomes;
use crate::services::http::backend::state::BackendState;
use crate::services::http::homes::UserHome;
use crate::services::http::messages::{self, Repeat, SendRequest, Wrong, id_of};
use crate::services::http::pending::NoReply;
use crate::services::http::refusal::{JsonAnswer, JsonRefusal, response};
use crate::services::http::server::access::{self, JSON, LINES};
use crate::services::http::server::body::BodyFault;
use crate::services::http::server::encoding;
use crate::services::http::server::peer::HttpPeer;
use crate::services::http::sizes;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessagePage {
    Send,
    Outcomes,
}

/// The path of each.
pub(crate) const MESSAGES: [(&str, MessagePage); 2] = [
    ("/v1/send", MessagePage::Send),
    ("/v1/outcomes", MessagePage::Outcomes),
];

/// The page of a path.
pub(crate) fn page_of(path: &str) -> Option<MessagePage> {
    let mut pages = MESSAGES.iter();
    pages.find(|(known, _)| *known == path).map(|(_, page)| *page)
}

/// How long a request that comes twice gets the answer of the first.
const REPEATS_KEPT: Duration = Duration::from_secs(300);

/// Messages in one request. With a target each they take a quarter of the requests that may be open.
const SEND_LINES_MAX: usize = 256;

/// What is said to who finds no room: how long to wait, in seconds.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// The answer to a request for one of the pages.
pub(crate) async fn answer(
    state: &BackendState,
    peer: &HttpPeer,
    (page, head): (MessagePage, &Parts),
    body: Incoming,
) -> Response<Full<Bytes>> {
    match serve(state, peer, (page, head), body).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn serve(
    state: &BackendState,
    peer: &HttpPeer,
    (page, head): (MessagePage, &Parts),
    body: Incoming,
) -> JsonAnswer {
    let (methods, allowed): (&[Method], _) = match page {
        MessagePage::Send => (&[Method::POST], "POST"),
        MessagePage::Outcomes => (&[Method::GET, Method::HEAD], "GET, HEAD"),
    };
    if !methods.contains(&head.method) {
        let refusal = JsonRefusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}"));
        return Err(refusal.with((ALLOW, HeaderValue::from_static(allowed))));
    }
    if let Err(denied) = access::admit_backend(&state.http.settings(), peer, head) {
        if let Some(reason) = denied.reason {
            state.http.count_failure(peer, reason).await;
        }
        return Err(JsonRefusal::new(denied.status, denied.text));
    }
    let query = head.uri.query().unwrap_or("");
    caller::check(state, peer, query).await.map_err(stranger)?;
    if !encoding::is_plain(&head.headers) {
        let refusal = JsonRefusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, encoding::SEND_PLAIN);
        return Err(refusal.with(encoding::TAKEN));
    }
    match page {
        MessagePage::Send => {
            let held = state
                .http
                .bodies
                .read(body, sizes::MESSAGE)
                .await
                .map_err(unread)?;
            match access::is_lines(head) {
                true => send_lines(state, &held.bytes).await,
                false => send(state, &held.bytes).await,
            }
        }
        MessagePage::Outcomes => outcomes::page(state, peer, query).await,
    }
}

/// Who may ask for nothing, or of whom nobody can say that now, with the vendor's code for it.
fn stranger(failure: Failure) -> JsonRefusal {
    let status = match failure.code {
        codes::TOO_FREQUENT => StatusCode::TOO_MANY_REQUESTS,
        codes::TIMED_OUT => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::UNAUTHORIZED,
    };
    let refusal = JsonRefusal::new(status, failure.text).and("code", failure.code);
    match status {
        StatusCode::TOO_MANY_REQUESTS => refusal.with((RETRY_AFTER, RETRY_AFTER_S)),
        _ => refusal,
    }
}

/// Nothing is waited for of a body that is not read to its end.
fn unread(fault: BodyFault) -> JsonRefusal {
    let refusal = match fault {
        BodyFault::TooLarge(bytes_max) => {
            let text = format!("the body has more than {bytes_max} bytes");
            JsonRefusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
        }
        BodyFault::Late => JsonRefusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
        BodyFault::NoRoom => {
            JsonRefusal::new(StatusCode::SERVICE_UNAVAILABLE, "too much is being sent at once")
        }
        BodyFault::Broken => {
            JsonRefusal::new(StatusCode::BAD_REQUEST, "the body is not what its headers say")
        }
    };
    refusal.with((CONNECTION, HeaderValue::from_static("close")))
}

/// One message.
async fn send(state: &BackendState, body: &[u8]) -> JsonAnswer {
    let request = messages::read(body).map_err(wrong)?;
    let answer = send_once(state, request).await?;
    Ok(response(StatusCode::OK, JSON, answer))
}

/// Several messages, one a line. Each line of the answer is that of its line. All are on their way at once: a home is given them in
/// their order.
async fn send_lines(state: &BackendState, body: &[u8]) -> JsonAnswer {
    let lines = body.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.trim_ascii().is_empty());
    let requests: Vec<Result<SendRequest, Wrong>> = lines.map(messages::read).collect();
    if requests.is_empty() {
        return Err(wrong("the body has no line".to_owned()));
    }
    let targets = requests
        .iter()
        .flatten()
        .map(|request| request.order.targets.len());
    let targets: usize = targets.sum();
    for (count, max, what) in [
        (requests.len(), SEND_LINES_MAX, "lines"),
        (targets, SEND_TARGETS_MAX, "targets"),
    ] {
        if count > max {
            return Err(wrong(format!(
                "the body has {count} {what}: at most {max} are allowed"
            )));
        }
    }
    let send = async |request: Result<SendRequest, Wrong>| send_once(state, request.map_err(wrong)?).await;
    let mut answers = Vec::new();
    for answer in join_all(requests.into_iter().map(send)).await {
        let line = answer.unwrap_or_else(|refusal| refusal.into_line().into_bytes());
        answers.extend(line);
        answers.push(b'\n');
    }
    Ok(response(StatusCode::OK, LINES, answers))
}

fn wrong(what: Wrong) -> JsonRefusal {
    JsonRefusal::new(StatusCode::BAD_REQUEST, what)
}

/// Sends a message, unless one of its name was sent a moment ago: then its answer is given again.
async fn send_once(state: &BackendState, request: SendRequest) -> Result<Vec<u8>, JsonRefusal> {
    let SendRequest { name, order } = request;
    let Some(name) = name else {
        let name = state.http.messages.new_name();
        return send_named(state, &name, order).await;
    };
    match state.repeats.begin(state.http.now().instant, &name) {
        Repeat::Answered(answer) => Ok(answer.to_vec()),
        Repeat::UnderWay => {
            let text = "a request with this id is being carried out";
            Err(JsonRefusal::new(StatusCode::CONFLICT, text))
        }
        Repeat::First(first) => {
            let answer = send_named(state, &name, order).await?;
            first.answered(state.http.now().instant, &answer, REPEATS_KEPT);
            Ok(answer)
        }
    }
}

async fn send_named(state: &BackendState, name: &str, order: SendOrder) -> Result<Vec<u8>, JsonRefusal> {
    let id = id_of(name);
    let results = send_order(state, (name, id), order).await.map_err(no_reply)?;
    let answer = json!({
        "id": name,
        "message": id.to_string(),
        "epoch": state.http.messages.epoch(),
        "at": state.http.now().wall.rfc3339(),
        "results": messages::results(&results),
    });
    Ok(answer.to_string().into_bytes())
}

/// Sends a message under this name, with the id that follows from it.
pub(super) async fn send_order(
    state: &BackendState,
    (name, id): (&str, u64),
    mut order: SendOrder,
) -> Result<Vec<TargetResult>, NoReply> {
    order.name = name.into();
    Arc::make_mut(&mut order.content).id = id;
    let now = state.http.pending.homes();
    let homes: Vec<UserHome> = order.targets.iter().map(|target| now.of(&target.user)).collect();
    state
        .http
        .messages
        .send(&state.http.pending, &order, (&now, &homes))
        .await
}

fn no_reply(why: NoReply) -> JsonRefusal {
    match why {
        NoReply::Full => JsonRefusal::new(StatusCode::TOO_MANY_REQUESTS, "too many requests are open")
            .with((RETRY_AFTER, RETRY_AFTER_S)),
        NoReply::Late => {
            let text =
                "no answer in time: the message may arrive all the same; send it again with the same id";
            JsonRefusal::new(StatusCode::GATEWAY_TIMEOUT, text)
        }
    }
}
