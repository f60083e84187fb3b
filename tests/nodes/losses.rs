//! A shared store that lacks what was confirmed.

use std::net::SocketAddr;

use holdfast::base::ids::{PartitionId, UserId};
use holdfast::protocol::native::proto::{Code, Platform};
use serde_json::{Value, json};

use crate::node::{Cluster, Node, arrive, following, wait_until};
use crate::servers::{PARTITIONS, key};
use crate::shared_store::keys::PartitionKey;
use crate::support::http::Http;
use crate::support::terminal::Terminal;

/// The lane of a partition, as the node shows it.
fn lane(node: &Node, partition: PartitionId) -> Value {
    let (status, body) = Http::default().get(node.gateway.admin, "/v1/lanes");
    assert_eq!(status, 200, "{body}");
    let shown: Value = serde_json::from_str(&body).unwrap();
    shown["lanes"][usize::from(partition.0)].clone()
}

fn accept(admin: SocketAddr, partition: PartitionId) -> u16 {
    let body = json!({ "partition": partition.0 });
    Http::default().post(admin, "/v1/cluster/accept-loss", &body).0
}

#[test]
fn a_partition_that_lost_confirmed_changes_goes_on_when_the_operator_accepts_it() {
    let cluster = Cluster::found(&[("presence.policy", "\"single\"")]);
    let one = cluster.start(1);
    cluster.wait_whole(&[&one]);
    let log_in = |platform| arrive(&one, &following("alice", platform, 1)).1;
    log_in(Platform::Android);
    log_in(Platform::Windows);
    // What it wrote in this life, a node could write again.
    one.gateway.ask_to_stop();
    let mut one = one;
    wait_until("it has ended", || one.gateway.has_ended());
    let one = cluster.start_again(one);
    cluster.wait_whole(&[&one]);
    let partition = UserId::new(b"alice").unwrap().partition(PARTITIONS);
    wait_until("its lane is open", || lane(&one, partition)["here"] == true);
    let last = lane(&one, partition)["last"].as_u64().unwrap();
    assert_eq!(accept(one.gateway.admin, partition), 409, "nothing is lost");
    let seq = (last - 1).to_string();
    let meta = key(partition, PartitionKey::Meta);
    let _: i64 = cluster.store[0].ask(&["HSET", &meta, "seq", &seq]);
    let refused = Terminal::try_log_in(one.gateway.terminals, following("alice", Platform::Mac, 1));
    let refused = refused.expect("it is answered").1.verdict.unwrap();
    assert_ne!(refused.code(), Code::Ok);
    wait_until("the node knows", || one.view()["behind"] == json!([partition.0]));
    assert_eq!(accept(one.gateway.admin, partition), 200);
    let (terminal, session, _) = arrive(&one, &following("alice", Platform::Mac, 1));
    assert_eq!(one.user("alice")["devices"][0]["session"], session);
    wait_until("it is shown", || one.view()["behind"] == json!([]));
    wait_until("its lane is open again", || lane(&one, partition)["here"] == true);
    let after = lane(&one, partition)["last"].as_u64().unwrap();
    assert!(after > last, "no place is given twice: {after} behind {last}");
    drop(terminal);
}
