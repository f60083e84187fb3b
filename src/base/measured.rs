//! What was measured, and in which run: numbers that operators are shown. No decision depends on one. A test in
//! `cli::sizing` holds each to the data of its run.

/// The run of `holdfast-load idle` with a million terminals that a connection's bytes are from.
macro_rules! million_run {
    () => {
        "bench-results/load-idle-1m"
    };
}

/// The run of `holdfast-load idle --tls` with 500,000 terminals that the bytes of TLS are from.
macro_rules! tls_run {
    () => {
        "bench-results/load-idle-tls-500k"
    };
}

/// The run of `cargo bench --bench idle` that a process's bytes are from.
macro_rules! idle_run {
    () => {
        "bench-results/idle"
    };
}

/// The run of `cargo bench --bench cost` that the times are from.
macro_rules! cost_run {
    () => {
        "bench-results/cost"
    };
}

/// The run of `cargo bench --bench durable` that the time of a durable login is from.
macro_rules! durable_run {
    () => {
        "bench-results/durable"
    };
}

/// The run of `cargo bench --bench cluster` that the times of a node are from.
macro_rules! cluster_run {
    () => {
        "bench-results/cluster"
    };
}

/// The run of `holdfast-load grow-cluster --rounds 3` that everything else of a cluster is from.
macro_rules! growth_run {
    () => {
        "bench-results/load-grow-cluster"
    };
}

pub(crate) use {cluster_run, cost_run, durable_run, growth_run, idle_run, million_run, tls_run};

/// A figure whose run may be still to come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RecordedFigure {
    /// The run has it.
    Recorded(f64),
    /// There is no such run yet, and this stands for it.
    Awaited(f64),
}

impl RecordedFigure {
    /// What is reckoned with.
    pub const fn value(self) -> f64 {
        match self {
            Self::Recorded(value) | Self::Awaited(value) => value,
        }
    }
}

/// Kernel memory of one idle connection: its socket as a direct descriptor, and the armed poll. The slab's own table is
/// readable by root alone, and knows no process.
pub const IDLE_CONNECTION_KERNEL_BYTES: u64 = 4_145;

/// User memory of one idle connection, without the registry's records: a slope of resident memory.
pub const IDLE_CONNECTION_USER_BYTES: u64 = 153;

/// What TLS 1.3 adds to the user memory of an idle connection: the keys of both directions, and where they are.
pub const IDLE_TLS_BYTES: u64 = 140;

/// Resident memory of a gateway with 2 shards and 1,500 connections.
pub const PROCESS_BYTES: u64 = 12_713_984;

/// CPU time of one heartbeat at 5,000 a second on one core, the kernel's share included, over loopback on a virtual machine.
pub const HEARTBEAT_CPU_US: f64 = 10.46;

/// The same of one login: connect, UserSig, answer. What a durable registry adds is not in it.
pub const LOGIN_CPU_US: f64 = 25.58;

/// CPU time of one login that is on disk before it is answered, at a gateway by itself.
pub const DURABLE_LOGIN_CPU_US: f64 = 36.11;

/// CPU time of a login that is in the shared store before it is answered, at a node.
pub const NODE_LOGIN_CPU_US: RecordedFigure = RecordedFigure::Recorded(67.36);

/// CPU time of all nodes for one user's status, in queries of 500.
pub const NODE_STATUS_CPU_US: RecordedFigure = RecordedFigure::Recorded(0.72);

/// CPU time of a master for a change, with what it does for nodes meanwhile.
pub const MASTER_CHANGE_CPU_US: RecordedFigure = RecordedFigure::Recorded(41.72);

/// CPU time of a replica for a change.
pub const REPLICA_CHANGE_CPU_US: RecordedFigure = RecordedFigure::Recorded(13.27);

/// CPU time of all nodes for a redirect.
pub const REDIRECT_CPU_US: RecordedFigure = RecordedFigure::Recorded(76.03);

/// User memory of an idle connection at a node, with its user.
pub const NODE_CONNECTION_USER_BYTES: RecordedFigure = RecordedFigure::Recorded(311.94);

/// Memory of a master for a user's record.
pub const STORE_USER_BYTES: RecordedFigure = RecordedFigure::Recorded(78.43);

/// Memory of a master for a change that is kept.
pub const STORE_CHANGE_BYTES: RecordedFigure = RecordedFigure::Recorded(73.69);

/// What a master receives for a change.
pub const STORE_CHANGE_RECEIVED_BYTES: RecordedFigure = RecordedFigure::Recorded(457.56);

/// What a master sends to its replica for a change.
pub const STORE_CHANGE_REPLICATED_BYTES: RecordedFigure = RecordedFigure::Recorded(366.34);
