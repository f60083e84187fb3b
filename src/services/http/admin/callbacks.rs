//! The pages of callbacks: how far they are, and those that were given up, which can be listed, sent again and dropped.
//! Sends none itself.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::base::ids::UserId;
use crate::base::json::flag;
use crate::services::http::admin::cursor;
use crate::services::http::admin::dead_letters::{DeadLetters, DeadSelection};
use crate::services::http::admin::history::{
    NdjsonPage, archived, lines, lines_max, parameter, place, unread,
};
use crate::services::http::admin::lines::{DeadLine, bytes_of};
use crate::services::http::admin::refusal::{AdminAnswer, AdminRefusal, json_response};
use crate::services::http::admin::state::AdminState;
use crate::services::http::sizes::NAMED_MAX;
use crate::services::registry::archive::Position;

/// What is done with dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Replay,
    Forget,
}

/// How far callbacks are, and how many failed.
pub(super) async fn status(state: &AdminState) -> AdminAnswer {
    let store = archived(state)?.archive.store_id();
    let dead_letters = dead_letters(state)?;
    let status = state.readers.work(move || dead_letters.status()).await;
    let status = status.map_err(|error| unread(store, error))?;
    Ok(json_response(&json!({
        "done": cursor::write(store, status.done),
        "last": cursor::write(store, status.last),
        // Changes of all users, with and without a callback.
        "changes_behind": status.last.0.saturating_sub(status.done.0),
        "late": status.late,
        "dead": status.dead,
    })))
}

/// The callbacks that were given up.
pub(super) async fn dead(state: &AdminState, query: &str) -> AdminAnswer {
    let store = archived(state)?.archive.store_id();
    let dead_letters = dead_letters(state)?;
    let after = match parameter(query, "after")? {
        None => Position(0),
        Some(word) => place(store, &word)?,
    };
    let lines_max = lines_max(query)?;
    let read = move || {
        let page = dead_letters.dead(after, lines_max)?;
        let more = (page.len() == lines_max).then(|| page.last()).flatten();
        Ok(NdjsonPage {
            bytes: bytes_of(page.iter().map(|dead| DeadLine::new(store, dead))),
            next: more.map(|dead| cursor::write(store, dead.placed.position)),
        })
    };
    let page = state.readers.work(read).await;
    page.map(lines).map_err(|error| unread(store, error))
}

/// Drops late callbacks, or dead letters.
pub(super) async fn drop(state: &AdminState, body: &Value) -> AdminAnswer {
    let Some(late) = body.get("late") else {
        return deal(state, Deed::Forget, body).await;
    };
    let store = archived(state)?.archive.store_id();
    let dead_letters = dead_letters(state)?;
    let user = read_late(late, body)?;
    let count = state.readers.work(move || dead_letters.drop_late(user)).await;
    let count = count.map_err(|error| unread(store, error))?;
    Ok(json_response(&json!({ "dropped": count })))
}

fn read_late(late: &Value, body: &Value) -> Result<Option<UserId>, AdminRefusal> {
    let wrong = |text: &'static str| AdminRefusal::new(StatusCode::BAD_REQUEST, text);
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
pub(super) async fn deal(state: &AdminState, deed: Deed, body: &Value) -> AdminAnswer {
    let store = archived(state)?.archive.store_id();
    let dead_letters = dead_letters(state)?;
    let which = read_which(store, body)?;
    let work = move || match deed {
        Deed::Replay => dead_letters.replay(&which),
        Deed::Forget => dead_letters.forget(&which),
    };
    let count = state
        .readers
        .work(work)
        .await
        .map_err(|error| unread(store, error))?;
    let name = match deed {
        Deed::Replay => "replayed",
        Deed::Forget => "dropped",
    };
    Ok(json_response(&json!({ name: count })))
}

fn dead_letters(state: &AdminState) -> Result<Arc<dyn DeadLetters>, AdminRefusal> {
    let none = || AdminRefusal::new(StatusCode::NOT_IMPLEMENTED, "this gateway keeps no callbacks");
    state.callbacks.clone().ok_or_else(none)
}

fn read_which(store: u64, body: &Value) -> Result<DeadSelection, AdminRefusal> {
    let wrong = |text: String| AdminRefusal::new(StatusCode::BAD_REQUEST, text);
    match (body.get("all"), body.get("positions")) {
        (Some(all), None) if flag(all) == Some(true) => Ok(DeadSelection::All),
        (None, Some(Value::Array(words))) if words.len() <= NAMED_MAX => {
            let word = |word: &Value| match word.as_str() {
                Some(word) => place(store, word),
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
