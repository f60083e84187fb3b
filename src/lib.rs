#![doc = include_str!("ARCHITECTURE.md")]

pub mod base;
pub mod engine;
pub mod logic;
pub mod shard;
