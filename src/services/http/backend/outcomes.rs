//! The page of outcomes that came after their answers: one JSON object a line, and a header that says where the next page begins. Waits
//! for some if there are none.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::{Response, StatusCode};

use crate::services::http::backend::state::BackendState;
use crate::services::http::line_pages::{GATHER, NEXT, number, parameter, wait};
use crate::services::http::messages::{self, Messages, OutcomePlace};
use crate::services::http::refusal::{JsonAnswer, JsonRefusal, response};
use crate::services::http::server::access::LINES;
use crate::services::http::server::listener::stop_asked;
use crate::services::http::server::peer::HttpPeer;

/// Lines of a page, if nothing is said of it, and at most.
const PAGE_LINES: u64 = 100;
const PAGE_LINES_MAX: u64 = 1_000;

/// A page of outcomes, from the place on that `after` names, or from the oldest that is kept.
pub(super) async fn page(state: &BackendState, peer: &HttpPeer, query: &str) -> JsonAnswer {
    let sent = &state.http.messages;
    let place = start(sent, query)?;
    let most = number(query, "limit")?.unwrap_or(PAGE_LINES);
    if !(1..=PAGE_LINES_MAX).contains(&most) {
        return Err(bad(format!("limit is not a number from 1 to {PAGE_LINES_MAX}")));
    }
    let wait = wait(query)?;
    tokio::select! {
        () = sent.come(place) => {}
        () = tokio::time::sleep(wait) => {}
        () = peer.has_sent_all() => {}
        () = stop_asked(state.http.stopped.clone()) => {}
    }
    if sent.end().0 < place.0 + most && sent.end() != place {
        tokio::time::sleep(GATHER).await;
    }
    let (outcomes, next) = sent.read(place, usize::try_from(most).unwrap_or(usize::MAX));
    let mut lines = Vec::new();
    for outcome in &outcomes {
        lines.extend_from_slice(messages::line(outcome).to_string().as_bytes());
        lines.push(b'\n');
    }
    Ok(with_next(sent, lines, next))
}

fn with_next(messages: &Messages, lines: Vec<u8>, next: OutcomePlace) -> Response<Full<Bytes>> {
    let mut response = response(StatusCode::OK, LINES, lines);
    let next = HeaderValue::from_str(&cursor(messages, next)).expect("it is plain text");
    response.headers_mut().insert(NEXT, next);
    response
}

fn cursor(messages: &Messages, place: OutcomePlace) -> String {
    format!("{}-{}", messages.epoch(), place.0)
}

/// Where a page begins.
fn start(messages: &Messages, query: &str) -> Result<OutcomePlace, JsonRefusal> {
    let Some(after) = parameter(query, "after")? else {
        return Ok(messages.beginning());
    };
    let place = after
        .rsplit_once('-')
        .and_then(|(epoch, place)| Some((epoch, place.parse::<u64>().ok()?)));
    let (epoch, place) = place.ok_or_else(|| bad("after is no cursor of this list".to_owned()))?;
    let gone = |text: &'static str| {
        let oldest = cursor(messages, messages.beginning());
        JsonRefusal::new(StatusCode::GONE, text)
            .and("epoch", messages.epoch())
            .and("oldest", oldest)
    };
    if epoch != messages.epoch() {
        return Err(gone(
            "this gateway has started since: what became of messages that were held is not known; send them again with the same ids",
        ));
    }
    if place < messages.beginning().0 {
        return Err(gone("the outcomes behind this cursor are not kept any more"));
    }
    Ok(OutcomePlace(place.min(messages.end().0)))
}

fn bad(text: String) -> JsonRefusal {
    JsonRefusal::new(StatusCode::BAD_REQUEST, text)
}
