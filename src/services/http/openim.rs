//! The REST interface of the app's backend, as Tencent Cloud IM's: status queries, kicks and accounts. Every request that can be
//! read is answered with HTTP status 200; the verdict is in the body. Decides nothing about users.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use super::Desk;
use super::accounts;
use super::body::{BodyFault, Held};
use super::caller;
use super::codes::{self, Failure};
use super::encoding;
use super::gate::{NoAnswer, Purpose};
use super::guard::{self, Denied};
use super::peer::Peer;
use super::query::{self, Query};
use super::reply::{self, Statuses};
use super::{sizes, url};
use crate::base::ids::{RequestId, ShardId, UserId};
use crate::logic::letter::{Brief, Depth, KickError, Standing, Standings, ToFront, ToShard};

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Query,
    Kick,
    Import,
    ImportMany,
    Check,
    Delete,
}

impl Command {
    /// The paths of each command. The status query has two older ones.
    const PATHS: [(&str, Self); 8] = [
        ("/v4/openim/query_online_status", Self::Query),
        ("/v4/openim/querystate", Self::Query),
        ("/v4/im_open_login_svc/query_online_status", Self::Query),
        ("/v4/im_open_login_svc/kick", Self::Kick),
        ("/v4/im_open_login_svc/account_import", Self::Import),
        ("/v4/im_open_login_svc/multiaccount_import", Self::ImportMany),
        ("/v4/im_open_login_svc/account_check", Self::Check),
        ("/v4/im_open_login_svc/account_delete", Self::Delete),
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
        }
    }
}

/// The paths of all commands.
#[cfg(test)]
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    Command::PATHS.iter().map(|(path, _)| *path)
}

/// How a command may be sent. Some clients send a GET with a body.
const METHODS: [Method; 3] = [Method::POST, Method::GET, Method::HEAD];

/// The same for the header.
const ALLOWED: HeaderValue = HeaderValue::from_static("POST, GET, HEAD");

/// A request that is not carried out.
struct Refused {
    status: StatusCode,
    failure: Failure,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self {
            status: StatusCode::OK,
            failure,
        }
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        Self {
            status: denied.status,
            failure: Failure::new(codes::URL_INVALID, denied.text),
        }
    }
}

