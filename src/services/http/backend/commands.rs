//! The REST interface of the app's backend, as Tencent Cloud IM's: status queries, kicks and accounts. Every request that can be
//! read is answered with HTTP status 200; the verdict is in the body. Decides nothing about users.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::Value;

use crate::base::ids::UserId;
use crate::base::json;
use crate::logic::delivery::{KickError, ToHttp};
use crate::services::http::backend::accounts;
use crate::services::http::backend::caller;
use crate::services::http::backend::codes::{self, Failure};
use crate::services::http::backend::messages;
use crate::services::http::backend::query;
use crate::services::http::backend::reply;
use crate::services::http::backend::state::BackendState;
use crate::services::http::backend::status;
use crate::services::http::pending::RequestPurpose;
use crate::services::http::server::access::{self, Denied};
use crate::services::http::server::body::{BodyFault, ReadBody};
use crate::services::http::server::encoding;
use crate::services::http::server::peer::HttpPeer;
use crate::services::http::server::url;
use crate::services::http::sizes;
use crate::services::http::user_request::UserRequest;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackendCommand {
    Query,
    Kick,
    Import,
    ImportMany,
    Check,
    Delete,
    Send,
    SendMany,
}

impl BackendCommand {
    /// The paths of each command. The status query has two older ones.
    pub(crate) const PATHS: [(&str, Self); 10] = [
        ("/v4/openim/query_online_status", Self::Query),
        ("/v4/openim/querystate", Self::Query),
        ("/v4/im_open_login_svc/query_online_status", Self::Query),
        ("/v4/im_open_login_svc/kick", Self::Kick),
        ("/v4/im_open_login_svc/account_import", Self::Import),
        ("/v4/im_open_login_svc/multiaccount_import", Self::ImportMany),
        ("/v4/im_open_login_svc/account_check", Self::Check),
        ("/v4/im_open_login_svc/account_delete", Self::Delete),
        ("/v4/openim/sendmsg", Self::Send),
        ("/v4/openim/batchsendmsg", Self::SendMany),
    ];

    fn of_path(path: &str) -> Option<Self> {
        let mut paths = Self::PATHS.iter();
        paths
            .find(|(known, _)| *known == path)
            .map(|(_, command)| *command)
    }

    /// How long its body may be.
    fn body_bytes_max(self) -> usize {
        match self {
            Self::Query => sizes::QUERY,
            Self::Kick | Self::Import => sizes::ORDINARY,
            Self::ImportMany => sizes::PROFILES,
            Self::Check | Self::Delete => sizes::ACCOUNTS,
            Self::Send | Self::SendMany => sizes::MESSAGE,
        }
    }
}

/// How a command may be sent. Some clients send a GET with a body.
const METHODS: [Method; 3] = [Method::POST, Method::GET, Method::HEAD];

/// The same for the header.
const ALLOWED: HeaderValue = HeaderValue::from_static("POST, GET, HEAD");

/// A request that is not carried out.
struct BackendRefusal {
    status: StatusCode,
    failure: Failure,
}

impl From<Failure> for BackendRefusal {
    fn from(failure: Failure) -> Self {
        Self {
            status: StatusCode::OK,
            failure,
        }
    }
}

impl From<Denied> for BackendRefusal {
    fn from(denied: Denied) -> Self {
        Self {
            status: denied.status,
            failure: Failure::new(codes::URL_INVALID, denied.text),
        }
    }
}

