//! From the lanes of a cluster into a new store on disk, in one order: that of the dates, and of one lane its own. It is made beside
//! the folder that is wanted, and gets its name when it is whole.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::base::ids::UserId;
use crate::base::time::Timestamp;
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::codec::{ChainedChange, StoredRecord};
use crate::services::registry::embedded::{StoreFiller, StoreReader};
use crate::services::registry::moved_lane::MovedLane;
use crate::services::registry::moving::fault::MoveError;
use crate::services::registry::moving::lane::every_user;
use crate::services::registry::moving::mark::MoveMark;
use crate::services::registry::moving::outbox::{StepQueue, every_dead, every_late};
use crate::services::registry::moving::places::PlaceTable;
use crate::services::registry::moving::progress::MoveProgress;
use crate::services::registry::moving::summary::Summary;
use crate::services::registry::moving::takeover::{ClusterAccess, MarkAfter, Takeover};
use crate::services::registry::outbox::Outbox;
use crate::services::registry::shared::lane::SharedLane;
use crate::services::shared_store::calls::SharedStore;

/// Batches of each lane that are in memory: of 4,096 lanes, 100 MB at most.
const PAGE_BATCHES: u32 = 4;

/// Progress is told after so many records.
const TOLD_EACH: u64 = 10_000;

/// Moves all records of a cluster into a new store in a folder, and leaves the cluster closed: its records stay where they are, and
/// its nodes do not start until it is [reopened](super::reopen).
///
/// # Errors
/// The folder is then as it was, and the cluster open as before, unless the shared store fails at that too.
pub fn export<S: SharedStore + Send>(
    access: ClusterAccess<S>,
    to: &Path,
    progress: MoveProgress<'_>,
) -> Result<Summary, MoveError> {
    let unwritable = |error: std::io::Error| MoveError::Write {
        path: to.to_owned(),
        text: error.to_string(),
    };
    match fs::read_dir(to).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(MoveError::NotEmpty(to.to_owned())),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unwritable(error)),
        Ok(false) | Err(_) => {}
    }
    let begun = unfinished(to);
    remove(&begun).map_err(unwritable)?;
    let takeover = Takeover::begin(access, &MoveMark::Export, progress)?;
    let exported = write(&takeover, &begun, progress).and_then(|summary| {
        fs::rename(&begun, to).map_err(unwritable)?;
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = File::open(parent.unwrap_or(Path::new(".")));
        parent.and_then(|parent| parent.sync_all()).map_err(unwritable)?;
        Ok(summary)
    });
    let mark = match &exported {
        Err(_) if !takeover.again => MarkAfter::Goes,
        Ok(_) | Err(_) => MarkAfter::Stays,
    };
    let ended = takeover.end(mark);
    if exported.is_err() {
        // What is told is why it failed at first.
        let _ = remove(&begun);
        return exported;
    }
    ended.and(exported)
}

/// Where a store is made: beside its place, so that it needs only another name.
fn unfinished(to: &Path) -> PathBuf {
    let mut name = to.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".unfinished-export");
    to.with_file_name(name)
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes the store, and compares both sides.
fn write<S: SharedStore + Send>(
    takeover: &Takeover<S>,
    folder: &Path,
    progress: MoveProgress<'_>,
) -> Result<Summary, MoveError> {
    let unwritable = |error: ReadError| MoveError::Write {
        path: folder.to_owned(),
        text: error.to_string(),
    };
    let lanes = takeover.lanes()?;
    let mut merge = LaneMerge::new(&lanes, takeover.last())?;
    let mut filler = StoreFiller::new(folder)?;
    let mut told = 0;
    while let Some((place, link)) = merge.next()? {
        filler.put_change(place, &link).map_err(unwritable)?;
        told += 1;
        if told % TOLD_EACH == 0 {
            progress("changes written", told);
        }
    }
    let mut told = 0;
    for (lane, merged) in lanes.iter().zip(&merge.lanes) {
        every_user(lane, &mut |user, known| {
            let last = merged.places.now(known.last);
            told += 1;
            if told % TOLD_EACH == 0 {
                progress("users written", told);
            }
            filler
                .put_user(&user, &StoredRecord { last, ..known })
                .map_err(unwritable)
        })?;
    }
    filler
        .finish((merge.base, merge.last), merge.cursor)
        .map_err(unwritable)?;
    let store = StoreReader::open_whole(folder)?;
    put_callbacks(&lanes, &merge, &store)?;
    store.settle().map_err(unwritable)?;
    drop(store);
    let (mut read, mut written) = (Summary::default(), Summary::default());
    written.add(&StoreReader::open_whole(folder)?, progress)?;
    for lane in &lanes {
        read.add(lane, progress)?;
    }
    Summary::compare(&read, &written)?;
    Ok(read)
}

