//! Floor 2: one core. Joins what is decided (`logic`) with how bytes move (`engine`), one thread a shard. Takes no
//! decision about users, and never waits for anything but its own sleep.

mod turn;

mod connections;
mod unwrapping;
mod moves_out;
mod parts;

mod accepting;
mod moves_in;
mod transports;
mod rate;
mod trace;
mod wake_policy;

pub mod config;
pub mod mesh;
pub mod view;

use std::io;
use std::net::SocketAddr;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::Receiver;

use crate::base::ids::ShardId;
use crate::base::limits::ACCEPTS_PENDING;
use crate::base::time::Clock;
use crate::engine::enter_result::RingFault;
use crate::engine::setup::{PreparedRing, SetupError, Size};
use crate::engine::socket::{listener, local_address, pin_thread};
use crate::logic::delivery::Router;
use crate::logic::state::ShardState;
pub use config::{Core, Restored, ShardConfig, ShardListener};
use mesh::{Neighbour, ShardInbox, ShardSender};
pub(crate) use parts::Shard;
use view::{Publisher, ShardView};

/// A shard could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The operator's: the address cannot be listened at.
    #[error("cannot listen at {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The system's: no descriptors, no memory, no io_uring.
    #[error(transparent)]
    Ring(#[from] SetupError),
    /// The system's: no descriptors.
    #[error("cannot make the shard's inbox: {0}")]
    Inbox(io::Error),
}

/// A shard could not begin, or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system's: no ring for its thread.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The system's: see [`RingFault`].
    #[error(transparent)]
    Ring(#[from] RingFault),
}

/// A shard with all that it needs, on its way to its thread.
#[derive(Debug)]
pub struct PreparedShard {
    config: ShardConfig,
    addresses: Vec<SocketAddr>,
    ring: PreparedRing,
    inbox: ShardInbox,
    neighbour: Neighbour,
    publisher: Publisher,
}

/// A shard at work.
#[derive(Debug)]
pub struct ShardHandle {
    /// Which.
    pub id: ShardId,
    /// Sends to it.
    pub sender: ShardSender,
    /// What it counts.
    pub counters: ShardView,
    /// Ends after [`crate::logic::delivery::ToShard::Stop`].
    pub thread: JoinHandle<Result<(), RunError>>,
}

impl PreparedShard {
    /// Makes the ring and the listeners. From here on the kernel queues connections.
    ///
    /// # Errors
    /// Says what could not be made.
    pub fn new(config: ShardConfig) -> Result<Self, PrepareError> {
        let (inbox, sender) = mesh::inbox().map_err(PrepareError::Inbox)?;
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for ShardListener { address, .. } in &config.listen {
            let refused = |error| PrepareError::Listen(*address, error);
            let socket = listener(*address).map_err(refused)?;
            addresses.push(local_address(&socket).map_err(refused)?);
            listeners.push(socket);
        }
        let size = Size {
            slots: config.place.connections_max,
            buffers: config.receive_buffers,
            accepts: ACCEPTS_PENDING,
        };
        let ring = PreparedRing::new(size, listeners, inbox.sleeper.event())?;
        let neighbour = Neighbour {
            sender,
            ring: ring.address()?,
        };
        Ok(Self {
            config,
            addresses,
            ring,
            inbox,
            neighbour,
            publisher: Publisher::new(),
        })
    }

    /// Where it listens, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Sends to it.
    #[must_use]
    pub fn sender(&self) -> ShardSender {
        self.neighbour.sender.clone()
    }

    /// What the other shards have to know of it.
    #[must_use]
    pub fn neighbour(&self) -> Neighbour {
        self.neighbour.clone()
    }

    /// Starts the thread. `neighbours` are all shards in the order of their ids, this one among them. Before it does
    /// anything else it takes in all that comes from `restored`, until nobody can send more.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn spawn(
        self,
        clock: Clock,
        neighbours: Vec<Neighbour>,
        router: Router,
        restored: Receiver<Restored>,
    ) -> io::Result<ShardHandle> {
        let id = self.config.place.shard;
        let sender = self.sender();
        let counters = self.publisher.view();
        let thread = Builder::new()
            .name(format!("shard-{}", id.0))
            .spawn(move || self.run(clock, neighbours, router, &restored))?;
        Ok(ShardHandle {
            id,
            sender,
            counters,
            thread,
        })
    }

    fn run(
        self,
        clock: Clock,
        neighbours: Vec<Neighbour>,
        router: Router,
        restored: &Receiver<Restored>,
    ) -> Result<(), RunError> {
        if let Core::Pinned(core) = self.config.core
            && let Err(error) = pin_thread(core)
        {
            let shard = self.config.place.shard.0;
            tracing::warn!(shard, %error, "the shard's thread cannot be pinned to a core: shards may share one");
        }
        let shard = self.enable(clock, neighbours, router)?;
        Ok(shard.run(restored)?)
    }

    /// The shard as its thread has it.
    fn enable(
        self,
        mut clock: Clock,
        neighbours: Vec<Neighbour>,
        router: Router,
    ) -> Result<Shard, SetupError> {
        let now = clock.now();
        let ShardConfig {
            place,
            settings,
            seed,
            ..
        } = self.config.clone();
        let (rings, senders) = neighbours.into_iter().map(|one| (one.ring, one.sender)).unzip();
        let ring = self.ring.enable(rings)?;
        let logic = ShardState::new(now, seed, place, settings);
        Ok(Shard::new(
            &self.config,
            (clock, now),
            (ring, logic),
            (self.inbox, senders, router),
            self.publisher,
        ))
    }
}

#[cfg(test)]
mod tests;
