//! The durable registry: records, changes and the callback outbox in one embedded store ([fjall], a log-structured merge
//! tree with one journal). All changes of a batch are one write, made durable before any of their answers leaves, or,
//! if the operator prefers, within [`SYNC_WITHIN_MS`].
//!
//! # When a write fails
//! Everything of the batch is refused, and what was decided is tried again by whoever decided it. Whether a refused batch
//! reached the disk nobody knows, and the database takes no more writes. So the store is closed and opened again, at most
//! once in [`REOPEN_AFTER_MS`](upkeep::REOPEN_AFTER_MS), and first of all every record that the refused batch touched is put back to what it was:
//! what was refused did not happen. Only if the process dies in between can a refused change turn out to be on record; it
//! is then a change like any other, as if the process had died before it could answer.
//!
//! # When something is damaged
//! What was recorded in the past must not stop the present. A read that finds damage concerns whoever it was for; then all
//! tables are looked at, and a damaged one is replaced by what is intact in it ([`mend`]). Until then and beyond,
//! everything else is read and written. Only what nothing works without keeps a store from being opened, and is named.
//!
//! [fjall]: https://docs.rs/fjall

mod check;
mod errors;
mod files;
mod forget;
mod keys;
mod late;
mod mend;
mod opening;
mod outbox;
mod raw;
mod reader;
mod rebuild;
mod salvage;
mod settings;
mod repair;
mod tidy;
mod upkeep;
mod verify;
mod whole;
mod writer;
#[cfg(test)]
mod tests;

pub use errors::OpenError;
pub use raw::bytes::FileFault;
pub use reader::StoreReader;
pub use salvage::{SalvageError, Salvaged, salvage};
pub use settings::{Durability, EmbeddedSettings, SYNC_WITHIN_MS, StoreLocation};
pub use verify::{DamagedTable, VerifyReport, verify};
pub(in crate::services::registry) use whole::StoreFiller;
pub use writer::EmbeddedStore;
