//! A message to some users: each home is given its share of them, and what became of it is put together in their order.

use std::sync::Arc;

use crate::base::ids::RequestId;
use crate::logic::delivery::{Delivery, ToHttp, ToPeer, ToShard};
use crate::logic::message::{SendOrder, SendRefusal, TargetOutcome, TargetResult};
use crate::services::http::homes::{HomesNow, UserHome};
use crate::services::http::pending::{NoReply, PendingRequests, RequestPurpose};
use crate::services::http::shares::Shares;

/// Sends a message to its targets, at least one, by their homes, one for each, and gives what became of it at each, in their order.
///
/// # Errors
/// If there is no answer. What was sent may arrive all the same.
pub(super) async fn send(
    pending: &PendingRequests,
    order: &SendOrder,
    (now, homes): (&HomesNow, &[UserHome]),
) -> Result<Vec<TargetResult>, NoReply> {
    let shares = Shares::of(now.shards, homes);
    let mut gathered: Vec<std::vec::IntoIter<TargetResult>> = Vec::new();
    gathered.resize_with(shares.count(), || Vec::new().into_iter());
    if homes.iter().any(|home| *home != UserHome::Nobody) {
        let parts = |request| share_out((request, order), homes, &shares);
        for answer in pending.ask(RequestPurpose::Read, parts).await? {
            let ToHttp::Sent(_, share) = answer else {
                unreachable!("what is sent is answered by what became of it")
            };
            let first = share.first().expect("no home is asked for nobody");
            let place = order.targets.iter().position(|target| target.user == first.user);
            let home = homes[place.expect("homes answer for those whom they were asked for")];
            gathered[shares.index(home)] = share.into_iter();
        }
    }
    let targets = order.targets.iter().zip(homes);
    let results = targets.map(|(target, home)| {
        let result = gathered[shares.index(*home)].next();
        result.unwrap_or(TargetResult {
            user: target.user,
            outcome: TargetOutcome::Refused(SendRefusal::Unavailable),
        })
    });
    Ok(results.collect())
}

/// One request for each home of any of the targets, with its share of them in their order.
fn share_out(
    (request, order): (RequestId, &SendOrder),
    homes: &[UserHome],
    shares: &Shares,
) -> Vec<Delivery> {
    let part = |home: UserHome| {
        let targets = order.targets.iter().zip(homes);
        let targets = targets
            .filter(|(_, of)| **of == home)
            .map(|(target, _)| target.clone());
        Box::new(SendOrder {
            content: Arc::clone(&order.content),
            name: Arc::clone(&order.name),
            collapse: order.collapse.clone(),
            targets: targets.collect(),
            ..*order
        })
    };
    let parts = shares.homes().filter(|home| homes.contains(home));
    parts
        .map(|home| match home {
            UserHome::Shard(shard) => Delivery::Shard(shard, ToShard::Send(request, part(home))),
            UserHome::Peer(node) => Delivery::Peer(node, ToPeer::Send(request, part(home))),
            UserHome::Nobody => unreachable!("it has no share"),
        })
        .collect()
}
