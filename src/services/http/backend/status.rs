//! A status query: each user's home shard is asked for its share of the users, and the answer is put together in their order.

use crate::base::ids::{RequestId, ShardId, UserId};
use crate::logic::delivery::{Delivery, ToHttp, ToShard};
use crate::logic::user_status::{BriefStatus, QueryDepth, StatusList, UserStatus};
use crate::services::http::backend::codes::Failure;
use crate::services::http::backend::query::Query;
use crate::services::http::backend::reply::Statuses;
use crate::services::http::backend::state::BackendState;
use crate::services::http::pending::RequestPurpose;

/// The whole answer to a query.
pub(super) async fn answer(state: &BackendState, query: &Query) -> Result<Vec<u8>, Failure> {
    let mut statuses = Statuses::new(query.users.len(), query.detail);
    if !query.users.is_empty() {
        put_users(state, query, &mut statuses).await?;
    }
    query.nobodies.iter().for_each(|text| statuses.put_nobody(text));
    Ok(statuses.finish())
}

async fn put_users(state: &BackendState, query: &Query, statuses: &mut Statuses) -> Result<(), Failure> {
    let (shards, depth) = (state.http.pending.shards, query.detail.depth());
    let homes: Vec<ShardId> = query.users.iter().map(|user| user.home(shards)).collect();
    let answers = state
        .http
        .pending
        .ask(RequestPurpose::Read, |request| {
            share_out((request, depth), &query.users, &homes, shards)
        })
        .await;
    let mut shares = gather(answers.map_err(Failure::of_no_reply)?, shards);
    for (user, home) in query.users.iter().zip(&homes) {
        match &mut shares[usize::from(home.0)] {
            StatusShare::Status(share) => statuses.put_brief(user, share.next().expect(IN_ORDER)),
            StatusShare::Devices(share) => statuses.put(user, &share.next().expect(IN_ORDER)),
        }
    }
    Ok(())
}

/// One request for each shard that is home to any of the users, with its share of them in their order.
fn share_out(
    (request, depth): (RequestId, QueryDepth),
    users: &[UserId],
    homes: &[ShardId],
    shards: u16,
) -> Vec<Delivery> {
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
        .map(|(shard, share)| Delivery::Shard(shard, ToShard::Query(request, depth, share)))
        .collect()
}

/// What is left of one shard's share of the answers.
enum StatusShare {
    Status(std::vec::IntoIter<BriefStatus>),
    Devices(std::vec::IntoIter<UserStatus>),
}

const IN_ORDER: &str = "a shard answers each user that it was asked for, in the order in which it was asked";

/// Each shard's share of the answers.
fn gather(answers: Vec<ToHttp>, shards: u16) -> Vec<StatusShare> {
    let none = || StatusShare::Status(Vec::new().into_iter());
    let mut shares: Vec<StatusShare> = (0..shards).map(|_| none()).collect();
    for answer in answers {
        match answer {
            ToHttp::Statuses(_, share) => {
                let first = share.users.first().expect("no shard is asked for nobody");
                shares[usize::from(first.home(shards).0)] = match share.statuses {
                    StatusList::Status(all) => StatusShare::Status(all.into_iter()),
                    StatusList::Devices(all) => StatusShare::Devices(all.into_iter()),
                };
            }
            ToHttp::Kicked(..) | ToHttp::Inspected(..) | ToHttp::Accounts(..) => {
                unreachable!("a query is answered by statuses")
            }
        }
    }
    shares
}
