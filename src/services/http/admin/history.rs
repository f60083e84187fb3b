//! The pages of what is on record: the stream of all changes, the changes of one user, and the list of users. One JSON
//! object a line. The header `Holdfast-Next` says what to send as `after` for the next page.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::watch;

use crate::base::ids::{ChangeNumber, UserId};
use crate::services::http::admin::cursor;
use crate::services::http::admin::inspect::read_user;
use crate::services::http::admin::lines::{ChangeLine, UserLine, bytes_of};
use crate::services::http::admin::readers::Archived;
use crate::services::http::admin::refusal::{AdminAnswer, AdminRefusal, response};
use crate::services::http::admin::state::AdminState;
use crate::services::http::server::listener::stop_asked;
use crate::services::http::server::peer::HttpPeer;
use crate::services::http::server::url;
use crate::services::registry::archive::{Archive, Position, ReadError, ResumeAfter};

/// The content type of JSON, one object a line.
const LINES: &str = "application/x-ndjson";

/// What to send as `after` for the next page; absent when a list is at its end.
const NEXT: HeaderName = HeaderName::from_static("holdfast-next");

/// Where to begin with the stream of changes after this list: on a list's first page.
const STREAM: HeaderName = HeaderName::from_static("holdfast-stream");

/// Lines of a page that nobody bounds, and that anyone may ask for. A line has under 1 KiB for nearly every change.
const PAGE_LINES: usize = 100;
const PAGE_LINES_MAX: usize = 1_000;

/// How long a follower waits for news if it does not say, and at most: proxies end what is silent for a minute.
const WAIT_S: u64 = 30;
const WAIT_S_MAX: u64 = 55;

/// Once there is news, others are waited for this long: a follower of a busy stream gets pages, not single changes.
const GATHER: Duration = Duration::from_millis(10);

/// A page as it goes out: its lines, and what to send as `after` for the next.
pub(super) struct NdjsonPage {
    pub(super) bytes: Vec<u8>,
    pub(super) next: Option<String>,
}

/// All users' changes in commit order. Waits for some if there are none.
pub(super) async fn changes(state: &AdminState, peer: &HttpPeer, query: &str) -> AdminAnswer {
    let archived = archived(state)?;
    let store = archived.archive.store_id();
    let after = match parameter(query, "after")? {
        None => Start::Oldest,
        Some(word) => Start::ResumeAfter(place(store, &word)?),
    };
    let lines_max = lines_max(query)?;
    let wait = number(query, "wait_s")?.unwrap_or(WAIT_S).min(WAIT_S_MAX);
    let crowded = || AdminRefusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many wait for changes");
    let _permit = state.readers.follow().ok_or_else(crowded)?;
    let mut news = archived.news.clone();
    let end = tokio::time::sleep(Duration::from_secs(wait));
    tokio::pin!(end);
    loop {
        // What comes while it is read is news.
        news.borrow_and_update();
        let read = move |archive: &dyn Archive| read_changes(archive, after, lines_max);
        let page = state.readers.read(archived, read).await;
        let page = page.map_err(|error| unread(store, error))?.ok_or_else(ahead)?;
        if !page.bytes.is_empty() {
            return Ok(lines(page));
        }
        tokio::select! {
            () = come(&mut news) => tokio::time::sleep(GATHER).await,
            () = &mut end => return Ok(lines(page)),
            // It may be gone, and its place is free then; if it only said all, it may ask again.
            () = peer.has_sent_all() => return Ok(lines(page)),
            () = stop_asked(state.http.stopped.clone()) => return Ok(lines(page)),
        }
    }
}

/// The place that a cursor stands for.
pub(super) fn place(store: u64, word: &str) -> Result<Position, AdminRefusal> {
    cursor::read(store, word).map_err(|fault| AdminRefusal::new(StatusCode::BAD_REQUEST, fault.to_string()))
}

async fn come(news: &mut watch::Receiver<Position>) {
    if news.changed().await.is_err() {
        // The registry has ended: there will be none.
        std::future::pending::<()>().await;
    }
}

/// Where a page of the stream begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// With the oldest change that is kept.
    Oldest,
    /// Behind this place.
    ResumeAfter(Position),
}

/// A page of the stream; `None` if it would begin behind all that there is.
fn read_changes(
    archive: &dyn Archive,
    start: Start,
    lines_max: usize,
) -> Result<Option<NdjsonPage>, ReadError> {
    let (after, page) = match start {
        Start::ResumeAfter(after) if after > archive.last() => return Ok(None),
        Start::ResumeAfter(after) => (after, archive.changes(after, lines_max)?),
        Start::Oldest => match archive.changes(Position(0), lines_max) {
            Err(ReadError::Pruned(oldest)) => (oldest, archive.changes(oldest, lines_max)?),
            page => (Position(0), page?),
        },
    };
    let store = archive.store_id();
    let last = page.last().map_or(after, |placed| placed.position);
    Ok(Some(NdjsonPage {
        bytes: bytes_of(page.iter().map(|placed| ChangeLine::new(store, placed))),
        next: Some(cursor::write(store, last)),
    }))
}

/// The store was put back to an older state, and other changes will get the places that the caller knows.
fn ahead() -> AdminRefusal {
    let text = "the store ends before this cursor: it was put back to an older state; begin with the list of users, /v1/users";
    AdminRefusal::new(StatusCode::GONE, text)
}

