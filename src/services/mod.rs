//! Floor 2: what a node has once, each on a thread of its own. Talks to the shards by messages and closures, and never
//! learns what a shard is made of.

pub mod callback;
pub mod cluster;
pub mod http;
pub mod peers;
pub mod registry;
pub mod runtime;
pub mod shared_store;
pub mod trust;
