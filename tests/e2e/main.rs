//! The whole gateway from outside: the real binary, real sockets, real HTTP.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "nothing here is part of the library"
)]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod broken;
mod certificates;
mod commands;
mod confined;
mod described;
mod documents;
mod ended;
mod examples;
mod goodbye;
mod held;
mod killed;
mod load;
mod log;
mod messages;
mod metrics;
mod notified;
mod overload;
mod packaged;
mod printed;
mod protocol;
mod redirected;
mod reload;
mod restarted;
mod screen;
mod secrets;
mod silent;
mod started;
mod statuses;
mod together;
mod transports;
mod watched;
mod ways;

use support::gateway::Gateway;

/// Starts the real binary.
fn gateway(settings: &[(&str, &str)]) -> Gateway {
    Gateway::start(env!("CARGO_BIN_EXE_holdfast"), settings)
}
