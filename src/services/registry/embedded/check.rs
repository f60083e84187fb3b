//! What is looked at before the database is opened, since it cuts off, removes or runs into what it does not understand. What
//! is needed and damaged is named; a damaged table of the records can be replaced. Changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use hashbrown::HashMap;

use crate::services::registry::embedded::raw::bytes::{FileFault, bytes_of, numbered};
use crate::services::registry::embedded::raw::manifest::{self, Manifest};
use crate::services::registry::embedded::raw::{journal, table};

/// The file whose presence makes a folder a database.
const VERSION: &str = "version";
const VERSION_TEXT: &[u8] = b"FJL\x03";
pub(super) const KEYSPACES: &str = "keyspaces";
pub(super) const TABLES: &str = "tables";
const JOURNAL_SUFFIX: &str = ".jnl";

/// The keyspace in which the database keeps the names of the others.
pub(super) const NAMES: u64 = 0;

/// How much of the tables is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableCheck {
    /// What the database reads of each when it opens them: a start must not take longer the more there is.
    AtTheirEnds,
    /// Every block of every one.
    AtAll,
}

/// A damaged table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) keyspace: u64,
    pub(super) table: u64,
    pub(super) what: String,
}

impl Bad {
    /// Its file, within the store.
    pub(super) fn file(&self) -> PathBuf {
        keyspace_folder(Path::new(""), self.keyspace)
            .join(TABLES)
            .join(self.table.to_string())
    }
}

/// What was found. Whatever else was looked at is what was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Findings {
    /// What the database cannot be opened with.
    pub(super) faults: Vec<FileFault>,
    /// Damaged tables.
    pub(super) tables: Vec<Bad>,
    /// Journals whose last batch was not written to its end, and how many bytes of it there are.
    pub(super) torn: Vec<(PathBuf, usize)>,
}

/// The folder of a keyspace.
pub(super) fn keyspace_folder(store: &Path, keyspace: u64) -> PathBuf {
    store.join(KEYSPACES).join(keyspace.to_string())
}

/// Whether there is a store at all.
pub(super) fn exists(store: &Path) -> bool {
    store.join(VERSION).exists()
}

/// Looks at a store's files. `progress` hears of each table.
pub(super) fn look(store: &Path, look: TableCheck, progress: &mut dyn FnMut(&Path)) -> Findings {
    let mut findings = Findings::default();
    let faults = &mut findings.faults;
    match fs::read(store.join(VERSION)) {
        Ok(text) if text == VERSION_TEXT => {}
        Ok(_) => faults.push(FileFault::new(
            VERSION,
            "it is damaged, or another version of the database wrote it",
        )),
        Err(error) => faults.push(FileFault::new(VERSION, error)),
    }
    look_at_journals(store, &mut findings);
    match numbered(&store.join(KEYSPACES), "") {
        Ok(keyspaces) => keyspaces
            .iter()
            .for_each(|keyspace| look_at_keyspace(store, *keyspace, look, &mut findings, progress)),
        Err(error) => findings.faults.push(FileFault::new(KEYSPACES, error)),
    }
    findings
}

/// The journals, the oldest first.
pub(super) fn journals(store: &Path) -> Vec<PathBuf> {
    let numbers = numbered(store, JOURNAL_SUFFIX).unwrap_or_default();
    numbers
        .iter()
        .map(|number| PathBuf::from(format!("{number}{JOURNAL_SUFFIX}")))
        .collect()
}

fn look_at_journals(store: &Path, findings: &mut Findings) {
    for name in journals(store) {
        let bytes = match bytes_of(&store.join(&name)) {
            Ok(bytes) => bytes,
            Err(error) => {
                findings.faults.push(FileFault::new(name, error));
                continue;
            }
        };
        let course = journal::walk(&bytes, &mut |_| {});
        for place in course.damaged {
            let what = format_args!("the batch at byte {place} is damaged");
            findings.faults.push(FileFault::new(&name, what));
        }
        findings.torn.extend(course.torn.map(|count| (name, count)));
    }
}

fn look_at_keyspace(
    store: &Path,
    keyspace: u64,
    look: TableCheck,
    findings: &mut Findings,
    progress: &mut dyn FnMut(&Path),
) {
    let folder = keyspace_folder(store, keyspace);
    let tables = folder.join(TABLES);
    if !manifest::exists(&folder) {
        // One that was not made to its end is made anew. One that has tables would be removed.
        if numbered(&tables, "").is_ok_and(|tables| !tables.is_empty()) {
            findings.faults.push(within(
                store,
                FileFault::new(folder.join("current"), "it is missing"),
            ));
        }
        return;
    }
    let manifest = match Manifest::read(&folder) {
        Ok(manifest) => manifest,
        Err(fault) => return findings.faults.push(within(store, fault)),
    };
    for entry in manifest.tables() {
        let path = tables.join(entry.id.to_string());
        progress(path.strip_prefix(store).unwrap_or(&path));
        match damage_of(&path, look) {
            Ok(None) => {}
            Ok(Some(what)) => findings.tables.push(Bad {
                keyspace,
                table: entry.id,
                what,
            }),
            Err(error) => findings.faults.push(within(store, FileFault::new(path, error))),
        }
    }
}

fn damage_of(path: &Path, look: TableCheck) -> std::io::Result<Option<String>> {
    let faults = match look {
        TableCheck::AtTheirEnds => table::look(path)?
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>(),
        TableCheck::AtAll => {
            let faults = table::read(path)?.faults;
            faults
                .iter()
                .map(|(place, what)| format!("{what} at byte {place}"))
                .collect()
        }
    };
    Ok((!faults.is_empty()).then(|| faults.join(", ")))
}

fn within(store: &Path, fault: FileFault) -> FileFault {
    let file = fault.file.strip_prefix(store).map(Path::to_owned);
    FileFault {
        file: file.unwrap_or(fault.file),
        what: fault.what,
    }
}

/// The keyspaces' names by their numbers, as far as they can be read.
pub(super) fn names(store: &Path) -> HashMap<u64, String> {
    let folder = keyspace_folder(store, NAMES);
    let mut names = HashMap::new();
    for table in numbered(&folder.join(TABLES), "").unwrap_or_default() {
        let records =
            table::read(&folder.join(TABLES).join(table.to_string())).and_then(|table| table.records());
        for record in records.unwrap_or_default().into_iter().flatten() {
            if let Some(name) = name_of(&record.key.user_key, &record.value) {
                names.insert(name.0, name.1);
            }
        }
    }
    names
}

fn name_of(key: &[u8], value: &[u8]) -> Option<(u64, String)> {
    let number = key.strip_prefix(b"n")?.try_into().ok()?;
    let name = String::from_utf8(value.to_vec()).ok()?;
    Some((u64::from_be_bytes(number), name))
}
