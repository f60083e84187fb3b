//! What a number of users needs of a cluster: nodes that go on when one of them is lost, and the servers of their shared store. Every
//! number has a name and says where it comes from, as those of one host do.

mod constants;

use std::time::Duration;

use super::{
    CORE_SHARE_FOR_HEARTBEATS, CORES_MIN, Constant, HEARTBEAT_CPU_US, LOGIN_CPU_US, MEMORY_SHARE, Need,
    USER_BYTES_PER_CONNECTION, Wanted,
};
use crate::node::config::Config;
pub(in crate::cli) use constants::CONSTANTS;
use constants::{
    CHANGES_PER_LOGIN, HEARTBEAT_WIRE_BYTES, LOGIN_WIRE_BYTES, LOGINS_PER_CONNECTION_AND_DAY,
    MASTER_CHANGE_CPU_US, MASTER_CORE_SHARE, MASTERS_MIN, NODE_CONNECTION_USER_BYTES, NODE_LOGIN_CPU_US,
    NODE_STATUS_CPU_US, NODES_MIN, PEAK_TO_AVERAGE, REDIRECT_CPU_US, REPLICA_CHANGE_CPU_US,
    RETURN_SHARE_OF_GRACE, SERVER_BYTES_MAX, STATUSES_PER_CONNECTION_AND_SECOND, STORE_CHANGE_BYTES,
    STORE_CHANGE_RECEIVED_BYTES, STORE_CHANGE_REPLICATED_BYTES, STORE_MEMORY_PER_DATA, STORE_USER_BYTES,
    USERS_PER_CONNECTION,
};

/// Partitions, and the most nodes that they are good for, as `holdfast cluster create` says.
const PARTITIONS: [(u64, u64); 3] = [(256, 16), (1_024, 64), (4_096, 256)];

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct ClusterWanted {
    /// All connections together, as of one host.
    pub(in crate::cli) all: Wanted,
    /// Accounts on record.
    pub(in crate::cli) users: u64,
    /// In a busy second.
    pub(in crate::cli) logins_per_second: f64,
    pub(in crate::cli) statuses_per_second: f64,
    /// Connections that a node may have when another one is lost.
    pub(in crate::cli) node_connections_max: u64,
    /// Replicas of each master.
    pub(in crate::cli) copies: u64,
    pub(in crate::cli) changes_kept: Duration,
    pub(in crate::cli) restart_grace: Duration,
    /// After which a node counts as dead.
    pub(in crate::cli) dead_after: Duration,
}

/// What was typed of it; the rest is the configuration's, or chosen.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::cli) struct TypedCluster {
    pub(in crate::cli) users: Option<u64>,
    pub(in crate::cli) logins_per_second: Option<u64>,
    pub(in crate::cli) statuses_per_second: Option<u64>,
    pub(in crate::cli) node_connections_max: u64,
}

/// What a cluster must have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::cli) struct ClusterNeed {
    pub(in crate::cli) nodes: u64,
    pub(in crate::cli) partitions: u64,
    /// Connections of the fullest node when all are there, and when one is lost.
    pub(in crate::cli) held: u64,
    pub(in crate::cli) held_after_loss: u64,
    /// What each node must have to hold the latter, as a gateway by itself.
    pub(in crate::cli) node: Need,
    /// Memory that it must have in all: of the host of such a gateway, and what connections take more at a node.
    pub(in crate::cli) node_bytes: u64,
    /// Cores of a node that are busy in a busy second when another one is lost.
    pub(in crate::cli) busy: NodeWork,
    /// How long it takes until everyone of a lost node is back, from when it is found dead.
    pub(in crate::cli) return_seconds: f64,
    pub(in crate::cli) node_bytes_per_second: f64,
    pub(in crate::cli) store: StoreNeed,
}