fn put_callbacks<S: SharedStore + Send>(
    lanes: &[SharedLane<S>],
    merge: &LaneMerge<'_, S>,
    store: &StoreReader,
) -> Result<(), MoveError> {
    let mut steps = StepQueue::to(vec![store as &dyn Outbox]);
    let mut unkept = 0;
    for (lane, merged) in lanes.iter().zip(&merge.lanes) {
        every_late(lane, &mut |user, place| {
            steps.push_late((0, merged.places.now(place)), user, lane)
        })?;
        every_dead(lane, &mut |dead| {
            let place = merged.places.get(dead.placed.position).unwrap_or_else(|| {
                unkept += 1;
                unkept
            });
            steps.push_dead((0, Position(place)), dead)
        })?;
    }
    // Others were told of what came behind them: they are late.
    for (number, user, place) in &merge.pending {
        if *place <= merge.cursor {
            steps.push_late((0, *place), *user, &lanes[*number])?;
        }
    }
    steps.finish()
}

/// A lane on its way into the one order.
struct MergedLane {
    read: VecDeque<(Position, ChainedChange)>,
    /// The place that was read last.
    after: Position,
    /// The place of its last change.
    last: Position,
    cursor: Position,
    places: PlaceTable,
}

/// All lanes as one, by the dates of their changes.
struct LaneMerge<'a, S> {
    sources: &'a [SharedLane<S>],
    lanes: Vec<MergedLane>,
    /// The dates of the lanes' next changes.
    next: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// Places up to here are of changes that are not kept.
    base: Position,
    last: Position,
    /// The last place of which is known that it was told, late or dead.
    cursor: Position,
    /// Callbacks that are to be told, and are not late.
    pending: Vec<(usize, UserId, Position)>,
}

impl<'a, S: SharedStore + Send> LaneMerge<'a, S> {
    fn new(sources: &'a [SharedLane<S>], last: Vec<Position>) -> Result<Self, MoveError> {
        let mut base = 0;
        let mut lanes = Vec::new();
        for (source, last) in sources.iter().zip(last) {
            let (pruned, mut unkept) = (source.pruned()?, 0);
            every_dead(source, &mut |dead| {
                unkept += u64::from(dead.placed.position <= pruned);
                Ok(())
            })?;
            base += unkept;
            lanes.push(MergedLane {
                read: VecDeque::new(),
                after: pruned,
                last,
                cursor: source.cursor()?,
                places: PlaceTable::behind(pruned),
            });
        }
        let is_cut = lanes.iter().any(|lane| lane.after > Position(0));
        let base = Position(base.max(u64::from(is_cut)));
        let mut merge = Self {
            sources,
            lanes,
            next: BinaryHeap::new(),
            base,
            last: base,
            cursor: base,
            pending: Vec::new(),
        };
        (0..sources.len()).try_for_each(|number| merge.look(number))?;
        Ok(merge)
    }

    /// Finds the next change of a lane.
    fn look(&mut self, number: usize) -> Result<(), MoveError> {
        let lane = &mut self.lanes[number];
        if lane.read.is_empty() && lane.after < lane.last {
            lane.read = self.sources[number].page(lane.after, PAGE_BATCHES)?.into();
            let lacks = |at: &Position| MoveError::Lacking(number as u16, at.0);
            if lane.read.is_empty() {
                return Err(lacks(&lane.after));
            }
            for (place, _) in &lane.read {
                if place.0 != lane.after.0 + 1 {
                    return Err(lacks(&lane.after));
                }
                lane.after = *place;
            }
        }
        if let Some((_, link)) = lane.read.front() {
            self.next.push(Reverse((link.recorded.change.at, number)));
        }
        Ok(())
    }

    /// The next change, at its place in the one order.
    fn next(&mut self) -> Result<Option<(Position, ChainedChange)>, MoveError> {
        let Some(Reverse((_, number))) = self.next.pop() else {
            return Ok(None);
        };
        let lane = &mut self.lanes[number];
        let (place, link) = lane.read.pop_front().expect("it was seen there");
        self.last = Position(self.last.0 + 1);
        lane.places.push(place, self.last.0)?;
        let before = lane.places.now(link.before);
        if place <= lane.cursor {
            self.cursor = self.last;
        } else if link.recorded.previous.is_some() {
            self.pending.push((number, link.recorded.user, self.last));
        }
        self.look(number)?;
        Ok(Some((self.last, ChainedChange { before, ..link })))
    }
}
