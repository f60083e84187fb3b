//! The pages of callbacks: how far they are, and those that were given up, which can be listed, sent again and dropped.
//! Sends none itself.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::base::ids::{PartitionId, UserId};
use crate::base::json::flag;
use crate::services::http::admin::cursor::LanePlaces;
use crate::services::http::admin::dead_letters::{CallbackStatus, DeadLetters, DeadSelection};
use crate::services::http::admin::history::{self, NdjsonPage, lines, lines_max, not_taken};
use crate::services::http::admin::lanes;
use crate::services::http::admin::lines::{DeadLine, bytes_of};
use crate::services::http::admin::readers::Archived;
use crate::services::http::admin::state::AdminState;
use crate::services::http::line_pages::parameter;
use crate::services::http::refusal::{JsonAnswer, JsonRefusal, json_response};
use crate::services::http::sizes::NAMED_MAX;
use crate::services::registry::archive::{Position, ReadError};

/// What is done with dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Replay,
    Forget,
}

/// How far callbacks are, and how many failed.
pub(super) async fn status(state: &AdminState) -> JsonAnswer {
    let store = state.readers.archived()?.store();
    let dead_letters = dead_letters(state)?;
    let lanes = state
        .readers
        .work(move || dead_letters.status().map_err(unread))
        .await?;
    let places = |place: fn(&CallbackStatus) -> Position| {
        let places = lanes.iter().map(|(lane, status)| (*lane, place(status)));
        (!lanes.is_empty()).then(|| store.write(&places.collect()))
    };
    let sum =
        |amount: fn(&CallbackStatus) -> u64| lanes.iter().map(|(_, status)| amount(status)).sum::<u64>();
    Ok(json_response(&json!({
        "done": places(|status| status.done),
        "last": places(|status| status.last),
        // Changes of all users, with and without a callback.
        "changes_behind": sum(|status| status.last.0.saturating_sub(status.done.0)),
        "late": sum(|status| status.late),
        "dead": sum(|status| status.dead),
    })))
}

/// The callbacks that were given up, lane by lane.
pub(super) async fn dead(state: &AdminState, query: &str) -> JsonAnswer {
    let archived = state.readers.archived()?;
    let store = archived.store();
    let dead_letters = dead_letters(state)?;
    let (from, after) = match parameter(query, "after")? {
        None => (PartitionId(0), Position(0)),
        Some(word) => place(state, archived, &word)?,
    };
    let lines_max = lines_max(query)?;
    let lanes: Vec<_> = lanes::readable(archived).filter(|lane| *lane >= from).collect();
    let read = move || {
        let (mut bytes, mut last) = (Vec::new(), None);
        let mut left = lines_max;
        for lane in lanes {
            let after = if lane == from { after } else { Position(0) };
            let page = dead_letters.dead(lane, after, left);
            let page =
                page.map_err(|error| history::unread(store, (lane, error.into()), &LanePlaces::new()))?;
            bytes.append(&mut bytes_of(
                page.iter().map(|dead| DeadLine::new(store, lane, dead)),
            ));
            last = page.last().map(|dead| (lane, dead.placed.position)).or(last);
            left -= page.len();
            if left == 0 {
                break;
            }
        }
        let more = last.filter(|_| left == 0);
        let next = more.map(|(lane, place)| store.write_one(lane, place));
        Ok(NdjsonPage { bytes, next })
    };
    state.readers.work(read).await.map(lines)
}

/// Drops late callbacks, or dead letters.
pub(super) async fn drop(state: &AdminState, body: &Value) -> JsonAnswer {
    let Some(late) = body.get("late") else {
        return deal(state, Deed::Forget, body).await;
    };
    let archived = state.readers.archived()?;
    let dead_letters = dead_letters(state)?;
    let user = read_late(late, body)?;
    let lane = user.map(|user| user.partition(archived.store().lanes));
    lanes::open(state, archived, lane)?;
    let drop = move || dead_letters.drop_late(user).map_err(unread);
    let count = state.readers.work(drop).await?;
    Ok(json_response(&json!({ "dropped": count })))
}

fn read_late(late: &Value, body: &Value) -> Result<Option<UserId>, JsonRefusal> {
    let wrong = |text: &'static str| JsonRefusal::new(StatusCode::BAD_REQUEST, text);
    let others = body.get("all").or(body.get("positions"));
    if flag(late) != Some(true) || others.is_some() {
        return Err(wrong("send {\"late\": true} alone, or with a \"user\""));
    }
    let Some(name) = body.get("user") else {
        return Ok(None);
    };
    let user = name.as_str().and_then(|name| UserId::new(name.as_bytes()).ok());
    user.map(Some).ok_or_else(|| wrong("user is no UserID"))
}

/// Sends dead letters again, or drops them.
pub(super) async fn deal(state: &AdminState, deed: Deed, body: &Value) -> JsonAnswer {
    let archived = state.readers.archived()?;
    let dead_letters = dead_letters(state)?;
    let which = read_which(state, archived, body)?;
    let work = move || match deed {
        Deed::Replay => dead_letters.replay(&which).map_err(unread),
        Deed::Forget => dead_letters.forget(&which).map_err(unread),
    };
    let count = state.readers.work(work).await?;
    let name = match deed {
        Deed::Replay => "replayed",
        Deed::Forget => "dropped",
    };
    Ok(json_response(&json!({ name: count })))
}

/// The one place that a cursor stands for, in a lane that can be read here.
fn place(
    state: &AdminState,
    archived: &Archived,
    word: &str,
) -> Result<(PartitionId, Position), JsonRefusal> {
    let places = archived.store().read(word).map_err(not_taken)?;
    lanes::open(state, archived, places.keys().copied())?;
    let (place, others) = (places.first_key_value(), places.len() - 1);
    let place = place.filter(|_| others == 0).map(|(lane, place)| (*lane, *place));
    let text = "this cursor is of several lanes: send that of a dead letter";
    place.ok_or_else(|| JsonRefusal::new(StatusCode::BAD_REQUEST, text))
}

fn unread(error: ReadError) -> JsonRefusal {
    JsonRefusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

fn dead_letters(state: &AdminState) -> Result<Arc<dyn DeadLetters>, JsonRefusal> {
    let none = || JsonRefusal::new(StatusCode::NOT_IMPLEMENTED, "this gateway keeps no callbacks");
    state.callbacks.clone().ok_or_else(none)
}

fn read_which(state: &AdminState, archived: &Archived, body: &Value) -> Result<DeadSelection, JsonRefusal> {
    let wrong = |text: String| JsonRefusal::new(StatusCode::BAD_REQUEST, text);
    match (body.get("all"), body.get("positions")) {
        (Some(all), None) if flag(all) == Some(true) => Ok(DeadSelection::All),
        (None, Some(Value::Array(words))) if words.len() <= NAMED_MAX => {
            let word = |word: &Value| match word.as_str() {
                Some(word) => place(state, archived, word),
                None => Err(wrong(
                    "positions are the cursors of /v1/callbacks/dead".to_owned(),
                )),
            };
            words
                .iter()
                .map(word)
                .collect::<Result<_, _>>()
                .map(DeadSelection::These)
        }
        _ => Err(wrong(format!(
            "send {{\"positions\": [...]}} with at most {NAMED_MAX} cursors, or {{\"all\": true}}"
        ))),
    }
}