/// Answers a request. Nothing of its body is kept before the caller is known; an answer that does not wait for the whole
/// body is the connection's last.
pub(super) async fn answer(desk: &Desk, peer: &Peer, head: &Parts, body: Incoming) -> Response<Full<Bytes>> {
    let (answer, read) = match admit(desk, peer, head).await {
        Ok(command) => {
            let body = desk.bodies.read(body, command.body_bytes_max()).await;
            let read = body.as_ref().map(|_| ()).map_err(|fault| *fault);
            (carry_out(desk, command, body).await.map_err(Refused::from), read)
        }
        Err(refused) => (Err(refused), desk.bodies.discard(body).await),
    };
    let (status, answer) = match answer {
        Ok(answer) => (StatusCode::OK, answer),
        Err(Refused { status, failure }) => (status, reply::failure(&failure)),
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
async fn admit(desk: &Desk, peer: &Peer, head: &Parts) -> Result<Command, Refused> {
    if !METHODS.contains(&head.method) {
        return Err(Refused {
            status: StatusCode::METHOD_NOT_ALLOWED,
            failure: Failure::new(codes::URL_INVALID, "use POST"),
        });
    }
    if let Err(denied) = guard::admit_backend(&desk.settings(), peer, head) {
        if let Some(reason) = denied.reason {
            desk.count_failure(peer, reason).await;
        }
        return Err(denied.into());
    }
    let path = url::decode(head.uri.path(), url::Plus::Itself);
    let path = path.ok_or_else(|| Failure::new(codes::URL_INVALID, "the path cannot be decoded"))?;
    let unknown = || {
        Failure::new(
            codes::COMMAND_UNKNOWN,
            "there is no such command: check the URL's path",
        )
    };
    let command = Command::of_path(&path).ok_or_else(unknown)?;
    caller::check(desk, peer, head.uri.query().unwrap_or("")).await?;
    if !encoding::is_plain(&head.headers) {
        return Err(Refused {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            failure: Failure::new(codes::BODY_NOT_JSON, encoding::SEND_PLAIN),
        });
    }
    Ok(command)
}

async fn carry_out(
    desk: &Desk,
    command: Command,
    body: Result<Held<'_>, BodyFault>,
) -> Result<Vec<u8>, Failure> {
    let held = body.map_err(unread)?;
    let body = &held.bytes;
    match command {
        Command::Query => {
            let mut watch = desk.clock.borrow().clone();
            watch.now();
            let answer = answer_query(desk, &query::read(body)?).await;
            desk.query_times.borrow_mut().record(watch.since_now(), 1);
            answer
        }
        Command::Kick => kick(desk, accounts::read_user(&accounts::read_body(body)?)?).await,
        Command::Import => accounts::import(desk, body).await,
        Command::ImportMany => accounts::import_many(desk, body).await,
        Command::Check => accounts::check(desk, body).await,
        Command::Delete => accounts::delete(desk, body).await,
    }
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

async fn answer_query(desk: &Desk, query: &Query) -> Result<Vec<u8>, Failure> {
    let mut statuses = Statuses::new(query.users.len(), query.detail);
    if !query.users.is_empty() {
        put_users(desk, query, &mut statuses).await?;
    }
    query.nobodies.iter().for_each(|text| statuses.put_nobody(text));
    Ok(statuses.finish())
}

async fn put_users(desk: &Desk, query: &Query, statuses: &mut Statuses) -> Result<(), Failure> {
    let (shards, depth) = (desk.gate.shards, query.detail.depth());
    let homes: Vec<ShardId> = query.users.iter().map(|user| user.home(shards)).collect();
    let answers = desk
        .gate
        .ask(Purpose::Look, |request| {
            share_out((request, depth), &query.users, &homes, shards)
        })
        .await;
    let mut shares = gather(answers.map_err(no_answer)?, shards);
    for (user, home) in query.users.iter().zip(&homes) {
        match &mut shares[usize::from(home.0)] {
            Share::Status(share) => statuses.put_brief(user, share.next().expect(IN_ORDER)),
            Share::Devices(share) => statuses.put(user, &share.next().expect(IN_ORDER)),
        }
    }
    Ok(())
}

/// One letter for each shard that is home to any of the users, with its share of them in their order.
fn share_out(
    (request, depth): (RequestId, Depth),
    users: &[UserId],
    homes: &[ShardId],
    shards: u16,
) -> Vec<(ShardId, ToShard)> {
    let mut shares = vec![Vec::new(); usize::from(shards)];
    for (user, home) in users.iter().zip(homes) {
        let share = &mut shares[usize::from(home.0)];
        if share.is_empty() {
            share.reserve(users.len() / usize::from(shards) + 1);
        }
        share.push(*user);
    }
    let shares = (0..)
        .map(ShardId)
        .zip(shares)
        .filter(|(_, share)| !share.is_empty());
    shares
        .map(|(shard, share)| (shard, ToShard::Query(request, depth, share)))
        .collect()
}

/// What is left of one shard's share of the answers.
enum Share {
    Status(std::vec::IntoIter<Brief>),
    Devices(std::vec::IntoIter<Standing>),
}

const IN_ORDER: &str = "a shard answers each user that it was asked for, in the order in which it was asked";

/// Each shard's share of the answers.
fn gather(answers: Vec<ToFront>, shards: u16) -> Vec<Share> {
    let none = || Share::Status(Vec::new().into_iter());
    let mut shares: Vec<Share> = (0..shards).map(|_| none()).collect();
    for answer in answers {
        match answer {
            ToFront::Statuses(_, share) => {
                let first = share.users.first().expect("no shard is asked for nobody");
                shares[usize::from(first.home(shards).0)] = match share.standings {
                    Standings::Status(all) => Share::Status(all.into_iter()),
                    Standings::Devices(all) => Share::Devices(all.into_iter()),
                };
            }
            ToFront::Kicked(..) | ToFront::Inspected(..) | ToFront::Accounts(..) => {
                unreachable!("a query is answered by statuses")
            }
        }
    }
    shares
}

async fn kick(desk: &Desk, user: UserId) -> Result<Vec<u8>, Failure> {
    let home = user.home(desk.gate.shards);
    let answers = desk
        .gate
        .ask(Purpose::Change, |request| {
            vec![(home, ToShard::Kick(request, user))]
        })
        .await;
    match answers.map_err(no_answer)?.pop() {
        Some(ToFront::Kicked(_, Ok(()))) => {
            caller::kicked(desk, &user);
            Ok(reply::DONE.to_vec())
        }
        Some(ToFront::Kicked(_, Err(KickError::UnknownAccount | KickError::UnknownDevice))) => {
            Err(Failure::new(codes::ACCOUNT_UNKNOWN, "the account does not exist"))
        }
        Some(ToFront::Kicked(_, Err(KickError::Busy))) => Err(Failure::new(
            codes::TOO_FREQUENT,
            "too much waits for this user: try again later",
        )),
        Some(ToFront::Statuses(..) | ToFront::Inspected(..) | ToFront::Accounts(..)) | None => {
            unreachable!("a kick is answered by its outcome")
        }
    }
}

/// What is said to a request that got no answer.
pub(super) fn no_answer(why: NoAnswer) -> Failure {
    match why {
        NoAnswer::Full => Failure::new(codes::TOO_FREQUENT, "too many requests are open: try again later"),
        NoAnswer::Late => Failure::new(codes::TIMED_OUT, "the gateway did not answer in time: try again"),
    }
}
