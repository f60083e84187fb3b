//! The registry of a node whose store is shared with other nodes: the same requests and answers as with a store of its own, of the
//! partitions that the node owns.
//!
//! A [`desk`] decides what is asked of the store and when; it is pure. Its thread brings it all that happens, and has one worker for
//! each master of the store make its calls. What a master that stands still costs is said in `workers`.
//!
//! # What may come of a batch
//!
//! | outcome | what follows |
//! | --- | --- |
//! | recorded, in as many copies as wanted | confirmed: its users are answered, its records are in the cache, and it is the last of the tail |
//! | recorded, in too few copies | the same batch again, which waits again; or confirmed, if the settings say "go on" |
//! | not executed | its users are answered `Unavailable`, and so is whoever waits behind them; places and records are as before. But if an earlier sending may have been executed: the same batch again |
//! | unknown | the same batch again, with the same borders, until it is known; its users get no answer meanwhile |
//! | behind | the tail from there, in order, then the batch. What the tail lacks, or is more than was written: the partition takes no changes until it is resumed or lost |
//! | fenced | told to the membership; the batch waits until the partition is resumed, perhaps under another fence, or lost: then its users are answered `Superseded` |
//!
//! # Known limits
//!
//! - A record without a change (an account that was imported, the second of a kick) has no place of its own: if a failover loses it
//!   alone, nobody notices. It is written again if a change was lost with it.
//! - For the same reason a server that is sent the removal of a deleted account's record twice, and executes one of them late, may undo
//!   an import of the account right behind it.
//! - A change is dated no earlier than the latest of its partition. So a clock that is ahead holds the dates of that partition's users.

mod batch_codec;
pub mod ownership;
pub mod settings;
mod cache;
pub mod tail;
mod gathering;
mod output;
mod writes;
mod draft;
mod verdict;
pub mod job;
mod partition;
mod next_call;
mod call_outcomes;
pub mod desk;
pub mod workers;
pub mod thread;
mod step_line;
mod listed_names;
pub mod lane;
mod lane_archive;
mod lane_outbox;
pub mod lane_prune;
pub mod lane_forget;
pub mod open_lanes;
mod whole;

#[cfg(test)]
pub(crate) mod tests;
