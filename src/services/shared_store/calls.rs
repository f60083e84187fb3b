//! What a cluster asks of its shared store, in plain types: the seam between what decides and what stores. A shared store executes each call
//! wholly or not at all, any number of times with the effect of one, and it decides nothing. It never interprets bytes.

use std::sync::Arc;

use crate::base::ids::{PartitionId, UserId};
use crate::services::shared_store::outbox::{
    KeptBatches, KeptTurns, LateMember, OutboxCounts, StepGroup, StepsTaken,
};
use crate::services::shared_store::outcome::{Confirmation, Fence, Outcome, Vouched};
pub use crate::services::shared_store::seen::{Opaque, PartitionSeen, Places, Snapshot};

/// Most changes of a batch. Who reads the stream counts on it.
pub const BATCH_CHANGES_MAX: u32 = 64;
/// Most users of one partition of a [`SharedStore::load`].
pub const LOAD_USERS_MAX: usize = 1_000;
/// Most places of one [`SharedStore::batches`].
pub const PLACES_MAX: usize = 1_000;

/// Changes of one partition that are recorded together, and the records of their users behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whose users.
    pub partition: PartitionId,
    /// Of who owns it.
    pub fence: Fence,
    /// The place of its first change. An empty batch has the place that the next change will have.
    pub first: u64,
    /// How many changes, at most [`BATCH_CHANGES_MAX`].
    pub count: u32,
    /// The place up to which the owner knows all changes to be confirmed.
    pub durable: u64,
    /// The highest date of a change so far, in ms since 1970.
    pub latest: u64,
    /// The changes.
    pub changes: Opaque,
    /// Records of users with a device that is not Offline.
    pub residents: Vec<(UserId, Opaque)>,
    /// Records of other users.
    pub others: Vec<(UserId, Opaque)>,
    /// Users whose records go.
    pub gone: Vec<UserId>,
}

/// A partition that is to have another owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub partition: PartitionId,
    /// Its new owner, with an epoch above the one that was seen.
    pub fence: Fence,
    /// What the new owner has seen.
    pub seen: Fence,
    /// Format of the data, and the store's id: a partition of another store cannot be claimed.
    pub format: String,
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It is the claimant's.
    Granted(Places),
    /// This is its fence.
    Taken(Fence),
    /// Its data is of this format and store.
    Foreign(String),
}

/// Which of the two hashes of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordHash {
    /// Of users with a device that is not Offline.
    Residents,
    /// Of all others.
    Others,
}

/// Records of one partition, and how it stood when they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedRecords {
    /// Who owned it.
    pub fence: Fence,
    /// The place of its last change.
    pub seq: u64,
    /// In the order of the users whose they are, with the hash that each is in.
    pub records: Vec<Option<(RecordHash, Opaque)>>,
}

/// Some users of a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// Users with their records. While the hash changes, a user may come twice.
    pub users: Vec<(UserId, Opaque)>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
}

/// What a cluster was founded with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founding {
    /// Format of all data.
    pub format: u32,
    /// How many partitions.
    pub partitions: u16,
    /// Version of the hash that gives a user's partition.
    pub hash: u32,
    /// The store's id.
    pub store: String,
}

/// What a node is, as it says itself or as others have found. Only [`Dead`](Self::Dead) means something to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// It takes part.
    Up,
    /// Most others cannot reach it: it hands its partitions over.
    Isolated,
    /// It hands its partitions over, and ends.
    Draining,
    /// It has ended, and comes back soon: its partitions wait for it.
    Restarting,
    /// It has ended, and its partitions are for others.
    Left,
    /// Its incarnation was buried.
    Dead,
}

impl NodeState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Up,
        Self::Isolated,
        Self::Draining,
        Self::Restarting,
        Self::Left,
        Self::Dead,
    ];

    /// The name in every interface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Isolated => "isolated",
            Self::Draining => "draining",
            Self::Restarting => "restarting",
            Self::Left => "left",
            Self::Dead => "dead",
        }
    }
}

