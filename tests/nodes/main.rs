//! Several gateways as one presence system: the real binaries, real terminals, and a real server of the shared store.
//!
//! ```text
//! cargo test --test nodes                                              needs redis-server
//! cargo test --test nodes -- --ignored --nocapture a_million_users      1,000,000 users move into a cluster and back
//! ```

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "nothing here is part of the library"
)]

use holdfast::base;
use holdfast::engine;
use holdfast::services::shared_store;

#[path = "../support/mod.rs"]
mod support;

#[path = "../shared_store/servers.rs"]
mod servers;

mod callbacks;
mod deaths;
mod kept;
mod losses;
mod node;
mod meetings;
mod moving;
mod strangers;
mod stream;
mod watched;
