//! From a store on disk into the lanes of a cluster. The same store gives the same batches each time, and each is recorded once: so an
//! import that was interrupted is made again, and doubles nothing.

use std::path::Path;

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::services::registry::archive::{Archive, Position};
use crate::services::registry::codec::{ChainedChange, StoredRecord};
use crate::services::registry::embedded::{StoreReader, verify};
use crate::services::registry::moved_lane::MovedLane;
use crate::services::registry::moving::fault::MoveError;
use crate::services::registry::moving::lane::{every_change, every_user};
use crate::services::registry::moving::mark::MoveMark;
use crate::services::registry::moving::outbox::{StepQueue, every_dead, every_late};
use crate::services::registry::moving::places::PlaceTable;
use crate::services::registry::moving::progress::MoveProgress;
use crate::services::registry::moving::summary::Summary;
use crate::services::registry::moving::takeover::{ClusterAccess, MarkAfter, Takeover};
use crate::services::registry::outbox::{Outbox, OutboxStep};
use crate::services::registry::shared::lane::SharedLane;
use crate::services::shared_store::calls::{BATCH_CHANGES_MAX, Batch, SharedStore};

/// Changes of a batch, and users of one.
const BATCH: usize = BATCH_CHANGES_MAX as usize;

/// Batches on their way at once: a server has them done within a tenth of the time that it is waited for.
const ROUND: usize = 64;

/// Moves all records of the store in a folder into a cluster that has none.
///
/// # Errors
/// Nothing is changed in the store in any case. An import that does not come to its end is to be made again.
pub fn import<S: SharedStore + Send>(
    from: &Path,
    access: ClusterAccess<S>,
    progress: MoveProgress<'_>,
) -> Result<Summary, MoveError> {
    let report = verify(from, &mut |_| {})?;
    if !report.is_sound() || !report.lost_before.is_empty() {
        return Err(MoveError::Damaged(from.to_owned()));
    }
    let source = StoreReader::open_whole(from)?;
    let mut read = Summary::default();
    read.add(&source, progress)?;
    let mark = MoveMark::Import(format!("{:016x} {}", source.store_id(), read.words()));
    let takeover = Takeover::begin(access, &mark, progress)?;
    let lanes = takeover.lanes()?;
    let mut filled = FilledLanes::new(&source, &takeover, &lanes)?;
    filled.put_changes(&source, progress)?;
    filled.put_users(&source, progress)?;
    filled.put_callbacks(&source)?;
    let mut written = Summary::default();
    // What is in the store, and not what is remembered of it.
    for lane in takeover.lanes()? {
        written.add(&lane, progress)?;
    }
    Summary::compare(&read, &written)?;
    takeover.end(MarkAfter::Goes)?;
    Ok(read)
}

/// A lane as far as it is filled.
#[derive(Default)]
struct FilledLane {
    /// The place of its last change, sent or not.
    last: Position,
    latest: Timestamp,
    cursor: Position,
    /// Places that dead letters have whose changes are not kept.
    dead: u64,
    changes: Vec<ChainedChange>,
    users: Vec<(UserId, StoredRecord)>,
    /// Whether it has a batch in the round.
    in_round: bool,
}

/// All lanes of a cluster.
struct FilledLanes<'a, S> {
    takeover: &'a Takeover<S>,
    lanes: &'a [SharedLane<S>],
    filled: Vec<FilledLane>,
    places: PlaceTable,
    round: Vec<Batch>,
}

impl<'a, S: SharedStore + Send> FilledLanes<'a, S> {
    /// Has each lane begin behind the places of dead letters whose changes are not kept.
    fn new(
        source: &StoreReader,
        takeover: &'a Takeover<S>,
        lanes: &'a [SharedLane<S>],
    ) -> Result<Self, MoveError> {
        let pruned = source.pruned()?;
        let begin = u64::from(pruned > Position(0));
        let mut unkept = vec![0_u64; lanes.len()];
        every_dead(source, &mut |dead| {
            let lane = dead.placed.recorded.user.partition(takeover.partitions);
            unkept[usize::from(lane.0)] += u64::from(!source.keeps(dead.placed.position)?);
            Ok(())
        })?;
        let mut filled = Vec::new();
        for (number, unkept) in (0..).zip(unkept) {
            let base = Position(unkept.max(begin));
            if base > Position(0) {
                takeover.begin_behind(number, base)?;
            }
            filled.push(FilledLane {
                last: base,
                cursor: base,
                ..FilledLane::default()
            });
        }
        Ok(Self {
            takeover,
            lanes,
            filled,
            places: PlaceTable::behind(pruned),
            round: Vec::new(),
        })
    }