/// Cores that are busy with each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::cli) struct NodeWork {
    pub(in crate::cli) heartbeats: f64,
    pub(in crate::cli) changes: f64,
    pub(in crate::cli) redirects: f64,
    pub(in crate::cli) statuses: f64,
}

impl NodeWork {
    pub(in crate::cli) fn sum(self) -> f64 {
        self.heartbeats + self.changes + self.redirects + self.statuses
    }
}

/// What the shared store must have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::cli) struct StoreNeed {
    pub(in crate::cli) masters: u64,
    pub(in crate::cli) replicas: u64,
    /// In a busy second.
    pub(in crate::cli) changes_per_second: f64,
    /// Data of all masters together.
    pub(in crate::cli) user_bytes: u64,
    pub(in crate::cli) change_bytes: u64,
    /// Of the latter what one day takes.
    pub(in crate::cli) change_bytes_per_day: u64,
    /// Memory of each server.
    pub(in crate::cli) server_bytes: u64,
    /// Cores that are busy in a busy second, of each.
    pub(in crate::cli) master_busy: f64,
    pub(in crate::cli) replica_busy: f64,
    /// What each master receives and sends in a busy second.
    pub(in crate::cli) master_bytes_per_second: f64,
}

impl ClusterWanted {
    #[expect(clippy::cast_precision_loss, reason = "estimates of numbers far below 2^53")]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "they are positive"
    )]
    pub(in crate::cli) fn new(config: &Config, all: Wanted, typed: &TypedCluster) -> Self {
        let connections = all.connections as f64;
        let logins_by_day = connections * LOGINS_PER_CONNECTION_AND_DAY.value / 86_400.0;
        let typed_or = |typed: Option<u64>, else_: f64| typed.map_or(else_, |typed| typed as f64);
        Self {
            all,
            users: typed_or(typed.users, connections * USERS_PER_CONNECTION.value) as u64,
            logins_per_second: typed_or(typed.logins_per_second, logins_by_day * PEAK_TO_AVERAGE.value),
            statuses_per_second: typed_or(
                typed.statuses_per_second,
                connections * STATUSES_PER_CONNECTION_AND_SECOND.value,
            ),
            node_connections_max: typed.node_connections_max,
            copies: u64::from(config.shared_store.copies),
            changes_kept: config.registry.changes_kept,
            restart_grace: config.logic.restart_grace,
            dead_after: config.cluster.lease * 3 / 2,
        }
    }
}

/// What it needs. `None`: no number of partitions is good for so many nodes.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "estimates of positive numbers far below 2^53"
)]
pub(in crate::cli) fn need(wanted: &ClusterWanted) -> Option<ClusterNeed> {
    let connections = wanted.all.connections;
    let nodes = (connections.div_ceil(wanted.node_connections_max) + 1).max(NODES_MIN.value as u64);
    let (partitions, _) = PARTITIONS.into_iter().find(|(_, most)| nodes <= *most)?;
    // Partitions are whole: some nodes have one more than others.
    let fullest = |nodes: u64| (connections * partitions.div_ceil(nodes)).div_ceil(partitions);
    let (held, held_after_loss) = (fullest(nodes), fullest(nodes - 1));
    let part = held_after_loss as f64 / connections as f64;
    let busy = busy(wanted, nodes, part);
    let seconds = wanted
        .restart_grace
        .saturating_sub(wanted.dead_after)
        .as_secs_f64();
    let seconds = (seconds * RETURN_SHARE_OF_GRACE.value).max(1.0);
    // Each comes to any of the others first, and is sent on.
    let return_core_seconds = held as f64 * (LOGIN_CPU_US.value + REDIRECT_CPU_US.value) / 1e6;
    let return_cores = return_core_seconds / (nodes - 1) as f64 / seconds;
    let at_peak = busy.sum() / CORE_SHARE_FOR_HEARTBEATS.value;
    let cores = at_peak.max(busy.sum() + return_cores).ceil() as u64;
    let by_tls = (wanted.all.by_tls as f64 * part).ceil() as u64;
    let one = Wanted {
        connections: held_after_loss,
        by_tls: by_tls.min(held_after_loss),
        ..wanted.all
    };
    let node = super::need_with(&one, cores.max(CORES_MIN));
    let more = NODE_CONNECTION_USER_BYTES.value - USER_BYTES_PER_CONNECTION.value;
    let more = held_after_loss as f64 * more.max(0.0) / MEMORY_SHARE.value;
    let wire = node.heartbeats_per_second * HEARTBEAT_WIRE_BYTES.value
        + wanted.logins_per_second * part * LOGIN_WIRE_BYTES.value;
    Some(ClusterNeed {
        nodes,
        partitions,
        held,
        held_after_loss,
        return_seconds: return_core_seconds / ((nodes - 1) as f64 * (node.cores as f64 - busy.sum())),
        node,
        node_bytes: node.host_bytes + more.ceil() as u64,
        busy,
        node_bytes_per_second: wire,
        store: store(wanted),
    })
}

