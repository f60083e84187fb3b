//! Moves all records from a store on disk into the shared store of a cluster, and back. Both are read and written as lanes: the store
//! on disk is one, a cluster has one for each partition. Nobody else uses either store meanwhile: the one is locked, and all partitions
//! of the other are claimed.
//!
//! | | into a cluster | out of it |
//! | --- | --- | --- |
//! | users | into their partitions' hashes | all into one keyspace |
//! | changes that are kept | each lane in the order of the one before | in the order of their dates; those of a lane in its order |
//! | places | numbered anew in each lane | numbered anew |
//! | callbacks that are not told | behind the lane's cursor, or late | behind the cursor, or late |
//! | numbers of changes, sessions, ends, kicks | as they are | as they are |
//!
//! Places are numbered anew so that none is missing. A dead letter whose change is not kept has a place before all that are.
//!
//! In the end both sides are read as a whole and compared by a [`Summary`], which does not depend on places or on the order of lanes.

mod export;
mod fault;
mod import;
mod lane;
mod mark;
mod outbox;
mod places;
mod progress;
mod summary;
mod takeover;

pub use export::export;
pub use fault::MoveError;
pub use import::import;
pub use mark::{MARK_NAME, MoveMark};
pub use progress::MoveProgress;
pub use summary::Summary;
pub use takeover::{ClusterAccess, reopen};
