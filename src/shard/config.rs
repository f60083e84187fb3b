//! What a shard is made with. Plain values.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::ids::UserId;
use crate::logic::ShardPosition;
use crate::logic::record::UserRecord;
use crate::logic::settings::Settings;
use crate::protocol::dialect::Dialect;
use crate::protocol::stack::ProtocolStack;
use crate::protocol::transport::settings::TransportSettings;

/// Everything that one shard has to know.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Which shard it is, of how many, with how many connections. `connections_max` is the size of the ring's table:
    /// at most [`crate::engine::setup::slots_max`].
    pub place: ShardPosition,
    /// What its decisions depend on.
    pub settings: Arc<Settings>,
    /// Feeds its randomness.
    pub seed: u64,
    /// Where it listens. With port 0 the system chooses: then let the other shards listen where the first one does.
    pub listen: Vec<ShardListener>,
    /// New connections that it takes a second; 0: as many as come.
    pub accepts_per_second_max: u32,
    /// A power of two up to 32,768, of 512 B each.
    pub receive_buffers: u16,
    /// The longest that a heartbeat may wait for others to come. Zero: it never waits.
    pub heartbeat_delay_max: Duration,
    /// How long a stop may take.
    pub stop_deadline: Duration,
    /// Where its thread runs.
    pub core: Core,
}

/// Where a shard takes connections, and how these speak.
#[derive(Debug, Clone)]
pub struct ShardListener {
    /// Its address and port.
    pub address: SocketAddr,
    /// What its connections' bytes travel in.
    pub transport: Arc<TransportSettings>,
    /// What they mean.
    pub dialect: Dialect,
}

impl ShardListener {
    /// For terminals that speak the gateway's own dialect over plain TCP.
    #[must_use]
    pub fn native(address: SocketAddr) -> Self {
        Self {
            address,
            transport: Arc::default(),
            dialect: Dialect::Native,
        }
    }

    /// How its connections speak.
    #[must_use]
    pub fn stack(&self) -> ProtocolStack {
        ProtocolStack {
            transport: self.transport.kind(),
            dialect: self.dialect,
        }
    }
}

/// Where a shard's thread runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Core {
    /// Wherever the system puts it.
    Any,
    /// On one core, by its place among those that this process may use.
    Pinned(usize),
}

/// Users of one shard that are on record with devices.
pub type Restored = Vec<(UserId, UserRecord)>;
