//! The account commands of the REST interface: import, check, delete. An account is its UserID and nothing else: names and
//! pictures are taken for the sake of clients, and not kept.

use serde_json::{Value, json};

use crate::base::ids::UserId;
use crate::base::json;
use crate::logic::delivery::{AccountsRequest, KickError, ToHttp};
use crate::services::http::backend::caller;
use crate::services::http::backend::codes::{self, Failure};
use crate::services::http::backend::reply;
use crate::services::http::backend::state::BackendState;
use crate::services::http::sizes::{ACCOUNTS_MAX, FIELD_BYTES_MAX};
use crate::services::http::user_request::UserRequest;

/// What the vendor's documentation prints for an account that does not exist.
const ACCOUNT_UNKNOWN_TEXT: &str = "Err_TLS_PT_Open_Login_Account_Not_Exist";

/// Registers one account.
pub(super) async fn import(state: &BackendState, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let body = read_body(body)?;
    let user = read_user(&body)?;
    check_profile(&body)?;
    ask(state, AccountsRequest::Import, vec![user]).await?;
    Ok(reply::DONE.to_vec())
}

/// Registers several. Those that cannot be accounts are named; the others are registered.
pub(super) async fn import_many(state: &BackendState, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let body = read_body(body)?;
    let (mut users, mut failed) = (Vec::new(), Vec::new());
    for (name, profile) in read_imports(&body)? {
        match UserId::new(name.as_bytes()) {
            Ok(user) if profile.is_none_or(|profile| check_profile(profile).is_ok()) => users.push(user),
            Ok(_) | Err(_) => failed.push(name),
        }
    }
    if !users.is_empty() {
        ask(state, AccountsRequest::Import, users).await?;
    }
    Ok(done(json!({ "FailAccounts": failed })))
}

/// Says of each account whether it exists.
pub(super) async fn check(state: &BackendState, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let body = read_body(body)?;
    let names = read_items(&body, "CheckItem")?;
    let users = possible(&names);
    let existing = match users.as_slice() {
        [] => Vec::new(),
        _ => ask(state, AccountsRequest::Check, users).await?,
    };
    let mut existing = existing.into_iter();
    let item = |name: &&str| {
        // A text that can be nobody's UserID is not imported either.
        let is_there = UserId::new(name.as_bytes()).is_ok()
            && existing.next().expect("the registry answers for each account");
        let status = if is_there { "Imported" } else { "NotImported" };
        json!({ "UserID": name, "ResultCode": 0, "ResultInfo": "", "AccountStatus": status })
    };
    Ok(done(
        json!({ "ResultItem": names.iter().map(item).collect::<Vec<_>>() }),
    ))
}

/// Ends all sessions of each account, and forgets it.
pub(super) async fn delete(state: &BackendState, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let body = read_body(body)?;
    let names = read_items(&body, "DeleteItem")?;
    let answers = state
        .http
        .pending
        .ask_each(&possible(&names), UserRequest::Delete)
        .await;
    let mut answers = answers.map_err(Failure::of_no_reply)?.into_iter();
    let item = |name: &&str| {
        let outcome = match UserId::new(name.as_bytes()) {
            Ok(user) => {
                let outcome = outcome(answers.next().expect("each home answers for its user"));
                outcome.inspect(|()| caller::kicked(state, &user))
            }
            Err(_) => Err(KickError::UnknownAccount),
        };
        let (code, text) = match outcome {
            Ok(()) => (0, ""),
            Err(KickError::UnknownAccount | KickError::UnknownDevice) => {
                (codes::ACCOUNT_UNKNOWN, ACCOUNT_UNKNOWN_TEXT)
            }
            Err(KickError::Busy) => (codes::ACCOUNT_LATE, "it could not be deleted now: try again"),
        };
        json!({ "ResultCode": code, "ResultInfo": text, "UserID": name })
    };
    Ok(done(
        json!({ "ResultItem": names.iter().map(item).collect::<Vec<_>>() }),
    ))
}