    fn lane_of(&self, user: &UserId) -> usize {
        usize::from(user.partition(self.takeover.partitions).0)
    }

    fn put_changes(&mut self, source: &StoreReader, progress: MoveProgress<'_>) -> Result<(), MoveError> {
        let (cursor, mut count) = (source.cursor()?, 0);
        every_change(source, &mut |place, link| {
            let number = self.lane_of(&link.recorded.user);
            let lane = &mut self.filled[number];
            lane.last = Position(lane.last.0 + 1);
            lane.latest = lane.latest.max(link.recorded.change.at);
            if place <= cursor {
                lane.cursor = lane.last;
            }
            self.places.push(place, lane.last.0)?;
            lane.changes.push(ChainedChange {
                before: self.places.now(link.before),
                ..link
            });
            count += 1;
            if lane.changes.len() == BATCH {
                self.batch_changes(number)?;
                progress("changes written", count);
            }
            Ok(())
        })?;
        for number in 0..self.filled.len() {
            if !self.filled[number].changes.is_empty() {
                self.batch_changes(number)?;
            }
        }
        self.send()
    }

    fn batch_changes(&mut self, number: usize) -> Result<(), MoveError> {
        let lane = &mut self.filled[number];
        let changes = std::mem::take(&mut lane.changes);
        let first = Position(lane.last.0 + 1 - changes.len() as u64);
        let batch = self.lanes[number].batch_of(first, &changes, lane.latest);
        self.add_to_round(number, batch)
    }

    fn put_users(&mut self, source: &StoreReader, progress: MoveProgress<'_>) -> Result<(), MoveError> {
        let mut count = 0;
        every_user(source, &mut |user, known| {
            let number = self.lane_of(&user);
            let last = self.places.now(known.last);
            let lane = &mut self.filled[number];
            lane.users.push((user, StoredRecord { last, ..known }));
            count += 1;
            if lane.users.len() == BATCH {
                self.batch_users(number)?;
                progress("users written", count);
            }
            Ok(())
        })?;
        for number in 0..self.filled.len() {
            if !self.filled[number].users.is_empty() {
                self.batch_users(number)?;
            }
        }
        self.send()
    }

    fn batch_users(&mut self, number: usize) -> Result<(), MoveError> {
        let lane = &mut self.filled[number];
        let users = std::mem::take(&mut lane.users);
        let batch = self.lanes[number].records_of(lane.last, &users, lane.latest);
        self.add_to_round(number, batch)
    }

    /// A round has at most one batch of a lane.
    fn add_to_round(&mut self, number: usize, batch: Batch) -> Result<(), MoveError> {
        if self.filled[number].in_round || self.round.len() == ROUND {
            self.send()?;
        }
        self.filled[number].in_round = true;
        self.round.push(batch);
        Ok(())
    }

    fn send(&mut self) -> Result<(), MoveError> {
        self.filled.iter_mut().for_each(|lane| lane.in_round = false);
        let round = std::mem::take(&mut self.round);
        if round.is_empty() {
            return Ok(());
        }
        self.takeover.commit(round)
    }

    /// Steps that were taken before change nothing when they are taken again.
    fn put_callbacks(&mut self, source: &StoreReader) -> Result<(), MoveError> {
        let outboxes = self.lanes.iter().map(|lane| lane as &dyn Outbox);
        let mut steps = StepQueue::to(outboxes.collect());
        for (number, lane) in self.filled.iter().enumerate() {
            if lane.cursor > Position(0) {
                steps.push(number, OutboxStep::Cursor(lane.cursor))?;
            }
        }
        every_late(source, &mut |user, place| {
            steps.push_late((self.lane_of(&user), self.places.now(place)), user, source)
        })?;
        every_dead(source, &mut |dead| {
            let number = self.lane_of(&dead.placed.recorded.user);
            let place = self.places.get(dead.placed.position).unwrap_or_else(|| {
                self.filled[number].dead += 1;
                self.filled[number].dead
            });
            steps.push_dead((number, Position(place)), dead)
        })?;
        steps.finish()
    }
}
