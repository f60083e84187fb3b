//! Floor 3: the process. It only connects what the other floors made, and holds rules of no kind.

mod callbacks;
mod holder;
mod reloads;
mod service_manager;
mod signals;
mod store;
mod timekeeper;
mod watch;

pub mod addresses;
pub mod config;
mod deadline;
pub mod log;
pub mod patience;
pub mod privacy;
pub mod reload;
pub mod rlimits;
pub mod run;
pub mod shards;
