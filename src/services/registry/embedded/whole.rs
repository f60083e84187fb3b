//! A store as a whole, for who moves all its records: read from its first record to its last, or written as a new one. Nobody else
//! has it open.

use std::path::Path;

use fjall::{OwnedWriteBatch, PersistMode};

use crate::base::ids::UserId;
use crate::services::registry::archive::{Position, ReadError};
use crate::services::registry::codec::{self, ChainedChange, StoredRecord};
use crate::services::registry::embedded::check::TableCheck;
use crate::services::registry::embedded::errors::{OpenError, undecodable, unread};
use crate::services::registry::embedded::files::{CURSOR_KEY, Files, LAST_KEY, PRUNED_KEY, key, position};
use crate::services::registry::embedded::reader::StoreReader;
use crate::services::registry::embedded::settings::StoreLocation;
use crate::services::registry::moved_lane::{MovedLane, TakeUser};

/// Memory for the store while it is read or written.
const MEMORY_BYTES: u64 = 128 << 20;

/// Records that are written together.
const RECORDS_AT_ONCE: usize = 1_000;

/// Changes that are read at once for each batch that is asked for.
const CHANGES_A_BATCH: usize = 64;

fn open(path: &Path) -> Result<Files, OpenError> {
    let place = StoreLocation {
        path: path.to_owned(),
        memory_bytes_max: MEMORY_BYTES,
    };
    Files::open(&place, TableCheck::AtTheirEnds)
}

impl StoreReader {
    /// Opens a store that is sound, to be read as a whole.
    pub(in crate::services::registry) fn open_whole(path: &Path) -> Result<Self, OpenError> {
        let files = open(path)?;
        let unreadable = |error: ReadError| OpenError::Unreadable {
            path: path.to_owned(),
            text: error.to_string(),
        };
        let last = files.last().map_err(unreadable)?;
        let place = StoreLocation {
            path: path.to_owned(),
            memory_bytes_max: MEMORY_BYTES,
        };
        Self::new(place, files, last).map_err(unreadable)
    }

    /// Whether the change at this place is kept.
    pub(in crate::services::registry) fn keeps(&self, place: Position) -> Result<bool, ReadError> {
        self.with(|files| files.changes.contains_key(key(place)).map_err(unread))
    }

    /// Makes everything durable.
    pub(in crate::services::registry) fn settle(&self) -> Result<(), ReadError> {
        self.with(|files| files.database.persist(PersistMode::SyncAll).map_err(unread))
    }
}

impl MovedLane for StoreReader {
    fn pruned(&self) -> Result<Position, ReadError> {
        self.oldest()
    }

    fn page(&self, after: Position, batches: u32) -> Result<Vec<(Position, ChainedChange)>, ReadError> {
        let count_max = CHANGES_A_BATCH * batches as usize;
        self.with(|files| {
            let changes = files.changes.range(key(Position(after.0 + 1))..);
            let read = |guard: fjall::Guard| {
                let (place, bytes) = guard.into_inner().map_err(unread)?;
                Ok((position(&place)?, codec::decode_change(&bytes)?))
            };
            changes.take(count_max).map(read).collect()
        })
    }

    fn all_users(&self, take: TakeUser<'_>) -> Result<(), ReadError> {
        self.with(|files| {
            for guard in files.users.iter() {
                let (name, bytes) = guard.into_inner().map_err(unread)?;
                let user = UserId::new(&name).map_err(undecodable)?;
                if take(user, codec::decode_user(&bytes)?).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }
}

/// A new store, which is filled with records in any order.
pub(in crate::services::registry) struct StoreFiller {
    files: Files,
    batch: OwnedWriteBatch,
    in_batch: usize,
}

impl StoreFiller {
    /// Makes a store in a folder, which is empty or not there.
    pub(in crate::services::registry) fn new(path: &Path) -> Result<Self, OpenError> {
        let files = open(path)?;
        Ok(Self {
            batch: files.database.batch(),
            files,
            in_batch: 0,
        })
    }

    pub(in crate::services::registry) fn put_change(
        &mut self,
        place: Position,
        link: &ChainedChange,
    ) -> Result<(), ReadError> {
        self.batch
            .insert(&self.files.changes, key(place), codec::encode_change(link));
        self.count()
    }

    pub(in crate::services::registry) fn put_user(
        &mut self,
        user: &UserId,
        known: &StoredRecord,
    ) -> Result<(), ReadError> {
        self.batch
            .insert(&self.files.users, user.as_str(), codec::encode_user(known));
        self.count()
    }

    fn count(&mut self) -> Result<(), ReadError> {
        self.in_batch += 1;
        if self.in_batch >= RECORDS_AT_ONCE {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), ReadError> {
        self.in_batch = 0;
        let batch = std::mem::replace(&mut self.batch, self.files.database.batch());
        batch.commit().map_err(unread)
    }

    /// Notes how far changes and callbacks are, and closes the store.
    pub(in crate::services::registry) fn finish(
        mut self,
        (pruned, last): (Position, Position),
        cursor: Position,
    ) -> Result<(), ReadError> {
        for (name, place) in [(PRUNED_KEY, pruned), (LAST_KEY, last), (CURSOR_KEY, cursor)] {
            self.files.put_number(&mut self.batch, name, place.0);
        }
        self.write()?;
        self.files.database.persist(PersistMode::SyncAll).map_err(unread)
    }
}
