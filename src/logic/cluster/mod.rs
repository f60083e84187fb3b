//! What a shard and the services know of a cluster: whose a partition is, and whether an answer from memory may leave. Asks
//! nobody, and learns nothing by itself.

pub mod home;
pub mod lease;
pub mod gate;
