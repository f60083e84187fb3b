//! The open database: its keyspaces, its sizes, and what is read of it by everyone. It can be closed and opened again in
//! place: after a failed write fjall takes no more until then.
//!
//! | keyspace | key | value |
//! | --- | --- | --- |
//! | `meta` | a name | a number: format, store id, the outbox's cursor, the last pruned place |
//! | `users` | UserID | the user's record, and the place of its last change |
//! | `changes` | place in the commit order | the change, and the place of the same user's change before |
//! | `outbox` | a letter and what it says | late and dead callbacks |
//!
//! So a change costs two records: itself, which is also the stream and the outbox, and its user. A user's own changes
//! are found from the last one back.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use fjall::config::{PartitioningPolicy, PinningPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::codec::{self, Damage, FORMAT, Known, Link};
use crate::base::ids::UserId;
use crate::services::registry::archive::{Position, ReadError};

/// What a store must know to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory; it is made if it is not there.
    pub path: PathBuf,
    /// About how much memory the store may use for caches and for what is not in its tables yet.
    pub memory_bytes_max: u64,
}

/// A store could not be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or used.
    #[error("{path}: {error}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process has it open.
    #[error("{0} is in use by another process: a store belongs to one gateway")]
    InUse(PathBuf),
    /// It was written by another version.
    #[error(
        "{path} holds a store of format {found}, and this version reads only format {FORMAT}: use the version that wrote it"
    )]
    Format {
        /// Which.
        path: PathBuf,
        /// What it says of itself.
        found: String,
    },
    /// It is damaged, or no store.
    #[error("{path} cannot be opened as a store: {text}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the database says.
        text: String,
    },
}

const FORMAT_KEY: &str = "format";
const STORE_KEY: &str = "store";
pub(super) const CURSOR_KEY: &str = "cursor";
pub(super) const PRUNED_KEY: &str = "pruned";

/// The memory is divided into this many parts: four for the cache, one for what users wrote last, one for changes; each
/// of the latter two exists twice while it is being written out, and the rest is the database's own.
const MEMORY_PARTS: u64 = 10;

/// Journals are replayed at each start, which takes much longer than to read tables: the least that the database allows.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

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
    meta: Keyspace,
    pub(super) users: Keyspace,
    pub(super) changes: Keyspace,
    pub(super) outbox: Keyspace,
    pub(super) id: u64,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The text of any error of the database.
pub(super) fn unreadable(error: impl std::fmt::Display) -> ReadError {
    ReadError::Store(error.to_string())
}

impl Files {
    pub(super) fn open(place: &Place) -> Result<Self, OpenError> {
        let path = &place.path;
        make_directory(path)?;
        let explain = |error: fjall::Error| explain(path, &error);
        let part = place.memory_bytes_max / MEMORY_PARTS;
        let database = Database::builder(path)
            .cache_size(4 * part)
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
        let Some(bytes) = self.meta.get(name).map_err(unreadable)? else {
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

    pub(super) fn user(&self, user: &UserId) -> Result<Option<Known>, ReadError> {
        let bytes = self.users.get(user.as_str()).map_err(unreadable)?;
        let known = bytes.map(|bytes| codec::decode_user(&bytes));
        known.transpose().map_err(unreadable)
    }

    pub(super) fn change(&self, position: Position) -> Result<Option<Link>, ReadError> {
        let bytes = self.changes.get(key(position)).map_err(unreadable)?;
        let link = bytes.map(|bytes| codec::decode_change(&bytes));
        link.transpose().map_err(unreadable)
    }

    /// The place of the newest change; the newest is never pruned.
    pub(super) fn last(&self) -> Result<Position, ReadError> {
        let Some(guard) = self.changes.last_key_value() else {
            return Ok(Position(0));
        };
        position(&guard.key().map_err(unreadable)?)
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

/// The key of a place: in the order of the places.
pub(super) fn key(position: Position) -> [u8; 8] {
    position.0.to_be_bytes()
}

/// Reads a [`key`].
pub(super) fn position(key: &[u8]) -> Result<Position, ReadError> {
    let bytes: [u8; 8] = key.try_into().map_err(|_| unreadable("a place is damaged"))?;
    Ok(Position(u64::from_be_bytes(bytes)))
}

impl From<Damage> for ReadError {
    fn from(damage: Damage) -> Self {
        Self::Store(damage.to_string())
    }
}

fn make_directory(path: &Path) -> Result<(), OpenError> {
    // Only the gateway may read who its users are.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| OpenError::Directory {
        path: path.to_owned(),
        error,
    })
}

fn explain(path: &Path, error: &fjall::Error) -> OpenError {
    let path = path.to_owned();
    if matches!(error, fjall::Error::Locked) {
        return OpenError::InUse(path);
    }
    if let fjall::Error::InvalidVersion(found) = error {
        let found = format!("{found:?} of the database");
        return OpenError::Format { path, found };
    }
    if let fjall::Error::Io(error) = error {
        let error = io::Error::new(error.kind(), error.to_string());
        return OpenError::Directory { path, error };
    }
    other(&path, error)
}

fn other(path: &Path, error: &impl std::fmt::Display) -> OpenError {
    OpenError::Unreadable {
        path: path.to_owned(),
        text: error.to_string(),
    }
}
