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

pub(crate) use {cost_run, idle_run, million_run, tls_run};

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
