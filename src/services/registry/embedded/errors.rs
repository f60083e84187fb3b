//! What can go wrong with a store, by kinds: it cannot be opened, it cannot be written, what was read is damaged. The one
//! is never taken for the other. Decides nothing.

use std::io;
use std::path::{Path, PathBuf};

use crate::services::registry::archive::ReadError;
use crate::services::registry::codec::{Damage, FORMAT};
use crate::services::registry::embedded::raw::bytes::FileFault;

/// How many faults an error names; the rest is counted.
const FAULTS_TOLD_MAX: usize = 5;

fn told(faults: &[FileFault]) -> String {
    let mut told: Vec<_> = faults
        .iter()
        .take(FAULTS_TOLD_MAX)
        .map(FileFault::to_string)
        .collect();
    if faults.len() > FAULTS_TOLD_MAX {
        told.push(format!("and {} more", faults.len() - FAULTS_TOLD_MAX));
    }
    told.join("; ")
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
    /// What is needed is damaged.
    #[error(
        "{path} is damaged: {}; `holdfast store verify --path {path}` says what would be lost, and `holdfast store salvage` makes a new store of the rest",
        told(faults)
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is damaged in it.
        faults: Vec<FileFault>,
    },
    /// It is no store, or the database does not open it for another reason.
    #[error("{path} cannot be opened as a store: {text}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the database says.
        text: String,
    },
}

/// The store could not be written. What it holds is another matter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct WriteError {
    text: String,
    /// The database takes no writes any more because one of its own threads met an error.
    pub(super) poisoned: Poisoned,
}

/// Whether a thread of the database met an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Poisoned {
    Yes,
    No,
}

impl WriteError {
    pub(super) fn of(error: impl std::fmt::Display) -> Self {
        Self {
            text: error.to_string(),
            poisoned: Poisoned::No,
        }
    }

    pub(super) fn of_database(error: fjall::Error) -> Self {
        let poisoned = matches!(error, fjall::Error::Poisoned);
        Self {
            poisoned: if poisoned { Poisoned::Yes } else { Poisoned::No },
            text: explained(&error),
        }
    }
}

/// The database's words, without its names for its own parts.
fn explained(error: &fjall::Error) -> String {
    if let fjall::Error::Io(error) | fjall::Error::Storage(lsm_tree::Error::Io(error)) = error {
        return error.to_string();
    }
    if let fjall::Error::Storage(lsm_tree::Error::ChecksumMismatch { .. }) = error {
        return "a checksum does not fit".to_owned();
    }
    if let fjall::Error::Poisoned = error {
        return "a thread of the database met an error".to_owned();
    }
    error.to_string()
}

/// The text of an error that is none of the database's.
pub(super) fn unreadable(error: impl std::fmt::Display) -> ReadError {
    ReadError::Store(error.to_string())
}

/// An error of the database, on reading.
pub(super) fn unread(error: fjall::Error) -> ReadError {
    if is_damage(&error) {
        ReadError::Damaged(explained(&error))
    } else {
        unreadable(explained(&error))
    }
}

/// What was read is what was written, and yet makes no sense.
pub(super) fn undecodable(error: impl std::fmt::Display) -> ReadError {
    ReadError::Lost(error.to_string())
}

/// Whether what was read is not what was written, or cannot be read from the disk.
fn is_damage(error: &fjall::Error) -> bool {
    if let fjall::Error::Storage(lsm_tree::Error::Io(error)) = error {
        return error.kind() == io::ErrorKind::UnexpectedEof || error.raw_os_error() == Some(libc::EIO);
    }
    matches!(error, fjall::Error::Storage(_))
}

pub(super) fn explain(path: &Path, error: &fjall::Error) -> OpenError {
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

pub(super) fn other(path: &Path, error: &impl std::fmt::Display) -> OpenError {
    OpenError::Unreadable {
        path: path.to_owned(),
        text: error.to_string(),
    }
}

impl From<Damage> for ReadError {
    fn from(damage: Damage) -> Self {
        Self::Lost(damage.to_string())
    }
}
