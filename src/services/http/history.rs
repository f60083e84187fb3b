//! The pages of what is on record: the stream of all changes, the changes of one user, and the list of users. One JSON
//! object a line. The header `Holdfast-Next` says what to send as `after` for the next page.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::watch;

use super::admin::{Answer, Refusal, response};
use super::inspect::{read_user, time};
use super::library::Archived;
use super::{Desk, cursor, server, url};
use crate::base::ids::{ChangeNumber, DeviceId, UserId};
use crate::logic::record::{Change, ChangeKind, DeviceRecord, RecordedChange, Status, UserRecord};
use crate::services::registry::archive::{Archive, Placed, Position, ReadError};

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
struct Lines {
    bytes: Vec<u8>,
    next: Option<String>,
}

/// All users' changes in commit order. Waits for some if there are none.
pub(super) async fn changes(desk: &Desk, query: &str) -> Answer {
    let archived = archived(desk)?;
    let store = archived.archive.store_id();
    let after = match parameter(query, "after")? {
        None => Start::Oldest,
        Some(word) => {
            let position = cursor::read(store, &word);
            Start::Behind(position.map_err(|fault| Refusal::new(StatusCode::BAD_REQUEST, fault.to_string()))?)
        }
    };
    let lines_max = lines_max(query)?;
    let wait = number(query, "wait_s")?.unwrap_or(WAIT_S).min(WAIT_S_MAX);
    let mut news = archived.news.clone();
    let end = tokio::time::sleep(Duration::from_secs(wait));
    tokio::pin!(end);
    loop {
        // What comes while it is read is news.
        news.borrow_and_update();
        let read = move |archive: &dyn Archive| read_changes(archive, after, lines_max);
        let page = desk.library.read(archived, read).await;
        let page = page.map_err(|error| unread(store, error))?.ok_or_else(ahead)?;
        if !page.bytes.is_empty() {
            return Ok(lines(page));
        }
        tokio::select! {
            () = come(&mut news) => tokio::time::sleep(GATHER).await,
            () = &mut end => return Ok(lines(page)),
            () = server::until(desk.stopped.clone()) => return Ok(lines(page)),
        }
    }
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
    Behind(Position),
}

/// A page of the stream; `None` if it would begin behind all that there is.
fn read_changes(archive: &dyn Archive, start: Start, lines_max: usize) -> Result<Option<Lines>, ReadError> {
    let (after, page) = match start {
        Start::Behind(after) if after > archive.last() => return Ok(None),
        Start::Behind(after) => (after, archive.changes(after, lines_max)?),
        Start::Oldest => match archive.changes(Position(0), lines_max) {
            Err(ReadError::Pruned(oldest)) => (oldest, archive.changes(oldest, lines_max)?),
            page @ (Ok(_) | Err(ReadError::Store(_))) => (Position(0), page?),
        },
    };
    let store = archive.store_id();
    let last = page.last().map_or(after, |placed| placed.position);
    Ok(Some(Lines {
        bytes: bytes_of(page.iter().map(|placed| ChangeLine::new(store, placed))),
        next: Some(cursor::write(store, last)),
    }))
}

/// The store was put back to an older state, and other changes will get the places that the caller knows.
fn ahead() -> Refusal {
    let text = "the store ends before this cursor: it was put back to an older state; begin with the list of users, /v1/users";
    Refusal::new(StatusCode::GONE, text)
}

/// One user's changes.
pub(super) async fn changes_of(desk: &Desk, name: &str, query: &str) -> Answer {
    let archived = archived(desk)?;
    let user = read_user(name)?;
    let after = ChangeNumber(number(query, "after")?.unwrap_or(0));
    let lines_max = lines_max(query)?;
    let read = move |archive: &dyn Archive| {
        let page = archive.changes_of(&user, after, lines_max)?;
        let store = archive.store_id();
        let last = page.last().map_or(after, |placed| placed.recorded.change.number);
        Ok(Lines {
            bytes: bytes_of(page.iter().map(|placed| ChangeLine::new(store, placed))),
            next: Some(last.0.to_string()),
        })
    };
    let page = desk.library.read(archived, read).await;
    page.map(lines)
        .map_err(|error| unread(archived.archive.store_id(), error))
}

/// All registered users in the order of their UserIDs, with their devices.
pub(super) async fn users(desk: &Desk, query: &str) -> Answer {
    let archived = archived(desk)?;
    let after = match parameter(query, "after")? {
        None => None,
        Some(name) => {
            let user = UserId::new(name.as_bytes());
            Some(user.map_err(|fault| Refusal::new(StatusCode::BAD_REQUEST, format!("after: {fault}")))?)
        }
    };
    let lines_max = lines_max(query)?;
    let read = move |archive: &dyn Archive| {
        // Before the list is read: what happens meanwhile is in the stream, perhaps also in the list, never in neither.
        let stream = cursor::write(archive.store_id(), archive.last());
        let page = archive.users(after.as_ref(), lines_max)?;
        let more = (page.len() == lines_max).then(|| page.last()).flatten();
        let lines = Lines {
            bytes: bytes_of(page.iter().map(|(user, record)| UserLine::new(user, record))),
            next: more.map(|(user, _)| url::encode(user.as_str())),
        };
        Ok((stream, lines))
    };
    let page = desk.library.read(archived, read).await;
    let (stream, page) = page.map_err(|error| unread(archived.archive.store_id(), error))?;
    let mut response = lines(page);
    if after.is_none() {
        put(&mut response, STREAM, &stream);
    }
    Ok(response)
}

