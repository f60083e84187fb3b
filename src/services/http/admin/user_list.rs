//! The page of all registered users. One JSON object a line.

use hyper::StatusCode;
use hyper::header::HeaderName;

use crate::base::ids::{PartitionId, UserId};
use crate::services::http::admin::cursor::{CursorStore, LanePlaces, UsersPlace};
use crate::services::http::admin::history::{
    NdjsonPage, check_known, lines, lines_max, lost, not_taken, put, unread,
};
use crate::services::http::admin::lanes::{self, ReadableLane};
use crate::services::http::admin::lines::{UserLine, bytes_of};
use crate::services::http::admin::state::AdminState;
use crate::services::http::line_pages::parameter;
use crate::services::http::refusal::{JsonAnswer, JsonRefusal};
use crate::services::http::server::url;
use crate::services::registry::archive::{Archive, ReadError, ResumeAfter};

/// Where to begin with the stream of changes after this list: on a list's first page.
const STREAM: HeaderName = HeaderName::from_static("holdfast-stream");

/// All registered users of one or more lanes, those of each lane in the order of their UserIDs, with their devices.
pub(super) async fn users(state: &AdminState, query: &str) -> JsonAnswer {
    let archived = state.readers.archived()?;
    let store = archived.store();
    let named = lanes::named(store, parameter(query, "lanes")?.as_deref())?;
    let after = parameter(query, "after")?;
    let begins = after.is_none();
    let mut place = match after {
        None => UsersPlace {
            lanes: named.clone().map_or_else(|| lanes::all(archived), Ok)?,
            user: None,
        },
        Some(word) => users_place(store, &word)?,
    };
    if let Some(named) = named.filter(|_| !begins) {
        check_known(&named, |lane| place.lanes.contains(lane))?;
        place.user = place.user.filter(|_| named.contains(&place.lanes[0]));
        place.lanes = named;
    }
    let lines_max = lines_max(query)?;
    let open = lanes::open(state, archived, place.lanes.iter().copied())?;
    let read = move || {
        // Before the list is read: what happens meanwhile is in the stream, perhaps also in the list, never in neither.
        let places = open
            .iter()
            .map(|(lane, archive)| (*lane, archive.last()))
            .collect();
        Ok((
            store.write(&places),
            read_users(store, &open, place.user, lines_max)?,
        ))
    };
    let (stream, page) = state.readers.work(read).await?;
    let mut response = lines(page);
    if begins {
        put(&mut response, STREAM, &stream);
    }
    Ok(response)
}

/// In a store with one lane a UserID is all that there is to a place.
fn users_place(store: CursorStore, word: &str) -> Result<UsersPlace, JsonRefusal> {
    if store.lanes > 1 {
        return store.read_users(word).map_err(not_taken);
    }
    let user = UserId::new(word.as_bytes());
    let user = user.map_err(|fault| JsonRefusal::new(StatusCode::BAD_REQUEST, format!("after: {fault}")))?;
    Ok(UsersPlace {
        lanes: vec![PartitionId::SOLE],
        user: Some(user),
    })
}

fn users_cursor(store: CursorStore, place: &UsersPlace) -> Option<String> {
    match store.lanes {
        1 => place.user.map(|user| url::encode(user.as_str())),
        _ => Some(store.write_users(place)),
    }
}

/// A page of the list, which goes from lane to lane.
fn read_users(
    store: CursorStore,
    open: &[ReadableLane],
    mut after: Option<UserId>,
    lines_max: usize,
) -> Result<NdjsonPage, JsonRefusal> {
    let (mut bytes, mut left) = (Vec::new(), lines_max);
    for (number, (lane, archive)) in open.iter().enumerate() {
        let behind = |user| {
            let lanes = open[number..].iter().map(|(lane, _)| *lane).collect();
            users_cursor(store, &UsersPlace { lanes, user })
        };
        let page = match archive.users(after.as_ref(), left) {
            Ok(page) => page,
            // It is told of what was read so far; the next page begins with it.
            Err(_) if left < lines_max => {
                let next = behind(None);
                return Ok(NdjsonPage { bytes, next });
            }
            Err(ReadError::Hole(ResumeAfter::User(user))) => return Err(lost(behind(Some(user)))),
            Err(error) => return Err(unread(store, (*lane, error.into()), &LanePlaces::new())),
        };
        left -= page.len();
        bytes.append(&mut bytes_of(
            page.iter().map(|(user, record)| UserLine::new(user, record)),
        ));
        let last = page.last().map(|(user, _)| *user);
        if let Some(last) = last.filter(|last| left == 0 || is_cut(&**archive, last)) {
            let next = behind(Some(last));
            return Ok(NdjsonPage { bytes, next });
        }
        after = None;
    }
    Ok(NdjsonPage { bytes, next: None })
}

/// Whether a short page is not the lane's end: what follows is lost by damage, which the next page will say.
fn is_cut(archive: &dyn Archive, last: &UserId) -> bool {
    matches!(
        archive.users(Some(last), 1),
        Err(ReadError::Hole(_) | ReadError::Lost(_))
    )
}
