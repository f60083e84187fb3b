//! What a number of connections needs of a host, from what was measured. Every number has a name and says where it comes
//! from; none is read from the host.

pub(super) mod cluster;

use std::time::Duration;

use crate::base::limits::{
    ARRIVALS_PART, LISTEN_BACKLOG_CONNECTIONS, MOVES_IN_FLIGHT_MAX, RING_COMPLETIONS, RING_SUBMISSIONS,
};
use crate::base::measured::{self, cost_run, idle_run, million_run, tls_run};
use crate::engine::token::SLOTS_MAX;
use crate::node::config::Config;
use crate::node::shards::RECEIVE_BYTES_MAX;

/// A number that the plan is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Constant {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    /// Where it was measured, or why it was chosen.
    pub(super) source: &'static str,
}

const MILLION: &str = concat!(
    "measured: ",
    million_run!(),
    " (holdfast-load idle --connections 1000000 --hold 10m)"
);
const COST: &str = concat!(
    "measured: ",
    cost_run!(),
    " (cargo bench --bench cost), one core of a virtual machine, over loopback"
);

/// A constant of whole bytes or connections.
macro_rules! whole {
    ($name:ident, $value:expr, $unit:literal, $source:expr) => {
        pub(super) const $name: Constant = Constant {
            name: stringify!($name),
            value: $value as f64,
            unit: $unit,
            source: $source,
        };
    };
}

whole!(
    KERNEL_BYTES_PER_CONNECTION,
    measured::IDLE_CONNECTION_KERNEL_BYTES,
    "B",
    MILLION
);
whole!(
    USER_BYTES_PER_CONNECTION,
    measured::IDLE_CONNECTION_USER_BYTES,
    "B",
    MILLION
);
whole!(
    TLS_BYTES_PER_CONNECTION,
    measured::IDLE_TLS_BYTES,
    "B",
    concat!(
        "measured: what 500,000 connections by TLS take beyond plain ones, ",
        tls_run!(),
        " (holdfast-load idle --tls)"
    )
);
whole!(
    PROCESS_BYTES,
    measured::PROCESS_BYTES,
    "B",
    concat!(
        "measured: resident with 1,500 connections on 2 shards, ",
        idle_run!(),
        " (cargo bench --bench idle)"
    )
);
whole!(
    RING_BYTES_PER_SHARD,
    RING_COMPLETIONS * 16 + RING_SUBMISSIONS * 64,
    "B",
    "by its limits: 8,192 completions of 16 B, 1,024 submissions of 64 B"
);
whole!(
    SLOT_BYTES,
    8,
    "B",
    "the kernel's table of direct descriptors: one pointer each"
);
whole!(
    RECEIVE_BUFFER_BYTES_ALL,
    RECEIVE_BYTES_MAX,
    "B",
    "a limit: of all shards together"
);
whole!(
    TCP_BUFFER_BYTES_PER_BUSY_CONNECTION,
    4_096,
    "B",
    "chosen: the kernel accounts a page at least; an idle connection has none (measured: sockstat mem 0)"
);
whole!(
    CONNECTIONS_PER_BUSY_CONNECTION,
    16,
    "",
    "chosen: after a network's failure so many connections send, or are sent, something in the same moment"
);

pub(super) const HEARTBEAT_CPU_US: Constant = Constant {
    name: "HEARTBEAT_CPU_US",
    value: measured::HEARTBEAT_CPU_US,
    unit: "µs",
    source: COST,
};
pub(super) const LOGIN_CPU_US: Constant = Constant {
    name: "LOGIN_CPU_US",
    value: measured::LOGIN_CPU_US,
    unit: "µs",
    source: COST,
};
pub(super) const CORE_SHARE_FOR_HEARTBEATS: Constant = Constant {
    name: "CORE_SHARE_FOR_HEARTBEATS",
    value: 0.5,
    unit: "",
    source: "chosen: the other half is for logins, queries, callbacks, and a network card's work, which loopback does not have",
};
pub(super) const MEMORY_SHARE: Constant = Constant {
    name: "MEMORY_SHARE",
    value: 0.8,
    unit: "",
    source: "chosen: a fifth of the host's memory is for everything else, and for what grows in steps",
};
whole!(
    FILES_OF_THE_REST,
    65_536,
    "",
    "chosen: open files of all other processes, of the store, and of HTTP"
);

/// All that a host is made of.
pub(super) const CONSTANTS: [Constant; 14] = [
    KERNEL_BYTES_PER_CONNECTION,
    USER_BYTES_PER_CONNECTION,
    TLS_BYTES_PER_CONNECTION,
    PROCESS_BYTES,
    RING_BYTES_PER_SHARD,
    SLOT_BYTES,
    RECEIVE_BUFFER_BYTES_ALL,
    TCP_BUFFER_BYTES_PER_BUSY_CONNECTION,
    CONNECTIONS_PER_BUSY_CONNECTION,
    HEARTBEAT_CPU_US,
    LOGIN_CPU_US,
    CORE_SHARE_FOR_HEARTBEATS,
    MEMORY_SHARE,
    FILES_OF_THE_REST,
];

/// Listeners of terminals that a table keeps a slot for. More than anyone has.
const LISTENERS: u64 = 8;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) connections: u64,
    /// How many of them are by TLS.
    pub(super) by_tls: u64,
    pub(super) heartbeat: Duration,
    /// What the store may take: `registry.memory_bytes_max`.
    pub(super) registry_bytes: u64,
}

