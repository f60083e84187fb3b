//! The REST interface of the app's backend, as Tencent Cloud IM's: status queries, kicks and accounts. Every request that can be
//! read is answered with HTTP status 200; the verdict is in the body. Decides nothing about users.

use hyper::body::Bytes;
use hyper::http::request::Parts;

use super::accounts;
use super::codes::{self, Failure};
use super::gate::NoAnswer;
use super::query::{self, Query};
use super::reply::{self, Statuses};
use super::url;
use super::{Desk, Settings};
use crate::base::ids::{RequestId, ShardId, UserId};
use crate::logic::letter::{KickError, ToFront, ToShard, UserStatus};

/// Why a request's body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// It has more bytes than the limit.
    TooLarge,
    /// It took too long.
    Late,
    /// The connection broke, or it is no HTTP.
    Broken,
}

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
    fn of_path(path: &str) -> Option<Self> {
        match path {
            "/v4/openim/query_online_status"
            | "/v4/openim/querystate"
            | "/v4/im_open_login_svc/query_online_status" => Some(Self::Query),
            "/v4/im_open_login_svc/kick" => Some(Self::Kick),
            "/v4/im_open_login_svc/account_import" => Some(Self::Import),
            "/v4/im_open_login_svc/multiaccount_import" => Some(Self::ImportMany),
            "/v4/im_open_login_svc/account_check" => Some(Self::Check),
            "/v4/im_open_login_svc/account_delete" => Some(Self::Delete),
            _ => None,
        }
    }
}

/// The body of the answer to a request.
pub(super) async fn answer(desk: &Desk, head: &Parts, body: Result<Bytes, BodyFault>) -> Vec<u8> {
    let answer = match admit(desk, head) {
        Ok(command) => carry_out(desk, command, body).await,
        Err(failure) => Err(failure),
    };
    answer.unwrap_or_else(|failure| reply::failure(&failure))
}

/// Finds out what is asked, and whether the caller may ask it. Content-Type and Accept are of no interest: clients
/// send anything there.
fn admit(desk: &Desk, head: &Parts) -> Result<Command, Failure> {
    // Some clients send a GET with a body.
    if head.method != "POST" && head.method != "GET" {
        return Err(Failure::new(codes::URL_INVALID, "use POST"));
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
    check_caller(desk, head.uri.query().unwrap_or(""))?;
    Ok(command)
}

fn check_caller(desk: &Desk, query: &str) -> Result<(), Failure> {
    let parameter = |name| {
        let undecodable = |_| Failure::new(codes::URL_INVALID, format!("{name} cannot be decoded"));
        url::parameter(query, name).map_err(undecodable)
    };
    let app = parameter("sdkappid")?.filter(|app| !app.is_empty());
    let app = app.ok_or_else(|| Failure::new(codes::SDK_APP_ID_MISSING, "sdkappid is missing"))?;
    let settings = desk.settings();
    if app.parse() != Ok(settings.sdk_app_id) {
        return Err(Failure::new(
            codes::SDK_APP_ID_INVALID,
            "sdkappid is not the one of this gateway's app",
        ));
    }
    let caller = parameter("identifier")?.and_then(|name| UserId::new(name.as_bytes()).ok());
    let no_caller = || Failure::new(codes::IDENTIFIER_INVALID, "identifier is missing or no UserID");
    let caller = caller.ok_or_else(no_caller)?;
    check_user_sig(
        desk,
        &settings,
        &caller,
        &parameter("usersig")?.unwrap_or_default(),
    )?;
    if !settings.administrators.contains(&caller) {
        return Err(Failure::new(
            codes::NOT_ADMINISTRATOR,
            "identifier is not an administrator of the app",
        ));
    }
    Ok(())
}

fn check_user_sig(desk: &Desk, settings: &Settings, caller: &UserId, user_sig: &str) -> Result<(), Failure> {
    let app = (settings.sdk_app_id, &settings.keys[..]);
    let claims = desk
        .verifier
        .borrow_mut()
        .verify(desk.now().signing, app, caller, user_sig);
    claims
        .map(|_| ())
        .map_err(|fault| Failure::new(codes::of_fault(fault), fault.to_string()))
}

async fn carry_out(
    desk: &Desk,
    command: Command,
    body: Result<Bytes, BodyFault>,
) -> Result<Vec<u8>, Failure> {
    let body = body.map_err(|fault| match fault {
        BodyFault::TooLarge => {
            let bytes_max = desk.limits.body_bytes_max;
            Failure::new(
                codes::BODY_NOT_JSON,
                format!("the body has more than {bytes_max} bytes"),
            )
        }
        BodyFault::Late => Failure::new(codes::TIMED_OUT, "the body did not come in time"),
        BodyFault::Broken => Failure::new(codes::TIMED_OUT, "the body is not what its headers say"),
    })?;
    match command {
        Command::Query => answer_query(desk, &query::read(&body)?).await,
        Command::Kick => kick(desk, accounts::read_user(&accounts::read_body(&body)?)?).await,
        Command::Import => accounts::import(desk, &body).await,
        Command::ImportMany => accounts::import_many(desk, &body).await,
        Command::Check => accounts::check(desk, &body).await,
        Command::Delete => accounts::delete(desk, &body).await,
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
    let shards = desk.gate.shards;
    let homes: Vec<ShardId> = query.users.iter().map(|user| user.home(shards)).collect();
    let answers = desk
        .gate
        .ask(|request| share_out(request, &query.users, &homes, shards))
        .await;
    let mut shares = gather(answers.map_err(no_answer)?, shards);
    for (user, home) in query.users.iter().zip(&homes) {
        let share = &mut shares[usize::from(home.0)];
        let known = share
            .next()
            .expect("a shard answers each user that it was asked for");
        assert_eq!(
            known.user, *user,
            "a shard answers in the order in which it was asked"
        );
        statuses.put(user, &known.standing);
    }
    Ok(())
}

/// One letter for each shard that is home to any of the users, with its share of them in their order.
fn share_out(
    request: RequestId,
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
        .map(|(shard, share)| (shard, ToShard::Query(request, share)))
        .collect()
}

/// Each shard's share of the answers.
fn gather(answers: Vec<ToFront>, shards: u16) -> Vec<std::vec::IntoIter<UserStatus>> {
    let mut shares: Vec<_> = (0..shards).map(|_| Vec::new().into_iter()).collect();
    for answer in answers {
        match answer {
            ToFront::Statuses(_, share) => {
                let home = share
                    .first()
                    .expect("no shard is asked for nobody")
                    .user
                    .home(shards);
                shares[usize::from(home.0)] = share.into_iter();
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
        .ask(|request| vec![(home, ToShard::Kick(request, user))])
        .await;
    match answers.map_err(no_answer)?.pop() {
        Some(ToFront::Kicked(_, Ok(()))) => Ok(reply::DONE.to_vec()),
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
