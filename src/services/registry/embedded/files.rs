//! The open database: its keyspaces, its sizes, and what is read of it by everyone. It can be closed and opened again in
//! place: after a failed write fjall takes no more until then.
//!
//! | keyspace | key | value |
//! | --- | --- | --- |
//! | `meta` | a name | a number: format, store id, the outbox's cursor, the last pruned place, the time of the last recovery |
//! | `users` | UserID | the user's record, and the place of its last change |
//! | `changes` | place in the commit order | the change, and the place of the same user's change before |
//! | `outbox` | a letter and what it says | late and dead callbacks |
//!
//! So a change costs two records: itself, which is also the stream and the outbox, and its user. A user's own changes
//! are found from the last one back.

use std::path::Path;

use fjall::config::{PartitioningPolicy, PinningPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::base::ids::UserId;
use crate::services::registry::archive::{Placed, Position, ReadError, ResumeAfter};
use crate::services::registry::codec::{self, ChainedChange, FORMAT, StoredRecord};
use crate::services::registry::embedded::check::{self, TableCheck};
use crate::services::registry::embedded::errors::{OpenError, explain, other, unread, unreadable};
use crate::services::registry::embedded::mend::Holes;
use crate::services::registry::embedded::repair::{lock, make_directory, make_sound};
use crate::services::registry::embedded::settings::StoreLocation;

/// The store's keyspaces, in the order in which they are made: the first has the number 1.
pub(super) const KEYSPACES: [&str; 4] = ["meta", "users", "changes", "outbox"];

pub(super) const FORMAT_KEY: &str = "format";
pub(super) const STORE_KEY: &str = "store";
pub(super) const CURSOR_KEY: &str = "cursor";
pub(super) const PRUNED_KEY: &str = "pruned";
/// No place up to this one is given again: changes at the end of a store that was salvaged may be lost.
pub(super) const LAST_KEY: &str = "last";
pub(super) const RECOVERED_KEY: &str = "recovered";

/// The memory is divided into this many parts: four for the cache, one for what users wrote last, one for changes; each
/// of the latter two exists twice while it is being written out, and the rest is the database's own.
const MEMORY_PARTS: u64 = 10;

/// Journals are replayed at each start, which takes much longer than to read tables: the least that the database allows.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

/// Tables that stay open between two reads; others are opened for each. A table has up to 64 MiB, so this is a store of 16 GiB,
/// and with the half that HTTP may take it leaves a quarter of the 1,024 descriptors that hosts give by default.
const FILES_OPEN_MAX: usize = 256;

/// How a keyspace is kept that holds at most so many bytes before it writes them to a table.
///
/// The index and the filter of a fresh table are small, and stay in memory. Those of merged tables are in blocks of a few KiB each, as
/// the records are: whole, they grow with the tables, and each lookup would read and check hundreds of KiB as soon as they no longer
/// fit into the cache together.
fn layout(unwritten_bytes_max: u64) -> KeyspaceCreateOptions {
    let merged = PartitioningPolicy::new([false, true]);
    let fresh = PinningPolicy::new([true, false]);
    KeyspaceCreateOptions::default()
        .max_memtable_size(unwritten_bytes_max)
        .index_block_partitioning_policy(merged.clone())
        .filter_block_partitioning_policy(merged)
        .index_block_pinning_policy(fresh.clone())
        .filter_block_pinning_policy(fresh)
}

/// An open database.
pub(super) struct Files {
    pub(super) database: Database,
    pub(super) meta: Keyspace,
    pub(super) users: Keyspace,
    pub(super) changes: Keyspace,
    pub(super) outbox: Keyspace,
    pub(super) id: u64,
    /// Where records are lost.
    pub(super) holes: Holes,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Files {
    /// Opens the database, when what it needs is sound, and damaged tables of records were replaced.
    pub(super) fn open(place: &StoreLocation, look: TableCheck) -> Result<Self, OpenError> {
        let path = &place.path;
        make_directory(path)?;
        if check::exists(path) {
            let lock = lock(path)?;
            make_sound(path, look)?;
            drop(lock);
        }
        let explain = |error: fjall::Error| explain(path, &error);
        let part = place.memory_bytes_max / MEMORY_PARTS;
        let database = Database::builder(path)
            .cache_size(4 * part)
            .max_cached_files(Some(FILES_OPEN_MAX))
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(1)
            .open()
            .map_err(explain)?;
        let keyspace = |name| database.keyspace(name, || layout(part));
        let files = Self {
            meta: keyspace("meta").map_err(explain)?,
            users: keyspace("users").map_err(explain)?,
            changes: keyspace("changes").map_err(explain)?,
            outbox: keyspace("outbox").map_err(explain)?,
            database: database.clone(),
            id: 0,
            holes: holes_of(path, database.seqno())?,
        };
        files.identify(path)
    }

    /// Checks whose store it is, or makes a new one ours.
    fn identify(mut self, path: &Path) -> Result<Self, OpenError> {
        let explain = |error: fjall::Error| explain(path, &error);
        match self.number(FORMAT_KEY).map_err(|error| other(path, &error))? {
            Some(FORMAT) => {}
            Some(found) => {
                return Err(OpenError::Format {
                    path: path.to_owned(),
                    found: found.to_string(),
                });
            }
            None if self.users.first_key_value().is_none() => {
                let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
                batch.insert(&self.meta, FORMAT_KEY, FORMAT.to_be_bytes());
                batch.insert(&self.meta, STORE_KEY, fastrand::u64(..).to_be_bytes());
                batch.commit().map_err(explain)?;
            }
            None => {
                return Err(OpenError::Format {
                    path: path.to_owned(),
                    found: "unknown".to_owned(),
                });
            }
        }
        let id = self.number(STORE_KEY).map_err(|error| other(path, &error))?;
        self.id = id.ok_or_else(|| OpenError::Unreadable {
            path: path.to_owned(),
            text: "it has no id".to_owned(),
        })?;
        Ok(self)
    }

    /// A number of `meta`.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ReadError> {
        let Some(bytes) = self.meta.get(name).map_err(unread)? else {
            return Ok(None);
        };
        let bytes: [u8; 8] = bytes
            .as_ref()
            .try_into()
            .map_err(|_| unreadable("a number is damaged"))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    pub(super) fn put_number(&self, batch: &mut fjall::OwnedWriteBatch, name: &str, number: u64) {
        batch.insert(&self.meta, name, number.to_be_bytes());
    }

    /// The record of a user. [`ReadError::Lost`] if there may be another that is lost.
    pub(super) fn user(&self, user: &UserId) -> Result<Option<StoredRecord>, ReadError> {
        let bytes = self.users.get(user.as_str()).map_err(unread)?;
        self.trust(&self.users, user.as_str().as_bytes())?;
        Ok(bytes.map(|bytes| codec::decode_user(&bytes)).transpose()?)
    }

    /// The change at a place. [`ReadError::Lost`] if there may be another that is lost.
    pub(super) fn change(&self, position: Position) -> Result<Option<ChainedChange>, ReadError> {
        let bytes = self.changes.get(key(position)).map_err(unread)?;
        self.trust(&self.changes, &key(position))?;
        Ok(bytes.map(|bytes| codec::decode_change(&bytes)).transpose()?)
    }

    /// Changes behind a place up to another, as many as there are before some are lost. [`ReadError::Hole`] if those right
    /// behind the place are.
    pub(super) fn changes_behind(
        &self,
        after: Position,
        last: Position,
        count_max: usize,
    ) -> Result<Vec<Placed>, ReadError> {
        let mut page: Vec<Placed> = Vec::new();
        for guard in self
            .changes
            .range(key(Position(after.0 + 1))..=key(last))
            .take(count_max)
        {
            let next = page.last().map_or(after, |placed| placed.position).0 + 1;
            let behind = match self.trusted_change(guard) {
                Ok(placed) if placed.position.0 == next => {
                    page.push(placed);
                    continue;
                }
                Ok(placed) => Position(placed.position.0 - 1),
                Err(ReadError::Lost(_)) => Position(next),
                Err(error) if page.is_empty() => return Err(error),
                Err(_) => break,
            };
            if page.is_empty() {
                return Err(ReadError::Hole(ResumeAfter::Position(behind)));
            }
            break;
        }
        if page.is_empty() {
            return Err(ReadError::Hole(ResumeAfter::Position(last)));
        }
        Ok(page)
    }

    fn trusted_change(&self, guard: fjall::Guard) -> Result<Placed, ReadError> {
        let (place, bytes) = guard.into_inner().map_err(unread)?;
        self.trust(&self.changes, &place)?;
        Ok(codec::decode_change(&bytes)?.placed(position(&place)?))
    }

    /// A user's record that was met. [`ReadError::Lost`] if there may be a younger one that is lost.
    pub(super) fn trusted_user(
        &self,
        name: &[u8],
        bytes: &[u8],
    ) -> Result<(UserId, StoredRecord), ReadError> {
        self.trust(&self.users, name)?;
        let user = UserId::new(name).map_err(|error| ReadError::Lost(error.to_string()))?;
        Ok((user, codec::decode_user(bytes)?))
    }

    /// Whether what is found under a key is the truth.
    pub(super) fn trust(&self, keyspace: &Keyspace, key: &[u8]) -> Result<(), ReadError> {
        if self.holes.may_hide(keyspace, key).map_err(unread)? {
            let text = format!("what is newest of {} under this key is lost", &**keyspace.name());
            return Err(ReadError::Lost(text));
        }
        Ok(())
    }

    /// The place of the newest change; the newest is never pruned. One that is lost counts as long as a user's record names it.
    pub(super) fn last(&self) -> Result<Position, ReadError> {
        let newest = match self.changes.last_key_value() {
            Some(guard) => position(&guard.key().map_err(unread)?)?,
            None => Position(0),
        };
        let newest = newest.max(Position(self.number(LAST_KEY)?.unwrap_or(0)));
        if self.holes.of("changes").next().is_none() {
            return Ok(newest);
        }
        Ok(newest.max(self.last_named()?))
    }

    /// The last place that anything else than the changes themselves knows of.
    pub(super) fn last_named(&self) -> Result<Position, ReadError> {
        let mut last = self
            .pruned()?
            .max(Position(self.number(CURSOR_KEY)?.unwrap_or(0)));
        for guard in self.users.iter() {
            let (_, bytes) = guard.into_inner().map_err(unread)?;
            last = last.max(codec::decode_user(&bytes).map_or(Position(0), |known| known.last));
        }
        Ok(last)
    }

    /// The place up to which changes were pruned.
    pub(super) fn pruned(&self) -> Result<Position, ReadError> {
        Ok(Position(self.number(PRUNED_KEY)?.unwrap_or(0)))
    }

    /// What the caches and the unwritten tables take, in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.database.cache_size() + self.database.write_buffer_size()
    }
}

/// Where records are lost in a store whose next write gets this number.
fn holes_of(path: &Path, next: u64) -> Result<Holes, OpenError> {
    let mut holes = Holes::read(path).map_err(|fault| OpenError::Damaged {
        path: path.to_owned(),
        faults: vec![fault],
    })?;
    let settled = holes.settle(next.saturating_sub(1));
    settled.map_err(|error| OpenError::Directory {
        path: path.to_owned(),
        error,
    })?;
    Ok(holes)
}

/// The key of a place: in the order of the places.
pub(super) fn key(position: Position) -> [u8; 8] {
    position.0.to_be_bytes()
}

/// Reads a [`key`].
pub(super) fn position(key: &[u8]) -> Result<Position, ReadError> {
    let bytes: [u8; 8] = key.try_into().map_err(|_| unreadable("a place is damaged"))?;
    Ok(Position(u64::from_be_bytes(bytes)))
}
