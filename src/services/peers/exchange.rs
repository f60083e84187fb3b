//! How each node stands, as the others are told. Decides nothing.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::base::ids::NodeId;
use crate::services::peers::bodies::{ExchangeBody, OwnedPartition, PeerBody, PeerFrame};

/// How often a node tells each other one how it stands. A peer that was not heard for 2 s cannot be reached.
pub(crate) const EXCHANGE_EVERY: Duration = Duration::from_millis(500);

/// How long a peer may take for anything: to connect and prove itself, to take what it is sent, to say anything at all.
pub(crate) const PEER_STALL_MAX: Duration = Duration::from_secs(2);

/// How a node stands, as it tells the others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exchange {
    /// Whether its lease holds.
    pub has_lease: bool,
    /// Which of its lives it is.
    pub incarnation: u64,
    /// How long ago, in ms, it has last had the shared store, in any life; `None` if it never had.
    pub had_store_ago_ms: Option<u64>,
    /// What it owns.
    pub owned: Vec<OwnedPartition>,
}

/// The two ends of the exchange that the membership has.
#[derive(Clone)]
pub struct ExchangeHandle {
    /// How this node stands.
    pub own: Arc<dyn Fn() -> Exchange + Send + Sync>,
    /// What others have told. Nothing happens if nobody hears it.
    pub heard: Sender<(NodeId, Exchange)>,
}

impl std::fmt::Debug for ExchangeHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExchangeHandle")
    }
}

/// How a node stands, as a frame.
pub(super) fn told(exchange: &Exchange) -> PeerFrame {
    let Exchange {
        has_lease,
        incarnation,
        had_store_ago_ms,
        owned,
    } = exchange.clone();
    PeerFrame {
        id: 0,
        body: Some(PeerBody::Exchange(ExchangeBody {
            has_lease,
            incarnation,
            owned,
            had_store_ago_ms,
        })),
    }
}

/// How a node stands, as it has told.
pub(super) fn heard_of(body: ExchangeBody) -> Exchange {
    let ExchangeBody {
        has_lease,
        incarnation,
        owned,
        had_store_ago_ms,
    } = body;
    Exchange {
        has_lease,
        incarnation,
        had_store_ago_ms,
        owned,
    }
}
