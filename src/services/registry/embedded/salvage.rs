//! A new store of everything that can be read of a damaged one. The database is not asked: it opens nothing that is damaged.
//! Instead the records of all tables and journals are merged, the youngest of each key counts, and what changes tell of a
//! user makes up for a record that is lost. Never touches the damaged store.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs;
use std::path::{Path, PathBuf};

use fjall::{Keyspace, PersistMode};
use hashbrown::HashMap;
use lsm_tree::{InternalValue, ValueType};

use crate::services::registry::archive::ReadError;
use crate::services::registry::codec::FORMAT;
use crate::services::registry::embedded::check::{self, TABLES, TableCheck, keyspace_folder};
use crate::services::registry::embedded::errors::{OpenError, unread};
use crate::services::registry::embedded::files::{
    CURSOR_KEY, FORMAT_KEY, Files, KEYSPACES, LAST_KEY, PRUNED_KEY, STORE_KEY, position,
};
use crate::services::registry::embedded::mend::room;
use crate::services::registry::embedded::raw::bytes::{bytes_of, numbered};
use crate::services::registry::embedded::raw::manifest::Manifest;
use crate::services::registry::embedded::raw::table::Gap;
use crate::services::registry::embedded::raw::{journal, table};
use crate::services::registry::embedded::rebuild::rebuild;
use crate::services::registry::embedded::settings::StoreLocation;
use crate::services::registry::embedded::{tidy, verify};

/// Memory for the new store while it is written.
const MEMORY_BYTES: u64 = 128 << 20;

/// SalvageRecords that are written together.
const RECORDS_AT_ONCE: usize = 1_000;

/// What became of a damaged store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Salvaged {
    /// SalvageRecords that the new store has, by keyspace.
    pub records: Vec<(&'static str, u64)>,
    /// Users whose record was lost or old, and was made again from their changes.
    pub rebuilt: u64,
    /// Changes that are lost in between.
    pub lost_changes: u64,
    /// What is lost or uncertain, for people.
    pub losses: Vec<String>,
}

/// A store could not be salvaged.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// One of the two stores cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is something where the new store should be.
    #[error("{0} is not empty: the new store needs a folder of its own")]
    NotEmpty(PathBuf),
    /// The new store cannot be written.
    #[error("{path}: {text}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        text: String,
    },
}

/// Makes a new store in `to` of what can be read of the one in `from`. `progress` hears which table is read.
///
/// # Errors
/// If the one is in use or of another format, or the other cannot be written.
pub fn salvage(from: &Path, to: &Path, progress: &mut dyn FnMut(&Path)) -> Result<Salvaged, SalvageError> {
    let _lock = verify::locked(from)?;
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(SalvageError::NotEmpty(to.to_owned()));
    }
    let failed = |error: ReadError| SalvageError::Write {
        path: to.to_owned(),
        text: error.to_string(),
    };
    let source = SalvageSource::new(from);
    let format = source.format();
    if format.is_some_and(|format| format != FORMAT) {
        return Err(SalvageError::Open(OpenError::Format {
            path: from.to_owned(),
            found: format.unwrap_or_default().to_string(),
        }));
    }
    let place = StoreLocation {
        path: to.to_owned(),
        memory_bytes_max: MEMORY_BYTES,
    };
    let files = Files::open(&place, TableCheck::AtTheirEnds)?;
    let mut salvaged = Salvaged {
        losses: source.losses.clone(),
        ..Salvaged::default()
    };
    for name in KEYSPACES {
        let count = source
            .copy(name, &files, &mut salvaged.losses, progress)
            .map_err(failed)?;
        salvaged.records.push((name, count));
    }
    finish(&files, &mut salvaged).map_err(failed)?;
    Ok(salvaged)
}

