//! The mark that a cluster has while its records are moved: a row among those of its nodes, under a name that no node has. It is set
//! and taken away as a node's, so that of two who move only the last one goes on. While it is there no node starts.

use crate::services::registry::moving::fault::MoveError;
use crate::services::shared_store::calls::NodeEntry;

/// The name of the row, which is also the owner's in fences of who moves.
pub const MARK_NAME: &str = "mover";

/// What is done with the cluster's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MoveMark {
    /// They are imported, from a store with this id and these records.
    Import(String),
    /// They are exported, or were: the new store is the one that counts.
    Export,
}

impl MoveMark {
    /// The mark among the rows of a cluster's nodes, if it is there.
    #[must_use]
    pub fn of(rows: &[(String, NodeEntry)]) -> Option<Self> {
        let (_, row) = rows.iter().find(|(name, _)| name == MARK_NAME)?;
        let words = String::from_utf8_lossy(&row.says);
        Some(match words.split_once(' ') {
            Some(("import", what)) => Self::Import(what.to_owned()),
            Some(_) | None => Self::Export,
        })
    }

    pub(super) fn words(&self) -> String {
        match self {
            Self::Import(what) => format!("import {what}"),
            Self::Export => "export".to_owned(),
        }
    }

    /// Why no node may start.
    #[must_use]
    pub fn refusal(&self) -> MoveError {
        match self {
            Self::Import(_) => MoveError::UnfinishedImport,
            Self::Export => MoveError::Exported,
        }
    }

    /// Whether this may be done where that was begun.
    pub(super) fn may_follow(&self, before: Option<&Self>) -> Result<(), MoveError> {
        match (before, self) {
            (None, _) | (Some(Self::Export), Self::Export) => Ok(()),
            (Some(Self::Import(begun)), Self::Import(wanted)) if begun == wanted => Ok(()),
            (Some(Self::Import(_)), Self::Import(_)) => Err(MoveError::OtherImport),
            (Some(begun), _) => Err(begun.refusal()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_brought_to_its_end_first() {
        let import = |what: &str| MoveMark::Import(what.to_owned());
        let check = |before: Option<MoveMark>, wanted: MoveMark, expected: Option<&str>| {
            let refused = wanted
                .may_follow(before.as_ref())
                .err()
                .map(|error| error.to_string());
            let fits = match (&refused, expected) {
                (Some(text), Some(part)) => text.contains(part),
                (None, None) => true,
                _ => false,
            };
            assert!(fits, "{before:?}, {wanted:?}: {refused:?}");
        };
        check(None, import("a"), None);
        check(None, MoveMark::Export, None);
        check(Some(import("a")), import("a"), None);
        check(Some(import("a")), import("b"), Some("another store"));
        check(Some(import("a")), MoveMark::Export, Some("cluster import"));
        check(Some(MoveMark::Export), MoveMark::Export, None);
        check(Some(MoveMark::Export), import("a"), Some("cluster reopen"));
    }
}
