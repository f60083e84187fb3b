//! What the HTTP server needs of a cluster, from the node. Plain values.

use std::net::TcpListener;

use crossbeam_channel::Sender;

use crate::services::cluster::event::Order;
use crate::services::http::homes::ClusterView;
use crate::services::http::metrics::ClusterMetrics;
use crate::services::peers::{ExchangeHandle, PeerIdentity};
use crate::services::registry::shared::settings::DeskFiguresView;

/// What the HTTP server needs of a cluster.
#[derive(Debug)]
pub struct ClusterHandles {
    /// Whose each user is.
    pub view: ClusterView,
    /// How other nodes prove that they may ask.
    pub identity: PeerIdentity,
    /// How this node stands, and who hears how others do.
    pub exchange: ExchangeHandle,
    /// What its registry counts.
    pub figures: DeskFiguresView,
    /// What the operator wants of the node's part in its cluster.
    pub orders: Sender<Order>,
    /// Where they come in.
    pub listeners: Vec<TcpListener>,
}

impl ClusterHandles {
    pub(super) fn metrics(&self) -> ClusterMetrics {
        ClusterMetrics {
            view: self.view.clone(),
            figures: self.figures.clone(),
        }
    }
}
