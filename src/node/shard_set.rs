//! What a node asks of its shards, before they run and while they do. Makes none.

use crossbeam_channel::Receiver;

use crate::base::time::Clock;
use crate::node::router::{Inboxes, SendToShard};
use crate::protocol::transport::settings::ListenerTransports;
use crate::services::http::ShardCounters;
use crate::shard::Restored;

/// Shards that are ready to start: bound to their addresses, with open inboxes.
pub trait ShardLauncher {
    /// What they are once they run.
    type Shards: LiveShards + Send + 'static;

    /// How many there are.
    fn count(&self) -> u16;
    /// What the connections of each of their listeners travel in.
    fn transports(&self) -> ListenerTransports;
    /// The way into them.
    fn sender(&self) -> SendToShard;
    /// Starts them all. Each writes to `inboxes`, and first takes in what comes from its place in `restored`.
    ///
    /// # Errors
    /// If the system gives no thread or no ring.
    fn start(
        self,
        clock: Clock,
        inboxes: &Inboxes,
        restored: Vec<Receiver<Restored>>,
    ) -> anyhow::Result<Self::Shards>;
}

/// Shards that run.
pub trait LiveShards {
    /// What they count.
    fn counters(&self) -> ShardCounters;
    /// Connections that are open now.
    fn connections(&self) -> u64;
    /// Whether one of them has ended on its own.
    fn has_ended(&self) -> bool;
    /// Waits for their end, which [`ToShard::Stop`](crate::logic::delivery::ToShard::Stop) asks for: they have a deadline of their own, which counts from that
    /// notice. Gives how many connections were still open then.
    fn join(self) -> u64;
}
