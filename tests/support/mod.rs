//! What tests and benches need of the outside world: the real gateway as a process, terminals on real sockets, and an
//! HTTP client.

#![allow(dead_code, reason = "each test uses its own part")]

pub mod certificate;
pub mod exposition;
pub mod command;
pub mod gateway;
pub mod http;
pub mod promql;
pub mod receiver;
pub mod schema;
pub mod screen;
pub mod terminal;