/// A node, as the shared store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEntry {
    /// Counts the starts of all nodes.
    pub incarnation: u64,
    /// Counts its beats.
    pub beat: u64,
    /// Whether it takes part.
    pub state: NodeState,
    /// What it says of itself.
    pub says: Opaque,
}

/// A beat of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeBeat {
    /// The node's name. It has no spaces.
    pub node: Arc<str>,
    /// With its number, state and words.
    pub row: NodeEntry,
}

/// What a beat is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beaten {
    /// The node lives.
    Alive {
        /// All nodes.
        nodes: Vec<(String, NodeEntry)>,
        /// The map's version.
        map: u64,
    },
    /// This incarnation does not count: it was buried, replaced, or is unknown.
    Dead(Option<NodeEntry>),
}

/// What came of what holds only if a node's row is what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfSeen<T> {
    /// It was.
    Done(T),
    /// The row is another.
    Changed(Option<NodeEntry>),
}

/// Who owns which partition, as far as it was told. A hint: a partition's own meta decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnerMap {
    /// Counts its changes.
    pub version: u64,
    /// Partitions with their fences.
    pub owners: Vec<(PartitionId, Fence)>,
}

/// A shared store. All calls block, for a bounded time.
pub trait SharedStore {
    /// Founds the cluster, or tells what it was founded with.
    ///
    /// # Errors
    /// As [`SharedStoreError`](crate::services::shared_store::outcome::SharedStoreError) says; so do all other calls.
    fn create(&mut self, founding: &Founding) -> Outcome<Vouched<Founding>>;
    /// What the cluster was founded with, if it was.
    ///
    /// # Errors
    /// As above.
    fn founding(&mut self) -> Outcome<Option<Founding>>;
    /// A new incarnation of a node, if its row is still what was seen.
    ///
    /// # Errors
    /// As above.
    fn join(&mut self, node: &str, seen: Option<&NodeEntry>, says: &[u8]) -> Outcome<Vouched<IfSeen<u64>>>;
    /// A sign of life.
    ///
    /// # Errors
    /// As above.
    fn beat(&mut self, beat: &NodeBeat) -> Outcome<Vouched<Beaten>>;
    /// Declares an incarnation dead, if it has not beaten since it was seen.
    ///
    /// # Errors
    /// As above.
    fn bury(&mut self, node: &str, seen: &NodeEntry) -> Outcome<Vouched<IfSeen<()>>>;
    /// Takes the row of an incarnation away.
    ///
    /// # Errors
    /// As above.
    fn leave(&mut self, node: &str, incarnation: u64) -> Outcome<Vouched<IfSeen<()>>>;
    /// All nodes. Not vouched for.
    ///
    /// # Errors
    /// As above.
    fn nodes(&mut self) -> Outcome<Vec<(String, NodeEntry)>>;
    /// Tells of a partition's owner. Gives the map's version.
    ///
    /// # Errors
    /// As above.
    fn publish(&mut self, partition: PartitionId, fence: &Fence) -> Outcome<Vouched<u64>>;
    /// All that was told. Not vouched for.
    ///
    /// # Errors
    /// As above.
    fn map(&mut self) -> Outcome<OwnerMap>;