impl Wanted {
    /// Of the gateway of a configuration. All its terminals may use TLS if one of its listeners has it.
    pub(super) fn new(config: &Config, connections: u64, heartbeat: Option<Duration>) -> Self {
        let by_tls = config.terminals.iter().any(|listener| listener.tls);
        Self {
            connections,
            by_tls: if by_tls { connections } else { 0 },
            heartbeat: heartbeat.unwrap_or(config.logic.heartbeat_interval),
            registry_bytes: config.registry.memory_bytes_max,
        }
    }
}

/// What a host must have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Need {
    pub(super) heartbeats_per_second: f64,
    /// Cores that heartbeats alone keep busy.
    pub(super) cores_busy: f64,
    pub(super) cores: u64,
    /// How long it takes until everyone has logged in again, with all of these cores.
    pub(super) all_back_seconds: f64,
    pub(super) memory: MemoryNeed,
    /// What the host must have in all.
    pub(super) host_bytes: u64,
    pub(super) shards: u64,
    /// The table of each shard.
    pub(super) slots: u64,
    pub(super) descriptors: u64,
    pub(super) files: u64,
    pub(super) backlog: u64,
}

/// Bytes of memory, by what takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryNeed {
    pub(super) kernel: u64,
    pub(super) user: u64,
    pub(super) tls: u64,
    pub(super) tcp_buffers: u64,
    pub(super) rings: u64,
    pub(super) registry: u64,
    pub(super) process: u64,
}

impl MemoryNeed {
    pub(super) fn sum(&self) -> u64 {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }

    pub(super) fn parts(&self) -> [(&'static str, u64); 7] {
        [
            ("kernel: sockets and polls", self.kernel),
            ("user space of connections", self.user),
            ("TLS", self.tls),
            ("TCP buffers in a busy moment", self.tcp_buffers),
            ("rings and receive buffers", self.rings),
            ("registry.memory_bytes_max", self.registry),
            ("the process itself", self.process),
        ]
    }
}

/// The table that a shard needs for its share of `connections`, as the ring's accepting leaves some slots free, and chance
/// gives some shards more than others.
pub(super) fn slots_for(connections: u64, shards: u64) -> u64 {
    let share = connections.div_ceil(shards);
    if shards == 1 {
        return share + LISTENERS;
    }
    // Four standard deviations: one shard in 30,000 meets more.
    let uneven = share + 4 * share.isqrt() + 1;
    let moves = (MOVES_IN_FLIGHT_MAX as u64).min(uneven.div_ceil(u64::from(ARRIVALS_PART) - 1));
    uneven + moves + LISTENERS
}

/// The fewest shards whose tables hold `connections`, if each may have `slots_max`; `None` if no number of them does.
pub(super) fn shards_for(connections: u64, slots_max: u64) -> Option<u64> {
    let fewest = connections.div_ceil(slots_max.max(1));
    (fewest..=SHARDS_MAX).find(|shards| slots_for(connections, *shards) <= slots_max)
}

/// As `shards.count` has it.
const SHARDS_MAX: u64 = 1_024;

/// What a host needs that has nothing to do but to hold connections, and to take them back.
pub(super) fn need(wanted: &Wanted) -> Need {
    need_with(wanted, CORES_MIN)
}

/// One core is the system's now and then.
const CORES_MIN: u64 = 2;

/// The same with no fewer cores than these.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "estimates of positive numbers far below 2^53"
)]
fn need_with(wanted: &Wanted, cores_min: u64) -> Need {
    let connections = wanted.connections as f64;
    let of_each = |constant: Constant| (connections * constant.value).ceil() as u64;
    let heartbeats_per_second = connections / wanted.heartbeat.as_secs_f64();
    let cores_busy = heartbeats_per_second * HEARTBEAT_CPU_US.value / 1e6;
    let cores = ((cores_busy / CORE_SHARE_FOR_HEARTBEATS.value).ceil() as u64).max(cores_min);
    // A billion connections fit into SHARDS_MAX tables.
    let by_table = shards_for(wanted.connections, u64::from(SLOTS_MAX)).unwrap_or(SHARDS_MAX);
    let shards = cores.max(by_table).min(SHARDS_MAX);
    let slots = slots_for(wanted.connections, shards);
    let busy = connections / CONNECTIONS_PER_BUSY_CONNECTION.value;
    let memory = MemoryNeed {
        kernel: of_each(KERNEL_BYTES_PER_CONNECTION),
        user: of_each(USER_BYTES_PER_CONNECTION),
        tls: wanted.by_tls * TLS_BYTES_PER_CONNECTION.value as u64,
        tcp_buffers: (busy * TCP_BUFFER_BYTES_PER_BUSY_CONNECTION.value).ceil() as u64,
        rings: shards * (RING_BYTES_PER_SHARD.value as u64 + slots * SLOT_BYTES.value as u64)
            + RECEIVE_BUFFER_BYTES_ALL.value as u64,
        registry: wanted.registry_bytes,
        process: PROCESS_BYTES.value as u64,
    };
    Need {
        heartbeats_per_second,
        cores_busy,
        cores,
        all_back_seconds: connections * LOGIN_CPU_US.value / 1e6 / cores as f64,
        memory,
        host_bytes: (memory.sum() as f64 / MEMORY_SHARE.value).ceil() as u64,
        shards,
        slots,
        descriptors: slots.max(DESCRIPTORS_MIN),
        files: wanted.connections + FILES_OF_THE_REST.value as u64,
        backlog: u64::from(LISTEN_BACKLOG_CONNECTIONS.unsigned_abs()),
    }
}

/// Connections of both HTTP listeners (4,096 and 1,024), and some for files, rings and listeners.
pub(super) const DESCRIPTORS_MIN: u64 = 8_192;

#[cfg(test)]
mod tests;
