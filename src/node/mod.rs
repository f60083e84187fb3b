//! Floor 3: the process. It only connects what the other floors made, and holds rules of no kind.

mod callbacks;
pub mod certificates;
mod cluster;
mod cluster_plan;
mod counter_watch;
mod deadline;
mod expiry_watch;
mod holder;
mod lanes;
mod listeners;
mod named_files;
mod node_lock;
mod records;
mod reload_thread;
mod service_manager;
pub mod shared_store;
mod signals;
mod store;
mod timekeeper;

pub mod addresses;
pub mod config;
pub mod log;
pub mod privacy;
pub mod reload;
pub mod rlimits;
pub mod run;
pub mod router;
mod shard_set;
pub mod shards;
pub mod startup_wait;

#[cfg(test)]
mod tests;
