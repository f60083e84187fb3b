//! Messages in the vendor's dialect: `sendmsg` to one account, `batchsendmsg` to many. What is in a message is not read: terminals get
//! it as JSON, as it came. Nothing is stored for accounts that are Offline, which is said where the vendor would store.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::base::ids::UserId;
use crate::base::limits::SEND_TARGETS_MAX;
use crate::logic::delivery::AccountsRequest;
use crate::logic::message::{
    AckWish, SendOrder, SendReach, SendRefusal, SendTarget, TargetOutcome, TargetResult,
};
use crate::logic::record::Status;
use crate::protocol::packet::MessageContent;
use crate::services::http::backend::codes::{self, Failure};
use crate::services::http::backend::pages::send_order;
use crate::services::http::backend::state::BackendState;
use crate::services::http::messages::{self, Repeat, TTL_S_MAX, id_of};

/// What terminals see such a message as.
const KIND: &str = "tim";

/// Bytes of a message's content (Tencent Cloud IM, 1047/34919).
const CONTENT_BYTES_MAX: usize = 12 * 1024;

/// For how long the vendor stores a message if nothing is said of it, and at most, in seconds.
const LIFETIME_S: u64 = 604_800;

/// How long a request that comes twice gets the answer of the first. The vendor drops a second one within a second.
const REPEATS_KEPT: Duration = Duration::from_secs(60);

/// A message as a request has it.
struct TencentMessage {
    from: Option<UserId>,
    seq: u64,
    random: u64,
    /// Seconds for which it matters; 0: only who is Online gets it.
    lifetime_s: u64,
    /// The sender's own devices get it, too.
    to_sender: bool,
    /// What terminals get, without the members that are told here.
    content: Map<String, Value>,
}

/// One account gets a message.
pub(super) async fn send_one(state: &BackendState, body: &Value) -> Result<Vec<u8>, Failure> {
    let to = body.get("To_Account").and_then(Value::as_str);
    let to =
        to.ok_or_else(|| Failure::new(codes::ACCOUNTS_INVALID, "To_Account is missing or not a string"))?;
    let message = read(state, body).await?;
    once(state, message, vec![to], |sent| {
        let [(_, result)] = &sent.results[..] else {
            unreachable!("one account was asked for")
        };
        if let Some(failure) = failure_of(result.as_ref(), sent.is_stored) {
            return Err(match failure.code {
                codes::ACCOUNT_UNKNOWN => Failure::new(codes::RECEIVER_UNKNOWN, "To_Account does not exist"),
                _ => failure,
            });
        }
        let mut done = sent.done();
        done["Devices"] = messages::results(&sent.all());
        Ok(done)
    })
    .await
}

/// Several accounts get a message.
pub(super) async fn send_many(state: &BackendState, body: &Value) -> Result<Vec<u8>, Failure> {
    let to = body.get("To_Account").and_then(Value::as_array);
    let names = to.and_then(|to| to.iter().map(Value::as_str).collect::<Option<Vec<&str>>>());
    let invalid = || {
        Failure::new(
            codes::ACCOUNTS_INVALID,
            "To_Account is missing or not an array of strings",
        )
    };
    let names = names.ok_or_else(invalid)?;
    if names.is_empty() {
        return Err(Failure::new(codes::ACCOUNTS_INVALID, "To_Account is empty"));
    }
    if names.len() > SEND_TARGETS_MAX {
        let text = format!(
            "To_Account has {} accounts: at most {SEND_TARGETS_MAX} are allowed",
            names.len()
        );
        return Err(Failure::new(codes::ACCOUNTS_TOO_MANY, text));
    }
    let message = read(state, body).await?;
    once(state, message, names, |sent| {
        let errors = sent.results.iter().filter_map(|(name, result)| {
            let failure = failure_of(result.as_ref(), sent.is_stored)?;
            Some(json!({ "To_Account": name, "ErrorCode": failure.code }))
        });
        let errors: Vec<Value> = errors.collect();
        let mut done = sent.done();
        done["Devices"] = messages::results(&sent.all());
        // Callers look whether it is there.
        if !errors.is_empty() {
            done["ErrorList"] = errors.into();
        }
        Ok(done)
    })
    .await
}

/// What became of a message, for whoever writes the answer.
struct SentMessage<'a> {
    seq: u64,
    random: u64,
    at_s: u64,
    /// The vendor would store it for those who are Offline.
    is_stored: bool,
    /// By the names of the request; nothing for a name that can be nobody's.
    results: Vec<(&'a str, Option<TargetResult>)>,
}

