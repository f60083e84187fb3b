//! The whole gateway from outside: the real binary, real sockets, real HTTP.

#[path = "../support/mod.rs"]
mod support;

mod broken;
mod secrets;
mod statuses;
mod together;

use support::gateway::Gateway;

/// Starts the real binary.
fn gateway(settings: &[(&str, &str)]) -> Gateway {
    Gateway::start(env!("CARGO_BIN_EXE_holdfast"), settings)
}
