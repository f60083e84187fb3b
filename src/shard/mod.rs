//! Floor 2: one core. Joins what is decided (`logic`) with how bytes move (`engine`), one thread a shard. Takes no
//! decision about users, and never waits for anything but its own sleep.

mod turn;

mod accepting;
mod conn;
mod links;
mod moves;
mod notes;

pub mod mesh;
pub mod view;

mod pace;
mod rate;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::Receiver;
use std::time::Duration;

use crate::base::ids::{ShardId, UserId};
use crate::base::limits::ACCEPTS_PENDING;
use crate::base::time::Clock;
use crate::engine::entered::RingFault;
use crate::engine::setup::{PreparedRing, SetupError, Size};
use crate::engine::socket::{listener, local_address, pin_thread};
use crate::logic::ShardPosition;
use crate::logic::record::UserRecord;
use crate::logic::settings::Settings;
use crate::logic::state::ShardState;
use crate::protocol::stack::ProtocolStack;
use mesh::{Inbox, Neighbour, Services, ShardDoor};
use turn::Shard;
use view::{CountersView, Publisher};

/// Everything that one shard has to know.
#[derive(Debug, Clone)]
pub struct Config {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardListener {
    /// Its address and port.
    pub address: SocketAddr,
    /// What its connections speak.
    pub stack: ProtocolStack,
}

impl ShardListener {
    /// For terminals that speak the gateway's own dialect over plain TCP.
    #[must_use]
    pub fn native(address: SocketAddr) -> Self {
        let stack = ProtocolStack::NATIVE_TCP;
        Self { address, stack }
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
    config: Config,
    addresses: Vec<SocketAddr>,
    ring: PreparedRing,
    inbox: Inbox,
    neighbour: Neighbour,
    publisher: Publisher,
}

/// Users of one shard that are on record with devices.
pub type Restored = Vec<(UserId, UserRecord)>;

/// A shard at work.
#[derive(Debug)]
pub struct ShardHandle {
    /// Which.
    pub id: ShardId,
    /// Takes letters for it.
    pub door: ShardDoor,
    /// What it counts.
    pub counters: CountersView,
    /// Ends after [`crate::logic::letter::ToShard::Stop`].
    pub thread: JoinHandle<Result<(), RunError>>,
}

impl PreparedShard {
    /// Makes the ring and the listeners. From here on the kernel queues connections.
    ///
    /// # Errors
    /// Says what could not be made.
    pub fn new(config: Config) -> Result<Self, PrepareError> {
        let (inbox, door) = mesh::inbox().map_err(PrepareError::Inbox)?;
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
            door,
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

    /// Takes letters for it.
    #[must_use]
    pub fn door(&self) -> ShardDoor {
        self.neighbour.door.clone()
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
        services: Services,
        restored: Receiver<Restored>,
    ) -> io::Result<ShardHandle> {
        let id = self.config.place.shard;
        let door = self.door();
        let counters = self.publisher.view();
        let thread = Builder::new()
            .name(format!("shard-{}", id.0))
            .spawn(move || self.run(clock, neighbours, services, &restored))?;
        Ok(ShardHandle {
            id,
            door,
            counters,
            thread,
        })
    }

    fn run(
        self,
        clock: Clock,
        neighbours: Vec<Neighbour>,
        services: Services,
        restored: &Receiver<Restored>,
    ) -> Result<(), RunError> {
        if let Core::Pinned(core) = self.config.core {
            // A thread that the system does not let be pinned works all the same.
            let _ = pin_thread(core);
        }
        let shard = self.enable(clock, neighbours, services)?;
        Ok(shard.run(restored)?)
    }

    /// The shard as its thread has it.
    fn enable(
        self,
        mut clock: Clock,
        neighbours: Vec<Neighbour>,
        services: Services,
    ) -> Result<Shard, SetupError> {
        let now = clock.now();
        let Config {
            place,
            settings,
            seed,
            ..
        } = self.config.clone();
        let (rings, doors) = neighbours.into_iter().map(|one| (one.ring, one.door)).unzip();
        let ring = self.ring.enable(rings)?;
        let logic = ShardState::new(now, seed, place, settings);
        Ok(Shard::new(
            &self.config,
            (clock, now),
            (ring, logic),
            (self.inbox, doors, services),
            self.publisher,
        ))
    }
}

#[cfg(test)]
mod tests;