impl SentMessage<'_> {
    fn done(&self) -> Value {
        json!({
            "ActionStatus": "OK",
            "ErrorInfo": "",
            "ErrorCode": 0,
            "MsgTime": self.at_s,
            "MsgKey": format!("{}_{}_{}", self.seq, self.random, self.at_s),
        })
    }

    fn all(&self) -> Vec<TargetResult> {
        self.results
            .iter()
            .filter_map(|(_, result)| result.clone())
            .collect()
    }
}

/// What is told of an account that the message was not for, or could not be brought to.
fn failure_of(result: Option<&TargetResult>, is_stored: bool) -> Option<Failure> {
    let unknown = Failure::new(codes::ACCOUNT_UNKNOWN, "the account does not exist");
    let Some(result) = result else {
        return Some(unknown);
    };
    match &result.outcome {
        TargetOutcome::Reached(user) if user.status == Status::Offline && is_stored => {
            let text = "the account is Offline, and nothing is stored here: send it when it comes, or with MsgLifeTime 0 to those who are Online";
            Some(Failure::new(codes::LIFETIME_INVALID, text))
        }
        TargetOutcome::Reached(_) => None,
        TargetOutcome::Refused(SendRefusal::UnknownAccount) => Some(unknown),
        TargetOutcome::Refused(SendRefusal::Busy) => Some(Failure::new(
            codes::TOO_FREQUENT,
            "too much waits for this user: try again later",
        )),
        TargetOutcome::Refused(SendRefusal::Unavailable | SendRefusal::Precondition) => Some(Failure::new(
            codes::ACCOUNT_UNAVAILABLE,
            "the account's state is not known now: try again",
        )),
    }
}

/// Sends a message, unless the same one was sent a moment ago: then its answer is given again.
async fn once<'a>(
    state: &BackendState,
    message: TencentMessage,
    names: Vec<&'a str>,
    answer: impl Fn(&SentMessage<'a>) -> Result<Value, Failure>,
) -> Result<Vec<u8>, Failure> {
    let from = message.from.as_ref().map_or("", UserId::as_str);
    let name = format!("{from}:{}_{}", message.seq, message.random);
    let first = match state.repeats.begin(state.http.now().instant, &name) {
        Repeat::Answered(answer) => return Ok(answer.to_vec()),
        Repeat::UnderWay => {
            return Err(Failure::new(
                codes::SEND_AGAIN,
                "the same message is being sent: try again",
            ));
        }
        Repeat::First(first) => first,
    };
    let sent = send(state, &name, message, names).await?;
    let answer = answer(&sent)?.to_string().into_bytes();
    first.answered(state.http.now().instant, &answer, REPEATS_KEPT);
    Ok(answer)
}

async fn send<'a>(
    state: &BackendState,
    name: &str,
    message: TencentMessage,
    names: Vec<&'a str>,
) -> Result<SentMessage<'a>, Failure> {
    let (seq, random, is_stored) = (message.seq, message.random, message.lifetime_s > 0);
    let at_s = state.http.now().wall.seconds();
    let users = names.iter().map(|name| UserId::new(name.as_bytes()).ok());
    let users: Vec<Option<UserId>> = users.collect();
    let sender = message.from.filter(|_| message.to_sender);
    let targets = users.iter().flatten().copied().chain(sender);
    let targets: Vec<SendTarget> = targets.map(SendTarget::all_of).collect();
    let results = if users.iter().all(Option::is_none) {
        Vec::new()
    } else {
        let order = order_of(message, name, at_s, targets);
        send_order(state, (name, id_of(name)), order)
            .await
            .map_err(Failure::of_no_reply)?
    };
    let mut results = results.into_iter();
    let mut result_of = |user: Option<UserId>| user.and_then(|_| results.next());
    let by_name = names.into_iter().zip(users);
    Ok(SentMessage {
        seq,
        random,
        at_s,
        is_stored,
        results: by_name.map(|(name, user)| (name, result_of(user))).collect(),
    })
}

fn order_of(mut message: TencentMessage, name: &str, at_s: u64, targets: Vec<SendTarget>) -> SendOrder {
    let from = message.from.map(|from| from.as_str().to_owned());
    let from = from.unwrap_or_default();
    message.content.extend([
        ("From_Account".to_owned(), from.clone().into()),
        ("MsgSeq".to_owned(), message.seq.into()),
        ("MsgRandom".to_owned(), message.random.into()),
        ("MsgTime".to_owned(), at_s.into()),
    ]);
    let (ack, reach) = match message.lifetime_s {
        0 => (AckWish::No, SendReach::Online),
        _ => (AckWish::Device, SendReach::All),
    };
    SendOrder {
        content: Arc::new(MessageContent {
            id: 0,
            from,
            kind: KIND.to_owned(),
            body: Value::Object(message.content).to_string().into_bytes(),
        }),
        name: name.into(),
        ack,
        ttl: Duration::from_secs(message.lifetime_s.clamp(1, TTL_S_MAX)),
        wait: Duration::ZERO,
        collapse: None,
        reach,
        targets,
    }
}