fn outcome(answer: ToHttp) -> Result<(), KickError> {
    match answer {
        ToHttp::Kicked(_, outcome) => outcome,
        ToHttp::Statuses(..) | ToHttp::Inspected(..) | ToHttp::Accounts(..) | ToHttp::Sent(..) => {
            unreachable!("a deletion is answered by its outcome")
        }
    }
}

/// Which of the accounts existed before.
async fn ask(state: &BackendState, what: AccountsRequest, users: Vec<UserId>) -> Result<Vec<bool>, Failure> {
    let existed = state.http.pending.ask_accounts(what, &users).await;
    let late = |error| Failure::new(codes::ACCOUNT_LATE, format!("{error}: try again"));
    existed.map_err(Failure::of_no_reply)?.map_err(late)
}

/// Those of the names that can be UserIDs.
fn possible(names: &[&str]) -> Vec<UserId> {
    names
        .iter()
        .filter_map(|name| UserId::new(name.as_bytes()).ok())
        .collect()
}

/// A request's JSON.
pub(super) fn read_body(body: &[u8]) -> Result<Value, Failure> {
    json::read(body).map_err(|fault| Failure::new(codes::BODY_NOT_JSON, format!("the body: {fault}")))
}

/// The user that a request is about.
pub(super) fn read_user(body: &Value) -> Result<UserId, Failure> {
    let name = name_of(body).ok_or_else(|| invalid("UserID is missing or not a string"))?;
    UserId::new(name.as_bytes()).map_err(|fault| invalid(fault.to_string()))
}

/// Old clients write Identifier.
fn name_of(object: &Value) -> Option<&str> {
    let name = object.get("UserID").or_else(|| object.get("Identifier"));
    name.and_then(Value::as_str)
}

/// The names in a list of objects.
fn read_items<'a>(body: &'a Value, list: &str) -> Result<Vec<&'a str>, Failure> {
    let items = read_list(body, list)?.iter().enumerate();
    let name = |(place, item)| {
        name_of(item).ok_or_else(|| invalid(format!("{list}[{place}]: UserID is missing or not a string")))
    };
    items.map(name).collect()
}

/// The names to import, each with its profile if the request is of the newer form.
fn read_imports<'a>(body: &'a Value) -> Result<Vec<(&'a str, Option<&'a Value>)>, Failure> {
    if body.get("AccountList").is_some() {
        let names = read_items(body, "AccountList")?;
        let profiles = read_list(body, "AccountList")?;
        return Ok(names.into_iter().zip(profiles.iter().map(Some)).collect());
    }
    let names = read_list(body, "Accounts")?.iter().enumerate();
    let name = |(place, name): (usize, &'a Value)| {
        let name = name.as_str().map(|name| (name, None));
        name.ok_or_else(|| invalid(format!("Accounts[{place}]: not a string")))
    };
    names.map(name).collect()
}

fn read_list<'a>(body: &'a Value, name: &str) -> Result<&'a [Value], Failure> {
    let list = body.get(name).and_then(Value::as_array);
    let list = list.ok_or_else(|| invalid(format!("{name} is missing or not an array")))?;
    if (1..=ACCOUNTS_MAX).contains(&list.len()) {
        return Ok(list);
    }
    let text = format!(
        "{name} has {} accounts: 1 to {ACCOUNTS_MAX} are allowed",
        list.len()
    );
    Err(Failure::new(codes::BATCH_INVALID, text))
}

fn check_profile(account: &Value) -> Result<(), Failure> {
    for field in ["Nick", "FaceUrl"] {
        match account.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.len() <= FIELD_BYTES_MAX => {}
            Some(Value::String(_)) => {
                let text = format!("{field} has more than {FIELD_BYTES_MAX} bytes");
                return Err(Failure::new(codes::FIELD_TOO_LONG, text));
            }
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                return Err(invalid(format!("{field} is not a string")));
            }
        }
    }
    Ok(())
}

fn invalid(text: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
    Failure::new(codes::PARAMETER_INVALID, text)
}

/// A good answer with what it has to say.
fn done(mut more: Value) -> Vec<u8> {
    more["ActionStatus"] = "OK".into();
    more["ErrorInfo"] = "".into();
    more["ErrorCode"] = 0.into();
    more.to_string().into_bytes()
}
