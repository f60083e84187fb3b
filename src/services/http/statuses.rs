//! The statuses of some users: each home is asked for its share of them, and what comes is put together in their order.

use crate::base::ids::{RequestId, UserId};
use crate::logic::delivery::{Delivery, ToHttp, ToPeer, ToShard};
use crate::logic::user_status::{BriefStatus, QueryDepth, StatusList, UserStatus};
use crate::services::http::homes::{HomesNow, UserHome};
use crate::services::http::pending::{NoReply, PendingRequests, RequestPurpose};
use crate::services::http::shares::Shares;

/// What was found of a user, as deep as was asked.
pub(super) enum FoundStatus<'a> {
    /// To [`QueryDepth::Status`].
    Brief(BriefStatus),
    /// To [`QueryDepth::Devices`].
    Full(&'a UserStatus),
}

/// Asks for users, at least one, by their homes, one for each, and puts what was found of each, in their order.
///
/// # Errors
/// If there is no answer.
pub(super) async fn ask(
    pending: &PendingRequests,
    (users, depth): (&[UserId], QueryDepth),
    (now, homes): (&HomesNow, &[UserHome]),
    mut put: impl FnMut(&UserId, FoundStatus<'_>),
) -> Result<(), NoReply> {
    let shares = Shares::of(now.shards, homes);
    let mut gathered: Vec<StatusShare> = (0..shares.count()).map(|_| StatusShare::Nobody).collect();
    if homes.iter().any(|home| *home != UserHome::Nobody) {
        let parts = |request| share_out((request, depth), users, homes, &shares);
        for answer in pending.ask(RequestPurpose::Read, parts).await? {
            let ToHttp::Statuses(_, share) = answer else {
                unreachable!("a query is answered by statuses")
            };
            let first = share.users.first().expect("no home is asked for nobody");
            gathered[shares.index(now.of(first))] = match share.statuses {
                StatusList::Status(all) => StatusShare::Status(all.into_iter()),
                StatusList::Devices(all) => StatusShare::Devices(all.into_iter()),
            };
        }
    }
    for (user, home) in users.iter().zip(homes) {
        match &mut gathered[shares.index(*home)] {
            StatusShare::Nobody => match depth {
                QueryDepth::Status => put(user, FoundStatus::Brief(BriefStatus::Unavailable)),
                QueryDepth::Devices => put(user, FoundStatus::Full(&UserStatus::Unavailable)),
            },
            StatusShare::Status(share) => put(user, FoundStatus::Brief(share.next().expect(IN_ORDER))),
            StatusShare::Devices(share) => put(user, FoundStatus::Full(&share.next().expect(IN_ORDER))),
        }
    }
    Ok(())
}

const IN_ORDER: &str = "a home answers each user that it was asked for, in the order in which it was asked";

/// What is left of one home's share of the answers.
enum StatusShare {
    Nobody,
    Status(std::vec::IntoIter<BriefStatus>),
    Devices(std::vec::IntoIter<UserStatus>),
}

/// One request for each home of any of the users, with its share of them in their order.
fn share_out(
    (request, depth): (RequestId, QueryDepth),
    users: &[UserId],
    homes: &[UserHome],
    shares: &Shares,
) -> Vec<Delivery> {
    let mut lists = vec![Vec::new(); shares.count() - 1];
    let usual = users.len() / lists.len() + 1;
    for (user, home) in users
        .iter()
        .zip(homes)
        .filter(|(_, home)| **home != UserHome::Nobody)
    {
        let list = &mut lists[shares.index(*home)];
        if list.is_empty() {
            list.reserve(usual);
        }
        list.push(*user);
    }
    let asked = shares.homes().zip(lists).filter(|(_, list)| !list.is_empty());
    asked
        .map(|(home, list)| match home {
            UserHome::Shard(shard) => Delivery::Shard(shard, ToShard::Query(request, depth, list)),
            UserHome::Peer(node) => Delivery::Peer(node, ToPeer::Query(request, depth, list)),
            UserHome::Nobody => unreachable!("it has no list"),
        })
        .collect()
}
