//! How the node stands in its cluster, and how its registry gets on with the shared store, for Prometheus. Knows no page.

use crate::base::ids::PartitionId;
use crate::logic::cluster::home::Home;
use crate::services::http::homes::ClusterView;
use crate::services::http::metrics::exposition::{Exposition, MetricKind};
use crate::services::registry::shared::settings::{DeskFigures, DeskFiguresView};
use crate::services::shared_store::calls::NodeState;

/// What is shown of a cluster.
pub(crate) struct ClusterMetrics {
    pub(crate) view: ClusterView,
    pub(crate) figures: DeskFiguresView,
}

impl ClusterMetrics {
    /// Adds all of it. `has_lease`: whether answers from memory may leave now.
    pub(super) fn put(&self, has_lease: bool, out: &mut Exposition) {
        let (status, homes) = (
            self.view.status.borrow().clone(),
            self.view.homes.borrow().clone(),
        );
        let all = (0..homes.partitions()).map(PartitionId);
        let owned = all
            .filter(|partition| matches!(homes.of(*partition), Home::Here(_)))
            .count();
        let gauges = [
            (
                "cluster_lease_now",
                "1 while the node's sign of life in the shared store counts.",
                u64::from(has_lease),
            ),
            (
                "cluster_partitions_owned_now",
                "Partitions whose users are at home here.",
                owned as u64,
            ),
            (
                "cluster_partitions_homeless_now",
                "Partitions that are at home nowhere, as far as this node knows: their users cannot log in.",
                status.homeless as u64,
            ),
            (
                "cluster_partitions_opening_now",
                "Partitions that this node is about to open.",
                status.opening as u64,
            ),
            (
                "cluster_partitions_settling_now",
                "Partitions that this node is about to hand over, or to keep for its next life.",
                status.settling as u64,
            ),
            (
                "cluster_partitions_behind_now",
                "Partitions of this node that take no changes, since the shared store lacks what was confirmed.",
                status.behind.len() as u64,
            ),
        ];
        for (name, help, value) in gauges {
            out.one(&format!("holdfast_{name}"), MetricKind::Gauge, help, value);
        }
        let name = "holdfast_cluster_nodes_now";
        out.family(
            name,
            MetricKind::Gauge,
            "Nodes of the cluster by their states, as this node knows them.",
        );
        for state in NodeState::ALL {
            let count = status
                .nodes
                .values()
                .filter(|node| node.row.state == state)
                .count();
            out.sample(name, &format!("state=\"{}\"", state.name()), count as u64);
        }
        for ((name, help), value) in DeskFigures::NAMES.iter().zip(self.figures.values()) {
            let (name, kind) = match name.ends_with("_now") {
                true => (format!("holdfast_shared_{name}"), MetricKind::Gauge),
                false => (format!("holdfast_shared_{name}_total"), MetricKind::Counter),
            };
            out.one(&name, kind, help, value);
        }
    }
}