async fn read(state: &BackendState, body: &Value) -> Result<TencentMessage, Failure> {
    let content = read_content(body)?;
    let random = integer(body, "MsgRandom", codes::RANDOM_INVALID)?;
    let random = random.ok_or_else(|| Failure::new(codes::RANDOM_INVALID, "MsgRandom is missing"))?;
    integer(body, "MsgTimeStamp", codes::TIMESTAMP_INVALID)?;
    let seq = integer(body, "MsgSeq", codes::BODY_INVALID)?;
    let seq = seq.unwrap_or_else(|| u64::from(fastrand::u32(..)));
    let lifetime_s = integer(body, "MsgLifeTime", codes::LIFETIME_NO_NUMBER)?.unwrap_or(LIFETIME_S);
    if lifetime_s > LIFETIME_S {
        let text = format!("MsgLifeTime is above {LIFETIME_S}");
        return Err(Failure::new(codes::LIFETIME_INVALID, text));
    }
    let online_only = integer(body, "OnlineOnlyFlag", codes::LIFETIME_NO_NUMBER)? == Some(1);
    let to_sender = integer(body, "SyncOtherMachine", codes::SYNC_INVALID)? == Some(1);
    Ok(TencentMessage {
        from: read_sender(state, body).await?,
        seq,
        random,
        lifetime_s: if online_only { 0 } else { lifetime_s },
        to_sender,
        content,
    })
}

fn read_content(body: &Value) -> Result<Map<String, Value>, Failure> {
    let elements = match body.get("MsgBody") {
        None | Some(Value::Null) => return Err(Failure::new(codes::BODY_INVALID, "MsgBody is missing")),
        Some(Value::Array(elements)) => elements,
        Some(_) => return Err(Failure::new(codes::BODY_NO_ARRAY, "MsgBody is not an array")),
    };
    let is_element = |element: &Value| {
        let kind = element.get("MsgType").is_some_and(Value::is_string);
        kind && element.get("MsgContent").is_some_and(Value::is_object)
    };
    if elements.is_empty() || !elements.iter().all(is_element) {
        let text = "MsgBody has to have elements, each with MsgType, a string, and MsgContent, an object";
        return Err(Failure::new(codes::ELEMENT_INVALID, text));
    }
    let passed_on = ["MsgBody", "CloudCustomData", "OfflinePushInfo"];
    let members = passed_on.iter().filter_map(|name| {
        let value = body.get(*name).filter(|value| !value.is_null())?;
        Some(((*name).to_owned(), value.clone()))
    });
    let content: Map<String, Value> = members.collect();
    let length = Value::Object(content.clone()).to_string().len();
    if length > CONTENT_BYTES_MAX {
        let text = format!("the message has {length} bytes: at most {CONTENT_BYTES_MAX} are allowed");
        return Err(Failure::new(codes::MESSAGE_TOO_LARGE, text));
    }
    Ok(content)
}

/// Who sends it: the administrator, whom terminals see as nobody, or an account.
async fn read_sender(state: &BackendState, body: &Value) -> Result<Option<UserId>, Failure> {
    let name = match body.get("From_Account") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(name)) if name.is_empty() => return Ok(None),
        Some(Value::String(name)) => name,
        Some(_) => {
            return Err(Failure::new(
                codes::SENDER_INVALID,
                "From_Account is not a string",
            ));
        }
    };
    let unknown = || Failure::new(codes::SENDER_UNKNOWN, "From_Account does not exist");
    let user = UserId::new(name.as_bytes()).map_err(|_| unknown())?;
    if state.http.settings().administrators.contains(&user) {
        return Ok(Some(user));
    }
    let existed = state
        .http
        .pending
        .ask_accounts(AccountsRequest::Check, &[user])
        .await;
    let existed = existed.map_err(Failure::of_no_reply)?;
    let existed = existed.map_err(|error| Failure::new(codes::SEND_AGAIN, format!("{error}: try again")))?;
    if existed == [true] {
        Ok(Some(user))
    } else {
        Err(unknown())
    }
}

/// A member that is a whole number.
fn integer(body: &Value, name: &str, code: u32) -> Result<Option<u64>, Failure> {
    let number = match body.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_u64(),
    };
    number
        .map(Some)
        .ok_or_else(|| Failure::new(code, format!("{name} is not a whole number from 0 on")))
}
