//! A look at a whole store that nobody has open: what is damaged, which keys that concerns, and what would be lost. Changes
//! nothing.

use std::path::{Path, PathBuf};

use crate::services::registry::embedded::check::{self, Bad, TableCheck};
use crate::services::registry::embedded::errors::OpenError;
use crate::services::registry::embedded::files::KEYSPACES;
use crate::services::registry::embedded::mend::{Holes, room};
use crate::services::registry::embedded::raw::bytes::FileFault;
use crate::services::registry::embedded::raw::table;
use crate::services::registry::embedded::repair::lock;

/// What a store is like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// What keeps it from being opened.
    pub faults: Vec<FileFault>,
    /// Damaged tables. The gateway replaces each by what is intact in it, when it meets the damage.
    pub tables: Vec<DamagedTable>,
    /// Batches at the end of journals that were not written to their end, as after a crash: nobody was answered them.
    pub torn: Vec<(PathBuf, usize)>,
    /// What was lost when tables were replaced before.
    pub lost_before: Vec<String>,
    /// How many tables there are.
    pub tables_seen: usize,
}

/// A table that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedTable {
    /// Its file, within the store.
    pub file: PathBuf,
    /// What it is a part of.
    pub keyspace: String,
    /// What is damaged in it.
    pub what: String,
    /// Records in it that are intact.
    pub intact: usize,
    /// The keys between which records are lost. None, if the damage is not among the records.
    pub lost: Vec<String>,
}

impl VerifyReport {
    /// Whether everything is what was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty() && self.tables.is_empty()
    }
}

/// Looks at every file of the store in this folder. `progress` hears which table is looked at.
///
/// # Errors
/// If there is no store, or another process has it open.
pub fn verify(path: &Path, progress: &mut dyn FnMut(&Path)) -> Result<VerifyReport, OpenError> {
    let _lock = locked(path)?;
    let mut seen = 0;
    let findings = check::look(path, TableCheck::AtAll, &mut |table| {
        seen += 1;
        progress(table);
    });
    let names = check::names(path);
    let name = |bad: &Bad| {
        names
            .get(&bad.keyspace)
            .cloned()
            .unwrap_or_else(|| "the database's own".to_owned())
    };
    let tables = findings.tables.iter().map(|bad| describe(path, name(bad), bad));
    let (mut faults, lost_before) = (findings.faults, lost_before(path));
    faults.extend(lost_before.as_ref().err().cloned());
    Ok(VerifyReport {
        tables: tables.collect(),
        faults,
        torn: findings.torn,
        lost_before: lost_before.unwrap_or_default(),
        tables_seen: seen,
    })
}

/// Has a store that is there for oneself.
pub(super) fn locked(path: &Path) -> Result<std::fs::File, OpenError> {
    if !path.join("lock").exists() {
        return Err(OpenError::Unreadable {
            path: path.to_owned(),
            text: "there is no store".to_owned(),
        });
    }
    lock(path)
}

fn describe(store: &Path, keyspace: String, bad: &Bad) -> DamagedTable {
    let read = table::read(&store.join(bad.file()));
    let records = read
        .as_ref()
        .ok()
        .and_then(|table| table.records().ok())
        .unwrap_or_default();
    let room = room(store, bad.keyspace, bad.table);
    let gaps = read.map(|table| table.gaps(&records, &room)).unwrap_or_default();
    DamagedTable {
        file: bad.file(),
        what: bad.what.clone(),
        intact: records.iter().map(Vec::len).sum(),
        lost: gaps.iter().map(|gap| gap.told(&keyspace)).collect(),
        keyspace,
    }
}

/// What was lost when tables were replaced before.
pub(super) fn lost_before(store: &Path) -> Result<Vec<String>, FileFault> {
    let holes = Holes::read(store)?;
    let all = KEYSPACES.iter().flat_map(|keyspace| {
        let gaps = holes.of(keyspace).map(|gap| gap.told(keyspace));
        gaps.map(|gap| format!("{keyspace} {gap}")).collect::<Vec<_>>()
    });
    Ok(all.collect())
}
