//! Has a whole cluster for oneself: its nodes are gone, it has the mark, and all its partitions are claimed under an owner that no node
//! has. Moves nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::ids::PartitionId;
use crate::base::time::Stopwatch;
use crate::services::registry::archive::Position;
use crate::services::registry::moving::fault::MoveError;
use crate::services::registry::moving::mark::{MARK_NAME, MoveMark};
use crate::services::registry::moving::progress::MoveProgress;
use crate::services::registry::shared::lane::{LaneSource, SharedLane};
use crate::services::registry::shared::ownership::ConfirmedPlaces;
use crate::services::shared_store::calls::{
    Batch, Claim, Claimed, IfSeen, NodeEntry, Places, RecordHash, SharedStore,
};
use crate::services::shared_store::outcome::{Fence, Outcome, SharedStoreError, Vouched};

/// How often a call is made that fails, and how long is waited between: longer than a failover takes.
const TRIES: usize = 60;
const PAUSE: Duration = Duration::from_millis(250);

/// How often it is looked whether a node lives: twice in a beat.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A cluster whose records are moved.
#[derive(Debug)]
pub struct ClusterAccess<S> {
    /// A client of its shared store.
    pub store: S,
    /// Into how many partitions all users fall.
    pub partitions: u16,
    /// How many replicas must have what is written.
    pub copies: u16,
    /// Format of the data, and the store's id, as claims name it.
    pub format: String,
    /// The store's id.
    pub store_id: u64,
    /// A node whose beat stands still for so long is dead.
    pub dead: Duration,
}

/// What becomes of the mark in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkAfter {
    Stays,
    Goes,
}

/// A cluster that nobody else uses.
pub(super) struct Takeover<S> {
    store: Arc<Mutex<S>>,
    pub(super) partitions: u16,
    copies: u16,
    format: String,
    store_id: u64,
    incarnation: u64,
    /// Whether the mark was there before.
    pub(super) again: bool,
    held: Vec<(Fence, Places)>,
}

impl<S: SharedStore + Send> Takeover<S> {
    /// Sets the mark, waits until it is sure that no node lives, and claims all partitions. What is refused leaves no new mark.
    pub(super) fn begin(
        access: ClusterAccess<S>,
        mark: &MoveMark,
        progress: MoveProgress<'_>,
    ) -> Result<Self, MoveError> {
        let mut takeover = Self {
            store: Arc::new(Mutex::new(access.store)),
            partitions: access.partitions,
            copies: access.copies,
            format: access.format,
            store_id: access.store_id,
            incarnation: 0,
            again: false,
            held: Vec::new(),
        };
        takeover.set_mark(mark)?;
        let refused = takeover
            .wait_still(access.dead, progress)
            .and_then(|()| match mark {
                MoveMark::Import(_) if !takeover.again => takeover.ensure_empty(),
                MoveMark::Import(_) | MoveMark::Export => Ok(()),
            });
        if let Err(error) = refused {
            if !takeover.again {
                takeover.take_mark_away()?;
            }
            return Err(error);
        }
        for partition in 0..access.partitions {
            takeover.claim(partition)?;
            progress("partitions claimed", u64::from(partition) + 1);
        }
        Ok(takeover)
    }

    /// Calls until it is done in as many copies as wanted.
    fn insist<T>(
        &self,
        partition: u16,
        mut call: impl FnMut(&mut S) -> Outcome<Vouched<T>>,
    ) -> Result<T, MoveError> {
        let mut why = String::new();
        for _ in 0..TRIES {
            let came = call(&mut self.store.lock().expect("a call does not panic"));
            match self.judge(partition, came)? {
                Ok(answer) => return Ok(answer),
                Err(text) => why = text,
            }
            std::thread::sleep(PAUSE);
        }
        Err(MoveError::Shared(why))
    }

    /// The answer, or why the same call is to be made again.
    fn judge<T>(&self, partition: u16, came: Outcome<Vouched<T>>) -> Result<Result<T, String>, MoveError> {
        match came {
            Ok(Vouched { answer, copies }) if copies >= self.copies => Ok(Ok(answer)),
            Ok(Vouched { copies, .. }) => Ok(Err(format!("{copies} of {} replicas have it", self.copies))),
            Err(SharedStoreError::Fenced(by)) => Err(MoveError::Taken { partition, by }),
            Err(SharedStoreError::Behind(place)) => Err(MoveError::Lacking(partition, place)),
            Err(error @ (SharedStoreError::NotExecuted { .. } | SharedStoreError::Unknown(_))) => {
                Ok(Err(error.to_string()))
            }
        }
    }

    fn rows(&self) -> Result<Vec<(String, NodeEntry)>, MoveError> {
        let vouched = |answer| Vouched {
            answer,
            copies: u16::MAX,
        };
        self.insist(0, |store| store.nodes().map(vouched))
    }

    fn set_mark(&mut self, mark: &MoveMark) -> Result<(), MoveError> {
        let words = mark.words().into_bytes();
        for _ in 0..TRIES {
            let rows = self.rows()?;
            let before = MoveMark::of(&rows);
            mark.may_follow(before.as_ref())?;
            let seen = rows.iter().find(|(name, _)| name == MARK_NAME);
            let seen = seen.map(|(_, row)| row);
            if let IfSeen::Done(incarnation) = self.insist(0, |store| store.join(MARK_NAME, seen, &words))? {
                self.incarnation = incarnation;
                self.again = before.is_some();
                return Ok(());
            }
        }
        Err(MoveError::Shared("the mark of another changes".to_owned()))
    }

    fn take_mark_away(&self) -> Result<(), MoveError> {
        self.insist(0, |store| store.leave(MARK_NAME, self.incarnation))?;
        Ok(())
    }

