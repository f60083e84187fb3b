//! The pages of changes: the stream of all, and those of one user. One JSON object a line. The header
//! `Holdfast-Next` says what to send as `after` for the next page.

use std::collections::BTreeMap;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::watch;

use crate::base::ids::{ChangeNumber, PartitionId};
use crate::services::http::admin::cursor::{CursorFault, CursorStore, LanePlaces};
use crate::services::http::admin::inspect::read_user;
use crate::services::http::admin::lanes::{self, ReadableLane};
use crate::services::http::admin::lines::{ChangeLine, bytes_of};
use crate::services::http::admin::readers::Archived;
use crate::services::http::admin::state::AdminState;
use crate::services::http::line_pages::{GATHER, NEXT, number, parameter, wait};
use crate::services::http::refusal::{JsonAnswer, JsonRefusal, response};
use crate::services::http::server::access::LINES;
use crate::services::http::server::listener::stop_asked;
use crate::services::http::server::peer::HttpPeer;
use crate::services::http::server::url;
use crate::services::registry::archive::{Archive, Placed, Position, ReadError, ResumeAfter};

/// Lines of a page that nobody bounds, and that anyone may ask for. A line has under 1 KiB for nearly every change.
const PAGE_LINES: usize = 100;
const PAGE_LINES_MAX: usize = 1_000;

/// A page as it goes out: its lines, and what to send as `after` for the next.
pub(super) struct NdjsonPage {
    pub(super) bytes: Vec<u8>,
    pub(super) next: Option<String>,
}