fn archived(desk: &Desk) -> Result<&Archived, Refusal> {
    let text = "the registry keeps no changes: set registry.store = \"embedded\"";
    let none = || Refusal::new(StatusCode::NOT_IMPLEMENTED, text);
    desk.library.archived().ok_or_else(none)
}

fn unread(store: u64, error: ReadError) -> Refusal {
    match error {
        ReadError::Pruned(oldest) => {
            let text = "the changes behind this cursor are not kept any more: begin with the list of users, /v1/users, or with the oldest";
            Refusal::new(StatusCode::GONE, text).and("oldest", cursor::write(store, oldest))
        }
        ReadError::Store(_) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

fn parameter(query: &str, name: &str) -> Result<Option<String>, Refusal> {
    let value = url::parameter(query, name).map(|value| value.map(std::borrow::Cow::into_owned));
    value.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, format!("{name} cannot be decoded")))
}

fn number(query: &str, name: &str) -> Result<Option<u64>, Refusal> {
    let value = parameter(query, name)?.map(|text| text.parse());
    let value = value.transpose();
    value.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, format!("{name} is not a number")))
}

/// How many lines the page may have.
pub(super) fn lines_max(query: &str) -> Result<usize, Refusal> {
    let wanted = number(query, "limit")?.map_or(Ok(PAGE_LINES), usize::try_from);
    let wanted = wanted.ok().filter(|wanted| (1..=PAGE_LINES_MAX).contains(wanted));
    let text = format!("limit is not a number from 1 to {PAGE_LINES_MAX}");
    wanted.ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, text))
}

fn lines(page: Lines) -> Response<Full<Bytes>> {
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

fn bytes_of<T: Serialize>(lines: impl Iterator<Item = T>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, &line).expect("a vector takes every line");
        bytes.push(b'\n');
    }
    bytes
}

/// A change as a line.
#[derive(Serialize)]
struct ChangeLine<'a> {
    cursor: String,
    user: &'a str,
    change: u64,
    at: String,
    kind: &'static str,
    device: DeviceName,
    session: u64,
    address: Option<String>,
    forced_off: Vec<DeviceStatus>,
    callback: Option<CallbackLine>,
}

#[derive(Serialize)]
struct DeviceName {
    platform: &'static str,
    /// A string: many readers of JSON keep only 53 bits of a number.
    instance: String,
}

#[derive(Serialize)]
struct DeviceStatus {
    #[serde(flatten)]
    device: DeviceName,
    status: &'static str,
}

#[derive(Serialize)]
struct CallbackLine {
    previous: u64,
}

impl<'a> ChangeLine<'a> {
    fn new(store: u64, placed: &'a Placed) -> Self {
        let RecordedChange {
            user,
            change,
            session,
            previous,
        } = &placed.recorded;
        Self {
            cursor: cursor::write(store, placed.position),
            user: user.as_str(),
            change: change.number.0,
            at: time(change.at),
            kind: kind(change),
            device: DeviceName::new(change.device),
            session: session.0,
            address: change.address.map(|address| address.to_canonical().to_string()),
            forced_off: forced_off(change).iter().map(DeviceStatus::new).collect(),
            callback: previous.map(|previous| CallbackLine { previous: previous.0 }),
        }
    }
}

fn kind(change: &Change) -> &'static str {
    match change.kind {
        ChangeKind::Login { .. } => "login",
        ChangeKind::Logout => "logout",
        ChangeKind::LinkEnd => "link-end",
        ChangeKind::TimeOut => "time-out",
        ChangeKind::Expiry => "expiry",
        ChangeKind::Kick => "kick",
        ChangeKind::Deletion => "deletion",
    }
}

fn forced_off(change: &Change) -> &[(DeviceId, Status)] {
    match &change.kind {
        ChangeKind::Login { forced_off, .. } => forced_off,
        ChangeKind::Logout
        | ChangeKind::LinkEnd
        | ChangeKind::TimeOut
        | ChangeKind::Expiry
        | ChangeKind::Kick
        | ChangeKind::Deletion => &[],
    }
}

impl DeviceName {
    fn new(device: DeviceId) -> Self {
        Self {
            platform: device.platform.name(),
            instance: device.instance.to_string(),
        }
    }
}

impl DeviceStatus {
    fn new((device, status): &(DeviceId, Status)) -> Self {
        Self {
            device: DeviceName::new(*device),
            status: status.name(),
        }
    }
}

/// A user as a line.
#[derive(Serialize)]
struct UserLine<'a> {
    user: &'a str,
    status: &'static str,
    change: u64,
    devices: Vec<DeviceLine>,
}

#[derive(Serialize)]
struct DeviceLine {
    #[serde(flatten)]
    device: DeviceStatus,
    session: u64,
    login_at: String,
    since: String,
}

impl<'a> UserLine<'a> {
    fn new(user: &'a UserId, record: &UserRecord) -> Self {
        let device = |known: &DeviceRecord| DeviceLine {
            device: DeviceStatus::new(&(known.device, known.status)),
            session: known.session.0,
            login_at: time(known.login_at),
            since: time(known.since),
        };
        Self {
            user: user.as_str(),
            status: record.status().name(),
            change: record.change.0,
            devices: record.devices.iter().map(device).collect(),
        }
    }
}
