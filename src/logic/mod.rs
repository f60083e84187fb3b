//! Floor 1: what the gateway decides. No I/O, no clock, no threads, no unsafe: a [`ShardState`](state::ShardState) takes one
//! [`Input`] with the time it happened and appends what is to be done to a list of [`Effect`]s.
//!
//! Few things can happen, few can be asked for, and time can pass: that is the whole border. A new feature is a
//! new packet, delivery or change, never a new door.

pub mod state;
mod connections;
pub mod users;
mod between_wings;
mod context;
mod counting;

mod contract;
pub mod cluster;
pub mod delivery;
pub mod message;
pub mod user_status;
pub mod inspection;
pub mod trace;
pub mod record;
mod kick_order;
pub mod settings;

pub use context::ShardPosition;
pub use contract::{Arrival, Effect, Input, LinkLoss, LoginRequest, MessageSupport, Peer, Redirects};

#[cfg(test)]
mod tests;
