//! What a person types. Each command prints what it was asked for to standard output, and what went wrong to standard
//! error.

mod arguments;
mod dispatch;

mod callbacks;
mod check;
mod cluster;
mod connect;
mod greeting;
mod moving;
mod plan;
mod printed;
mod reload;
mod status;
mod store;
mod top;

mod client;
mod host;
mod host_port;
mod numbers;
mod outcome;
mod signing;
mod sizing;
mod termination;
mod tls;
mod values;
mod words;

pub use dispatch::main;
