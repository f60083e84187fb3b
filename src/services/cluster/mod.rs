//! Membership of a cluster: who lives, who owns which partition, and what this node has to do about it. A [`Membership`] takes
//! one [`MemberEvent`] with the time, and appends [`MemberAct`]s. It never waits, never reads a clock, and never learns what the store is.
//!
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

#[cfg(test)]
mod tests;
