#![doc = include_str!("ARCHITECTURE.md")]

pub mod base;
pub mod protocol;
pub mod logic;
pub mod engine;
pub mod shard;
pub mod services;
pub mod node;
pub mod cli;

#[cfg(test)]
#[path = "../tests/sim/mod.rs"]
mod sim;

#[cfg(test)]
#[path = "../tests/kernel/mod.rs"]
mod kernel;

#[cfg(test)]
#[path = "../tests/tls/mod.rs"]
mod tls;