/// One user's changes.
pub(super) async fn changes_of(state: &AdminState, name: &str, query: &str) -> AdminAnswer {
    let archived = archived(state)?;
    let user = read_user(name)?;
    let after = ChangeNumber(number(query, "after")?.unwrap_or(0));
    let lines_max = lines_max(query)?;
    let read = move |archive: &dyn Archive| {
        let page = archive.changes_of(&user, after, lines_max)?;
        let store = archive.store_id();
        let last = page.last().map_or(after, |placed| placed.recorded.change.number);
        Ok(NdjsonPage {
            bytes: bytes_of(page.iter().map(|placed| ChangeLine::new(store, placed))),
            next: Some(last.0.to_string()),
        })
    };
    let page = state.readers.read(archived, read).await;
    page.map(lines)
        .map_err(|error| unread(archived.archive.store_id(), error))
}

/// All registered users in the order of their UserIDs, with their devices.
pub(super) async fn users(state: &AdminState, query: &str) -> AdminAnswer {
    let archived = archived(state)?;
    let after = match parameter(query, "after")? {
        None => None,
        Some(name) => {
            let user = UserId::new(name.as_bytes());
            Some(user.map_err(|fault| AdminRefusal::new(StatusCode::BAD_REQUEST, format!("after: {fault}")))?)
        }
    };
    let lines_max = lines_max(query)?;
    let read = move |archive: &dyn Archive| {
        // Before the list is read: what happens meanwhile is in the stream, perhaps also in the list, never in neither.
        let stream = cursor::write(archive.store_id(), archive.last());
        let page = archive.users(after.as_ref(), lines_max)?;
        let more = page
            .last()
            .filter(|(last, _)| page.len() == lines_max || is_cut(archive, last));
        let lines = NdjsonPage {
            bytes: bytes_of(page.iter().map(|(user, record)| UserLine::new(user, record))),
            next: more.map(|(user, _)| url::encode(user.as_str())),
        };
        Ok((stream, lines))
    };
    let page = state.readers.read(archived, read).await;
    let (stream, page) = page.map_err(|error| unread(archived.archive.store_id(), error))?;
    let mut response = lines(page);
    if after.is_none() {
        put(&mut response, STREAM, &stream);
    }
    Ok(response)
}

/// Whether a short page is not the list's end: what follows is lost by damage, which the next page will say.
fn is_cut(archive: &dyn Archive, last: &UserId) -> bool {
    matches!(
        archive.users(Some(last), 1),
        Err(ReadError::Hole(_) | ReadError::Lost(_))
    )
}

/// What there is to read.
pub(super) fn archived(state: &AdminState) -> Result<&Archived, AdminRefusal> {
    let text = "the registry keeps no changes: set registry.store = \"embedded\"";
    let none = || AdminRefusal::new(StatusCode::NOT_IMPLEMENTED, text);
    state.readers.archived().ok_or_else(none)
}

/// What is said when it cannot be read.
pub(super) fn unread(store: u64, error: ReadError) -> AdminRefusal {
    match error {
        ReadError::Pruned(oldest) => {
            let text = "the changes behind this cursor are not kept any more: begin with the list of users, /v1/users, or with the oldest";
            AdminRefusal::new(StatusCode::GONE, text).and("oldest", cursor::write(store, oldest))
        }
        ReadError::Hole(behind) => {
            let text = "here a part is lost by damage: `next` is what to send as `after` to go on behind it";
            let next = match behind {
                ResumeAfter::Position(position) => cursor::write(store, position),
                ResumeAfter::Number(number) => number.0.to_string(),
                ResumeAfter::User(user) => url::encode(user.as_str()),
            };
            AdminRefusal::new(StatusCode::GONE, text).and("next", next)
        }
        ReadError::Store(_) | ReadError::Damaged(_) | ReadError::Lost(_) => {
            AdminRefusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
    }
}

/// A parameter of the query.
pub(super) fn parameter(query: &str, name: &str) -> Result<Option<String>, AdminRefusal> {
    let value = url::parameter(query, name).map(|value| value.map(std::borrow::Cow::into_owned));
    value.map_err(|_| AdminRefusal::new(StatusCode::BAD_REQUEST, format!("{name} cannot be decoded")))
}

fn number(query: &str, name: &str) -> Result<Option<u64>, AdminRefusal> {
    let value = parameter(query, name)?.map(|text| text.parse());
    let value = value.transpose();
    value.map_err(|_| AdminRefusal::new(StatusCode::BAD_REQUEST, format!("{name} is not a number")))
}

/// How many lines the page may have.
pub(super) fn lines_max(query: &str) -> Result<usize, AdminRefusal> {
    let wanted = number(query, "limit")?.map_or(Ok(PAGE_LINES), usize::try_from);
    let wanted = wanted.ok().filter(|wanted| (1..=PAGE_LINES_MAX).contains(wanted));
    let text = format!("limit is not a number from 1 to {PAGE_LINES_MAX}");
    wanted.ok_or_else(|| AdminRefusal::new(StatusCode::BAD_REQUEST, text))
}

/// A page as an answer.
pub(super) fn lines(page: NdjsonPage) -> Response<Full<Bytes>> {
    let mut response = response(StatusCode::OK, LINES, page.bytes);
    if let Some(next) = page.next {
        put(&mut response, NEXT, &next);
    }
    response
}

fn put(response: &mut Response<Full<Bytes>>, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("cursors, numbers and encoded UserIDs are plain text");
    response.headers_mut().insert(name, value);
}