/// Answers a request. Nothing of its body is kept before the caller is known; an answer that does not wait for the whole
/// body is the connection's last.
pub(crate) async fn answer(
    state: &BackendState,
    peer: &HttpPeer,
    head: &Parts,
    body: Incoming,
) -> Response<Full<Bytes>> {
    let (answer, read) = match admit(state, peer, head).await {
        Ok(command) => {
            let body = state.http.bodies.read(body, command.body_bytes_max()).await;
            let read = body.as_ref().map(|_| ()).map_err(|fault| *fault);
            (
                carry_out(state, command, body)
                    .await
                    .map_err(BackendRefusal::from),
                read,
            )
        }
        Err(refused) => (Err(refused), state.http.bodies.discard(body).await),
    };
    let (status, answer) = match answer {
        Ok(answer) => (StatusCode::OK, answer),
        Err(BackendRefusal { status, failure }) => (status, reply::failure(&failure)),
    };
    let mut response = Response::new(answer.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match status {
        StatusCode::METHOD_NOT_ALLOWED => headers.extend([(ALLOW, ALLOWED)]),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => headers.extend([encoding::TAKEN]),
        _ => {}
    }
    if read.is_err() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Finds out what is asked, and whether the caller may ask it. Content-Type and Accept are of no interest: clients
/// send anything there.
async fn admit(
    state: &BackendState,
    peer: &HttpPeer,
    head: &Parts,
) -> Result<BackendCommand, BackendRefusal> {
    if !METHODS.contains(&head.method) {
        return Err(BackendRefusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            failure: Failure::new(codes::URL_INVALID, "use POST"),
        });
    }
    if let Err(denied) = access::admit_backend(&state.http.settings(), peer, head) {
        if let Some(reason) = denied.reason {
            state.http.count_failure(peer, reason).await;
        }
        return Err(denied.into());
    }
    let path = url::decode(head.uri.path());
    let path = path.ok_or_else(|| Failure::new(codes::URL_INVALID, "the path cannot be decoded"))?;
    let unknown = || {
        Failure::new(
            codes::COMMAND_UNKNOWN,
            "there is no such command: check the URL's path",
        )
    };
    let command = BackendCommand::of_path(&path).ok_or_else(unknown)?;
    caller::check(state, peer, head.uri.query().unwrap_or("")).await?;
    if !encoding::is_plain(&head.headers) {
        return Err(BackendRefusal {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            failure: Failure::new(codes::BODY_NOT_JSON, encoding::SEND_PLAIN),
        });
    }
    Ok(command)
}

async fn carry_out(
    state: &BackendState,
    command: BackendCommand,
    body: Result<ReadBody<'_>, BodyFault>,
) -> Result<Vec<u8>, Failure> {
    let held = body.map_err(unread)?;
    let body = &held.bytes;
    match command {
        BackendCommand::Query => {
            let mut watch = state.http.clock.borrow().clone();
            watch.now();
            let answer = status::answer(state, &query::read(body)?).await;
            state.http.query_times.borrow_mut().record(watch.since_now(), 1);
            answer
        }
        BackendCommand::Kick => kick(state, accounts::read_user(&accounts::read_body(body)?)?).await,
        BackendCommand::Import => accounts::import(state, body).await,
        BackendCommand::ImportMany => accounts::import_many(state, body).await,
        BackendCommand::Check => accounts::check(state, body).await,
        BackendCommand::Delete => accounts::delete(state, body).await,
        BackendCommand::Send => messages::send_one(state, &read_message(body)?).await,
        BackendCommand::SendMany => messages::send_many(state, &read_message(body)?).await,
    }
}

/// A message's JSON. The text is the one that the vendor's documentation prints for this code.
fn read_message(body: &[u8]) -> Result<Value, Failure> {
    let not_json = "Fail to Parse json data of body, Please check it";
    let value = json::read(body).map_err(|_| Failure::new(codes::QUERY_BODY_INVALID, not_json))?;
    let is_object = value.is_object().then_some(value);
    is_object.ok_or_else(|| Failure::new(codes::QUERY_BODY_INVALID, not_json))
}

fn unread(fault: BodyFault) -> Failure {
    match fault {
        BodyFault::TooLarge(bytes_max) => Failure::new(
            codes::BODY_NOT_JSON,
            format!("the body has more than {bytes_max} bytes"),
        ),
        BodyFault::Late => Failure::new(codes::TIMED_OUT, "the body did not come in time"),
        BodyFault::NoRoom => Failure::new(
            codes::TOO_FREQUENT,
            "too much is being sent at once: try again later",
        ),
        BodyFault::Broken => Failure::new(codes::TIMED_OUT, "the body is not what its headers say"),
    }
}

async fn kick(state: &BackendState, user: UserId) -> Result<Vec<u8>, Failure> {
    let asked = state
        .http
        .pending
        .ask_home(RequestPurpose::Change, user, UserRequest::Kick);
    match asked.await.map_err(Failure::of_no_reply)? {
        ToHttp::Kicked(_, Ok(())) => {
            caller::kicked(state, &user);
            Ok(reply::DONE.to_vec())
        }
        ToHttp::Kicked(_, Err(KickError::UnknownAccount | KickError::UnknownDevice)) => {
            Err(Failure::new(codes::ACCOUNT_UNKNOWN, "the account does not exist"))
        }
        ToHttp::Kicked(_, Err(KickError::Busy)) => Err(Failure::new(
            codes::TOO_FREQUENT,
            "too much waits for this user: try again later",
        )),
        ToHttp::Statuses(..) | ToHttp::Inspected(..) | ToHttp::Accounts(..) | ToHttp::Sent(..) => {
            unreachable!("a kick is answered by its outcome")
        }
    }
}
