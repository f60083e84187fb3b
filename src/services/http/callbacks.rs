//! The pages of callbacks: how they stand, and those that were given up, which can be listed, sent again and dropped.
//! Sends none itself.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::Desk;
use super::admin::{Answer, Refusal, json_response};
use super::cursor;
use super::history::{Lines, archived, lines, lines_max, parameter, place, unread};
use super::lines::{DeadLine, bytes_of};
use crate::base::ids::UserId;
use crate::base::json::flag;
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::outbox::Dead;

/// Dead letters that one request may name.
pub(super) const NAMED_MAX: usize = 1_000;

/// The callback service, as the operator deals with it. All calls block.
pub trait DeadLetters: Send + Sync {
    /// How callbacks stand.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn standing(&self) -> Result<CallbackStanding, ReadError>;

    /// Callbacks that were given up, of changes behind `after`, in commit order, at most `count_max`.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn dead(&self, after: Position, count_max: usize) -> Result<Vec<Dead>, ReadError>;

    /// Sends them again, marked as replayed. Gives how many there were.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn replay(&self, which: &Which) -> Result<u64, ReadError>;

    /// Forgets late callbacks, of one user or of all. Gives how many there were.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn drop_late(&self, user: Option<UserId>) -> Result<u64, ReadError>;

    /// Forgets them. Gives how many there were.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn forget(&self, which: &Which) -> Result<u64, ReadError>;
}

/// How callbacks stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallbackStanding {
    /// Everything up to here was delivered, is late, or is dead.
    pub done: Position,
    /// The last durable change.
    pub last: Position,
    /// Callbacks that failed and are tried again, or wait behind one that did.
    pub late: u64,
    /// Callbacks that were given up.
    pub dead: u64,
}

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those of the changes at these places.
    These(Vec<Position>),
    /// All that there are now.
    All,
}

/// What is done with dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Replay,
    Forget,
}

/// How callbacks stand.
pub(super) async fn standing(desk: &Desk) -> Answer {
    let store = archived(desk)?.archive.store_id();
    let letters = letters(desk)?;
    let standing = desk.library.work(move || letters.standing()).await;
    let standing = standing.map_err(|error| unread(store, error))?;
    Ok(json_response(&json!({
        "done": cursor::write(store, standing.done),
        "last": cursor::write(store, standing.last),
        // Changes of all users, with and without a callback.
        "changes_behind": standing.last.0.saturating_sub(standing.done.0),
        "late": standing.late,
        "dead": standing.dead,
    })))
}

/// The callbacks that were given up.
pub(super) async fn dead(desk: &Desk, query: &str) -> Answer {
    let store = archived(desk)?.archive.store_id();
    let letters = letters(desk)?;
    let after = match parameter(query, "after")? {
        None => Position(0),
        Some(word) => place(store, &word)?,
    };
    let lines_max = lines_max(query)?;
    let read = move || {
        let page = letters.dead(after, lines_max)?;
        let more = (page.len() == lines_max).then(|| page.last()).flatten();
        Ok(Lines {
            bytes: bytes_of(page.iter().map(|dead| DeadLine::new(store, dead))),
            next: more.map(|dead| cursor::write(store, dead.placed.position)),
        })
    };
    let page = desk.library.work(read).await;
    page.map(lines).map_err(|error| unread(store, error))
}

/// Drops late callbacks, or dead letters.
pub(super) async fn drop(desk: &Desk, body: &Value) -> Answer {
    let Some(late) = body.get("late") else {
        return deal(desk, Deed::Forget, body).await;
    };
    let store = archived(desk)?.archive.store_id();
    let letters = letters(desk)?;
    let user = read_late(late, body)?;
    let count = desk.library.work(move || letters.drop_late(user)).await;
    let count = count.map_err(|error| unread(store, error))?;
    Ok(json_response(&json!({ "dropped": count })))
}

fn read_late(late: &Value, body: &Value) -> Result<Option<UserId>, Refusal> {
    let wrong = |text: &'static str| Refusal::new(StatusCode::BAD_REQUEST, text);
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
pub(super) async fn deal(desk: &Desk, deed: Deed, body: &Value) -> Answer {
    let store = archived(desk)?.archive.store_id();
    let letters = letters(desk)?;
    let which = read_which(store, body)?;
    let work = move || match deed {
        Deed::Replay => letters.replay(&which),
        Deed::Forget => letters.forget(&which),
    };
    let count = desk
        .library
        .work(work)
        .await
        .map_err(|error| unread(store, error))?;
    let name = match deed {
        Deed::Replay => "replayed",
        Deed::Forget => "dropped",
    };
    Ok(json_response(&json!({ name: count })))
}

fn letters(desk: &Desk) -> Result<Arc<dyn DeadLetters>, Refusal> {
    let none = || Refusal::new(StatusCode::NOT_IMPLEMENTED, "this gateway keeps no callbacks");
    desk.callbacks.clone().ok_or_else(none)
}

fn read_which(store: u64, body: &Value) -> Result<Which, Refusal> {
    let wrong = |text: &'static str| Refusal::new(StatusCode::BAD_REQUEST, text);
    match (body.get("all"), body.get("positions")) {
        (Some(all), None) if flag(all) == Some(true) => Ok(Which::All),
        (None, Some(Value::Array(words))) if words.len() <= NAMED_MAX => {
            let word = |word: &Value| match word.as_str() {
                Some(word) => place(store, word),
                None => Err(wrong("positions are the cursors of /v1/callbacks/dead")),
            };
            words.iter().map(word).collect::<Result<_, _>>().map(Which::These)
        }
        _ => Err(wrong(
            "send {\"positions\": [...]} with at most 1000 cursors, or {\"all\": true}",
        )),
    }
}