/// All users' changes of one or more lanes, those of each lane in commit order. Waits for some if there are none.
pub(super) async fn changes(state: &AdminState, peer: &HttpPeer, query: &str) -> JsonAnswer {
    let archived = state.readers.archived()?;
    let store = archived.store();
    let starts = starts(archived, query)?;
    let lines_max = lines_max(query)?;
    let wait = wait(query)?;
    let crowded = || JsonRefusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many wait for changes");
    let _permit = state.readers.follow().ok_or_else(crowded)?;
    let mut news = archived.news.clone();
    let end = tokio::time::sleep(wait);
    tokio::pin!(end);
    loop {
        // What comes while it is read is news.
        news.borrow_and_update();
        let open = lanes::open(state, archived, starts.keys().copied())?;
        let starts = starts.clone();
        let read = move || read_changes(store, &open, &starts, lines_max);
        let page = state.readers.work(read).await?;
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

async fn come(news: &mut watch::Receiver<Position>) {
    if news.changed().await.is_err() {
        // The registry has ended: there will be none.
        std::future::pending::<()>().await;
    }
}

/// Where a page of the stream begins in each lane: behind a place, or with the oldest change that is kept.
type Starts = BTreeMap<PartitionId, Option<Position>>;

fn starts(archived: &Archived, query: &str) -> Result<Starts, JsonRefusal> {
    let store = archived.store();
    let named = lanes::named(store, parameter(query, "lanes")?.as_deref())?;
    let Some(words) = parameter(query, "after")? else {
        let named = named.map_or_else(|| lanes::all(archived), Ok)?;
        return Ok(named.into_iter().map(|lane| (lane, None)).collect());
    };
    let mut places = store.read(&words).map_err(not_taken)?;
    if let Some(named) = named {
        check_known(&named, |lane| places.contains_key(lane))?;
        places.retain(|lane, _| named.contains(lane));
    }
    Ok(places
        .into_iter()
        .map(|(lane, place)| (lane, Some(place)))
        .collect())
}

/// A cursor that is not taken.
pub(super) fn not_taken(fault: CursorFault) -> JsonRefusal {
    JsonRefusal::new(StatusCode::BAD_REQUEST, fault.to_string())
}

/// Of lanes that a request names, the cursor must know all.
pub(super) fn check_known(
    named: &[PartitionId],
    is_known: impl Fn(&PartitionId) -> bool,
) -> Result<(), JsonRefusal> {
    let unknown = named.iter().find(|lane| !is_known(lane));
    unknown.map_or(Ok(()), |lane| {
        let text = format!("this cursor has no place in lane {}", lane.0);
        Err(JsonRefusal::new(StatusCode::BAD_REQUEST, text))
    })
}

/// A page of the stream. Each lane has a share of it, and what one does not need is for the others.
fn read_changes(
    store: CursorStore,
    open: &[ReadableLane],
    starts: &Starts,
    lines_max: usize,
) -> Result<NdjsonPage, JsonRefusal> {
    let mut places: LanePlaces = starts
        .iter()
        .map(|(lane, place)| (*lane, place.unwrap_or_default()))
        .collect();
    // The next page begins as many lanes farther as this one has changes: each lane has its turn, however small the pages are.
    let sum = places
        .values()
        .fold(0_u64, |sum, place| sum.wrapping_add(place.0));
    let first = usize::try_from(sum % open.len() as u64).expect("it is below a length");
    let turns: Vec<&ReadableLane> = open[first..].iter().chain(&open[..first]).collect();
    let waiting = turns
        .iter()
        .map(|(lane, archive)| archive.last().0.saturating_sub(places[lane].0));
    let shares = shares(&waiting.collect::<Vec<_>>(), lines_max);
    let (mut bytes, mut spare) = (Vec::new(), lines_max - shares.iter().sum::<usize>());
    for ((lane, archive), mut share) in turns.into_iter().zip(shares) {
        if share == 0 {
            if spare == 0 {
                continue;
            }
            // Whether it can be read from there is told, and what has come meanwhile.
            (share, spare) = (1, spare - 1);
        }
        let page = read_lane(&**archive, starts[lane], share);
        let (after, page) = page.map_err(|error| unread(store, (*lane, error), &places))?;
        bytes.append(&mut bytes_of(
            page.iter().map(|placed| ChangeLine::new(store, *lane, placed)),
        ));
        places.insert(*lane, page.last().map_or(after, |placed| placed.position));
    }
    let next = Some(store.write(&places));
    Ok(NdjsonPage { bytes, next })
}

/// How many lines each lane may have, of which so many changes wait. Those in front are the first to have one.
fn shares(waiting: &[u64], lines_max: usize) -> Vec<usize> {
    let (mut shares, mut left) = (vec![0; waiting.len()], lines_max);
    loop {
        let before = left;
        for (share, waiting) in shares.iter_mut().zip(waiting) {
            if left > 0 && (*share as u64) < *waiting {
                *share += 1;
                left -= 1;
            }
        }
        if left == before {
            return shares;
        }
    }
}

/// A part of a lane, and behind which place it begins.
fn read_lane(
    archive: &dyn Archive,
    start: Option<Position>,
    lines_max: usize,
) -> Result<(Position, Vec<Placed>), LaneFault> {
    match start {
        Some(after) if after > archive.last() => Err(LaneFault::Ahead),
        Some(after) => Ok((after, archive.changes(after, lines_max)?)),
        None => match archive.changes(Position(0), lines_max) {
            Err(ReadError::Pruned(oldest)) => Ok((oldest, archive.changes(oldest, lines_max)?)),
            page => Ok((Position(0), page?)),
        },
    }
}

/// Why a lane cannot be read from where it was to be read.
pub(super) enum LaneFault {
    /// It ends before: the store was put back to an older state, and other changes will get the places that the caller knows.
    Ahead,
    Unread(ReadError),
}

impl From<ReadError> for LaneFault {
    fn from(error: ReadError) -> Self {
        Self::Unread(error)
    }
}

/// One user's changes.
pub(super) async fn changes_of(state: &AdminState, name: &str, query: &str) -> JsonAnswer {
    let archived = state.readers.archived()?;
    let store = archived.store();
    let user = read_user(name)?;
    let after = ChangeNumber(number(query, "after")?.unwrap_or(0));
    let lines_max = lines_max(query)?;
    let mut open = lanes::open(state, archived, [user.partition(store.lanes)])?;
    let (lane, archive) = open.pop().expect("it is open");
    let read = move || {
        let page = archive.changes_of(&user, after, lines_max);
        let page = page.map_err(|error| unread(store, (lane, error.into()), &LanePlaces::new()))?;
        let last = page.last().map_or(after, |placed| placed.recorded.change.number);
        Ok(NdjsonPage {
            bytes: bytes_of(page.iter().map(|placed| ChangeLine::new(store, lane, placed))),
            next: Some(last.0.to_string()),
        })
    };
    state.readers.work(read).await.map(lines)
}

/// What is said when a lane cannot be read. A cursor to go on with has the other lanes' places.
pub(super) fn unread(
    store: CursorStore,
    (lane, fault): (PartitionId, LaneFault),
    places: &LanePlaces,
) -> JsonRefusal {
    let behind = |place| {
        let mut places = places.clone();
        places.insert(lane, place);
        store.write(&places)
    };
    match fault {
        LaneFault::Ahead => {
            let text = "the store ends before this cursor: it was put back to an older state; begin with the list of users, /v1/users";
            JsonRefusal::new(StatusCode::GONE, text)
        }
        LaneFault::Unread(ReadError::Pruned(oldest)) => {
            let text = "the changes behind this cursor are not kept any more: begin with the list of users, /v1/users, or with the oldest";
            JsonRefusal::new(StatusCode::GONE, text).and("oldest", behind(oldest))
        }
        LaneFault::Unread(ReadError::Hole(to_resume)) => lost(Some(match to_resume {
            ResumeAfter::Position(position) => behind(position),
            ResumeAfter::Number(number) => number.0.to_string(),
            ResumeAfter::User(user) => url::encode(user.as_str()),
        })),
        LaneFault::Unread(error @ (ReadError::Store(_) | ReadError::Damaged(_) | ReadError::Lost(_))) => {
            JsonRefusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
    }
}

/// What is said where something is missing for ever.
pub(super) fn lost(next: Option<String>) -> JsonRefusal {
    let text = "here a part is lost by damage: `next` is what to send as `after` to go on behind it";
    JsonRefusal::new(StatusCode::GONE, text).and("next", next)
}

/// How many lines the page may have.
pub(super) fn lines_max(query: &str) -> Result<usize, JsonRefusal> {
    let wanted = number(query, "limit")?.map_or(Ok(PAGE_LINES), usize::try_from);
    let wanted = wanted.ok().filter(|wanted| (1..=PAGE_LINES_MAX).contains(wanted));
    let text = format!("limit is not a number from 1 to {PAGE_LINES_MAX}");
    wanted.ok_or_else(|| JsonRefusal::new(StatusCode::BAD_REQUEST, text))
}

/// A page as an answer.
pub(super) fn lines(page: NdjsonPage) -> Response<Full<Bytes>> {
    let mut response = response(StatusCode::OK, LINES, page.bytes);
    if let Some(next) = page.next {
        put(&mut response, NEXT, &next);
    }
    response
}

pub(super) fn put(response: &mut Response<Full<Bytes>>, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("cursors, numbers and encoded UserIDs are plain text");
    response.headers_mut().insert(name, value);
}
