//! How the cluster stands, as this node sees it, as JSON. It only shows.

use std::sync::atomic::Ordering;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::base::ids::{NodeId, PartitionId};
use crate::logic::cluster::home::{Home, HomeMap};
use crate::services::cluster::published::NodeStatus;
use crate::services::http::admin::refusal::{AdminAnswer, AdminRefusal, json_response};
use crate::services::http::admin::state::AdminState;
use crate::services::http::homes::ClusterView;

/// All that this node knows of its cluster.
pub(super) fn show(state: &AdminState) -> AdminAnswer {
    let view = state.http.pending.cluster().ok_or_else(no_cluster)?;
    let may_leave = state.http.pending.may_leave();
    Ok(json_response(&shown(view, may_leave)))
}

/// Has this node hand over all its users to the others, and leave.
pub(super) fn drain(state: &AdminState) -> AdminAnswer {
    let drain = state.drain.as_ref().ok_or_else(no_cluster)?;
    drain.store(true, Ordering::Release);
    Ok(json_response(&json!({ "draining": true })))
}

fn no_cluster() -> AdminRefusal {
    let text = "this gateway is no node of a cluster: registry.store is not \"redis\"";
    AdminRefusal::new(StatusCode::NOT_IMPLEMENTED, text)
}

fn shown(view: &ClusterView, has_lease: bool) -> Value {
    let (status, homes) = (view.status.borrow().clone(), view.homes.borrow().clone());
    let nodes = status.nodes.iter().map(|(id, node)| node_json(*id, node));
    json!({
        "node": view.node.0,
        "standing": status.standing,
        "lease": has_lease,
        "nodes": nodes.collect::<Vec<_>>(),
        "partitions": partitions(view.node, &homes),
        "homeless": status.homeless,
        "behind": status.behind.iter().map(|partition| partition.0).collect::<Vec<_>>(),
    })
}

fn node_json(id: NodeId, node: &NodeStatus) -> Value {
    json!({
        "node": id.0,
        "life": node.row.incarnation.0,
        "state": node.row.state.name(),
        "beat": node.row.beat,
        "weight": node.row.weight,
        "partitions": node.partitions,
        "version": node.says.version,
        "policy": node.says.policy,
        "public_tcp": node.says.public.tcp,
        "peers": node.says.peers,
        "admin": node.says.admin,
        "unreachable": node.row.unreachable.iter().map(|node| node.0).collect::<Vec<_>>(),
    })
}

/// Where each partition is at home; its epoch, if that is here.
fn partitions(own: NodeId, homes: &HomeMap) -> Vec<Value> {
    let home = |partition| match homes.of(PartitionId(partition)) {
        Home::Here(epoch) => json!({ "node": own.0, "epoch": epoch.0 }),
        Home::There(node) => json!({ "node": node.0, "epoch": null }),
        Home::Nobody => json!({ "node": null, "epoch": null }),
    };
    (0..homes.partitions()).map(home).collect()
}
