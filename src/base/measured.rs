//! What was measured, and where: numbers that operators are shown. No decision depends on one.

/// Kernel memory of one idle connection: its socket as a direct descriptor, and the armed poll. The slab's own table is
/// readable by root alone, and knows no process. bench-results/2026-11-23-idle, `cargo bench --bench idle`, Linux 6.18.
pub const IDLE_CONNECTION_KERNEL_BYTES: u64 = 4_358;

/// User memory of one idle connection, without the registry's records: a slope of resident memory. From the same bench.
pub const IDLE_CONNECTION_USER_BYTES: u64 = 194;

/// Resident memory of a gateway with 2 shards and 1,500 connections. From the same bench.
pub const PROCESS_BYTES: u64 = 9_728_000;

/// CPU time of one heartbeat at 5,000 a second on one core, the kernel's share included, over loopback on a virtual machine.
/// bench-results/2026-11-23-cost, `cargo bench --bench cost`.
pub const HEARTBEAT_CPU_US: f64 = 20.69;

/// CPU time of one login: connect, UserSig, answer. From the same bench; what a durable registry adds is not in it.
pub const LOGIN_CPU_US: f64 = 56.11;