/// Of a node that has this part of everything, of so many nodes.
#[expect(clippy::cast_precision_loss, reason = "estimates of numbers far below 2^53")]
fn busy(wanted: &ClusterWanted, nodes: u64, part: f64) -> NodeWork {
    let cores = |per_second: f64, cpu_us: Constant| per_second * part * cpu_us.value / 1e6;
    let heartbeats = wanted.all.connections as f64 / wanted.all.heartbeat.as_secs_f64();
    let elsewhere = (nodes - 1) as f64 / nodes as f64;
    NodeWork {
        heartbeats: cores(heartbeats, HEARTBEAT_CPU_US),
        changes: cores(
            wanted.logins_per_second * CHANGES_PER_LOGIN.value,
            NODE_LOGIN_CPU_US,
        ),
        // As if none of them remembered where its user is.
        redirects: cores(wanted.logins_per_second * elsewhere, REDIRECT_CPU_US),
        statuses: cores(wanted.statuses_per_second, NODE_STATUS_CPU_US),
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "estimates of positive numbers far below 2^53"
)]
fn store(wanted: &ClusterWanted) -> StoreNeed {
    let changes_per_second = wanted.logins_per_second * CHANGES_PER_LOGIN.value;
    let user_bytes = wanted.users as f64 * STORE_USER_BYTES.value;
    let average = changes_per_second / PEAK_TO_AVERAGE.value;
    let a_day = average * 86_400.0 * STORE_CHANGE_BYTES.value;
    let change_bytes = a_day * wanted.changes_kept.as_secs_f64() / 86_400.0;
    let memory = (user_bytes + change_bytes) * STORE_MEMORY_PER_DATA.value;
    let cpu = |each: Constant| changes_per_second * each.value / 1e6;
    let by_memory = memory / SERVER_BYTES_MAX.value;
    let by_cpu = cpu(MASTER_CHANGE_CPU_US) / MASTER_CORE_SHARE.value;
    let masters = by_memory.max(by_cpu).max(MASTERS_MIN.value).ceil();
    // A master sends a change to each of its replicas.
    let replicated = STORE_CHANGE_REPLICATED_BYTES.value * wanted.copies as f64;
    StoreNeed {
        masters: masters as u64,
        replicas: masters as u64 * wanted.copies,
        changes_per_second,
        user_bytes: user_bytes as u64,
        change_bytes: change_bytes as u64,
        change_bytes_per_day: a_day as u64,
        server_bytes: (memory / masters).ceil() as u64,
        master_busy: cpu(MASTER_CHANGE_CPU_US) / masters,
        replica_busy: cpu(REPLICA_CHANGE_CPU_US) / masters,
        master_bytes_per_second: changes_per_second * (STORE_CHANGE_RECEIVED_BYTES.value + replicated)
            / masters,
    }
}

#[cfg(test)]
mod tests;