    /// Makes a node the owner of a partition.
    ///
    /// # Errors
    /// As above.
    fn claim(&mut self, claim: &Claim) -> Outcome<Vouched<Claimed>>;
    /// Hands a partition over to a node, or to nobody if `next` is empty. Gives its new epoch.
    ///
    /// # Errors
    /// As above.
    fn release(&mut self, partition: PartitionId, fence: &Fence, next: &str) -> Outcome<Vouched<u64>>;
    /// Reads where a partition stands, by a write: if it is vouched for, so is what was read through this client before it.
    ///
    /// # Errors
    /// As above.
    fn look(&mut self, partition: PartitionId) -> Outcome<Vouched<PartitionSeen>>;
    /// Records batches, at most one of a partition. Gives for each the place of the partition's last change, in their order.
    fn commit(&mut self, round: &[Batch]) -> Vec<Outcome<Vouched<u64>>>;
    /// Takes steps of the outbox. Gives the number of the last group. Who does not want to know of copies need not wait for them:
    /// a later group that is vouched for vouches for the earlier ones.
    ///
    /// # Errors
    /// As above.
    fn steps(&mut self, group: &StepGroup, copies: Confirmation) -> Outcome<Vouched<StepsTaken>>;
    /// Removes changes before `keep_from`. Gives the place up to which all is gone.
    ///
    /// # Errors
    /// As above.
    fn prune(&mut self, partition: PartitionId, fence: &Fence, keep_from: u64) -> Outcome<Vouched<u64>>;
    /// Goes on behind `last` although changes before it are lost. Gives the place of the last change.
    ///
    /// # Errors
    /// As above.
    fn accept_loss(&mut self, partition: PartitionId, fence: &Fence, last: u64) -> Outcome<Vouched<u64>>;

    /// Records of users of some partitions, at most [`LOAD_USERS_MAX`] of each, in their order. Each partition is read together with a
    /// write to it: if that is vouched for, so is what was read.
    fn load(&mut self, wanted: &[(PartitionId, Vec<UserId>)]) -> Vec<Outcome<Vouched<LoadedRecords>>>;
    /// Some `count` users of a hash, from 0 or where the last part ended. Not vouched for.
    ///
    /// # Errors
    /// As above.
    fn scan(&mut self, partition: PartitionId, hash: RecordHash, from: u64, count: u32) -> Outcome<Scanned>;
    /// At most `batches_max` batches with what lies behind `after`, oldest first. Of the first one, some changes or all may lie before.
    /// Whether they are those of the partition's owner, and none of them is gone, is for the caller to see. So it is of all below.
    ///
    /// # Errors
    /// As above.
    fn stream(
        &mut self,
        partition: PartitionId,
        after: u64,
        batches_max: u32,
    ) -> Outcome<Snapshot<KeptBatches>>;
    /// Of each of these places, ascending and at most [`PLACES_MAX`], the batch that has it, or the last before it; none twice.
    ///
    /// # Errors
    /// As above.
    fn batches(&mut self, partition: PartitionId, places: &[u64]) -> Outcome<Snapshot<KeptBatches>>;
    /// Late users who are due up to `due`, the longest first, then those due from `far` on; at most `count`.
    ///
    /// # Errors
    /// As above.
    fn turns(
        &mut self,
        partition: PartitionId,
        due: u64,
        far: u64,
        count: u32,
    ) -> Outcome<Snapshot<KeptTurns>>;
    /// How one late user stands.
    ///
    /// # Errors
    /// As above.
    fn turn(&mut self, partition: PartitionId, user: &UserId) -> Outcome<Snapshot<Option<Opaque>>>;
    /// Late callbacks behind a place, in their order, at most `count`.
    ///
    /// # Errors
    /// As above.
    fn late(&mut self, partition: PartitionId, after: u64, count: u32) -> Outcome<Snapshot<Vec<LateMember>>>;
    /// Places of one user's late callbacks behind a place, in their order, at most `count`.
    ///
    /// # Errors
    /// As above.
    fn late_of(
        &mut self,
        partition: PartitionId,
        user: &UserId,
        after: u64,
        count: u32,
    ) -> Outcome<Snapshot<Vec<u64>>>;
    /// Dead letters behind a place, with their places, in their order, at most `count`.
    ///
    /// # Errors
    /// As above.
    fn dead(
        &mut self,
        partition: PartitionId,
        after: u64,
        count: u32,
    ) -> Outcome<Snapshot<Vec<(u64, Opaque)>>>;
    /// How many callbacks are late, and how many dead.
    ///
    /// # Errors
    /// As above.
    fn outbox_counts(&mut self, partition: PartitionId) -> Outcome<Snapshot<OutboxCounts>>;
}
