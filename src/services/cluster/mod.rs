//! Membership of a cluster: who lives, who owns which partition, and what this node has to do about it. A [`Cluster`] is a running
//! member: a thread with a [`Membership`], and others that ask the shared store. A [`Membership`] takes
//! one [`MemberEvent`] with the time, and appends [`MemberAct`]s. It never waits, never reads a clock, and never learns what the store is.
//!
//! [`Cluster`]: handle::Cluster
//! [`Membership`]: membership::Membership
//! [`MemberEvent`]: event::MemberEvent
//! [`MemberAct`]: act::MemberAct

pub mod token;
pub mod table;
pub mod settings;
pub mod event;
pub mod act;
pub mod membership;
mod entering;
mod beating;
mod placing;
mod answers;
mod holdings;
mod tenure;
mod roster;
mod map;
mod watch;
mod peers;
mod witness;
pub mod says;
mod wording;
mod job;
pub mod notices;
mod residents;
mod asking;
pub mod workers;
mod partition_jobs;
pub mod published;
mod driver;
mod carrying;
pub mod handle;

#[cfg(test)]
pub(crate) mod tests;
