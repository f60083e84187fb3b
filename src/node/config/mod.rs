//! The configuration: what was typed becomes what is meant, once, and all problems are told at once.

mod changed;
mod choices;
mod clusters;
mod effective;
mod entries;
mod files;
mod kind;
mod layers;
mod listeners;
mod parts;
mod print;
mod problem;
mod reader;
mod sample;
mod setting;
pub mod shards;
mod table;
mod texts;
mod values;
mod variables;

#[cfg(test)]
mod tests;

pub use crate::protocol::usersig::DEVELOPMENT_SECRET;
pub use changed::{Difference, DifferenceKind, Given};
pub use effective::Config;
pub use layers::Sources;
pub use listeners::TerminalListener;
pub use parts::{
    CertificateFiles, ClusterConfig, CoreDumps, LogFormat, Pin, SharedStoreConfig, StoreKind, TerminalTls,
};
pub use problem::Problem;
pub use sample::{Described, described, sample};
pub use setting::TakesEffect;