/// Puts in order what was copied.
fn finish(files: &Files, salvaged: &mut Salvaged) -> Result<(), ReadError> {
    let first = files
        .changes
        .first_key_value()
        .map(|guard| position(&guard.key().map_err(unread)?))
        .transpose()?;
    let mut batch = files.database.batch();
    if files.number(FORMAT_KEY)?.is_none() {
        files.put_number(&mut batch, FORMAT_KEY, FORMAT);
    }
    let before_all = first.map_or(0, |first| first.0 - 1);
    if files.pruned()?.0 < before_all {
        files.put_number(&mut batch, PRUNED_KEY, before_all);
    }
    if files.number(CURSOR_KEY)?.is_none() {
        salvaged
            .losses
            .push("meta: how far callbacks are; all changes that are kept are told again".to_owned());
        files.put_number(&mut batch, CURSOR_KEY, before_all);
    }
    batch.commit().map_err(unread)?;
    salvaged.rebuilt = rebuild(files, &mut salvaged.lost_changes)?;
    tidy::put_in_order(files)?;
    let mut batch = files.database.batch();
    files.put_number(&mut batch, LAST_KEY, files.last_named()?.0);
    batch.commit().map_err(unread)?;
    files.database.persist(PersistMode::SyncAll).map_err(unread)
}

/// A damaged store.
struct SalvageSource {
    path: PathBuf,
    /// Numbers of keyspaces by their names.
    keyspaces: HashMap<String, u64>,
    /// What is in journals: the youngest under each key.
    journals: HashMap<u64, BTreeMap<Vec<u8>, SalvageItem>>,
    losses: Vec<String>,
}

/// A record with its number; `None`: the key was removed.
type SalvageItem = (u64, Option<Vec<u8>>);

impl SalvageSource {
    fn new(path: &Path) -> Self {
        let names = check::names(path);
        let mut losses = Vec::new();
        let mut keyspaces: HashMap<_, _> = names.into_iter().map(|(number, name)| (name, number)).collect();
        for (name, number) in KEYSPACES.iter().zip(1..) {
            keyspaces.entry((*name).to_owned()).or_insert(number);
        }
        let journals = read_journals(path, &mut losses);
        match verify::lost_before(path) {
            Ok(before) => losses.extend(
                before
                    .iter()
                    .map(|lost| format!("{lost}, when a table was replaced")),
            ),
            Err(fault) => losses.push(fault.to_string()),
        }
        Self {
            path: path.to_owned(),
            keyspaces,
            journals,
            losses,
        }
    }

    fn format(&self) -> Option<u64> {
        let (mut format, mut ignored) = (None, Vec::new());
        self.merge("meta", &mut ignored, &mut |_| {}, &mut |key, value| {
            if key == FORMAT_KEY.as_bytes() {
                format = <[u8; 8]>::try_from(&value[..]).ok().map(u64::from_be_bytes);
            }
            Ok(())
        })
        .ok()?;
        format
    }

    /// Copies a keyspace. Gives how many records it has.
    fn copy(
        &self,
        name: &str,
        files: &Files,
        losses: &mut Vec<String>,
        progress: &mut dyn FnMut(&Path),
    ) -> Result<u64, ReadError> {
        let target = target(files, name);
        let (mut batch, mut count, mut in_batch) = (files.database.batch(), 0, 0);
        let mut identified = name != "meta";
        self.merge(name, losses, progress, &mut |key, value| {
            identified |= key == STORE_KEY.as_bytes();
            batch.insert(target, key, value);
            count += 1;
            in_batch += 1;
            if in_batch == RECORDS_AT_ONCE {
                in_batch = 0;
                std::mem::replace(&mut batch, files.database.batch())
                    .commit()
                    .map_err(unread)?;
            }
            Ok(())
        })?;
        batch.commit().map_err(unread)?;
        if !identified {
            losses.push(
                "meta: which store it is; cursors of the old one mean nothing to the new one".to_owned(),
            );
        }
        Ok(count)
    }

