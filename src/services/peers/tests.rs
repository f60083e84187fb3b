//! Two nodes that speak over real connections.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::spawn_local;

use super::door::{AnswersPeers, PeersDoor};
use super::{Exchange, ExchangeHandle, OwnedPartition, PeerIdentity, PeersClient};
use crate::base::ids::{NodeId, RequestId, UserId};
use crate::logic::delivery::{Delivery, KickError, Router, ToHttp, ToPeer};
use crate::services::runtime;

const PATIENCE: Duration = Duration::from_secs(20);

/// Kicks everyone but those called `late`.
struct Kicks;

impl AnswersPeers for Kicks {
    async fn answer(&self, asked: ToPeer) -> Option<ToHttp> {
        let ToPeer::Kick(id, user) = asked else {
            panic!("{asked:?}")
        };
        (user.as_str() != "late").then_some(ToHttp::Kicked(id, Ok(())))
    }
}

fn identity(node: u16) -> PeerIdentity {
    PeerIdentity::new(NodeId(node), "test", "a secret of this test".into()).unwrap()
}

fn exchange(incarnation: u64) -> (ExchangeHandle, Receiver<(NodeId, Exchange)>) {
    let (heard, hears) = unbounded();
    let own = Arc::new(move || stands(incarnation));
    (ExchangeHandle { own, heard }, hears)
}

fn stands(incarnation: u64) -> Exchange {
    let owned = OwnedPartition {
        partition: 3,
        epoch: 4,
        confirmed: 5,
    };
    Exchange {
        has_lease: true,
        incarnation,
        had_store_ago_ms: Some(1_200),
        owned: vec![owned],
    }
}

/// A node that can be asked, on a thread of its own. Gives where it is, and what it hears.
fn serving(node: u16) -> (String, Receiver<(NodeId, Exchange)>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (exchange, hears) = exchange(u64::from(node));
    std::thread::spawn(move || {
        runtime::block_on(async {
            listener.set_nonblocking(true).unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            let door = PeersDoor {
                identity: identity(node),
                exchange,
                answers: Rc::new(Kicks),
            };
            spawn_local(Rc::new(door).run(listener)).await.unwrap();
        })
    });
    (address, hears)
}

/// The client of node 1, and the replies that it gives.
fn client(addresses: &[(u16, &str)]) -> (PeersClient, Receiver<ToHttp>, Receiver<(NodeId, Exchange)>) {
    let addresses: BTreeMap<_, _> = addresses
        .iter()
        .map(|(node, address)| (NodeId(*node), (*address).to_owned()))
        .collect();
    let (exchange, hears) = exchange(1);
    let (replies, replied) = unbounded();
    let router: Router = Box::new(move |delivery| {
        let Delivery::Http(reply) = delivery else {
            panic!("{delivery:?}")
        };
        replies.send(reply).unwrap();
        Ok(())
    });
    let known = watch::channel(Arc::new(addresses)).1;
    (
        PeersClient::start(identity(1), known, exchange, router).unwrap(),
        replied,
        hears,
    )
}

fn kick(id: u64, user: &str) -> ToPeer {
    ToPeer::Kick(RequestId(id), UserId::new(user.as_bytes()).unwrap())
}

#[test]
fn a_request_goes_to_its_node_and_the_answer_comes_back() {
    let (second, second_hears) = serving(2);
    let (client, replied, hears) = client(&[(1, "127.0.0.1:1"), (2, &second)]);
    // Both know how the other stands: the connection is there.
    assert_eq!(hears.recv_timeout(PATIENCE).unwrap(), (NodeId(2), stands(2)));
    assert_eq!(
        second_hears.recv_timeout(PATIENCE).unwrap(),
        (NodeId(1), stands(1))
    );
    for id in 0..500 {
        client.sender().try_send((NodeId(2), kick(id, "alice"))).unwrap();
    }
    let mut replies: Vec<_> = (0..500)
        .map(|_| replied.recv_timeout(PATIENCE).unwrap())
        .collect();
    let number = |reply: &ToHttp| {
        let ToHttp::Kicked(id, Ok(())) = reply else {
            panic!("{reply:?}")
        };
        id.0
    };
    replies.sort_by_key(number);
    assert!(replies.iter().map(number).eq(0..500));
    // One that is not answered there in time is refused.
    client.sender().try_send((NodeId(2), kick(600, "late"))).unwrap();
    let busy = |id| ToHttp::Kicked(RequestId(id), Err(KickError::Busy));
    assert_eq!(replied.recv_timeout(PATIENCE).unwrap(), busy(600));
    client.finish().unwrap();
}

#[test]
fn a_request_to_a_node_that_is_not_there_is_refused() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let (third, _hears) = serving(3);
    // Another node than the one that is looked for is there, too.
    let (client, replied, _) = client(&[(2, &nobody), (4, &third)]);
    for (id, node) in [(1, 2), (2, 4), (3, 7)] {
        client
            .sender()
            .try_send((NodeId(node), kick(id, "alice")))
            .unwrap();
    }
    let mut refused: Vec<_> = (0..3)
        .map(|_| replied.recv_timeout(PATIENCE).unwrap())
        .map(|reply| {
            let ToHttp::Kicked(id, Err(KickError::Busy)) = reply else {
                panic!("{reply:?}")
            };
            id.0
        })
        .collect();
    refused.sort_unstable();
    assert_eq!(refused, [1, 2, 3]);
    client.finish().unwrap();
}
