//! The users of a shard: who is online with which devices, and what happens to them, one change at a time. Turns what happened
//! into proposals to the registry, and what the registry recorded into answers. Never touches a connection itself.

pub mod policy;
mod presence;
mod device;
mod table;
mod events;
mod queue;
mod grace;
mod partitions;
mod login_rates;
mod from_connections;
mod advance;
mod decide;
mod admission;
mod alarms;
mod held;
mod sends;
mod send;
mod acks;
mod recorded;
mod confirm;
mod restart;
mod departure;
mod answer;

pub(super) use events::KickTarget;

use std::collections::HashMap;

use crate::base::time::Instant;
use crate::base::wheel::Wheel;
use held::HeldMessages;
use login_rates::LoginRates;
use partitions::Partitions;
use queue::UserQueue;
use sends::OpenSends;
use table::UserTable;

/// The users of one shard.
#[derive(Debug)]
pub(super) struct Users {
    table: UserTable,
    /// The devices' alarms.
    wheel: Wheel,
    queue: UserQueue,
    /// Unix second of the last kick, of the users here that were ever kicked.
    kicked_at_s: HashMap<u32, u64>,
    partitions: Partitions,
    login_rates: LoginRates,
    /// Messages that wait for devices.
    held: HeldMessages,
    /// Requests to send something that are not answered yet.
    sends: OpenSends,
}

impl Users {
    /// No user. `seed` is that of the table's hashes; there are so many `partitions` in all.
    pub(super) fn new(now: Instant, seed: u64, partitions: u16) -> Self {
        Self {
            table: UserTable::new(seed),
            wheel: Wheel::new(now),
            queue: UserQueue::default(),
            kicked_at_s: HashMap::new(),
            partitions: Partitions::new(partitions),
            login_rates: LoginRates::default(),
            held: HeldMessages::new(now),
            sends: OpenSends::default(),
        }
    }
}