    /// Hands the youngest record under each key to `take`, in the order of the keys.
    fn merge(
        &self,
        name: &str,
        losses: &mut Vec<String>,
        progress: &mut dyn FnMut(&Path),
        take: &mut dyn FnMut(Vec<u8>, Vec<u8>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let number = self.keyspaces[name];
        let mut merge = Merge::default();
        for table in self.tables(name, number, losses) {
            let path = keyspace_folder(&self.path, number)
                .join(TABLES)
                .join(table.to_string());
            progress(path.strip_prefix(&self.path).unwrap_or(&path));
            match open_table(&path, &room(&self.path, number, table)) {
                Ok((records, gaps)) => {
                    let lost = gaps
                        .iter()
                        .map(|gap| format!("{name}: what table {table} had {}", gap.told(name)));
                    losses.extend(lost);
                    merge.add(records);
                }
                Err(error) => losses.push(format!("{name}: all of table {table}: {error}")),
            }
        }
        let journaled = self.journals.get(&number).cloned().unwrap_or_default();
        merge.add(Box::new(
            journaled
                .into_iter()
                .map(|(key, (seqno, value))| (key, seqno, value)),
        ));
        while let Some((key, value)) = merge.next() {
            if let Some(value) = value {
                take(key, value)?;
            }
        }
        Ok(())
    }

    /// The tables of a keyspace: those of its manifest, or all that there are.
    fn tables(&self, name: &str, number: u64, losses: &mut Vec<String>) -> Vec<u64> {
        let folder = keyspace_folder(&self.path, number);
        match Manifest::read(&folder) {
            Ok(manifest) => manifest.tables().map(|entry| entry.id).collect(),
            Err(_) if !folder.exists() => Vec::new(),
            Err(fault) => {
                losses.push(format!(
                    "{name}: which tables count ({}); all of them are taken",
                    fault.what
                ));
                numbered(&folder.join(TABLES), "").unwrap_or_default()
            }
        }
    }
}

fn read_journals(path: &Path, losses: &mut Vec<String>) -> HashMap<u64, BTreeMap<Vec<u8>, SalvageItem>> {
    let mut youngest: HashMap<u64, BTreeMap<Vec<u8>, SalvageItem>> = HashMap::new();
    for name in check::journals(path) {
        let Ok(bytes) = bytes_of(&path.join(&name)) else {
            losses.push(format!("all of journal {}", name.display()));
            continue;
        };
        let course = journal::walk(&bytes, &mut |batch| {
            for item in batch.items {
                let known = youngest.entry(item.keyspace).or_default().entry(item.key);
                let known = known.or_insert((batch.seqno, None));
                if batch.seqno >= known.0 {
                    *known = (batch.seqno, item.value);
                }
            }
        });
        for place in course.damaged {
            losses.push(format!("journal {}: the batch at byte {place}", name.display()));
        }
    }
    youngest
}

fn target<'a>(files: &'a Files, name: &str) -> &'a Keyspace {
    match name {
        "users" => &files.users,
        "changes" => &files.changes,
        "outbox" => &files.outbox,
        _ => &files.meta,
    }
}

/// SalvageRecords in the order of their keys, of one key the youngest first.
type SalvageRecords = Box<dyn Iterator<Item = (Vec<u8>, u64, Option<Vec<u8>>)>>;

fn open_table(path: &Path, room: &Gap) -> std::io::Result<(SalvageRecords, Vec<Gap>)> {
    let table = table::read(path)?;
    let records = table.records()?;
    let gaps = table.gaps(&records, room);
    Ok((Box::new(records.into_iter().flatten().map(plain)), gaps))
}

fn plain(record: InternalValue) -> (Vec<u8>, u64, Option<Vec<u8>>) {
    let value = match record.key.value_type {
        ValueType::Value => Some(record.value.to_vec()),
        ValueType::Tombstone | ValueType::WeakTombstone | ValueType::Indirection => None,
    };
    (record.key.user_key.to_vec(), record.key.seqno, value)
}

/// Several sorted sources as one, with the youngest record of each key.
#[derive(Default)]
struct Merge {
    sources: Vec<SalvageRecords>,
    heads: BinaryHeap<Reverse<Head>>,
}

/// By key; of one key the youngest first.
type Head = (Vec<u8>, Reverse<u64>, usize, Option<Vec<u8>>);

impl Merge {
    fn add(&mut self, source: SalvageRecords) {
        self.sources.push(source);
        self.pull(self.sources.len() - 1);
    }

    fn pull(&mut self, source: usize) {
        if let Some((key, seqno, value)) = self.sources[source].next() {
            self.heads.push(Reverse((key, Reverse(seqno), source, value)));
        }
    }

    fn next(&mut self) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let Reverse((key, _, source, value)) = self.heads.pop()?;
        self.pull(source);
        while self.heads.peek().is_some_and(|Reverse(head)| head.0 == key) {
            let Reverse((_, _, source, _)) = self.heads.pop().expect("it was just seen");
            self.pull(source);
        }
        Some((key, value))
    }
}
