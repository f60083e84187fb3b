//! What nodes of one cluster say to each other: requests for users that are at home elsewhere, and how each node stands. One
//! connection leads from each node to each other one; the answers come back on it. Decides nothing, and keeps nothing of users.

mod bodies;
mod client;
mod door;
mod exchange;
mod frame;
mod secure;
mod sends;
mod values;
mod wire;

#[cfg(test)]
mod tests;

pub use bodies::OwnedPartition;
pub(crate) use client::EndsWith;
pub use client::{PeerAddresses, PeersClient};
pub(crate) use door::{AnswersPeers, PeersDoor};
pub use exchange::{Exchange, ExchangeHandle};
pub use secure::PeerIdentity;
