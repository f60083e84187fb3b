//! The shared store against real servers: what each script does, what becomes of calls when servers fail, and that the model in
//! memory means the same.
//!
//! ```text
//! cargo test --test shared_store                                            needs redis-server
//! cargo test --test shared_store -- --ignored --nocapture every_broken      breaks the scripts; some test must notice
//! ```

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::result_large_err,
    reason = "a test ends with its first surprise, and nothing here is part of the library"
)]

use holdfast::base;
use holdfast::engine;
use holdfast::services::shared_store;

mod cluster;
mod desk;
mod driven;
mod failures;
mod members;
mod model;
mod mutants;
mod nodes;
mod random;
mod samples;
mod scripts;
mod servers;
mod tls;