    /// Waits until every node that has not left has stood still for as long as only the dead do. They are buried.
    fn wait_still(&self, dead: Duration, progress: MoveProgress<'_>) -> Result<(), MoveError> {
        let first = self.beating()?;
        let began = Stopwatch::start();
        while !first.is_empty() && began.elapsed() < dead {
            progress("s waited for nodes that may live", began.elapsed().as_secs());
            std::thread::sleep(LOOK_AGAIN);
            let moves = |(name, row): &(String, NodeEntry)| {
                let known = first.iter().find(|(known, _)| known == name);
                known.is_none_or(|(_, known)| (known.incarnation, known.beat) != (row.incarnation, row.beat))
            };
            if let Some((name, _)) = self.beating()?.into_iter().find(moves) {
                return Err(MoveError::NodeRuns(name));
            }
        }
        for (name, row) in first {
            if let IfSeen::Changed(_) = self.insist(0, |store| store.bury(&name, &row))? {
                return Err(MoveError::NodeRuns(name));
            }
        }
        Ok(())
    }

    fn beating(&self) -> Result<Vec<(String, NodeEntry)>, MoveError> {
        let mut rows = self.rows()?;
        rows.retain(|(name, row)| name != MARK_NAME && row.state.beats());
        Ok(rows)
    }

    /// Sees to it that no partition has anything.
    fn ensure_empty(&self) -> Result<(), MoveError> {
        for number in 0..self.partitions {
            let partition = PartitionId(number);
            let places = self.insist(number, |store| store.look(partition))?.places;
            let has_users = |hash| {
                let some = |store: &mut S| store.scan(partition, hash, 0, 1);
                let vouched = |answer| Vouched {
                    answer,
                    copies: u16::MAX,
                };
                let part = self.insist(number, |store| some(store).map(vouched))?;
                Ok::<_, MoveError>(!part.users.is_empty() || part.next.is_some())
            };
            if places.seq > 0 || has_users(RecordHash::Residents)? || has_users(RecordHash::Others)? {
                return Err(MoveError::HasRecords(number));
            }
        }
        Ok(())
    }

    fn claim(&mut self, number: u16) -> Result<(), MoveError> {
        let partition = PartitionId(number);
        let seen = self.insist(number, |store| store.look(partition))?.fence;
        let claim = Claim {
            partition,
            fence: Fence {
                owner: format!("{MARK_NAME}.{}", self.incarnation).into(),
                epoch: seen.epoch + 1,
            },
            seen,
            format: self.format.clone(),
        };
        match self.insist(number, |store| store.claim(&claim))? {
            Claimed::Granted(places) => self.held.push((claim.fence, places)),
            Claimed::Taken(by) => {
                return Err(MoveError::Taken {
                    partition: number,
                    by,
                });
            }
            Claimed::Foreign(format) => return Err(MoveError::Foreign(number, format)),
        }
        Ok(())
    }

    /// The lanes of all partitions, in their order.
    pub(super) fn lanes(&self) -> Result<Vec<SharedLane<S>>, MoveError> {
        let lane = |(number, (fence, _)): (u16, &(Fence, Places))| {
            let lane = SharedLane::open(LaneSource {
                store: Arc::clone(&self.store),
                partition: PartitionId(number),
                fence: fence.clone(),
                store_id: self.store_id,
                copies: self.copies,
                confirmed: ConfirmedPlaces::new(self.partitions),
            });
            Ok(lane?)
        };
        (0..).zip(&self.held).map(lane).collect()
    }

    /// The place of each partition's last change, when it was claimed.
    pub(super) fn last(&self) -> Vec<Position> {
        self.held.iter().map(|(_, places)| Position(places.seq)).collect()
    }

    /// Has a lane that has no changes begin behind this place.
    pub(super) fn begin_behind(&self, number: u16, place: Position) -> Result<(), MoveError> {
        let fence = &self.held[usize::from(number)].0;
        self.insist(number, |store| {
            store.accept_loss(PartitionId(number), fence, place.0)
        })?;
        Ok(())
    }

    /// Records batches, one of a partition.
    pub(super) fn commit(&self, mut round: Vec<Batch>) -> Result<(), MoveError> {
        let mut why = String::new();
        for _ in 0..TRIES {
            let outcomes = self.store.lock().expect("a call does not panic").commit(&round);
            let mut left = Vec::new();
            for (batch, came) in round.into_iter().zip(outcomes) {
                if let Err(text) = self.judge(batch.partition.0, came)? {
                    why = text;
                    left.push(batch);
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            round = left;
            std::thread::sleep(PAUSE);
        }
        Err(MoveError::Shared(why))
    }

    /// Gives all partitions to nobody. Each release vouches for all that was written to its partition.
    pub(super) fn end(self, mark: MarkAfter) -> Result<(), MoveError> {
        for (number, (fence, _)) in (0..).zip(&self.held) {
            let partition = PartitionId(number);
            let epoch = self.insist(number, |store| store.release(partition, fence, ""))?;
            let nobody = Fence {
                owner: "".into(),
                epoch,
            };
            self.insist(number, |store| store.publish(partition, &nobody))?;
        }
        match mark {
            MarkAfter::Stays => Ok(()),
            MarkAfter::Goes => self.take_mark_away(),
        }
    }
}

/// Takes the mark of an export away: the cluster's nodes may start again, with its records as they were.
///
/// # Errors
/// If an import did not come to its end, a node runs, or the shared store fails.
pub fn reopen<S: SharedStore + Send>(
    access: ClusterAccess<S>,
    progress: MoveProgress<'_>,
) -> Result<(), MoveError> {
    Takeover::begin(access, &MoveMark::Export, progress)?.end(MarkAfter::Goes)
}
