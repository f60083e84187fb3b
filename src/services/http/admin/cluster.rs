//! How the cluster stands, as this node sees it, as JSON; and what the operator wants of the node's part in it.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::base::ids::{NodeId, PartitionId};
use crate::logic::cluster::home::{Home, HomeMap};
use crate::services::cluster::event::Order;
use crate::services::cluster::published::NodeStatus;
use crate::services::http::admin::state::AdminState;
use crate::services::http::homes::ClusterView;
use crate::services::http::refusal::{JsonAnswer, JsonRefusal, json_response};

/// All that this node knows of its cluster.
pub(super) fn show(state: &AdminState) -> JsonAnswer {
    let view = state.http.pending.cluster().ok_or_else(no_cluster)?;
    let has_lease = state.http.pending.has_lease();
    Ok(json_response(&shown(view, has_lease)))
}

/// Has this node hand over all its users to the others, and leave.
pub(super) fn drain(state: &AdminState) -> JsonAnswer {
    order(state, Order::Drain)?;
    Ok(json_response(&json!({ "draining": true })))
}

/// Has this node go on with a partition although the shared store lacks changes of it that were confirmed.
pub(super) fn accept_loss(state: &AdminState, body: &Value) -> JsonAnswer {
    let view = state.http.pending.cluster().ok_or_else(no_cluster)?;
    let number = body.get("partition").and_then(Value::as_u64);
    let number = number.and_then(|number| u16::try_from(number).ok());
    let number = number.filter(|number| *number < view.homes.borrow().partitions());
    let Some(partition) = number.map(PartitionId) else {
        let text = "partition is missing, or not the number of one";
        return Err(JsonRefusal::new(StatusCode::BAD_REQUEST, text));
    };
    if !view.status.borrow().behind.contains(&partition) {
        let text =
            "this node has no such partition that is behind: see \"behind\" in /v1/cluster of each node";
        return Err(JsonRefusal::new(StatusCode::CONFLICT, text));
    }
    order(state, Order::AcceptLoss(partition))?;
    Ok(json_response(&json!({ "accepted": partition.0 })))
}

fn order(state: &AdminState, order: Order) -> Result<(), JsonRefusal> {
    let sent = state.orders.as_ref().ok_or_else(no_cluster)?.try_send(order);
    sent.map_err(|_| {
        let text = "too many such orders at once: try again";
        JsonRefusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
    })
}

fn no_cluster() -> JsonRefusal {
    let text = "this gateway is no node of a cluster: registry.store is not \"redis\"";
    JsonRefusal::new(StatusCode::NOT_IMPLEMENTED, text)
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
        "opening": status.opening,
        "settling": status.settling,
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
