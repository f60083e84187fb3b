//! Floor 1: how bytes move. One io_uring a shard, with everything that is in the kernel's hands. All unsafe code
//! of the gateway lives here; it knows no users, no packets and no presence, and it decides nothing.
#![allow(unsafe_code)]

pub mod ring;
pub mod setup;

pub mod kernel;
pub mod connection;
pub mod connection_table;
mod sending;
pub mod completion;
pub mod token;

mod operations;
pub mod connect;
mod memory;
mod accept;
pub mod enter_result;
pub mod buffers;
pub mod probe;
pub mod process;
pub mod socket;
pub mod wake;

#[cfg(test)]
mod tests;
